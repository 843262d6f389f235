"""A recording as a bus: frames come in the recorded rhythm, faster, or as fast as they are taken.

Timestamps are the recording's, also when it is played again from its beginning. What is sent to
this bus goes nowhere: nobody in a recording answers. Reading happens in one thread of its own, a
bounded piece ahead of the playing. This module must not know file formats or clients.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from bridge.buses.bus import BusListener, BusState
from bridge.buses.frame_bus import FrameBus, check_sendable
from bridge.buses.recording import Piece, Recording
from bridge.errors import BusError
from bridge.frames import RECORD_SIZE, FrameBatch
from bridge.limits import BATCH_FRAMES_LIMIT, REPLAY_CLIENT_GRACE

PIECE_ENTRIES = BATCH_FRAMES_LIMIT  #: entries that are read ahead

RecordReceiver = Callable[[dict[str, Any]], None]  #: gets each line of a trace that is no raw frame
Readiness = Callable[[], Awaitable[None]]  #: returns once there is room for another batch

_Result = TypeVar("_Result")
_WORDS = RECORD_SIZE // 8
_log = logging.getLogger(__name__)


class ReplayBus(FrameBus):
    """Plays a recording to its listener.

    The state stays UP at the end of the recording; `ended` is set then.

    Args:
        number: the bus number of all its frames.
        name: what the user called it.
        path: any log that python-can reads, or an OpenXC trace (.json, .json.gz).
        speed: 1.0 is the recorded rhythm, 2.0 twice as fast; None is as fast as `ready` allows.
        loop: begin again at the end.
        wait: begin only when client_arrived() was called, and REPLAY_CLIENT_GRACE later.
        ready: awaited before each batch where speed is None: a recording can wait.
        channel: only the frames of this channel of the recording; None takes all.
        on_record: gets the simple messages of a trace, each as its JSON object; None skips them.
        grace: seconds from the first client to the beginning of a `wait` replay.
    """

    def __init__(
        self,
        number: int,
        name: str,
        path: Path,
        *,
        speed: float | None = 1.0,
        loop: bool = False,
        wait: bool = False,
        ready: Readiness | None = None,
        channel: str | None = None,
        on_record: RecordReceiver | None = None,
        grace: float = REPLAY_CLIENT_GRACE,
    ) -> None:
        super().__init__(number, name)
        self.ended = asyncio.Event()
        self._path = path.expanduser()
        self._speed = speed
        self._again = loop
        self._wait = wait
        self._ready = ready
        self._channel = channel
        self._on_record = on_record
        self.messages_received = 0  #: a trace's simple messages, published as they are
        self._grace = grace
        self._client = asyncio.Event()
        self._player: asyncio.Task[None] | None = None
        self._reader: ThreadPoolExecutor | None = None
        self._recording: Recording | None = None

    async def open(self, listener: BusListener) -> None:
        """Open the file and begin to play.

        Raises:
            BusError: no such file, no recording, or nothing in it: one line.
        """
        self._attach(listener)
        self.ended.clear()
        self._client.clear()
        # One thread for all of a recording, since SQLite's cursors belong to the thread that made them.
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"replay {self.number}")
        try:
            recording = await self._open_recording()
        except BaseException:
            await self._stop_reading()
            self._detach()
            raise
        self.state = BusState.UP
        self._player = asyncio.get_running_loop().create_task(self._play(recording))
        self._player.add_done_callback(self._report_crash)

    async def close(self) -> None:
        """Stop playing and close the file."""
        player, self._player = self._player, None
        if player is not None:
            player.cancel()
            await asyncio.wait([player])
        await self._stop_reading()
        self._detach()

    def send(self, batch: FrameBatch) -> None:
        """Take frames and forget them. Raises BusError as any bus would for a frame that cannot be."""
        self._require_up()
        check_sendable(batch)
        self.frames_sent += len(batch)

    def client_arrived(self) -> None:
        """A `wait` replay may begin; called again it changes nothing."""
        self._client.set()

    # Reading.

    async def _open_recording(self) -> Recording:
        self._recording = Recording(self._path, self.number, self._channel)
        await self._in_reader(self._recording.open)
        return self._recording

    async def _stop_reading(self) -> None:
        if self._recording is not None:
            await self._in_reader(self._recording.close)
            self._recording = None
        if self._reader is not None:
            self._reader.shutdown()
            self._reader = None

    def _in_reader(self, function: Callable[..., _Result], *arguments: object) -> asyncio.Future[_Result]:
        future = asyncio.get_running_loop().run_in_executor(self._reader, function, *arguments)
        # Reading ahead may fail when nobody waits for it any more.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        return future

    # Playing.

    def _report_crash(self, player: asyncio.Task[None]) -> None:
        error = None if player.cancelled() else player.exception()
        if error is not None:
            _log.error("%s: the replay failed", self.name, exc_info=error)

    async def _play(self, recording: Recording) -> None:
        if self._wait:
            await self._client.wait()
            await asyncio.sleep(self._grace)
        try:
            await self._play_once(recording)
            while self._again:
                await self._in_reader(recording.close)
                recording = await self._open_recording()
                await self._play_once(recording)
        except BusError as error:
            _log.warning("%s: the replay ends early: %s", self.name, error)
        if recording.lines_skipped:
            _log.warning("%s: %d lines made no sense and were skipped", self.name, recording.lines_skipped)
        others = f" and {self.messages_received} other records" if self.messages_received else ""
        _log.info("%s: the recording has ended, %d frames%s", self.name, self.frames_received, others)
        self.ended.set()

    async def _play_once(self, recording: Recording) -> None:
        """Play from the beginning to the end, reading a piece while the one before it is played."""
        play = self._flood if self._speed is None else _Pacer(self, self._speed).play
        upcoming = self._in_reader(recording.read, PIECE_ENTRIES)
        while (piece := await upcoming) is not None:
            upcoming = self._in_reader(recording.read, PIECE_ENTRIES)
            await play(piece)

    async def _flood(self, piece: Piece) -> None:
        """One piece as fast as the listener's side is ready for it."""
        start = 0
        for position, _, message in piece.records:
            await self._flood_frames(piece.frames[start * RECORD_SIZE : position * RECORD_SIZE])
            self.publish(message)
            start = position
        await self._flood_frames(piece.frames[start * RECORD_SIZE :] if start else piece.frames)

    async def _flood_frames(self, frames: bytes) -> None:
        step = BATCH_FRAMES_LIMIT * RECORD_SIZE
        for start in range(0, len(frames), step):
            if self._ready is not None:
                await self._ready()
            self.deliver(frames[start : start + step])
            await asyncio.sleep(0)  # the others' turn

    def deliver(self, frames: bytes) -> None:
        """Hand records to the listener."""
        self._deliver(FrameBatch(frames))

    def publish(self, message: dict[str, Any]) -> None:
        """Hand a trace's simple message to whoever publishes it."""
        if self._on_record is not None:
            self.messages_received += 1
            self._on_record(message)


class _Pacer:
    """Plays the pieces of one pass in the recorded rhythm, divided by the speed."""

    def __init__(self, bus: ReplayBus, speed: float) -> None:
        self._bus = bus
        self._speed = speed
        self._clock = asyncio.get_running_loop().time
        self._offset: float | None = None  # loop time of the recording's second 0

    async def play(self, piece: Piece) -> None:
        start = 0
        for position, timestamp, message in piece.records:
            await self._play_frames(piece.frames[start * RECORD_SIZE : position * RECORD_SIZE])
            if timestamp is not None:
                await self._until(timestamp)
            self._bus.publish(message)
            start = position
        await self._play_frames(piece.frames[start * RECORD_SIZE :] if start else piece.frames)

    async def _play_frames(self, frames: bytes) -> None:
        if not frames:
            return
        timestamps = memoryview(frames).cast("d")[::_WORDS].tolist()
        start, count = 0, len(timestamps)
        while start < count:
            await self._until(timestamps[start])
            now = self._clock()
            end = start + 1
            while end < min(count, start + BATCH_FRAMES_LIMIT) and self._due(timestamps[end]) <= now:
                end += 1
            self._bus.deliver(frames[start * RECORD_SIZE : end * RECORD_SIZE])
            start = end

    def _due(self, timestamp: float) -> float:
        if self._offset is None:
            self._offset = self._clock() - timestamp / self._speed
        return self._offset + timestamp / self._speed

    async def _until(self, timestamp: float) -> None:
        # Sleeping also when the time is past gives the others their turn while this catches up.
        await asyncio.sleep(max(0.0, self._due(timestamp) - self._clock()))
