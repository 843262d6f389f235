import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.profile.fields import FieldError, fd_length, inverted_start, make_field, sawtooth_start
from bridge.profile.plan import ByteOrder, Field, RawType


@pytest.mark.parametrize(
    ("number", "size", "start"),
    [(8, 16, 0), (0, 8, 0), (7, 1, 0), (0, 1, 7), (56, 64, 0), (8, 9, 7), (12, 4, 8)],
)
def test_inverted_numbers_name_the_least_significant_bit(number, size, start):
    assert inverted_start(number, size) == start


def test_inverted_field_before_the_data():
    with pytest.raises(FieldError, match="begin before the data"):
        inverted_start(0, 9)


@given(start=st.integers(0, 500), size=st.integers(1, 64))
def test_inverted_is_the_inverse_of_normal(start, size):
    last = start + size - 1
    number = 8 * (last // 8) + 7 - last % 8
    assert inverted_start(number, size) == start


@pytest.mark.parametrize(("number", "start"), [(7, 0), (0, 7), (23, 16), (8, 15)])
def test_sawtooth_numbers_name_the_most_significant_bit(number, start):
    assert sawtooth_start(number) == start


@pytest.mark.parametrize(("length", "fitting"), [(0, 0), (8, 8), (9, 12), (33, 48), (64, 64)])
def test_fd_lengths(length, fitting):
    assert fd_length(length) == fitting


def test_field():
    assert make_field(4, 12, ByteOrder.LITTLE, RawType.SIGNED, 2) == Field(4, 12, ByteOrder.LITTLE, RawType.SIGNED)
    assert make_field(16, 0, ByteOrder.BIG, RawType.UNSIGNED, 2).size == 0


@pytest.mark.parametrize(
    ("start", "size", "raw_type", "error"),
    [
        (60, 8, RawType.UNSIGNED, r"bits 60 to 67 lie beyond the 8 data bytes \(bits 0 to 63\)"),
        (-1, 8, RawType.UNSIGNED, "lie beyond"),
        (0, 65, RawType.UNSIGNED, "65 bits; a signal has up to 64"),
        (0, 16, RawType.FLOAT, "a float of 16 bits"),
    ],
)
def test_impossible_fields(start, size, raw_type, error):
    with pytest.raises(FieldError, match=error):
        make_field(start, size, ByteOrder.BIG, raw_type, 8)
