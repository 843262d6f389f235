"""The simulated vehicle's values as CAN frames, packed where a profile says that they lie.

Sans-I/O: values and a moment go in, a batch of the frames that are due comes out, each message at
its own period, as the control units of a car do it. It must not know how values come about.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from bridge.codec.encoding import UnwritableValueError, extract_field, message_frame, pack_field, raw_value
from bridge.frames import FrameBatch, FrameFlags, pack
from bridge.openxc.messages import Value
from bridge.profile.plan import Message, Plan, Signal

PHASE = 0.003  #: s between the first frames of two messages, so that they don't all come at once
EARLY = 1e-6  #: s by which a frame may be early, so that rounding doesn't make it a turn late

_NOT_DATA = FrameFlags.REMOTE | FrameFlags.ERROR | FrameFlags.OWN


class Sender(enum.Enum):
    """Which control unit sends a message."""

    ENGINE = "engine"
    TRANSMISSION = "transmission"
    BODY = "body"


@dataclass(frozen=True, slots=True)
class Sending:
    """How a message is sent."""

    period: float = 0.1  #: s
    sender: Sender = Sender.BODY
    on_change: bool = False  #: also at once when a value changes; then the period begins anew


#: The demo profile's messages by name; one that is not here is sent as `Sending()` says.
SENDINGS: Mapping[str, Sending] = {
    "SteeringWheel": Sending(0.02),
    "EngineData": Sending(0.01, Sender.ENGINE),
    "BrakePedal": Sending(0.02),
    "VehicleMotion": Sending(0.02),
    "CarState": Sending(0.1, on_change=True),
    "TransmissionData": Sending(0.04, Sender.TRANSMISSION),
    "SteeringWheelButtons": Sending(2.0, on_change=True),
    "Headlamps": Sending(0.2, on_change=True),
    "HighBeam": Sending(0.2, on_change=True),
    "Wipers": Sending(0.2, on_change=True),
    "TurnSignals": Sending(0.1, on_change=True),
    "DoorLocks": Sending(0.2, on_change=True),
    "Doors": Sending(0.1, on_change=True),
    "Fuel": Sending(0.1, Sender.ENGINE),
    "VehicleSpeed": Sending(0.02),
    "Odometer": Sending(0.1),
    "GpsPosition": Sending(1.0),
}


@dataclass(slots=True)
class _Line:
    """One message that is sent, and when next."""

    message: Message
    sending: Sending
    sources: tuple[tuple[Signal, str], ...]  # each signal and the key of its value
    head: tuple[int, int]  # id and flags
    next: float = 0.0
    last: tuple[Value, ...] = field(default=())

    def values(self, values: Mapping[str, Value]) -> tuple[Value, ...]:
        return tuple(values[key] for _, key in self.sources)

    def data(self, values: tuple[Value, ...]) -> bytes:
        """The data bytes; a value that the profile's signal cannot carry leaves its bits zero."""
        data = bytearray(self.message.length)
        for (signal, _), value in zip(self.sources, values, strict=True):
            try:
                pack_field(signal.field, raw_value(signal, value), data)
            except UnwritableValueError:
                continue
        return bytes(data)


class VehicleFrames:
    """The sending and obeying side of one profile's first bus.

    Any profile will do: a signal gets the value that has its key's or its published name. Messages
    without such a signal are not sent, and neither are multiplexed signals.
    """

    def __init__(self, plan: Plan, known: Collection[str], start: float, number: int = 1) -> None:
        """Prepare the messages.

        Args:
            plan: the profile; its first bus counts.
            known: the keys of the values that there will be.
            start: the moment of the first frames, by the clock of `due`.
            number: the bus number of the frames.
        """
        self._number = number
        own = plan.buses[0].number if plan.buses else number
        messages = [message for message in plan.messages if message.bus == own]
        self._lines = [line for message in messages if (line := _line(message, known)) is not None]
        for index, line in enumerate(self._lines):
            line.next = start + index * PHASE % line.sending.period
        self._writable = {
            message.id: signals
            for message in messages
            if (signals := tuple(signal for signal in message.signals if signal.writable))
        }

    @property
    def messages(self) -> tuple[Message, ...]:
        """What is sent."""
        return tuple(line.message for line in self._lines)

    @property
    def rate(self) -> float:
        """Frames a second while no value changes."""
        return sum(1 / line.sending.period for line in self._lines)

    def due(self, now: float, values: Mapping[str, Value], silent: Collection[Sender] = ()) -> FrameBatch:
        """The frames to send at a moment; what was missed is not made up for.

        Args:
            now: seconds, by any monotonic clock.
            values: by key.
            silent: control units that were told not to send.
        """
        records = []
        for line in self._lines:
            is_due = line.next <= now + EARLY
            if not (is_due or line.sending.on_change) or line.sending.sender in silent:
                continue
            current = line.values(values)
            if not is_due and current == line.last:
                continue
            changed, line.last = current != line.last, current
            period = line.sending.period
            restart = (changed and line.sending.on_change) or now - line.next > period
            line.next = (now if restart else line.next) + period
            identifier, flags = line.head
            records.append(pack(0.0, identifier, self._number, flags, line.data(current)))
        return FrameBatch(b"".join(records))

    def commands(self, batch: FrameBatch) -> Iterator[tuple[str, Value]]:
        """What frames from outside want: the key and the new value of each writable signal in them."""
        for _, identifier, _, flags, length, data in batch.records():
            signals = self._writable.get(identifier)
            if signals is None or flags & _NOT_DATA:
                continue
            for signal in signals:
                yield signal.key, bool(extract_field(signal.field, data[:length]))


def _line(message: Message, known: Collection[str]) -> _Line | None:
    sources = []
    for signal in message.signals:
        key = signal.key if signal.key in known else signal.name
        if key in known and not signal.multiplex:
            sources.append((signal, key))
    if not sources:
        return None
    flags = message_frame(message, b"").all_flags()
    return _Line(message, SENDINGS.get(message.name, Sending()), tuple(sources), (message.id, flags))
