"""Fields of a frame, one at a time: reading and writing the bits, and building a frame that writes a signal.

This is the plain form that the generated code of `program` is tested against, and what the
simulator and simple writes use. Bits of the frame that no signal is written to are zero.
"""

from __future__ import annotations

import math
import struct
from decimal import ROUND_FLOOR, Decimal

from bridge.codec.numbers import raw_range, scaling_of
from bridge.errors import ClientError
from bridge.frames import STANDARD_ID_MAX, Frame
from bridge.openxc.messages import Value
from bridge.profile.plan import BuiltinDecoder, ByteOrder, Field, Message, RawType, Signal, SignalEncoder

_FLOATS = {32: struct.Struct(">f"), 64: struct.Struct(">d")}


class UnwritableValueError(ClientError):
    """A value that the signal cannot carry."""


def extract_field(field: Field, data: bytes) -> int | float:
    """The raw number of a field. Data shorter than the field reads as padded with zeros."""
    if field.size == 0:
        return 0
    if field.byte_order is ByteOrder.BIG:
        last = (field.start + field.size + 7) // 8
        word = int.from_bytes(data[:last].ljust(last, b"\0"), "big")
        raw = word >> (8 * last - field.start - field.size)
    else:
        raw = int.from_bytes(data, "little") >> field.start
    raw &= (1 << field.size) - 1
    return from_bits(field, raw)


def from_bits(field: Field, bits: int) -> int | float:
    """Bits as the number that the field's raw type makes of them."""
    if field.raw_type is RawType.SIGNED and bits >> (field.size - 1):
        return bits - (1 << field.size)
    if field.raw_type is RawType.FLOAT:
        value: float = _FLOATS[field.size].unpack(bits.to_bytes(field.size // 8, "big"))[0]
        return value
    return bits


def pack_field(field: Field, raw: int | float, data: bytearray) -> None:
    """Write a raw number into the data bytes, other bits untouched.

    Raises:
        UnwritableValueError: the number does not fit the field, or the field the data.
    """
    if field.raw_type is RawType.FLOAT:
        bits = int.from_bytes(_FLOATS[field.size].pack(raw), "big")
    else:
        low, high = raw_range(field)
        if not low <= raw <= high:
            raise UnwritableValueError(f"{raw} does not fit {field.size} bits")
        bits = int(raw) & ((1 << field.size) - 1)
    length = len(data)
    if field.byte_order is ByteOrder.BIG:
        shift = 8 * length - field.start - field.size
        order: str = "big"
    else:
        shift, order = field.start, "little"
    if shift < 0 or shift + field.size > 8 * length:
        raise UnwritableValueError(f"the field lies outside of {length} data bytes")
    word = int.from_bytes(data, order)  # type: ignore[arg-type]
    mask = ((1 << field.size) - 1) << shift
    data[:] = ((word & ~mask) | (bits << shift)).to_bytes(length, order)  # type: ignore[arg-type]


def raw_value(signal: Signal, value: Value) -> int | float:
    """What the bits must hold for a signal to read as `value`, a half rounded up.

    A state's name stands for its first value, a boolean for 1 or 0.

    Raises:
        UnwritableValueError: a text that is no state, a number that is not finite or does not fit.
    """
    if isinstance(value, str):
        state = next((state for state in signal.states if state.name == value), None)
        if state is None or not state.values:
            known = ", ".join(state.name for state in signal.states) or "it has none"
            raise UnwritableValueError(f'{signal.name} has no state "{value}" ({known})')
        if signal.decoder is BuiltinDecoder.CHOICE:
            return state.values[0]
        value = state.values[0]
    value = _finite(signal, value)
    if signal.field.raw_type is RawType.FLOAT:
        return _raw_float(signal, value)
    wanted = Decimal(value) if isinstance(value, int) else Decimal(repr(value))
    raw = int(((wanted - signal.offset) / signal.factor + Decimal("0.5")).to_integral_value(ROUND_FLOOR))
    low, high = raw_range(signal.field)
    if not low <= raw <= high:
        raise UnwritableValueError(f"{signal.name} cannot be {value}: {raw} does not fit {signal.field.size} bits")
    return raw


def _finite(signal: Signal, value: int | float) -> int | float:
    """A number that a double can hold, as Python's own kind: a profile's function may give another, as numpy's."""
    try:
        if math.isfinite(value):
            return int(value) if isinstance(value, int) else float(value)
    except OverflowError:  # an integer that may be too long to be written out, too
        raise UnwritableValueError(f"{signal.name} cannot be an integer of that size") from None
    raise UnwritableValueError(f"{signal.name} cannot be {value}")


def _raw_float(signal: Signal, value: int | float) -> float:
    scaling = scaling_of(signal)
    try:
        raw = (value - scaling.offset) / scaling.factor
        if math.isfinite(raw):
            _FLOATS[signal.field.size].pack(raw)
            return raw
    except OverflowError:
        pass  # of the division, or of the smaller float
    raise UnwritableValueError(f"{signal.name} cannot be {value}: it does not fit a float of {signal.field.size} bits")


def signal_frame(message: Message, signal: Signal, value: Value, event: Value | None = None) -> Frame:
    """The frame that writes one signal: its bits, and the selectors that make it present.

    Raises:
        UnwritableValueError: the value does not fit or the signal's encoder refuses it.
    """
    if signal.encoder is None:
        raw = raw_value(signal, value)
    else:
        raw = raw_value(signal, _encoded(signal, signal.encoder, value, event))
    data = bytearray(message.length)
    for condition in signal.multiplex:
        pack_field(condition.selector, min(condition.values), data)
    pack_field(signal.field, raw, data)
    return message_frame(message, bytes(data))


def _encoded(signal: Signal, encoder: SignalEncoder, value: Value, event: Value | None) -> int | float:
    """What a profile's Python function makes of a written value."""
    try:
        encoded = encoder(signal, value, event)
    except Exception as error:
        raise UnwritableValueError(f"the encoder of {signal.name} raised {type(error).__name__}: {error}") from error
    if not isinstance(encoded, int | float):
        raise UnwritableValueError(f"the encoder of {signal.name} refuses {value!r}")
    return encoded


def message_frame(message: Message, data: bytes) -> Frame:
    """A frame of a message with the given data bytes."""
    extended = message.id > STANDARD_ID_MAX if message.extended is None else message.extended
    return Frame(id=message.id, data=data, bus=message.bus, extended=extended, fd=message.fd)
