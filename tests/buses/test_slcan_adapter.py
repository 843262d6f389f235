from __future__ import annotations

import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.buses.slcan_adapter import AdapterClock, ChannelSettings, OutgoingLines
from bridge.codec import parse_slcan, slcan_lines
from bridge.errors import ConfigurationError
from bridge.frames import Frame, FrameBatch
from bridge.limits import SLCAN_CLOCK_WINDOW

NOW = 1_700_000_000.0
CLOSE = 2e-6  #: Unix times as doubles are no finer


class Drive:
    """Frames of an adapter's clock, read by ours: `rate` adapter seconds to one of ours."""

    def __init__(self, started: float = NOW - 12.345, rate: float = 1.0) -> None:
        self.clock = AdapterClock(stamps=True)
        self._started = started
        self._rate = rate

    def line(self, happened: float) -> bytes:
        counter = int((happened - self._started) * self._rate * 1000 + 0.5) % 60_000
        return b"t1230%04X\r" % counter

    def times(self, arrived: float, *happened: float) -> list[float]:
        records, _, _, invalid = self.clock.read(b"".join(map(self.line, happened)), 1, arrived)
        assert invalid == 0
        return [frame.timestamp for frame in FrameBatch(records)]


class TestClock:
    def test_the_first_chunk_s_last_frame_came_just_now(self) -> None:
        assert Drive().times(NOW, NOW - 3, NOW - 2) == pytest.approx([NOW - 1, NOW], abs=CLOSE)

    def test_the_first_chunk_may_span_the_end_of_the_minute(self) -> None:
        drive = Drive(started=NOW - 60.5)
        assert drive.times(NOW, NOW - 1, NOW - 0.6, NOW - 0.4, NOW) == pytest.approx(
            [NOW - 1, NOW - 0.6, NOW - 0.4, NOW], abs=CLOSE
        )

    def test_frames_that_come_later_than_others_keep_their_distance(self) -> None:
        drive = Drive()
        drive.times(NOW, NOW)
        assert drive.times(NOW + 0.1, NOW + 0.01, NOW + 0.02) == pytest.approx([NOW + 0.01, NOW + 0.02], abs=CLOSE)

    def test_the_least_delayed_frame_sets_the_clock_for_its_whole_chunk(self) -> None:
        drive = Drive()
        assert drive.times(NOW + 0.5, NOW) == pytest.approx([NOW + 0.5], abs=CLOSE)
        assert drive.times(NOW + 1.2, NOW + 1.0, NOW + 1.1) == pytest.approx([NOW + 1.1, NOW + 1.2], abs=CLOSE)
        assert drive.times(NOW + 2, NOW + 1.8) == pytest.approx([NOW + 1.9], abs=CLOSE)

    def test_times_go_on_where_the_counter_begins_again(self) -> None:
        drive = Drive(started=NOW)
        happened = [NOW + second * 0.5 for second in range(500)]
        times = [drive.times(moment + 0.002, moment)[0] for moment in happened]
        assert times == pytest.approx([moment + 0.002 for moment in happened], abs=CLOSE)

    @pytest.mark.parametrize("rate", [0.995, 0.9999, 1.0001, 1.005])
    def test_a_clock_that_drifts_is_followed(self, rate: float) -> None:
        drive = Drive(rate=rate)
        off = 2 * SLCAN_CLOCK_WINDOW * abs(1 - rate) + 0.002
        for step in range(6000):
            happened = NOW + step * 0.05
            (timestamp,) = drive.times(happened, happened)
            assert happened - off - CLOSE <= timestamp <= happened + CLOSE

    @pytest.mark.parametrize("shift", [-3600.0, -20.0, -1.0, 1.0, 20.0, 3600.0])
    def test_a_computer_s_clock_that_is_set_is_followed_within_two_windows(self, shift: float) -> None:
        drive = Drive()
        drive.times(NOW, NOW)
        seconds = 2 * int(SLCAN_CLOCK_WINDOW) + 2
        for second in range(1, seconds):
            (timestamp,) = drive.times(NOW + second + shift, NOW + second)
            assert timestamp <= NOW + second + shift + CLOSE
        assert drive.times(NOW + seconds + shift, NOW + seconds) == pytest.approx([NOW + seconds + shift], abs=CLOSE)

    def test_an_adapter_that_was_restarted_is_followed_within_two_windows(self) -> None:
        drive = Drive()
        drive.times(NOW, NOW)
        drive._started = NOW + 7.7
        for second in range(8, 8 + 2 * int(SLCAN_CLOCK_WINDOW) + 2):
            (timestamp,) = drive.times(NOW + second, NOW + second)
            assert timestamp <= NOW + second + CLOSE
        assert timestamp == pytest.approx(NOW + second, abs=CLOSE)

    def test_frames_without_a_stamp_have_the_time_of_arrival(self) -> None:
        for stamps in (True, False):
            clock = AdapterClock(stamps)
            for now in (NOW, NOW + 1, NOW + 100):
                records, *_ = clock.read(b"t1230\r", 1, now)
                assert [frame.timestamp for frame in FrameBatch(records)] == pytest.approx([now], abs=CLOSE)

    def test_stamps_that_nobody_asked_for_count_for_nothing(self) -> None:
        records, *_ = AdapterClock(stamps=False).read(b"t1230EA5F\r", 1, NOW)
        assert [frame.timestamp for frame in FrameBatch(records)] == [NOW]

    def test_what_is_no_frame_is_handed_on(self) -> None:
        clock = AdapterClock(stamps=True)
        assert clock.read(b"F00\r\az\rt12", 1, NOW) == (b"", [b"F00", b"\a", b"z"], 7, 0)

    def test_stamps_far_apart_are_no_times(self) -> None:
        drive = Drive()
        assert drive.times(NOW, NOW - 40, NOW - 20, NOW) == [NOW, NOW, NOW]
        assert drive.times(NOW + 1, NOW + 0.5, NOW + 1) == pytest.approx([NOW + 0.5, NOW + 1], abs=CLOSE)

    @given(
        st.lists(
            st.tuples(
                st.floats(-1e4, 1e4),
                st.lists(st.integers(0, 0xFFFF).map(lambda stamp: b"t1230%04X\r" % stamp) | st.just(b"t1230\r")),
            )
        )
    )
    def test_no_frame_is_of_the_future_and_only_times_change(self, chunks: list[tuple[float, list[bytes]]]) -> None:
        clock = AdapterClock(stamps=True)
        now = NOW
        for step, lines in chunks:
            now += step
            parsed = clock.read(b"".join(lines), 3, now)
            without_stamps = parse_slcan(b"".join(lines), 3, now)
            assert parsed[1:] == without_stamps[1:]
            frames = list(FrameBatch(parsed[0]))
            assert all(now - 60 <= frame.timestamp <= now + CLOSE for frame in frames)
            assert [(f.id, f.bus, f.flags) for f in frames] == [
                (f.id, f.bus, f.flags) for f in FrameBatch(without_stamps[0])
            ]


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "commands"),
        [
            (ChannelSettings(), []),
            (ChannelSettings(10_000), [b"S0"]),
            (ChannelSettings(83_300), [b"S9"]),
            (ChannelSettings(800_000), [b"S7"]),
            (ChannelSettings(1_000_000), [b"S8"]),
            (ChannelSettings(btr="001c"), [b"s001C"]),
            (ChannelSettings(33_333, btr="0e1c2b"), [b"s0E1C2B"]),
            (ChannelSettings(500_000, data_bitrate=2_000_000), [b"S6", b"Y2"]),
            (ChannelSettings(500_000, data_bitrate=5_000_000), [b"S6", b"Y5"]),
        ],
    )
    def test_commands(self, settings: ChannelSettings, commands: list[bytes]) -> None:
        assert settings.commands() == commands

    @pytest.mark.parametrize(
        ("wrong", "text"),
        [
            ({"bitrate": 33_333}, "10000, 20000, 50000, 83300, 100000, 125000, 250000, 500000, 800000, 1000000"),
            ({"bitrate": 33_333}, "?btr=XXYY"),
            ({"data_bitrate": 8_000_000}, "2000000, 5000000"),
            ({"btr": "1"}, "four hex digits"),
            ({"btr": "00\r1"}, "four hex digits"),
        ],
    )
    def test_what_no_command_can_say(self, wrong: dict[str, object], text: str) -> None:
        with pytest.raises(ConfigurationError, match=re.escape(text)):
            ChannelSettings(**wrong)


def batch(*data: bytes) -> bytes:
    return FrameBatch.of(Frame(id=1, data=part) for part in data).buffer


class TestOutgoingLines:
    @given(
        st.lists(st.none() | st.lists(st.binary(max_size=8), min_size=1, max_size=5)),
        st.lists(st.integers(1, 40), min_size=1),
    )
    def test_whatever_the_port_takes_each_frame_is_sent_once(
        self, pieces: list[list[bytes] | None], sizes: list[int]
    ) -> None:
        outgoing = OutgoingLines()
        for piece in pieces:
            if piece is None:
                outgoing.put(b"F\r", NOW)
            else:
                outgoing.put(slcan_lines(batch(*piece)), NOW, batch(*piece))
        frames = sum(len(piece) for piece in pieces if piece)
        written, sent, turn = b"", b"", 0
        while outgoing:
            assert outgoing.frames == frames - len(FrameBatch(sent))
            piece = bytes(outgoing.next())[: sizes[turn % len(sizes)]]
            sent += outgoing.took(len(piece), NOW)
            written += piece
            turn += 1
            # Each frame is sent with the end of its line.
            assert len(FrameBatch(sent)) == written.count(b"\r") - len(re.findall(rb"(?:^|\r)F(?=\r)", written))
        assert sent == b"".join(batch(*piece) for piece in pieces if piece)
        assert outgoing.frames == 0

    def test_clearing_says_what_is_lost(self) -> None:
        outgoing = OutgoingLines()
        outgoing.put(b"F\r", NOW)
        outgoing.put(slcan_lines(batch(b"a", b"b", b"c")), NOW, batch(b"a", b"b", b"c"))
        outgoing.took(2, NOW)
        outgoing.took(9, NOW)
        assert outgoing.clear() == 2
        assert not outgoing
        assert outgoing.frames == 0

    @given(
        st.lists(st.none() | st.lists(st.binary(max_size=8), min_size=1, max_size=5), max_size=4),
        st.lists(st.integers(1, 40), max_size=6),
        st.integers(0, 4),
    )
    def test_what_has_waited_long_is_forgotten_but_for_a_line_that_is_begun(
        self, pieces: list[list[bytes] | None], sizes: list[int], late: int
    ) -> None:
        """The first `late` pieces are too old."""
        outgoing = OutgoingLines()
        for place, piece in enumerate(pieces):
            records = batch(*piece) if piece else b""
            outgoing.put(slcan_lines(records) or b"F\r", float(place), records)
        written, sent = b"", b""
        for size in sizes:
            if outgoing:
                written += (taken := bytes(outgoing.next())[:size])
                sent += outgoing.took(len(taken), -1.0)
        given_up = outgoing.expire(late - 0.5)
        assert outgoing.waiting_since is None or outgoing.waiting_since >= late
        while outgoing:
            written += (taken := bytes(outgoing.next()))
            sent += outgoing.took(len(taken), -1.0)
        assert len(FrameBatch(sent)) + given_up == sum(len(piece) for piece in pieces if piece)
        assert outgoing.frames == 0
        lines = [line for line in written.split(b"\r")[:-1] if line != b"F"]
        assert lines == slcan_lines(sent).split(b"\r")[:-1]
        # What came in time is there.
        kept = b"".join(batch(*piece) for piece in pieces[late:] if piece)
        assert sent.endswith(kept)

    def test_nothing_is_forgotten_while_the_port_takes_something(self) -> None:
        outgoing = OutgoingLines()
        outgoing.put(slcan_lines(batch(b"a", b"b", b"c")), 0.0, batch(b"a", b"b", b"c"))
        outgoing.took(3, 10.0)
        assert outgoing.waiting_since == 10.0
        assert outgoing.expire(9.9) == 0
        assert outgoing.expire(10.0) == 2
        assert outgoing.waiting_since is None
        assert bytes(outgoing.next()) == b"1161\r"


def test_records_are_doubles_in_the_machine_s_own_order() -> None:
    """What the clock reads of a record."""
    assert struct.unpack_from("=d", FrameBatch.of([Frame(id=1, timestamp=NOW)]).buffer) == (NOW,)
