from __future__ import annotations

import asyncio

import pytest

from bridge.buses.bus import BusListener, BusState
from bridge.buses.frame_bus import FrameBus, check_sendable
from bridge.errors import BusError
from bridge.frames import RECORD_SIZE, Frame, FrameBatch, FrameFlags, pack
from bridge.limits import READ_PERIOD


def records(*identifiers: int) -> bytes:
    return FrameBatch.of(Frame(id=identifier) for identifier in identifiers).buffer


def ids(buffer: bytes) -> list[int]:
    return [frame.id for frame in FrameBatch(buffer)]


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        (Frame(id=1, data=bytes(8)), None),
        (Frame(id=0x1FFFFFFF, extended=True), None),
        (Frame(id=1, data=bytes(64), fd=True), None),
        (Frame(id=0x20000, flags=FrameFlags.ERROR, data=bytes(8)), None),
        (Frame(id=1, data=bytes(9)), "classic CAN frame cannot carry 9"),
        (Frame(id=1, data=bytes(10), fd=True), "CAN FD frame cannot carry 10"),
    ],
)
def test_what_can_be_sent(frame: Frame, complaint: str | None) -> None:
    batch = FrameBatch.of([Frame(id=2), frame])
    if complaint is None:
        check_sendable(batch)
    else:
        with pytest.raises(BusError, match=complaint):
            check_sendable(batch)


def test_ids_that_do_not_fit_their_format() -> None:
    with pytest.raises(BusError, match="0x800 does not fit an arbitration id of 11 bits"):
        check_sendable(FrameBatch(pack(0.0, 0x800, 1, 0, b"")))
    with pytest.raises(BusError, match="29 bits"):
        check_sendable(FrameBatch(pack(0.0, 0x20000000, 1, FrameFlags.EXTENDED, b"")))
    check_sendable(FrameBatch())


def test_the_columns_are_where_the_records_have_them() -> None:
    assert RECORD_SIZE % 8 == 0


class QueuedBus(FrameBus):
    """Fed through its queue, as from a reader's thread."""

    async def open(self, listener: BusListener) -> None:
        self._attach(listener)
        self.state = BusState.UP

    async def close(self) -> None:
        self._detach()

    def send(self, batch: FrameBatch) -> None:
        """Nobody writes here."""

    def put(self, *identifiers: int) -> None:
        if self._queue.put(records(*identifiers)):
            self._drain_gathered()


async def test_frames_gather_in_the_queue_under_load(listener, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    timers = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "time", lambda: now)
    monkeypatch.setattr(loop, "call_later", lambda delay, callback: timers.append((now + delay, callback)))
    bus = QueuedBus(1, "queued")
    await bus.open(listener)
    bus.put(1)
    assert [frame.id for frame in listener.frames] == [1]
    for identifier in range(2, 10):
        now += READ_PERIOD / 10
        bus.put(identifier)
    assert len(listener.batches) == 1
    ((when, deliver),) = timers
    assert when == pytest.approx(1000.0 + READ_PERIOD)
    now = when
    deliver()
    assert [len(batch) for batch in listener.batches] == [1, 8]
    now += 2 * READ_PERIOD
    bus.put(10)
    assert [frame.id for frame in listener.frames] == list(range(1, 11))
    await bus.close()
