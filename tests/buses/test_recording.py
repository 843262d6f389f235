"""Candump recordings, which are read by whole chunks."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from bridge.buses.recording import CHUNK_SIZE, Recording
from bridge.errors import BusError
from bridge.frames import FrameBatch
from bridge.limits import LINE_LIMIT

LINES = [f"({1000 + i}.5) can{i % 2} {i % 0x800:03X}#{i:08X}\n".encode() for i in range(3 * CHUNK_SIZE // 30)]


def read_all(recording: Recording, entries: int) -> list[int]:
    """The numbers in the frames' data; no piece may be longer than asked for."""
    recording.open()
    numbers: list[int] = []
    while (piece := recording.read(entries)) is not None:
        frames = list(FrameBatch(piece.frames))
        assert 0 < len(frames) <= entries
        numbers += [int.from_bytes(frame.data, "big") for frame in frames]
    recording.close()
    return numbers


@pytest.mark.parametrize("entries", [1000, 1024, 10**6])
def test_a_recording_of_many_chunks(tmp_path: Path, entries: int) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"".join(LINES))
    assert path.stat().st_size > 2 * CHUNK_SIZE
    assert read_all(Recording(path, 1), entries) == list(range(len(LINES)))
    assert read_all(Recording(path, 1, "can1"), entries) == list(range(1, len(LINES), 2))


def test_lines_without_sense_count_wherever_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"\n \n" + b"what\n".join(LINES) + b"what")
    recording = Recording(path, 1)
    assert read_all(recording, 1024) == list(range(len(LINES)))
    assert recording.lines_skipped == len(LINES)


def test_an_id_that_no_frame_has_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    header = "timestamp,arbitration_id,extended,remote,error,dlc,data\n"
    path.write_text(header + "0.0,0x98DAF110,1,0,0,1,AA==\n0.0,0x1,0,0,0,1,VQ==\n1.0,0x99999999,1,0,0,1,AA==\n")
    recording = Recording(path, 1)
    assert read_all(recording, 1024) == [0x55]
    assert recording.lines_skipped == 2


def test_a_line_that_is_no_text_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(LINES[0] + b"x" * (3 * LINE_LIMIT) + b"\n" + LINES[1])
    recording = Recording(path, 1)
    assert read_all(recording, 1024) == [0, 1]
    assert 1 <= recording.lines_skipped <= 5


def test_the_first_line_that_makes_no_sense_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"\n" * CHUNK_SIZE + b"\r\n what\n" + LINES[0])
    with pytest.raises(BusError, match=f"line {CHUNK_SIZE + 2}: not a line of candump -L: 'what'"):
        Recording(path, 1).open()


def test_what_a_broken_gzip_file_still_holds_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.log.gz"
    whole = gzip.compress(b"".join(LINES), 0)
    path.write_bytes(whole[: len(whole) // 2])
    recording = Recording(path, 1)
    recording.open()
    count = 0
    with pytest.raises(BusError, match="not a whole gzip file"):
        while (piece := recording.read(1024)) is not None:
            count += len(FrameBatch(piece.frames))
    assert count > len(LINES) // 4
    recording.close()
