"""Lines of candump's log format (`candump -L`, can-utils) as frame records, and back. Pure text, no files.

    (1436509052.249713) vcan0 044#2A366C2BBA      classic frame, three digits: 11 bits
    (1436509052.249713) vcan0 12345678#R5 T       remote frame for 5 bytes, 29 bits, sent
    (1436509052.249713) vcan0 123##1112233        CAN FD frame; the digit after ## holds BRS (1), ESI (2)
    (1436509052.249713) vcan0 20000080#0000...    error frame as SocketCAN reports it

python-can reads this too, but more slowly, and it takes all but one class of error frames for data
frames of a vehicle.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from typing import Final

from bridge.frames import EXTENDED_ID_MAX, RECORD, RECORD_SIZE, STANDARD_ID_MAX, FrameFlags

_STANDARD_DIGITS = 3
_ERROR_BIT = 0x20000000  # CAN_ERR_FLAG of linux/can.h
_TIMESTAMP_LIMIT = 2.0**40
_EXTENDED: Final = int(FrameFlags.EXTENDED)
_FD: Final = int(FrameFlags.FD)
_BITRATE_SWITCH: Final = int(FrameFlags.BITRATE_SWITCH)
_ERROR_STATE: Final = int(FrameFlags.ERROR_STATE_INDICATOR)
_ERROR: Final = int(FrameFlags.ERROR)
_REMOTE: Final = int(FrameFlags.REMOTE)
_FD_FLAGS: Final = tuple(
    _FD | (_BITRATE_SWITCH if nibble & 1 else 0) | (_ERROR_STATE if nibble & 2 else 0) for nibble in range(16)
)

#: Seconds and microseconds; more decimals than those do not count.
_STAMP = re.compile(rb"\(([0-9]{1,12})(?:\.([0-9]{0,6})[0-9]{0,14})?\)")
#: Id, what a remote frame asks for, CAN FD's flags, data; dots between bytes and a raw DLC above 8 do not matter.
_FRAME = re.compile(
    rb"([0-9a-fA-F]+)#(?:[Rr]([0-8]?)|(?:#([0-9a-fA-F]))?([0-9a-fA-F.]*))(?:_[0-9a-fA-F])?",
)


def parse_candump(text: bytes | bytearray, bus: int, channel: bytes | None = None) -> tuple[bytes, int]:
    """Many lines as records.

    Args:
        text: whole lines, each but the last with a line feed; empty ones do not matter.
        bus: the bus number of the records, 0 to 255.
        channel: only frames of this interface, such as `can1`; None takes all.

    Returns:
        Records of a FrameBatch, and how many lines were none of a candump log.
    """
    records: list[bytes] = []
    invalid = 0
    for line in bytes(text).split(b"\n"):
        if not line or line.isspace():
            continue
        try:
            record = parse_line(line, bus, channel)
        except ValueError:
            invalid += 1
        else:
            if record is not None:
                records.append(record)
    return b"".join(records), invalid


def parse_line(line: bytes, bus: int, channel: bytes | None = None) -> bytes | None:
    """One line as a record; None for a frame of another channel.

    Args:
        line: without regard to white space around it; not empty.
        bus: the bus number of the record, 0 to 255.
        channel: only frames of this interface, such as `can1`; None takes all.

    Raises:
        ValueError: it is no line of a candump log.
    """
    fields = line.split()
    if len(fields) not in (3, 4) or (len(fields) == 4 and fields[3] not in (b"R", b"T")):
        raise ValueError(f"not a line of candump -L: {_shown(line.strip())}")
    stamp, interface, text = fields[:3]
    time = _STAMP.fullmatch(stamp)
    if time is None:
        raise ValueError(f"not a candump timestamp: {_shown(stamp)}")
    if channel is not None and interface != channel:
        return None
    frame = _FRAME.fullmatch(text)
    if frame is None:
        raise ValueError(f"not a candump frame: {_shown(text)}")
    digits, asked, fd_flags, data = frame.groups()
    identifier, flags = int(digits, 16), 0
    if len(digits) > _STANDARD_DIGITS:
        flags = _EXTENDED
        if 0 <= identifier - _ERROR_BIT <= EXTENDED_ID_MAX:
            identifier -= _ERROR_BIT
            flags = _ERROR
    if identifier > (EXTENDED_ID_MAX if flags else STANDARD_ID_MAX):
        raise ValueError(f"not an arbitration id: {_shown(digits)}")
    seconds = int(time[1] + (time[2] or b"").ljust(6, b"0")) / 1e6
    if asked is not None:
        return RECORD.pack(seconds, identifier, bus, flags | _REMOTE, int(asked or 0), b"")
    payload = unhexlify(data.replace(b".", b""))
    if len(payload) > (8 if fd_flags is None else 64):
        raise ValueError(f"{len(payload)} data bytes do not fit the frame")
    if fd_flags is not None:
        flags |= _FD_FLAGS[int(fd_flags, 16)]
    return RECORD.pack(seconds, identifier, bus, flags, len(payload), payload)


def candump_lines(records: bytes, interface: bytes) -> bytes:
    """Frames as `candump -L` prints them, a line each. That a frame was sent by the bridge is not said.

    A timestamp is printed in whole microseconds, a half rounded up.

    Raises:
        ValueError: not whole records, or a frame that no line can say: a remote frame in CAN FD,
            an id or a length that its format does not have, a timestamp below 0 or above 2**40.
    """
    if len(records) % RECORD_SIZE:
        raise ValueError(f"frame records are a multiple of {RECORD_SIZE} bytes, not {len(records)}")
    lines = [
        b"(%b) %b %b\n" % (_stamp(timestamp), interface, _frame(identifier, flags, length, data))
        for timestamp, identifier, _, flags, length, data in RECORD.iter_unpack(records)
    ]
    return b"".join(lines)


def _stamp(timestamp: float) -> bytes:
    if not 0.0 <= timestamp < _TIMESTAMP_LIMIT:
        raise ValueError(f"{timestamp} is no timestamp of a log")
    # One product and one sum, each rounded by itself, so that both twins agree in every digit.
    return b"%010d.%06d" % divmod(int(timestamp * 1e6 + 0.5), 1_000_000)


def _frame(identifier: int, flags: int, length: int, data: bytes) -> bytes:
    fd, wide = flags & _FD, flags & (_EXTENDED | _ERROR)
    if (
        identifier > (EXTENDED_ID_MAX if wide else STANDARD_ID_MAX)
        or length > (64 if fd else 8)
        or (fd and flags & _REMOTE)
    ):
        raise ValueError(f"no line says a frame with the id 0x{identifier:x}, flags 0x{flags:x} and {length} bytes")
    if flags & _ERROR:
        identifier |= _ERROR_BIT
    start = b"%08X#" % identifier if wide else b"%03X#" % identifier
    if flags & _REMOTE:
        return start + (b"R%d" % length if length else b"R")
    if fd:
        # Newer kernels also set 4 here, which only says once more that it is CAN FD.
        start += b"#%X" % ((1 if flags & _BITRATE_SWITCH else 0) | (2 if flags & _ERROR_STATE else 0))
    return start + data[:length].hex().upper().encode()


def _shown(text: bytes) -> str:
    """The beginning of a text for an error message: one line of ASCII."""
    return ascii(text[:80].decode("latin-1"))
