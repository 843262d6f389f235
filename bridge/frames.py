"""CAN frames as they travel: contiguous fixed-size records, made and read a batch at a time.

A FrameBatch is one bytes object, so that a bus fills it in one call and the codec reads it in
one call, in Python or in C. This module must not know where frames come from or go to.

One record (80 bytes, native byte order, no padding; ISO 11898-1 names):

    offset  size  field
    0       8     timestamp, double: Unix seconds for a live bus, the recording's for a replay
    8       4     arbitration id, uint32: 11 or 29 bits, no flag bits
    12      1     bus number (OpenXC's: 1, 2, ...)
    13      1     flags, see FrameFlags
    14      1     length of the data, 0 to 64
    15      1     zero
    16      64    data, padded with zeros
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

RECORD = struct.Struct("=dIBBBx64s")
RECORD_SIZE = RECORD.size

# Where a column of the records lies: one byte each, or one aligned 32-bit word each.
FLAGS_COLUMN = slice(13, None, RECORD_SIZE)
LENGTH_COLUMN = slice(14, None, RECORD_SIZE)
ID_WORDS = slice(2, None, RECORD_SIZE // 4)

STANDARD_ID_MAX = 0x7FF
EXTENDED_ID_MAX = 0x1FFFFFFF

#: Data bytes of a CAN FD frame for each DLC (ISO 11898-1).
FD_LENGTHS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)


class FrameFlags(enum.IntFlag):
    """What a frame is besides its id and data."""

    NONE = 0
    EXTENDED = 1  #: 29-bit identifier
    FD = 2  #: CAN FD format
    BITRATE_SWITCH = 4
    ERROR_STATE_INDICATOR = 8
    REMOTE = 16  #: remote frame: no data, length is the requested one
    ERROR = 32  #: an error frame as SocketCAN reports it; the id holds the error class
    OWN = 64  #: sent by this bridge and heard back (loopback)


# The flags as plain integers, for where each frame counts: an IntFlag's arithmetic costs more than all the rest.
EXTENDED: Final = int(FrameFlags.EXTENDED)
FD: Final = int(FrameFlags.FD)
BITRATE_SWITCH: Final = int(FrameFlags.BITRATE_SWITCH)
ERROR_STATE_INDICATOR: Final = int(FrameFlags.ERROR_STATE_INDICATOR)
REMOTE: Final = int(FrameFlags.REMOTE)
ERROR: Final = int(FrameFlags.ERROR)
OWN: Final = int(FrameFlags.OWN)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as an object, for the edges: tests, commands, logs. Never on the hot path."""

    id: int
    data: bytes = b""
    bus: int = 1
    extended: bool = False
    fd: bool = False
    timestamp: float = 0.0
    flags: FrameFlags = FrameFlags.NONE

    def all_flags(self) -> int:
        """The record's flags byte."""
        flags = int(self.flags)
        if self.extended:
            flags |= FrameFlags.EXTENDED
        if self.fd:
            flags |= FrameFlags.FD
        return flags


class FrameBatch:
    """A sequence of frame records in one bytes object, in the order of arrival."""

    __slots__ = ("buffer",)

    def __init__(self, buffer: bytes = b"") -> None:
        if len(buffer) % RECORD_SIZE:
            raise ValueError(f"a frame batch is a multiple of {RECORD_SIZE} bytes, not {len(buffer)}")
        self.buffer = buffer

    @classmethod
    def of(cls, frames: Iterable[Frame]) -> FrameBatch:
        """Pack frame objects.

        Raises:
            ValueError: an id, a bus number or a length that no CAN frame has.
        """
        packed = []
        for frame in frames:
            limit = EXTENDED_ID_MAX if frame.all_flags() & FrameFlags.EXTENDED else STANDARD_ID_MAX
            if not 0 <= frame.id <= limit and not frame.flags & FrameFlags.ERROR:
                raise ValueError(f"arbitration id 0x{frame.id:x} does not fit the frame's format")
            if len(frame.data) > 64:
                raise ValueError(f"{len(frame.data)} data bytes; a CAN frame has at most 64")
            if not 0 < frame.bus < 256:
                raise ValueError(f"bus {frame.bus}; buses are numbered from 1 to 255")
            packed.append(pack(frame.timestamp, frame.id, frame.bus, frame.all_flags(), frame.data))
        return cls(b"".join(packed))

    def __len__(self) -> int:
        return len(self.buffer) // RECORD_SIZE

    def __bool__(self) -> bool:
        return bool(self.buffer)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrameBatch) and self.buffer == other.buffer

    def __hash__(self) -> int:
        return hash(self.buffer)

    def __add__(self, other: FrameBatch) -> FrameBatch:
        return FrameBatch(self.buffer + other.buffer)

    def __repr__(self) -> str:
        return f"FrameBatch({len(self)} frames)"

    def __iter__(self) -> Iterator[Frame]:
        for timestamp, identifier, bus, flags, length, data in self.records():
            yield Frame(
                id=identifier,
                data=data[:length],
                bus=bus,
                extended=bool(flags & FrameFlags.EXTENDED),
                fd=bool(flags & FrameFlags.FD),
                timestamp=timestamp,
                flags=FrameFlags(flags),
            )

    def records(self) -> Iterator[tuple[float, int, int, int, int, bytes]]:
        """Each record as (timestamp, id, bus, flags, length, 64 data bytes), the fast way."""
        return RECORD.iter_unpack(self.buffer)


def pack(timestamp: float, identifier: int, bus: int, flags: int, data: bytes) -> bytes:
    """One record; the caller answers for the ranges. 64 bytes of data at most."""
    return RECORD.pack(timestamp, identifier, bus, flags, len(data), data)
