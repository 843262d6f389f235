"""Channels of an openOBD session on the bridge's buses: ISO-TP and raw frames, each write by permission.

One conversation is what one stream says about its channels; several may be on one stream, told
apart by the channel that each message repeats. A channel is opened by the first message that names
it; one with an empty payload opens it and puts nothing on the bus. Must not know gRPC's calls.

Sources: openOBD's protocol comments (channels, padding, extended addressing), ISO 15765-2, ISO
14229-2 (S3client).
"""

from __future__ import annotations

import abc
import asyncio
import logging
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Generic, Protocol, TypeVar

from bridge.buses.bus import Bus, IsotpChannel, IsotpLayout, Padding, RawChannel
from bridge.diagnostics.addressing import is_functional, physical_id
from bridge.errors import BusError
from bridge.frames import EXTENDED_ID_MAX, FD_LENGTHS, STANDARD_ID_MAX, Frame, FrameBatch
from bridge.gateway.errors import CallError, Exhausted, InvalidCall, NotFound, Unavailable, WrongState
from bridge.gateway.hearers import Hearers
from bridge.gateway.sessions import Session
from bridge.gateway.vehicle import Vehicle
from bridge.limits import (
    PAYLOAD_LIMIT,
    SESSION_CHANNELS_LISTED,
    SINGLE_FRAME_LIMIT,
    STREAM_CHANNELS_LIMIT,
    TESTER_PRESENT_PERIOD,
)
from bridge.openobd import messages, payload
from bridge.openobd.messages import ConfiguredChannel, IsotpMessage, KeepAlive, RawFrame
from bridge.policy import check_channel, check_payload, check_raw

_log = logging.getLogger(__name__)

_TESTER_PRESENT = b"\x3e\x80"  # without a positive response
_CLASSIC_LENGTH = 8

#: What is sent, by the protocol's names. What ECUs send is taken either way.
_PADDING = {
    messages.Padding.PADDING_UNDEFINED: Padding.PADDED,
    messages.Padding.PADDING_ENABLED: Padding.PADDED,
    messages.Padding.PADDING_DETECTION: Padding.DETECTED,
    messages.Padding.PADDING_DISABLED: Padding.UNPADDED,
    messages.Padding.PADDING_SET_FROM_ECU: Padding.UNPADDED,
    messages.Padding.PADDING_SET_TOWARDS_ECU: Padding.PADDED,
}

Message = TypeVar("Message", IsotpMessage, RawFrame)


class _Channel(Protocol):
    """One channel of a conversation."""

    def send(self, data: bytes) -> None:
        """Put data on the bus. Raises CallError, BusError or WriteRefusedError."""

    def close(self) -> None:
        """Leave the bus."""


class Conversation(abc.ABC, Generic[Message]):
    """All channels of one stream."""

    def __init__(
        self,
        vehicle: Vehicle,
        session: Session,
        hearers: Hearers,
        put: Callable[[Message], None],
        measured: Callable[[int, float], None],
    ) -> None:
        """`put` gets what is heard, `measured` a bus number and the seconds from a request to the first answer."""
        self._vehicle = vehicle
        self._session = session
        self._put: Callable[[Message], None] = put
        self._measured = measured
        self._hearers = hearers
        self._channels: dict[bytes, _Channel] = {}
        self._listings: list[ConfiguredChannel] = []
        self._buses: set[int] = set()
        self._hearing = ExitStack()

    def receive(self, message: Message) -> None:
        """What the client says: open a channel, or send something on it.

        Raises:
            CallError: it makes no sense, or there are too many channels.
            WriteRefusedError: policy refuses it.
            BusError: the bus does not take it.
        """
        message.DiscardUnknownFields()  # of any size, and of no meaning here
        key = message.channel.SerializeToString(deterministic=True)
        channel = self._channels.get(key)
        if channel is None:
            if len(self._channels) >= STREAM_CHANNELS_LIMIT:
                raise Exhausted(f"{STREAM_CHANNELS_LIMIT} channels are the most on one stream")
            opening = type(message)(channel=message.channel)  # to keep, without what else came in the message
            channel = self._channels[key] = self._admit(opening)
            self._listings.append(self._listed(opening))
            self._list(self._listings[-1])
        if message.payload:
            try:
                data = payload.decode(message.payload)
            except ValueError as error:
                raise InvalidCall(str(error)) from None
            channel.send(data)

    def _admit(self, message: Message) -> _Channel:
        """The channel that a message names, opened and counted."""
        bus = self._bus(message.channel.bus_name)
        heard = self._heard_id(message)
        with ExitStack() as opened:
            if heard is not None:
                opened.enter_context(self._hearers.hear(self._session, bus.number, heard))
            channel = self._open(bus, message)
            self._hearing.push(opened.pop_all())
        return channel

    def close(self) -> None:
        """Leave all channels."""
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()
        self._hearing.close()

    def lost(self, bus: int, reason: str) -> CallError | None:
        """The error that ends the stream when a bus has gone; None where it is not on that bus."""
        return Unavailable(f"bus {bus} is {reason}") if bus in self._buses else None

    def reconfigured(self) -> CallError | None:
        """The session's buses were configured anew: the error that ends the stream where one of its own has gone.

        Else its channels go on, and are listed again.
        """
        if gone := self._buses - set(self._session.buses.values()):
            return WrongState(f"the session was configured without bus {min(gone)}")
        for listed in self._listings:
            self._list(listed)
        return None

    def _list(self, listed: ConfiguredChannel) -> None:
        if len(self._session.channels) < SESSION_CHANNELS_LISTED:
            self._session.channels[listed.SerializeToString(deterministic=True)] = listed

    @abc.abstractmethod
    def _open(self, bus: Bus, message: Message) -> _Channel:
        """The channel that a message names, opened."""

    @abc.abstractmethod
    def _heard_id(self, message: Message) -> int | None:
        """The arbitration id that the channel hears."""

    @abc.abstractmethod
    def _listed(self, message: Message) -> ConfiguredChannel:
        """The channel as getConfiguration tells it."""

    def _bus(self, name: str) -> Bus:
        number = self._session.buses.get(name)
        if number is None:
            known = ", ".join(repr(each) for each in self._session.buses) or "none yet"
            raise NotFound(f"the session has no CAN bus {name!r}; configureBus has given it {known}")
        self._buses.add(number)
        return self._vehicle.buses[number]


class IsotpConversation(Conversation[IsotpMessage]):
    """ISO-TP channels: whole payloads. Everything that is received is handed on, pending responses included."""

    def _open(self, bus: Bus, message: IsotpMessage) -> _Channel:
        channel = message.channel
        put = self._put

        def heard(data: bytes) -> None:
            put(IsotpMessage(channel=channel, payload=payload.encode(data)))

        return _IsotpChannel(self._vehicle, bus, channel, heard, self._measured)

    def _heard_id(self, message: IsotpMessage) -> int:
        return int(message.channel.response_id)

    def _listed(self, message: IsotpMessage) -> ConfiguredChannel:
        return ConfiguredChannel(isotp_channel=message.channel)


class RawConversation(Conversation[RawFrame]):
    """Raw frames: the data of one id received, of one id sent, or both."""

    def _open(self, bus: Bus, message: RawFrame) -> _Channel:
        channel = message.channel
        put = self._put

        def heard(data: bytes) -> None:
            put(RawFrame(channel=channel, payload=payload.encode(data)))

        return _RawChannel(self._vehicle, bus, channel, heard)

    def _heard_id(self, message: RawFrame) -> int | None:
        return message.channel.response_id if message.channel.HasField("response_id") else None

    def _listed(self, message: RawFrame) -> ConfiguredChannel:
        return ConfiguredChannel(raw_channel=message.channel)


class _IsotpChannel:
    """One pair of ids. A functional request id is only sent on; flow control goes to the ECU that answers."""

    def __init__(
        self,
        vehicle: Vehicle,
        bus: Bus,
        channel: messages.IsotpChannel,
        heard: Callable[[bytes], None],
        measured: Callable[[int, float], None],
    ) -> None:
        self._vehicle = vehicle
        self._bus = bus
        self._id = channel.request_id
        self._extended = max(channel.request_id, channel.response_id) > STANDARD_ID_MAX
        self._heard = heard
        self._measured = measured
        self._loop = asyncio.get_running_loop()
        self._asked_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._keep_alive = channel.keep_alive == KeepAlive.KEEP_ALIVE_ENABLED
        self._opened: list[IsotpChannel] = []
        self._layout = _layout(channel)
        rules = vehicle.rules(bus.number)
        self._functional = is_functional(channel.request_id)
        peer = physical_id(channel.response_id) if self._functional else channel.request_id
        for request_id in (self._id, peer):
            check_channel(vehicle.grants, rules, request_id, self._extended, address=self._layout.request_address)
        try:
            self._sender = self._join(peer, channel.response_id)
            if self._functional:
                self._sender = self._join(channel.request_id, None)
        except BusError as error:
            self.close()
            raise InvalidCall(str(error)) from error

    def _join(self, request_id: int, response_id: int | None) -> IsotpChannel:
        opened = self._bus.open_isotp(
            request_id,
            response_id,
            extended=self._extended,
            receiver=self._receive,
            failure=partial(_log.debug, "0x%x: %s", self._id),
            layout=self._layout,
        )
        self._opened.append(opened)
        return opened

    def send(self, data: bytes) -> None:
        """One request."""
        if len(data) > PAYLOAD_LIMIT:
            raise InvalidCall(f"an ISO-TP payload has at most {PAYLOAD_LIMIT} bytes, not {len(data)}")
        if self._functional and len(data) > SINGLE_FRAME_LIMIT:
            raise InvalidCall(f"one frame takes at most {SINGLE_FRAME_LIMIT} bytes to all ECUs, not {len(data)}")
        self._check(data)
        self._sender.send(data)
        self._asked_at = self._loop.time()
        if self._keep_alive:
            self._sign_of_life_later()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for opened in self._opened:
            opened.close()

    def _check(self, data: bytes) -> None:
        rules = self._vehicle.rules(self._bus.number)
        address = self._layout.request_address
        check_payload(self._vehicle.grants, rules, self._id, self._extended, data, address=address)

    def _receive(self, data: bytes) -> None:
        if self._asked_at is not None:
            self._measured(self._bus.number, self._loop.time() - self._asked_at)
            self._asked_at = None
        self._heard(data)

    def _sign_of_life_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(TESTER_PRESENT_PERIOD, self._sign_of_life)

    def _sign_of_life(self) -> None:
        self._sign_of_life_later()
        try:
            self._check(_TESTER_PRESENT)
            self._sender.send(_TESTER_PRESENT)
        except (BusError, CallError) as error:
            _log.debug("0x%x: no sign of life: %s", self._id, error)


class _RawChannel:
    """The id that is sent, and the id that is heard."""

    def __init__(
        self, vehicle: Vehicle, bus: Bus, channel: messages.RawChannel, heard: Callable[[bytes], None]
    ) -> None:
        self._vehicle = vehicle
        self._bus = bus
        self._id = channel.request_id if channel.HasField("request_id") else None
        self._listener: RawChannel | None = None
        if self._id is not None and self._id > EXTENDED_ID_MAX:
            raise InvalidCall(f"0x{self._id:x} is no arbitration id")
        if channel.HasField("response_id"):
            try:
                extended = channel.response_id > STANDARD_ID_MAX
                self._listener = bus.open_raw(channel.response_id, extended=extended, receiver=heard)
            except BusError as error:
                raise InvalidCall(str(error)) from error
        elif self._id is None:
            raise InvalidCall("a raw channel needs a request_id to send, a response_id to hear, or both")

    def send(self, data: bytes) -> None:
        """One frame; more than 8 bytes make it CAN FD."""
        if self._id is None:
            raise InvalidCall("this raw channel has no request_id, so nothing can be sent on it")
        if len(data) not in FD_LENGTHS:
            raise InvalidCall(f"no frame has {len(data)} bytes")
        extended = self._id > STANDARD_ID_MAX
        check_raw(self._vehicle.grants, self._vehicle.rules(self._bus.number), self._id, extended, data)
        frame = Frame(id=self._id, data=data, bus=self._bus.number, extended=extended, fd=len(data) > _CLASSIC_LENGTH)
        self._bus.send(FrameBatch.of([frame]))

    def close(self) -> None:
        if self._listener is not None:
            self._listener.close()


def _layout(channel: messages.IsotpChannel) -> IsotpLayout:
    return IsotpLayout(
        channel.extended_request_address if channel.HasField("extended_request_address") else None,
        channel.extended_response_address if channel.HasField("extended_response_address") else None,
        _PADDING.get(channel.padding, Padding.PADDED),
    )
