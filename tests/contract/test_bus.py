"""What every bus of frames promises, tested once and inherited by each kind of bus.

A kind of bus is a subclass of BusContract that says how its endpoints are made. Endpoints of one
test share a wire and hear each other.
"""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import can
import pytest

from bridge.buses.bus import NORMAL_LAYOUT, Bus, BusState, IsotpLayout, Padding
from bridge.buses.can_socket import widen_receive_buffer
from bridge.buses.frame_bus import FrameBus
from bridge.buses.isotp_link import IsotpTimeouts
from bridge.buses.python_can import PythonCanBus
from bridge.buses.slcan import SlcanBus
from bridge.buses.slcan_adapter import ChannelSettings
from bridge.buses.virtual import Segment, VirtualBus
from bridge.errors import BusError
from bridge.frames import Frame, FrameBatch, FrameFlags
from bridge.limits import BATCH_FRAMES_LIMIT
from tests.buses.slcan_adapter import SlcanAdapter, Wire

FRAME_SPACE = 800  #: bytes of a socket's buffer that a kernel reckons for a frame at most; some do with half
PATIENCE = 20.0  #: seconds until a test gives up waiting; no test waits so long when all is well


class Listener:
    """Keeps what a bus says, and lets a test wait for it."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.longest_batch = 0
        self.states: list[BusState] = []
        self._news = asyncio.Event()

    def frames_received(self, bus: Bus, batch: FrameBatch) -> None:
        self.longest_batch = max(self.longest_batch, len(batch))
        self.frames.extend(batch)
        self._news.set()

    def bus_state_changed(self, bus: Bus, state: BusState, reason: str) -> None:
        self.states.append(state)
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def heard(self, count: int) -> list[Frame]:
        await self.until(lambda: len(self.frames) >= count)
        return self.frames


class Peer:
    """An ISO-TP channel's other half in a test: what came, what failed."""

    def __init__(
        self,
        bus: Bus,
        request_id: int,
        response_id: int | None,
        extended: bool = False,
        layout: IsotpLayout = NORMAL_LAYOUT,
    ) -> None:
        self.payloads: asyncio.Queue[bytes] = asyncio.Queue()
        self.failures: asyncio.Queue[str] = asyncio.Queue()
        self.parts = 0
        self.channel = bus.open_isotp(
            request_id,
            response_id,
            extended=extended,
            receiver=self.payloads.put_nowait,
            failure=self.failures.put_nowait,
            progress=self._progress,
            layout=layout,
        )

    def _progress(self) -> None:
        self.parts += 1

    async def payload(self) -> bytes:
        return await asyncio.wait_for(self.payloads.get(), PATIENCE)

    async def failure(self) -> str:
        return await asyncio.wait_for(self.failures.get(), PATIENCE)


class Raw:
    """A raw channel in a test: what came."""

    def __init__(self, bus: Bus, identifier: int, extended: bool = False) -> None:
        self.heard: list[bytes] = []
        self._news = asyncio.Event()
        self.channel = bus.open_raw(identifier, extended=extended, receiver=self._hear)

    def _hear(self, data: bytes) -> None:
        self.heard.append(data)
        self._news.set()

    async def data(self, count: int) -> list[bytes]:
        async with asyncio.timeout(PATIENCE):
            while len(self.heard) < count:
                self._news.clear()
                await self._news.wait()
        return self.heard


def essence(frame: Frame) -> tuple[int, bytes, int]:
    """What must survive the wire."""
    return frame.id, frame.data, frame.all_flags()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class BusContract:
    """The promises. `make` gives an endpoint of the test's wire."""

    window = 5000  #: frames that may be on the way at once without loss
    burst = 4095  #: bytes of the longest ISO-TP payload whose frames the wire has room for
    wire: object  #: shared by the endpoints of one test

    def new_wire(self) -> object:
        raise NotImplementedError

    def make(self, number: int, loopback: bool = False) -> FrameBus:
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _wire(self) -> None:
        self.wire = self.new_wire()

    @pytest.fixture
    async def opened(self) -> AsyncIterator[Callable[..., object]]:
        """Opens endpoints, and closes them after the test."""
        buses: list[Bus] = []

        async def open_endpoint(number: int, loopback: bool = False) -> tuple[Bus, Listener]:
            bus, listener = self.make(number, loopback), Listener()
            await bus.open(listener)
            buses.append(bus)
            return bus, listener

        yield open_endpoint
        for bus in buses:
            await bus.close()

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

    # ISO-TP.

    @pytest.mark.parametrize("size", [1, 6, 7, 8, 62, 63, 500, 4095])
    async def test_payloads_both_ways(self, opened, size: int) -> None:
        if size > self.burst:
            pytest.skip(f"sockets of this machine lose frames of bursts beyond {self.burst} bytes")
        tester_bus, _ = await opened(1)
        ecu_bus, _ = await opened(2)
        tester, ecu = Peer(tester_bus, 0x7E0, 0x7E8), Peer(ecu_bus, 0x7E8, 0x7E0)
        request, response = random.Random(size).randbytes(size), random.Random(-size).randbytes(size)
        tester.channel.send(request)
        assert await ecu.payload() == request
        ecu.channel.send(response)
        assert await tester.payload() == response
        assert (tester.parts > 0) == (size > 7)
        assert tester.failures.empty()
        assert ecu.failures.empty()

    async def test_29_bit_addresses_are_not_those_of_11_bits(self, opened) -> None:
        tester_bus, _ = await opened(1)
        ecu_bus, _ = await opened(2)
        tester = Peer(tester_bus, 0x18DA10F1, 0x18DAF110, extended=True)
        ecu = Peer(ecu_bus, 0x18DAF110, 0x18DA10F1, extended=True)
        short = Peer(tester_bus, 0x7E0, 0x7E8)
        long = Peer(tester_bus, 0x7E0, 0x7E8, extended=True)
        tester.channel.send(bytes(range(30)))
        assert await ecu.payload() == bytes(range(30))
        ecu.channel.send(b"answer")
        assert await tester.payload() == b"answer"
        ecu_bus.send(FrameBatch.of([Frame(id=0x7E8, data=b"\x01\x11")]))
        assert await short.payload() == b"\x11"
        ecu_bus.send(FrameBatch.of([Frame(id=0x7E8, data=b"\x01\x29", extended=True)]))
        assert await long.payload() == b"\x29"
        assert short.payloads.empty()

    @pytest.mark.parametrize(
        ("there", "back"),
        [
            (IsotpLayout(0x10, 0xF1), IsotpLayout(0xF1, 0x10)),
            (IsotpLayout(0x10, None, Padding.UNPADDED), IsotpLayout(None, 0x10, Padding.UNPADDED)),
            (IsotpLayout(None, 0xF1, Padding.DETECTED), IsotpLayout(0xF1, None, Padding.UNPADDED)),
        ],
    )
    async def test_payloads_both_ways_in_each_layout(self, opened, there: IsotpLayout, back: IsotpLayout) -> None:
        tester_bus, _ = await opened(1)
        ecu_bus, _ = await opened(2)
        tester, ecu = Peer(tester_bus, 0x6F1, 0x610, layout=there), Peer(ecu_bus, 0x610, 0x6F1, layout=back)
        for size in (1, 6, 7, 8, 12, self.burst // 8):
            request, response = random.Random(size).randbytes(size), random.Random(-size).randbytes(size)
            tester.channel.send(request)
            assert await ecu.payload() == request
            ecu.channel.send(response)
            assert await tester.payload() == response
        assert tester.failures.empty()
        assert ecu.failures.empty()

    async def test_the_layout_is_what_the_wire_carries(self, opened) -> None:
        bus, _ = await opened(1)
        _, heard = await opened(2)
        frames = [
            (NORMAL_LAYOUT, b"\x02\x3e\x00\0\0\0\0\0"),
            (IsotpLayout(padding=Padding.UNPADDED), b"\x02\x3e\x00"),
            (IsotpLayout(request_address=0x10), b"\x10\x02\x3e\x00\0\0\0\0"),
        ]
        for response_id in (0x610, None):
            for layout, _ in frames:
                Peer(bus, 0x6F1, response_id, layout=layout).channel.send(b"\x3e\x00")
        assert [f.data for f in await heard.heard(6)] == [data for _, data in frames] * 2

    async def test_a_functional_request_and_flow_control_to_each_responder(self, opened) -> None:
        tester_bus, _ = await opened(1)
        ecus_bus, at_ecus = await opened(2)
        asked = [Peer(ecus_bus, 0x7E8 + n, 0x7DF) for n in range(3)]
        ecus = [Peer(ecus_bus, 0x7E8 + n, 0x7E0 + n) for n in range(3)]
        answers = [Peer(tester_bus, 0x7E0 + n, 0x7E8 + n) for n in range(3)]
        everybody = Peer(tester_bus, 0x7DF, None)
        everybody.channel.send(b"\x09\x02")
        for n in range(3):
            assert await asked[n].payload() == b"\x09\x02"
            ecus[n].channel.send(bytes([n]) * 100)
        for n in range(3):
            assert await answers[n].payload() == bytes([n]) * 100
        controls = [f.id for f in at_ecus.frames if f.id != 0x7DF and f.data[0] == 0x30]
        assert sorted(controls) == [0x7E0, 0x7E1, 0x7E2]
        for too_long in (b"", bytes(8)):
            with pytest.raises(BusError, match="functional"):
                everybody.channel.send(too_long)

    async def test_two_transfers_at_once(self, opened) -> None:
        tester_bus, _ = await opened(1)
        ecu_bus, _ = await opened(2)
        pairs = [(Peer(tester_bus, 0x7E0 + n, 0x7E8 + n), Peer(ecu_bus, 0x7E8 + n, 0x7E0 + n)) for n in range(2)]
        payloads = [random.Random(n).randbytes(self.burst // 4 + n) for n in range(2)]
        for (tester, ecu), payload in zip(pairs, payloads, strict=True):
            tester.channel.send(payload)
            ecu.channel.send(payload[::-1])
        for (tester, ecu), payload in zip(pairs, payloads, strict=True):
            assert await ecu.payload() == payload
            assert await tester.payload() == payload[::-1]

    async def test_payloads_queue_behind_a_transfer(self, opened) -> None:
        tester_bus, _ = await opened(1)
        ecu_bus, _ = await opened(2)
        tester, ecu = Peer(tester_bus, 0x7E0, 0x7E8), Peer(ecu_bus, 0x7E8, 0x7E0)
        payloads = [bytes(300), b"short", bytes(range(200)), b"end"]
        for payload in payloads:
            tester.channel.send(payload)
        assert [await ecu.payload() for _ in payloads] == payloads

    async def test_a_peer_that_sends_no_flow_control_is_reported(self, opened) -> None:
        bus, _ = await opened(1)
        bus.channels.timeouts = IsotpTimeouts(0.02, 0.02)
        await opened(2)
        tester = Peer(bus, 0x7E0, 0x7E8)
        tester.channel.send(bytes(20))
        assert "no flow control from 0x7e8 within 20 ms" in await tester.failure()
        tester.channel.send(bytes(20))
        assert "no flow control" in await tester.failure()

    async def test_a_peer_that_vanishes_in_its_answer_is_reported(self, opened) -> None:
        bus, _ = await opened(1)
        bus.channels.timeouts = IsotpTimeouts(0.02, 0.02)
        ecu, at_ecu = await opened(2)
        tester = Peer(bus, 0x7E0, 0x7E8)
        ecu.send(FrameBatch.of([Frame(id=0x7E8, data=b"\x10\x14abcdef")]))
        assert "stopped" in await tester.failure()
        (control,) = await at_ecu.heard(1)
        assert (control.id, control.data) == (0x7E0, b"\x30" + bytes(7))
        assert tester.parts == 1

    async def test_channels_hear_their_ids_though_no_other_is_wanted(self, opened) -> None:
        tester_bus, _ = await opened(1)
        ecu_bus, _ = await opened(2)
        early, ecu = Peer(tester_bus, 0x7E0, 0x7E8), Peer(ecu_bus, 0x7E8, 0x7E0)
        for bus in (tester_bus, ecu_bus):
            bus.want_ids(frozenset())
        late = Peer(tester_bus, 0x7E1, 0x7E9)
        late_ecu = Peer(ecu_bus, 0x7E9, 0x7E1)
        for tester, answers in ((early, ecu), (late, late_ecu)):
            tester.channel.send(bytes(range(100)))
            assert await answers.payload() == bytes(range(100))
            answers.channel.send(b"answer")
            assert await tester.payload() == b"answer"

    async def test_frames_reach_the_listener_before_the_channels(self, opened) -> None:
        bus, heard = await opened(1)
        ecu, _ = await opened(2)
        seen: asyncio.Queue[int] = asyncio.Queue()
        bus.open_isotp(
            0x7E0,
            0x7E8,
            extended=False,
            receiver=lambda payload: seen.put_nowait(len(heard.frames)),
            failure=pytest.fail,
        )
        ecu.send(FrameBatch.of([Frame(id=0x7E8, data=b"\x01\x50")]))
        assert await asyncio.wait_for(seen.get(), PATIENCE) == 1

    # Raw channels.

    async def test_a_raw_channel_hears_the_data_frames_of_its_id(self, opened) -> None:
        bus, _ = await opened(1)
        vehicle, _ = await opened(2)
        heard, same, extended = Raw(bus, 0x123), Raw(bus, 0x123), Raw(bus, 0x123, extended=True)
        frames = [
            Frame(id=0x123, data=b"first"),
            Frame(id=0x124, data=b"another"),
            Frame(id=0x123, extended=True, data=b"29 bits"),
            Frame(id=0x123, data=bytes(4), flags=FrameFlags.REMOTE),
            Frame(id=0x123, data=bytes(range(64)), fd=True),
            Frame(id=0x123),
            Frame(id=0x123, extended=True, data=b"last"),
        ]
        vehicle.send(FrameBatch.of(frames))
        assert await heard.data(3) == await same.data(3) == [b"first", bytes(range(64)), b""]
        assert await extended.data(2) == [b"29 bits", b"last"]
        heard.channel.close()
        vehicle.send(FrameBatch.of([Frame(id=0x123, data=b"more")]))
        assert (await same.data(4))[3] == b"more"
        assert len(heard.heard) == 3

    async def test_a_raw_channel_does_not_hear_what_the_bridge_itself_sends(self, opened) -> None:
        bus, at_bus = await opened(1, loopback=True)
        vehicle, _ = await opened(2)
        raw = Raw(bus, 0x123)
        bus.send(FrameBatch.of([Frame(id=0x123, data=b"own")]))
        assert [f.flags for f in await at_bus.heard(1)] == [FrameFlags.OWN]
        vehicle.send(FrameBatch.of([Frame(id=0x123, data=b"foreign")]))
        assert await raw.data(1) == [b"foreign"]

    async def test_raw_channels_hear_their_ids_though_no_other_is_wanted(self, opened) -> None:
        bus, _ = await opened(1)
        vehicle, _ = await opened(2)
        early = Raw(bus, 0x10)
        bus.want_ids(frozenset())
        late = Raw(bus, 0x10, extended=True)
        for number in range(3):
            vehicle.send(
                FrameBatch.of([Frame(id=0x10, data=bytes([number])), Frame(id=0x10, extended=True, data=b"late")])
            )
            assert len(await early.data(number + 1)) == len(await late.data(number + 1)) == number + 1
        early.channel.close()
        vehicle.send(FrameBatch.of([Frame(id=0x10, data=b"\x03"), Frame(id=0x10, extended=True)]))
        await late.data(4)
        assert early.heard == [b"\x00", b"\x01", b"\x02"]

    async def test_raw_channels_hear_every_frame_of_a_burst_in_order(self, opened) -> None:
        bus, _ = await opened(1)
        vehicle, _ = await opened(2)
        raw = Raw(bus, 1)
        frames = [Frame(id=number % 3, data=number.to_bytes(2, "big")) for number in range(3000)]
        for start in range(0, len(frames), self.window):
            vehicle.send(FrameBatch.of(frames[start : start + self.window]))
            await raw.data(len(range(1, min(start + self.window, 3000), 3)))
        assert raw.heard == [frame.data for frame in frames if frame.id == 1]

    async def test_raw_channels_end_with_the_bus(self, opened) -> None:
        vehicle, _ = await opened(2)
        bus = self.make(1)
        await bus.open(Listener())
        before = Raw(bus, 0x123)
        await bus.close()
        before.channel.close()
        listener = Listener()
        await bus.open(listener)
        after = Raw(bus, 0x123)
        vehicle.send(FrameBatch.of([Frame(id=0x123, data=b"again")]))
        assert await after.data(1) == [b"again"]
        assert before.heard == []
        await bus.close()

    async def test_a_raw_channel_needs_an_id_that_can_be(self, opened) -> None:
        bus, _ = await opened(1)
        for identifier, extended in ((0x800, False), (0x20000000, True)):
            with pytest.raises(BusError, match="not an arbitration id"):
                Raw(bus, identifier, extended=extended)


class TestVirtual(BusContract):
    def new_wire(self) -> object:
        return Segment()

    def make(self, number: int, loopback: bool = False) -> FrameBus:
        return VirtualBus(number, f"virtual {number}", self.wire, loopback)


class TestPythonCanVirtual(BusContract):
    def new_wire(self) -> object:
        return uuid.uuid4().hex

    def make(self, number: int, loopback: bool = False) -> FrameBus:
        return PythonCanBus(number, f"virtual:{number}", "virtual", self.wire, loopback=loopback)


class TestSlcan(BusContract):
    """Each endpoint has an adapter of its own, behind a pseudo-terminal; the adapters share a CAN bus."""

    @pytest.fixture(autouse=True)
    async def _plugged(self, _wire) -> AsyncIterator[None]:
        self.adapters: dict[int, SlcanAdapter] = {}
        yield
        self.wire.close()

    def new_wire(self) -> object:
        return Wire()

    def make(self, number: int, loopback: bool = False) -> FrameBus:
        if number not in self.adapters:
            self.adapters[number] = SlcanAdapter(self.wire)
        settings = ChannelSettings(500_000, data_bitrate=2_000_000)
        bus = SlcanBus(number, f"slcan:{number}", self.adapters[number].path, settings, loopback=loopback)
        bus.answer_timeout = PATIENCE
        return bus

    async def test_fd_frames_of_every_length(self, opened) -> None:
        """No line says the error state indicator: an adapter sets its own."""
        sender, _ = await opened(1)
        _, heard = await opened(2)
        frames = [
            Frame(id=0x123, data=bytes(range(n)), fd=True, flags=flags, extended=extended)
            for n in (0, 1, 8, 12, 16, 20, 24, 32, 48, 64)
            for flags in (FrameFlags.NONE, FrameFlags.BITRATE_SWITCH)
            for extended in (False, True)
        ]
        sender.send(FrameBatch.of(frames))
        assert [essence(f) for f in await heard.heard(len(frames))] == [essence(f) for f in frames]


GROUP = "239.74.163.2"


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def why_no_multicast() -> str | None:
    """A reason to skip, found by trying."""
    try:
        with can.Bus(interface="udp_multicast", channel=GROUP, port=free_udp_port()) as bus:
            bus.send(can.Message(arbitration_id=1))
            return None if bus.recv(1.0) else "multicast datagrams do not come back on this machine"
    except (can.CanError, OSError) as error:
        return f"no multicast on this machine: {error}"


def room_for_a_burst(frames: int = 1300) -> bool:
    """Whether a socket's receive buffer can be made to hold so many frames; the longest payload has half as many."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        widen_receive_buffer(probe)  # root of a user namespace may no more than others
        return probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= frames * FRAME_SPACE


NO_MULTICAST = why_no_multicast()


@pytest.mark.skipif(NO_MULTICAST is not None, reason=str(NO_MULTICAST))
class TestUdpMulticast(BusContract):
    window = 100  # a socket's usual buffer takes some 250 datagrams, and UDP waits for nobody
    burst = 4095 if room_for_a_burst() else 500

    def new_wire(self) -> object:
        return free_udp_port()

    def make(self, number: int, loopback: bool = False) -> FrameBus:
        return PythonCanBus(
            number,
            f"udp_multicast:{number}",
            "udp_multicast",
            GROUP,
            loopback=loopback,
            port=self.wire,
            hop_limit=0,
        )
