"""ISO-TP at the level of single frames, written by hand as ISO 15765-2 has them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from bridge.buses.bus import NORMAL_LAYOUT, IsotpLayout, Padding
from bridge.buses.isotp import IsotpChannels
from bridge.buses.isotp_link import WAITING_LIMIT, IsotpTimeouts
from bridge.errors import BusError
from bridge.frames import Frame, FrameBatch, FrameFlags

PATIENCE = 20.0
TESTER, ECU = 0x7E0, 0x7E8
GO_ON = b"\x30\x00\x00"
FIRST_OF_10 = b"\x10\x0aabcdef"
REST_OF_10 = b"\x21ghij"


class Wire:
    """The channels of a bus whose frames are kept, and frames put in by hand."""

    def __init__(self, timeouts: IsotpTimeouts | None = None) -> None:
        self.sent: list[Frame] = []
        self.refusal: str | None = None
        self._news = asyncio.Event()
        self.channels = IsotpChannels(self._send, 1, timeouts)

    def _send(self, batch: FrameBatch) -> None:
        if self.refusal is not None:
            raise BusError(self.refusal)
        self.sent.extend(batch)
        self._news.set()

    def feed(self, *datas: bytes, identifier: int = ECU, flags: FrameFlags = FrameFlags.NONE) -> None:
        self.channels.feed(FrameBatch.of(Frame(id=identifier, data=data, flags=flags) for data in datas))

    def data(self) -> list[bytes]:
        return [frame.data for frame in self.sent]

    async def sends(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.sent) < count:
                self._news.clear()
                await self._news.wait()


class Ends:
    """One channel and what it was told."""

    def __init__(
        self,
        wire: Wire,
        request: int = TESTER,
        response: int = ECU,
        layout: IsotpLayout = NORMAL_LAYOUT,
        extended: bool = False,
        **options: Callable,
    ) -> None:
        self.payloads: list[bytes] = []
        self.failures: list[str] = []
        self.failed = asyncio.Event()
        self.parts = 0
        self.channel = wire.channels.open(
            request,
            response,
            extended=extended,
            receiver=options.get("receiver", self.payloads.append),
            failure=options.get("failure", self._fail),
            progress=self._progress,
            layout=layout,
        )

    def _fail(self, reason: str) -> None:
        self.failures.append(reason)
        self.failed.set()

    def _progress(self) -> None:
        self.parts += 1


@pytest.fixture
def wire() -> Wire:
    return Wire()


async def test_frames_are_padded_to_eight_bytes(wire: Wire) -> None:
    ends = Ends(wire)
    ends.channel.send(b"\x01\x0c")
    ends.channel.send(b"abcdefgh")
    wire.feed(GO_ON)
    assert wire.data() == [
        b"\x02\x01\x0c\x00\x00\x00\x00\x00",
        b"\x10\x08abcdef",
        b"\x21gh\x00\x00\x00\x00\x00",
    ]
    assert {(f.id, f.bus, f.all_flags()) for f in wire.sent} == {(TESTER, 1, 0)}


async def test_all_consecutive_frames_leave_in_the_turn_of_the_flow_control(wire: Wire) -> None:
    ends = Ends(wire)
    ends.channel.send(bytes(4095))
    wire.feed(GO_ON)
    assert len(wire.sent) == 1 + 585


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00",
        b"\x04abc",  # a length beyond the frame's end
        b"\x00\x03abc",  # a length in the second byte belongs to CAN FD
        b"\x10\x07abcdef",  # a first frame for what fits a single one
        b"\x10\x0aabc",  # a first frame that is not full
        b"\x30\x00\x00",  # flow control to nobody
        b"\x32\x00\x00",
        b"\x21abcdefg",  # a consecutive frame of another's transfer
        b"\x40abc",  # no kind of frame
        b"\xff" * 8,
    ],
)
async def test_what_is_not_meant_for_the_channel_is_ignored(wire: Wire, frame: bytes) -> None:
    ends = Ends(wire)
    wire.feed(frame)
    assert (ends.payloads, ends.failures, wire.sent) == ([], [], [])
    wire.feed(b"\x02ok")
    assert ends.payloads == [b"ok"]


@pytest.mark.parametrize("flags", [FrameFlags.REMOTE, FrameFlags.ERROR, FrameFlags.OWN, FrameFlags.EXTENDED])
async def test_frames_of_another_kind_are_ignored(wire: Wire, flags: FrameFlags) -> None:
    ends = Ends(wire)
    wire.feed(b"\x02no", flags=flags)
    wire.feed(b"\x02no", identifier=ECU + 1)
    assert ends.payloads == []


async def test_a_can_fd_response_is_understood(wire: Wire) -> None:
    ends = Ends(wire)
    wire.feed(b"\x00\x0a0123456789", flags=FrameFlags.FD)
    assert ends.payloads == [b"0123456789"]


async def test_channels_of_one_pair_share_its_flow_control_and_both_hear(wire: Wire) -> None:
    first, second = Ends(wire), Ends(wire)
    wire.feed(FIRST_OF_10)
    wire.feed(REST_OF_10)
    assert first.payloads == second.payloads == [b"abcdefghij"]
    assert first.parts == second.parts == 2
    assert wire.data() == [GO_ON.ljust(8, b"\0")]
    first.channel.close()
    wire.feed(b"\x01x")
    assert (len(first.payloads), len(second.payloads)) == (1, 2)


async def test_channels_that_share_only_the_response_id_each_send_flow_control(wire: Wire) -> None:
    first, second = Ends(wire), Ends(wire, request=TESTER + 1)
    wire.feed(FIRST_OF_10, REST_OF_10)
    assert first.payloads == second.payloads == [b"abcdefghij"]
    assert [f.id for f in wire.sent] == [TESTER, TESTER + 1]
    assert first.failures == second.failures == []


async def test_parts_that_arrive_together_are_one_progress(wire: Wire) -> None:
    ends = Ends(wire)
    wire.feed(b"\x01x")
    assert ends.parts == 0
    wire.feed(FIRST_OF_10, REST_OF_10)
    assert ends.parts == 1


async def test_what_is_sent_in_parts_makes_progress_for_its_sender_alone(wire: Wire) -> None:
    sender, other = Ends(wire), Ends(wire)
    sender.channel.send(bytes(6 + 7 * 4))
    assert sender.parts == 0
    wire.feed(b"\x31\x00\x00")  # wait
    assert sender.parts == 1
    wire.feed(b"\x30\x01\x00")  # one frame
    assert sender.parts == 2
    wire.feed(b"\x30\x00\x01")  # three, a millisecond apart
    await wire.sends(5)
    assert 4 <= sender.parts <= 6  # a slow machine may send two in one turn
    assert other.parts == 0


async def test_progress_is_seen_behind_an_address_byte(wire: Wire) -> None:
    ends = Ends(wire, layout=IsotpLayout(request_address=0x20, response_address=0xF1))
    ends.channel.send(bytes(5 + 6 * 2))
    wire.feed(b"\xf1\x30\x00\x01")
    heard = ends.parts
    assert heard
    await wire.sends(3)
    assert ends.parts > heard


async def test_the_other_side_chooses_block_size_and_separation_time(wire: Wire) -> None:
    ends = Ends(wire)
    ends.channel.send(bytes(6 + 7 * 5))
    wire.feed(b"\x31\x00\x00")  # wait
    assert len(wire.sent) == 1
    wire.feed(b"\x30\x02\x01")  # two frames, a millisecond apart
    await wire.sends(3)
    assert [d[0] for d in wire.data()] == [0x10, 0x21, 0x22]
    wire.feed(b"\x30\x00\xf1")  # all the rest, 100 us apart
    await wire.sends(6)
    assert [d[0] for d in wire.data()[3:]] == [0x23, 0x24, 0x25]
    assert ends.failures == []


async def test_a_reserved_separation_time_is_the_longest_and_no_error(wire: Wire) -> None:
    ends = Ends(wire)
    ends.channel.send(bytes(8))
    wire.feed(b"\x30\x00\x80")
    assert len(wire.sent) == 1
    await wire.sends(2)
    assert ends.failures == []


async def test_overflow_is_told_to_the_sender_alone(wire: Wire) -> None:
    sender, other = Ends(wire), Ends(wire)
    sender.channel.send(bytes(20))
    wire.feed(b"\x32\x00\x00")
    assert len(sender.failures) == 1
    assert "overflow" in sender.failures[0]
    assert other.failures == []
    sender.channel.send(b"again")
    assert wire.data()[-1] == b"\x05again\0\0"


async def test_too_many_waits_end_the_transfer(wire: Wire) -> None:
    ends = Ends(wire)
    ends.channel.send(bytes(20))
    wire.feed(*[b"\x31\x00\x00"] * 20)
    assert len(ends.failures) == 1
    assert "wait" in ends.failures[0]


async def test_a_lost_consecutive_frame_is_told_to_every_channel(wire: Wire) -> None:
    first, second = Ends(wire), Ends(wire)
    wire.feed(b"\x10\x20abcdef", b"\x21bcdefgh", b"\x23bcdefgh", b"\x24bcdefgh")
    for ends in (first, second):
        assert len(ends.failures) == 1
        assert "SequenceNumber" in ends.failures[0]
        assert ends.payloads == []
    wire.feed(b"\x02ok")
    assert first.payloads == [b"ok"]


async def test_a_frame_that_makes_no_sense_does_not_cut_a_reception_short(wire: Wire) -> None:
    ends = Ends(wire)
    wire.feed(FIRST_OF_10, b"\x07abc", b"\x40", REST_OF_10)
    assert (ends.payloads, ends.failures) == ([b"abcdefghij"], [])


async def test_a_single_frame_cuts_a_reception_short_once(wire: Wire) -> None:
    wire = Wire(IsotpTimeouts(0.01, 0.01))
    ends, other = Ends(wire), Ends(wire, TESTER + 1, ECU + 1)
    wire.feed(FIRST_OF_10, b"\x03new")
    assert ends.payloads == [b"new"]
    assert len(ends.failures) == 1
    other.channel.send(bytes(20))  # its time-out shows that the time of the first is over too
    await asyncio.wait_for(other.failed.wait(), PATIENCE)
    assert len(ends.failures) == 1


async def test_a_payload_that_no_buffer_has_room_for_is_refused(wire: Wire) -> None:
    ends = Ends(wire)
    wire.feed(b"\x10\x00\x00\x01\x00\x00ab")
    assert wire.data() == [b"\x32" + bytes(7)]
    assert len(ends.failures) == 1


async def test_nothing_ticks_while_nothing_is_transferred(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    timers = []
    call_later = loop.call_later
    monkeypatch.setattr(loop, "call_later", lambda *args: timers.append(call_later(*args)) or timers[-1])
    ends = Ends(wire)
    ends.channel.send(b"short")
    wire.feed(b"\x02ok")
    assert timers == []
    wire.feed(FIRST_OF_10)
    wire.feed(REST_OF_10)
    ends.channel.send(bytes(20))
    wire.feed(GO_ON)
    assert timers
    assert all(timer.cancelled() for timer in timers)


async def test_too_many_waiting_payloads_are_refused(wire: Wire) -> None:
    ends = Ends(wire)
    for _ in range(1 + WAITING_LIMIT):
        ends.channel.send(bytes(20))
    with pytest.raises(BusError, match="wait already"):
        ends.channel.send(b"x")


@pytest.mark.parametrize("size", [0, 4096])
async def test_impossible_lengths(wire: Wire, size: int) -> None:
    with pytest.raises(BusError, match=f"not {size}"):
        Ends(wire).channel.send(bytes(size))


@pytest.mark.parametrize(
    ("request_id", "response_id", "extended"),
    [(0x800, 0x7E8, False), (0x7E0, -1, False), (0x7E0, 0x20000000, True), (0x7E0, 0x7E0, False), (0x800, None, False)],
)
async def test_impossible_ids(wire: Wire, request_id: int, response_id: int | None, extended: bool) -> None:
    with pytest.raises(BusError):
        wire.channels.open(request_id, response_id, extended=extended, receiver=pytest.fail, failure=pytest.fail)
    assert len(wire.channels) == 0


async def test_a_bus_that_takes_no_frames_raises_at_the_sender(wire: Wire) -> None:
    ends, other = Ends(wire), Ends(wire)
    wire.refusal = "the bus is off"
    with pytest.raises(BusError, match="the bus is off"):
        ends.channel.send(b"x")
    assert ends.failures == other.failures == []
    wire.refusal = None
    ends.channel.send(b"x")
    assert len(wire.sent) == 1


async def test_a_bus_that_stops_taking_frames_fails_what_is_under_way(wire: Wire) -> None:
    sender, waiting, idle = Ends(wire), Ends(wire), Ends(wire)
    sender.channel.send(bytes(20))
    waiting.channel.send(bytes(20))
    wire.refusal = "the bus is off"
    wire.feed(GO_ON)
    assert sender.failures == waiting.failures == ["the bus is off"]
    assert idle.failures == []
    wire.feed(FIRST_OF_10)
    assert [len(ends.failures) for ends in (sender, waiting, idle)] == [2, 2, 1]


async def test_closing_forgets_what_was_to_be_sent(wire: Wire) -> None:
    leaving, staying = Ends(wire), Ends(wire)
    leaving.channel.send(bytes(20))
    leaving.channel.send(b"never")
    staying.channel.send(b"mine")
    leaving.channel.close()
    leaving.channel.close()
    assert wire.data()[1:] == [b"\x04mine\0\0\0"]
    wire.feed(GO_ON)
    assert len(wire.sent) == 2
    with pytest.raises(BusError, match="closed"):
        leaving.channel.send(b"x")
    staying.channel.close()
    assert len(wire.channels) == 0
    wire.feed(b"\x01x")
    assert staying.payloads == []


async def test_closing_all_ends_transfers_without_a_word(wire: Wire) -> None:
    ends = Ends(wire)
    ends.channel.send(bytes(20))
    wire.channels.close_all()
    wire.feed(GO_ON)
    assert len(wire.sent) == 1
    assert ends.failures == []
    assert len(wire.channels) == 0


async def test_a_receiver_may_send_and_close_in_its_answer(wire: Wire) -> None:
    heard: list[bytes] = []

    def answer(payload: bytes) -> None:
        heard.append(payload)
        ends.channel.send(b"thanks")
        other.channel.close()

    ends = Ends(wire, receiver=answer)
    other = Ends(wire)
    wire.feed(b"\x01a", b"\x01b")
    assert heard == [b"a", b"b"]
    assert other.payloads == []
    assert wire.data() == [b"\x06thanks\0"] * 2


async def test_a_receiver_may_open_a_channel_of_the_same_pair(wire: Wire) -> None:
    late: list[Ends] = []
    ends = Ends(wire, receiver=lambda payload: (ends.channel.close(), late.append(Ends(wire))))
    wire.feed(b"\x01a")
    wire.feed(b"\x01b")
    assert [e.payloads for e in late] == [[b"b"]]


BOTH = IsotpLayout(request_address=0x10, response_address=0xF1)
REQUEST_ONLY = IsotpLayout(request_address=0x10)
RESPONSE_ONLY = IsotpLayout(response_address=0xF1)


@pytest.mark.parametrize(("layout", "sent"), [(BOTH, b"\x10"), (REQUEST_ONLY, b"\x10"), (RESPONSE_ONLY, b"")])
@pytest.mark.parametrize("extended", [False, True])
async def test_an_address_byte_begins_what_is_sent(
    wire: Wire, layout: IsotpLayout, sent: bytes, extended: bool
) -> None:
    heard = b"" if layout.response_address is None else b"\xf1"
    ends = Ends(wire, layout=layout, extended=extended)
    room = 6 if sent else 7
    ends.channel.send(b"abcdefg"[:room])
    ends.channel.send(b"abcdefgh"[: room + 1])
    flags = FrameFlags.EXTENDED if extended else FrameFlags.NONE
    wire.feed(heard + GO_ON, flags=flags)
    assert wire.data() == [
        sent + bytes([room]) + b"abcdefg"[:room],
        (sent + bytes([0x10, room + 1]) + b"abcdef")[:8],
        (sent + b"\x21" + b"abcdefgh"[6 - len(sent) : room + 1]).ljust(8, b"\0"),
    ]
    wire.feed(heard + b"\x10\x14abcdef"[: 8 - len(heard)], flags=flags)
    assert wire.data()[-1] == (sent + GO_ON).ljust(8, b"\0")
    assert {(f.id, f.all_flags()) for f in wire.sent} == {(TESTER, int(flags))}


@pytest.mark.parametrize("layout", [BOTH, RESPONSE_ONLY])
async def test_an_address_byte_begins_what_is_heard(wire: Wire, layout: IsotpLayout) -> None:
    ends = Ends(wire, layout=layout)
    wire.feed(b"\xf1\x06abcdef")
    wire.feed(b"\xf1\x10\x07abcde", b"\xf1\x21fg")  # the shortest that no single frame has room for
    wire.feed(b"\xf1\x02ok\0\0\0\0")
    assert ends.payloads == [b"abcdef", b"abcdefg", b"ok"]
    assert ends.parts == 1
    assert ends.failures == []


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xf1",
        b"\x02no",  # without the address
        b"\x10\x02no",  # another one
        b"\xf1\x07abcdef",  # no single frame has room for seven
        b"\xf1\x10\x06abcde",
        b"\xf1\x10\x0aabc",
        b"\xf1\x30\x00\x00",
        b"\xf1\x21abcdef",
        b"\xf1\x40abc",
    ],
)
async def test_what_another_address_or_nobody_should_hear_is_ignored(wire: Wire, frame: bytes) -> None:
    ends = Ends(wire, layout=BOTH)
    wire.feed(frame)
    assert (ends.payloads, ends.failures, wire.sent) == ([], [], [])
    wire.feed(b"\xf1\x02ok")
    assert ends.payloads == [b"ok"]


async def test_a_transfer_with_an_address_follows_only_its_own_flow_control(wire: Wire) -> None:
    ends = Ends(wire, layout=BOTH)
    ends.channel.send(bytes(5 + 6 * 3))
    wire.feed(GO_ON, b"\x10" + GO_ON, b"\xf1\x30")
    assert len(wire.sent) == 1
    wire.feed(b"\xf1\x30\x02\x80")  # two frames, at a reserved separation time
    await wire.sends(3)
    wire.feed(b"\xf1" + GO_ON)
    await wire.sends(4)
    assert [d[:2] for d in wire.data()] == [b"\x10\x10", b"\x10\x21", b"\x10\x22", b"\x10\x23"]
    assert ends.failures == []


async def test_the_longest_payloads_with_an_address(wire: Wire) -> None:
    ends = Ends(wire, layout=BOTH)
    payload = bytes(range(256)) * 16
    ends.channel.send(payload[:4095])
    wire.feed(b"\xf1" + GO_ON)
    sent = wire.data()
    assert sent[0][:3] == b"\x10\x1f\xff"
    assert sent[0][3:] + b"".join(data[2:] for data in sent[1:]) == payload[:4095].ljust(5 + 6 * 682, b"\0")
    wire.feed(*(b"\xf1" + data[1:] for data in sent))
    assert ends.payloads == [payload[:4095]]


async def test_a_can_fd_response_with_an_address(wire: Wire) -> None:
    ends = Ends(wire, layout=BOTH)
    wire.feed(b"\xf1\x00\x090123456789", flags=FrameFlags.FD)
    assert ends.payloads == [b"012345678"]


async def test_ecus_on_one_pair_of_ids_are_told_apart_by_their_addresses(wire: Wire) -> None:
    """As where each request names the ECU and every answer the one that sent it."""
    first = Ends(wire, layout=IsotpLayout(request_address=1, response_address=1))
    second = Ends(wire, layout=IsotpLayout(request_address=2, response_address=2))
    normal = Ends(wire)
    wire.feed(b"\x01\x02a1", b"\x02\x02b2")
    assert (first.payloads, second.payloads) == ([b"a1"], [b"b2"])
    assert normal.payloads == [b"\x02", b"\x02b"]  # the same bytes mean something else without addresses
    assert len(wire.channels) == 3
    first.channel.send(bytes(20))
    second.channel.send(b"not behind the other's transfer"[:6])
    assert wire.data()[-1] == b"\x02\x06not be"


async def test_frames_without_padding(wire: Wire) -> None:
    ends = Ends(wire, layout=IsotpLayout(padding=Padding.UNPADDED))
    ends.channel.send(b"\x3e")
    ends.channel.send(b"abcdefgh")
    wire.feed(GO_ON)
    wire.feed(FIRST_OF_10)
    assert wire.data() == [b"\x01\x3e", b"\x10\x08abcdef", b"\x21gh", GO_ON]


async def test_padding_is_left_out_once_the_other_side_does_without(wire: Wire) -> None:
    ends = Ends(wire, layout=IsotpLayout(padding=Padding.DETECTED))
    ends.channel.send(b"\x3e\x00")
    wire.feed(b"\x02\x7e\x00".ljust(8, b"\xaa"))
    ends.channel.send(b"\x3e\x00")
    wire.feed(b"\x00", b"\x07abc")  # nobody's frames tell nothing
    wire.feed(b"\x02\x7e\x00", identifier=ECU + 1)
    ends.channel.send(b"\x3e\x00")
    assert {len(data) for data in wire.data()} == {8}
    wire.feed(b"\x02\x7e\x00")
    ends.channel.send(b"\x3e\x00")
    wire.feed(b"\x02\x7e\x00".ljust(8, b"\xaa"))
    ends.channel.send(b"\x3e\x00")
    assert wire.data()[-2:] == [b"\x02\x3e\x00"] * 2


async def test_a_short_flow_control_tells_that_padding_can_be_left_out(wire: Wire) -> None:
    ends = Ends(wire, layout=IsotpLayout(padding=Padding.DETECTED))
    ends.channel.send(b"abcdefgh")
    wire.feed(GO_ON)
    assert wire.data()[-1] == b"\x21gh"


async def test_channels_of_one_pair_and_different_layouts_are_independent(wire: Wire) -> None:
    padded, unpadded = Ends(wire), Ends(wire, layout=IsotpLayout(padding=Padding.UNPADDED))
    padded.channel.send(b"ok")
    unpadded.channel.send(b"ok")
    assert wire.data() == [b"\x02ok".ljust(8, b"\0"), b"\x02ok"]
    wire.feed(b"\x02ok")
    assert padded.payloads == unpadded.payloads == [b"ok"]
    padded.channel.close()
    wire.feed(b"\x02ok")
    assert unpadded.payloads == [b"ok"] * 2


@pytest.mark.parametrize(
    ("layout", "payload", "frame"),
    [
        (BOTH, b"abcdef", b"\x10\x06abcdef"),
        (REQUEST_ONLY, b"abc", b"\x10\x03abc\0\0\0"),
        (RESPONSE_ONLY, b"abcdefg", b"\x07abcdefg"),
        (IsotpLayout(request_address=0, padding=Padding.UNPADDED), b"abc", b"\x00\x03abc"),
        (IsotpLayout(padding=Padding.UNPADDED), b"abc", b"\x03abc"),
        (IsotpLayout(padding=Padding.DETECTED), b"abc", b"\x03abc\0\0\0\0"),
    ],
)
async def test_a_functional_request_in_each_layout(
    wire: Wire, layout: IsotpLayout, payload: bytes, frame: bytes
) -> None:
    channel = wire.channels.open(0x7DF, None, extended=False, receiver=pytest.fail, failure=pytest.fail, layout=layout)
    channel.send(payload)
    assert wire.data() == [frame]
    room = 7 if layout.request_address is None else 6
    with pytest.raises(BusError, match=f"takes 1 to {room}"):
        channel.send(bytes(room + 1))


@pytest.mark.parametrize("layout", [IsotpLayout(request_address=0x100), IsotpLayout(response_address=-1)])
@pytest.mark.parametrize("response", [ECU, None])
async def test_an_address_is_one_byte(wire: Wire, layout: IsotpLayout, response: int | None) -> None:
    with pytest.raises(BusError, match="one byte"):
        wire.channels.open(TESTER, response, extended=False, receiver=pytest.fail, failure=pytest.fail, layout=layout)
    assert len(wire.channels) == 0
