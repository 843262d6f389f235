from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.buses.bus import BusState
from bridge.buses.error_frames import decode


def data(**fields: int) -> bytes:
    """The data bytes of an error frame, by their place: b0=..., b1=..."""
    return bytes(fields.get(f"b{position}", 0) for position in range(8))


@pytest.mark.parametrize(
    ("error_class", "content", "state", "reason"),
    [
        (0x001, data(), None, "a frame could not be sent in time (driver's time-out)"),
        (0x002, data(), None, "arbitration lost"),
        (0x002, data(b0=12), None, "arbitration lost in bit 12"),
        (0x004, data(), None, "a problem of the controller"),
        (0x004, data(b1=0x01), None, "the controller's receive buffer overflowed"),
        (0x004, data(b1=0x02), None, "the controller's transmit buffer overflowed"),
        (0x004, data(b1=0x04), BusState.UP, "many receive errors (error warning)"),
        (
            0x204,
            data(b1=0x08, b6=96),
            BusState.UP,
            "many transmit errors (error warning), error counters: transmit 96, receive 0",
        ),
        (
            0x004,
            data(b1=0x10, b7=128),
            BusState.ERROR_PASSIVE,
            "too many receive errors (error passive), error counters: transmit 0, receive 128",
        ),
        (0x004, data(b1=0x20), BusState.ERROR_PASSIVE, "too many transmit errors (error passive)"),
        (
            0x004,
            data(b1=0x28),
            BusState.ERROR_PASSIVE,
            "many transmit errors (error warning), too many transmit errors (error passive)",
        ),
        (0x004, data(b1=0x40), BusState.UP, "the controller is error active again"),
        (0x008, data(), None, "protocol error"),
        (0x008, data(b2=0x04, b3=0x0A), None, "stuff error in the data field"),
        (0x008, data(b2=0x90, b3=0x19), None, "bit error: recessive bit not sent in the ACK slot while sending"),
        (0x088, data(b2=0x02, b3=0xEE), None, "form error"),
        (0x010, data(), None, "a problem of the transceiver"),
        (0x010, data(b4=0x74), None, "CAN_H has no wire, CAN_L is shorted to ground"),
        (0x020, data(), None, "no acknowledgement: nobody else on the bus, another bitrate, or a broken wire"),
        (0x040, data(), BusState.BUS_OFF, "the controller left the bus after too many errors (bus off)"),
        (0x080, data(), None, "bus error"),
        (0x100, data(), BusState.UP, "the controller was restarted"),
        (0x200, data(b6=1, b7=2), None, "error counters: transmit 1, receive 2"),
        (0x40000, data(), None, "an error of class 0x40000"),
        (0, b"", None, "an error of class 0x0"),
        (0x004, b"\0\x10", BusState.ERROR_PASSIVE, "too many receive errors (error passive)"),
    ],
)
def test_what_an_error_frame_says(error_class: int, content: bytes, state: BusState | None, reason: str) -> None:
    report = decode(error_class, content)
    assert (report.state, report.reason) == (state, reason)


def test_the_worst_state_of_one_frame_counts() -> None:
    assert decode(0x044, data(b1=0x40)).state is BusState.BUS_OFF
    assert decode(0x104, data(b1=0x10)).state is BusState.ERROR_PASSIVE


@given(st.integers(0, 0x1FFFFFFF), st.binary(max_size=64))
def test_anything_is_understood_in_one_line(error_class: int, content: bytes) -> None:
    report = decode(error_class, content)
    assert report.state in (None, BusState.UP, BusState.ERROR_PASSIVE, BusState.BUS_OFF)
    assert report.reason
    assert "\n" not in report.reason
    assert len(report.reason) < 1000
