"""Something that is done again and again while a call lasts: a fresh token, a sign of life.

Must not know what is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType


class Repeating:
    """Calls `action` after `first` seconds and each `period` seconds after that. `with` it."""

    def __init__(self, action: Callable[[], None], period: float, first: float | None = None) -> None:
        self._action = action
        self._period = period
        self._first = period if first is None else max(0.0, first)
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Repeating:
        self._wait(self._first)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._again)

    def _again(self) -> None:
        self._wait(self._period)
        self._action()
