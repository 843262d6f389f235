"""Fans records out: each batch is encoded once per payload format, and all clients share that object.

The hub knows clients and payload formats. It must not know what a record means, where records come
from, or how a client is connected.

Coalescing adapts itself. What is published in one turn of the loop leaves in one write per client,
at the end of that turn. Where writing to all clients takes long (many clients), the next writing
waits a multiple of that time, so that it takes about a tenth of a core; under light load that wait
is long over, and a record leaves at once. A record waits no longer than FLUSH_DELAY_LIMIT, or than
one writing takes where that is more: beyond some hundreds of clients it takes half a core at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from bridge.clients.client import Client
from bridge.limits import CLIENT_STALL_TIMEOUT, FLUSH_DELAY_LEAST, FLUSH_DELAY_LIMIT, FLUSH_REST, FLUSH_SIZE
from bridge.openxc.messages import PayloadFormat

Clock = Callable[[], float]
CallLater = Callable[[float, Callable[[], None]], asyncio.TimerHandle]


class _Audience:
    """The clients of one payload format and what is published for them but not yet written."""

    __slots__ = ("ahead", "chunks", "clients", "records", "size")

    def __init__(self) -> None:
        self.clients: dict[int, Client] = {}
        self.chunks: list[bytes] = []
        self.records: list[int] = []
        self.size = 0
        self.ahead: dict[int, int] = {}  # client id -> how many of the chunks are not, or no longer, for it

    def publish(self, chunk: bytes, records: int) -> None:
        self.chunks.append(chunk)
        self.records.append(records)
        self.size += len(chunk)

    def flush(self) -> None:
        if not self.chunks:
            return
        shared, total = _joined(self.chunks), sum(self.records)
        for client in self.clients.values():
            if client.id in self.ahead:
                self.flush_to(client)
            else:
                client.send_data(shared, total)
        self.chunks = []
        self.records = []
        self.size = 0
        self.ahead.clear()

    def flush_to(self, client: Client) -> None:
        """Write to one client only, ahead of the others."""
        start = self.ahead.get(client.id, 0)
        if start < len(self.chunks):
            self.ahead[client.id] = len(self.chunks)
            client.send_data(_joined(self.chunks[start:]), sum(self.records[start:]))

    def enter(self, client: Client) -> None:
        """Take a client in; it hears what is published from now on."""
        self.clients[client.id] = client
        if self.chunks:
            self.ahead[client.id] = len(self.chunks)

    def leave(self, client: Client) -> None:
        self.clients.pop(client.id, None)
        self.ahead.pop(client.id, None)


def _joined(chunks: list[bytes]) -> bytes:
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class Hub:
    """The connected clients. Made and used on the event loop's thread.

    `clock` (seconds, monotonic) and `call_later` are the loop's own unless a test hands in others.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        call_later: CallLater | None = None,
        stall_timeout: float = CLIENT_STALL_TIMEOUT,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock: Clock = self._loop.time if clock is None else clock
        self._call_later: CallLater = self._call_after_turn if call_later is None else call_later
        self._stall_timeout = stall_timeout
        self._clients: dict[int, Client] = {}
        self._audiences = {payload_format: _Audience() for payload_format in PayloadFormat}
        self._formats: frozenset[PayloadFormat] = frozenset()
        self._flush_handle: asyncio.Handle | None = None
        self._flushed = self._next_flush = float("-inf")
        self._awaited: dict[int, Client] = {}  # backlogged, and not stalled
        self._stalled: dict[int, Client] = {}  # backlogged, and not waited for
        self._waiters: set[asyncio.Future[None]] = set()
        self._stall_timer: asyncio.TimerHandle | None = None

    def _call_after_turn(self, delay: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """A timer that calls at the end of the turn in which it is due: what the turn publishes does not miss it."""
        return self._loop.call_later(delay, self._loop.call_soon, callback)

    # Who is there.

    @property
    def clients(self) -> tuple[Client, ...]:
        """All connected clients, the eldest first."""
        return tuple(self._clients.values())

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def formats(self) -> frozenset[PayloadFormat]:
        """The payload formats that somebody listens in: no other needs to be encoded."""
        return self._formats

    def add(self, client: Client) -> None:
        """Take a client in; it gets what is published from now on."""
        self._clients[client.id] = client
        self._audiences[client.payload_format].enter(client)
        client.watcher = self
        self._count_formats()

    def remove(self, client: Client) -> None:
        """Forget a client. Removing it twice is fine."""
        if self._clients.pop(client.id, None) is None:
            return
        client.watcher = None
        self._audiences[client.payload_format].leave(client)
        self._no_longer_backlogged(client)
        self._count_formats()

    def set_format(self, client: Client, payload_format: PayloadFormat) -> None:
        """Send a client another payload format from now on; what was published before still goes in the old one."""
        if client.id in self._clients and client.payload_format is not payload_format:
            self._audiences[client.payload_format].flush_to(client)
            self._audiences[client.payload_format].leave(client)
            self._audiences[payload_format].enter(client)
        client.payload_format = payload_format
        self._count_formats()

    def _count_formats(self) -> None:
        self._formats = frozenset(name for name, audience in self._audiences.items() if audience.clients)

    # What they get.

    def publish(self, chunks: Mapping[PayloadFormat, bytes], records: int) -> None:
        """Send these records, encoded per payload format, to every client of that format."""
        full = pending = False
        for payload_format, chunk in chunks.items():
            audience = self._audiences[payload_format]
            if chunk and audience.clients:
                audience.publish(chunk, records)
                pending = True
                full = full or audience.size >= FLUSH_SIZE
        if full:
            self.flush()
        elif pending and self._flush_handle is None:
            now = self._clock()
            delay = self._next_flush - now
            # A wait that is half over, and all but over, is not worth a timer: the loop's are good to 1 ms. A bus
            # that gathers frames for a millisecond publishes again only then.
            if delay <= min(FLUSH_DELAY_LEAST, now - self._flushed):
                self._flush_handle = self._loop.call_soon(self.flush)
            else:
                self._flush_handle = self._call_later(delay, self.flush)

    def flush(self) -> None:
        """Write all that is published but not yet written."""
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        began = self._clock()
        for audience in self._audiences.values():
            audience.flush()
        self._flushed = self._clock()
        cost = self._flushed - began
        self._next_flush = self._flushed + min(cost * FLUSH_REST, max(cost, FLUSH_DELAY_LIMIT))

    async def drained(self) -> None:
        """Return when no client has bytes waiting in its queue, stalled ones aside.

        For sources that can wait for their readers. A client that took nothing for the stall
        timeout is stalled, and no longer waited for until it takes something again; that is looked
        at once per time-out, so it may be found out up to one time-out late. The loop gets a turn
        in any case, so that a source which calls this after each batch starves nobody.
        """
        self.flush()
        await asyncio.sleep(0)
        while self._awaited:
            waiter = self._loop.create_future()
            self._waiters.add(waiter)
            self._watch_for_stalls()
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
                if not self._waiters:
                    self._cancel_stall_timer()

    # ClientWatcher: what clients report.

    def response_due(self, client: Client) -> None:
        """What was published earlier goes to this client before its response."""
        self._audiences[client.payload_format].flush_to(client)

    def backlog_changed(self, client: Client) -> None:
        """Keep account of whom drained() waits for."""
        if not client.backlogged:
            self._no_longer_backlogged(client)
            return
        if client.id in self._awaited:
            client.progressed(self._clock())
            return
        # It began to wait, or it stalled and reads again: its time runs from now.
        self._stalled.pop(client.id, None)
        self._awaited[client.id] = client
        now = self._clock()
        if not client.progressed(now):
            client.last_progress = now

    def _no_longer_backlogged(self, client: Client) -> None:
        self._stalled.pop(client.id, None)
        if self._awaited.pop(client.id, None) is not None:
            self._wake()

    def _wake(self) -> None:
        if self._awaited:
            return
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _watch_for_stalls(self) -> None:
        if self._stall_timer is None and self._awaited:
            earliest = min(client.last_progress for client in self._awaited.values()) + self._stall_timeout
            self._stall_timer = self._call_later(max(0.0, earliest - self._clock()), self._look_for_stalls)

    def _cancel_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _look_for_stalls(self) -> None:
        self._stall_timer = None
        now = self._clock()
        for client in list(self._awaited.values()):
            if not client.progressed(now) and now - client.last_progress >= self._stall_timeout:
                del self._awaited[client.id]
                self._stalled[client.id] = client
        self._wake()
        if self._waiters:
            self._watch_for_stalls()
