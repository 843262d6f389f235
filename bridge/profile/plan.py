"""The plan: a profile made ready for the codec, every default resolved and every field checked.

A plan is immutable and holds no state; the codec makes its own. It must not know the
profile's file format: loaders (json_profile, database) produce it, the codec and the
vehicle interface consume it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from bridge.openxc.messages import DiagnosticRequest, Value

if TYPE_CHECKING:
    from bridge.profile.decoding import MessageContext, SignalState

SignalDecoder = Callable[["SignalState", "int | float"], "Value | None"]
SignalEncoder = Callable[["Signal", Value, "Value | None"], "int | float | None"]
MessageHandler = Callable[["MessageContext"], None]
DiagnosticDecoder = Callable[[DiagnosticRequest, bytes], "Value | None"]


class ByteOrder(enum.Enum):
    """How a field's bits run through the data bytes."""

    BIG = "big"  #: Motorola
    LITTLE = "little"  #: Intel


class RawType(enum.Enum):
    """What the bits of a field are, before factor and offset."""

    UNSIGNED = "unsigned"
    SIGNED = "signed"  #: two's complement
    FLOAT = "float"  #: IEEE 754, 32 or 64 bits


class BuiltinDecoder(enum.Enum):
    """The decoders that the codec knows itself; every other one is a Python function."""

    NUMBER = "number"
    BOOLEAN = "boolean"  #: value != 0
    IGNORE = "ignore"  #: publishes nothing; the value is stored
    STATE = "state"  #: the name of the state that int(value) has; nothing when unknown
    CHOICE = "choice"  #: the name of the state that the raw number has, else the value (a database's value table)


@dataclass(frozen=True, slots=True)
class Field:
    """Where a number lies in the data bytes.

    `start` for BIG: the field's most significant bit, counted from the most significant bit of
    byte 0 left to right (OpenXC's normal numbering). For LITTLE: the field's least significant
    bit as 8 * byte + bit, bit 0 being the least significant of its byte (Intel numbering).
    A frame shorter than the field reads as padded with zeros.
    """

    start: int
    size: int  #: bits, 0 to 64; size 0 reads as 0
    byte_order: ByteOrder = ByteOrder.BIG
    raw_type: RawType = RawType.UNSIGNED


@dataclass(frozen=True, slots=True)
class Multiplex:
    """A condition for a signal's presence: the selector field's raw value is one of `values`."""

    selector: Field
    values: frozenset[int]


@dataclass(frozen=True, slots=True)
class State:
    """A name for some values of a signal: scaled and cut to an integer, or raw where the decoder is CHOICE."""

    name: str
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal of a message. value = raw * factor + offset."""

    name: str  #: published under this name (generic_name)
    key: str  #: the profile's own name for it, for error messages
    field: Field
    factor: Decimal = Decimal(1)  #: as the profile writes it
    offset: Decimal = Decimal(0)
    minimum: float = 0.0  #: never clamps
    maximum: float = 0.0  #: where rolling counters wrap
    unit: str = ""
    states: tuple[State, ...] = ()
    decoder: BuiltinDecoder | SignalDecoder = BuiltinDecoder.NUMBER
    encoder: SignalEncoder | None = None  #: None encodes by the type of the written value
    max_frequency: float = 0.0  #: Hz; 0 is no limit
    send_same: bool = True  #: False publishes only changes
    force_send_changed: bool = False  #: changes pass the frequency limit
    writable: bool = False
    multiplex: tuple[Multiplex, ...] = ()  #: all must hold; outermost first


@dataclass(frozen=True, slots=True)
class Message:
    """One CAN message of a bus. Signals are sorted by published name."""

    bus: int
    id: int
    name: str
    extended: bool | None = None  #: None: by the id when sent, either when received
    length: int = 8  #: data bytes of a frame that the bridge builds
    fd: bool = False
    signals: tuple[Signal, ...] = ()
    handlers: tuple[MessageHandler, ...] = ()  #: called with every frame, before its signals
    max_frequency: float = 0.0  #: Hz, of raw output; 0 is no limit
    force_send_changed: bool = True  #: changed raw frames pass the limit


def message_order(message: Message) -> tuple[int, int, int]:
    """The order of a plan's messages: by bus, id and format."""
    return message.bus, message.id, {None: 0, False: 1, True: 2}[message.extended]


@dataclass(frozen=True, slots=True)
class PlanBus:
    """One CAN bus as the profile sees it."""

    number: int
    name: str
    speed: int | None = None  #: bit/s
    passthrough: bool = False  #: raw frames are published from the start
    bypass_filter: bool = False  #: the acceptance filter lets everything through from the start
    raw_writable: bool | None = None  #: None: no profile says, the listener alone decides
    max_message_frequency: float = 0.0  #: Hz, of raw output of ids that no message defines
    loopback: bool = False  #: frames that the bridge sends come back as received
    force_send_changed: bool = True  #: changed raw frames of ids that no message defines pass the limit


@dataclass(frozen=True, slots=True)
class RecurringRequest:
    """A diagnostic request that the profile itself makes."""

    request: DiagnosticRequest
    decoder: DiagnosticDecoder | None = None  #: None decodes as request.decoded_type says
    pid_length: int | None = None  #: bytes of the PID, 1 or 2; None by mode and PID


@dataclass(frozen=True, slots=True)
class CustomCommand:
    """A name that apps may write (a simple message) and the function that it calls.

    The function gets (name, value, event) and returns the signal writes that it stands for.
    """

    name: str
    handler: Callable[[str, Value | None, Value | None], list[tuple[str, Value]]]
    forced: bool = False  #: its writes need no `writable` (handleTurnSignalCommand)


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole profile, ready to run."""

    name: str = "generic"
    buses: tuple[PlanBus, ...] = ()
    messages: tuple[Message, ...] = ()
    diagnostics: tuple[RecurringRequest, ...] = ()
    commands: tuple[CustomCommand, ...] = ()
    warnings: tuple[str, ...] = field(default=(), compare=False)  #: what the loader could not honour
    predefined_obd2: bool = False  #: the predefined OBD-II requests are on from the start
