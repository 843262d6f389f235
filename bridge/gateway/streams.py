"""Streams: calls that last as long as a function context does, and talk both ways.

Writing never waits for a client: each stream has a bounded queue, and a client that does not read
loses the oldest messages. Must not know what the messages say.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Generic, Protocol, TypeVar

from grpc import aio

from bridge.gateway.allowance import Allowance
from bridge.gateway.contexts import Context
from bridge.gateway.core import Call
from bridge.gateway.errors import CallError, WrongState
from bridge.gateway.sessions import Session
from bridge.gateway.states import State
from bridge.limits import READ_PAUSE, STREAM_QUEUE_LIMIT, STREAM_QUEUE_SIZE

_log = logging.getLogger(__name__)


class _Sized(Protocol):
    def ByteSize(self) -> int:  # noqa: N802 - protobuf's name
        """Its size as it is sent."""


Message = TypeVar("Message", bound=_Sized)


class Stream(Generic[Message]):
    """One streaming call, as the gateway talks on it. Made and used on the event loop's thread."""

    def __init__(self, call: Call, limit: int = STREAM_QUEUE_LIMIT, size_limit: int = STREAM_QUEUE_SIZE) -> None:
        """`limit` is how many messages wait for the client, `size_limit` how many bytes of them."""
        self.dropped = 0  #: messages lost because the client did not read
        self._call = call
        self._limit = limit
        self._size_limit = size_limit
        self._waiting: deque[Message] = deque()
        self._size = 0  # of those that wait
        self._news = asyncio.Event()
        self._end: asyncio.Future[CallError | None] = asyncio.get_running_loop().create_future()

    def put(self, message: Message) -> None:
        """Send a message when the client takes it."""
        size = message.ByteSize()
        while self._waiting and (len(self._waiting) >= self._limit or self._size + size > self._size_limit):
            self._take()
            self.dropped += 1
        self._waiting.append(message)
        self._size += size
        self._news.set()

    def _take(self) -> Message:
        message = self._waiting.popleft()
        self._size -= message.ByteSize()
        return message

    def end(self, error: CallError | None = None) -> None:
        """End the call: well, or with an error. Only the first end counts."""
        if not self._end.done():
            self._end.set_result(error)

    async def run(self, receive: Callable[[Any], None] | None = None, allowance: Allowance | None = None) -> None:
        """Talk until the client closes its side or end() is called.

        Args:
            receive: gets each message of the client's; None where it sends but one request. What it
                raises ends the call.
            allowance: how many messages are read; the client waits with what is more.

        Raises:
            CallError: from end(), or from `receive`.
        """
        # Metadata that the first message sent along would still be on their way when that message is given up,
        # and gRPC could then send no status.
        await self._call.send_initial_metadata(())
        loop = asyncio.get_running_loop()
        talking: set[asyncio.Future[Any]] = {self._end, loop.create_task(self._write())}
        if receive is not None:
            talking.add(loop.create_task(self._read(receive, allowance)))
        try:
            done, _ = await asyncio.wait(talking, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                if error := each.result():
                    raise error
        finally:
            for each in talking:
                each.cancel()
            await asyncio.gather(*talking, return_exceptions=True)
            if self.dropped:
                _log.warning("%d messages of a stream were lost because its client did not read", self.dropped)

    async def _read(self, receive: Callable[[Any], None], allowance: Allowance | None) -> None:
        loop = asyncio.get_running_loop()
        while (message := await self._call.read()) is not aio.EOF:
            while allowance is not None and not allowance.take(loop.time()):  # noqa: ASYNC110 - time has no event
                await asyncio.sleep(READ_PAUSE)
            receive(message)

    async def _write(self) -> None:
        while True:
            while self._waiting:
                await self._call.write(self._take())
            self._news.clear()
            await self._news.wait()


class ContextStream(Stream[Message]):
    """A stream of a function context: it ends with it, and counts for its session. `async with` it."""

    def __init__(self, call: Call, session: Session, context: Context) -> None:
        super().__init__(call)
        self._session = session
        self._context = context
        self._open = ExitStack()

    async def __aenter__(self) -> ContextStream[Message]:
        """Raises Exhausted where the session has too many streams open."""
        self._open.enter_context(self._session.room.stream())
        self._open.enter_context(self._context.held())
        self._open.callback(self._context.when_ended(self._context_ended))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open.close()

    def _context_ended(self, context: Context) -> None:
        if context.state is State.FINISHED:
            self.end()
        else:
            self.end(WrongState(f"the session has ended: it is {context.state.value}"))
