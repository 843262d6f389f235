"""FrameBus: what every bus that carries CAN frames has in common, and the queue before it.

Frames reach the listener a bounded batch at a time, then the ISO-TP and raw channels, so that the
raw record of a frame precedes what diagnostics make of it. This module must not know adapters.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque

from bridge.buses.bus import (
    NORMAL_LAYOUT,
    Bus,
    BusListener,
    BusState,
    ChannelFailure,
    ChannelProgress,
    DataReceiver,
    IsotpChannel,
    IsotpLayout,
    PayloadReceiver,
    RawChannel,
)
from bridge.buses.isotp import IsotpChannels
from bridge.buses.raw import RawChannels
from bridge.errors import BusError
from bridge.frames import (
    EXTENDED_ID_MAX,
    FD_LENGTHS,
    FLAGS_COLUMN,
    ID_WORDS,
    LENGTH_COLUMN,
    RECORD_SIZE,
    STANDARD_ID_MAX,
    FrameBatch,
    FrameFlags,
)
from bridge.limits import BATCH_FRAMES_LIMIT, BUS_QUEUE_FRAMES, READ_PERIOD

CLASSIC_DATA_LIMIT = 8


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


class FrameBus(Bus):
    """A bus of frames: delivery in batches, ISO-TP channels made of frames, raw channels."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(number, name)
        self.channels = IsotpChannels(self.send, number, changed=self._needed_ids_changed)
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

    def open_isotp(
        self,
        request_id: int,
        response_id: int | None,
        *,
        extended: bool,
        receiver: PayloadReceiver,
        failure: ChannelFailure,
        progress: ChannelProgress | None = None,
        layout: IsotpLayout = NORMAL_LAYOUT,
    ) -> IsotpChannel:
        """See Bus.open_isotp. The channels end when the bus is closed."""
        return self.channels.open(
            request_id,
            response_id,
            extended=extended,
            receiver=receiver,
            failure=failure,
            progress=progress,
            layout=layout,
        )

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
        self.channels.close_all()
        self.raw_channels.close_all()
        self._queue.clear()
        self.state = BusState.CLOSED

    @property
    def _needed_ids(self) -> frozenset[tuple[int, bool]] | None:
        """(arbitration id, extended) of the frames that somebody hears; None is everything."""
        if self._wanted_ids is None:
            return None
        return self._wanted_ids | self.channels.heard_ids | self.raw_channels.heard_ids

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
            self.channels.feed(part)
            self.raw_channels.feed(part)

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


def check_sendable(batch: FrameBatch) -> None:
    """Refuse what no CAN bus can carry, before the first of the frames is sent.

    Raises:
        BusError: a data length that the frame's format does not have, or an id that does not fit
            (ISO 11898-1).
    """
    if not batch:
        return
    lengths = batch.buffer[LENGTH_COLUMN]
    identifiers = memoryview(batch.buffer).cast("I")[ID_WORDS].tolist()
    if max(lengths) <= CLASSIC_DATA_LIMIT and max(identifiers) <= STANDARD_ID_MAX:
        return
    for identifier, length, flags in zip(identifiers, lengths, batch.buffer[FLAGS_COLUMN], strict=True):
        fd = flags & FrameFlags.FD
        if length not in FD_LENGTHS or (length > CLASSIC_DATA_LIMIT and not fd):
            kind = "CAN FD" if fd else "classic CAN"
            raise BusError(f"a {kind} frame cannot carry {length} data bytes (id 0x{identifier:x})")
        limit = EXTENDED_ID_MAX if flags & (FrameFlags.EXTENDED | FrameFlags.ERROR) else STANDARD_ID_MAX
        if identifier > limit:
            raise BusError(f"0x{identifier:x} does not fit an arbitration id of {29 if limit > 0x7FF else 11} bits")
