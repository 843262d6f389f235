"""ISO-TP channels over a bus of frames (ISO 15765-2), on the event loop, without threads.

can-isotp's state machines do the protocol. This module hands them the frames that are theirs,
wakes them by timers only while a transfer runs, and reports to whoever opened the channel. It
must not know what kind of bus carries the frames, nor what the payloads mean.

A pair of ids is one link, however many channels are open on it: they share its state machine,
so that one flow control answers a first frame, and their payloads queue behind each other, as
ISO 15765-2 wants it (one transfer at a time for one address). Links that share only the
response id are independent: both hear it and each sends flow control on its own request id.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import isotp

from bridge.buses.bus import ChannelFailure, ChannelProgress, IsotpChannel, PayloadReceiver
from bridge.errors import BusError
from bridge.frames import EXTENDED_ID_MAX, RECORD, RECORD_SIZE, STANDARD_ID_MAX, FrameBatch, FrameFlags, pack
from bridge.limits import (
    CONSECUTIVE_FRAME_TIMEOUT,
    FLOW_CONTROL_TIMEOUT,
    PAYLOAD_LIMIT,
    SINGLE_FRAME_LIMIT,
    WAIT_FRAMES_LIMIT,
    WAITING_LIMIT,
)

_FRAME_LENGTH = 8
_PADDING = b"\x00"
_NOT_FROM_A_PEER: Final = int(FrameFlags.REMOTE | FrameFlags.ERROR | FrameFlags.OWN)
_EXTENDED: Final = int(FrameFlags.EXTENDED)

_FIRST_FRAME, _CONSECUTIVE_FRAME, _FLOW_CONTROL = 1, 2, 3  # protocol control information, upper four bits
_SHORTEST_FIRST_FRAME = 8  # FF_DL below it had fitted a single frame
_RESERVED_STMIN_MEANS = 0x7F

# The layer's warnings reach the caller as failures; nobody needs them twice.
_LAYER_LOG = "bridge.buses.isotp.layer"
logging.getLogger(_LAYER_LOG).setLevel(logging.CRITICAL)

FrameSender = Callable[[FrameBatch], None]  #: puts frames on the bus; raises BusError


@dataclass(frozen=True, slots=True)
class IsotpTimeouts:
    """Seconds, as ISO 15765-2 gives them."""

    flow_control: float = FLOW_CONTROL_TIMEOUT  #: N_Bs: from a first frame (or the end of a block) to the flow control
    consecutive_frame: float = CONSECUTIVE_FRAME_TIMEOUT  #: N_Cr: from one consecutive frame to the next


class IsotpChannels:
    """All ISO-TP channels of one bus."""

    def __init__(
        self,
        send: FrameSender,
        number: int,
        timeouts: IsotpTimeouts | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Channels that send with `send`; `changed` is called after each change of `heard_ids`."""
        self.timeouts = timeouts or IsotpTimeouts()  #: of the channels that are opened from now on
        self.heard_ids: frozenset[tuple[int, bool]] = frozenset()  #: (response id, extended) of the open ones
        self._send = send
        self._changed = changed
        self._number = number
        self._links: dict[tuple[int, int, bool], _Link] = {}
        self._listening: dict[tuple[int, bool], list[_Link]] = {}
        self._ids: frozenset[int] = frozenset()

    def __len__(self) -> int:
        """How many pairs of ids have a channel open."""
        return len(self._links)

    def open(
        self,
        request_id: int,
        response_id: int | None,
        *,
        extended: bool,
        receiver: PayloadReceiver,
        failure: ChannelFailure,
        progress: ChannelProgress | None = None,
    ) -> IsotpChannel:
        """A channel as Bus.open_isotp promises it.

        Raises:
            BusError: ids that the format does not have, or that are the same.
        """
        _check_id(request_id, extended)
        if response_id is None:
            return _FunctionalChannel(self._send, self._number, request_id, extended)
        _check_id(response_id, extended)
        if request_id == response_id:
            raise BusError(f"an ISO-TP channel needs two ids, not 0x{request_id:x} twice")
        key = (request_id, response_id, extended)
        link = self._links.get(key)
        if link is None:
            link = _Link(self._send, self._number, key, self.timeouts, self._forget)
            self._links[key] = link
            self._listening.setdefault((response_id, extended), []).append(link)
            self._note_ids()
        return link.join(receiver, failure, progress)

    def feed(self, batch: FrameBatch) -> None:
        """Give the channels what is theirs of frames that were received.

        Remote and error frames are not ISO-TP, and neither is what this bridge sent itself.
        """
        if not self._ids:
            return
        identifiers = memoryview(batch.buffer).cast("I")[2 :: RECORD_SIZE // 4].tolist()
        if self._ids.isdisjoint(identifiers):
            return
        heard: dict[_Link, None] = {}
        for position, identifier in enumerate(identifiers):
            if identifier not in self._ids:
                continue
            _, _, _, flags, length, data = RECORD.unpack_from(batch.buffer, position * RECORD_SIZE)
            if flags & _NOT_FROM_A_PEER:
                continue
            for link in self._listening.get((identifier, bool(flags & _EXTENDED)), ()):
                if link.hear(data[:length]):
                    heard[link] = None
        for link in heard:
            link.advance()

    def close_all(self) -> None:
        """Close every channel: their transfers and timers end without a word."""
        for link in list(self._links.values()):
            link.close()

    def _forget(self, link: _Link) -> None:
        self._links.pop(link.key, None)
        _, response_id, extended = link.key
        listeners = self._listening.get((response_id, extended), [])
        if link in listeners:
            listeners.remove(link)
        if not listeners:
            self._listening.pop((response_id, extended), None)
        self._note_ids()

    def _note_ids(self) -> None:
        heard = frozenset(self._listening)
        if heard != self.heard_ids:
            self.heard_ids = heard
            self._ids = frozenset(identifier for identifier, _ in heard)
            self._changed()


def _check_id(identifier: int, extended: bool) -> None:
    if not 0 <= identifier <= (EXTENDED_ID_MAX if extended else STANDARD_ID_MAX):
        raise BusError(f"0x{identifier:x} is not an arbitration id of {29 if extended else 11} bits")


class _FunctionalChannel:
    """Sends single frames to whom it may concern and hears nobody."""

    def __init__(self, send: FrameSender, number: int, request_id: int, extended: bool) -> None:
        self._send = send
        self._number = number
        self._id = request_id
        self._flags = _EXTENDED if extended else 0
        self._open = True

    def send(self, payload: bytes) -> None:
        """One single frame; BusError for more than 7 bytes, which need flow control from one peer."""
        if not self._open:
            raise BusError(f"the ISO-TP channel of 0x{self._id:x} is closed")
        if not 1 <= len(payload) <= SINGLE_FRAME_LIMIT:
            raise BusError(
                f"{len(payload)} bytes to the functional address 0x{self._id:x}; one frame takes 1 to "
                f"{SINGLE_FRAME_LIMIT}"
            )
        data = (bytes([len(payload)]) + payload).ljust(_FRAME_LENGTH, _PADDING)
        self._send(FrameBatch(pack(0.0, self._id, self._number, self._flags, data)))

    def close(self) -> None:
        self._open = False


class _Channel:
    """One opener's part of a link."""

    def __init__(
        self, link: _Link, receiver: PayloadReceiver, failure: ChannelFailure, progress: ChannelProgress | None
    ) -> None:
        self.link: _Link | None = link
        self.receiver = receiver
        self.failure = failure
        self.progress = progress

    def send(self, payload: bytes) -> None:
        if self.link is None:
            raise BusError("the ISO-TP channel is closed")
        self.link.send(self, payload)

    def close(self) -> None:
        if self.link is not None:
            self.link.leave(self)


class _Layer(isotp.TransportLayerLogic):
    """can-isotp's state machines, with its log kept out of the user's."""

    LOGGER_NAME = _LAYER_LOG


class _Link:
    """One pair of ids: can-isotp's state machines and the channels that share them."""

    def __init__(
        self,
        send: FrameSender,
        number: int,
        key: tuple[int, int, bool],
        timeouts: IsotpTimeouts,
        forget: Callable[[_Link], None],
    ) -> None:
        request_id, response_id, extended = self.key = key
        self._send_frames = send
        self._number = number
        self._timeouts = timeouts
        self._forget = forget
        self._channels: list[_Channel] = []
        self._waiting: deque[tuple[_Channel, bytes]] = deque()
        self._sender: _Channel | None = None  # whose payload is under way
        self._frames: deque[isotp.CanMessage] = deque()  # heard, not yet processed
        self._outgoing: list[bytes] = []
        self._failures: list[tuple[_Channel | None, str]] = []  # None means every channel
        self._parts_heard = False
        self._advancing = False
        self._timer: asyncio.TimerHandle | None = None
        mode = isotp.AddressingMode.Normal_29bits if extended else isotp.AddressingMode.Normal_11bits
        self._layer = _Layer(
            rxfn=self._next_frame,
            txfn=self._collect,
            address=isotp.Address(mode, txid=request_id, rxid=response_id),
            error_handler=self._note_error,
            params={
                "stmin": 0,
                "blocksize": 0,
                "tx_padding": _PADDING[0],
                "max_frame_size": PAYLOAD_LIMIT,
                "wftmax": WAIT_FRAMES_LIMIT,
                "rx_flowcontrol_timeout": round(timeouts.flow_control * 1000),
                "rx_consecutive_frame_timeout": round(timeouts.consecutive_frame * 1000),
                "logger_name": _LAYER_LOG,
                # Its validation tries the function out, by default a sleep of a millisecond.
                "wait_func": lambda seconds: None,
            },
        )

    # What the channels ask for.

    def join(
        self, receiver: PayloadReceiver, failure: ChannelFailure, progress: ChannelProgress | None
    ) -> IsotpChannel:
        channel = _Channel(self, receiver, failure, progress)
        self._channels.append(channel)
        return channel

    def leave(self, channel: _Channel) -> None:
        """Forget a channel and what it was sending; the last one takes the link with it."""
        channel.link = None
        self._channels.remove(channel)
        self._waiting = deque(entry for entry in self._waiting if entry[0] is not channel)
        if not self._channels:
            self.close()
        elif self._sender is channel:
            self._layer.stop_sending()
            self._layer.clear_tx_queue()
            self._sender = None
            self.advance()

    def close(self) -> None:
        for channel in self._channels:
            channel.link = None
        self._channels.clear()
        self._reset()
        self._stop_timer()
        self._forget(self)

    def send(self, channel: _Channel, payload: bytes) -> None:
        """Send now, or behind the transfer that is under way.

        Raises:
            BusError: an impossible length, too many payloads waiting, or a bus that takes no frames.
        """
        request_id = self.key[0]
        if not 1 <= len(payload) <= PAYLOAD_LIMIT:
            raise BusError(f"an ISO-TP payload has 1 to {PAYLOAD_LIMIT} bytes, not {len(payload)}")
        if len(self._waiting) >= WAITING_LIMIT:
            raise BusError(f"{WAITING_LIMIT} payloads wait already to be sent on 0x{request_id:x}")
        self._waiting.append((channel, bytes(payload)))
        if self._advancing or self._sender is not None:
            return
        try:
            self._advance()
        except BusError as error:
            self._give_up(str(error), told=channel)
            raise

    # What the bus and the clock say.

    def hear(self, data: bytes) -> bool:
        """Queue one frame's data; False for what ISO 15765-2 wants ignored."""
        kind = data[0] >> 4 if data else -1
        if kind == 0:
            # Length 0 announces a length in the next byte, which only a CAN FD frame may have.
            if data[0] == 0 and len(data) <= _FRAME_LENGTH:
                return False
        elif kind == _FIRST_FRAME:
            if len(data) < _FRAME_LENGTH or 0 < (data[0] & 0xF) << 8 | data[1] < _SHORTEST_FIRST_FRAME:
                return False
            self._parts_heard = True
        elif kind == _CONSECUTIVE_FRAME:
            self._parts_heard = True
        elif kind == _FLOW_CONTROL:
            if len(data) < 3 or not self._layer.transmitting():
                return False
            if 0x80 <= data[2] <= 0xF0 or data[2] >= 0xFA:
                data = data[:2] + bytes([_RESERVED_STMIN_MEANS])
        else:
            return False
        _, response_id, extended = self.key
        self._frames.append(isotp.CanMessage(arbitration_id=response_id, data=data, extended_id=extended))
        return True

    def advance(self) -> None:
        """Let the state machines go on with what was heard, what waits and what the clock says."""
        if self._advancing or not self._channels:
            return
        try:
            self._advance()
        except BusError as error:
            self._give_up(str(error), told=None)

    def _advance(self) -> None:
        self._advancing = True
        try:
            if self._parts_heard:
                self._parts_heard = False
                for channel in list(self._channels):
                    if channel.progress is not None and channel.link is not None:
                        channel.progress()
            more = True
            while more:
                self._start_next_payload()
                self._layer.process()
                self._flush()
                if not self._layer.transmitting():
                    self._sender = None
                self._report()
                more = bool(self._frames) or (self._sender is None and bool(self._waiting))
        finally:
            self._advancing = False
        self._set_timer()

    def _start_next_payload(self) -> None:
        if self._sender is None and self._waiting:
            self._sender, payload = self._waiting.popleft()
            self._layer.send(payload)

    def _flush(self) -> None:
        if self._outgoing:
            frames, self._outgoing = self._outgoing, []
            self._send_frames(FrameBatch(b"".join(frames)))

    def _report(self) -> None:
        """Tell the channels; any of them may send, close or open others in its answer."""
        failures, self._failures = self._failures, []
        for owner, reason in failures:
            for channel in [owner] if owner is not None else list(self._channels):
                if channel.link is not None:
                    channel.failure(reason)
        while (payload := self._layer.recv()) is not None:
            for channel in list(self._channels):
                if channel.link is not None:
                    channel.receiver(bytes(payload))

    def _give_up(self, reason: str, told: _Channel | None) -> None:
        """The bus takes no frames: nothing that was under way can end well."""
        owners = list(dict.fromkeys(owner for owner, _ in self._waiting))
        if self._layer.is_rx_active():
            owners = list(self._channels)
        elif self._sender is not None and self._sender not in owners:
            owners.append(self._sender)
        self._reset()
        self._stop_timer()
        self._failures = [(owner, reason) for owner in owners if owner is not told]
        self._report()

    def _reset(self) -> None:
        self._layer.reset()
        self._frames.clear()
        self._outgoing.clear()
        self._waiting.clear()
        self._failures.clear()
        self._sender = None

    # Timers: can-isotp's own advice on when to come back is a poll, so its deadlines are read instead.

    def _set_timer(self) -> None:
        self._stop_timer()
        delay = self._next_deadline()
        if delay is not None and self._channels:
            self._timer = asyncio.get_running_loop().call_later(delay, self.advance)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _next_deadline(self) -> float | None:
        layer = self._layer
        margin = 0.001  # a time-out counts as such when it is past, not when it is reached
        delays = []
        if layer.is_tx_transmitting_cf():
            delays.append(layer.next_cf_delay() or 0.0)
        elif layer.transmitting():
            delays.append(layer.timer_rx_fc.remaining() + margin)
        if layer.is_rx_active():
            delays.append(layer.timer_rx_cf.remaining() + margin)
        else:
            layer.timer_rx_cf.stop()  # it runs on after a reception that a single frame cut short
        return min(delays, default=None)

    # What can-isotp calls.

    def _next_frame(self, timeout: float) -> isotp.CanMessage | None:
        return self._frames.popleft() if self._frames else None

    def _collect(self, message: isotp.CanMessage) -> None:
        flags = _EXTENDED if message.is_extended_id else 0
        self._outgoing.append(pack(0.0, message.arbitration_id, self._number, flags, bytes(message.data)))

    def _note_error(self, error: Exception) -> None:
        request_id, response_id, _ = self.key
        if isinstance(error, isotp.UnexpectedConsecutiveFrameError | isotp.UnexpectedFlowControlError):
            return  # another link's transfer, or the rest of one that failed already
        if isinstance(error, isotp.FlowControlTimeoutError):
            reason = f"no flow control from 0x{response_id:x} within {self._timeouts.flow_control * 1000:.0f} ms"
        elif isinstance(error, isotp.OverflowError):
            reason = f"0x{response_id:x} has no room for the payload (flow control says overflow)"
        elif isinstance(error, isotp.MaximumWaitFrameReachedError):
            reason = f"0x{response_id:x} said wait more than {WAIT_FRAMES_LIMIT} times"
        elif isinstance(error, isotp.ConsecutiveFrameTimeoutError):
            reason = (
                f"the answer of 0x{response_id:x} stopped: no consecutive frame within "
                f"{self._timeouts.consecutive_frame * 1000:.0f} ms"
            )
            self._failures.append((None, reason))
            return
        else:
            self._failures.append((None, f"the answer of 0x{response_id:x} is broken: {error}"))
            return
        if self._sender is not None:
            self._failures.append((self._sender, f"sending on 0x{request_id:x}: {reason}"))
