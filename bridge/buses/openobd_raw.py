"""Raw frames of a remote session: streams that hear ids, and streams that send them.

openOBD knows no way to hear everything, so each id that is of use is asked for. As its own clients
do, an id has a stream to itself; when there are many, they share streams, told apart by the channel
that each frame repeats. Hearing an id puts nothing on the bus.

Must not know sessions or gRPC.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Protocol

from bridge.errors import BusError
from bridge.limits import (
    BUS_REOPEN_DELAY,
    RECONNECT_MOST,
    REMOTE_FLUSH_TIMEOUT,
    REMOTE_FRAMES_WAITING,
    REMOTE_HEARING_STREAMS,
    REMOTE_SENDING_STREAMS,
    STREAM_CHANNELS_LIMIT,
)
from bridge.openobd import payload
from bridge.openobd.messages import RawChannel, RawFrame
from bridge.seldom import SeldomLog

_log = logging.getLogger(__name__)

CLASSIC_DATA_LIMIT = 8


class RawStream(Protocol):
    """A stream, as it is used here."""

    @property
    def waiting(self) -> Iterable[RawFrame]:
        """Messages that have not left."""

    def put(self, message: RawFrame) -> None:
        """Send a message. Raises BusError."""

    def retire(self) -> None:
        """Send what waits, then nothing more."""

    def close(self) -> None:
        """End it at once."""


#: Opens a stream that calls back with what it hears, with the reason when it ends, and with what has left.
StreamOpener = Callable[[Callable[[RawFrame], None], Callable[[str], None], Callable[[RawFrame], None]], RawStream]


class _Group:
    """A stream and its ids."""

    def __init__(self) -> None:
        self.stream: RawStream | None = None
        self.ids: set[int] = set()


class RemoteHearing:
    """Hears the ids that are wanted, and asks again for those whose stream has ended."""

    def __init__(
        self, bus_name: str, open_stream: StreamOpener, heard: Callable[[int, bytes], None], name: str
    ) -> None:
        """`heard` gets the id and the data of each frame; `name` is the bus's, for logs."""
        self._bus_name = bus_name
        self._open_stream = open_stream
        self._heard = heard
        self._name = name
        self._wanted: frozenset[int] = frozenset()
        self._groups: list[_Group] = []
        self._running = False
        self._again: asyncio.TimerHandle | None = None
        self._delay = BUS_REOPEN_DELAY  # s, to the next time
        self._reason = ""  # that was last told
        self._nonsense = SeldomLog(_log)

    def want(self, ids: frozenset[int]) -> None:
        """Hear these ids from now on, as long as it runs."""
        self._wanted = ids
        if self._running:
            self._ask()

    def start(self) -> None:
        """There is a connection."""
        self._running = True
        self._delay = BUS_REOPEN_DELAY
        self._ask()

    def stop(self) -> None:
        """There is none any more: all streams have ended."""
        self._running = False
        if self._again is not None:
            self._again.cancel()
            self._again = None
        for group in self._groups:
            _close(group)
        self._groups.clear()

    def _ask(self) -> None:
        """Let go of streams with no wanted id, and ask for those that are wanted and not heard."""
        for group in list(self._groups):
            if self._wanted.isdisjoint(group.ids):
                self._groups.remove(group)
                _close(group)
        heard = {identifier for group in self._groups for identifier in group.ids}
        missing = sorted(self._wanted - heard)
        for position, identifier in enumerate(missing):
            room = _room(self._groups, REMOTE_HEARING_STREAMS)
            if room is None:
                _log.warning("%s: %d ids are too many, their frames are not heard", self._name, len(missing) - position)
                return
            self._ask_for(room, identifier)

    def _ask_for(self, group: _Group, identifier: int) -> None:
        if group.stream is None:
            group.stream = self._open_stream(
                partial(self._receive, group), partial(self._ended, group), lambda frame: None
            )
        group.ids.add(identifier)
        group.stream.put(RawFrame(channel=RawChannel(bus_name=self._bus_name, response_id=identifier), payload=""))

    def _receive(self, group: _Group, frame: RawFrame) -> None:
        identifier = frame.channel.response_id if len(group.ids) > 1 else next(iter(group.ids))
        if identifier not in self._wanted:
            return
        try:
            data = payload.decode(frame.payload)
        except ValueError as error:
            self._nonsense.warning("%s: a frame of 0x%x makes no sense: %s", self._name, identifier, error)
            return
        if len(data) <= CLASSIC_DATA_LIMIT:
            self._heard(identifier, data)
        else:
            self._nonsense.warning("%s: a frame of 0x%x has %d bytes", self._name, identifier, len(data))

    def _ended(self, group: _Group, reason: str) -> None:
        self._groups.remove(group)
        _close(group)
        if reason != self._reason:
            self._reason = reason
            _log.warning("%s: raw frames of %d ids are not heard: %s", self._name, len(group.ids), reason)
        if self._again is None:
            self._again = asyncio.get_running_loop().call_later(self._delay, self._ask_again)
            self._delay = min(2 * self._delay, RECONNECT_MOST)

    def _ask_again(self) -> None:
        self._again = None
        self._ask()


class RemoteSending:
    """Sends frames: in their order for each id, and each of them once."""

    def __init__(
        self,
        bus_name: str,
        open_stream: StreamOpener,
        sent: Callable[[RawFrame], None],
        unsent: Callable[[int, str], None],
    ) -> None:
        """`sent` gets each frame that has left, `unsent` hears of how many never will, and why."""
        self._bus_name = bus_name
        self._open_stream = open_stream
        self._sent = sent
        self._unsent = unsent
        self._groups: list[_Group] = []
        self._retired: list[_Group] = []
        self._waiting = 0
        self._all_ended = asyncio.Event()

    def check_room(self, count: int) -> None:
        """Whether so many frames more may be sent.

        Raises:
            BusError: too many wait already.
        """
        if self._waiting + count > REMOTE_FRAMES_WAITING:
            raise BusError(f"{self._waiting} frames wait already for the remote vehicle")

    def send(self, identifier: int, data: bytes) -> None:
        """Send a frame of 1 to 8 bytes.

        Raises:
            BusError: there is no connection.
        """
        channel = RawChannel(bus_name=self._bus_name, request_id=identifier)
        known = [group for group in self._groups if identifier in group.ids]
        if known:
            group = known[0]
        else:
            group = self._group_for(identifier)
            self._stream_of(group).put(RawFrame(channel=channel, payload=""))  # opens the channel
        self._stream_of(group).put(RawFrame(channel=channel, payload=payload.encode(data)))
        self._waiting += 1

    async def finish(self) -> None:
        """Let all that waits reach the other side, which says so by ending the streams, in little time."""
        self._all_ended.clear()
        self._groups = [group for group in self._groups if group.stream is not None]
        for group in self._groups:
            self._stream_of(group).retire()
        if self._groups or self._retired:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_ended.wait(), REMOTE_FLUSH_TIMEOUT)

    def stop(self, reason: str) -> None:
        """There is no connection any more."""
        for group in (*self._groups, *self._retired):
            self._ended(group, reason)

    def _group_for(self, identifier: int) -> _Group:
        room = _room(self._groups, REMOTE_SENDING_STREAMS)
        if room is None:  # the stream that was opened first makes room; what waits on it still leaves
            oldest = self._groups.pop(0)
            self._retired.append(oldest)
            self._stream_of(oldest).retire()
            room = _Group()
            self._groups.append(room)
        room.ids.add(identifier)
        return room

    def _stream_of(self, group: _Group) -> RawStream:
        if group.stream is None:
            group.stream = self._open_stream(lambda frame: None, partial(self._ended, group), self._left)
        return group.stream

    def _left(self, message: RawFrame) -> None:
        if message.payload:
            self._waiting -= 1
            self._sent(message)

    def _ended(self, group: _Group, reason: str) -> None:
        for groups in (self._groups, self._retired):
            if group in groups:
                groups.remove(group)
        lost = 0 if group.stream is None else sum(bool(message.payload) for message in group.stream.waiting)
        _close(group)
        if lost:
            self._waiting -= lost
            self._unsent(lost, reason)
        if not (self._groups or self._retired):
            self._all_ended.set()


def _room(groups: list[_Group], streams: int) -> _Group | None:
    """The stream for one more id: a new one, else that with the fewest ids; None where all are full."""
    if len(groups) < streams:
        groups.append(_Group())
        return groups[-1]
    fewest = min(groups, key=lambda group: len(group.ids))
    return fewest if len(fewest.ids) < STREAM_CHANNELS_LIMIT else None


def _close(group: _Group) -> None:
    stream, group.stream = group.stream, None
    if stream is not None:
        stream.close()
