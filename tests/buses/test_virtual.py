from __future__ import annotations

import asyncio

import pytest

from bridge.buses.virtual import Segment, VirtualBus
from bridge.frames import Frame, FrameBatch
from bridge.limits import BATCH_FRAMES_LIMIT, BUS_QUEUE_FRAMES


@pytest.fixture
async def pair(new_listener):
    segment = Segment()
    sender, receiver = VirtualBus(1, "sender", segment), VirtualBus(2, "receiver", segment)
    heard = new_listener()
    await sender.open(new_listener())
    await receiver.open(heard)
    yield sender, receiver, heard
    await sender.close()
    await receiver.close()


async def test_frames_arrive_on_a_later_turn_together(pair) -> None:
    sender, _, heard = pair
    sender.send(FrameBatch.of([Frame(id=1)]))
    sender.send(FrameBatch.of([Frame(id=2), Frame(id=3)]))
    assert heard.frames == []
    await asyncio.sleep(0)
    assert [[f.id for f in batch] for batch in heard.batches] == [[1, 2, 3]]


async def test_a_timestamp_that_is_given_stays(pair) -> None:
    sender, _, heard = pair
    sender.send(FrameBatch.of([Frame(id=1, timestamp=12.5), Frame(id=2)]))
    first, second = await heard.heard(2)
    assert first.timestamp == 12.5
    assert second.timestamp > 1e9


async def test_one_turn_delivers_one_batch_and_lets_the_others_go_on(pair) -> None:
    sender, _, heard = pair
    sender.send(FrameBatch.of(Frame(id=i & 0x7FF) for i in range(2 * BATCH_FRAMES_LIMIT + 1)))
    for turn in range(1, 4):
        await asyncio.sleep(0)
        assert len(heard.batches) == turn
    assert [len(batch) for batch in heard.batches] == [BATCH_FRAMES_LIMIT, BATCH_FRAMES_LIMIT, 1]


async def test_a_flood_within_one_turn_loses_the_oldest_and_counts_them(pair) -> None:
    sender, receiver, heard = pair
    excess = 10
    sender.send(FrameBatch.of(Frame(id=i & 0x7FF) for i in range(BUS_QUEUE_FRAMES + excess)))
    await heard.heard(BUS_QUEUE_FRAMES)
    assert receiver.frames_dropped == excess
    assert heard.frames[0].id == excess
    assert sender.frames_dropped == 0


async def test_what_was_on_its_way_to_a_closed_endpoint_is_gone(pair, new_listener) -> None:
    sender, receiver, heard = pair
    sender.send(FrameBatch.of([Frame(id=1)]))
    await receiver.close()
    again = new_listener()
    await receiver.open(again)
    sender.send(FrameBatch.of([Frame(id=2)]))
    assert [f.id for f in await again.heard(1)] == [2]
    assert heard.frames == []


async def test_an_endpoint_may_close_while_it_hears(new_listener) -> None:
    segment = Segment()
    sender, receiver = VirtualBus(1, "sender", segment), VirtualBus(2, "receiver", segment)

    class Closing(new_listener):
        def frames_received(self, bus, batch) -> None:
            super().frames_received(bus, batch)
            self.task = asyncio.ensure_future(bus.close())

    heard = Closing()
    await sender.open(new_listener())
    await receiver.open(heard)
    receiver.open_isotp(1, 2, extended=False, receiver=pytest.fail, failure=pytest.fail)
    sender.send(FrameBatch.of([Frame(id=1)]))
    await heard.heard(1)
    await heard.task
    await sender.close()
