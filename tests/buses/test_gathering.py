"""A descriptor on a loop whose time the test moves: what is read when."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.buses.gathering import GatheringReader
from bridge.limits import READ_PERIOD

FD = 7
SATURATED = 1 / 9009  #: seconds between two frames


class Timer:
    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Line:
    """A loop with one descriptor, on which frames arrive at given times."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waiting: list[float] = []  # when each came
        self.reads: list[float] = []
        self.delays: list[float] = []
        self.watched: Callable[[], None] | None = None
        self.timers: list[Timer] = []
        self.fault: Exception | None = None
        self.reader = GatheringReader(FD, self.read, self)  # type: ignore[arg-type]

    def time(self) -> float:
        return self.now

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        assert fd == FD
        assert self.watched is None
        self.watched = callback

    def remove_reader(self, fd: int) -> None:
        assert fd == FD
        assert self.watched is not None
        self.watched = None

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(when, callback))
        return self.timers[-1]

    def read(self) -> bool:
        self.reads.append(self.now)
        if self.fault is not None:
            raise self.fault
        taken, self.waiting = self.waiting, []
        self.delays += [self.now - came for came in taken]
        return bool(taken)

    @property
    def pending(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.cancelled]

    def run_until(self, end: float) -> None:
        while due := [timer for timer in self.pending if timer.when <= end]:
            timer = min(due, key=lambda timer: timer.when)
            self.now = max(self.now, timer.when)
            timer.cancel()
            timer.callback()
            self.poll()
        self.now = end

    def poll(self) -> None:
        if self.waiting and self.watched is not None:
            self.watched()

    def arrive(self, *gaps: float) -> None:
        """Frames, each so long after what was before."""
        for gap in gaps:
            self.run_until(self.now + gap)
            self.waiting.append(self.now)
            self.poll()


@pytest.fixture
def line() -> Line:
    line = Line()
    line.reader.start()
    return line


def test_frames_with_time_between_them_are_read_at_once(line: Line) -> None:
    line.arrive(*[1.01 * READ_PERIOD] * 10)
    assert line.delays == [0.0] * 10
    assert not line.timers


def test_a_saturated_bus_is_read_once_per_period(line: Line) -> None:
    line.arrive(*[SATURATED] * 9009)
    assert len(line.reads) <= 1 / READ_PERIOD + 2
    assert max(line.delays) <= READ_PERIOD
    assert len(line.delays) + len(line.waiting) == 9009


def test_a_frame_after_the_load_is_read_at_once_again(line: Line) -> None:
    line.arrive(*[SATURATED] * 100)
    line.run_until(line.now + 3 * READ_PERIOD)
    assert not line.pending
    line.delays.clear()
    line.arrive(0.0)
    assert line.delays == [0.0]


@given(st.lists(st.floats(0, 0.005), max_size=200))
def test_whatever_comes_is_read_within_a_period(gaps: list[float]) -> None:
    line = Line()
    line.reader.start()
    line.arrive(*gaps)
    line.run_until(line.now + READ_PERIOD)
    assert len(line.delays) == len(gaps)
    assert all(delay <= READ_PERIOD * 1.001 for delay in line.delays)


@pytest.mark.parametrize("frames", [0, 1, 2, 50])
def test_a_reader_that_is_stopped_leaves_nothing(line: Line, frames: int) -> None:
    line.arrive(*[SATURATED] * frames)
    line.reader.stop()
    line.reader.stop()
    assert line.watched is None
    assert not line.pending
    reads = len(line.reads)
    line.arrive(SATURATED, 1.0)
    assert len(line.reads) == reads


@pytest.mark.parametrize("frames", [1, 2, 50])
def test_reading_may_stop_the_reader(line: Line, frames: int) -> None:
    def read_and_stop() -> bool:
        line.reader.stop()
        return line.read()

    line.arrive(*[SATURATED] * (frames - 1))
    line.reader._read = read_and_stop
    line.arrive(SATURATED)
    line.run_until(line.now + 3 * READ_PERIOD)
    assert line.watched is None
    assert not line.pending
    line.reader.start()
    line.arrive(1.0)
    assert line.waiting == []


@pytest.mark.parametrize("frames", [1, 50])
def test_a_read_that_fails_ends_nothing(line: Line, frames: int) -> None:
    line.arrive(*[SATURATED] * (frames - 1))
    line.fault = OSError("no")
    with pytest.raises(OSError, match="no"):
        line.arrive(SATURATED, READ_PERIOD)
    line.fault = None
    line.run_until(line.now + READ_PERIOD)
    line.poll()
    assert line.waiting == []
