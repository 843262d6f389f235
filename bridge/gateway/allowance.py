"""How much of something is allowed in a time: a rate, and a burst that may come at once.

Must not know what it is, nor clocks.
"""

from __future__ import annotations


class Allowance:
    """Starts full; what is not taken is saved up to the burst."""

    def __init__(self, rate: float, burst: int) -> None:
        """`rate` is how many each second, `burst` how many at most at once."""
        self._rate = rate
        self._burst = burst
        self._saved = float(burst)
        self._at = float("-inf")

    def has(self, now: float) -> bool:
        """Whether one more is allowed at `now` (monotonic seconds)."""
        if now > self._at:
            self._saved = min(self._burst, self._saved + self._rate * (now - self._at))
            self._at = now
        return self._saved >= 1

    def take(self, now: float) -> bool:
        """The same; then it is taken."""
        if not self.has(now):
            return False
        self._saved -= 1
        return True
