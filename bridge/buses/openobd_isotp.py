"""ISO-TP channels of a remote session: one stream per pair of ids, opened when something is first sent.

The other side segments and reassembles, so that whole payloads travel. A stream outlives its
channels for a while: requests one after another use the same. Opening one puts nothing on the bus.

Functional requests (ISO 15765-4) have answers from many ids, and a stream hears one. So before one
is sent, the streams of the ECUs that may answer are opened, as far as somebody listens to them: the
same that physical requests use, on which flow control has the right id. When the other side has
them open, the request leaves on a stream that names the last ECU, for some response id has to be named.

Must not know sessions or gRPC.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from bridge.buses.bus import ChannelFailure, IsotpChannel, IsotpLayout, Padding, PayloadReceiver
from bridge.buses.isotp import check_addressing
from bridge.buses.isotp_link import LinkKey
from bridge.diagnostics.addressing import is_functional, response_ids
from bridge.errors import BusError
from bridge.frames import STANDARD_ID_MAX
from bridge.limits import (
    PAYLOAD_LIMIT,
    REMOTE_ISOTP_STREAMS,
    REMOTE_RESPONDERS,
    REMOTE_STREAM_IDLE,
    SINGLE_FRAME_LIMIT,
    WAITING_LIMIT,
)
from bridge.openobd import messages, payload
from bridge.openobd.messages import IsotpMessage
from bridge.seldom import SeldomLog

_log = logging.getLogger(__name__)

_PADDING = {
    Padding.PADDED: messages.Padding.PADDING_ENABLED,
    Padding.UNPADDED: messages.Padding.PADDING_DISABLED,
    Padding.DETECTED: messages.Padding.PADDING_DETECTION,
}


class IsotpStream(Protocol):
    """A stream, as it is used here."""

    def put(self, message: IsotpMessage) -> None:
        """Send a message. Raises BusError."""

    def close(self) -> None:
        """End it at once."""


#: Opens a stream that calls back with what it hears, and with the reason when it ends. Raises BusError.
StreamOpener = Callable[[Callable[[IsotpMessage], None], Callable[[str], None]], IsotpStream]


#: Calls back when the other side has channels open, or it takes too long to find that out.
Confirmer = Callable[[Sequence[messages.IsotpChannel], Callable[[], None]], None]


class RemoteIsotpChannels:
    """All ISO-TP channels of one remote bus."""

    def __init__(
        self, bus_name: str, open_stream: StreamOpener, confirm: Confirmer, idle: float = REMOTE_STREAM_IDLE
    ) -> None:
        """`bus_name` is the session's name of the bus, `idle` how many seconds a stream outlives its channels."""
        self._bus_name = bus_name
        self._open_stream = open_stream
        self._confirm = confirm
        self._idle = idle
        self._links: dict[LinkKey, _Link] = {}
        self._leaving: dict[_Link, asyncio.TimerHandle] = {}  # without a channel, the first one longest
        self._nonsense = SeldomLog(_log)

    @property
    def streams(self) -> int:
        """How many are open."""
        return sum(link.stream is not None for link in self._links.values())

    def open(
        self,
        request_id: int,
        response_id: int | None,
        *,
        extended: bool,
        receiver: PayloadReceiver,
        failure: ChannelFailure,
        layout: IsotpLayout,
    ) -> IsotpChannel:
        """A channel as Bus.open_isotp promises it.

        Raises:
            BusError: ids that the format does not have, that are the same, or that openOBD cannot
                name; an address that is no byte.
        """
        check_addressing(request_id, response_id, extended, layout)
        for identifier in (request_id, response_id):
            if identifier is not None and extended and identifier <= STANDARD_ID_MAX:
                raise BusError(f"openOBD takes 0x{identifier:x} for an id of 11 bits, it cannot name one of 29")
        if response_id is not None:
            return self._link(LinkKey(request_id, response_id, extended, layout)).join(receiver, failure)
        if not is_functional(request_id):
            raise BusError(f"0x{request_id:x} is no functional address, so its remote channel needs a response id")
        sender = self._link(LinkKey(request_id, response_ids(request_id)[-1], extended, layout))
        return sender.join(lambda answer: None, failure, functional=True)

    def lost(self, reason: str) -> None:
        """The connection is lost: every stream has ended, and every channel has failed."""
        for link in list(self._links.values()):
            self._ended(link, reason)

    def close_all(self) -> None:
        """Close every channel and every stream without a word."""
        for link in list(self._links.values()):
            link.leave_all()
            self._drop(link)

    # What links need

    def stream_of(self, link: _Link) -> IsotpStream:
        """The link's stream, opened where it is not.

        Raises:
            BusError: there are too many in use, or no connection.
        """
        if link.stream is None:
            if self.streams >= REMOTE_ISOTP_STREAMS:
                self._make_room()
            link.stream = self._open_stream(partial(self._heard, link), partial(self._ended, link))
            link.stream.put(link.message(b""))
        return link.stream

    def send_functional(self, link: _Link, data: bytes) -> None:
        """Send a functional request when those who may answer it can be heard.

        Raises:
            BusError: as stream_of() does, or too many requests wait.
        """
        opened = self._open_responders(link.id)
        if len(link.held) >= WAITING_LIMIT:
            raise BusError(f"{WAITING_LIMIT} requests to 0x{link.id:x} wait already")
        stream = self.stream_of(link)
        link.held.append(data)
        if opened:
            link.unconfirmed += 1
            self._confirm([each.named for each in opened], partial(self._confirmed, link, stream))
        elif not link.unconfirmed:
            link.send_held()

    def _open_responders(self, request_id: int) -> list[_Link]:
        """Open the streams of the ECUs that may answer a functional request, if anybody listens to them.

        Returns:
            Those that were not open before.
        """
        responders = response_ids(request_id)
        listened = [
            link
            for link in self._links.values()
            if link.channels and link.key.response_id in responders and not is_functional(link.id)
        ]
        # ISO 15765-4: at most 8 answer. With 29 bits the engine has an address from 0x10 on, the transmission
        # from 0x18 on, and what lies below is rare.
        listened.sort(key=lambda link: link.key.response_id & 0xFF < 0x10)
        opened = [link for link in listened[:REMOTE_RESPONDERS] if link.stream is None]
        for link in opened:
            self.stream_of(link)
        return opened

    def _confirmed(self, link: _Link, stream: IsotpStream) -> None:
        if link.stream is stream:  # else it was lost meanwhile, and what was held with it
            link.unconfirmed -= 1
            if not link.unconfirmed:
                link.send_held()

    def deserted(self, link: _Link) -> None:
        """The last channel of a link was closed."""
        if link.stream is None:
            self._drop(link)
        elif link not in self._leaving:
            self._leaving[link] = asyncio.get_running_loop().call_later(self._idle, self._drop, link)

    # Inside

    def _link(self, key: LinkKey) -> _Link:
        link = self._links.get(key)
        if link is None:
            link = self._links[key] = _Link(self, self._bus_name, key)
        self._stay(link)
        return link

    def _stay(self, link: _Link) -> None:
        timer = self._leaving.pop(link, None)
        if timer is not None:
            timer.cancel()

    def _drop(self, link: _Link) -> None:
        self._stay(link)
        self._links.pop(link.key, None)
        link.end_stream()

    def _make_room(self) -> None:
        if not self._leaving:
            raise BusError(f"{REMOTE_ISOTP_STREAMS} pairs of ids are in use, the most in a remote session")
        self._drop(next(iter(self._leaving)))

    def _heard(self, link: _Link, message: IsotpMessage) -> None:
        """A payload. Channels that hear the same id without a stream of their own get it, too, once."""
        try:
            data = payload.decode(message.payload)
        except ValueError as error:
            self._nonsense.warning("what came for 0x%x makes no sense: %s", link.id, error)
            return
        if not 1 <= len(data) <= PAYLOAD_LIMIT:
            return
        same = [other for other in self._links.values() if other.hears_like(link)]
        first = next((other for other in same if other.stream is not None), link)
        for other in same:
            if other is link or (first is link and other.stream is None):
                other.hand_on(data)

    def _ended(self, link: _Link, reason: str) -> None:
        if link.stream is None:
            return
        link.end_stream()
        if not link.channels:
            self._drop(link)
        link.fail(reason)


class _Link:
    """A pair of ids: its channels, and its stream while there is one."""

    def __init__(self, owner: RemoteIsotpChannels, bus_name: str, key: LinkKey) -> None:
        self.key = key
        self.channels: list[_Channel] = []
        self.stream: IsotpStream | None = None
        self.held: deque[bytes] = deque()  #: functional requests that wait for who may answer them
        self.unconfirmed = 0  #: for how many of them it is not known yet
        self._owner = owner
        self.named = messages.IsotpChannel(
            bus_name=bus_name,
            request_id=key.request_id,
            response_id=key.response_id,
            extended_request_address=key.layout.request_address,
            extended_response_address=key.layout.response_address,
            padding=_PADDING[key.layout.padding],
        )

    @property
    def id(self) -> int:
        """The request id."""
        return self.key.request_id

    def message(self, data: bytes) -> IsotpMessage:
        """A payload on this link."""
        return IsotpMessage(channel=self.named, payload=payload.encode(data))

    def hears_like(self, other: _Link) -> bool:
        """Whether both hear the same ECU."""
        mine, its = self.key, other.key
        return (mine.response_id, mine.extended, mine.layout.response_address) == (
            its.response_id,
            its.extended,
            its.layout.response_address,
        )

    def join(self, receiver: PayloadReceiver, failure: ChannelFailure, *, functional: bool = False) -> IsotpChannel:
        """One more channel."""
        channel = _Channel(self, receiver, failure, functional)
        self.channels.append(channel)
        return channel

    def send(self, data: bytes, *, functional: bool) -> None:
        """One payload."""
        addressed = self.key.layout.request_address is not None
        limit = SINGLE_FRAME_LIMIT - addressed if functional else PAYLOAD_LIMIT
        if not 1 <= len(data) <= limit:
            raise BusError(f"{len(data)} bytes to 0x{self.id:x}; its channel takes 1 to {limit}")
        if functional:
            self._owner.send_functional(self, data)
        else:
            self._owner.stream_of(self).put(self.message(data))

    def send_held(self) -> None:
        """Send the functional requests that waited, in their order."""
        try:
            while self.held and self.stream is not None:
                self.stream.put(self.message(self.held.popleft()))
        except BusError as error:
            self.held.clear()
            self.fail(str(error))

    def end_stream(self) -> None:
        """End the stream, and forget what waits for it."""
        stream, self.stream = self.stream, None
        self.held.clear()
        self.unconfirmed = 0
        if stream is not None:
            stream.close()

    def leave(self, channel: _Channel) -> None:
        """A channel goes."""
        self.channels.remove(channel)
        if not self.channels:
            self._owner.deserted(self)

    def leave_all(self) -> None:
        """All of them go."""
        for channel in self.channels:
            channel.link = None
        self.channels.clear()

    def hand_on(self, data: bytes) -> None:
        """Give a payload to all channels; a receiver may close any of them."""
        for channel in list(self.channels):
            if channel.link is not None:
                channel.receiver(data)

    def fail(self, reason: str) -> None:
        """Tell all channels; they may be closed meanwhile, too."""
        for channel in list(self.channels):
            if channel.link is not None:
                channel.failure(reason)


class _Channel:
    """One opener's part of a link."""

    def __init__(self, link: _Link, receiver: PayloadReceiver, failure: ChannelFailure, functional: bool) -> None:
        self.link: _Link | None = link
        self.receiver = receiver
        self.failure = failure
        self._functional = functional

    def send(self, data: bytes) -> None:
        if self.link is None:
            raise BusError("the ISO-TP channel is closed")
        self.link.send(data, functional=self._functional)

    def close(self) -> None:
        link, self.link = self.link, None
        if link is not None:
            link.leave(self)
