"""The slcan bus beside adapters of several minds. What all buses promise is in tests/contract."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import random
import re
import threading
from pathlib import Path

import pytest
import serial

from bridge.buses import slcan
from bridge.buses.bus import BusState
from bridge.buses.slcan import SlcanBus
from bridge.buses.slcan_adapter import ChannelSettings
from bridge.codec.slcan import LINE_LIMIT
from bridge.errors import BusError
from bridge.frames import Frame, FrameBatch, FrameFlags
from bridge.limits import WRITE_QUEUE_FRAMES
from tests.buses.slcan_adapter import SlcanAdapter, Wire
from tests.descriptors import descriptors

PATIENCE = 20.0
SOON = 0.02  #: seconds until something that will never come
ANSWER = 0.2  #: seconds for an answer, of adapters that give some and owe others
CANABLE = b"b158aa7 github.com/normaldotcom/canable2.git"
SETTINGS = ChannelSettings(500_000)


@pytest.fixture
async def wire():
    wire = Wire()
    yield wire
    wire.close()


@pytest.fixture
async def adapter(wire) -> SlcanAdapter:
    return SlcanAdapter(wire)


@pytest.fixture
async def make():
    """Makes buses, and closes them after the test."""
    buses: list[SlcanBus] = []

    def make_bus(path: str, settings: ChannelSettings = SETTINGS, *, patience: float = PATIENCE, **options) -> SlcanBus:
        bus = SlcanBus(4, "stick", str(path), settings, **options)
        bus.answer_timeout = patience
        bus.start_timeout = bus.reopen_period = SOON
        buses.append(bus)
        return bus

    yield make_bus
    for bus in buses:
        await bus.close()


@pytest.fixture
async def opened(make, adapter, listener) -> SlcanBus:
    bus = make(adapter.path)
    await bus.open(listener)
    return bus


class TestOpening:
    async def test_an_adapter_that_knows_all(self, make, adapter, listener, caplog) -> None:
        bus = make(adapter.path)
        with caplog.at_level(logging.INFO):
            await bus.open(listener)
        assert adapter.commands == [b"C", b"V", b"N", b"S6", b"Z1", b"O", b"F"]
        assert adapter.is_open and adapter.stamps
        assert (bus.version, bus.serial_number) == ("V1013", "A123")
        assert caplog.messages == ["stick: adapter version V1013, serial number A123, with timestamps"]
        await bus.close()
        await adapter.until(lambda: not adapter.is_open)

    @pytest.mark.parametrize(
        ("settings", "commands"),
        [
            (ChannelSettings(), [b"Z1", b"O"]),
            (ChannelSettings(btr="031c"), [b"s031C", b"Z1", b"O"]),
            (ChannelSettings(250_000, data_bitrate=5_000_000), [b"S5", b"Y5", b"Z1", b"O"]),
            (ChannelSettings(125_000, listen_only=True), [b"S4", b"Z1", b"L"]),
        ],
    )
    async def test_settings(self, make, adapter, listener, settings, commands) -> None:
        adapter.bitrate = b"S0"
        await make(adapter.path, settings).open(listener)
        assert adapter.commands == [b"C", b"V", b"N", *commands, b"F"]
        assert adapter.listen_only == settings.listen_only

    async def test_an_adapter_that_says_its_version_and_nothing_else(self, make, wire, listener, caplog) -> None:
        canable = SlcanAdapter(wire, knows="CVSYO", acknowledges=False, unknown=b"", version=CANABLE)
        bus = make(canable.path, patience=ANSWER)
        with caplog.at_level(logging.INFO):
            await bus.open(listener)
        assert canable.is_open
        assert bus.version == CANABLE.decode()
        assert caplog.messages == [f"stick: adapter version {CANABLE.decode()}, without timestamps"]
        assert b"F" not in canable.commands
        canable.hear(b"t1230")
        bus.send(FrameBatch.of([Frame(id=7)]))
        await listener.heard(1)
        await canable.until(lambda: canable.frames == [b"t0070"])

    async def test_an_adapter_that_only_acknowledges(self, make, wire, listener) -> None:
        plain = SlcanAdapter(wire, knows="CSO")
        bus = make(plain.path, patience=ANSWER)
        await bus.open(listener)
        assert plain.is_open
        assert (bus.version, bus.serial_number) == ("", "")

    async def test_a_frame_that_comes_at_once_is_not_lost(self, make, wire, listener) -> None:
        class Busy(SlcanAdapter):
            def open(self, code: bytes) -> bytes:
                return super().open(code) + b"t1230\rt4560\rt78"

            def tell_status(self, code: bytes) -> bytes:
                return b"90\rt0010\r" + super().tell_status(code) + b"t0020\r"

        await make(Busy(wire).path).open(listener)
        assert [f.id for f in await listener.heard(5)] == [0x123, 0x456, 0x789, 0x001, 0x002]

    async def test_the_first_frame_tells_that_a_silent_adapter_is_open(self, make, wire, listener) -> None:
        class Busy(SlcanAdapter):
            def open(self, code: bytes) -> bytes:
                return super().open(code) + b"t1230\r"

        await make(Busy(wire, knows="CVSO", acknowledges=False, unknown=b"").path, patience=ANSWER).open(listener)
        assert [f.id for f in await listener.heard(1)] == [0x123]

    async def test_frames_of_before_are_passed_over(self, make, adapter, listener) -> None:
        """Another program ended without closing the channel."""
        adapter.bitrate, adapter.is_open = b"S4", True
        adapter.say(b"3AABB\rt1112BEEF\rdeadbeef\rT0000000181122334455667788\rF00\r")
        bus = make(adapter.path)
        await bus.open(listener)
        assert bus.version == "V1013"
        assert adapter.bitrate == b"S6"
        adapter.hear(b"t2220")
        assert [f.id for f in await listener.heard(1)] == [0x222]

    async def test_a_channel_that_stays_open_is_closed_once_more(self, make, wire, listener) -> None:
        class Stubborn(SlcanAdapter):
            def close(self, rest: bytes) -> bytes:
                return super().close(rest) if self.commands.count(b"C") > 1 else b"\a"

        stubborn = Stubborn(wire)
        stubborn.is_open = True
        await make(stubborn.path, patience=ANSWER).open(listener)
        assert stubborn.commands == [b"C", b"V", b"N", b"S6", b"C", b"S6", b"Z1", b"O", b"F"]

    async def test_an_adapter_that_starts_when_its_port_is_opened(self, make, wire, listener) -> None:
        class Starting(SlcanAdapter):
            def _answer(self, line: bytes) -> bytes:
                answer = super()._answer(line)
                return answer if self.commands.count(b"V") > 2 else b""

        bus = make(Starting(wire).path, patience=ANSWER)
        bus.start_timeout = PATIENCE
        await bus.open(listener)
        assert bus.version == "V1013"

    async def test_answers_that_come_late_are_not_taken_for_others(self, make, wire, listener) -> None:
        class Late(SlcanAdapter):
            def set_bitrate(self, code: bytes) -> bytes:
                late = b"\a\a\a" if self.commands.count(b"S6") == 1 else b""
                return late + super().set_bitrate(code)

        late = Late(wire)
        bus = make(late.path, patience=ANSWER)
        await bus.open(listener)
        assert late.is_open
        assert bus.state is BusState.UP

    async def test_stamps_that_it_does_not_have(self, make, wire, listener) -> None:
        adapter = SlcanAdapter(wire, knows="CVNSOF")
        await make(adapter.path, clock=lambda: 1.7e9).open(listener)
        adapter.hear(b"t1230")
        assert [f.timestamp for f in await listener.heard(1)] == [1.7e9]

    async def test_stamps_tell_frames_apart_that_come_together(self, make, wire, listener) -> None:
        seconds = 59.990
        adapter = SlcanAdapter(wire, clock=lambda: seconds)
        await make(adapter.path, clock=lambda: 1.7e9).open(listener)
        adapter.hear(b"t1230")
        await listener.heard(1)
        for seconds in (59.995, 60.002):  # noqa: B007 - the adapter reads it
            adapter.hear(b"t1230")
        times = [f.timestamp - 1.7e9 for f in await listener.heard(3)]
        assert times == pytest.approx([0.0, -0.007, 0.0], abs=1e-5)


class TestOpeningThatFails:
    async def fails(self, bus: SlcanBus, listener, text: str) -> None:
        files, threads = descriptors(), set(threading.enumerate())
        with pytest.raises(BusError, match=re.escape(text)) as caught:
            await bus.open(listener)
        assert "\n" not in str(caught.value)
        assert bus.state is BusState.CLOSED
        assert descriptors() == files
        assert set(threading.enumerate()) <= threads
        assert listener.states == []

    async def test_nothing_answers(self, make, wire, listener) -> None:
        mute = SlcanAdapter(wire, knows="", acknowledges=False, unknown=b"")
        await self.fails(make(mute.path, patience=SOON), listener, "answers nothing: is it an slcan adapter?")

    async def test_something_else_talks(self, make, wire, listener) -> None:
        """A GPS receiver, or an adapter at another serial speed."""
        other = SlcanAdapter(wire, knows="", acknowledges=False, unknown=b"$GPGGA,1*42\r\n\xff\x00\xf1\r")
        await self.fails(make(other.path, patience=SOON), listener, "answers nothing: is it an slcan adapter?")

    async def test_a_bit_rate_that_it_does_not_have(self, make, adapter, listener) -> None:
        await self.fails(make(adapter.path, ChannelSettings(83_300), patience=ANSWER), listener, "refuses S9")

    async def test_can_fd_that_it_does_not_have(self, make, wire, listener) -> None:
        classic = SlcanAdapter(wire, knows="CVNSZOF")
        settings = ChannelSettings(500_000, data_bitrate=2_000_000)
        await self.fails(make(classic.path, settings, patience=ANSWER), listener, "refuses Y2")

    async def test_no_bit_rate_at_all(self, make, adapter, listener) -> None:
        bus = make(adapter.path, ChannelSettings(), patience=ANSWER)
        await self.fails(bus, listener, "it may need a bit rate: slcan:PORT@BITRATE")

    async def test_a_channel_that_cannot_be_opened(self, make, wire, listener) -> None:
        broken = SlcanAdapter(wire, knows="CVNSZ")
        await self.fails(make(broken.path, patience=ANSWER), listener, "refuses to open its channel")

    async def test_listening_only_is_not_taken_for_granted(self, make, wire, listener) -> None:
        canable = SlcanAdapter(wire, knows="CVSO", acknowledges=False, unknown=b"", version=CANABLE)
        bus = make(canable.path, ChannelSettings(500_000, listen_only=True), patience=ANSWER)
        await self.fails(bus, listener, "does not confirm that it only listens")
        await canable.until(lambda: canable.commands[-1] == b"C")

    async def test_it_is_unplugged_meanwhile(self, make, wire, listener) -> None:
        class Loose(SlcanAdapter):
            def serial_number(self, rest: bytes) -> bytes:
                asyncio.get_running_loop().call_soon(self.unplug)
                return b""

        bus = make(Loose(wire).path)
        with pytest.raises(BusError, match="went away while it was opened"):
            await bus.open(listener)
        assert bus.state is BusState.CLOSED

    async def test_an_opening_that_is_cancelled_lets_go_of_the_port(self, make, wire, listener) -> None:
        mute = SlcanAdapter(wire, knows="", acknowledges=False, unknown=b"")
        bus = make(mute.path)
        task = asyncio.create_task(bus.open(listener))
        await mute.until(lambda: b"V" in mute.commands)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert bus.state is BusState.CLOSED
        await self.fails(make(mute.path, patience=SOON), listener, "answers nothing")

    async def test_no_device(self, make, listener, tmp_path) -> None:
        await self.fails(make(tmp_path / "ttyACM9"), listener, "no such device; is the adapter plugged in?")

    async def test_a_directory(self, make, listener, tmp_path) -> None:
        await self.fails(make(tmp_path), listener, "is not a serial port")

    @pytest.mark.parametrize("kind", ["file", "pipe", "null"])
    async def test_what_is_no_terminal(self, make, listener, tmp_path, kind) -> None:
        path = Path("/dev/null") if kind == "null" else tmp_path / kind
        if kind == "file":
            path.write_bytes(b"t1230\r")
        elif kind == "pipe":
            os.mkfifo(path)
        await self.fails(make(path), listener, f"{path} is not a serial port")

    async def test_no_permission(self, make, listener, monkeypatch) -> None:
        def refuse(device: str, baudrate: int) -> serial.Serial:
            raise serial.SerialException(errno.EACCES, f"could not open port {device}")

        monkeypatch.setattr(slcan, "open_serial_port", refuse)
        await self.fails(make("/dev/ttyACM0"), listener, "sudo usermod -aG dialout $USER")

    async def test_a_speed_that_the_port_does_not_have(self, make, listener, monkeypatch) -> None:
        def refuse(device: str, baudrate: int) -> serial.Serial:
            raise ValueError(f"Failed to set custom baud rate ({baudrate})")

        monkeypatch.setattr(slcan, "open_serial_port", refuse)
        await self.fails(make("/dev/ttyACM0", baudrate=1), listener, "stick: Failed to set custom baud rate (1)")

    async def test_a_port_of_another_program_is_not_said_a_word(self, make, opened, adapter, listener) -> None:
        adapter.commands.clear()
        await self.fails(make(adapter.path), type(listener)(), "in use by another program")
        opened.send(FrameBatch.of([Frame(id=1)]))
        await adapter.until(lambda: adapter.frames)
        assert adapter.commands == []

    async def test_a_port_that_a_program_keeps_for_itself(self, make, adapter, listener) -> None:
        other = os.open(adapter.path, os.O_RDWR | os.O_NOCTTY)
        fcntl.flock(other, fcntl.LOCK_EX)
        await self.fails(make(adapter.path), listener, "in use by another program")
        os.close(other)
        await make(adapter.path).open(listener)


class TestSending:
    async def test_a_full_port_is_written_when_it_has_room(self, make, adapter, listener) -> None:
        bus = make(adapter.path, loopback=True)
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

    async def test_its_own_frames_come_back_when_they_are_written(self, make, adapter, listener) -> None:
        bus = make(adapter.path, loopback=True, clock=lambda: 1.7e9)
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

    async def test_who_only_listens_sends_nothing(self, make, adapter, listener) -> None:
        bus = make(adapter.path, ChannelSettings(500_000, listen_only=True))
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
    async def test_error_passive_and_back(self, make, adapter, listener) -> None:
        bus = make(adapter.path)
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
    async def test_an_overrun_is_logged_and_not_counted(self, make, adapter, listener, caplog, status) -> None:
        bus = make(adapter.path)
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

    async def test_an_adapter_without_status_is_not_asked_again(self, make, wire, listener) -> None:
        adapter = SlcanAdapter(wire, knows="CVNSZO")
        bus = make(adapter.path)
        bus.status_period = 0.0
        await bus.open(listener)
        for _ in range(100):
            bus.send(FrameBatch.of([Frame(id=1)]))
            await asyncio.sleep(0)
        await adapter.until(lambda: len(adapter.frames) == 100)
        assert adapter.commands.count(b"F") == 1
        assert bus.frames_unsent == 0

    async def test_it_is_not_asked_after_closing(self, make, adapter, listener) -> None:
        bus = make(adapter.path)
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

    async def test_it_is_opened_again_when_it_is_back(self, make, adapter, device, listener) -> None:
        bus = make(device)
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
            assert adapter.commands[:7] == [b"C", b"V", b"N", b"S6", b"Z1", b"O", b"F"]
            adapter.hear(b"t%03X0" % turn)
            assert (await listener.heard(turn))[-1].id == turn
            bus.send(FrameBatch.of([Frame(id=turn)]))
            await adapter.until(lambda: adapter.frames[-1:] == [b"t%03X0" % turn])  # noqa: B023
        assert bus.frames_sent == 3

    async def test_frames_that_waited_are_not_sent_to_the_next(self, make, adapter, device, listener, caplog) -> None:
        bus = make(device)
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
        self, make, adapter, device, wire, listener
    ) -> None:
        bus = make(device, patience=ANSWER)
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
        self, make, adapter, device, listener, monkeypatch
    ) -> None:
        bus = make(device)
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
