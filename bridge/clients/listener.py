"""Listener: the one interface of every way that apps connect, and what all of them share.

A listener makes a Client of each connection and reports it to a ClientHandler. It must not know
what clients say, nor what their grants mean.
"""

from __future__ import annotations

import abc
import asyncio
import itertools
import logging
import time
from collections.abc import Callable
from typing import TypedDict

from bridge.clients.client import Client, ClientHandler
from bridge.clients.queue import OutputQueue
from bridge.errors import ConfigurationError
from bridge.limits import CLIENT_QUEUE_LIMIT, CLIENTS_LIMIT, CLOSE_GRACE, READ_SIZE
from bridge.openxc.messages import PayloadFormat
from bridge.seldom import SeldomLog

_log = logging.getLogger(__name__)


_client_ids = itertools.count(1)


class ListenError(ConfigurationError):
    """A listener can't be opened: in use, not permitted, not there. The text says what to do."""


class ClientPlaces:
    """How many clients there may be at once, over all listeners that share this object."""

    def __init__(self, limit: int = CLIENTS_LIMIT, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.taken = 0
        self.refused = 0
        self._log = SeldomLog(_log, clock)

    def take(self, peer: str) -> bool:
        """Take a place for `peer`, or count and log (once a second at most) that there is none."""
        if self.taken < self.limit:
            self.taken += 1
            return True
        self.refused += 1
        self._log.warning("refused %s: %d clients are connected already", peer, self.limit)
        return False

    def give_back(self) -> None:
        """A client has gone."""
        self.taken -= 1


class ListenerOptions(TypedDict, total=False):
    """What every listener may be given; see Listener.__init__."""

    grants: object
    payload_format: PayloadFormat
    places: ClientPlaces | None
    queue_limit: int


class Listener(abc.ABC):
    """One place where apps connect. Methods belong to the event loop's thread."""

    def __init__(
        self,
        *,
        grants: object = None,
        payload_format: PayloadFormat = PayloadFormat.JSON,
        places: ClientPlaces | None = None,
        queue_limit: int = CLIENT_QUEUE_LIMIT,
    ) -> None:
        self.grants = grants  #: handed to each client, opaque here
        self.payload_format = payload_format  #: what each client begins with
        self._queue_limit = queue_limit  # bytes that may wait for each client
        self._places = ClientPlaces() if places is None else places
        self._handler: ClientHandler | None = None
        self._clients: dict[int, Client] = {}
        self._all_gone = asyncio.Event()
        self._all_gone.set()

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """Where apps connect, as in --listen; after open() the real one (a port 0 is the port chosen)."""

    @property
    def clients(self) -> tuple[Client, ...]:
        """Those connected through this listener."""
        return tuple(self._clients.values())

    def describe(self) -> str:
        """One line for people: where, and in which payload format."""
        return f"{self.url} ({self.payload_format.value})"

    async def open(self, handler: ClientHandler) -> None:
        """Let apps connect. Raises ListenError, with nothing left behind, where that cannot be."""
        self._handler = handler
        await self._open()

    async def close(self) -> None:
        """Let nobody in, close the clients and remove what open() made. Closing twice is fine.

        Clients get what already waits for them, as long as they take it within CLOSE_GRACE.
        """
        self._stop()
        for client in self.clients:
            client.close()
        try:
            await asyncio.wait_for(self._all_gone.wait(), CLOSE_GRACE)
        except TimeoutError:
            for client in self.clients:
                client.abort()
            await self._all_gone.wait()
        self._remove()

    @abc.abstractmethod
    async def _open(self) -> None:
        """Begin to listen."""

    @abc.abstractmethod
    def _stop(self) -> None:
        """Let nobody in any more. The clients that are there still live."""

    def _remove(self) -> None:
        """Remove links and descriptors once all clients are gone."""
        return

    def _peer_name(self, transport: asyncio.BaseTransport) -> str:
        """What to call the peer in logs."""
        return self.url

    # What connections report.

    def admit(self, transport: asyncio.Transport) -> Client | None:
        """Make a client of a new connection, or None where there is no place for one more."""
        peer = self._peer_name(transport)
        if not self._places.take(peer):
            return None
        client = Client(
            next(_client_ids),
            peer,
            transport,
            payload_format=self.payload_format,
            grants=self.grants,
            queue=OutputQueue(self._queue_limit),
        )
        self._clients[client.id] = client
        self._all_gone.clear()
        if self._handler is not None:
            self._handler.client_connected(client)
        return client

    def received(self, client: Client, data: bytes) -> None:
        """Hand a client's bytes on, unless it is being closed."""
        client.bytes_received += len(data)
        if self._handler is not None and not client.closing:
            self._handler.client_data(client, data)

    def gone(self, client: Client) -> None:
        """Forget a client whose connection is no more."""
        client.lost()
        del self._clients[client.id]
        self._places.give_back()
        try:
            if self._handler is not None:
                self._handler.client_gone(client)
        finally:
            if not self._clients:
                self._all_gone.set()


class Connection(asyncio.BufferedProtocol):
    """Between a transport (asyncio's or an FdTransport) and its Client.

    It brings its own buffer, READ_SIZE large: what one client sends holds up the others for no
    longer than the handling of so many bytes takes.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._transport: asyncio.Transport | None = None
        self._client: Client | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A new connection: a client, or closed at once where there are too many."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(f"a client needs a transport that reads and writes, not {transport!r}")
        self._transport = transport
        self._client = self._listener.admit(transport)
        if self._client is None:
            transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the transport puts what it reads."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes of the app are there."""
        if self._client is not None:
            self._listener.received(self._client, bytes(self._buffer[:nbytes]))

    def eof_received(self) -> None:
        """The app has closed, or closed its half: those look the same until one writes, so it is gone."""
        if self._client is not None and self._client.waiting:
            self._client.abort()  # asyncio's own close would wait for it to read, perhaps for ever

    def pause_writing(self) -> None:
        """The transport holds enough."""
        if self._client is not None:
            self._client.writing_paused()

    def resume_writing(self) -> None:
        """The transport has room again."""
        if self._client is not None:
            self._client.writing_resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is no more."""
        if self._client is not None:
            client, self._client = self._client, None
            self._listener.gone(client)
