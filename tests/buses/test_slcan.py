"""The slcan bus beside adapters of several minds. What all buses promise is in tests/contract."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import re
from pathlib import Path

import pytest

from bridge.buses import slcan
from bridge.buses.bus import BusState
from bridge.buses.slcan_adapter import ChannelSettings
from bridge.codec.slcan import LINE_LIMIT, slcan_lines
from bridge.errors import BusError
from bridge.frames import Frame, FrameBatch, FrameFlags
from bridge.limits import WRITE_QUEUE_FRAMES
from tests.buses.slcan_adapter import SlcanAdapter

PATIENCE = 20.0
SOON = 0.02  #: seconds until something that will never come
ANSWER = 0.2  #: seconds for an answer, of adapters that give some and owe others


class TestSending:
    async def test_a_full_port_is_written_when_it_has_room(self, make_slcan, adapter, listener) -> None:
        bus = make_slcan(adapter.path, loopback=True)
        await bus.open(listener)
        adapter.stop_reading()
        frames = [Frame(id=i & 0x7FF, data=i.to_bytes(8, "big")) for i in range(WRITE_QUEUE_FRAMES)]
        bus.send(FrameBatch.of(frames))
        assert 0 < bus.frames_sent < WRITE_QUEUE_FRAMES
        with pytest.raises(BusError, match="wait already for stick"):
            bus.send(FrameBatch.of(frames))
        adapter.read_on()
        heard = await listener.heard(WRITE_QUEUE_FRAMES)
        assert [(f.id, f.data, f.flags, f.bus) for f in heard] == [(f.id, f.data, FrameFlags.OWN, 4) for f in frames]
        assert bus.frames_sent == WRITE_QUEUE_FRAMES
        assert bus.frames_unsent == 0
        await adapter.until(lambda: len(adapter.frames) == WRITE_QUEUE_FRAMES)

    async def test_a_port_that_takes_nothing_gets_no_frames_of_long_ago(
        self, opened, adapter, monkeypatch, caplog
    ) -> None:
        monkeypatch.setattr(slcan, "WRITE_TIMEOUT", SOON)
        adapter.stop_reading()
        frames = [Frame(id=i & 0x7FF, data=i.to_bytes(8, "big")) for i in range(3000)]
        for frame in frames:
            opened.send(FrameBatch.of([frame]))
        await until(lambda: opened.frames_sent + opened.frames_unsent >= 2999)  # one may be partly written
        taken = 3000 - opened.frames_unsent
        assert caplog.text.count("the adapter takes nothing") == 1
        adapter.read_on()
        opened.send(FrameBatch.of([Frame(id=5)]))
        await adapter.until(lambda: adapter.frames[-1:] == [b"t0050"])
        assert adapter.frames[:-1] == slcan_lines(FrameBatch.of(frames[:taken]).buffer).split(b"\r")[:-1]
        assert opened.frames_sent == taken + 1

    async def test_what_comes_while_the_port_takes_nothing_is_given_up_too(self, opened, adapter, monkeypatch) -> None:
        monkeypatch.setattr(slcan, "WRITE_TIMEOUT", SOON)
        adapter.stop_reading()
        for turn in (1, 2, 3):
            opened.send(FrameBatch.of(Frame(id=i, data=bytes(8)) for i in range(1000)))
            await until(lambda: opened.frames_sent + opened.frames_unsent >= 1000 * turn - 1)  # noqa: B023
        assert opened.frames_unsent > 2000

    async def test_a_full_port_does_not_keep_the_channel_open(self, opened, adapter, monkeypatch) -> None:
        monkeypatch.setattr(slcan, "WRITE_TIMEOUT", SOON)
        adapter.stop_reading()
        while opened._line.write(b"V\r" * 100):
            pass
        await asyncio.wait_for(opened.close(), PATIENCE)
        adapter.read_on()
        await adapter.until(lambda: not adapter.is_open)

    async def test_its_own_frames_come_back_when_they_are_written(self, make_slcan, adapter, listener) -> None:
        bus = make_slcan(adapter.path, loopback=True, clock=lambda: 1.7e9)
        await bus.open(listener)
        bus.send(FrameBatch.of([Frame(id=1, timestamp=5.0), Frame(id=2, extended=True, flags=FrameFlags.REMOTE)]))
        assert listener.frames == []
        first, second = await listener.heard(2)
        assert (first.timestamp, first.bus, first.flags) == (1.7e9, 4, FrameFlags.OWN)
        assert second.flags == FrameFlags.OWN | FrameFlags.EXTENDED | FrameFlags.REMOTE

    async def test_frames_that_the_adapter_refuses_are_counted_and_logged_once(self, opened, adapter, caplog) -> None:
        adapter.refuses_frames = True
        with caplog.at_level(logging.WARNING):
            for _ in range(5):
                opened.send(FrameBatch.of([Frame(id=1), Frame(id=2)]))
            await until(lambda: opened.frames_unsent == 10)
        assert opened.frames_sent == 10
        assert [m for m in caplog.messages if "could not be sent" in m] == caplog.messages[:1]
        assert "refuses them" in caplog.text

    async def test_a_bel_for_nothing_counts_for_nothing(self, opened, adapter, listener) -> None:
        adapter.say(b"\a\a\a")
        adapter.hear(b"t1230")
        await listener.heard(1)
        assert opened.frames_unsent == 0

    @pytest.mark.parametrize(
        ("frame", "why"),
        [
            (Frame(id=4, flags=FrameFlags.ERROR, data=bytes(8)), "error frame"),
            (Frame(id=4, fd=True), "?dbitrate=2000000"),
            (Frame(id=4, data=bytes(9)), "9 data bytes"),
        ],
    )
    async def test_what_it_has_no_line_for(self, opened, adapter, frame, why) -> None:
        with pytest.raises(BusError, match=re.escape(why)):
            opened.send(FrameBatch.of([Frame(id=1), frame]))
        opened.send(FrameBatch.of([Frame(id=2)]))
        await adapter.until(lambda: adapter.frames)
        assert adapter.frames == [b"t0020"]

    async def test_who_only_listens_sends_nothing(self, make_slcan, adapter, listener) -> None:
        bus = make_slcan(adapter.path, ChannelSettings(500_000, listen_only=True))
        await bus.open(listener)
        with pytest.raises(BusError, match="only listens"):
            bus.send(FrameBatch.of([Frame(id=1)]))
        adapter.hear(b"t1230")
        await listener.heard(1)

    async def test_closing_sends_what_waits(self, opened, adapter) -> None:
        adapter.stop_reading()
        opened.send(FrameBatch.of(Frame(id=i & 0x7FF, data=bytes(8)) for i in range(3000)))
        closing = asyncio.create_task(opened.close())
        await asyncio.sleep(0)
        with pytest.raises(BusError, match="closed"):
            opened.send(FrameBatch.of([Frame(id=1)]))
        adapter.read_on()
        await closing
        await adapter.until(lambda: not adapter.is_open)
        assert len(adapter.frames) == opened.frames_sent == 3000
        assert opened.frames_unsent == 0

    async def test_closing_gives_up_a_port_that_takes_nothing(self, opened, adapter, monkeypatch, caplog) -> None:
        monkeypatch.setattr(slcan, "WRITE_TIMEOUT", SOON)
        adapter.stop_reading()
        opened.send(FrameBatch.of(Frame(id=i & 0x7FF, data=bytes(8)) for i in range(3000)))
        await asyncio.wait_for(opened.close(), PATIENCE)
        assert opened.frames_unsent == 3000 - opened.frames_sent > 0
        assert "the bus was closed" in caplog.text
        adapter.read_on()
        await adapter.until(lambda: not adapter.is_open)
        assert adapter.commands[-1] == b"C"
        assert b"" not in adapter.commands

    async def test_closing_while_the_adapter_goes(self, opened, adapter) -> None:
        adapter.stop_reading()
        opened.send(FrameBatch.of(Frame(id=i & 0x7FF, data=bytes(8)) for i in range(3000)))
        closing = asyncio.create_task(opened.close())
        await asyncio.sleep(0)
        adapter.unplug()
        await asyncio.wait_for(closing, PATIENCE)
        assert opened.state is BusState.CLOSED
        assert opened.frames_unsent == 3000 - opened.frames_sent > 0


class TestStatus:
    async def test_error_passive_and_back(self, make_slcan, adapter, listener) -> None:
        bus = make_slcan(adapter.path)
        bus.status_period = 0.001
        await bus.open(listener)
        adapter.status = 0x24
        await listener.until(lambda: listener.states)
        assert bus.state is BusState.ERROR_PASSIVE
        bus.send(FrameBatch.of([Frame(id=1)]))
        await adapter.until(lambda: adapter.frames)
        adapter.status = 0x04
        await listener.until(lambda: len(listener.states) == 2)
        assert [state for state, _ in listener.states] == [BusState.ERROR_PASSIVE, BusState.UP]
        assert bus.frames_unsent == 0

    @pytest.mark.parametrize("status", [0x01, 0x08])
    async def test_an_overrun_is_logged_and_not_counted(self, make_slcan, adapter, listener, caplog, status) -> None:
        bus = make_slcan(adapter.path)
        bus.status_period = 0.001
        await bus.open(listener)
        adapter.status = status
        asked = adapter.commands.count(b"F")
        await adapter.until(lambda: adapter.commands.count(b"F") > asked + 5)
        assert [m for m in caplog.messages if "overran" in m] == [
            "stick: the adapter's buffer overran, frames of the vehicle were lost"
        ]
        assert bus.frames_dropped == 0
        assert listener.states == []

    async def test_an_adapter_without_status_is_not_asked_again(self, make_slcan, wire, listener) -> None:
        adapter = SlcanAdapter(wire, knows="CVNSZO")
        bus = make_slcan(adapter.path)
        bus.status_period = 0.0
        await bus.open(listener)
        for _ in range(100):
            bus.send(FrameBatch.of([Frame(id=1)]))
            await asyncio.sleep(0)
        await adapter.until(lambda: len(adapter.frames) == 100)
        assert adapter.commands.count(b"F") == 1
        assert bus.frames_unsent == 0

    async def test_it_is_not_asked_after_closing(self, make_slcan, adapter, listener) -> None:
        bus = make_slcan(adapter.path)
        bus.status_period = 0.0
        await bus.open(listener)
        await adapter.until(lambda: adapter.commands.count(b"F") > 3)
        await bus.close()
        await adapter.until(lambda: not adapter.is_open)
        assert adapter.commands[-1] == b"C"


class TestALostAdapter:
    @pytest.fixture
    async def device(self, adapter, tmp_path) -> Path:
        """A stable name, as those in /dev/serial/by-id."""
        path = tmp_path / "usb-CANable"
        path.symlink_to(adapter.path)
        return path

    def replug(self, adapter: SlcanAdapter, device: Path) -> None:
        adapter.plug_in()
        device.unlink(missing_ok=True)
        device.symlink_to(adapter.path)

    async def test_it_is_opened_again_when_it_is_back(self, make_slcan, adapter, device, listener) -> None:
        bus = make_slcan(device)
        await bus.open(listener)
        for turn in range(1, 4):
            adapter.unplug()
            device.unlink()
            await listener.until(lambda: len(listener.states) == 2 * turn - 1)  # noqa: B023
            state, reason = listener.states[-1]
            assert state is BusState.GONE
            assert re.fullmatch(rf"{device} was unplugged or has restarted \(.+\)", reason)
            with pytest.raises(BusError, match="gone"):
                bus.send(FrameBatch.of([Frame(id=2)]))
            adapter.commands.clear()
            self.replug(adapter, device)
            await listener.until(lambda: len(listener.states) == 2 * turn)  # noqa: B023
            assert listener.states[-1] == (BusState.UP, "stick is back")
            assert adapter.commands[:9] == [b"VVVV", b"C", b"V", b"N", b"S6", b"Z1", b"X1", b"O", b"F"]
            adapter.hear(b"t%03X0" % turn)
            assert (await listener.heard(turn))[-1].id == turn
            bus.send(FrameBatch.of([Frame(id=turn)]))
            await adapter.until(lambda: adapter.frames[-1:] == [b"t%03X0" % turn])  # noqa: B023
        assert bus.frames_sent == 3

    async def test_frames_that_waited_are_not_sent_to_the_next(
        self, make_slcan, adapter, device, listener, caplog
    ) -> None:
        bus = make_slcan(device)
        await bus.open(listener)
        adapter.stop_reading()
        bus.send(FrameBatch.of(Frame(id=i & 0x7FF, data=bytes(8)) for i in range(3000)))
        adapter.unplug()
        await listener.until(lambda: listener.states)
        assert bus.frames_sent + bus.frames_unsent == 3000
        assert "the adapter has gone" in caplog.text
        self.replug(adapter, device)
        await listener.until(lambda: len(listener.states) == 2)
        bus.send(FrameBatch.of([Frame(id=5)]))
        await adapter.until(lambda: adapter.frames)
        assert adapter.frames == [b"t0050"]

    async def test_one_that_is_back_but_does_not_answer_is_tried_again(
        self, make_slcan, adapter, device, wire, listener
    ) -> None:
        bus = make_slcan(device, patience=ANSWER)
        await bus.open(listener)
        mute = SlcanAdapter(wire, knows="", acknowledges=False, unknown=b"")
        device.unlink()
        device.symlink_to(mute.path)
        adapter.unplug()
        await mute.until(lambda: b"O" in mute.commands)
        self.replug(adapter, device)
        await listener.until(lambda: len(listener.states) == 2)
        assert adapter.is_open

    async def test_while_it_is_gone_its_name_is_all_that_is_looked_at(
        self, make_slcan, adapter, device, listener, monkeypatch
    ) -> None:
        bus = make_slcan(device)
        await bus.open(listener)
        looks = 0

        def look(path: str) -> bool:
            nonlocal looks
            looks += 1
            return False

        monkeypatch.setattr(os.path, "exists", look)
        monkeypatch.setattr(slcan, "open_serial_port", pytest.fail)
        bus.reopen_period = 0.0
        adapter.unplug()
        await until(lambda: looks > 5)
        await bus.close()
        assert bus.state is BusState.CLOSED
        seen = looks
        await asyncio.sleep(0.01)
        assert looks == seen


class TestHostileInput:
    async def test_lines_in_any_pieces(self, opened, adapter, listener) -> None:
        adapter.stamps = False
        for byte in b"t1232BEEF\rT000001230\r":
            adapter.say(bytes([byte]))
            await asyncio.sleep(0)
        first, second = await listener.heard(2)
        assert (first.id, first.data) == (0x123, b"\xbe\xef")
        assert (second.id, second.extended) == (0x123, True)

    async def test_noise_is_counted_and_logged_seldom(self, opened, adapter, listener, caplog) -> None:
        noise = random.Random(1).randbytes(20_000).replace(b"\a", b"")
        adapter.say(noise + b"\r")
        adapter.hear(b"t1230")
        await listener.until(lambda: any(f.id == 0x123 for f in listener.frames))
        assert opened.lines_invalid > 0
        (message,) = [m for m in caplog.messages if "made no sense" in m]
        assert message.endswith("is the serial speed right (?baudrate=115200)?")
        assert opened.state is BusState.UP

    async def test_a_flood_without_an_end_of_line_takes_no_memory(self, opened, adapter, listener) -> None:
        longest = 0
        received = opened._received

        def watch(data: bytes) -> None:
            nonlocal longest
            received(data)
            longest = max(longest, len(opened._unread))

        opened._line.received = watch
        adapter.say(b"t" * 1_000_000 + b"\r")
        adapter.hear(b"t1230")
        await listener.heard(1)
        assert longest == LINE_LIMIT + 1
        assert opened.lines_invalid == 1

    async def test_answers_that_nobody_asked_for(self, opened, adapter, listener) -> None:
        adapter.say(b"FZZ\rF\rF123456\rz\rZ\r\r\r\aV1\rN\rA\r")
        adapter.hear(b"t1230")
        await listener.heard(1)
        assert opened.state in (BusState.UP, BusState.ERROR_PASSIVE)
        assert opened.frames_unsent == 0


async def until(condition) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - nothing tells when
            await asyncio.sleep(0.001)
