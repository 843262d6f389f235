"""Exact scaling: from the integer in a frame to the number and its text.

value = raw * factor + offset, with factor and offset as the decimals that the profile writes.
While they have at most nine decimals and the scaled integer fits 64 bits, everything is integer
arithmetic and the text is that decimal, without trailing zeros and without a point where it is
integral: `2616.6`. Otherwise the value is computed in doubles, product first, and the text is
the shortest that gives the double back. Must not know frames or records.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from bridge.profile.plan import Field, RawType, Signal

DECIMALS_LIMIT = 9
SCALED_LIMIT = 2**63 - 1
LAST_DECIMALS = 4  #: digits that LAST_DIGITS holds

#: Texts of the fraction of a number with so many decimals: FRACTIONS[2][50] is ".5", [0] is "".
FRACTIONS: dict[int, tuple[str, ...]] = {
    decimals: tuple(f".{part:0{decimals}d}".rstrip("0").rstrip(".") for part in range(10**decimals))
    for decimals in range(1, 5)
}

#: The same for more decimals, in two steps: the leading digits, then the last four where they are not zero.
LEADING_DIGITS: dict[int, tuple[str, ...]] = {
    digits: tuple(f".{part:0{digits}d}" for part in range(10**digits)) for digits in range(1, 5)
}
LAST_DIGITS: tuple[str, ...] = tuple(f"{part:0{LAST_DECIMALS}d}".rstrip("0") for part in range(10**LAST_DECIMALS))


@dataclass(frozen=True, slots=True)
class Scaling:
    """How a raw number becomes a value.

    Exact: value = (raw * multiplier + addend) / 10**decimals. Otherwise: raw * factor + offset in doubles.
    """

    exact: bool
    multiplier: int
    addend: int
    decimals: int
    factor: float
    offset: float
    negative: bool  #: the value may be below zero

    def value(self, raw: int | float) -> int | float:
        """The scaled number: an int where the scaling has no decimals."""
        if not self.exact:
            return raw * self.factor + self.offset
        scaled = int(raw) * self.multiplier + self.addend
        return scaled / 10**self.decimals if self.decimals else scaled


def raw_range(field: Field) -> tuple[int, int]:
    """The smallest and the largest raw integer that a field can hold."""
    if field.size == 0:
        return 0, 0
    if field.raw_type is RawType.SIGNED:
        return -(1 << (field.size - 1)), (1 << (field.size - 1)) - 1
    return 0, (1 << field.size) - 1


def decimals_of(number: Decimal) -> int:
    """Decimals after the point, trailing zeros not counted."""
    exponent = number.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def scaling_of(signal: Signal) -> Scaling:
    """The scaling of a signal, exact if it can be."""
    factor, offset = signal.factor, signal.offset
    low, high = raw_range(signal.field)
    negative = min(low * factor, high * factor) + offset < 0
    decimals = max(decimals_of(factor), decimals_of(offset))
    multiplier = addend = 0
    exact = signal.field.raw_type is not RawType.FLOAT and decimals <= DECIMALS_LIMIT
    if exact:
        multiplier, addend = int(factor.scaleb(decimals)), int(offset.scaleb(decimals))
        exact = all(abs(raw * multiplier + addend) <= SCALED_LIMIT for raw in (low, high))
    return Scaling(exact, multiplier, addend, decimals, float(factor), float(offset), negative)


def decimal_text(scaled: int, decimals: int) -> str:
    """scaled / 10**decimals as the shortest decimal: (26166, 1) is "2616.6", (-50, 1) is "-5"."""
    whole, part = divmod(abs(scaled), 10**decimals)
    sign = "-" if scaled < 0 else ""
    if not part:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{part:0{decimals}d}".rstrip("0")
