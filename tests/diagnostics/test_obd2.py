"""The OBD-II table."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.diagnostics.obd2 import PREDEFINED, decode, integer, supported_pids


@pytest.mark.parametrize(
    ("pid", "payload", "value"),
    [
        (0x04, "ff", 100),
        (0x04, "00", 0),
        (0x04, "80", 12800 / 255),
        (0x05, "00", -40),
        (0x05, "7b", 83),
        (0x0A, "64", 300),
        (0x0B, "65", 101),
        (0x0C, "1af8", 1726),
        (0x0C, "1afa", 1726.5),
        (0x0D, "40", 64),
        (0x0F, "28", 0),
        (0x10, "04d2", 12.34),
        (0x10, "0064", 1),
        (0x11, "33", 20),
        (0x1F, "0102", 258),
        (0x27, "66", 0x66),
        (0x2F, "66", 40),
        (0x33, "63", 99),
        (0x45, "ff", 100),
        (0x46, "3c", 20),
        (0x4C, "33", 20),
        (0x52, "33", 20),
        (0x5A, "33", 20),
        (0x5C, "82", 90),
        (0x62, "7d", 0),
        (0x62, "00", -125),
        (0x63, "01f4", 500),
        (0x00, "be1fa813", 0xBE1FA813),
        (0x02, "45", 0x45),
    ],
)
def test_mode_1(pid, payload, value):
    decoded = decode(1, pid, bytes.fromhex(payload))
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize(
    ("mode", "pid", "payload", "value"),
    [
        (1, 0x0C, "1a", None),
        (1, 0x0D, "", None),
        (1, 0x02, "", None),
        (1, 0x0D, "40ffff", 64),
        (9, 0x0C, "1af8", 0x1AF8),
        (1, None, "1af8", 0x1AF8),
        (1, 0x99, "00" * 9, None),
        (1, 0x99, "ff" * 8, (1 << 64) - 1),
    ],
)
def test_what_does_not_fit_the_table(mode, pid, payload, value):
    assert decode(mode, pid, bytes.fromhex(payload)) == value


def test_integers_are_unsigned():
    assert integer(b"\xff\xff\xff\xff") == 0xFFFFFFFF


@settings(deadline=None)
@given(st.integers(0, 255), st.one_of(st.none(), st.integers(0, 0xFFFF)), st.binary(max_size=20))
def test_any_payload_is_a_number_or_none(mode, pid, payload):
    value = decode(mode, pid, payload)
    assert value is None or type(value) in (int, float)
    assert not isinstance(value, float) or not value.is_integer()


@pytest.mark.parametrize(
    ("first", "bitmap", "pids"),
    [
        (0, "80000000", {0x01}),
        (0, "00000001", {0x20}),
        (0, "01000000", {0x08}),
        (0, "00800000", {0x09}),
        (0, "0018", {0x0C, 0x0D}),
        (0x40, "80000001", {0x41, 0x60}),
        (0, "", set()),
        (0, "00000000ff", set()),
    ],
)
def test_bitmaps_begin_with_the_most_significant_bit(first, bitmap, pids):
    assert supported_pids(first, bytes.fromhex(bitmap)) == pids


def test_predefined():
    table = {each.pid: (each.name, each.frequency) for each in PREDEFINED}
    assert len(table) == len(PREDEFINED) == 17
    assert table[0x0C] == ("engine_speed", 5)
    assert table[0x2F] == ("fuel_level", 1)
    assert 0x27 not in table
    assert len({name for name, _ in table.values()}) == len(table)
