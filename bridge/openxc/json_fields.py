"""Reading one JSON object from a client, leniently in form and strictly in meaning.

Keys in any case; null as if the key were absent; numbers also as integral floats or as texts
("0x7e0", "1"), since real apps send them so; a boolean is never a number. Must not know which
fields a message has.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from typing import Any

import msgspec

from bridge.openxc.messages import InvalidRecord, Value
from bridge.openxc.ranges import checked, fits_double, shown

Fields = dict[str, Any]  #: a JSON object, its keys in lower case

_INTEGER = re.compile(r"([+-]?)(?:0[xX]([0-9a-fA-F]{1,16})|([0-9]{1,20}))", re.ASCII)
_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
#: The second form is what openxc-python makes of bytes on Python 3: "0xb'1234'".
_HEXADECIMAL = re.compile(r"(?:0[xX])?([0-9a-fA-F]*)|0[xX]b'([0-9a-fA-F]*)'", re.ASCII)


def read_object(record: bytes | bytearray | memoryview) -> Fields:
    """The JSON object of a record; whatever comes before its first brace is skipped.

    Raises:
        InvalidRecord: there is none, or it is broken.
    """
    data = bytes(record)
    start = data.find(b"{")
    if start < 0:
        raise InvalidRecord("no JSON object")
    try:
        fields: Fields = msgspec.json.decode(data[start:].rstrip(b"\0"))
    except (ValueError, RecursionError) as error:
        raise InvalidRecord(f"broken JSON: {error}") from None
    return lower_keys(fields)


def lower_keys(fields: Fields) -> Fields:
    """The same object with keys in lower case; of two that differ in case only, the lower one counts."""
    if all(map(str.islower, fields)):
        return fields
    lowered = {key.lower(): value for key, value in fields.items()}
    lowered.update((key, value) for key, value in fields.items() if key.islower())
    return lowered


def read_integer(fields: Fields, key: str, low: int, high: int) -> int | None:
    """An integer within the range, None if absent.

    Raises:
        InvalidRecord: it is something else.
    """
    value = fields.get(key)
    if value is None:
        return None
    if type(value) is not int:
        value = _integer(key, value)
    return checked(key, value, low, high)


def _integer(key: str, value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and (match := _INTEGER.fullmatch(value.strip())):
        sign, hexadecimal, decimal = match.groups()
        number = int(hexadecimal, 16) if hexadecimal else int(decimal)
        return -number if sign == "-" else number
    raise InvalidRecord(f"{key} must be an integer, not {shown(value)}")


def read_number(fields: Fields, key: str) -> int | float | None:
    """A number that a double can hold, None if absent.

    Raises:
        InvalidRecord: it is something else.
    """
    value = fields.get(key)
    if value is None:
        return None
    number = value
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        number = float(value)
    if isinstance(number, bool) or not isinstance(number, int | float) or not fits_double(number):
        raise InvalidRecord(f"{key} must be a number, not {shown(value)}")
    return number


def read_value(fields: Fields, key: str) -> Value | None:
    """A boolean, a number that a double can hold, or a text; None if absent.

    Raises:
        InvalidRecord: it is something else.
    """
    value = fields.get(key)
    if value is None or isinstance(value, str | bool) or (isinstance(value, int | float) and fits_double(value)):
        return value
    raise InvalidRecord(f"{key} must be a number, a text or a boolean, not {shown(value)}")


def read_boolean(fields: Fields, key: str) -> bool | None:
    """A boolean, or the numbers 0 and 1 for one; None if absent.

    Raises:
        InvalidRecord: it is something else.
    """
    value = fields.get(key)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    raise InvalidRecord(f"{key} must be true or false, not {shown(value)}")


def read_text(fields: Fields, key: str) -> str | None:
    """A text, None if absent.

    Raises:
        InvalidRecord: it is something else.
    """
    value = fields.get(key)
    if value is None or isinstance(value, str):
        return value
    raise InvalidRecord(f"{key} must be a text, not {shown(value)}")


def read_bytes(fields: Fields, key: str) -> bytes | None:
    """Bytes as hexadecimal digits in any case, with or without "0x"; None if absent.

    A last digit that stands alone is a byte of its own: "0x123" is 12 03.

    Raises:
        InvalidRecord: it is something else.
    """
    value = fields.get(key)
    if value is None:
        return None
    if isinstance(value, str) and (match := _HEXADECIMAL.fullmatch(value.strip())):
        digits = match[1] or match[2] or ""
        return unhexlify(f"{digits[:-1]}0{digits[-1]}" if len(digits) % 2 else digits)
    raise InvalidRecord(f"{key} must be hexadecimal digits, not {shown(value)}")
