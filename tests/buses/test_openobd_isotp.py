"""ISO-TP channels of a remote session: which stream is opened when, and who hears what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from bridge.buses.bus import NORMAL_LAYOUT, IsotpLayout
from bridge.buses.openobd_isotp import RemoteIsotpChannels
from bridge.errors import BusError
from bridge.limits import REMOTE_ISOTP_STREAMS, REMOTE_RESPONDERS, WAITING_LIMIT
from bridge.openobd.messages import IsotpMessage, Padding


class Stream:
    """What the channels see of a stream."""

    def __init__(self, heard: Callable[[IsotpMessage], None], ended: Callable[[str], None]) -> None:
        self.heard = heard
        self.ended = ended
        self.messages: list[IsotpMessage] = []
        self.closed = False
        self.full = False

    def put(self, message: IsotpMessage) -> None:
        assert not self.closed
        if self.full:
            raise BusError("too many wait")
        self.messages.append(message)

    def close(self) -> None:
        self.closed = True

    @property
    def ids(self) -> tuple[int, int]:
        channel = self.messages[0].channel
        return channel.request_id, channel.response_id

    @property
    def payloads(self) -> list[str]:
        assert self.messages[0].payload == ""
        return [message.payload for message in self.messages[1:]]

    def say(self, payload: str) -> None:
        self.heard(IsotpMessage(channel=self.messages[0].channel, payload=payload))


class Bench:
    """All streams that were opened, in their order."""

    def __init__(self, idle: float = 1000.0) -> None:
        self.streams: list[Stream] = []
        self.unconfirmed: list[tuple[list[int], Callable[[], None]]] = []  #: response ids, and whom to tell
        self.gone = False
        self.channels = RemoteIsotpChannels("hs", self._open, self._confirm, idle)

    def _open(self, heard, ended) -> Stream:
        if self.gone:
            raise BusError("it is gone")
        self.streams.append(Stream(heard, ended))
        return self.streams[-1]

    def _confirm(self, channels, then) -> None:
        self.unconfirmed.append(([channel.response_id for channel in channels], then))

    def join(self, request_id: int, response_id: int | None, layout: IsotpLayout = NORMAL_LAYOUT) -> Peer:
        return Peer(self.channels, request_id, response_id, layout)

    @property
    def ids(self) -> list[tuple[int, int]]:
        return [stream.ids for stream in self.streams if not stream.closed]


class Peer:
    """A channel, what it heard, and how it failed."""

    def __init__(self, channels, request_id: int, response_id: int | None, layout: IsotpLayout) -> None:
        self.heard: list[str] = []
        self.failures: list[str] = []
        self.channel = channels.open(
            request_id,
            response_id,
            extended=request_id > 0x7FF,
            receiver=lambda data: self.heard.append(data.hex()),
            failure=self.failures.append,
            layout=layout,
        )

    def send(self, payload: str) -> None:
        self.channel.send(bytes.fromhex(payload))


@pytest.fixture
async def bench() -> Bench:
    return Bench()


class TestStreams:
    async def test_a_stream_is_opened_when_something_is_sent(self, bench) -> None:
        peer = bench.join(0x7E0, 0x7E8)
        assert bench.streams == []
        peer.send("22f190")
        peer.send("3e00")
        (stream,) = bench.streams
        assert (stream.ids, stream.payloads) == ((0x7E0, 0x7E8), ["22F190", "3E00"])
        channel = stream.messages[0].channel
        assert (channel.bus_name, channel.padding) == ("hs", Padding.PADDING_ENABLED)
        assert not channel.HasField("extended_request_address")

    async def test_channels_of_the_same_ids_share_it(self, bench) -> None:
        first, second = bench.join(0x7E0, 0x7E8), bench.join(0x7E0, 0x7E8)
        first.send("01")
        second.send("02")
        assert bench.streams[0].payloads == ["01", "02"]
        bench.streams[0].say("7F0111")
        assert first.heard == second.heard == ["7f0111"]

    async def test_it_outlives_its_channels_for_the_next(self, bench) -> None:
        for _ in range(3):
            peer = bench.join(0x7E0, 0x7E8)
            peer.send("01")
            peer.channel.close()
            bench.streams[0].say("41")
        assert len(bench.streams) == 1
        assert peer.heard == []

    async def test_it_is_closed_when_nobody_needs_it_any_more(self) -> None:
        bench = Bench(idle=0.0)
        peer = bench.join(0x7E0, 0x7E8)
        peer.send("01")
        peer.channel.close()
        peer.channel.close()
        await asyncio.sleep(0.01)
        assert bench.streams[0].closed
        bench.join(0x7E0, 0x7E8).send("02")
        assert len(bench.streams) == 2

    async def test_one_that_nobody_needs_makes_room(self, bench) -> None:
        idle = bench.join(0x600, 0x601)
        idle.send("01")
        idle.channel.close()
        peers = [bench.join(0x100 + number, 0x200 + number) for number in range(REMOTE_ISOTP_STREAMS)]
        for peer in peers:
            peer.send("01")
        assert bench.streams[0].closed
        with pytest.raises(BusError, match="32 pairs of ids are in use"):
            bench.join(0x600, 0x601).send("01")
        assert bench.channels.streams == REMOTE_ISOTP_STREAMS

    async def test_a_closed_channel_sends_nothing(self, bench) -> None:
        peer = bench.join(0x7E0, 0x7E8)
        peer.channel.close()
        with pytest.raises(BusError, match="closed"):
            peer.send("01")

    async def test_closing_all_is_silent(self, bench) -> None:
        peer = bench.join(0x7E0, 0x7E8)
        peer.send("01")
        bench.channels.close_all()
        assert bench.streams[0].closed
        assert peer.failures == []
        with pytest.raises(BusError, match="closed"):
            peer.send("01")

    @pytest.mark.parametrize(
        ("request_id", "response_id", "extended", "why"),
        [
            (0x800, 0x7E8, False, "not an arbitration id of 11 bits"),
            (0x7E0, 0x7E0, False, "needs two ids"),
            (0x7E0, 0x18DAF110, True, "cannot name one of 29"),
            (0x18DA10F1, 0x7E8, True, "cannot name one of 29"),
            (0x123, None, False, "no functional address"),
        ],
    )
    async def test_ids_that_cannot_be(self, bench, request_id, response_id, extended, why) -> None:
        with pytest.raises(BusError, match=why):
            bench.channels.open(
                request_id,
                response_id,
                extended=extended,
                receiver=pytest.fail,
                failure=pytest.fail,
                layout=NORMAL_LAYOUT,
            )


class TestHearing:
    async def test_channels_that_share_the_response_id_hear_the_same(self, bench) -> None:
        """One has no stream of its own yet; it listens to the other's."""
        asking, listening = bench.join(0x7E0, 0x7E8), bench.join(0x6E0, 0x7E8)
        asking.send("01")
        bench.streams[0].say("4100")
        assert asking.heard == listening.heard == ["4100"]

    async def test_nobody_hears_a_payload_twice(self, bench) -> None:
        first, second, third = (bench.join(request_id, 0x7E8) for request_id in (0x7E0, 0x6E0, 0x6E1))
        first.send("01")
        second.send("01")
        for stream in bench.streams:
            stream.say("4100")
        assert first.heard == second.heard == third.heard == ["4100"]

    async def test_another_address_is_another_ecu(self, bench) -> None:
        plain = bench.join(0x6F1, 0x612)
        addressed = bench.join(0x6F1, 0x612, IsotpLayout(0x12, 0xF1))
        addressed.send("01")
        channel = bench.streams[0].messages[0].channel
        assert (channel.extended_request_address, channel.extended_response_address) == (0x12, 0xF1)
        bench.streams[0].say("41")
        assert (plain.heard, addressed.heard) == ([], ["41"])

    @pytest.mark.parametrize("nonsense", ["", "4", "xy", "0x41", "00" * 4096])
    async def test_what_makes_no_sense_is_heard_by_nobody(self, bench, nonsense) -> None:
        peer = bench.join(0x7E0, 0x7E8)
        peer.send("01")
        bench.streams[0].say(nonsense)
        bench.streams[0].say("41" + "00" * 4094)
        assert len(peer.heard) == 1

    async def test_a_receiver_may_close_the_others(self, bench) -> None:
        first, second = bench.join(0x7E0, 0x7E8), bench.join(0x7E0, 0x7E8)
        first.heard = _Closing(second)
        first.send("01")
        bench.streams[0].say("41")
        assert second.heard == []


class _Closing:
    def __init__(self, victim: Peer) -> None:
        self._victim = victim

    def append(self, payload: str) -> None:
        self._victim.channel.close()


class TestFailures:
    async def test_a_stream_that_ends_fails_its_channels_and_is_opened_again(self, bench) -> None:
        first, second, other = bench.join(0x7E0, 0x7E8), bench.join(0x7E0, 0x7E8), bench.join(0x7E1, 0x7E9)
        first.send("01")
        other.send("01")
        bench.streams[0].ended("refused")
        assert (first.failures, second.failures, other.failures) == (["refused"], ["refused"], [])
        first.send("02")
        assert [stream.payloads for stream in bench.streams] == [["01"], ["01"], ["02"]]

    async def test_an_idle_one_may_end_unnoticed(self, bench) -> None:
        peer = bench.join(0x7E0, 0x7E8)
        peer.send("01")
        peer.channel.close()
        bench.streams[0].ended("time is up")
        assert peer.failures == []
        bench.join(0x7E0, 0x7E8).send("02")
        assert bench.streams[1].payloads == ["02"]

    async def test_a_loss_fails_what_has_streams_once(self, bench) -> None:
        asking, idle = bench.join(0x7E0, 0x7E8), bench.join(0x7E1, 0x7E9)
        asking.send("01")
        bench.channels.lost("cut")
        bench.channels.lost("cut")
        assert (asking.failures, idle.failures) == (["cut"], [])
        bench.gone = True
        with pytest.raises(BusError, match="gone"):
            asking.send("02")
        bench.gone = False
        asking.send("03")
        assert [stream.payloads for stream in bench.streams] == [["01"], ["03"]]


class TestFunctional:
    async def test_who_may_answer_is_heard_before_the_request_leaves(self, bench) -> None:
        everybody = bench.join(0x7DF, None)
        listening = [bench.join(0x7E0 + number, 0x7E8 + number) for number in range(3)]
        bench.join(0x100, 0x101)
        everybody.send("0100")
        assert bench.ids == [(0x7E0, 0x7E8), (0x7E1, 0x7E9), (0x7E2, 0x7EA), (0x7DF, 0x7EF)]
        assert all(stream.payloads == [] for stream in bench.streams)
        ((waited_for, then),) = bench.unconfirmed
        assert waited_for == [0x7E8, 0x7E9, 0x7EA]
        then()
        assert [stream.payloads for stream in bench.streams] == [[], [], [], ["0100"]]
        bench.streams[1].say("4100")
        assert [peer.heard for peer in listening] == [[], ["4100"], []]

    async def test_the_next_one_leaves_at_once(self, bench) -> None:
        everybody = bench.join(0x7DF, None)
        bench.join(0x7E0, 0x7E8)
        everybody.send("0100")
        bench.unconfirmed.pop()[1]()
        everybody.send("010D")
        assert bench.unconfirmed == []
        assert bench.streams[-1].payloads == ["0100", "010D"]

    async def test_requests_keep_their_order(self, bench) -> None:
        everybody = bench.join(0x7DF, None)
        bench.join(0x7E0, 0x7E8)
        everybody.send("0100")
        everybody.send("0101")
        bench.join(0x7E1, 0x7E9)
        everybody.send("0102")
        sender = next(stream for stream in bench.streams if stream.ids == (0x7DF, 0x7EF))
        (_, first), (_, second) = bench.unconfirmed
        second()
        assert sender.payloads == []
        first()
        assert sender.payloads == ["0100", "0101", "0102"]

    async def test_not_too_many_wait(self, bench) -> None:
        everybody = bench.join(0x7DF, None)
        bench.join(0x7E0, 0x7E8)
        for _ in range(WAITING_LIMIT):
            everybody.send("0100")
        with pytest.raises(BusError, match="wait already"):
            everybody.send("0100")

    async def test_one_that_finds_no_room_in_the_end_has_failed(self, bench) -> None:
        everybody = bench.join(0x7DF, None)
        bench.join(0x7E0, 0x7E8)
        everybody.send("0100")
        everybody.send("0101")
        bench.streams[-1].full = True
        bench.unconfirmed.pop()[1]()
        assert everybody.failures == ["too many wait"]

    async def test_what_waits_is_lost_with_the_connection_and_not_sent_later(self, bench) -> None:
        everybody = bench.join(0x7DF, None)
        bench.join(0x7E0, 0x7E8)
        everybody.send("0100")
        bench.channels.lost("cut")
        assert everybody.failures == ["cut"]
        everybody.send("0101")
        (_, stale), (_, then) = bench.unconfirmed
        stale()
        assert bench.streams[-1].payloads == []
        then()
        assert bench.streams[-1].payloads == ["0101"]

    async def test_the_senders_own_stream_adds_no_answer(self, bench) -> None:
        everybody = bench.join(0x7DF, None)
        last = bench.join(0x7E7, 0x7EF)
        everybody.send("0100")
        bench.unconfirmed.pop()[1]()
        for stream in bench.streams:
            stream.say("4100")
        assert last.heard == ["4100"]

    async def test_of_29_bits_engine_and_transmission_come_first(self, bench) -> None:
        everybody = bench.join(0x18DB33F1, None)
        for address in range(0x20):
            bench.join(0x18DA00F1 | address << 8, 0x18DAF100 | address)
        everybody.send("0100")
        ((waited_for, _),) = bench.unconfirmed
        assert waited_for == [0x18DAF100 | address for address in range(0x10, 0x20)]
        assert len(waited_for) == REMOTE_RESPONDERS

    @pytest.mark.parametrize(("payload", "layout"), [("00" * 8, NORMAL_LAYOUT), ("00" * 7, IsotpLayout(0xEF))])
    async def test_it_takes_one_frame(self, bench, payload, layout) -> None:
        with pytest.raises(BusError, match="takes 1 to"):
            bench.join(0x7DF, None, layout).send(payload)
