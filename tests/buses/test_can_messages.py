from __future__ import annotations

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.buses.can_messages import messages_of, record_of
from bridge.frames import FD_LENGTHS, OWN, Frame, FrameBatch, FrameFlags

FD_FLAGS = FrameFlags.FD | FrameFlags.BITRATE_SWITCH | FrameFlags.ERROR_STATE_INDICATOR


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    extended = draw(st.booleans())
    identifier = draw(st.integers(0, 0x1FFFFFFF if extended else 0x7FF))
    kind = draw(st.sampled_from(["classic", "fd", "remote", "error"]))
    flags = {
        "classic": FrameFlags.NONE,
        "fd": FrameFlags.FD | draw(st.sampled_from([0, FrameFlags.BITRATE_SWITCH, FD_FLAGS])),
        "remote": FrameFlags.REMOTE,
        "error": FrameFlags.ERROR,
    }[kind]
    length = draw(st.sampled_from(FD_LENGTHS) if kind == "fd" else st.integers(0, 8))
    data = bytes(length) if kind == "remote" else draw(st.binary(min_size=length, max_size=length))
    return Frame(identifier, data, 3, extended, False, draw(st.floats(0, 2e9)), flags)


@given(st.lists(frames(), max_size=5))
def test_a_frame_survives_python_can(sent: list[Frame]) -> None:
    batch = FrameBatch.of(sent)
    back = [record_of(message, 3, frame.timestamp) for message, frame in zip(messages_of(batch), sent, strict=True)]
    assert FrameBatch(b"".join(back)) == batch


@given(frames())
def test_messages_to_send_are_valid(frame: Frame) -> None:
    (message,) = messages_of(FrameBatch.of([frame]), channel="here")
    message._check()
    assert message.channel == "here"


def test_flags_from_outside_are_kept() -> None:
    message = can.Message(arbitration_id=5, is_extended_id=False, data=b"x")
    (frame,) = FrameBatch(record_of(message, 9, 1.5, OWN))
    assert frame == Frame(5, b"x", 9, False, False, 1.5, FrameFlags.OWN)


@pytest.mark.parametrize(
    "fields",
    [
        {"arbitration_id": 0x98DAF110},
        {"arbitration_id": 0x800, "is_extended_id": False},
        {"arbitration_id": -1},
        {"arbitration_id": 1, "is_fd": True, "data": bytes(65), "dlc": 65},
        {"arbitration_id": 1, "is_remote_frame": True, "dlc": 65},
    ],
)
def test_what_no_frame_has_makes_no_record(fields) -> None:
    with pytest.raises(ValueError, match=r"no arbitration id|no frame has"):
        record_of(can.Message(**fields), 1, 0.0)
