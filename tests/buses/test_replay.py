from __future__ import annotations

import asyncio
import gzip
import json
import logging
import threading
from pathlib import Path

import can
import pytest

from bridge.buses import recording as recording_module
from bridge.buses.bus import BusState
from bridge.buses.recording import Recording
from bridge.buses.replay import ReplayBus
from bridge.errors import BusError
from bridge.frames import Frame, FrameBatch, FrameFlags
from bridge.limits import BATCH_FRAMES_LIMIT

PATIENCE = 20.0
DRIVE = Path(__file__).parents[2] / ".." / "shared" / "data" / "honda-drive.log"

MESSAGES = [
    can.Message(
        timestamp=100.0 + i / 100, arbitration_id=0x100 + i, is_extended_id=i % 2 == 1, data=bytes([i]) * (i % 9)
    )
    for i in range(50)
]


def write_log(path: Path, messages: list[can.Message] = MESSAGES) -> Path:
    with can.Logger(path) as writer:
        for message in messages:
            writer.on_message_received(message)
    return path


def write_lines(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


async def play(bus: ReplayBus, listener) -> None:
    await bus.open(listener)
    await asyncio.wait_for(bus.ended.wait(), PATIENCE)


class TestFormats:
    @pytest.mark.parametrize("suffix", [".log", ".asc", ".blf", ".csv", ".db", ".trc", ".log.gz", ".asc.gz"])
    async def test_every_log_that_python_can_reads(self, tmp_path, listener, suffix) -> None:
        path = write_log(tmp_path / f"a{suffix}")
        bus = ReplayBus(3, "replay", path, speed=None)
        await play(bus, listener)
        assert [(f.id, f.extended, f.data, f.bus) for f in listener.frames] == [
            (m.arbitration_id, m.is_extended_id, bytes(m.data), 3) for m in MESSAGES
        ]
        times = [f.timestamp for f in listener.frames]
        assert [t - times[0] for t in times] == pytest.approx([m.timestamp - 100 for m in MESSAGES], abs=0.002)
        assert bus.state is BusState.UP
        assert bus.frames_received == len(MESSAGES)
        await bus.close()

    async def test_a_trace_has_frames_and_messages_in_their_order(self, tmp_path, listener) -> None:
        path = write_lines(
            tmp_path / "trace.json",
            {"metadata": {"version": "v1"}},
            {"name": "a", "value": 1, "timestamp": 10.0},
            {"bus": 2, "id": 0x123, "data": "0x0102", "timestamp": 10.1},
            "",
            {"bus": 1, "id": 0x124, "data": "0X03", "frame_format": "extended", "timestamp": 10.2},
            {"name": "b", "value": "x", "event": True, "timestamp": 10.3},
            {"bus": 1, "id": 0x12345678, "data": "", "timestamp": 10.4},
            {"id": 5, "data": "aabb", "frame_format": "standard"},
            {"bus": 1, "id": 6, "data": "0x" + "11" * 12, "fd": True, "timestamp": 10.5},
            {"bus": 1, "id": 2015, "mode": 1, "pid": 12, "success": True, "payload": "0x1234", "timestamp": 10.6},
        )
        log: list[object] = []
        received = listener.frames_received

        def frames_received(bus, batch) -> None:
            log.extend(frame.id for frame in batch)
            received(bus, batch)

        listener.frames_received = frames_received
        bus = ReplayBus(1, "trace", path, speed=None, on_record=lambda message: log.append(message.get("name", "diag")))
        await play(bus, listener)
        await bus.close()
        assert log == ["a", 0x123, 0x124, "b", 0x12345678, 5, 6, "diag"]
        assert listener.frames == [
            Frame(0x123, b"\1\2", 1, False, False, 10.1),
            Frame(0x124, b"\3", 1, True, False, 10.2, FrameFlags.EXTENDED),
            Frame(0x12345678, b"", 1, True, False, 10.4, FrameFlags.EXTENDED),
            Frame(5, b"\xaa\xbb", 1),
            Frame(6, b"\x11" * 12, 1, False, True, 10.5, FrameFlags.FD),
        ]

    async def test_a_trace_without_frames_and_one_that_is_compressed(self, tmp_path, listener) -> None:
        path = tmp_path / "trace.json.gz"
        path.write_bytes(gzip.compress(b'{"name":"a","value":1,"timestamp":1.0}\r\n{"name":"b","value":2}\r\n'))
        heard: list[dict] = []
        bus = ReplayBus(1, "trace", path, speed=1.0, on_record=heard.append)
        await play(bus, listener)
        await bus.close()
        assert heard == [{"name": "a", "value": 1, "timestamp": 1.0}, {"name": "b", "value": 2}]

    async def test_one_channel_of_several(self, tmp_path, listener) -> None:
        path = write_lines(tmp_path / "two.log", "(1.0) can0 001#00", "(1.1) can1 002#00", "(1.2) can0 003#00")
        for channel, expected in ((None, [1, 2, 3]), ("can1", [2]), ("can0", [1, 3])):
            listener.frames.clear()
            bus = ReplayBus(1, "x", path, speed=None, channel=channel)
            await play(bus, listener)
            await bus.close()
            assert [f.id for f in listener.frames] == expected
        with pytest.raises(BusError, match="no frame on channel can7"):
            await ReplayBus(1, "x", path, channel="can7").open(listener)


class TestBadFiles:
    @pytest.mark.parametrize(
        ("name", "content", "complaint"),
        [
            ("a.log", b"", "no frame"),
            ("a.log", b"\n\n", "no frame"),
            ("a.log", b"hello world\n", "line 1: not a line of candump"),
            ("a.log", b"\x00\xff\xfe" * 100, "not a .log recording"),
            ("a.log", b"x" * 200_000, "not a .log recording"),
            ("a.log.gz", b"no gzip", "gzip"),
            ("a.json", b"", "no frame"),
            ("a.json", b"{}\n", "line 1: no known kind of record"),
            ("a.json", b"[1]\n", "line 1"),
            ("a.json", b"{\n", "line 1"),
            ("a.json", b'{"name":"a","value":1,"timestamp":"now"}\n', "timestamp must be a number"),
            ("a.json", b'{"id":-1,"data":"0x00"}\n', "id must be from 0 to 0x1fffffff"),
            ("a.json", b'{"id":1,"data":"0xzz"}\n', "line 1"),
            ("a.json", b'{"id":1,"data":5}\n', "line 1"),
            ("a.blf", b"garbage garbage", "not a .blf recording"),
            ("a.asc", b"garbage\n", "no frame"),
            ("a.db", b"garbage", "not a .db recording"),
            ("a.txt", b"garbage", ".txt is no format of recordings"),
            ("a", b"garbage", "a file without a suffix is no format"),
        ],
    )
    async def test_one_line_says_why(self, tmp_path, listener, name, content, complaint) -> None:
        path = tmp_path / name
        path.write_bytes(content)
        bus = ReplayBus(1, "x", path)
        with pytest.raises(BusError) as caught:
            await bus.open(listener)
        assert complaint in str(caught.value)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
        assert bus.state is BusState.CLOSED
        await bus.close()

    async def test_missing_files_and_directories(self, tmp_path, listener) -> None:
        with pytest.raises(BusError, match="there is no such file"):
            await ReplayBus(1, "x", tmp_path / "nothing.log").open(listener)
        with pytest.raises(BusError, match="it is a directory"):
            await ReplayBus(1, "x", tmp_path).open(listener)

    @pytest.mark.parametrize(
        ("name", "lines"),
        [
            ("a.log", ["(1.0) can0 001#00", "what", "(1.1) can0 002#00", "(1.2) can0 00"]),
            ("a.json", [{"id": 1, "data": "0x00"}, "what", {"id": 2, "data": "0x00"}, '{"id": 3, "da']),
        ],
    )
    async def test_lines_without_sense_are_skipped(self, tmp_path, listener, caplog, name, lines) -> None:
        bus = ReplayBus(1, "x", write_lines(tmp_path / name, *lines), speed=None)
        with caplog.at_level(logging.WARNING):
            await play(bus, listener)
        assert "2 lines made no sense and were skipped" in caplog.text
        assert [f.id for f in listener.frames] == [1, 2]
        await bus.close()

    async def test_garbage_in_a_binary_log_ends_the_replay_after_what_was_good(
        self, tmp_path, listener, caplog, monkeypatch
    ) -> None:
        def reader(path):
            yield from MESSAGES[:2]
            raise ValueError("a broken block")

        monkeypatch.setattr(recording_module.can, "LogReader", reader)
        monkeypatch.setattr(recording_module.Recording, "close", lambda self: None)
        bus = ReplayBus(1, "x", tmp_path / "a.asc", speed=None)
        with caplog.at_level(logging.WARNING):
            await play(bus, listener)
        assert "ends early" in caplog.text
        assert "a broken block" in caplog.text
        assert len(listener.frames) == 2
        assert bus.state is BusState.UP
        await bus.close()


class TestRhythm:
    async def test_relative_times_are_kept_and_divided_by_the_speed(self, tmp_path, new_listener) -> None:
        path = write_lines(tmp_path / "a.log", *(f"({1000 + i * 0.02:.3f}) can0 {i:03X}#00" for i in range(6)))
        loop = asyncio.get_running_loop()

        class Timed(new_listener):
            def frames_received(self, bus, batch) -> None:
                super().frames_received(bus, batch)
                self.times = [*getattr(self, "times", []), *[loop.time()] * len(batch)]

        for speed in (1.0, 4.0):
            listener = Timed()
            bus = ReplayBus(1, "x", path, speed=speed)
            await play(bus, listener)
            await bus.close()
            since = [t - listener.times[0] for t in listener.times]
            for position, seconds in enumerate(since):
                assert seconds >= position * 0.02 / speed - 0.003  # never early; late only where the machine is
            assert since[-1] >= 0.1 / speed - 0.003

    async def test_times_that_go_back_do_not_stop_it(self, tmp_path, listener) -> None:
        path = write_lines(tmp_path / "a.log", "(5.000) can0 001#", "(3.000) can0 002#", "(5.001) can0 003#")
        bus = ReplayBus(1, "x", path)
        await play(bus, listener)
        await bus.close()
        assert [f.timestamp for f in listener.frames] == [5.0, 3.0, 5.001]

    async def test_as_fast_as_the_clients_read(self, tmp_path, listener) -> None:
        count = 3 * BATCH_FRAMES_LIMIT
        path = write_lines(tmp_path / "a.log", *(f"({i}.0) can0 001#{i:04X}" for i in range(count)))
        room = asyncio.Semaphore(0)

        async def ready() -> None:
            await room.acquire()

        bus = ReplayBus(1, "x", path, speed=None, ready=ready)
        await bus.open(listener)
        for batches in range(1, 4):
            room.release()
            await listener.heard(batches * BATCH_FRAMES_LIMIT)
            await asyncio.sleep(0)
            assert len(listener.batches) == batches
        await asyncio.wait_for(bus.ended.wait(), PATIENCE)
        assert [int.from_bytes(f.data, "big") for f in listener.frames] == list(range(count))
        await bus.close()

    async def test_it_waits_for_the_first_client(self, tmp_path, listener) -> None:
        bus = ReplayBus(1, "x", write_log(tmp_path / "a.log"), speed=None, wait=True, grace=0.0)
        await bus.open(listener)
        for _ in range(20):
            await asyncio.sleep(0)
        assert listener.frames == []
        bus.client_arrived()
        bus.client_arrived()
        await asyncio.wait_for(bus.ended.wait(), PATIENCE)
        assert len(listener.frames) == len(MESSAGES)
        await bus.close()

    async def test_a_loop_begins_again_with_the_recordings_times(self, tmp_path, listener) -> None:
        bus = ReplayBus(1, "x", write_log(tmp_path / "a.log", MESSAGES[:3]), speed=None, loop=True)
        await bus.open(listener)
        frames = (await listener.heard(9))[:9]
        await bus.close()
        assert [f.id for f in frames] == [0x100, 0x101, 0x102] * 3
        assert frames[0].timestamp == frames[3].timestamp == 100.0
        assert not bus.ended.is_set()


class TestLife:
    async def test_what_is_sent_goes_nowhere(self, tmp_path, listener) -> None:
        bus = ReplayBus(1, "x", write_log(tmp_path / "a.log"), wait=True)
        with pytest.raises(BusError, match="closed"):
            bus.send(FrameBatch.of([Frame(id=1)]))
        await bus.open(listener)
        bus.send(FrameBatch.of([Frame(id=1), Frame(id=2)]))
        assert bus.frames_sent == 2
        channel = bus.open_isotp(0x7E0, 0x7E8, extended=False, receiver=pytest.fail, failure=pytest.fail)
        channel.send(b"anybody?")
        await bus.close()
        await bus.close()
        assert listener.frames == []

    async def test_it_can_be_opened_again(self, tmp_path, listener) -> None:
        bus = ReplayBus(1, "x", write_log(tmp_path / "a.db"), speed=None)
        for round_number in range(1, 4):
            await play(bus, listener)
            await bus.close()
            assert len(listener.frames) == round_number * len(MESSAGES)

    async def test_closing_in_the_middle_leaves_no_task_and_no_thread(self, tmp_path, listener) -> None:
        threads, tasks = set(threading.enumerate()), asyncio.all_tasks()
        bus = ReplayBus(1, "x", write_log(tmp_path / "a.log"), speed=0.001)
        await bus.open(listener)
        await listener.heard(1)
        await bus.close()
        assert asyncio.all_tasks() == tasks
        assert set(threading.enumerate()) <= threads

    async def test_a_listener_that_fails_is_logged(self, tmp_path, listener, caplog) -> None:
        def broken(bus, batch) -> None:
            raise RuntimeError("a bug of the listener")

        listener.frames_received = broken
        bus = ReplayBus(1, "x", write_log(tmp_path / "a.log"), speed=None)
        await bus.open(listener)
        async with asyncio.timeout(PATIENCE):
            while "a bug of the listener" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0)
        await bus.close()


def test_reading_is_bounded(tmp_path: Path) -> None:
    recording = Recording(write_log(tmp_path / "a.log"), 1)
    recording.open()
    pieces = []
    while (piece := recording.read(20)) is not None:
        pieces.append(len(FrameBatch(piece.frames)))
    assert pieces == [20, 20, 10]
    assert recording.read(20) is None
    recording.close()
    recording.close()


@pytest.mark.skipif(not DRIVE.exists(), reason="the real car's recording is not beside the project")
async def test_a_real_drive_is_played_frame_by_frame(listener) -> None:
    bus = ReplayBus(1, "drive", DRIVE, speed=None)
    await play(bus, listener)
    await bus.close()
    lines = [f"({f.timestamp:.6f}) can0 {f.id:03X}#{f.data.hex().upper()}" for f in listener.frames]
    assert lines == [line.strip() for line in DRIVE.read_text().splitlines()]
