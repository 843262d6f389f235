"""Writes of raw CAN frames, many at a time, as nearly all apps put them: the hot input of the bridge.

    {"bus":1,"id":2015,"data":"0x02010c0000000000","frame_format":"standard"}

A record in plain form is a JSON object of these keys only, and `format` and `fd`, each at most once
and in any order: integers without a sign, data of up to 64 whole bytes with or without 0x, a
format in lower case, a boolean for `fd`, at most one space behind a colon or a comma. Python's
json.dumps, Android's Gson and the bridge's own encoder write it so. Whatever differs, also a
number out of range, goes the general way (bridge.openxc.json_format), and means the same there.
Must not know streams or messages, and imports nothing of them.
"""

from __future__ import annotations

import re
from binascii import unhexlify

from bridge.frames import EXTENDED_ID_MAX, STANDARD_ID_MAX

CanWrite = tuple[int, bytes, int, bool | None, bool]  #: id, data, bus or 0, extended or not said, CAN FD

BUS_MAX = 255

#: Groups: id, bus, data, format, fd. Its length is bounded, so a record that does not end costs little.
_WRITE = re.compile(
    rb"\{(?:"
    rb'"(?:id": ?(0|[1-9][0-9]{0,8})'
    rb'|bus": ?(0|[1-9][0-9]{0,2})'
    rb'|data": ?"(?:0[xX])?((?:[0-9a-fA-F]{2}){0,64})"'
    rb'|(?:frame_)?format": ?"(standard|extended)"'
    rb'|fd": ?(true|false))'
    rb'(?:, ?(?=")|(?=\}))'
    rb"){2,5}\}\0"
)


def can_writes(data: bytes | bytearray, position: int) -> tuple[list[CanWrite], int]:
    """As many writes in plain form as follow one another, and the position behind the last one's NUL.

    It ends in front of the first record that is anything else or is not complete. Data that is too
    long for its frame is cut, as the general way does.

    Raises:
        ValueError: a position outside of the data.
    """
    if not 0 <= position <= len(data):
        raise ValueError(f"there is no position {position} in {len(data)} bytes")
    writes: list[CanWrite] = []
    while (match := _WRITE.match(data, position)) is not None:
        number, bus, digits, frame_format, fd = fields = match.groups()
        if number is None or digits is None or match[0].count(b":") != len(fields) - fields.count(None):
            break
        identifier, extended = int(number), None if frame_format is None else frame_format == b"extended"
        if identifier > (STANDARD_ID_MAX if extended is False else EXTENDED_ID_MAX) or int(bus or 0) > BUS_MAX:
            break
        limit = 128 if fd == b"true" else 16
        writes.append((identifier, unhexlify(digits[:limit]), int(bus or 0), extended, fd == b"true"))
        position = match.end()
    return writes, position
