"""When to try again after a connection was lost: exponential back-off with full jitter.

The longest wait is as long as the connection has been away so far, between a least and a most, and
the wait is a random part of that. So many clients of one server don't come back in step, a short
loss is mended soon, and nothing ever waits longer than it had to wait already. A connection that is
lost again at once has not come back: the time that it was there is taken off the time that it was
away before, and the rest counts for the next loss.

This module must not know clocks, nor what is tried: `now` is monotonic seconds, chance is handed in.
"""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """The waits of one connection. It begins as connected, and never lost."""

    def __init__(self, least: float, most: float, uniform: Callable[[], float]) -> None:
        """`least` and `most` (s) bound the longest wait; `uniform` gives numbers in [0, 1)."""
        self._least = least
        self._most = most
        self._uniform = uniform
        self._away = 0.0  # seconds of earlier losses that still count
        self._since = float("-inf")  # when it was connected or lost, as things stand
        self._lost = False

    def lost(self, now: float) -> None:
        """The connection was lost. Again is fine: it stays lost since the first time."""
        if not self._lost:
            self._away = max(0.0, self._away - (now - self._since))
            self._since = now
            self._lost = True

    def connected(self, now: float) -> None:
        """The connection is back."""
        if self._lost:
            self._away += now - self._since
            self._since = now
            self._lost = False

    def wait(self, now: float) -> float:
        """Seconds from now to the next try."""
        away = self._away + (now - self._since if self._lost else 0.0)
        return self._uniform() * min(self._most, max(self._least, away))
