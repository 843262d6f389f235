"""FrequencyClock: whether something that is limited to a frequency may happen again.

It must not know where the time comes from: `now` is handed in, in seconds of any clock that
mostly runs forward (a recording that starts over jumps back).
"""

from __future__ import annotations

TOLERANCE = 1e-6  #: s; a wall clock's double is this coarse, and 10 Hz frames must pass a 10 Hz limit


class FrequencyClock:
    """Ticks at most `frequency` times a second; 0 Hz (or less) is no limit and always ticks.

    The first tick is due at once unless the clock was staggered. A clock that sees time step
    back by a period or more ticks, so that it never sleeps until the old time is reached again.
    """

    __slots__ = ("_last", "period")

    def __init__(self, frequency: float) -> None:
        self.period = 1.0 / frequency if frequency > 0 else 0.0  #: s, 0 is no limit
        self._last: float | None = None

    def elapsed(self, now: float) -> bool:
        """Whether a tick is due: at least one period lies between the last tick and `now`."""
        if self._last is None or not self.period:
            return True
        return abs(now - self._last) >= self.period - TOLERANCE

    def tick(self, now: float) -> None:
        """Tick explicitly: the next one is due a period from now."""
        self._last = now

    def conditional_tick(self, now: float) -> bool:
        """Tick if a tick is due; tell whether it was."""
        if not self.elapsed(now):
            return False
        self._last = now
        return True

    def stagger(self, now: float, fraction: float) -> None:
        """Make the first tick due `fraction` (0 to 1) of a period from now instead of at once."""
        self._last = now - self.period * (1.0 - fraction)
