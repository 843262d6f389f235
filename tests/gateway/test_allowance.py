"""A burst at once, then a rate."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.allowance import Allowance


def test_a_burst_comes_at_once_and_then_the_rate_holds():
    allowance = Allowance(rate=2.0, burst=3)
    assert [allowance.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert not allowance.take(10.4)
    assert allowance.take(10.5)
    assert not allowance.take(10.6)
    assert [allowance.take(99.0) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_steps_back_gives_nothing_away():
    allowance = Allowance(rate=1.0, burst=1)
    assert allowance.take(100.0)
    assert not allowance.take(50.0)
    assert not allowance.take(100.5)
    assert allowance.take(101.0)


@given(st.lists(st.floats(0.0, 1.0), max_size=200))
def test_never_more_than_the_burst_and_the_rate_together(pauses):
    allowance = Allowance(rate=5.0, burst=10)
    now = taken = 0.0
    for pause in pauses:
        now += pause
        taken += allowance.take(now)
    assert taken <= 10 + 5.0 * now + 1e-6
