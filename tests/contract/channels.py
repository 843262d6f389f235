"""What every bus of frames promises of the channels that run on its frames."""

from __future__ import annotations

import asyncio
import random

import pytest

from bridge.buses.bus import NORMAL_LAYOUT, IsotpLayout, Padding
from bridge.buses.isotp_link import IsotpTimeouts
from bridge.errors import BusError
from bridge.frames import Frame, FrameBatch, FrameFlags
from tests.contract.harness import PATIENCE, Endpoints, Listener, Peer, Raw


class IsotpContract(Endpoints):
    """Payloads of every size, addressing and layout, several at once; silence is reported."""

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


class RawContract(Endpoints):
    """The data frames of one id, in order, whatever else is wanted."""

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
