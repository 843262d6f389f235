"""Text that comes in: lines of candump's log format, and raw frames that an app writes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from can.io.canutils import CanutilsLogReader

from benchmarks import payload
from benchmarks.measuring import Effort, Report, contest, faster, repeated
from bridge import codec
from bridge.buses.recording import Recording
from bridge.codec import IMPLEMENTATION
from bridge.openxc.messages import PayloadFormat
from bridge.openxc.stream import StreamDecoder

PIECE = 4096  #: bytes at once of what an app writes, as the daemon reads them


def measure(effort: Effort) -> Report:
    """Both rows, beside their peers."""
    frames = payload.frames()
    log = "".join(
        f"({1.7e9 + number / 1000:.6f}) can0 {frame.id:03X}#{frame.data.hex().upper()}\n"
        for number, frame in enumerate(frames)
    )
    writes = [f'{{"bus":1,"id":{frame.id},"data":"0x{frame.data.hex()}"}}\0'.encode() for frame in frames]
    run = partial(repeated, items=payload.FRAMES, seconds=effort.run_seconds)
    with tempfile.TemporaryDirectory(prefix="parsing-") as folder:
        path = Path(folder, "benchmark.log")
        path.write_text(log)
        figures = contest(
            {
                "recording": run(lambda: read_recording(path)),
                "python-can": run(lambda: sum(1 for _ in CanutilsLogReader(path))),
                "decoder": run(feed(b"".join(writes))),
                "json": run(lambda: [obvious_write(write) for write in writes]),
            },
            effort.runs,
        )
    return Report(
        [
            faster(
                f"candump log → frames ({IMPLEMENTATION} codec)",
                figures["recording"],
                "python-can's CanutilsLogReader",
                figures["python-can"],
                unit="lines/s",
            ),
            faster(
                f"raw writes of an app → messages ({IMPLEMENTATION} codec)",
                figures["decoder"],
                "json.loads and checks",
                figures["json"],
                unit="records/s",
            ),
        ]
    )


def read_recording(path: Path) -> int:
    """Read a whole recording, as a replay does."""
    recording = Recording(path, 1)
    recording.open()
    size = 0
    while (piece := recording.read(1024)) is not None:
        size += len(piece.frames)
    recording.close()
    return size


def feed(stream: bytes) -> Callable[[], int]:
    """Have the bridge's decoder read a stream, a piece at a time."""

    def work() -> int:
        decoder = StreamDecoder(PayloadFormat.JSON, can_writes=codec.can_writes)
        return sum(len(decoder.feed(stream[start : start + PIECE])) for start in range(0, len(stream), PIECE))

    return work


def obvious_write(record: bytes) -> tuple[int, int, bytes]:
    """A raw write, by the standard library, with no more than the checks that it needs."""
    fields = json.loads(record[:-1])
    bus, identifier, data = fields.get("bus", 1), fields["id"], bytes.fromhex(fields["data"].removeprefix("0x"))
    if not isinstance(bus, int) or not isinstance(identifier, int) or not 0 <= identifier < 1 << 29 or len(data) > 8:
        raise ValueError("not a frame")
    return bus, identifier, data
