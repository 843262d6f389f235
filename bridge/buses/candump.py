"""Lines of candump's log format (`candump -L`, can-utils) as frame records. Pure text, no files.

    (1436509052.249713) vcan0 044#2A366C2BBA      classic frame, three digits: 11 bits
    (1436509052.249713) vcan0 12345678#R5 T       remote frame for 5 bytes, 29 bits, sent
    (1436509052.249713) vcan0 123##1112233        CAN FD frame; the digit after ## holds BRS (1), ESI (2)
    (1436509052.249713) vcan0 20000080#0000...    error frame as SocketCAN reports it

python-can reads this too, at half the speed and with all but one class of error frames taken for
data frames of a vehicle.
"""

from __future__ import annotations

from typing import Final

from bridge.frames import EXTENDED_ID_MAX, RECORD, STANDARD_ID_MAX, FrameFlags

_STANDARD_DIGITS = 3
_ERROR_BIT = 0x20000000  # CAN_ERR_FLAG of linux/can.h
_EXTENDED: Final = int(FrameFlags.EXTENDED)
_FD: Final = int(FrameFlags.FD)
_ERROR: Final = int(FrameFlags.ERROR)
_REMOTE: Final = int(FrameFlags.REMOTE)
_FD_FLAGS: Final = tuple(
    _FD
    | (int(FrameFlags.BITRATE_SWITCH) if nibble & 1 else 0)
    | (int(FrameFlags.ERROR_STATE_INDICATOR) if nibble & 2 else 0)
    for nibble in range(16)
)


def parse_line(line: str, bus: int, channel: str | None = None) -> bytes | None:
    """One line as a record; None for a frame of another channel.

    Args:
        line: without regard to white space around it; not empty.
        bus: the bus number of the record.
        channel: only frames of this interface, such as `can1`; None takes all.

    Raises:
        ValueError: it is no line of a candump log.
    """
    fields = line.split()
    if len(fields) not in (3, 4) or (len(fields) == 4 and fields[3] not in ("R", "T")):
        raise ValueError(f"not a line of candump -L: {line.strip()[:80]!r}")
    stamp, interface, frame = fields[:3]
    if stamp[0] != "(" or stamp[-1] != ")":
        raise ValueError(f"not a candump timestamp: {stamp[:40]!r}")
    if channel is not None and interface != channel:
        return None
    digits, separator, data = frame.partition("#")
    if not separator:
        raise ValueError(f"not a candump frame: {frame[:80]!r}")
    identifier = int(digits, 16)
    flags = 0
    if len(digits) > _STANDARD_DIGITS:
        flags = _EXTENDED
        if 0 <= identifier - _ERROR_BIT <= EXTENDED_ID_MAX:
            identifier -= _ERROR_BIT
            flags = _ERROR
    if not 0 <= identifier <= (EXTENDED_ID_MAX if flags else STANDARD_ID_MAX):
        raise ValueError(f"not an arbitration id: {digits}")
    if data[:1] in ("R", "r"):
        return RECORD.pack(float(stamp[1:-1]), identifier, bus, flags | _REMOTE, _asked_length(data[1:]), b"")
    limit = 8
    if data[:1] == "#":
        flags |= _FD_FLAGS[int(data[1:2], 16)]
        data, limit = data[2:], 64
    if "_" in data or "." in data:
        data = data.partition("_")[0].replace(".", "")  # a raw DLC above 8, dots between bytes
    payload = bytes.fromhex(data)
    if len(payload) > limit:
        raise ValueError(f"{len(payload)} data bytes do not fit the frame")
    return RECORD.pack(float(stamp[1:-1]), identifier, bus, flags, len(payload), payload)


def _asked_length(text: str) -> int:
    length = int(text.partition("_")[0] or "0", 16)
    if not 0 <= length <= 8:
        raise ValueError(f"a remote frame cannot ask for {length} bytes")
    return length
