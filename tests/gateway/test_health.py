"""How connections do: since when they are there, how soon they answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.health import Health
from bridge.limits import HEALTHY_LATENCY, LATENCY_SAMPLES


def test_nothing_seen_is_not_connected():
    report = Health().report([1])
    assert (report.connected, report.healthy, report.since, report.latency) == (False, False, None, None)


def test_no_bus_is_no_connection():
    assert not Health().report([]).connected


def test_all_buses_must_be_there_and_the_last_to_come_counts():
    health = Health()
    health.observe(1, True, 100.0)
    assert not health.report([1, 2]).connected
    health.observe(2, True, 130.0)
    health.observe(1, True, 150.0)  # no news
    assert health.report([1, 2]).since == 130.0
    assert health.report([1]).since == 100.0
    health.observe(1, False, 160.0)
    assert not health.report([1, 2]).connected
    health.observe(1, True, 170.0)
    assert health.report([1, 2]).since == 170.0


def test_a_connection_that_nobody_asked_anything_is_healthy():
    health = Health()
    health.observe(1, True, 0.0)
    assert health.report([1]).healthy


def test_a_lost_bus_forgets_how_soon_it_answered():
    health = Health()
    health.observe(1, True, 0.0)
    health.answered(1, 2.0)
    assert not health.report([1]).healthy
    health.observe(1, False, 1.0)
    health.observe(1, True, 2.0)
    assert health.report([1]).healthy
    assert health.report([1]).latency is None


def test_the_newest_samples_of_all_buses_count():
    health = Health()
    for number in range(LATENCY_SAMPLES):
        health.answered(1, 9.0)
        health.answered(2, float(number))
    for number in range(LATENCY_SAMPLES - 1):
        health.answered(3, 0.1 * number)
    report = health.report([1, 2, 3])
    assert report.latency == pytest.approx(0.1 * (LATENCY_SAMPLES - 2))
    assert report.average == pytest.approx((9.0 + sum(0.1 * n for n in range(LATENCY_SAMPLES - 1))) / LATENCY_SAMPLES)
    assert health.report([1]).average == 9.0


@pytest.mark.parametrize(("seconds", "healthy"), [(HEALTHY_LATENCY - 0.001, True), (HEALTHY_LATENCY, False)])
def test_an_average_of_half_a_second_is_no_longer_healthy(seconds, healthy):
    health = Health()
    health.observe(1, True, 0.0)
    for _ in range(LATENCY_SAMPLES):
        health.answered(1, seconds)
    assert health.report([1]).healthy is healthy


@given(st.lists(st.tuples(st.integers(1, 3), st.floats(0, 10)), min_size=1))
def test_the_average_is_of_the_last_samples_whichever_bus_they_came_from(samples):
    health = Health()
    for bus, seconds in samples:
        health.answered(bus, seconds)
    last = [seconds for _, seconds in samples[-LATENCY_SAMPLES:]]
    report = health.report([1, 2, 3])
    assert report.latency == last[-1]
    assert report.average == pytest.approx(sum(last) / len(last))
