"""Lines of the LAWICEL protocol (slcan) as frame records, and back. Pure text, no serial port.

    t1232AA55         frame with an 11-bit id: three digits, the DLC, the data
    T12ABCDEF2AA55    frame with a 29-bit id: eight digits
    r1232  R12ABCDEF2 remote frames, which have no data
    d1239...  D...    CAN FD frame without bit rate switch; the DLC goes to F
    b1239...  B...    CAN FD frame with bit rate switch

Each ends with a carriage return. Four more digits may stand behind the data: when it was received,
in milliseconds from 0 to 59,999. Between frames an adapter answers commands: a line of its own
that begins with another letter, a lone carriage return (done) or a BEL (refused).

The CANable's firmware writes data behind remote frames, too, which means nothing. The DLC of a
classic frame may be 9 to F, which means 8 bytes (ISO 11898-1); behind it stand 8, as many as its
value, or as many as in CAN FD. Digits that may be data or a timestamp are a timestamp: who stamps
frames stamps all of them, and of others no timestamp counts.

Sources: the manuals of LAWICEL's CAN232 and CANUSB; drivers/net/can/slcan of Linux; the firmware
of the CANable for CAN FD. Must not know commands, nor which of them an answer belongs to.
"""

from __future__ import annotations

import math
import re
from binascii import unhexlify
from typing import Final

from bridge.frames import (
    BITRATE_SWITCH,
    ERROR,
    EXTENDED,
    EXTENDED_ID_MAX,
    FD,
    FD_LENGTHS,
    RECORD,
    RECORD_SIZE,
    REMOTE,
    STANDARD_ID_MAX,
)

#: The longest line, without its end: a CAN FD frame with a 29-bit id, 64 bytes and a timestamp,
#: and a line feed on either side, which some adapters write.
LINE_LIMIT: Final = 1 + 8 + 1 + 128 + 4 + 2

COUNTER_PERIOD: Final = 60.0  #: seconds from 0 to 0 of an adapter's clock
_COUNTER_MAX = 59_999  # milliseconds
_ADRIFT_LIMIT = 2.0**40  # seconds; more between `epoch` and `now` are no Unix times

_LETTERS: Final = {
    b"t": 0,
    b"r": REMOTE,
    b"d": FD,
    b"b": FD | BITRATE_SWITCH,
    b"T": EXTENDED,
    b"R": EXTENDED | REMOTE,
    b"D": EXTENDED | FD,
    b"B": EXTENDED | FD | BITRATE_SWITCH,
}
#: Letter, id, DLC, and the digits of data and timestamp. Ids that are too large do not match.
_FRAME = re.compile(
    rb"(?:([trdb])([0-7][0-9a-fA-F]{2})|([TRDB])([01][0-9a-fA-F]{7}))([0-9a-fA-F])((?:[0-9a-fA-F]{2})*)"
)
_STAMP_DIGITS: Final = 4
_ANSWER = re.compile(rb"[A-Za-z][ -~]*")
_FRAME_LETTERS = b"".join(_LETTERS)


def _data_digits(dlc: int, flags: int) -> frozenset[int]:
    """How many digits may be the data of a frame, without its timestamp."""
    sizes = {FD_LENGTHS[dlc]}
    if flags & REMOTE:
        sizes.add(0)
    if dlc > 8 and not flags & FD:
        sizes |= {8, dlc}
    return frozenset(2 * size for size in sizes)


_DATA_DIGITS: Final = {kind: [_data_digits(dlc, kind) for dlc in range(16)] for kind in (0, REMOTE, FD)}


def parse_slcan(
    data: bytes | bytearray, bus: int, now: float, epoch: float | None = None
) -> tuple[bytes, list[bytes], int, int]:
    """What an adapter sent: its frames, and its answers to commands.

    However the input is cut into pieces, all the pieces together give the same, if what was not
    consumed is put in front of the next piece.

    Args:
        data: what is not consumed yet.
        bus: the bus number of the records, 0 to 255.
        now: Unix seconds, the time of all frames that have no timestamp of their own.
        epoch: the Unix time at which the adapter's clock was at 0, less any number of minutes; a
            frame with a timestamp then gets the time nearest to `now` at which the clock showed it.
            With None the timestamps are ignored, as is one above 59,999 always.

    Returns:
        Records of a FrameBatch. The answers in their order, without the carriage return: b"" for
        a lone one, b"\\a" for a BEL. How many bytes are consumed; of what is not there are never
        more than LINE_LIMIT + 1. How many lines were neither frame nor answer, or were cut off by
        a BEL; line feeds around a line do not matter.

    Raises:
        ValueError: an epoch that is no Unix time.
    """
    if epoch is not None and not abs(now - epoch) < _ADRIFT_LIMIT:
        raise ValueError(f"{epoch} and {now} are no two Unix times")
    records: list[bytes] = []
    answers: list[bytes] = []
    invalid = 0
    *lines, rest = bytes(data).split(b"\r")
    for line in lines:
        *refused, text = line.split(b"\a")
        for begun in refused:
            answers.append(b"\a")
            invalid += not _is_empty(begun)
        answer = text.strip(b"\n") if len(text) <= LINE_LIMIT else b"\0"
        if record := _record(answer, bus, now, epoch):
            records.append(record)
        elif not answer or (answer[0] not in _FRAME_LETTERS and _ANSWER.fullmatch(answer)):
            answers.append(answer)
        else:
            invalid += 1
    *refused, rest = rest.split(b"\a")
    for begun in refused:
        answers.append(b"\a")
        invalid += not _is_empty(begun)
    # Of a line that is too long its end is kept: still too long, so that it counts when it is over.
    return b"".join(records), answers, len(data) - min(len(rest), LINE_LIMIT + 1), invalid


def slcan_lines(records: bytes) -> bytes:
    """What is written to an adapter to send these frames.

    Digits are capitals, as the Linux driver writes them. The error state indicator is not said:
    an adapter sets its own.

    Raises:
        ValueError: not whole records, or a frame that no line can say: an error frame, a remote
            frame in CAN FD, an id or a length that its format does not have.
    """
    if len(records) % RECORD_SIZE:
        raise ValueError(f"frame records are a multiple of {RECORD_SIZE} bytes, not {len(records)}")
    return b"".join([_line(*record) for record in RECORD.iter_unpack(records)])


def _is_empty(line: bytes) -> bool:
    return len(line) <= LINE_LIMIT and not line.strip(b"\n")


def _record(line: bytes, bus: int, now: float, epoch: float | None) -> bytes | None:
    match = _FRAME.fullmatch(line)
    if match is None:
        return None
    standard, short_id, extended, long_id, dlc, digits = match.groups()
    flags = _LETTERS[standard or extended]
    code = int(dlc, 16)
    sizes = _DATA_DIGITS[flags & (FD | REMOTE)][code]
    if len(digits) - _STAMP_DIGITS in sizes:
        now = _stamped(int(digits[-_STAMP_DIGITS:], 16), now, epoch)
    elif len(digits) not in sizes:
        return None
    length = FD_LENGTHS[code] if flags & FD else min(code, 8)
    data = b"" if flags & REMOTE else unhexlify(digits[: 2 * length])
    return RECORD.pack(now, int(short_id or long_id, 16), bus, flags, length, data)


def _stamped(milliseconds: int, now: float, epoch: float | None) -> float:
    """Each operation is rounded by itself and in this order, so that both twins agree in every bit."""
    if epoch is None or milliseconds > _COUNTER_MAX:
        return now
    first = epoch + milliseconds / 1000.0
    return first + COUNTER_PERIOD * math.floor((now - first) / COUNTER_PERIOD + 0.5)


def _line(_timestamp: float, identifier: int, _bus: int, flags: int, length: int, data: bytes) -> bytes:
    extended, fd, remote = flags & EXTENDED, flags & FD, flags & REMOTE
    if (
        identifier > (EXTENDED_ID_MAX if extended else STANDARD_ID_MAX)
        or length not in FD_LENGTHS
        or (length > 8 and not fd)
        or (fd and remote)
        or flags & ERROR
    ):
        raise ValueError(f"no line says a frame with the id 0x{identifier:x}, flags 0x{flags:x} and {length} bytes")
    letter = ("b" if flags & BITRATE_SWITCH else "d") if fd else "r" if remote else "t"
    start = f"{letter.upper()}{identifier:08X}" if extended else f"{letter}{identifier:03X}"
    digits = "" if remote else data[:length].hex().upper()
    return f"{start}{FD_LENGTHS.index(length):X}{digits}\r".encode()
