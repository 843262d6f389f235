"""Requests as bytes, and which bytes answer them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.diagnostics.errors import RequestRefused
from bridge.diagnostics.layout import Negative, Positive, lay_out
from bridge.openxc.pids import pid_length

from .bench import request


@pytest.mark.parametrize(
    ("mode", "pid", "payload", "length", "expected"),
    [
        (1, 0x0C, b"", None, "010c"),
        (1, 0, b"", None, "0100"),
        (1, None, b"", None, "01"),
        (3, None, b"", None, "03"),
        (1, None, b"\x12\x34", None, "011234"),
        (1, 2, b"\x12\x34", None, "01021234"),
        (9, 2, b"", None, "0902"),
        (0x0A, 0xFF, b"", None, "0aff"),
        (0x3E, 0, b"", None, "3e00"),
        (0x22, 0xF190, b"", None, "22f190"),
        (0x22, 0x0B, b"", None, "22000b"),
        (0x22, 0x0B, b"", 1, "220b"),
        (0x24, 0x0B, b"", None, "24000b"),
        (0x2E, 0x01, b"\xaa", None, "2e0001aa"),
        (0x2F, 0x01, b"\x03", None, "2f000103"),
        (0x10, 0x03, b"", None, "1003"),
        (0x19, 0x02, b"\xff", None, "1902ff"),
        (0x21, 0x01, b"", None, "2101"),
        (0x21, 0x101, b"", None, "210101"),
        (0x31, 0x01, b"\x02\x03", None, "31010203"),
        (1, 0x0C, b"", 2, "01000c"),
        (0xBA, 0x1234, b"", None, "ba1234"),
    ],
)
def test_bytes(mode, pid, payload, length, expected):
    assert lay_out(request(mode=mode, pid=pid, payload=payload), length).payload.hex() == expected


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        ({"mode": 0}, None),
        ({"mode": -1}, None),
        ({"mode": 0x100}, None),
        ({"pid": -1}, None),
        ({"mode": 0x22, "pid": 0x10000}, None),
        ({"mode": 1, "pid": 0x100}, None),
        ({"mode": 0x3E, "pid": 0x100}, None),
        ({"mode": 0x22, "pid": 0x100}, 1),
        ({}, 0),
        ({}, 3),
        ({"payload": bytes(4094)}, None),
        ({"id": 0x7DF, "payload": bytes(6)}, None),
        ({"id": 0x18DB33F1, "payload": bytes(6)}, None),
    ],
)
def test_impossible(fields, length):
    with pytest.raises(RequestRefused):
        lay_out(request(**fields), length)


def test_longest():
    assert len(lay_out(request(payload=bytes(4093))).payload) == 4095
    assert len(lay_out(request(id=0x7DF, payload=bytes(5))).payload) == 7


@pytest.mark.parametrize(
    ("mode", "pid", "received", "expected"),
    [
        (1, 0x0C, "410c1af8", Positive(b"\x1a\xf8")),
        (1, 0x0C, "410c", Positive(b"")),
        (1, 0x0C, "410d1af8", None),
        (1, 0x0C, "420c1af8", None),
        (1, 0x0C, "41", None),
        (1, 0x0C, "", None),
        (1, None, "410c1af8", Positive(b"\x0c\x1a\xf8")),
        (0x22, 0x0B, "62000b01", Positive(b"\x01")),
        (0x22, 0x0B, "620b01", None),
        (0x22, 0xF190, "62f19031", Positive(b"1")),
        (1, 0x0C, "7f0111", Negative(0x11)),
        (1, 0x0C, "7f0178", Negative(0x78)),
        (1, 0x0C, "7f0211", None),
        (1, 0x0C, "7f01", None),
        (1, 0x0C, "7f", None),
        (1, 0x0C, "7f0100", None),
        (0x3F, None, "7f3f11", Negative(0x11)),
        (0x3F, None, "7f", None),
        (0x3F, None, "7f0111", None),
        (0x31, 0x81, "71010302", Positive(b"\x03\x02")),  # no answer was wanted, but one came after 0x78
        (0x31, 0x81, "71810302", Positive(b"\x03\x02")),
        (0x31, 0x81, "71020302", None),
        (0x31, 0x8102, "71010203", Positive(b"\x03")),
        (0x31, 0x01, "71810302", None),
        (0x10, 0x81, "5081", Positive(b"")),  # KWP2000's standard session has the bit, too
        (0x3E, 0x80, "7e00", Positive(b"")),
        (0x29, 0x88, "6908", Positive(b"")),
        (0x21, 0x81, "6101", None),  # no sub-function
        (0x22, 0x8190, "620190", None),
        (1, 0x80, "4100", None),
        (0xC5, None, "05", None),
        (0xC5, None, "7fc511", Negative(0x11)),
    ],
)
def test_answers(mode, pid, received, expected):
    assert lay_out(request(mode=mode, pid=pid)).classify(bytes.fromhex(received)) == expected


@settings(deadline=None)
@given(st.integers(1, 0xFF), st.integers(0, 0xFFFF))
def test_pids_have_one_or_two_bytes(mode, pid):
    assert pid_length(mode, pid) in (1, 2)


@settings(deadline=None)
@given(st.integers(1, 0xFF), st.one_of(st.none(), st.integers(0, 0xFF)), st.binary(max_size=20))
def test_any_bytes_are_classified(mode, pid, received):
    answer = lay_out(request(mode=mode, pid=pid)).classify(received)
    assert answer is None or isinstance(answer, Positive | Negative)
