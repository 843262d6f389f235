"""Frame batches: what is packed comes out again, and nothing that no frame has goes in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.frames import RECORD_SIZE, Frame, FrameBatch, FrameFlags

identities = st.one_of(
    st.tuples(st.integers(0, 0x7FF), st.just(False)), st.tuples(st.integers(0, 0x1FFFFFFF), st.just(True))
)
frames = st.builds(
    lambda identity, data, bus, fd, timestamp, own: Frame(
        id=identity[0],
        extended=identity[1],
        data=data,
        bus=bus,
        fd=fd,
        timestamp=timestamp,
        flags=FrameFlags.OWN if own else FrameFlags.NONE,
    ),
    identities,
    st.binary(max_size=64),
    st.integers(1, 255),
    st.booleans(),
    st.floats(0, 2e9),
    st.booleans(),
)


@given(st.lists(frames, max_size=5))
def test_frames_come_out_as_they_went_in(some):
    batch = FrameBatch.of(some)
    assert len(batch) == len(some) == len(batch.buffer) // RECORD_SIZE
    assert bool(batch) == bool(some)
    assert [(one.id, one.data, one.bus, one.extended, one.fd, one.timestamp, one.all_flags()) for one in batch] == [
        (one.id, one.data, one.bus, one.extended, one.fd, one.timestamp, one.all_flags()) for one in some
    ]


@given(st.lists(frames, max_size=3), st.lists(frames, max_size=3))
def test_batches_join_and_compare(first, second):
    joined = FrameBatch.of(first) + FrameBatch.of(second)
    assert joined == FrameBatch.of([*first, *second])
    assert hash(joined) == hash(FrameBatch.of([*first, *second]))
    assert repr(joined) == f"FrameBatch({len(first) + len(second)} frames)"


def test_an_error_frame_has_its_class_for_an_id():
    assert [one.id for one in FrameBatch.of([Frame(id=0x1FF, flags=FrameFlags.ERROR)])] == [0x1FF]


@pytest.mark.parametrize(
    "frame",
    [
        Frame(id=-1),
        Frame(id=0x800),
        Frame(id=1 << 29, extended=True),
        Frame(id=1, data=bytes(65)),
        Frame(id=1, bus=0),
        Frame(id=1, bus=256),
    ],
)
def test_what_no_frame_has_is_refused(frame):
    with pytest.raises(ValueError):
        FrameBatch.of([frame])


def test_a_torn_batch_is_refused():
    with pytest.raises(ValueError, match="multiple of 80"):
        FrameBatch(bytes(81))
