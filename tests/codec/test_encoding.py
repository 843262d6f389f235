"""Building frames: fields packed, signals written."""

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bridge.codec.encoding import UnwritableValueError, extract_field, pack_field, raw_value, signal_frame
from bridge.codec.numbers import decimal_text, scaling_of
from bridge.frames import Frame
from bridge.profile.plan import BuiltinDecoder, ByteOrder, Field, Message, Multiplex, RawType

from .plans import signal


class OddlyWritten(float):
    """As numpy's numbers are: a float whose repr() is no number."""

    def __repr__(self) -> str:
        return f"odd({float(self)})"


def written(a_signal, value, **message) -> str:
    options = {"bus": 1, "id": 0x42, "name": "message", "signals": (a_signal,)} | message
    return signal_frame(Message(**options), a_signal, value).data.hex()


@pytest.mark.parametrize(
    ("options", "value", "data"),
    [
        ({"start": 1, "size": 3}, 6, "60" + "00" * 7),
        ({"start": 0, "size": 1}, True, "80" + "00" * 7),
        ({"start": 0, "size": 1}, False, "00" * 8),
        ({"start": 1, "size": 3, "states": {"on": [2, 3]}}, "on", "20" + "00" * 7),
        ({"start": 1, "size": 3, "states": {"on": [2]}}, 2, "20" + "00" * 7),
        ({"start": 2, "size": 6, "factor": "1001", "offset": "-30000"}, 10, "1e" + "00" * 7),
        ({"factor": "0.5", "offset": "-100"}, 0, "c8" + "00" * 7),
        ({"factor": "0.1"}, 0.25, "03" + "00" * 7),  # a half is rounded up
        ({"factor": "0.1", "field": Field(0, 8, raw_type=RawType.SIGNED)}, -0.25, "fe" + "00" * 7),
        ({"field": Field(8, 16, ByteOrder.LITTLE)}, 0x1234, "003412" + "00" * 5),
        ({"field": Field(0, 32, raw_type=RawType.FLOAT)}, 1.5, "3fc00000" + "00" * 4),
        ({"decoder": BuiltinDecoder.CHOICE, "factor": "0.5", "states": {"low": [3]}}, "low", "03" + "00" * 7),
        ({"encoder": lambda signal, value, event: len(value)}, "four", "04" + "00" * 7),
        ({"encoder": lambda signal, value, event: OddlyWritten(2.5), "factor": "0.5"}, 1, "05" + "00" * 7),
    ],
)
def test_a_value_is_written_so_that_it_reads_back(options, value, data):
    assert written(signal(**options), value) == data


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({}, 256),
        ({}, -1),
        ({}, float("nan")),
        ({}, float("inf")),
        ({}, 1e308),
        ({}, "on"),
        ({"states": {"off": [0]}}, "on"),
        ({"encoder": lambda signal, value, event: None}, 1),
        ({"encoder": lambda signal, value, event: 1 / 0}, 1),
        ({"encoder": lambda signal, value, event: "text"}, 1),
        ({"encoder": lambda signal, value, event: float("nan")}, 1),
        ({"encoder": lambda signal, value, event: 10**5000}, 1),
        ({"encoder": lambda signal, value, event: 10**400}, 1),
        ({"encoder": lambda signal, value, event: -(10**400), "field": Field(0, 32, raw_type=RawType.FLOAT)}, 1),
        ({"start": 60}, 1),
        ({"field": Field(0, 32, raw_type=RawType.FLOAT)}, 1e39),
        ({"field": Field(0, 64, raw_type=RawType.FLOAT)}, 10**400),
        ({"field": Field(0, 64, raw_type=RawType.FLOAT), "factor": "1E-9"}, 1e308),
    ],
)
def test_what_a_signal_cannot_carry_is_refused(options, value):
    with pytest.raises(UnwritableValueError) as error:
        written(signal(**options), value)
    assert "\n" not in str(error.value)


def test_a_frame_has_its_messages_id_format_and_length():
    short = Message(bus=2, id=0x18FEF100, name="m", length=3)
    assert signal_frame(short, signal(), 1) == Frame(id=0x18FEF100, data=b"\1\0\0", bus=2, extended=True)


def test_a_multiplexed_signal_selects_its_page():
    paged = signal(start=8, multiplex=(Multiplex(Field(0, 8), frozenset({7, 5})),))
    assert written(paged, 1) == "0501" + "00" * 6


fields = st.builds(
    Field,
    start=st.integers(0, 511),
    size=st.integers(1, 64),
    byte_order=st.sampled_from(ByteOrder),
    raw_type=st.sampled_from([RawType.UNSIGNED, RawType.SIGNED]),
)


@given(field=fields, bits=st.integers(0, 2**64 - 1), background=st.binary(min_size=64, max_size=64))
def test_what_is_packed_is_extracted_and_nothing_else_changes(field, bits, background):
    assume(field.start + field.size <= 512)
    raw = bits & ((1 << field.size) - 1)
    if field.raw_type is RawType.SIGNED:
        raw -= 1 << (field.size - 1)
    data = bytearray(background)
    pack_field(field, raw, data)
    assert extract_field(field, data) == raw
    pack_field(field, extract_field(field, background), data)
    assert data == background


@given(
    raw=st.integers(0, 65535),
    factor=st.decimals("-100", "100", places=4).filter(bool),
    offset=st.decimals("-1000", "1000", places=4),
)
def test_every_value_that_is_read_can_be_written(raw, factor, offset):
    a_signal = signal(size=16, factor=str(factor), offset=str(offset))
    assert raw_value(a_signal, scaling_of(a_signal).value(raw)) == raw


@given(scaled=st.integers(-(2**63), 2**63), decimals=st.integers(0, 9))
def test_decimal_text_is_the_decimal(scaled, decimals):
    text = decimal_text(scaled, decimals)
    assert Decimal(text) == Decimal(scaled).scaleb(-decimals)
    assert not (("." in text and text.endswith("0")) or text.endswith("."))
