"""Where a signal's bits lie: the numberings of the formats, turned into the plan's, and checked.

Must not know files or messages. Sources: the OpenXC firmware configuration (normal and inverted
numbering), the DBC format (Motorola and Intel start bits), IEEE 754.
"""

from __future__ import annotations

from decimal import Decimal

from bridge.frames import FD_LENGTHS
from bridge.profile.plan import ByteOrder, Field, RawType

FIELD_LIMIT = 64  #: bits of one field
CLASSIC_LENGTH = 8  #: most data bytes of a classic CAN frame
DECIMAL_EXPONENT_LIMIT = 30
DECIMAL_DIGITS_LIMIT = 60
FLOAT_SIZES = (32, 64)


class FieldError(ValueError):
    """A field that no frame of the message has; the text says why."""


def inverted_start(number: int, size: int) -> int:
    """The start in normal numbering of a big-endian field whose least significant bit has the inverted number.

    Inverted numbers are 8 * byte + bit, bit 0 being the least significant of its byte.

    Raises:
        FieldError: the field would begin before the data.
    """
    start = 8 * (number // 8) + 7 - number % 8 - size + 1
    if start < 0:
        raise FieldError(
            f"{size} bits that end at bit {number} in inverted numbering begin before the data; "
            'is "bit_numbering_inverted" meant?'
        )
    return start


def sawtooth_start(number: int) -> int:
    """The start in normal numbering of a Motorola field whose most significant bit has the DBC number."""
    return 8 * (number // 8) + 7 - number % 8


def fd_length(length: int) -> int:
    """The shortest CAN FD frame that holds so many data bytes, up to 64."""
    return next(fitting for fitting in FD_LENGTHS if fitting >= length)


def is_exact(number: Decimal) -> bool:
    """Whether a factor or an offset is of a size that arithmetic with it stays exact and quick."""
    if not number.is_finite():
        return False
    return abs(number.adjusted()) <= DECIMAL_EXPONENT_LIMIT and len(number.as_tuple().digits) <= DECIMAL_DIGITS_LIMIT


def make_field(start: int, size: int, byte_order: ByteOrder, raw_type: RawType, length: int) -> Field:
    """A field in a message of `length` data bytes; `start` is as in Field.

    Raises:
        FieldError: the bits lie outside of the data, or cannot be such a number.
    """
    if not 0 <= size <= FIELD_LIMIT:
        raise FieldError(f"{size} bits; a signal has up to {FIELD_LIMIT}")
    if raw_type is RawType.FLOAT and size not in FLOAT_SIZES:
        raise FieldError(f"a float of {size} bits; IEEE 754 floats have 32 or 64")
    if start < 0 or start + size > 8 * length:
        last = start + max(size, 1) - 1
        raise FieldError(f"bits {start} to {last} lie beyond the {length} data bytes (bits 0 to {8 * length - 1})")
    return Field(start, size, byte_order, raw_type)
