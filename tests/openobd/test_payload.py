"""Payload texts: exactly pairs of hexadecimal digits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.openobd.payload import decode, encode


@given(st.binary(max_size=64))
def test_what_is_written_is_read(payload):
    assert encode(payload) == payload.hex().upper()
    assert decode(encode(payload)) == decode(payload.hex()) == payload


@pytest.mark.parametrize("text", ["0", "0x10", "10 03", "1G", "\N{ARABIC-INDIC DIGIT ZERO}" * 2, "10\n", " 10"])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="pairs of hexadecimal digits"):
        decode(text)


@given(st.text(max_size=8))
def test_only_value_errors_come_out(text):
    try:
        payload = decode(text)
    except ValueError:
        return
    assert encode(payload) == text.upper()
