import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.openxc.json_fields import (
    lower_keys,
    read_boolean,
    read_bytes,
    read_integer,
    read_number,
    read_object,
    read_text,
    read_value,
)
from bridge.openxc.messages import InvalidRecord

anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=4,
)


@pytest.mark.parametrize(
    ("record", "fields"),
    [
        (b'{"a":1}', {"a": 1}),
        (b'{"a":1}\0', {"a": 1}),
        (b'prime{"a":1}', {"a": 1}),
        (b'\r\n\t {"a":1}\r\n', {"a": 1}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"A":1}', {"a": 1}),
        (b'{"A":1,"a":2}', {"a": 2}),
        (b'{"a":2,"A":1}', {"a": 2}),
        (b"{}", {}),
    ],
)
def test_an_object_is_found(record, fields):
    assert read_object(record) == fields


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\0",
        b"junk",
        b"[1]",
        b"17",
        b'"text"',
        b"{",
        b"{broken json}",
        b'{"a":1}}',
        b'{"a":1}{"b":2}',
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":1' + b"0" * 6000 + b"}",
        b'{"a":' * 5000,
        b'{"a":' + b"[" * 50000,
        b'[{"a":1}]',
    ],
)
def test_everything_else_is_invalid(record):
    with pytest.raises(InvalidRecord):
        read_object(record)


def test_any_kind_of_bytes_object():
    assert read_object(bytearray(b'{"a":1}')) == read_object(memoryview(b'{"a":1}')) == {"a": 1}


def test_keys_without_letters_stay():
    assert lower_keys({"1": 1, "Bus": 2}) == {"1": 1, "bus": 2}


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (5, 5),
        (5.0, 5),
        (-0.0, 0),
        ("5", 5),
        ("0x7e0", 2016),
        ("0X7E0", 2016),
        (" 12 ", 12),
        ("+3", 3),
        ("010", 10),
        (None, None),
    ],
)
def test_integers(value, number):
    assert read_integer({"key": value}, "key", 0, 0xFFFF) == number


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        1.5,
        "1.5",
        "x",
        "",
        "0x",
        "1_0",
        "0b1",
        "\uff11",
        "--1",
        [],
        {},
        -1,
        0x10000,
        10**40,
        "9" * 21,
        1e300,
    ],
)
def test_no_integers(value):
    with pytest.raises(InvalidRecord, match=r"^key "):
        read_integer({"key": value}, "key", 0, 0xFFFF)


@pytest.mark.parametrize(
    ("value", "number"), [(1, 1), (1.5, 1.5), ("1.5", 1.5), ("1e3", 1000.0), ("-2", -2), (None, None)]
)
def test_numbers(value, number):
    assert read_number({"key": value}, "key") == number


@pytest.mark.parametrize("value", [True, "x", "nan", "inf", "1e999", "0x10", "", [], {}, 10**400])
def test_no_numbers(value):
    with pytest.raises(InvalidRecord, match=r"^key must be a number"):
        read_number({"key": value}, "key")


@pytest.mark.parametrize("value", [True, False, 0, 1.5, -3, "", "text", None])
def test_values(value):
    assert read_value({"key": value}, "key") is value


@pytest.mark.parametrize("value", [[], {}, 10**400])
def test_no_values(value):
    with pytest.raises(InvalidRecord):
        read_value({"key": value}, "key")


@pytest.mark.parametrize(
    ("value", "truth"), [(True, True), (False, False), (1, True), (0, False), (1.0, True), (None, None)]
)
def test_booleans(value, truth):
    assert read_boolean({"key": value}, "key") is truth


@pytest.mark.parametrize("value", [2, -1, "true", "", [], 0.5])
def test_no_booleans(value):
    with pytest.raises(InvalidRecord):
        read_boolean({"key": value}, "key")


@pytest.mark.parametrize("value", [1, True, [], {}])
def test_no_texts(value):
    with pytest.raises(InvalidRecord):
        read_text({"key": value}, "key")


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("0x1234", "1234"),
        ("1234", "1234"),
        ("0xABcd", "abcd"),
        ("0XAB", "ab"),
        ("0x123", "1203"),
        ("7", "07"),
        ("0xb", "0b"),
        ("0x", ""),
        ("", ""),
        ("0xb'1234'", "1234"),
        ("0xb'00'", "00"),
        ("0xb''", ""),
        (" 0x12 ", "12"),
    ],
)
def test_hexadecimal(value, data):
    assert read_bytes({"key": value}, "key") == bytes.fromhex(data)


@pytest.mark.parametrize("value", ["0xzz", "12 34", "0x0x12", "b'12'", "0xb'12", "\uff11\uff12", 12, True, [], "0x-1"])
def test_not_hexadecimal(value):
    with pytest.raises(InvalidRecord, match=r"^key must be hexadecimal"):
        read_bytes({"key": value}, "key")


@given(anything)
def test_a_reason_is_one_short_line(value):
    for read in (read_number, read_value, read_boolean, read_text, read_bytes, lambda f, k: read_integer(f, k, 0, 5)):
        try:
            read({"key": value}, "key")
        except InvalidRecord as error:
            text = str(error)
            assert text.isascii()
            assert text.isprintable()
            assert len(text) < 120


def test_deep_nesting_is_an_object_or_invalid_as_the_interpreter_has_it():
    record = b'{"a":' * 5000 + b"1" + b"}" * 5000
    with contextlib.suppress(InvalidRecord):
        assert list(read_object(record)) == ["a"]
