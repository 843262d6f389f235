"""Lines of candump's log, in both twins."""

from __future__ import annotations

import io
import math
from pathlib import Path

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.buses.can_messages import record_of
from bridge.codec import candump
from bridge.codec.candump import parse_line
from bridge.frames import RECORD, RECORD_SIZE, Frame, FrameBatch, FrameFlags

from .extension import extension, needs_extension, on_both_twins
from .test_slcan import raw_records

DRIVE = Path(__file__).parents[2] / ".." / "shared" / "data" / "honda-drive.log"
BRS, ESI, REMOTE, ERROR = (
    FrameFlags.BITRATE_SWITCH,
    FrameFlags.ERROR_STATE_INDICATOR,
    FrameFlags.REMOTE,
    FrameFlags.ERROR,
)

FRAMES = [
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
    ("0#", Frame(0)),
    ("123#1.122..33.", Frame(0x123, b"\x11\x22\x33")),
    ("123##1_9", Frame(0x123, fd=True, flags=FrameFlags.BITRATE_SWITCH)),
    ("20000080#R3", Frame(0x80, bytes(3), flags=FrameFlags.ERROR | FrameFlags.REMOTE)),
]

INVALID = [
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
    "(+1.0) can0 123#00",
    "(1e3) can0 123#00",
    "(nan) can0 123#00",
    "(1_0.0) can0 123#00",
    "(1.0.0) can0 123#00",
    "(.5) can0 123#00",
    "(1234567890123.0) can0 123#00",
    "(1." + "0" * 21 + ") can0 123#00",
    "(1.0 can0 123#00",
    "(1.0) can0 0x1#00",
    "(1.0) can0 1_2#00",
    "(1.0) can0 123#00_G",
    "(1.0) can0 123#00__E",
    "(1.0) can0 123#_",
    "(1.0) can0 123#R55",
    "(1.0) can0 123###00",
    "(1.0) can0 123##0" + "." * 200 + "0",
    "(1.0) can0 40000000#00",
    "(1.0) can0 " + "F" * 100 + "#00",
    "(1.0) can0 123#00 T T",
    "(1.0) can0 123#\u0661\u0661",
    "(1.0) can0\u00a0123#00",
]

stamps = st.one_of(
    st.tuples(st.integers(0, 2**40), st.integers(0, 999_999)).map(lambda time: f"({time[0]}.{time[1]:06d})"),
    st.text("0123456789.", max_size=30).map(lambda text: f"({text})"),
    st.sampled_from(["(1.0)", "(1)", "(1.)", "(x)"]),
)
words = st.one_of(
    st.sampled_from([text for text, _ in FRAMES]),
    st.text("0123456789abcdefABCDEF#.RrT_", max_size=30),
    st.sampled_from(["can0", "can1", "R", "T"]),
    st.text(max_size=5),
)
texts = st.lists(
    st.one_of(
        st.tuples(stamps, st.sampled_from(["can0", "can1"]), words, st.sampled_from(["", " R", " T", " X"])).map(
            lambda parts: "{} {} {}{}".format(*parts)
        ),
        st.lists(st.one_of(stamps, words), max_size=6).map(" ".join),
        st.sampled_from(["", " ", "\r", "\t \v\f", *INVALID]),
    ),
).map(lambda lines: "\n".join(lines).encode())


class TestPython:
    parse = staticmethod(candump.parse_candump)
    write = staticmethod(candump.candump_lines)

    @pytest.mark.parametrize(("text", "frame"), FRAMES)
    @pytest.mark.parametrize("ending", ["", " R", " T\n", "\r\n"])
    def test_lines(self, text, frame, ending):
        records, invalid = self.parse(f"(1436509052.249713) vcan0 {text}{ending}".encode(), 2)
        (parsed,) = FrameBatch(records)
        assert invalid == 0
        assert parsed.timestamp == 1436509052.249713
        assert (parsed.id, parsed.data, parsed.bus) == (frame.id, frame.data, 2)
        assert int(parsed.flags) == frame.all_flags()

    @pytest.mark.parametrize("line", INVALID)
    def test_what_is_no_line(self, line):
        good = self.parse(b"(1.0) can0 123#00", 1)[0]
        assert self.parse(line.encode(), 1) == (b"", 1)
        assert self.parse(f"(1.0) can0 123#00\n{line}\n(1.0) can0 123#00\n".encode(), 1) == (good * 2, 1)
        with pytest.raises(ValueError):
            parse_line(line.encode(), 1)

    @pytest.mark.parametrize("text", [b"", b"\n\n", b" \r\n\t\n", b"\v\f"])
    def test_nothing(self, text):
        assert self.parse(text, 1) == (b"", 0)

    @pytest.mark.parametrize(
        ("stamp", "timestamp"),
        [
            (b"0", 0.0),
            (b"1.", 1.0),
            (b"0000000001.5", 1.5),
            (b"1.000001999", 1.000001),
            (b"1436509052.249713", 1436509052.249713),
            (b"999999999999.999999", 999999999999.999999),
        ],
    )
    def test_timestamps(self, stamp, timestamp):
        records, _ = self.parse(b"(%b) can0 1#" % stamp, 1)
        assert next(FrameBatch(records).records())[0] == timestamp

    def test_one_channel_of_several(self):
        text = b"(1.0) can0 001#00\n(1.1) can1 002#00\n(1.2) can10 003#00\n(x) can0 004#00\n(1.0) can0 x\n"
        for channel, ids, lines in ((None, [1, 2, 3], 2), (b"can1", [2], 1), (b"can0", [1], 2), (b"", [], 1)):
            records, invalid = self.parse(text, 1, channel)
            assert [frame.id for frame in FrameBatch(records)] == ids
            assert invalid == lines
        assert parse_line(b"(1.0) can0 123#00", 1, b"can1") is None

    @on_both_twins
    @given(st.text() | st.binary())
    def test_any_text_is_a_line_or_is_not(self, text):
        data = text.encode() if isinstance(text, str) else text
        for line in (data, b"(1.0) can0 " + data, b"(1.0) can0 123#" + data):
            records, invalid = self.parse(line, 1)
            assert len(FrameBatch(records)) + invalid <= line.count(b"\n") + 1

    def test_it_reads_what_python_can_writes_and_as_python_can_reads_it(self):
        messages = [
            can.Message(timestamp=1.5, arbitration_id=0x123, is_extended_id=False, data=b"abc", channel="can0"),
            can.Message(timestamp=2.5, arbitration_id=0x123, is_extended_id=True, channel="can0"),
            can.Message(
                timestamp=2.5, arbitration_id=1, is_extended_id=True, is_fd=True, data=bytes(48), channel="can0"
            ),
            can.Message(
                timestamp=2.5, arbitration_id=1, is_fd=True, bitrate_switch=True, data=bytes(64), channel="can0"
            ),
            can.Message(timestamp=2.5, arbitration_id=2, is_remote_frame=True, dlc=0, channel="can0"),
        ]
        text = io.StringIO()
        writer = can.CanutilsLogWriter(text)
        for message in messages:
            writer.on_message_received(message)
        expected = b"".join(record_of(message, 1, message.timestamp) for message in messages)
        assert self.parse(text.getvalue().encode(), 1) == (expected, 0)

    @pytest.mark.skipif(not DRIVE.exists(), reason="the real car's recording is not beside the project")
    def test_it_reads_a_real_recording_as_python_can_does_and_writes_it_again(self):
        with can.LogReader(DRIVE) as reader:
            expected = b"".join(record_of(message, 1, message.timestamp) for message in reader)
        text = DRIVE.read_bytes()
        assert len(FrameBatch(expected)) == 6158
        assert self.parse(text, 1) == (expected, 0)
        assert self.write(expected, b"can0") == text

    @pytest.mark.parametrize(
        ("frame", "line"),
        [
            (Frame(0x44, b"\x2a", timestamp=1436509052.249713), "(1436509052.249713) vcan0 044#2A"),
            (Frame(0x44), "(0000000000.000000) vcan0 044#"),
            (Frame(0x44, timestamp=0.0000015), "(0000000000.000002) vcan0 044#"),
            (Frame(0x44, timestamp=1.9999996), "(0000000002.000000) vcan0 044#"),
            (Frame(0x44, timestamp=123456789012.5), "(123456789012.500000) vcan0 044#"),
            (Frame(0x44, extended=True), "(0000000000.000000) vcan0 00000044#"),
            (Frame(0x12, flags=REMOTE), "(0000000000.000000) vcan0 012#R"),
            (Frame(0x1ABCDEF0, bytes(8), extended=True, flags=REMOTE), "(0000000000.000000) vcan0 1ABCDEF0#R8"),
            (Frame(0x12, fd=True), "(0000000000.000000) vcan0 012##0"),
            (Frame(0x12, b"\xab" * 64, fd=True, flags=BRS | ESI), "(0000000000.000000) vcan0 012##3" + "AB" * 64),
            (Frame(0x12, b"\1", fd=True, flags=ESI), "(0000000000.000000) vcan0 012##201"),
            (Frame(0x12, bytes(9), fd=True, flags=BRS), "(0000000000.000000) vcan0 012##1" + "00" * 9),
            (Frame(0x80, bytes(8), flags=ERROR), "(0000000000.000000) vcan0 20000080#0000000000000000"),
            (Frame(0x12, b"\1", bus=7, flags=FrameFlags.OWN), "(0000000000.000000) vcan0 012#01"),
            (
                Frame(0x1FFFFFFF, b"\xff" * 64, extended=True, fd=True, timestamp=2.0**40 - 2.0, flags=BRS),
                "(1099511627774.000000) vcan0 1FFFFFFF##1" + "FF" * 64,
            ),
        ],
    )
    def test_written_lines(self, frame, line):
        batch = FrameBatch.of([frame])
        assert self.write(batch.buffer * 2, b"vcan0").decode() == f"{line}\n" * 2

    @pytest.mark.parametrize(
        "record",
        [
            (0.0, 0x800, 0, 0),
            (0.0, 0x20000000, 1, 0),
            (0.0, 0x20000000, 32, 0),
            (0.0, 1, 0, 9),
            (0.0, 1, 2, 65),
            (0.0, 1, 18, 0),
            (-1e-9, 1, 0, 0),
            (2.0**40, 1, 0, 0),
            (math.nan, 1, 0, 0),
            (math.inf, 1, 0, 0),
        ],
    )
    def test_what_no_line_can_say(self, record):
        timestamp, identifier, flags, length = record
        with pytest.raises(ValueError):
            self.write(RECORD.pack(timestamp, identifier, 1, flags, length, bytes(64)), b"can0")

    def test_what_is_no_batch(self):
        assert self.write(b"", b"can0") == b""
        for size in (1, RECORD_SIZE - 1, RECORD_SIZE + 1):
            with pytest.raises(ValueError, match=f"not {size}"):
                self.write(bytes(size), b"can0")

    @on_both_twins
    @given(st.lists(raw_records), st.integers(1, 255))
    def test_what_is_written_reads_back(self, records, bus):
        batch = b"".join(records)
        try:
            text = self.write(batch, b"can%d")
        except ValueError:
            return
        read, invalid = self.parse(text, bus, b"can%d")
        assert invalid == 0
        for before, after in zip(FrameBatch(batch), FrameBatch(read), strict=True):
            assert after.timestamp == pytest.approx(before.timestamp, abs=1e-6)
            assert (after.id, after.bus) == (before.id, bus)
            assert len(after.data) == len(before.data)
            assert after.data == (bytes(len(before.data)) if after.flags & REMOTE else before.data)

    @on_both_twins
    @given(st.integers(0, 2**51))
    def test_microseconds_survive(self, microseconds):
        line = b"(%010d.%06d) can0 001#\n" % divmod(microseconds, 1_000_000)
        assert self.write(self.parse(line, 1)[0], b"can0") == line


@needs_extension
class TestC(TestPython):
    if extension is not None:
        parse = staticmethod(extension.parse_candump)
        write = staticmethod(extension.candump_lines)

    @given(texts, st.integers(0, 255), st.sampled_from([None, b"can0", b"can", b""]))
    def test_any_text_gives_what_the_python_twin_gives(self, text, bus, channel):
        assert self.parse(text, bus, channel) == candump.parse_candump(text, bus, channel)

    @given(stamps)
    def test_timestamps_agree_in_every_bit(self, stamp):
        line = f"{stamp} can0 1#".encode()
        assert self.parse(line, 1) == candump.parse_candump(line, 1)

    @given(st.binary(max_size=2000))
    def test_garbage(self, data):
        assert self.parse(data, 1) == candump.parse_candump(data, 1)

    @given(st.lists(raw_records, max_size=4).map(b"".join) | st.binary(max_size=200), st.binary(max_size=300))
    def test_any_records_give_what_the_python_twin_gives(self, records, interface):
        try:
            expected = candump.candump_lines(records, interface)
        except ValueError:
            with pytest.raises(ValueError):
                self.write(records, interface)
        else:
            assert self.write(records, interface) == expected

    @pytest.mark.parametrize("arguments", [(), ("text", 1), (b"", "1"), (b"", 1, "can0"), (b"", 1, None, 0)])
    def test_wrong_types(self, arguments):
        with pytest.raises(TypeError):
            self.parse(*arguments)
        for records, interface in (("text", b""), (b"", "can0"), (b"", None)):
            with pytest.raises(TypeError):
                self.write(records, interface)

    def test_a_bus_that_is_no_byte(self):
        with pytest.raises(OverflowError):
            self.parse(b"", -1)
