"""Keeps a flood of the same event from becoming a flood of log lines.

Must not know what is logged.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from bridge.limits import LOG_ONCE_PERIOD


class SeldomLog:
    """Logs one kind of event at most once per LOG_ONCE_PERIOD, and says how often it kept silent since."""

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._quiet_until = float("-inf")
        self._silent = 0

    def warning(self, text: str, *values: object) -> None:
        """Log a line, its values put in as logging does, unless there was one of late."""
        now = self._clock()
        if now < self._quiet_until:
            self._silent += 1
            return
        if self._silent:
            text += f" ({self._silent} more of the kind before)"
        self._quiet_until = now + LOG_ONCE_PERIOD
        self._silent = 0
        self._logger.warning(text, *values)
