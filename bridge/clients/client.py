"""One app's connection, whatever carries it, and what the rest of the daemon hears of it.

A Client knows a transport (asyncio's own or an FdTransport) and its OutputQueue. It must not know
what the bytes mean, which listener it came through or who else is connected.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import struct
import sys
import termios
from typing import Protocol

from bridge.clients.queue import OutputQueue
from bridge.limits import TRANSPORT_BUFFER_LIMIT
from bridge.openxc.messages import PayloadFormat
from bridge.seldom import SeldomLog

_log = logging.getLogger(__name__)
_log_losses = SeldomLog(_log)
_log_cuts = SeldomLog(_log)


class ClientHandler(Protocol):
    """Who hears the clients of a listener. Called on the event loop's thread; must not block."""

    def client_connected(self, client: Client) -> None:
        """An app is there; it may be sent to at once."""

    def client_data(self, client: Client, data: bytes) -> None:
        """Bytes as they came, cut anywhere."""

    def client_gone(self, client: Client) -> None:
        """The app has gone, exactly once per client; nothing more comes of it."""


class ClientWatcher(Protocol):
    """Who waits for a client's backlog and keeps its data in order: the hub."""

    def backlog_changed(self, client: Client) -> None:
        """The client's queue began to fill, or some of it was taken, or it is empty again."""

    def response_due(self, client: Client) -> None:
        """A response is about to be sent: what was published earlier has to go first."""


class Client:
    """One connected app. Methods belong to the event loop's thread and never block."""

    __slots__ = (
        "__weakref__",
        "_closing",
        "_losing",
        "_paused",
        "_queue",
        "_taken",
        "_transport",
        "bytes_received",
        "bytes_sent",
        "grants",
        "id",
        "last_progress",
        "payload_format",
        "peer",
        "records_sent",
        "responses_sent",
        "watcher",
    )

    def __init__(
        self,
        id: int,
        peer: str,
        transport: asyncio.Transport,
        *,
        payload_format: PayloadFormat = PayloadFormat.JSON,
        grants: object = None,
        queue: OutputQueue | None = None,
    ) -> None:
        self.id = id  #: unique while the process lives
        self.peer = peer  #: who it is, for logs
        self.payload_format = payload_format  #: changed through Hub.set_format
        self.grants = grants  #: what its listener permits; opaque here
        self.watcher: ClientWatcher | None = None
        self.bytes_received = 0
        self.bytes_sent = 0  #: handed to the transport, data and responses
        self.records_sent = 0  #: of data, handed over whole
        self.responses_sent = 0
        self.last_progress = 0.0  #: when the peer was last seen to take bytes that had waited; the watcher's clock
        self._transport = transport
        self._queue = OutputQueue() if queue is None else queue
        self._paused = False
        self._closing = False
        self._losing = False
        self._taken = 0
        transport.set_write_buffer_limits(high=TRANSPORT_BUFFER_LIMIT)

    def __repr__(self) -> str:
        return f"client {self.id} ({self.peer})"

    @property
    def waiting(self) -> int:
        """Bytes that the operating system has not taken yet."""
        return self._queue.size + self._transport.get_write_buffer_size()

    @property
    def backlogged(self) -> bool:
        """Whether anything waits in the queue, because the peer does not read as fast as it comes."""
        return bool(self._queue)

    @property
    def closing(self) -> bool:
        """Whether the connection is being closed; what is sent from now on is ignored."""
        return self._closing or self._transport.is_closing()

    @property
    def records_dropped(self) -> int:
        """Records that this client lost because it did not read."""
        return self._queue.records_dropped

    @property
    def bytes_dropped(self) -> int:
        """The size of those records."""
        return self._queue.bytes_dropped

    def send_data(self, chunk: bytes, records: int) -> None:
        """Send a chunk of that many whole records, or keep it while the peer doesn't read, or drop older ones."""
        if self.closing:
            return
        if self._paused or len(chunk) > TRANSPORT_BUFFER_LIMIT:
            self._enqueue(chunk, records)
            return
        # Nothing waits in the queue, or it would be paused.
        self.records_sent += records
        self.bytes_sent += len(chunk)
        self._transport.write(chunk)

    def send_response(self, chunk: bytes) -> None:
        """Send a command's answer behind all data published before it. Never dropped for data.

        A client that asks on and on without reading the answers is cut off.
        """
        if self.watcher is not None:
            self.watcher.response_due(self)
        if self.closing:
            return
        if not (self._paused or self._queue):
            self.responses_sent += 1
            self.bytes_sent += len(chunk)
            self._transport.write(chunk)
            return
        began = not self._queue
        if not self._queue.push_response(chunk):
            _log_cuts.warning("%s sends commands without reading the answers: closed", self)
            self.abort()
            return
        self.responses_sent += 1
        if began:
            self._backlog_changed()

    def close(self) -> None:
        """Close once what waits has been sent; who must not wait for that calls abort() after a while."""
        self._closing = True
        if not self._queue:
            self._transport.close()

    def abort(self) -> None:
        """Close now. What waits is lost."""
        self._closing = True
        self._queue.clear()
        self._transport.abort()
        self._backlog_changed()

    def progressed(self, now: float) -> bool:
        """Whether the peer took bytes since the last look; if so, `now` (seconds) becomes last_progress.

        The peer's own reading counts, as far as the kernel tells: a large socket buffer takes
        nothing for long stretches while a slow app does read.
        """
        taken = self.bytes_sent - self._transport.get_write_buffer_size() - _unread_in_kernel(self._transport)
        if taken == self._taken:
            return False
        self._taken = taken
        self.last_progress = now
        return True

    # What the connection reports.

    def writing_paused(self) -> None:
        """The transport holds enough: from now on the queue fills."""
        self._paused = True

    def writing_resumed(self) -> None:
        """The transport has room again."""
        self._paused = False
        if self._queue:
            self._drain()
            self._backlog_changed()
        if self._closing and not self._queue:
            # Later: asyncio looks whether it is closing right after this, and would lose the connection twice.
            asyncio.get_running_loop().call_soon(self._transport.close)

    def lost(self) -> None:
        """The connection is no more: forget what waits."""
        self._closing = True
        self._queue.clear()
        self._backlog_changed()

    def _enqueue(self, chunk: bytes, records: int) -> None:
        began = not self._queue
        lost = self._queue.chunks_dropped
        self._queue.push(chunk, records)
        if not self._paused:
            self._drain()
        if self._queue.chunks_dropped > lost and not self._losing:
            self._losing = True
            _log_losses.warning("%s does not read fast enough: it loses its oldest records", self)
        if began and self._queue:
            self._backlog_changed()

    def _drain(self) -> None:
        """Hand over what waits, in few writes, until the transport has enough (it then calls writing_paused)."""
        while self._queue and not self._paused and not self._transport.is_closing():
            pieces, records = self._queue.take(TRANSPORT_BUFFER_LIMIT)
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self.records_sent += records
            self.bytes_sent += len(data)
            self._transport.write(data)
        if not self._queue:
            self._losing = False

    def _backlog_changed(self) -> None:
        if self.watcher is not None:
            self.watcher.backlog_changed(self)


def _unread_in_kernel(transport: asyncio.Transport) -> int:
    """Bytes of a socket that the kernel took but the peer did not (SIOCOUTQ); 0 where that is not known."""
    sock = transport.get_extra_info("socket")
    if sock is None or not sys.platform.startswith("linux"):
        return 0
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):  # a socket that is being closed
        return 0
    return int(struct.unpack("i", answer)[0])
