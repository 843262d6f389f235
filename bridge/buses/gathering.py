"""Reads a descriptor at once while little comes, and once per READ_PERIOD under load.

A saturated bus makes its descriptor readable 9,000 times a second, and waking up for one frame
costs the loop many times what the frame itself does. So where one read follows another within the
period, frames gather in the kernel, which is what its queue is for, and are read together. This
module must not know what is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bridge.limits import READ_PERIOD


class GatheringReader:
    """Calls `read` on the event loop's thread from start() to stop(), whenever the descriptor may have something.

    Args:
        fd: to be read; non-blocking, and closed by its owner after stop().
        read: takes what is there, without waiting, and says whether there was anything. It may
            stop the reader.
        loop: another than the running one, for tests.
    """

    def __init__(self, fd: int, read: Callable[[], bool], loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._fd = fd
        self._read = read
        self._loop = asyncio.get_running_loop() if loop is None else loop
        self._running = False
        self._read_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to read."""
        self._running = True
        self._loop.add_reader(self._fd, self._readable)

    def stop(self) -> None:
        """Read no more. Twice is fine."""
        if not self._running:
            return
        self._running = False
        if self._timer is None:
            self._loop.remove_reader(self._fd)
        else:
            self._timer.cancel()
            self._timer = None

    def _readable(self) -> None:
        now = self._loop.time()
        if now - self._read_at < READ_PERIOD:
            self._loop.remove_reader(self._fd)
            self._timer = self._loop.call_at(now + READ_PERIOD, self._gathered)
        self._read_at = now
        self._read()

    def _gathered(self) -> None:
        # The next read is arranged first: one that fails ends nothing.
        self._read_at = self._loop.time()
        timer = self._timer = self._loop.call_at(self._read_at + READ_PERIOD, self._gathered)
        if not self._read() and self._running:
            timer.cancel()
            self._timer = None
            self._loop.add_reader(self._fd, self._readable)
