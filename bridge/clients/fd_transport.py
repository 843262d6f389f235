"""A transport for a descriptor that is no socket: a pseudo-terminal's master, a serial port.

asyncio's pipes need one descriptor per direction; this is one for both, with the same write
buffer and pause rules as asyncio's sockets. It must not know what the descriptor is, and does
not close it: its owner does.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from bridge.limits import TRANSPORT_BUFFER_LIMIT


class FdTransport(asyncio.Transport):
    """Drives an asyncio.BufferedProtocol on a non-blocking descriptor. `on_closed` comes after connection_lost."""

    def __init__(self, fd: int, protocol: asyncio.BufferedProtocol, on_closed: Callable[[], None]) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._fd = fd
        self._protocol = protocol
        self._on_closed = on_closed
        self._buffer = bytearray()
        self._high = TRANSPORT_BUFFER_LIMIT
        self._low = self._high // 4
        self._paused = False
        self._closing = False
        self._lost = False
        self.hung_up = False  #: the descriptor's other side ended it, not close() or abort()

    def start(self) -> None:
        """Call the protocol's connection_made and begin to read."""
        self._protocol.connection_made(self)
        if not self._closing:
            self._loop.add_reader(self._fd, self._readable)

    def is_closing(self) -> bool:
        """Whether close() or abort() was called, or the other side has gone."""
        return self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As asyncio's: pause above `high` bytes, resume at `low`."""
        self._high = TRANSPORT_BUFFER_LIMIT if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_size(self) -> int:
        """Bytes not yet taken by the operating system."""
        return len(self._buffer)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write now what the descriptor takes, the rest when it is writable. Errors close."""
        if self._closing or not data:
            return
        if self._buffer:
            self._buffer += data
        else:
            written = self._write_some(data)
            if self._closing or written == len(data):
                return
            self._buffer += memoryview(data)[written:]
            self._loop.add_writer(self._fd, self._writable)
        if len(self._buffer) > self._high and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def close(self) -> None:
        """Close when the buffer has been written. Until then the reader stays, to see the other side go."""
        if self._closing:
            return
        self._closing = True
        if not self._buffer:
            self._lose(None)

    def abort(self) -> None:
        """Close now; the buffer is lost."""
        self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._closing = self._lost = True
        self._buffer.clear()
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        # Later, as asyncio does: whoever is writing just now is not called back from within.
        self._loop.call_soon(self._finish, error)

    def _hang_up(self, error: OSError | None) -> None:
        self.hung_up = True
        self._lose(error)

    def _finish(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._on_closed()

    def _readable(self) -> None:
        try:
            size = os.readv(self._fd, [self._protocol.get_buffer(-1)])
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:  # EIO: nobody has the pseudo-terminal open, or the adapter was unplugged
            self._hang_up(error)
            return
        if not size:
            self._hang_up(None)
            return
        if self._closing:
            return
        try:
            self._protocol.buffer_updated(size)
        except Exception as error:  # a fault in one app's handling ends that app's connection only
            self._loop.call_exception_handler(
                {"message": "Fatal error: protocol.buffer_updated() failed", "exception": error, "transport": self}
            )
            self._lose(error)

    def _writable(self) -> None:
        written = self._write_some(self._buffer)
        if self._lost:
            return
        del self._buffer[:written]
        if self._paused and len(self._buffer) <= self._low:
            self._paused = False
            self._protocol.resume_writing()  # may write more
        if not self._buffer and not self._lost:
            self._loop.remove_writer(self._fd)
            if self._closing:
                self._lose(None)

    def _write_some(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return os.write(self._fd, data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._hang_up(error)
            return 0
