"""A serial port on the event loop: chunks in, bytes out, and the news that it is gone.

Must not know what the bytes mean.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios
from collections.abc import Callable

import serial

from bridge.buses.gathering import GatheringReader
from bridge.limits import DRAIN_POLL_PERIOD, SERIAL_READ_SIZE


class SerialLine:
    """Drives a port that open_serial_port() opened, and closes it.

    Whoever has the line sets `received`, which gets each chunk, and `lost`, which is told once why
    nothing can be read or written any more. Neither is called after close().
    """

    def __init__(self, port: serial.Serial) -> None:
        self.received: Callable[[bytes], None] = ignore
        self.lost: Callable[[str], None] = ignore
        self._loop = asyncio.get_running_loop()
        self._port = port
        self._fd = port.fileno()
        self._is_lost = False
        self._reader = GatheringReader(self._fd, self._read)

    def start(self) -> None:
        """Begin to read."""
        self._reader.start()

    def write(self, data: bytes | memoryview) -> int:
        """How many bytes the port took just now; 0 where it is full or gone."""
        if self._is_lost:
            return 0
        try:
            return os.write(self._fd, data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._lose(error.strerror or str(error))
            return 0

    def when_writable(self, callback: Callable[[], None] | None) -> None:
        """Call back each time the port takes bytes again, until this is None."""
        if self._is_lost:
            return
        if callback is None:
            self._loop.remove_writer(self._fd)
        else:
            self._loop.add_writer(self._fd, callback)

    async def drained(self, limit: float) -> None:
        """Wait, `limit` seconds at most, until all that was written has left the port. Nothing tells when."""
        deadline = self._loop.time() + limit
        while not self._is_lost and self._unsent() and self._loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_POLL_PERIOD)

    def discard_output(self) -> None:
        """Forget what was written and has not left the port."""
        with contextlib.suppress(termios.error):  # a device that is gone
            termios.tcflush(self._fd, termios.TCOFLUSH)

    def close(self) -> None:
        """Let go of the port. Twice is fine."""
        if not self._port.is_open:
            return
        self._stop()
        self._is_lost = True
        if self._unsent():
            self.discard_output()  # the kernel's close would wait for it, half a minute
        self._port.close()

    def _unsent(self) -> int:
        try:
            return self._port.out_waiting
        except OSError:  # a device that is gone
            return 0

    def _read(self) -> bool:
        try:
            data = os.read(self._fd, SERIAL_READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self._lose(error.strerror or str(error))
            return False
        if data:
            self.received(data)
        else:
            self._lose("the line was hung up")
        return bool(data)

    def _lose(self, reason: str) -> None:
        self._stop()
        self._is_lost = True
        self.lost(reason)

    def _stop(self) -> None:
        if not self._is_lost:
            self._reader.stop()
            self._loop.remove_writer(self._fd)


def ignore(_: object) -> None:
    """For a line that nobody listens to."""
