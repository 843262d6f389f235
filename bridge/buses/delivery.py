"""How frames get from an adapter to the one who hears the bus, and the queue between them.

Frames reach the listener a bounded batch at a time, then the raw channels, so that the record of a
frame precedes what is made of it. This module must not know adapters, nor how ISO-TP is spoken.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque

from bridge.buses.bus import Bus, BusListener, BusState, DataReceiver, RawChannel
from bridge.buses.raw import RawChannels
from bridge.errors import BusError
from bridge.frames import RECORD_SIZE, FrameBatch
from bridge.limits import BATCH_FRAMES_LIMIT, BUS_QUEUE_FRAMES, READ_PERIOD


class FrameQueue:
    """Records on their way to the loop, from any thread; when it is full the oldest are lost."""

    def __init__(self, limit: int = BUS_QUEUE_FRAMES) -> None:
        self.dropped = 0  #: frames lost because nobody took them in time
        self._limit = limit * RECORD_SIZE
        self._chunks: deque[bytes | memoryview] = deque()
        self._size = 0
        self._lock = threading.Lock()

    def put(self, records: bytes) -> bool:
        """Append whole records; True when the queue was empty, so its reader has to be woken."""
        with self._lock:
            was_empty = not self._chunks
            self._chunks.append(records)
            self._size += len(records)
            if self._size > self._limit:
                self._drop_oldest(self._size - self._limit)
            return was_empty

    def take(self, frames: int) -> tuple[bytes, bool]:
        """At most so many frames from the front, and whether there are more."""
        wanted = frames * RECORD_SIZE
        with self._lock:
            taken: list[bytes | memoryview] = []
            while wanted and self._chunks:
                chunk = self._chunks.popleft()
                if len(chunk) > wanted:
                    chunk = memoryview(chunk)
                    self._chunks.appendleft(chunk[wanted:])
                    chunk = chunk[:wanted]
                taken.append(chunk)
                wanted -= len(chunk)
                self._size -= len(chunk)
            return b"".join(taken), bool(self._chunks)

    def clear(self) -> None:
        """Forget what waits; that is no loss."""
        with self._lock:
            self._chunks.clear()
            self._size = 0

    def _drop_oldest(self, excess: int) -> None:
        self.dropped += excess // RECORD_SIZE
        self._size -= excess
        while excess:
            chunk = self._chunks.popleft()
            if len(chunk) > excess:
                self._chunks.appendleft(memoryview(chunk)[excess:])
                return
            excess -= len(chunk)


class DeliveringBus(Bus):
    """A bus that delivers frames in batches, and has raw channels made of them."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(number, name)
        self.raw_channels = RawChannels(changed=self._needed_ids_changed)
        self._wanted_ids: frozenset[tuple[int, bool]] | None = None
        self._listener: BusListener | None = None
        self._queue = FrameQueue()
        self._drained_at = float("-inf")

    def want_ids(self, ids: frozenset[tuple[int, bool]] | None) -> None:
        """See Bus.want_ids. It holds until the next call, whatever happens to the connection."""
        if ids != self._wanted_ids:
            self._wanted_ids = ids
            self._needed_ids_changed()

    def open_raw(self, arbitration_id: int, *, extended: bool, receiver: DataReceiver) -> RawChannel:
        """See Bus.open_raw. The channels end when the bus is closed."""
        return self.raw_channels.open(arbitration_id, extended=extended, receiver=receiver)

    def _attach(self, listener: BusListener) -> None:
        """The beginning of open(): who hears this bus.

        Raises:
            BusError: the bus is open already.
        """
        if self._listener is not None:
            raise BusError(f"{self.name} is open already")
        self._listener = listener

    def _detach(self) -> None:
        """The end of close(), or of an open() that failed: nobody hears this bus, no channel lives."""
        self._listener = None
        self._close_channels()
        self._queue.clear()
        self.state = BusState.CLOSED

    def _close_channels(self) -> None:
        self.raw_channels.close_all()

    @property
    def _needed_ids(self) -> frozenset[tuple[int, bool]] | None:
        """(arbitration id, extended) of the frames that somebody hears; None is everything."""
        return None if self._wanted_ids is None else self._wanted_ids | self.raw_channels.heard_ids

    def _needed_ids_changed(self) -> None:
        """A bus that can leave frames out does so now: `_needed_ids` may be others than before."""
        return

    def _change_state(self, state: BusState, reason: str) -> None:
        """Enter a state and say so, once."""
        if state is not self.state:
            self.state = state
            if self._listener is not None:
                self._listener.bus_state_changed(self, state, reason)

    def _deliver(self, batch: FrameBatch) -> None:
        """Count frames and hand them on: first to the listener, then to the channels."""
        step = BATCH_FRAMES_LIMIT * RECORD_SIZE
        for start in range(0, len(batch.buffer), step):
            part = batch if len(batch.buffer) <= step else FrameBatch(batch.buffer[start : start + step])
            if self._listener is None:
                return
            self.frames_received += len(part)
            self._listener.frames_received(self, part)
            self._feed_channels(part)

    def _feed_channels(self, batch: FrameBatch) -> None:
        self.raw_channels.feed(batch)

    def _drain_gathered(self) -> None:
        """Deliver from the queue: at once, or a READ_PERIOD after the last time, with what comes until then."""
        loop = asyncio.get_running_loop()
        wait = self._drained_at + READ_PERIOD - loop.time()
        if wait > 0:
            loop.call_later(wait, self._drain)
        else:
            self._drain()

    def _drain(self) -> None:
        """Deliver one batch from the queue; what is left gets the loop's next turn, after the others."""
        self._drained_at = asyncio.get_running_loop().time()
        records, more = self._queue.take(BATCH_FRAMES_LIMIT)
        self.frames_dropped = self._queue.dropped
        if more:
            asyncio.get_running_loop().call_soon(self._drain)
        if records:
            self._deliver(FrameBatch(records))

    def _require_up(self) -> None:
        if self.state in (BusState.CLOSED, BusState.GONE, BusState.BUS_OFF):
            raise BusError(f"{self.name} takes no frames, it is {self.state.value}")
