"""Raw channels: what each hears, and what happens while it hears."""

from __future__ import annotations

import pytest

from bridge.buses.raw import RawChannels
from bridge.errors import BusError
from bridge.frames import Frame, FrameBatch, FrameFlags


def feed(channels: RawChannels, *frames: Frame) -> None:
    channels.feed(FrameBatch.of(frames))


def test_a_channel_hears_the_data_of_its_id_in_order() -> None:
    channels, heard, extended = RawChannels(), [], []
    channels.open(0x123, extended=False, receiver=heard.append)
    channels.open(0x123, extended=True, receiver=extended.append)
    feed(
        channels,
        Frame(id=0x123, data=b"one"),
        Frame(id=0x124, data=b"another's"),
        Frame(id=0x123, data=b""),
        Frame(id=0x123, data=bytes(range(64)), fd=True),
        Frame(id=0x123, extended=True, data=b"29 bits"),
        Frame(id=0x123, data=b"own", flags=FrameFlags.OWN),
        Frame(id=0x123, data=b"remote", flags=FrameFlags.REMOTE),
        Frame(id=0x123, data=b"error", flags=FrameFlags.ERROR),
    )
    assert heard == [b"one", b"", bytes(range(64))]
    assert extended == [b"29 bits"]


def test_any_number_of_channels_hear_one_id_until_they_close() -> None:
    channels, heard = RawChannels(), [[], [], []]
    opened = [channels.open(1, extended=False, receiver=data.append) for data in heard]
    feed(channels, Frame(id=1, data=b"a"))
    opened[1].close()
    opened[1].close()
    feed(channels, Frame(id=1, data=b"b"))
    assert channels.heard_ids == {(1, False)}
    channels.close_all()
    feed(channels, Frame(id=1, data=b"c"))
    assert heard == [[b"a", b"b"], [b"a"], [b"a", b"b"]]
    assert channels.heard_ids == frozenset()


def test_the_ids_are_told_when_they_change() -> None:
    changes = []
    channels = RawChannels(lambda: changes.append(channels.heard_ids))
    first = channels.open(1, extended=False, receiver=pytest.fail)
    second = channels.open(1, extended=False, receiver=pytest.fail)
    first.close()
    second.close()
    assert changes == [{(1, False)}, frozenset()]


def test_a_receiver_may_close_itself_and_others_between_two_frames() -> None:
    channels, heard = RawChannels(), []

    def hear_once(data: bytes) -> None:
        heard.append(data)
        first.close()
        second.close()

    first = channels.open(1, extended=False, receiver=hear_once)
    second = channels.open(1, extended=False, receiver=pytest.fail)
    feed(channels, Frame(id=1, data=b"a"), Frame(id=1, data=b"b"))
    assert heard == [b"a"]


def test_a_receiver_may_open_a_channel() -> None:
    channels, heard = RawChannels(), []

    def follow(data: bytes) -> None:
        first.close()
        channels.open(data[0], extended=False, receiver=heard.append)

    first = channels.open(1, extended=False, receiver=follow)
    feed(channels, Frame(id=1, data=b"\x02"), Frame(id=2, data=b"followed"))
    feed(channels, Frame(id=1, data=b"\x03"), Frame(id=2, data=b"again"))
    assert heard == [b"followed", b"again"]


@pytest.mark.parametrize(("identifier", "extended"), [(0x800, False), (0x20000000, True), (-1, False)])
def test_an_id_that_cannot_be_is_refused(identifier: int, extended: bool) -> None:
    channels = RawChannels()
    with pytest.raises(BusError, match="not an arbitration id"):
        channels.open(identifier, extended=extended, receiver=pytest.fail)
    assert channels.heard_ids == frozenset()
