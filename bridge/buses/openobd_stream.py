"""A stream of a remote session that talks both ways: ISO-TP payloads or raw frames.

Messages leave in their order, each once; what has not left when the stream ends never will. Writing
does not wait. Must not know what the messages say.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from grpc import aio

from bridge.buses.openobd_calls import CallFailed
from bridge.errors import BusError

_log = logging.getLogger(__name__)

Message = TypeVar("Message")


class RemoteStream(Generic[Message]):
    """One stream. Made and used on the event loop's thread."""

    def __init__(
        self,
        call: aio.StreamStreamCall[Message, Message],
        *,
        limit: int,
        tasks: set[asyncio.Task[None]],
        heard: Callable[[Message], None],
        ended: Callable[[str], None],
        written: Callable[[Message], None] = lambda message: None,
    ) -> None:
        """Talk on a call.

        Args:
            call: as the stub gives it.
            limit: messages that may wait to be written.
            tasks: has the stream's tasks while they run, for who waits for all of them.
            heard: gets each message.
            ended: gets the reason when the stream ends by itself, not after close().
            written: gets each message that has left.
        """
        self._call = call
        self._limit = limit
        self._heard = heard
        self._ended = ended
        self._written = written
        self._waiting: deque[Message] = deque()
        self._last = False  #: nothing is written after what waits
        self._closed = False
        self._tasks = tasks
        self._reader = self._run(self._read())
        self._writer: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> Iterable[Message]:
        """The messages that have not left."""
        return self._waiting

    def put(self, message: Message) -> None:
        """Write a message when the connection takes it.

        Raises:
            BusError: too many wait already.
        """
        if len(self._waiting) >= self._limit:
            raise BusError(f"{self._limit} messages wait already to be sent to the remote vehicle")
        self._waiting.append(message)
        self._write_on()

    def retire(self) -> None:
        """Write what waits, then nothing more; what comes until the other side ends it is heard all the same."""
        self._last = True
        self._write_on()

    def close(self) -> None:
        """End it at once, and forget what waits."""
        self._closed = True
        self._waiting.clear()
        self._call.cancel()
        self._reader.cancel()
        if self._writer is not None:
            self._writer.cancel()

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_report_crash)
        return task

    def _write_on(self) -> None:
        if self._writer is None:
            self._writer = self._run(self._write())

    async def _write(self) -> None:
        try:
            # Why a call takes no more is what its reader gets to know, and reports.
            with suppress(aio.AioRpcError, asyncio.InvalidStateError):
                while self._waiting:
                    await self._call.write(self._waiting[0])
                    self._written(self._waiting.popleft())
                if self._last:
                    await self._call.done_writing()
        finally:
            self._writer = None

    async def _read(self) -> None:
        reason = "the other side has ended it"
        try:
            async for message in self._call:
                self._heard(message)
        except aio.AioRpcError as error:
            reason = str(CallFailed("the other side has ended it", error.code(), error.details()))
        # The call may have failed in the turn in which it was closed, and tells of that instead.
        if not self._closed:
            self._ended(reason)


def _report_crash(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        _log.error("a stream of the remote session failed", exc_info=error)
