import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.openxc.messages import DiagnosticResponse
from bridge.openxc.multiframe import split

VIN = b"WVWZZZ1KZAW000001"


def response(mode=0x22, pid=0xF190, payload=VIN, **fields):
    return DiagnosticResponse(
        **{"bus": 1, "id": 0x7E0, "mode": mode, "pid": pid, "success": True, "payload": payload} | fields
    )


def test_a_long_response_comes_in_parts():
    parts = split(response(timestamp=5.0, value=7), 8)
    assert [part.frame for part in parts] == [0, 1, -1]
    assert {part.total_size for part in parts} == {20}
    assert [part.payload for part in parts] == [b"\x62\xf1\x90WVWZZ", b"Z1KZAW00", b"0001"]
    assert {(part.bus, part.id, part.mode, part.pid, part.success, part.timestamp) for part in parts} == {
        (1, 0x7E0, 0x22, 0xF190, True, 5.0)
    }
    assert {part.value for part in parts} == {None}


def test_two_parts_at_least():
    assert [part.frame for part in split(response(), 19)] == [0, -1]


@pytest.mark.parametrize(
    "whole",
    [
        response(payload=VIN[:5]),
        response(success=False, payload=None, negative_response_code=0x31),
        response(payload=None, value=5),
        response(payload=b""),
        response(frame=0, total_size=400),
    ],
)
def test_what_needs_no_parts_stays(whole):
    assert split(whole, 8) == [whole]


def test_a_response_that_just_fits():
    assert split(response(), 20) == [response()]


def test_headers():
    def header(**fields):
        return split(response(payload=bytes(50), **fields), 50)[0].payload[:4].rstrip(b"\0")

    assert header(mode=0x09, pid=0x02) == b"\x49\x02"
    assert header(mode=0x22, pid=0xF190) == b"\x62\xf1\x90"
    assert header(mode=0x22, pid=0x12) == b"\x62\x00\x12"
    assert header(mode=0x31, pid=0x12) == b"\x71\x12"
    assert header(mode=0x19, pid=None) == b"\x59"
    assert split(response(pid=0x12, pid_length=1), 8)[0].payload[:2] == b"\x62\x12"


def test_parts_too_small_for_the_header():
    with pytest.raises(ValueError):
        split(response(), 2)


@given(
    st.binary(min_size=1, max_size=4095),
    st.integers(3, 5000),
    st.integers(1, 0xFF),
    st.one_of(st.none(), st.integers(0, 0xFFFF)),
)
def test_the_parts_are_the_message(payload, part_size, mode, pid):
    whole = response(mode=mode, pid=pid, payload=payload)
    parts = split(whole, part_size)
    if len(parts) == 1:
        assert parts == [whole]
        assert len(payload) < part_size
        return
    message = b"".join(part.payload for part in parts)
    assert message[0] == (mode + 0x40) & 0xFF
    assert message.endswith(payload)
    assert {part.total_size for part in parts} == {len(message)}
    assert [part.frame for part in parts] == [*range(len(parts) - 1), -1]
    assert max(len(part.payload) for part in parts) <= part_size
