"""Back-off: full jitter below a ceiling that follows the time without a connection."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.backoff import Backoff

ALMOST_ONE = 1 - 2**-53


def longest(least: float = 0.5, most: float = 30.0) -> Backoff:
    return Backoff(least, most, lambda: ALMOST_ONE)


@pytest.mark.parametrize(
    ("away", "expected"), [(0.0, 0.5), (0.4, 0.5), (0.6, 0.6), (7.0, 7.0), (30.0, 30.0), (3600.0, 30.0)]
)
def test_the_longest_wait_is_as_long_as_it_was_away(away: float, expected: float) -> None:
    backoff = longest()
    backoff.lost(100.0)
    assert backoff.wait(100.0 + away) == pytest.approx(expected)


def test_the_wait_is_a_random_part_of_the_longest() -> None:
    chances = iter([0.0, 0.25, 0.5])
    backoff = Backoff(0.5, 30.0, lambda: next(chances))
    backoff.lost(0.0)
    assert [backoff.wait(8.0) for _ in range(3)] == [0.0, 2.0, 4.0]


def test_waits_grow_from_the_least_to_the_most() -> None:
    backoff = longest()
    backoff.lost(0.0)
    now, waits = 0.0, []
    for _ in range(10):
        waits.append(backoff.wait(now))
        now += waits[-1]
    assert waits == pytest.approx([0.5, 0.5, 1, 2, 4, 8, 16, 30, 30, 30])


def test_being_lost_again_and_again_changes_nothing() -> None:
    backoff = longest()
    backoff.lost(0.0)
    backoff.lost(9.0)
    assert backoff.wait(10.0) == pytest.approx(10.0)


def test_a_connection_that_lasts_makes_up_for_the_loss() -> None:
    backoff = longest()
    backoff.lost(0.0)
    backoff.connected(8.0)
    backoff.lost(20.0)
    assert backoff.wait(20.0) == pytest.approx(0.5)


def test_a_connection_that_is_lost_at_once_never_came_back() -> None:
    backoff = longest()
    backoff.lost(0.0)
    backoff.connected(8.0)
    backoff.lost(9.0)
    assert backoff.wait(9.0) == pytest.approx(7.0)
    assert backoff.wait(11.0) == pytest.approx(9.0)


def test_a_server_that_throws_out_at_once_is_asked_less_and_less_often() -> None:
    """Each try succeeds and is lost in the same moment: no more than a few dozen in ten minutes."""
    backoff = Backoff(0.5, 30.0, random.Random(1).random)
    now, tries = 0.0, 0
    while now < 600.0:
        backoff.lost(now)
        now += backoff.wait(now)
        backoff.connected(now)
        tries += 1
    assert tries < 80


@given(
    st.lists(st.tuples(st.sampled_from(["lost", "connected", "wait"]), st.floats(0, 1000)), max_size=50),
    st.randoms(use_true_random=False),
)
def test_a_wait_is_never_longer_than_all_that_went_before(steps, chance) -> None:
    backoff = Backoff(0.5, 30.0, chance.random)
    now = 0.0
    for action, seconds in steps:
        now += seconds
        if action == "wait":
            assert 0 <= backoff.wait(now) <= min(30.0, max(0.5, now))
        else:
            getattr(backoff, action)(now)
