"""Recordings read a piece at a time: candump logs, whatever else python-can reads, OpenXC traces.

A trace is a text file of OpenXC messages, one JSON object a line, each with a `timestamp`. This
module must not know the event loop or when things are played; it only reads, and it blocks.

Frames of all channels of a log are taken unless one is chosen. A log names channels as its
format does: candump writes `can1`, Vector's formats count from 0.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import can
from can.io.player import MESSAGE_READERS

from bridge.buses.can_messages import record_of
from bridge.codec import parse_candump
from bridge.codec.candump import parse_line
from bridge.errors import BusError
from bridge.frames import RECORD_SIZE, FrameFlags, pack
from bridge.limits import LINE_LIMIT
from bridge.openxc.json_fields import read_number, read_object
from bridge.openxc.json_format import outgoing_from_fields
from bridge.openxc.messages import CanMessage, InvalidRecord
from bridge.openxc.ranges import is_extended

CHUNK_SIZE = 64 * 1024  #: bytes of a candump log that are read and parsed at once


class TraceRecord(NamedTuple):
    """A line of a trace that is not a raw frame."""

    position: int  #: how many frames of its piece come before it
    timestamp: float | None  #: Unix seconds; None where the line has none
    message: dict[str, Any]  #: the JSON object, its keys in lower case


_Entry = bytes | memoryview | TraceRecord  # frames are one record or many


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a recording, in its order."""

    frames: bytes  #: records of FrameBatch
    records: tuple[TraceRecord, ...] = ()


class Recording:
    """A file that is read once, from its beginning to its end. All calls from one thread, please.

    Args:
        path: the file.
        bus: the bus number for its frames.
        channel: only the frames of this channel; None takes all. A trace's channels are its bus numbers.
    """

    def __init__(self, path: Path, bus: int, channel: str | None = None) -> None:
        self.lines_skipped = 0
        self._path = path
        self._bus = bus
        self._channel = channel
        self._reader: Any = None
        self._file: BinaryIO | None = None
        self._failure: BusError | None = None
        self._entries: Iterator[_Entry] = iter(())
        self._next_entry: _Entry | None = None

    def open(self) -> None:
        """Open the file and read its first entry.

        Raises:
            BusError: no such file, no format that python-can reads, garbage, or nothing in it.
        """
        try:
            if self._path.is_dir():
                raise IsADirectoryError("it is a directory")
            self._entries = self._read()
            self._next_entry = next(self._entries, None)
        except Exception as error:  # each of python-can's readers fails in its own way
            self.close()
            raise BusError(f"{self._path}: {_reason(self._path, error)}") from error
        if self._next_entry is None:
            self.close()
            where = f" on channel {self._channel}" if self._channel is not None else ""
            raise BusError(f"{self._path}: there is no frame{where} in this recording")

    def read(self, entries: int) -> Piece | None:
        """The next entries, or None after the last one.

        Lines of text that make no sense are skipped and counted, once one has made sense.

        Raises:
            BusError: the rest of the file is garbage; what came before it was returned.
        """
        frames: list[bytes | memoryview] = []
        records: list[TraceRecord] = []
        count = 0  # frames
        if self._failure is not None:
            raise self._failure
        try:
            while (room := entries - count - len(records)) > 0 and (entry := self._take_entry()) is not None:
                if isinstance(entry, TraceRecord):
                    records.append(entry._replace(position=count))
                    continue
                taken = memoryview(entry)[: room * RECORD_SIZE]
                frames.append(taken)
                count += len(taken) // RECORD_SIZE
                if len(taken) < len(entry):
                    self._next_entry = memoryview(entry)[len(taken) :]
        except Exception as error:  # each of python-can's readers fails in its own way
            self._failure = BusError(f"{self._path}: {_reason(self._path, error)}")
            if not frames and not records:
                raise self._failure from error
        if not frames and not records:
            return None
        return Piece(b"".join(frames), tuple(records))

    def close(self) -> None:
        """Close the file; twice is fine."""
        self._entries, self._next_entry = iter(()), None
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.stop()
        if self._file is not None:
            self._file.close()

    def _take_entry(self) -> _Entry | None:
        entry, self._next_entry = self._next_entry, None
        return next(self._entries, None) if entry is None else entry

    def _read(self) -> Iterator[_Entry]:
        suffixes = [suffix.lower() for suffix in self._path.suffixes]
        if suffixes[-1:] == [".gz"]:
            suffixes.pop()
        if suffixes[-1:] == [".log"]:
            return self._read_candump()
        if suffixes[-1:] == [".json"]:
            return self._read_trace()
        return self._read_messages()

    def _read_messages(self) -> Iterator[_Entry]:
        bus, channel = self._bus, self._channel
        if self._path.suffix.lower() == ".blf":
            self._file = self._path.open("rb")  # python-can's reader leaves it open when it starts with garbage
            self._reader = can.BLFReader(self._file)
        else:
            self._reader = can.LogReader(self._path)
        for message in self._reader:
            if channel is not None and str(message.channel) != channel:
                continue
            try:
                record = record_of(message, bus, message.timestamp)
            except ValueError:
                self.lines_skipped += 1
                continue
            yield record

    def _open_text(self) -> BinaryIO:
        opener = gzip.open if self._path.suffix.lower() == ".gz" else open
        return cast(BinaryIO, opener(self._path, "rb"))

    def _read_candump(self) -> Iterator[_Entry]:
        """The frames of many lines at a time."""
        channel = None if self._channel is None else self._channel.encode()
        sense, number = False, 1
        with self._open_text() as file:
            for text in _whole_lines(file):
                if not sense:
                    lines = text.lstrip()
                    number += text.count(b"\n", 0, len(text) - len(lines))
                    if not lines:
                        continue
                    try:
                        parse_line(lines.partition(b"\n")[0], self._bus, channel)
                    except ValueError as error:
                        raise ValueError(f"line {number}: {error}") from error
                    sense = True
                frames, invalid = parse_candump(text, self._bus, channel)
                self.lines_skipped += invalid
                if frames:
                    yield frames

    def _read_trace(self) -> Iterator[_Entry]:
        with self._open_text() as file:
            sense = False
            for number, line in enumerate(iter(lambda: file.readline(LINE_LIMIT), b""), start=1):
                if line.isspace():
                    continue
                try:
                    entry = self._parse_trace(line)
                except (InvalidRecord, ValueError) as error:
                    if not sense:
                        raise ValueError(f"line {number}: {error}") from error
                    self.lines_skipped += 1
                    continue
                sense = True
                if entry is not None:
                    yield entry

    def _parse_trace(self, line: bytes) -> bytes | TraceRecord | None:
        fields = read_object(line.rstrip())
        if "metadata" in fields:
            return None
        timestamp = read_number(fields, "timestamp")
        if any(fields.get(key) is not None for key in ("name", "mode", "command_response")):
            return TraceRecord(0, None if timestamp is None else float(timestamp), fields)
        message = outgoing_from_fields(fields)
        if not isinstance(message, CanMessage):
            raise InvalidRecord("no known kind of record")
        if self._channel is not None and str(message.bus or 1) != self._channel:
            return None
        flags = (FrameFlags.EXTENDED if is_extended(message) else 0) | (FrameFlags.FD if message.fd else 0)
        return pack(float(timestamp or 0.0), message.id, self._bus, flags, message.data)


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Pieces of a file that end where a line does; of a line beyond LINE_LIMIT, what it has."""
    rest = b""
    # read1: what was read before a fault of the file is not lost with it.
    while piece := file.read1(CHUNK_SIZE):  # type: ignore[attr-defined]
        text = rest + piece
        end = text.rfind(b"\n") + 1 or (len(text) if len(text) >= LINE_LIMIT else 0)
        rest = text[end:]
        if end:
            yield text[:end]
    if rest:
        yield rest


def _reason(path: Path, error: Exception) -> str:
    """Why a file cannot be read, in a few words."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, IsADirectoryError):
        return "it is a directory"
    text = " ".join(str(error).split()) or type(error).__name__
    if text.startswith("No read support"):
        formats = ", ".join(sorted([*MESSAGE_READERS, ".json"]))
        return f"{path.suffix or 'a file without a suffix'} is no format of recordings; there are {formats}"
    if "asammdf" in text or isinstance(error, NotImplementedError):
        return "reading .mf4 needs a package; install it with: pip install 'openxc-bridge[mf4]'"
    if isinstance(error, (zlib.error, gzip.BadGzipFile, EOFError)):
        return f"it is not a whole gzip file ({text})"
    if isinstance(error, OSError):
        return text
    return f"it is not a {path.suffix} recording ({text})"
