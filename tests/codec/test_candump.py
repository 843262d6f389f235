from __future__ import annotations

import io
from pathlib import Path

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.buses.can_messages import record_of
from bridge.buses.candump import parse_line
from bridge.frames import Frame, FrameBatch, FrameFlags

DRIVE = Path(__file__).parents[2] / ".." / "shared" / "data" / "honda-drive.log"


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ("044#2A366C2BBA", Frame(0x44, bytes.fromhex("2A366C2BBA"))),
        ("7ff#", Frame(0x7FF)),
        ("0000007FF#11", Frame(0x7FF, b"\x11", extended=True)),
        ("1FFFFFFF#00", Frame(0x1FFFFFFF, b"\0", extended=True)),
        ("123#R", Frame(0x123, flags=FrameFlags.REMOTE)),
        ("123#R5", Frame(0x123, bytes(5), flags=FrameFlags.REMOTE)),
        ("123#r8_E", Frame(0x123, bytes(8), flags=FrameFlags.REMOTE)),
        ("00000123#R2", Frame(0x123, bytes(2), extended=True, flags=FrameFlags.REMOTE)),
        ("123#1122334455667788_E", Frame(0x123, bytes.fromhex("1122334455667788"))),
        ("123#11.22.33", Frame(0x123, b"\x11\x22\x33")),
        ("123##0", Frame(0x123, fd=True)),
        ("123##1112233", Frame(0x123, b"\x11\x22\x33", fd=True, flags=FrameFlags.BITRATE_SWITCH)),
        ("123##211", Frame(0x123, b"\x11", fd=True, flags=FrameFlags.ERROR_STATE_INDICATOR)),
        ("12345678##7" + "ab" * 64, Frame(0x12345678, b"\xab" * 64, extended=True, fd=True, flags=FrameFlags(12))),
        ("20000080#0000000000000000", Frame(0x80, bytes(8), flags=FrameFlags.ERROR)),
        ("20000004#0004000000000000", Frame(0x4, b"\0\4" + bytes(6), flags=FrameFlags.ERROR)),
    ],
)
@pytest.mark.parametrize("ending", ["", " R", " T\n", "\r\n"])
def test_lines(text: str, frame: Frame, ending: str) -> None:
    record = parse_line(f"(1436509052.249713) vcan0 {text}{ending}", 2)
    assert record is not None
    (parsed,) = FrameBatch(record)
    assert parsed.timestamp == 1436509052.249713
    assert (parsed.id, parsed.data, parsed.bus) == (frame.id, frame.data, 2)
    assert int(parsed.flags) == frame.all_flags()


@pytest.mark.parametrize(
    "line",
    [
        "x",
        "(1.0) can0",
        "(1.0) can0 123",
        "1.0 can0 123#00",
        "(x) can0 123#00",
        "() can0 123#00",
        "(1.0) can0 123#0",
        "(1.0) can0 123#xx",
        "(1.0) can0 #00",
        "(1.0) can0 800#00",
        "(1.0) can0 -01#00",
        "(1.0) can0 3FFFFFFFF#00",
        "(1.0) can0 123#112233445566778899",
        "(1.0) can0 123##",
        "(1.0) can0 123##x11",
        "(1.0) can0 123##0" + "00" * 65,
        "(1.0) can0 123#R9",
        "(1.0) can0 123#Rx",
        "(1.0) can0 123#00 X",
        "(1.0) can0 123#00 R more",
        "\0\0\0",
    ],
)
def test_what_is_no_line(line: str) -> None:
    with pytest.raises(ValueError):
        parse_line(line, 1)


@given(st.text())
def test_any_text_is_a_line_or_a_value_error(text: str) -> None:
    for line in (text, f"(1.0) can0 {text}", f"(1.0) can0 123#{text}"):
        try:
            parse_line(line, 1)
        except ValueError:
            continue


def test_another_channel() -> None:
    assert parse_line("(1.0) can0 123#00", 1, "can1") is None
    assert parse_line("(1.0) can1 123#00", 1, "can1") is not None


def test_it_reads_what_python_can_writes_and_as_python_can_reads_it() -> None:
    messages = [
        can.Message(timestamp=1.5, arbitration_id=0x123, is_extended_id=False, data=b"abc", channel="can0"),
        can.Message(timestamp=2.5, arbitration_id=0x123, is_extended_id=True, channel="can0"),
        can.Message(timestamp=2.5, arbitration_id=1, is_extended_id=True, is_fd=True, data=bytes(48), channel="can0"),
        can.Message(timestamp=2.5, arbitration_id=1, is_fd=True, bitrate_switch=True, data=bytes(64), channel="can0"),
        can.Message(timestamp=2.5, arbitration_id=2, is_remote_frame=True, dlc=0, channel="can0"),
    ]
    text = io.StringIO()
    writer = can.CanutilsLogWriter(text)
    for message in messages:
        writer.on_message_received(message)
    lines = text.getvalue().splitlines()
    assert [parse_line(line, 1) for line in lines] == [record_of(m, 1, m.timestamp) for m in messages]


@pytest.mark.skipif(not DRIVE.exists(), reason="the real car's recording is not beside the project")
def test_it_reads_a_real_recording_as_python_can_does() -> None:
    with can.LogReader(DRIVE) as reader:
        expected = [record_of(message, 1, message.timestamp) for message in reader]
    assert len(expected) == 6158
    assert [parse_line(line, 1) for line in DRIVE.read_text().splitlines()] == expected
