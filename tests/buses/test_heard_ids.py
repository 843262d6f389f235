"""Who hears which frames, compared with the plain way to say it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.buses.heard_ids import HeardIds, check_id
from bridge.errors import BusError
from bridge.frames import RECORD, Frame, FrameBatch, FrameFlags

IDS = st.sampled_from([0, 1, 2, 0x7FF])
FRAMES = st.builds(
    Frame,
    id=IDS,
    extended=st.booleans(),
    data=st.binary(max_size=8),
    fd=st.booleans(),
    flags=st.sampled_from([FrameFlags.NONE, FrameFlags.OWN, FrameFlags.REMOTE, FrameFlags.ERROR]),
)
LISTENERS = st.lists(st.tuples(IDS, st.booleans()), max_size=6)


@given(st.lists(FRAMES, max_size=20), LISTENERS, LISTENERS)
def test_each_listener_finds_the_data_frames_of_its_id_in_order(frames, staying, leaving) -> None:
    heard: HeardIds[tuple[int, tuple[int, bool]]] = HeardIds(lambda: None)
    listeners = list(enumerate(staying + leaving))
    for listener in listeners:
        heard.add(*listener[1], listener)
    for listener in listeners[len(staying) :]:
        heard.remove(*listener[1], listener)
        heard.remove(*listener[1], listener)
    assert heard.ids == set(staying)
    assert sorted(heard.listeners()) == listeners[: len(staying)]
    assert list(heard.find(FrameBatch.of(frames))) == [
        (listener, frame.data)
        for frame in frames
        if frame.flags is FrameFlags.NONE
        for listener in listeners[: len(staying)]
        if listener[1] == (frame.id, frame.extended)
    ]


def test_changes_of_the_ids_are_told_once() -> None:
    changes: list[frozenset[tuple[int, bool]]] = []
    heard: HeardIds[str] = HeardIds(lambda: changes.append(heard.ids))
    heard.add(1, False, "a")
    heard.add(1, False, "b")
    heard.add(1, True, "a")
    heard.remove(1, False, "a")
    heard.remove(1, False, "b")
    heard.remove(2, False, "nobody")
    assert changes == [{(1, False)}, {(1, False), (1, True)}, {(1, True)}]


def test_nothing_is_unpacked_while_no_id_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoRecord:
        def unpack_from(self, *arguments: object) -> None:
            pytest.fail("unpacked")

    heard: HeardIds[str] = HeardIds(lambda: None)
    batch = FrameBatch.of(Frame(id=number, data=bytes(8)) for number in range(100))
    monkeypatch.setattr("bridge.buses.heard_ids.RECORD", NoRecord())
    assert list(heard.find(batch)) == []
    heard.add(100, False, "listener")
    assert list(heard.find(batch)) == []
    monkeypatch.setattr("bridge.buses.heard_ids.RECORD", RECORD)
    heard.add(99, False, "listener")
    assert list(heard.find(batch)) == [("listener", bytes(8))]


@pytest.mark.parametrize(
    ("identifier", "extended", "fits"),
    [
        (0, False, True),
        (0x7FF, False, True),
        (0x800, False, False),
        (-1, False, False),
        (0x1FFFFFFF, True, True),
        (0x20000000, True, False),
        (-1, True, False),
    ],
)
def test_the_ids_of_each_format(identifier: int, extended: bool, fits: bool) -> None:
    if fits:
        check_id(identifier, extended)
    else:
        with pytest.raises(BusError, match=f"of {29 if extended else 11} bits"):
            check_id(identifier, extended)
