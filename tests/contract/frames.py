"""What every bus of frames promises of its frames and of its life."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from bridge.buses.bus import BusState
from bridge.errors import BusError
from bridge.frames import Frame, FrameBatch, FrameFlags
from bridge.limits import BATCH_FRAMES_LIMIT
from tests.contract.harness import Endpoints, Listener, Peer, essence
from tests.descriptors import descriptors


class FramesContract(Endpoints):
    """Order, no loss, echo, every kind of frame, filters; opening and closing."""

    # Frames.

    async def test_frames_arrive_in_order_and_none_is_lost(self, opened) -> None:
        sender, _ = await opened(1)
        receiver, heard = await opened(2)
        frames = [Frame(id=i & 0x7FF, data=i.to_bytes(8, "big")) for i in range(5000)]
        for start in range(0, len(frames), self.window):
            part = frames[start : start + self.window]
            sender.send(FrameBatch.of(part))
            await heard.heard(start + len(part))
        assert [essence(f) for f in heard.frames] == [essence(f) for f in frames]
        assert heard.longest_batch <= BATCH_FRAMES_LIMIT
        assert receiver.frames_received == sender.frames_sent == 5000
        assert receiver.frames_dropped == sender.frames_unsent == 0

    async def test_the_record_has_the_receivers_bus_number_and_the_time(self, opened) -> None:
        sender, _ = await opened(1)
        _, heard = await opened(7)
        before = time.time()
        sender.send(FrameBatch.of([Frame(id=1, data=b"x", bus=3)]))
        (frame,) = await heard.heard(1)
        assert frame.bus == 7
        assert before - 1 <= frame.timestamp <= time.time() + 1

    async def test_everybody_else_hears_a_frame_and_its_sender_does_not(self, opened) -> None:
        sender, own = await opened(1)
        second, at_second = await opened(2)
        _, at_third = await opened(3)
        sender.send(FrameBatch.of([Frame(id=0x100, data=b"news")]))
        assert [f.id for f in await at_second.heard(1)] == [0x100]
        second.send(FrameBatch.of([Frame(id=0x200)]))
        assert [f.id for f in await at_third.heard(2)] == [0x100, 0x200]
        assert [f.id for f in await own.heard(1)] == [0x200]

    async def test_with_loopback_the_sender_hears_itself_flagged_own(self, opened) -> None:
        sender, own = await opened(1, loopback=True)
        second, at_second = await opened(2)
        sender.send(FrameBatch.of([Frame(id=0x100, data=b"news")]))
        assert [f.flags for f in await own.heard(1)] == [FrameFlags.OWN]
        assert [f.flags for f in await at_second.heard(1)] == [FrameFlags.NONE]
        second.send(FrameBatch.of([Frame(id=0x200)]))
        assert [f.flags for f in await own.heard(2)] == [FrameFlags.OWN, FrameFlags.NONE]

    async def test_extended_and_standard_ids_stay_apart(self, opened) -> None:
        sender, _ = await opened(1)
        _, heard = await opened(2)
        frames = [
            Frame(id=0x7FF),
            Frame(id=0x7FF, extended=True),
            Frame(id=0, data=bytes(8)),
            Frame(id=0x1FFFFFFF, extended=True, data=b"\xff" * 8),
            Frame(id=0, extended=True),
        ]
        sender.send(FrameBatch.of(frames))
        assert [essence(f) for f in await heard.heard(5)] == [essence(f) for f in frames]

    async def test_fd_frames_of_every_length(self, opened) -> None:
        sender, _ = await opened(1)
        _, heard = await opened(2)
        frames = [
            Frame(id=0x123, data=bytes(range(n)), fd=True, flags=flags, extended=extended)
            for n in (0, 1, 8, 12, 16, 20, 24, 32, 48, 64)
            for flags in (
                FrameFlags.NONE,
                FrameFlags.BITRATE_SWITCH,
                FrameFlags.BITRATE_SWITCH | FrameFlags.ERROR_STATE_INDICATOR,
            )
            for extended in (False, True)
        ]
        sender.send(FrameBatch.of(frames))
        assert [essence(f) for f in await heard.heard(len(frames))] == [essence(f) for f in frames]

    async def test_remote_frames_keep_the_length_they_ask_for(self, opened) -> None:
        sender, _ = await opened(1)
        _, heard = await opened(2)
        frames = [
            Frame(id=0x123, flags=FrameFlags.REMOTE, data=bytes(5)),
            Frame(id=0x1234567, extended=True, flags=FrameFlags.REMOTE),
        ]
        sender.send(FrameBatch.of(frames))
        received = await heard.heard(2)
        assert [(f.id, len(f.data), bool(f.flags & FrameFlags.REMOTE)) for f in received] == [
            (0x123, 5, True),
            (0x1234567, 0, True),
        ]

    async def test_what_no_bus_can_carry_is_refused_with_the_whole_batch(self, opened) -> None:
        sender, _ = await opened(1)
        _, heard = await opened(2)
        good = FrameBatch.of([Frame(id=1)])
        for impossible in (Frame(id=2, data=bytes(9)), Frame(id=2, data=bytes(13), fd=True)):
            with pytest.raises(BusError, match="data bytes"):
                sender.send(good + FrameBatch.of([impossible]))
        sender.send(FrameBatch())
        sender.send(FrameBatch.of([Frame(id=3)]))
        assert [f.id for f in await heard.heard(1)] == [3]

    async def test_wanted_ids_arrive_in_order_whatever_else_does(self, opened) -> None:
        sender, _ = await opened(1)
        receiver, heard = await opened(2)
        receiver.want_ids(frozenset({(0x10, False), (0x11, True)}))
        # The last one is wanted: when it is there, no other is under way.
        frames = [Frame(id=i, extended=extended) for extended in (False, True) for i in (0x12, 0x10, 0x11)] * 20
        sender.send(FrameBatch.of(frames))
        await heard.until(lambda: sum(f.id == 0x11 and f.extended for f in heard.frames) == 20)
        wanted = [(f.id, f.extended) for f in heard.frames if (f.id, f.extended) in {(0x10, False), (0x11, True)}]
        assert wanted == [(0x10, False), (0x11, True)] * 20
        receiver.want_ids(None)
        heard.frames.clear()
        sender.send(FrameBatch.of(frames))
        assert [essence(f) for f in await heard.heard(len(frames))] == [essence(f) for f in frames]

    async def test_wanted_ids_are_no_more_than_a_hint(self, opened) -> None:
        """Too many for any adapter, before opening, across closing: what is wanted arrives."""
        sender, _ = await opened(1)
        receiver, wanted = self.make(2), [Frame(id=i) for i in range(600)]
        receiver.want_ids(frozenset((frame.id, False) for frame in wanted))
        for _ in range(2):
            heard = Listener()
            await receiver.open(heard)
            for start in range(0, len(wanted), self.window):
                part = wanted[start : start + self.window]
                sender.send(FrameBatch.of(part))
                await heard.heard(start + len(part))
            await receiver.close()
            assert [f.id for f in heard.frames] == list(range(600))

    # Life.

    async def test_the_state_says_whether_it_is_open(self) -> None:
        bus = self.make(1)
        assert bus.state is BusState.CLOSED
        await bus.open(Listener())
        assert bus.state is BusState.UP
        await bus.close()
        assert bus.state is BusState.CLOSED

    async def test_closing_twice_and_unopened_is_fine(self) -> None:
        bus = self.make(1)
        await bus.close()
        await bus.open(Listener())
        await bus.close()
        await bus.close()

    async def test_opening_twice_is_an_error_that_harms_nothing(self, opened) -> None:
        bus, heard = await opened(1)
        with pytest.raises(BusError, match="open already"):
            await bus.open(Listener())
        other, _ = await opened(2)
        other.send(FrameBatch.of([Frame(id=5)]))
        await heard.heard(1)

    async def test_a_closed_bus_takes_no_frames(self, opened) -> None:
        bus, _ = await opened(1)
        await bus.close()
        with pytest.raises(BusError, match="closed"):
            bus.send(FrameBatch.of([Frame(id=5)]))

    async def test_it_works_again_after_closing(self, opened) -> None:
        sender, _ = await opened(1)
        bus = self.make(2)
        for round_number in range(3):
            heard = Listener()
            await bus.open(heard)
            sender.send(FrameBatch.of([Frame(id=round_number)]))
            assert [f.id for f in await heard.heard(1)] == [round_number]
            await bus.close()

    async def test_nothing_is_left_behind(self) -> None:
        async def use() -> None:
            sender, receiver, heard = self.make(1), self.make(2), Listener()
            await sender.open(Listener())
            await receiver.open(heard)
            channel = Peer(receiver, 0x7E0, 0x7E8).channel
            channel.send(bytes(100))
            sender.send(FrameBatch.of([Frame(id=1)]))
            await heard.heard(1)
            await receiver.close()
            await sender.close()
            with pytest.raises(BusError, match="closed"):
                channel.send(b"late")

        await use()  # imports and caches of the first time
        threads, tasks, files = set(threading.enumerate()), asyncio.all_tasks(), descriptors()
        for _ in range(5):
            await use()
        assert asyncio.all_tasks() == tasks
        assert {thread for thread in threading.enumerate() if thread.is_alive()} <= threads
        assert descriptors() == files
