"""FrequencyClock."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.diagnostics.timer import FrequencyClock


def test_first_tick_is_due():
    assert FrequencyClock(1).conditional_tick(5.0)


@pytest.mark.parametrize("frequency", [0, -1])
def test_no_frequency_always_ticks(frequency):
    clock = FrequencyClock(frequency)
    assert [clock.conditional_tick(5.0) for _ in range(3)] == [True] * 3
    clock.stagger(5.0, 0.5)
    assert clock.conditional_tick(5.0)


def test_waits_for_a_period():
    clock = FrequencyClock(1)
    times = [0.0, 0.5, 0.999, 1.0, 1.5, 2.1, 3.0, 3.1]
    assert [clock.conditional_tick(now) for now in times] == [True, False, False, True, False, True, False, True]


def test_staggered_first_is_not_due():
    clock = FrequencyClock(1)
    clock.stagger(10.0, 0.25)
    assert [clock.conditional_tick(now) for now in (10.0, 10.2, 10.25, 10.3)] == [False, False, True, False]


def test_explicit_tick_resets():
    clock = FrequencyClock(1)
    clock.tick(0.0)
    assert not clock.elapsed(0.9)
    clock.tick(0.9)
    assert not clock.elapsed(1.5)
    assert clock.elapsed(1.9)


def test_elapsed_does_not_tick():
    clock = FrequencyClock(1)
    assert clock.elapsed(0.0)
    assert clock.elapsed(0.0)


@pytest.mark.parametrize("start", [0.0, 1.7e9])
def test_what_comes_at_the_frequency_passes_it(start):
    clock = FrequencyClock(10)
    assert all(clock.conditional_tick(start + n * 0.1) for n in range(100))


def test_time_stepping_back_does_not_silence_it():
    clock = FrequencyClock(1)
    assert clock.conditional_tick(1000.0)
    assert not clock.conditional_tick(999.9)
    assert clock.conditional_tick(3.0)
    assert not clock.conditional_tick(3.5)
    assert clock.conditional_tick(4.0)


@settings(deadline=None)
@given(st.floats(0.01, 1000), st.lists(st.floats(0, 10), max_size=50))
def test_never_faster_than_its_frequency(frequency, steps):
    clock, now, last = FrequencyClock(frequency), 0.0, None
    for step in steps:
        now += step
        if clock.conditional_tick(now):
            assert last is None or now - last >= 1 / frequency - 2e-6
            last = now
