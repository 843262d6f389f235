"""One ISO-TP link: a pair of ids, can-isotp's state machines for them, and the channels that share them.

Any number of channels may be open on a link: one flow control answers a first frame, and their
payloads queue behind each other, as ISO 15765-2 wants it (one transfer at a time for one address).
can-isotp does the protocol. This module hands it the frames, wakes it by timers only while a
transfer runs, and reports to whoever opened the channels. It must not know other links, nor what
kind of bus carries the frames.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, cast

import isotp

from bridge.buses.bus import ChannelFailure, ChannelProgress, IsotpChannel, IsotpLayout, Padding, PayloadReceiver
from bridge.errors import BusError
from bridge.frames import EXTENDED, FrameBatch, pack
from bridge.limits import (
    CONSECUTIVE_FRAME_TIMEOUT,
    FLOW_CONTROL_TIMEOUT,
    PAYLOAD_LIMIT,
    WAIT_FRAMES_LIMIT,
    WAITING_LIMIT,
)

FRAME_LENGTH = 8  #: of a padded frame
PADDING = b"\x00"

# Protocol control information, upper four bits.
_SINGLE_FRAME, _FIRST_FRAME, _CONSECUTIVE_FRAME, _FLOW_CONTROL = 0, 1, 2, 3
_SHORTEST_FIRST_FRAME = 8  # FF_DL below it had fitted a single frame; one less after an address byte
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


class LinkKey(NamedTuple):
    """What makes a link this one."""

    request_id: int
    response_id: int
    extended: bool  #: 29-bit identifiers
    layout: IsotpLayout


def address_byte(address: int | None) -> bytes:
    """What a frame begins with before its protocol control information: one byte or none."""
    return b"" if address is None else bytes([address])


def _address(key: LinkKey) -> isotp.Address:
    """The link's addresses as can-isotp has them, each direction for itself."""
    mode, addressed = (
        (isotp.AddressingMode.Normal_29bits, isotp.AddressingMode.Extended_29bits)
        if key.extended
        else (isotp.AddressingMode.Normal_11bits, isotp.AddressingMode.Extended_11bits)
    )
    request, response = key.layout.request_address, key.layout.response_address
    sending = isotp.Address(
        mode if request is None else addressed, txid=key.request_id, target_address=request, tx_only=True
    )
    hearing = isotp.Address(
        mode if response is None else addressed, rxid=key.response_id, source_address=response, rx_only=True
    )
    # The layer takes both kinds of addresses, its annotation names only one.
    return cast(isotp.Address, isotp.AsymmetricAddress(sending, hearing))


class _Channel:
    """One opener's part of a link."""

    def __init__(
        self, link: Link, receiver: PayloadReceiver, failure: ChannelFailure, progress: ChannelProgress | None
    ) -> None:
        self.link: Link | None = link
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


class Link:
    """The state machines of one pair of ids in one layout, and the channels that share them."""

    def __init__(
        self,
        send: FrameSender,
        number: int,
        key: LinkKey,
        timeouts: IsotpTimeouts,
        forget: Callable[[Link], None],
    ) -> None:
        self.key = key
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
        self._sending_moved = False  # by flow control or a consecutive frame, and its sender does not know yet
        self._advancing = False
        self._timer: asyncio.TimerHandle | None = None
        self._heard_address = address_byte(key.layout.response_address)
        self._sent_kind_at = len(address_byte(key.layout.request_address))
        self._padding_is_doubtful = key.layout.padding is Padding.DETECTED
        self._layer = _Layer(
            rxfn=self._next_frame,
            txfn=self._collect,
            address=_address(key),
            error_handler=self._note_error,
            params={
                "stmin": 0,
                "blocksize": 0,
                "tx_padding": None if key.layout.padding is Padding.UNPADDED else PADDING[0],
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
        """Another channel, as Bus.open_isotp promises it."""
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
        """End all of its channels, without a word to them."""
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
        request_id = self.key.request_id
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
        start = len(self._heard_address)
        if not data.startswith(self._heard_address) or len(data) == start:
            return False
        kind, low = data[start] >> 4, data[start] & 0xF
        if kind == _SINGLE_FRAME:
            # Length 0 announces a length in the next byte, which only a CAN FD frame may have.
            if low >= len(data) - start or (low == 0 and len(data) <= FRAME_LENGTH):
                return False
        elif kind == _FIRST_FRAME:
            if len(data) < FRAME_LENGTH or 0 < low << 8 | data[start + 1] < _SHORTEST_FIRST_FRAME - start:
                return False
            self._parts_heard = True
        elif kind == _CONSECUTIVE_FRAME:
            self._parts_heard = True
        elif kind == _FLOW_CONTROL:
            if len(data) < start + 3 or not self._layer.transmitting():
                return False
            if 0x80 <= data[start + 2] <= 0xF0 or data[start + 2] >= 0xFA:
                data = data[: start + 2] + bytes([_RESERVED_STMIN_MEANS]) + data[start + 3 :]
            self._sending_moved = True
        else:
            return False
        if self._padding_is_doubtful and len(data) < FRAME_LENGTH:
            self._padding_is_doubtful = False
            self._layer.params.set("tx_padding", None)
        self._frames.append(
            isotp.CanMessage(arbitration_id=self.key.response_id, data=data, extended_id=self.key.extended)
        )
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
                self._tell_progress(list(self._channels))
            more = True
            while more:
                self._start_next_payload()
                self._layer.process()
                self._flush()
                if self._sending_moved:
                    self._sending_moved = False
                    self._tell_progress([self._sender] if self._sender is not None else [])
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

    def _tell_progress(self, channels: list[_Channel]) -> None:
        for channel in channels:
            if channel.progress is not None and channel.link is not None:
                channel.progress()

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
        self._sending_moved = False
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
        if message.data[self._sent_kind_at] >> 4 == _CONSECUTIVE_FRAME:
            self._sending_moved = True
        flags = EXTENDED if message.is_extended_id else 0
        self._outgoing.append(pack(0.0, message.arbitration_id, self._number, flags, bytes(message.data)))

    def _note_error(self, error: Exception) -> None:
        request_id, response_id = self.key.request_id, self.key.response_id
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
