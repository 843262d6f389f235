"""What an slcan adapter is like: its commands, its status flags, its clock, the lines on their way to it.

Sources: the manuals of LAWICEL's CAN232 and CANUSB; the CANable's firmware for S9 and CAN FD. Must
not know ports, the event loop or the time: bytes and `now` come in.
"""

from __future__ import annotations

import enum
import re
from array import array
from collections import deque
from dataclasses import dataclass

from bridge.codec import parse_slcan
from bridge.errors import ConfigurationError
from bridge.frames import RECORD_SIZE
from bridge.limits import SLCAN_CLOCK_WINDOW

BITRATES = {
    10_000: b"S0",
    20_000: b"S1",
    50_000: b"S2",
    100_000: b"S3",
    125_000: b"S4",
    250_000: b"S5",
    500_000: b"S6",
    800_000: b"S7",
    1_000_000: b"S8",
    83_300: b"S9",  # of the CANable's firmware; others refuse it
}
DATA_BITRATES = {2_000_000: b"Y2", 5_000_000: b"Y5"}

#: Ends a line that may have begun, so that it becomes no frame; else it asks for the version.
#: A carriage return alone would send a line that is whole but for its end, and the CANable's firmware
#: takes an empty line for the one before, once more: the last frame would go to the vehicle again. V is
#: no digit, so adapters refuse the line. That firmware checks no length and takes what a line lacks from
#: the one before; four V reach the DLC's place of a line that is cut in its 11-bit id, where it refuses
#: them. It has no room for more behind a whole line, and a line that is cut in its data it sends whatever
#: follows.
VOID_LINE = b"VVVV\r"

_BTR = re.compile(r"[0-9a-fA-F]{4}|[0-9a-fA-F]{6}")
_TIMESTAMPS = slice(0, None, RECORD_SIZE // 8)
_STAMP = 0.001  # seconds, the resolution of stamps


class StatusFlags(enum.IntFlag):
    """What an adapter answers to F."""

    RECEIVE_FULL = 1
    TRANSMIT_FULL = 2
    ERROR_WARNING = 4
    DATA_OVERRUN = 8
    ERROR_PASSIVE = 32
    ARBITRATION_LOST = 64
    BUS_ERROR = 128


LOSSES = StatusFlags.RECEIVE_FULL | StatusFlags.DATA_OVERRUN  #: frames of the vehicle were lost in the adapter


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """How the adapter's channel is to be opened.

    Raises:
        ConfigurationError: a bit rate for which slcan has no command.
    """

    bitrate: int | None = None  #: bit/s; None leaves the adapter its own
    btr: str | None = None  #: instead: BTR0 and BTR1 of an SJA1000, or an MCP2515's three registers (USBtin), in hex
    data_bitrate: int | None = None  #: bit/s of CAN FD data; None is classic CAN
    listen_only: bool = False  #: acknowledge nothing, send nothing

    def __post_init__(self) -> None:
        if self.btr is not None and not _BTR.fullmatch(self.btr):
            raise ConfigurationError(f"btr={self.btr} is no bit timing: four hex digits, BTR0 and BTR1 of an SJA1000")
        if self.btr is None and self.bitrate is not None and self.bitrate not in BITRATES:
            raise ConfigurationError(
                f"slcan has no command for {self.bitrate} bit/s, only for {_listed(BITRATES)}; "
                "others are set by their registers: ?btr=XXYY"
            )
        if self.data_bitrate is not None and self.data_bitrate not in DATA_BITRATES:
            raise ConfigurationError(
                f"slcan has no command for a data bit rate of {self.data_bitrate}, only for {_listed(DATA_BITRATES)}"
            )

    def commands(self) -> list[bytes]:
        """What sets the bit rates, before the channel is opened."""
        commands = []
        if self.btr is not None:
            commands.append(b"s" + self.btr.upper().encode())
        elif self.bitrate is not None:
            commands.append(BITRATES[self.bitrate])
        if self.data_bitrate is not None:
            commands.append(DATA_BITRATES[self.data_bitrate])
        return commands


def _listed(rates: dict[int, bytes]) -> str:
    return ", ".join(map(str, sorted(rates)))


class AdapterClock:
    """Reads an adapter's lines and gives its frames Unix times.

    The adapter stamps a frame with milliseconds of a minute of its own. The Unix time at which that
    minute began, the epoch, is found from the arrivals, by these rules:

    1. The last frame of the first chunk with frames has the time at which the chunk arrived.
    2. No frame is later than its arrival. Where one would be, the epoch is moved back until the
       latest frame of the chunk has its time of arrival, at once and for the whole chunk: that
       frame was the least delayed so far. So is a computer's clock followed that is set back, and
       an adapter's that is fast.
    3. After each SLCAN_CLOCK_WINDOW the epoch is moved on by the smallest delay (arrival less time,
       of the latest frame of a chunk) in it. So is an adapter's clock followed that is slow, or was
       restarted, two windows later at most. Where frames are rare this is the delay of few, and no
       time is ever worse than the arrival.
    4. Stamps that are all over the minute, so that no epoch obeys rule 2, make no sense. The frames
       of that chunk have the time of arrival, and the next chunk is the first again.

    Times are as far apart as the stamps are, but where a rule moves the epoch, which may make them
    step back. A frame on its way for more than half a minute gets a time that is a minute off.

    Args:
        stamps: whether the adapter stamps its frames; if not, the time of all is their arrival.
    """

    def __init__(self, stamps: bool) -> None:
        self._stamps = stamps
        self._epoch: float | None = None
        self._window_began = 0.0
        self._least_delay = 0.0

    def read(self, data: bytes, bus: int, now: float) -> tuple[bytes, list[bytes], int, int]:
        """As parse_slcan(), with `now` the Unix time at which the last of the data arrived."""
        if not self._stamps:
            return parse_slcan(data, bus, now)
        if self._epoch is None:
            records = parse_slcan(data, bus, now, now)[0]
            if not records:
                return parse_slcan(data, bus, now)
            self._epoch = now + (now - _times(records)[-1])
            self._begin_window(now)
        parsed = parse_slcan(data, bus, now, self._epoch)
        if not parsed[0]:
            return parsed
        delay = now - max(_times(parsed[0]))
        if delay < 0:
            self._epoch += delay
            self._begin_window(now)
            return self._read_again(data, bus, now, self._epoch)
        self._least_delay = min(self._least_delay, delay)
        if now - self._window_began >= SLCAN_CLOCK_WINDOW:
            self._epoch += self._least_delay
            self._begin_window(now)
        return parsed

    def _read_again(self, data: bytes, bus: int, now: float, epoch: float) -> tuple[bytes, list[bytes], int, int]:
        parsed = parse_slcan(data, bus, now, epoch)
        if max(_times(parsed[0])) < now + _STAMP:
            return parsed
        self._epoch = None
        return parse_slcan(data, bus, now)

    def _begin_window(self, now: float) -> None:
        self._window_began = now
        self._least_delay = float("inf")


def _times(records: bytes) -> array[float]:
    return array("d", records)[_TIMESTAMPS]


@dataclass(slots=True)
class _Piece:
    lines: bytes
    records: bytes  # of the lines' frames; of a command there is none
    since: float  # when it came
    written: int = 0  # bytes of the lines
    sent: int = 0  # bytes of the records

    def begun(self) -> int:
        """How many bytes it has up to the end of the line that is partly written; of whole lines, if none is."""
        if not self.written or self.lines[self.written - 1] == ord("\r"):
            return self.written
        return self.lines.index(b"\r", self.written) + 1


class OutgoingLines:
    """Lines that wait for the port, which frames those are, and how long they have waited in vain."""

    def __init__(self) -> None:
        self.frames = 0  #: that wait, one that is partly written among them
        self._pieces: deque[_Piece] = deque()
        self._progress = float("-inf")  # when the port last took something

    def __bool__(self) -> bool:
        return bool(self._pieces)

    @property
    def waiting_since(self) -> float | None:
        """Since when whole lines wait while the port takes nothing; None where there are none."""
        for piece in self._pieces:
            if piece.begun() < len(piece.lines):
                return max(piece.since, self._progress)
        return None

    def put(self, lines: bytes, now: float, records: bytes = b"") -> None:
        """Append a line for each of the records, or a command without any."""
        self._pieces.append(_Piece(lines, records, now))
        self.frames += len(records) // RECORD_SIZE

    def next(self) -> memoryview:
        """What is to be written next; not empty while anything waits."""
        piece = self._pieces[0]
        return memoryview(piece.lines)[piece.written :]

    def took(self, size: int, now: float) -> bytes:
        """So many bytes of next() are written; the records of the frames that are whole now."""
        self._progress = now
        piece = self._pieces[0]
        end = piece.written + size
        if not piece.records:
            sent = b""
        else:
            lines = piece.lines.count(b"\r", piece.written, end)
            sent = piece.records[piece.sent : piece.sent + lines * RECORD_SIZE]
        piece.written = end
        piece.sent += len(sent)
        self.frames -= len(sent) // RECORD_SIZE
        if end == len(piece.lines):
            self._pieces.popleft()
        return sent

    def expire(self, before: float) -> int:
        """Forget what has waited since `before` while the port took nothing; how many frames.

        The rest of a line that is partly written stays: what comes next would be taken for it.
        """
        frames = self.frames
        if self._progress > before:
            return 0
        rest: _Piece | None = None
        while self._pieces and self._pieces[0].since <= before:
            piece = self._pieces.popleft()
            end = piece.begun()
            kept = RECORD_SIZE if piece.records and end > piece.written else 0
            self.frames -= (len(piece.records) - piece.sent - kept) // RECORD_SIZE
            if end > piece.written:
                rest = _Piece(
                    piece.lines[:end], piece.records[: piece.sent + kept], piece.since, piece.written, piece.sent
                )
        if rest is not None:
            self._pieces.appendleft(rest)
        return frames - self.frames

    def clear(self) -> int:
        """Forget all; how many frames that were."""
        lost, self.frames = self.frames, 0
        self._pieces.clear()
        return lost
