"""What the numbers of a record may be, whichever format it came in.

Shared by json_format and protobuf_format so that both refuse the same things in the same words.
It must not know how a record is written down.
"""

from __future__ import annotations

import sys
from typing import Any

from bridge.frames import EXTENDED_ID_MAX, STANDARD_ID_MAX
from bridge.openxc.messages import CanMessage, FrameFormat, InvalidRecord

BUS_MAX = 255  #: buses are numbered from 1; 0 stands for "not given"
MODE_MIN, MODE_MAX = 1, 0xFF
PID_MAX = 0xFFFF
PORT_MAX = 0xFFFF
UINT32_MAX = 0xFFFFFFFF
CAN_DATA_MAX, CAN_FD_DATA_MAX = 8, 64  #: bytes, ISO 11898-1
SHOWN_LIMIT = 40  #: characters of a client's own text that a reason repeats


def checked(key: str, value: int, low: int, high: int) -> int:
    """The value, if it is in the range.

    Raises:
        InvalidRecord: it is not; the text names the key and the range.
    """
    if low <= value <= high:
        return value
    top = str(high) if high <= MODE_MAX else f"{high:#x}"
    raise InvalidRecord(f"{key} must be from {low} to {top}, not {shown(value)}")


def checked_frequency(value: float) -> float:
    """A frequency in Hz that is finite and not negative.

    Raises:
        InvalidRecord: it is neither.
    """
    if 0.0 <= value <= sys.float_info.max:
        return value
    raise InvalidRecord(f"frequency must be 0 or more Hz, not {value!r}")


def can_write(
    identifier: int, data: bytes, bus: int, frame_format: FrameFormat | None, fd: bool, **common: Any
) -> CanMessage:
    """A raw frame as an app or a vehicle interface names it; bus 0 is none, data too long is cut.

    Raises:
        InvalidRecord: an id or a bus number that no frame has.
    """
    checked("id", identifier, 0, STANDARD_ID_MAX if frame_format is FrameFormat.STANDARD else EXTENDED_ID_MAX)
    limit = CAN_FD_DATA_MAX if fd else CAN_DATA_MAX
    return CanMessage(
        id=identifier,
        data=data[:limit],
        bus=checked("bus", bus, 0, BUS_MAX) or None,
        frame_format=frame_format,
        fd=fd,
        **common,
    )


def is_extended(message: CanMessage) -> bool:
    """Whether a frame has a 29-bit id: as its format says, otherwise when 11 bits do not hold the id."""
    if message.frame_format is None:
        return message.id > STANDARD_ID_MAX
    return message.frame_format is FrameFormat.EXTENDED


def fits_double(value: int | float) -> bool:
    """Whether a number is finite as an IEEE 754 double, which is all that clients parse."""
    return -sys.float_info.max <= value <= sys.float_info.max


def shown(value: object) -> str:
    """A client's value for an error text: ASCII, one line, not longer than needed."""
    if isinstance(value, int) and abs(value) > UINT32_MAX**2:
        return "a huge number"
    text = ascii(value) if isinstance(value, int | float | str) else type(value).__name__
    return text if len(text) <= SHOWN_LIMIT else f"{text[: SHOWN_LIMIT - 3]}..."
