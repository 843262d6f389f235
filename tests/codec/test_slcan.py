"""Lines of slcan adapters, in both twins."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.codec import slcan
from bridge.codec.slcan import LINE_LIMIT
from bridge.frames import FD_LENGTHS, RECORD, RECORD_SIZE, Frame, FrameBatch, FrameFlags

from .extension import extension, needs_extension, on_both_twins

NOW = 1_700_000_000.25
REMOTE, BRS, ERROR, OWN = FrameFlags.REMOTE, FrameFlags.BITRATE_SWITCH, FrameFlags.ERROR, FrameFlags.OWN
LONG = bytes(range(64))

FRAMES = [
    (b"t1230", Frame(0x123)),
    (b"t7FF8" + LONG[:8].hex().upper().encode(), Frame(0x7FF, LONG[:8])),
    (b"T000001232AA55", Frame(0x123, b"\xaa\x55", extended=True)),
    (b"T1FFFFFFF0", Frame(0x1FFFFFFF, extended=True)),
    (b"r1238", Frame(0x123, bytes(8), flags=REMOTE)),
    (b"R12ABCDEF0", Frame(0x12ABCDEF, extended=True, flags=REMOTE)),
    (b"d1231FF", Frame(0x123, b"\xff", fd=True)),
    (b"D000000019" + LONG[:12].hex().upper().encode(), Frame(1, LONG[:12], extended=True, fd=True)),
    (b"b123F" + LONG.hex().upper().encode(), Frame(0x123, LONG, fd=True, flags=BRS)),
    (b"B1FFFFFFFE" + LONG[:48].hex().upper().encode(), Frame(0x1FFFFFFF, LONG[:48], extended=True, fd=True, flags=BRS)),
]

#: What adapters say of frames that the bridge writes in another way.
OTHER_FORMS = [
    (b"r1230", Frame(0x123, flags=REMOTE)),
    (b"r1231AA", Frame(0x123, bytes(1), flags=REMOTE)),
    (b"r1232", Frame(0x123, bytes(2), flags=REMOTE)),
    (b"r1232AABB", Frame(0x123, bytes(2), flags=REMOTE)),
    (b"r1238AABBCCDDEEFF0011", Frame(0x123, bytes(8), flags=REMOTE)),
    (b"R12ABCDEF3AABBCC", Frame(0x12ABCDEF, bytes(3), extended=True, flags=REMOTE)),
    (b"r123F", Frame(0x123, bytes(8), flags=REMOTE)),
    (b"r123F" + b"AA" * 64, Frame(0x123, bytes(8), flags=REMOTE)),
    *(
        (b"t123%X" % dlc + LONG[:size].hex().upper().encode(), Frame(0x123, LONG[:8]))
        for dlc in range(9, 16)
        for size in (8, dlc, FD_LENGTHS[dlc])
    ),
    (b"T12ABCDEFF" + LONG.hex().upper().encode(), Frame(0x12ABCDEF, LONG[:8], extended=True)),
]

INVALID = [
    b"t",
    b"t12",
    b"t123",
    b"t1231",
    b"t1231A",
    b"t1231AAB",
    b"t1231AABBCC1",
    b"t1231AABBCCDD",
    b"t1231xx",
    b"tx230",
    b"t123x",
    b"t+120",
    b"t1_20",
    b"t8000",
    b"T200000000",
    b"TFFFFFFFF0",
    b"t1239",
    b"t1239" + b"00" * 7,
    b"t1239" + b"00" * 13,
    b"t123F" + b"00" * 14,
    b"t123F" + b"00" * 63,
    b"t1239" + b"00" * 8 + b"0x",
    b"r1231A",
    b"r1231xx",
    b"r1231AABBCCDD",
    b"r1238" + b"00" * 7,
    b"r1238000x",
    b"R12ABCDEF1AABBCCDD",
    b"t1230\n0",
    b"d1239" + b"00" * 9,
    b" t1230",
    b"t1230 ",
    b"1",
    b"\0",
    b"\xff" * 10,
    b"Vx\0",
    b"V\x7f",
    b"v" * (LINE_LIMIT + 1),
    b"\n" * (LINE_LIMIT + 1),
    b"t1230" + b"\n" * LINE_LIMIT,
]


def state(parsed):
    records, answers, consumed, invalid = parsed
    return list(FrameBatch(records)), answers, consumed, invalid


lines = st.one_of(
    st.sampled_from([line for line, _ in FRAMES] + INVALID),
    st.sampled_from([line for line, _ in FRAMES]).map(lambda line: line + b"12AB"),
    st.sampled_from([line for line, _ in OTHER_FORMS]),
    st.builds(
        lambda start, size: start + b"5" * size,
        st.sampled_from(
            [letter + b"123" + digit for letter in (b"t", b"r", b"d") for digit in (b"0", b"2", b"8", b"A", b"F")]
        ),
        st.integers(0, 140),
    ),
    st.sampled_from([b"", b"z", b"Z", b"V1013", b"N1234", b"F00", b"\n", b"\n\n", b"t1230\n"]),
    st.text("tTrRdDbBzV0123489aFxX\n ", max_size=40).map(str.encode),
    st.binary(max_size=30),
)
streams = st.lists(st.tuples(lines, st.sampled_from([b"\r", b"\r\n", b"\a", b"\n\r", b""]))).map(
    lambda parts: b"".join(itertools.chain.from_iterable(parts))
)
#: Any 80 bytes are a record.
raw_records = st.builds(
    RECORD.pack,
    st.floats(0, 2e9),
    st.one_of(st.integers(0, 0x7FF), st.integers(0, 0x1FFFFFFF), st.integers(0, 2**32 - 1)),
    st.integers(0, 255),
    st.one_of(st.sampled_from([0, 1, 2, 3, 6, 7, 16, 17, 64]), st.integers(0, 255)),
    st.one_of(st.integers(0, 8), st.sampled_from(FD_LENGTHS), st.integers(0, 255)),
    st.binary(min_size=64, max_size=64),
)


class TestPython:
    parse = staticmethod(slcan.parse_slcan)
    write = staticmethod(slcan.slcan_lines)

    @pytest.mark.parametrize(("line", "frame"), FRAMES)
    def test_frames(self, line, frame):
        expected = FrameBatch.of([frame]).buffer
        for text in (line, line.lower() if frame.extended is False else line[:1] + line[1:].lower()):
            records, answers, consumed, invalid = self.parse(text + b"\r", 1, 0.0)
            assert (records, answers, consumed, invalid) == (expected, [], len(text) + 1, 0)
        assert self.write(expected) == line + b"\r"

    @pytest.mark.parametrize(("line", "frame"), OTHER_FORMS)
    def test_other_forms_of_frames(self, line, frame):
        assert self.parse(line + b"\r", 1, 0.0) == (FrameBatch.of([frame]).buffer, [], len(line) + 1, 0)
        (expected,) = FrameBatch.of([frame])
        ((parsed,), _, _, invalid) = state(self.parse(line + b"0001\r", 1, NOW, NOW))
        assert (parsed.id, parsed.data, parsed.flags, invalid) == (frame.id, frame.data, expected.flags, 0)
        assert parsed.timestamp == pytest.approx(NOW + 0.001, abs=1e-6)

    @pytest.mark.parametrize("line", [b"r12320001", b"t123A" + b"00" * 8 + b"0001"])
    def test_what_may_be_data_or_a_timestamp_is_a_timestamp(self, line):
        """An adapter that stamps does so with every frame, and of others the stamps are ignored."""
        ((parsed,), *_) = state(self.parse(line + b"\r", 1, NOW, NOW))
        assert parsed.timestamp == pytest.approx(NOW + 0.001, abs=1e-6)
        assert not any(parsed.data)
        ((parsed,), *_) = state(self.parse(line + b"\r", 1, NOW))
        assert parsed.timestamp == NOW

    @pytest.mark.parametrize(("line", "frame"), FRAMES)
    def test_the_time_is_now_where_no_timestamp_counts(self, line, frame):
        for text, epoch in ((line, None), (line, 5.0), (line + b"12ab", None), (line + b"EA60", NOW)):
            ((parsed,), answers, _, invalid) = state(self.parse(text + b"\r", 3, NOW, epoch))
            assert (parsed.timestamp, parsed.bus, parsed.id) == (NOW, 3, frame.id)
            assert (answers, invalid) == ([], 0)

    @pytest.mark.parametrize(
        ("stamp", "epoch", "time"),
        [
            (b"0000", NOW, NOW),
            (b"EA5F", NOW - 59.999, NOW),
            (b"0001", NOW - 60.0, NOW + 0.001),
            (b"0000", NOW - 86_400.0, NOW),
            (b"0000", NOW + 86_400.0, NOW),
            (b"7530", NOW, NOW + 30.0),  # halfway the later one
            (b"7531", NOW, NOW - 29.999),
            (b"3A98", 0.0, 1_699_999_995.0),
        ],
    )
    def test_a_timestamp_is_the_time_nearest_to_now(self, stamp, epoch, time):
        ((parsed,), *_) = state(self.parse(b"t1230" + stamp + b"\r", 1, NOW, epoch))
        assert parsed.timestamp == pytest.approx(time, abs=1e-6)
        assert abs(parsed.timestamp - NOW) <= 30.0

    @pytest.mark.parametrize("epoch", [float("nan"), float("inf"), float("-inf"), 1e300])
    def test_what_is_no_epoch(self, epoch):
        with pytest.raises(ValueError):
            self.parse(b"", 1, NOW, epoch)

    def test_answers_stand_in_their_order_between_frames(self):
        data = b"\rz\rt1230\rZ\r\aV1013\rv0102\rNA123\rF00\rT000000010\r\r\a"
        frames, answers, consumed, invalid = state(self.parse(data, 1, 0.0))
        assert [frame.id for frame in frames] == [0x123, 1]
        assert answers == [b"", b"z", b"Z", b"\a", b"V1013", b"v0102", b"NA123", b"F00", b"", b"\a"]
        assert (consumed, invalid) == (len(data), 0)

    def test_line_feeds_around_a_line_do_not_matter(self):
        frames, answers, consumed, invalid = state(self.parse(b"\r\nt1230\r\nV1\n\r\n\n\a\n", 1, 0.0))
        assert [frame.id for frame in frames] == [0x123]
        assert (answers, consumed, invalid) == ([b"", b"V1", b"\a"], 16, 0)

    @pytest.mark.parametrize("line", INVALID)
    def test_what_is_no_line_is_skipped_and_counted(self, line):
        frames, answers, consumed, invalid = state(self.parse(line + b"\rt1230\r", 1, 0.0))
        assert [frame.id for frame in frames] == [0x123]
        assert (answers, consumed, invalid) == ([], len(line) + 7, 1)

    def test_a_bel_cuts_a_line_off(self):
        assert self.parse(b"t1230\aV1\a\r", 1, 0.0) == (b"", [b"\a", b"\a", b""], 10, 2)

    def test_a_line_without_an_end_is_kept_and_bounded(self):
        assert self.parse(b"t1230\rt12", 1, 0.0)[2:] == (6, 0)
        assert self.parse(b"x" * 10_000, 1, 0.0)[2:] == (10_000 - LINE_LIMIT - 1, 0)
        assert self.parse(b"x" * (LINE_LIMIT + 1) + b"\r", 1, 0.0)[2:] == (LINE_LIMIT + 2, 1)

    @pytest.mark.parametrize(
        "frame",
        [
            Frame(1, flags=ERROR),
            Frame(1, fd=True, flags=REMOTE),
            Frame(1, bytes(9)),
            Frame(1, bytes(9), fd=True),
            Frame(1, bytes(63), fd=True),
        ],
    )
    def test_what_no_line_can_say(self, frame):
        with pytest.raises(ValueError):
            self.write(FrameBatch.of([Frame(2), frame]).buffer)

    @pytest.mark.parametrize("record", [(0x800, 0, 0), (0x20000000, 1, 0), (1, 2, 65), (1, 2, 255), (1, 0, 12)])
    def test_records_that_are_no_frames(self, record):
        identifier, flags, length = record
        with pytest.raises(ValueError):
            self.write(RECORD.pack(0.0, identifier, 1, flags, length, bytes(64)))

    def test_what_is_no_batch(self):
        assert self.write(b"") == b""
        for size in (1, RECORD_SIZE - 1, RECORD_SIZE + 1):
            with pytest.raises(ValueError, match=f"not {size}"):
                self.write(bytes(size))

    def test_a_frame_that_was_sent_is_written_like_any_other(self):
        frame = Frame(1, b"\1", flags=OWN | FrameFlags.ERROR_STATE_INDICATOR)
        assert self.write(FrameBatch.of([frame]).buffer) == b"t001101\r"

    @on_both_twins
    @given(st.lists(raw_records))
    def test_what_is_written_reads_back(self, records):
        batch = b"".join(records)
        try:
            text = self.write(batch)
        except ValueError:
            return
        read, answers, consumed, invalid = self.parse(text, 1, 0.0)
        assert (answers, consumed, invalid) == ([], len(text), 0)
        for before, after in zip(RECORD.iter_unpack(batch), RECORD.iter_unpack(read), strict=True):
            assert (before[1], before[4]) == (after[1], after[4])
            assert before[3] & after[3] == after[3]
            assert after[5] == (bytes(64) if after[3] & REMOTE else before[5][: before[4]].ljust(64, b"\0"))

    @on_both_twins
    @given(streams, st.lists(st.integers(0, 400), max_size=8))
    @example(b"x" + b"\n" * 400 + b"\r", list(range(0, 400, 7)))
    @example(b"\n" * 400 + b"t1230\r", [143, 145, 399])
    def test_no_split_changes_what_is_parsed(self, stream, cuts):
        whole = self.parse(stream, 1, NOW, 0.0)
        places = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
        rest, records, answers, invalid = b"", b"", [], 0
        for start, end in itertools.pairwise(places):
            rest += stream[start:end]
            parsed = self.parse(bytearray(rest), 1, NOW, 0.0)
            rest = rest[parsed[2] :]
            assert len(rest) <= LINE_LIMIT + 1
            records, answers, invalid = records + parsed[0], answers + parsed[1], invalid + parsed[3]
        assert (records, answers, invalid) == (whole[0], whole[1], whole[3])


@needs_extension
class TestC(TestPython):
    if extension is not None:
        parse = staticmethod(extension.parse_slcan)
        write = staticmethod(extension.slcan_lines)

    @given(streams, st.integers(0, 255), st.floats(-1e10, 1e10), st.none() | st.floats(-1e10, 1e10))
    def test_any_input_gives_what_the_python_twin_gives(self, stream, bus, now, epoch):
        assert self.parse(stream, bus, now, epoch) == slcan.parse_slcan(stream, bus, now, epoch)

    @given(st.integers(0, 0xFFFF), st.floats(-5e11, 5e11), st.floats(-5e11, 5e11))
    def test_times_agree_in_every_bit(self, stamp, now, epoch):
        line = b"t1230%04X\r" % stamp
        assert self.parse(line, 1, now, epoch)[0] == slcan.parse_slcan(line, 1, now, epoch)[0]

    @given(st.binary(max_size=2000))
    def test_garbage(self, data):
        assert self.parse(data, 1, NOW) == slcan.parse_slcan(data, 1, NOW)

    @given(st.lists(raw_records, max_size=4).map(b"".join) | st.binary(max_size=200))
    def test_any_records_give_what_the_python_twin_gives(self, records):
        try:
            expected = slcan.slcan_lines(records)
        except ValueError as error:
            with pytest.raises(ValueError) as caught:
                self.write(records)
            assert str(caught.value) == str(error)
        else:
            assert self.write(records) == expected

    @pytest.mark.parametrize("arguments", [(), ("text", 1, 0.0), (b"", "1", 0.0), (b"", 1, "now"), (b"", 1, 0.0, "x")])
    def test_wrong_types(self, arguments):
        with pytest.raises(TypeError):
            self.parse(*arguments)
        with pytest.raises(TypeError):
            self.write("text")

    def test_a_bus_that_is_no_byte(self):
        with pytest.raises(OverflowError):
            self.parse(b"t1230\r", 256, 0.0)


def test_the_longest_line():
    line = b"\nB1FFFFFFFF" + b"ff" * 64 + b"1234\n"
    assert len(line) == LINE_LIMIT
    assert struct.unpack_from("<I", slcan.parse_slcan(line + b"\r", 1, 0.0)[0], 8) == (0x1FFFFFFF,)
