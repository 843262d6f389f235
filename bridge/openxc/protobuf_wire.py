"""Records of the hot path in protobuf, built from bytes without the protobuf runtime.

Byte for byte what the runtime makes of the same message behind its length: fields in the order
of their numbers, and a field at its default (0, false, "") left out. Must not know Python's
message objects.

Source: protobuf's encoding guide; field numbers in protos/openxc.proto.
"""

from __future__ import annotations

import math
import struct

from bridge.openxc.messages import Value

#: Empty records, sent between JSON and protobuf to a client that turns out to want protobuf. openxc-python
#: takes what it has read of JSON for protobuf's lengths, and throws away up to 125 bytes that follow.
BETWEEN_FORMATS = bytes(128)

_DOUBLE = struct.Struct("<d")
_SMALL_VARINTS = tuple(bytes((number,)) for number in range(0x80))

# A tag is field number * 8 + wire type (0 varint, 1 eight bytes, 2 length and bytes).
_TYPE_CAN, _TYPE_SIMPLE = b"\x08\x01", b"\x08\x02"  # VehicleMessage.type
_CAN_MESSAGE, _SIMPLE_MESSAGE = b"\x12", b"\x1a"  # VehicleMessage.can_message, .simple_message
_CAN_BUS, _CAN_ID, _CAN_DATA, _CAN_EXTENDED = b"\x08", b"\x10", b"\x1a", b"\x20\x02"
_NAME, _VALUE, _EVENT = b"\x0a", b"\x12", b"\x1a"  # SimpleMessage
_STRING, _NUMBER, _BOOLEAN = b"\x08\x01", b"\x08\x02", b"\x08\x03"  # DynamicField.type
_STRING_VALUE, _NUMERIC_VALUE, _TRUE = b"\x12", b"\x19", b"\x20\x01"


def varint(number: int) -> bytes:
    """A number of 0 or more in protobuf's base-128 form."""
    if number < 0x80:
        return _SMALL_VARINTS[number]
    groups = bytearray()
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def framed(message: bytes) -> bytes:
    """A serialised VehicleMessage as a record of the stream: behind its length."""
    return varint(len(message)) + message


def simple_prefix(name: str) -> bytes:
    """What stays the same in all simple messages of one name; for the functions below.

    Raises:
        ValueError: the name has no UTF-8 form.
    """
    return _field(_NAME, name.encode()) if name else b""


def simple_number(prefix: bytes, value: int | float) -> bytes:
    """The record of a number.

    Raises:
        ValueError: the number is not finite or too large for a double.
    """
    return _simple_record(prefix + _field(_VALUE, _dynamic(value)))


def simple_string(prefix: bytes, value: str) -> bytes:
    """The record of a text, a state's name for instance.

    Raises:
        ValueError: the text has no UTF-8 form.
    """
    return _simple_record(prefix + _field(_VALUE, _dynamic(value)))


def simple_boolean(prefix: bytes, value: bool) -> bytes:
    """The record of a boolean."""
    return _simple_record(prefix + _field(_VALUE, _dynamic(value)))


def evented(prefix: bytes, value: Value, event: Value) -> bytes:
    """The record of a value and an event of any type.

    Raises:
        ValueError: a number is not finite or too large for a double, a text has no UTF-8 form.
    """
    return _simple_record(prefix + _field(_VALUE, _dynamic(value)) + _field(_EVENT, _dynamic(event)))


def simple_record(name: str, value: Value | None, event: Value | None = None) -> bytes:
    """The record of a simple message that is seen once; many of one name are faster with a prefix.

    Raises:
        ValueError: a number is not finite or too large for a double, a text has no UTF-8 form.
    """
    return framed(simple_body(name, value, event))


def simple_body(name: str, value: Value | None, event: Value | None) -> bytes:
    """The VehicleMessage of a simple message, without its length.

    Raises:
        ValueError: a number is not finite or too large for a double, a text has no UTF-8 form.
    """
    simple = simple_prefix(name)
    if value is not None:
        simple += _field(_VALUE, _dynamic(value))
    if event is not None:
        simple += _field(_EVENT, _dynamic(event))
    return _TYPE_SIMPLE + _field(_SIMPLE_MESSAGE, simple)


def can_record(bus: int, identifier: int, data: bytes, extended: bool) -> bytes:
    """The record of a raw frame; bus 0 is none. Numbers must be 0 or more, an id below 2**32."""
    return framed(can_body(bus, identifier, data, extended))


def can_body(bus: int, identifier: int, data: bytes, extended: bool) -> bytes:
    """The VehicleMessage of a raw frame, without its length."""
    frame = b""
    if bus:
        frame = _CAN_BUS + varint(bus)
    if identifier:
        frame += _CAN_ID + varint(identifier)
    if data:
        frame += _CAN_DATA + varint(len(data)) + data
    if extended:
        frame += _CAN_EXTENDED
    return _TYPE_CAN + _CAN_MESSAGE + varint(len(frame)) + frame


def double(value: int | float) -> float:
    """A number as a double, never -0.0, so that zero has one form in every format.

    Raises:
        ValueError: it is not finite or too large.
    """
    try:
        number = float(value) + 0.0
    except OverflowError:
        raise ValueError("the number is too large for a double") from None
    if not math.isfinite(number):
        raise ValueError(f"{number} has no place in a record")
    return number


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + varint(len(content)) + content


def _simple_record(simple: bytes) -> bytes:
    return framed(_TYPE_SIMPLE + _field(_SIMPLE_MESSAGE, simple))


def _dynamic(value: Value) -> bytes:
    if isinstance(value, bool):
        return _BOOLEAN + _TRUE if value else _BOOLEAN
    if isinstance(value, str):
        return _STRING + _field(_STRING_VALUE, value.encode()) if value else _STRING
    number = double(value)
    return _NUMBER + _NUMERIC_VALUE + _DOUBLE.pack(number) if number else _NUMBER
