"""Raw frames of a remote session: which streams hear and send which ids."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest

from bridge.buses import openobd_raw
from bridge.buses.openobd_raw import RemoteHearing, RemoteSending
from bridge.errors import BusError
from bridge.limits import (
    REMOTE_FRAMES_WAITING,
    REMOTE_HEARING_STREAMS,
    REMOTE_SENDING_STREAMS,
    STREAM_CHANNELS_LIMIT,
)
from bridge.openobd.messages import RawChannel, RawFrame

from .remote import until


class Stream:
    """What is seen of a stream; messages leave when the test says so."""

    def __init__(self, heard, ended, written) -> None:
        self.heard, self.ended, self.written = heard, ended, written
        self.waiting: deque[RawFrame] = deque()
        self.left: list[RawFrame] = []
        self.retired = self.closed = False

    def put(self, message: RawFrame) -> None:
        assert not self.closed
        assert not self.retired
        self.waiting.append(message)

    def retire(self) -> None:
        self.retired = True

    def close(self) -> None:
        self.closed = True

    def leave(self, count: int = 1 << 30) -> None:
        while self.waiting and count:
            count -= 1
            self.left.append(self.waiting.popleft())
            self.written(self.left[-1])

    @property
    def asked(self) -> list[int]:
        return [message.channel.response_id for message in [*self.left, *self.waiting]]

    def say(self, identifier: int, payload: str) -> None:
        self.heard(RawFrame(channel=RawChannel(bus_name="hs", response_id=identifier), payload=payload))


class Streams(list):
    def open(self, *callbacks) -> Stream:
        self.append(Stream(*callbacks))
        return self[-1]

    @property
    def living(self) -> list[Stream]:
        return [stream for stream in self if not stream.closed]


@pytest.fixture
def streams() -> Streams:
    return Streams()


class TestHearing:
    @pytest.fixture
    async def heard(self) -> list[tuple[int, bytes]]:
        return []

    @pytest.fixture
    async def hearing(self, streams, heard) -> RemoteHearing:
        return RemoteHearing("hs", streams.open, lambda *frame: heard.append(frame), "the bus")

    def test_an_id_has_a_stream_to_itself(self, streams, hearing, heard) -> None:
        hearing.want(frozenset({1, 0x18FEF100}))
        assert streams == []
        hearing.start()
        assert [stream.asked for stream in streams] == [[1], [0x18FEF100]]
        assert streams[0].waiting[0].payload == ""
        assert not streams[0].waiting[0].channel.HasField("request_id")
        streams[1].say(0x18FEF100, "00ff")
        streams[0].say(1, "")
        assert heard == [(0x18FEF100, b"\x00\xff"), (1, b"")]

    def test_ids_come_and_go_with_the_wish(self, streams, hearing, heard) -> None:
        hearing.start()
        hearing.want(frozenset({1, 2}))
        hearing.want(frozenset({2, 3}))
        assert [stream.asked for stream in streams.living] == [[2], [3]]
        streams[0].say(1, "00")
        assert heard == []

    def test_many_share(self, streams, hearing, heard) -> None:
        count = 3 * REMOTE_HEARING_STREAMS
        hearing.start()
        hearing.want(frozenset(range(count)))
        assert [len(stream.asked) for stream in streams] == [3] * REMOTE_HEARING_STREAMS
        streams[0].say(streams[0].asked[2], "01")
        assert heard == [(streams[0].asked[2], b"\x01")]
        hearing.want(frozenset({streams[0].asked[1]}))
        assert streams.living == [streams[0]]
        streams[0].say(streams[0].asked[2], "02")
        assert len(heard) == 1
        hearing.want(frozenset(streams[0].asked))
        assert len(streams[0].asked) == 3

    def test_too_many_are_left_out_and_said(self, streams, hearing, caplog) -> None:
        most = REMOTE_HEARING_STREAMS * STREAM_CHANNELS_LIMIT
        hearing.start()
        hearing.want(frozenset(range(most + 7)))
        assert sum(len(stream.asked) for stream in streams) == most
        assert "the bus: 7 ids are too many" in caplog.text

    @pytest.mark.parametrize("nonsense", ["0", "zz", "00" * 9])
    def test_nonsense_is_no_frame(self, streams, hearing, heard, nonsense) -> None:
        hearing.start()
        hearing.want(frozenset({1}))
        streams[0].say(1, nonsense)
        assert heard == []

    async def test_a_stream_that_ended_is_asked_for_again_later_each_time(
        self, streams, hearing, caplog, monkeypatch
    ) -> None:
        monkeypatch.setattr(openobd_raw, "BUS_REOPEN_DELAY", 0.001)
        hearing.want(frozenset({1}))
        hearing.start()
        for count in range(2, 5):
            streams[-1].ended("not on this bus")
            await until(lambda: len(streams) == count)  # noqa: B023
        assert caplog.text.count("raw frames of 1 ids are not heard: not on this bus") == 1
        streams[-1].ended("not on this bus")
        hearing.stop()
        assert streams.living == []

    def test_everything_is_asked_for_again_after_a_loss(self, streams, hearing) -> None:
        hearing.want(frozenset({1, 2}))
        hearing.start()
        hearing.stop()
        assert streams.living == []
        hearing.want(frozenset({2}))
        hearing.start()
        assert [stream.asked for stream in streams.living] == [[2]]


class TestSending:
    @pytest.fixture
    def sent(self) -> list[RawFrame]:
        return []

    @pytest.fixture
    def unsent(self) -> list[tuple[int, str]]:
        return []

    @pytest.fixture
    def sending(self, streams, sent, unsent) -> RemoteSending:
        return RemoteSending("hs", streams.open, sent.append, lambda *loss: unsent.append(loss))

    async def test_the_first_frame_opens_the_channel(self, streams, sending, sent) -> None:
        sending.send(0x123, b"\x01")
        sending.send(0x123, b"\x02")
        (stream,) = streams
        assert [message.payload for message in stream.waiting] == ["", "01", "02"]
        assert {message.channel.request_id for message in stream.waiting} == {0x123}
        stream.leave()
        assert [frame.payload for frame in sent] == ["01", "02"]

    async def test_many_ids_share_streams(self, streams, sending, sent) -> None:
        ids = range(3 * REMOTE_SENDING_STREAMS)
        for identifier in (*ids, *ids):
            sending.send(identifier, b"\x01")
        assert len(streams) == REMOTE_SENDING_STREAMS
        for stream in streams:
            stream.leave()
        assert len(sent) == 2 * len(ids)

    async def test_the_oldest_stream_makes_room_and_still_sends(self, streams, sending, sent) -> None:
        for identifier in range(REMOTE_SENDING_STREAMS * STREAM_CHANNELS_LIMIT + 1):
            sending.send(identifier, b"\x01")
        assert [stream.retired for stream in streams] == [True] + [False] * REMOTE_SENDING_STREAMS
        assert not streams[0].closed
        streams[0].leave()
        assert len(sent) == STREAM_CHANNELS_LIMIT
        streams[0].ended("done")
        assert streams[0].closed

    async def test_what_has_not_left_never_will(self, streams, sending, sent, unsent) -> None:
        for number in range(5):
            sending.send(0x123, bytes([number]))
        streams[0].leave(3)
        sending.stop("cut")
        assert ([frame.payload for frame in sent], unsent) == (["00", "01"], [(3, "cut")])
        sending.send(0x123, b"\x09")
        assert [message.payload for message in streams[1].waiting] == ["", "09"]

    async def test_a_stream_that_ends_takes_only_its_own(self, streams, sending, unsent) -> None:
        sending.send(1, b"\x01")
        sending.send(2, b"\x02")
        streams[0].ended("refused")
        assert unsent == [(1, "refused")]
        sending.stop("cut")
        assert unsent == [(1, "refused"), (1, "cut")]

    async def test_the_room_is_bounded_and_comes_back(self, streams, sending) -> None:
        sending.check_room(REMOTE_FRAMES_WAITING)
        sending.send(1, b"\x01")
        with pytest.raises(BusError, match="1 frames wait already"):
            sending.check_room(REMOTE_FRAMES_WAITING)
        streams[0].leave()
        sending.check_room(REMOTE_FRAMES_WAITING)
        sending.send(1, b"\x01")
        sending.stop("cut")
        sending.check_room(REMOTE_FRAMES_WAITING)

    async def test_finishing_waits_until_all_has_arrived(self, streams, sending) -> None:
        sending.send(1, b"\x01")
        sending.send(2, b"\x02")
        finishing = asyncio.ensure_future(sending.finish())
        await asyncio.sleep(0)
        for stream in streams:
            assert stream.retired
            stream.leave()
        assert not finishing.done()
        for stream in streams:
            stream.ended("done")
        await finishing

    async def test_finishing_without_a_frame_takes_no_time(self, sending) -> None:
        await sending.finish()
