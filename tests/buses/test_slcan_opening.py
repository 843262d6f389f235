"""How an slcan adapter's channel is opened, with adapters that answer all of the protocol and others that do not."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import re
import threading
from pathlib import Path

import pytest
import serial

from bridge.buses import slcan
from bridge.buses.bus import BusState
from bridge.buses.slcan import SlcanBus
from bridge.buses.slcan_adapter import ChannelSettings
from bridge.errors import BusError
from bridge.frames import Frame, FrameBatch
from tests.buses.slcan_adapter import CANABLE_VERSION, Canable, SlcanAdapter
from tests.descriptors import descriptors

PATIENCE = 20.0
SOON = 0.02  #: seconds until something that will never come
ANSWER = 0.2  #: seconds for an answer, of adapters that give some and owe others
IDENTIFYING = [b"VVVV", b"C", b"V", b"N"]


class TestOpening:
    async def test_an_adapter_that_knows_all(self, make_slcan, adapter, listener, caplog) -> None:
        bus = make_slcan(adapter.path)
        with caplog.at_level(logging.INFO):
            await bus.open(listener)
        assert adapter.commands == [*IDENTIFYING, b"S6", b"Z1", b"X1", b"O", b"F"]
        assert adapter.is_open and adapter.stamps
        assert (bus.version, bus.serial_number) == ("V1013", "A123")
        assert caplog.messages == ["stick: adapter version V1013, serial number A123, with timestamps"]
        await bus.close()
        await adapter.until(lambda: not adapter.is_open)

    @pytest.mark.parametrize(
        ("settings", "commands"),
        [
            (ChannelSettings(), [b"Z1", b"X1", b"O"]),
            (ChannelSettings(btr="031c"), [b"s031C", b"Z1", b"X1", b"O"]),
            (ChannelSettings(250_000, data_bitrate=5_000_000), [b"S5", b"Y5", b"Z1", b"X1", b"O"]),
            (ChannelSettings(125_000, listen_only=True), [b"S4", b"Z1", b"X1", b"L"]),
        ],
    )
    async def test_settings(self, make_slcan, adapter, listener, settings, commands) -> None:
        adapter.bitrate = b"S0"
        await make_slcan(adapter.path, settings).open(listener)
        assert adapter.commands == [*IDENTIFYING, *commands, b"F"]
        assert adapter.listen_only == settings.listen_only

    async def test_an_adapter_that_says_its_version_and_nothing_else(self, make_slcan, wire, listener, caplog) -> None:
        canable = Canable(wire)
        bus = make_slcan(canable.path, patience=ANSWER)
        with caplog.at_level(logging.INFO):
            await bus.open(listener)
        assert canable.is_open
        assert bus.version == CANABLE_VERSION.decode()
        assert caplog.messages == [f"stick: adapter version {CANABLE_VERSION.decode()}, without timestamps"]
        assert b"F" not in canable.commands
        canable.hear(b"t1230")
        bus.send(FrameBatch.of([Frame(id=7)]))
        await listener.heard(1)
        await canable.until(lambda: canable.frames == [b"t0070"])

    async def test_an_adapter_that_only_acknowledges(self, make_slcan, wire, listener) -> None:
        plain = SlcanAdapter(wire, knows="CSO")
        bus = make_slcan(plain.path, patience=ANSWER)
        await bus.open(listener)
        assert plain.is_open
        assert (bus.version, bus.serial_number) == ("", "")

    async def test_a_frame_that_comes_at_once_is_not_lost(self, make_slcan, wire, listener) -> None:
        class Busy(SlcanAdapter):
            def open(self, code: bytes) -> bytes:
                return super().open(code) + b"t1230\rt4560\rt78"

            def tell_status(self, code: bytes) -> bytes:
                return b"90\rt0010\r" + super().tell_status(code) + b"t0020\r"

        await make_slcan(Busy(wire).path).open(listener)
        assert [f.id for f in await listener.heard(5)] == [0x123, 0x456, 0x789, 0x001, 0x002]

    async def test_the_first_frame_tells_that_a_silent_adapter_is_open(self, make_slcan, wire, listener) -> None:
        class Busy(SlcanAdapter):
            def open(self, code: bytes) -> bytes:
                return super().open(code) + b"t1230\r"

        await make_slcan(Busy(wire, knows="CVSO", acknowledges=False, unknown=b"").path, patience=ANSWER).open(listener)
        assert [f.id for f in await listener.heard(1)] == [0x123]

    async def test_frames_of_before_are_passed_over(self, make_slcan, adapter, listener) -> None:
        """Another program ended without closing the channel."""
        adapter.bitrate, adapter.is_open = b"S4", True
        adapter.say(b"3AABB\rt1112BEEF\rdeadbeef\rT0000000181122334455667788\rF00\r")
        bus = make_slcan(adapter.path)
        await bus.open(listener)
        assert bus.version == "V1013"
        assert adapter.bitrate == b"S6"
        adapter.hear(b"t2220")
        assert [f.id for f in await listener.heard(1)] == [0x222]

    async def test_a_channel_that_stays_open_is_closed_once_more(self, make_slcan, wire, listener) -> None:
        class Stubborn(SlcanAdapter):
            def close(self, rest: bytes) -> bytes:
                return super().close(rest) if self.commands.count(b"C") > 1 else b"\a"

        stubborn = Stubborn(wire)
        stubborn.is_open = True
        await make_slcan(stubborn.path, patience=ANSWER).open(listener)
        assert stubborn.commands == [*IDENTIFYING, b"S6", b"C", b"S6", b"Z1", b"X1", b"O", b"F"]

    async def test_an_adapter_that_starts_when_its_port_is_opened(self, make_slcan, wire, listener) -> None:
        class Starting(SlcanAdapter):
            def _answer(self, line: bytes) -> bytes:
                answer = super()._answer(line)
                return answer if self.commands.count(b"V") > 2 else b""

        bus = make_slcan(Starting(wire).path, patience=ANSWER)
        bus.start_timeout = PATIENCE
        await bus.open(listener)
        assert bus.version == "V1013"

    async def test_answers_that_come_late_are_not_taken_for_others(self, make_slcan, wire, listener) -> None:
        class Late(SlcanAdapter):
            def set_bitrate(self, code: bytes) -> bytes:
                late = b"\a\a\a" if self.commands.count(b"S6") == 1 else b""
                return late + super().set_bitrate(code)

        late = Late(wire)
        bus = make_slcan(late.path, patience=ANSWER)
        await bus.open(listener)
        assert late.is_open
        assert bus.state is BusState.UP

    async def test_one_that_keeps_its_frames_until_it_is_told_to_send_them(self, make_slcan, wire, listener) -> None:
        """As LAWICEL's CAN232 does when it is delivered."""
        adapter = SlcanAdapter(wire, version=b"V1220")
        await make_slcan(adapter.path).open(listener)
        adapter.hear(b"t1230")
        assert [f.id for f in await listener.heard(1)] == [0x123]

    @pytest.mark.parametrize(
        "version",
        [CANABLE_VERSION, b"VL2K0 b158aa7", b"b158", b"V101", b"V10134", b"V1013 b158aa7", b"v1013", b"V10.1"],
    )
    async def test_only_lawicel_s_version_tells_that_x_is_no_frame(self, make_slcan, wire, listener, version) -> None:
        """The CANable's firmware would read on for an id and send that."""
        adapter = SlcanAdapter(wire, version=version)
        await make_slcan(adapter.path).open(listener)
        assert b"X1" not in adapter.commands

    async def test_an_adapter_that_acknowledges_nothing_is_not_told_x(self, make_slcan, wire, listener) -> None:
        adapter = SlcanAdapter(wire, knows="CVSOX", acknowledges=False, unknown=b"")
        await make_slcan(adapter.path, patience=ANSWER).open(listener)
        assert b"X1" not in adapter.commands

    async def test_an_adapter_that_does_not_know_x_is_opened(self, make_slcan, wire, listener) -> None:
        adapter = SlcanAdapter(wire, knows="CVNSZOF")
        bus = make_slcan(adapter.path)
        await bus.open(listener)
        assert adapter.is_open
        assert bus.frames_unsent == 0

    async def test_an_echo_is_no_version(self, make_slcan, wire, listener) -> None:
        class Echo(SlcanAdapter):
            def _answer(self, line: bytes) -> bytes:
                return line + b"\r"

        bus = make_slcan(Echo(wire).path, patience=SOON)
        await bus.open(listener)
        assert bus.version == ""

    async def test_stamps_that_it_does_not_have(self, make_slcan, wire, listener) -> None:
        adapter = SlcanAdapter(wire, knows="CVNSOF")
        await make_slcan(adapter.path, clock=lambda: 1.7e9).open(listener)
        adapter.hear(b"t1230")
        assert [f.timestamp for f in await listener.heard(1)] == [1.7e9]

    async def test_stamps_tell_frames_apart_that_come_together(self, make_slcan, wire, listener) -> None:
        seconds = 59.990
        adapter = SlcanAdapter(wire, clock=lambda: seconds)
        await make_slcan(adapter.path, clock=lambda: 1.7e9).open(listener)
        adapter.hear(b"t1230")
        await listener.heard(1)
        for seconds in (59.995, 60.002):  # noqa: B007 - the adapter reads it
            adapter.hear(b"t1230")
        times = [f.timestamp - 1.7e9 for f in await listener.heard(3)]
        assert times == pytest.approx([0.0, -0.007, 0.0], abs=1e-5)


class TestWhatAProgramLeftBehind:
    """It was killed: its channel is open, and the adapter may have the beginning of a line."""

    def left(self, adapter: SlcanAdapter, lines: bytes) -> None:
        adapter._input += lines
        adapter._read()
        adapter.frames.clear()

    @pytest.mark.parametrize("frame", [b"t7E080431010203000000", b"T18DAF110401020304", b"r1230"])
    async def test_its_last_frame_is_not_sent_again(self, make_slcan, wire, listener, frame) -> None:
        canable = Canable(wire)
        self.left(canable, b"S6\rO\r" + frame + b"\r")
        bus = make_slcan(canable.path, patience=ANSWER)
        await bus.open(listener)
        assert canable.frames == []
        bus.send(FrameBatch.of([Frame(id=7)]))
        await canable.until(lambda: canable.frames)
        await bus.close()
        await canable.until(lambda: not canable.is_open)
        assert canable.frames == [b"t0070"]

    @pytest.mark.parametrize("begun", [b"t1232AABB", b"t1232AA", b"t1232", b"t1230", b"t123", b"t1", b"t", b"C", b"T1"])
    async def test_a_line_that_it_began_is_no_frame(self, make_slcan, adapter, listener, begun) -> None:
        self.left(adapter, b"S6\rO\r" + begun)
        bus = make_slcan(adapter.path)
        await bus.open(listener)
        assert adapter.frames == []
        assert bus.version == "V1013"

    @pytest.mark.parametrize("begun", [b"t", b"t1", b"t12", b"t123", b"T12345", b"T12345678"])
    async def test_a_line_that_is_cut_in_its_id_is_not_completed(self, make_slcan, wire, listener, begun) -> None:
        canable = Canable(wire)
        self.left(canable, b"S6\rO\rT0000000081122334455667788\r" + begun)
        await make_slcan(canable.path, patience=ANSWER).open(listener)
        assert canable.frames == []
        assert canable.is_open

    async def test_a_version_that_looks_like_a_serial_number(self, make_slcan, wire, listener) -> None:
        bus = make_slcan(SlcanAdapter(wire, version=b"Nano CAN 1").path)
        await bus.open(listener)
        assert (bus.version, bus.serial_number) == ("Nano CAN 1", "A123")


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

    async def test_nothing_answers(self, make_slcan, wire, listener) -> None:
        mute = SlcanAdapter(wire, knows="", acknowledges=False, unknown=b"")
        await self.fails(make_slcan(mute.path, patience=SOON), listener, "answers nothing: is it an slcan adapter?")

    async def test_something_else_talks(self, make_slcan, wire, listener) -> None:
        """A GPS receiver, or an adapter at another serial speed."""
        other = SlcanAdapter(wire, knows="", acknowledges=False, unknown=b"$GPGGA,1*42\r\n\xff\x00\xf1\r")
        await self.fails(make_slcan(other.path, patience=SOON), listener, "answers nothing: is it an slcan adapter?")

    async def test_a_bit_rate_that_it_does_not_have(self, make_slcan, adapter, listener) -> None:
        await self.fails(make_slcan(adapter.path, ChannelSettings(83_300), patience=ANSWER), listener, "refuses S9")

    async def test_can_fd_that_it_does_not_have(self, make_slcan, wire, listener) -> None:
        classic = SlcanAdapter(wire, knows="CVNSZOF")
        settings = ChannelSettings(500_000, data_bitrate=2_000_000)
        await self.fails(make_slcan(classic.path, settings, patience=ANSWER), listener, "refuses Y2")

    async def test_no_bit_rate_at_all(self, make_slcan, adapter, listener) -> None:
        bus = make_slcan(adapter.path, ChannelSettings(), patience=ANSWER)
        await self.fails(bus, listener, "it may need a bit rate: slcan:PORT@BITRATE")

    async def test_a_channel_that_cannot_be_opened(self, make_slcan, wire, listener) -> None:
        broken = SlcanAdapter(wire, knows="CVNSZ")
        await self.fails(make_slcan(broken.path, patience=ANSWER), listener, "refuses to open its channel")

    async def test_listening_only_is_not_taken_for_granted(self, make_slcan, wire, listener) -> None:
        canable = Canable(wire)
        bus = make_slcan(canable.path, ChannelSettings(500_000, listen_only=True), patience=ANSWER)
        await self.fails(bus, listener, "does not confirm that it only listens")
        await canable.until(lambda: canable.commands[-1] == b"C")

    async def test_it_is_unplugged_meanwhile(self, make_slcan, wire, listener) -> None:
        class Loose(SlcanAdapter):
            def serial_number(self, rest: bytes) -> bytes:
                asyncio.get_running_loop().call_soon(self.unplug)
                return b""

        bus = make_slcan(Loose(wire).path)
        with pytest.raises(BusError, match="went away while it was opened"):
            await bus.open(listener)
        assert bus.state is BusState.CLOSED

    async def test_an_opening_that_is_cancelled_lets_go_of_the_port(self, make_slcan, wire, listener) -> None:
        mute = SlcanAdapter(wire, knows="", acknowledges=False, unknown=b"")
        bus = make_slcan(mute.path)
        task = asyncio.create_task(bus.open(listener))
        await mute.until(lambda: b"V" in mute.commands)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert bus.state is BusState.CLOSED
        await self.fails(make_slcan(mute.path, patience=SOON), listener, "answers nothing")

    async def test_no_device(self, make_slcan, listener, tmp_path) -> None:
        await self.fails(make_slcan(tmp_path / "ttyACM9"), listener, "no such device; is the adapter plugged in?")

    async def test_a_directory(self, make_slcan, listener, tmp_path) -> None:
        await self.fails(make_slcan(tmp_path), listener, "is not a serial port")

    @pytest.mark.parametrize("kind", ["file", "pipe", "null"])
    async def test_what_is_no_terminal(self, make_slcan, listener, tmp_path, kind) -> None:
        path = Path("/dev/null") if kind == "null" else tmp_path / kind
        if kind == "file":
            path.write_bytes(b"t1230\r")
        elif kind == "pipe":
            os.mkfifo(path)
        await self.fails(make_slcan(path), listener, f"{path} is not a serial port")

    async def test_no_permission(self, make_slcan, listener, monkeypatch) -> None:
        def refuse(device: str, baudrate: int) -> serial.Serial:
            raise serial.SerialException(errno.EACCES, f"could not open port {device}")

        monkeypatch.setattr(slcan, "open_serial_port", refuse)
        await self.fails(make_slcan("/dev/ttyACM0"), listener, "sudo usermod -aG dialout $USER")

    async def test_a_speed_that_the_port_does_not_have(self, make_slcan, listener, monkeypatch) -> None:
        def refuse(device: str, baudrate: int) -> serial.Serial:
            raise ValueError(f"Failed to set custom baud rate ({baudrate})")

        monkeypatch.setattr(slcan, "open_serial_port", refuse)
        await self.fails(make_slcan("/dev/ttyACM0", baudrate=1), listener, "stick: Failed to set custom baud rate (1)")

    async def test_a_port_of_another_program_is_not_said_a_word(self, make_slcan, opened, adapter, listener) -> None:
        adapter.commands.clear()
        await self.fails(make_slcan(adapter.path), type(listener)(), "in use by another program")
        opened.send(FrameBatch.of([Frame(id=1)]))
        await adapter.until(lambda: adapter.frames)
        assert adapter.commands == []

    async def test_a_port_that_a_program_keeps_for_itself(self, make_slcan, adapter, listener) -> None:
        other = os.open(adapter.path, os.O_RDWR | os.O_NOCTTY)
        fcntl.flock(other, fcntl.LOCK_EX)
        await self.fails(make_slcan(adapter.path), listener, "in use by another program")
        os.close(other)
        await make_slcan(adapter.path).open(listener)
