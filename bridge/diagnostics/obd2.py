"""The OBD-II table: what the bytes of a PID mean, which PIDs get a name of their own, and how often.

It must not know how a PID is asked for. Source: SAE J1979 (formulas, supported-PID bitmaps), the
OpenXC vehicle interface (names, frequencies).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

CURRENT_DATA = 0x01  #: the service that the table is about
BITMAP_SPAN = 0x20  #: PIDs that one supported-PIDs bitmap tells about
_INTEGER_BYTES_LIMIT = 8  #: longer payloads are text or structures, and no number that JSON readers take


class _Formula(NamedTuple):
    """(raw * multiplier + offset) / divisor, raw being the payload's first `length` bytes, big-endian."""

    length: int
    multiplier: int = 1
    offset: int = 0
    divisor: int = 1


_BYTE = _Formula(1)  # A
_PERCENT = _Formula(1, multiplier=100, divisor=255)  # A * 100 / 255, %
_TEMPERATURE = _Formula(1, offset=-40)  # A - 40, degrees Celsius


@dataclass(frozen=True, slots=True)
class Pid:
    """A PID of mode 1 with a name of its own, published under it and asked for at `frequency` Hz."""

    pid: int
    name: str
    frequency: float


_FORMULAS = {
    0x04: _PERCENT,
    0x05: _TEMPERATURE,
    0x0A: _Formula(1, multiplier=3),  # kPa
    0x0B: _BYTE,  # kPa
    0x0C: _Formula(2, divisor=4),  # rpm
    0x0D: _BYTE,  # km/h
    0x0F: _TEMPERATURE,
    0x10: _Formula(2, divisor=100),  # g/s
    0x11: _PERCENT,
    0x2F: _PERCENT,
    0x33: _BYTE,  # kPa
    0x45: _PERCENT,
    0x46: _TEMPERATURE,
    0x4C: _PERCENT,
    0x52: _PERCENT,
    0x5A: _PERCENT,
    0x5C: _TEMPERATURE,
    0x62: _Formula(1, offset=-125),  # %
}

#: What predefined_obd2 asks for, where the vehicle supports it. Fuel level is 0x2F, as in SAE J1979.
PREDEFINED = (
    Pid(0x04, "engine_load", 5),
    Pid(0x05, "engine_coolant_temperature", 1),
    Pid(0x0A, "fuel_pressure", 1),
    Pid(0x0B, "intake_manifold_pressure", 1),
    Pid(0x0C, "engine_speed", 5),
    Pid(0x0D, "vehicle_speed", 5),
    Pid(0x0F, "intake_air_temperature", 1),
    Pid(0x10, "mass_airflow", 5),
    Pid(0x11, "throttle_position", 5),
    Pid(0x1F, "running_time", 1),
    Pid(0x2F, "fuel_level", 1),
    Pid(0x33, "barometric_pressure", 1),
    Pid(0x4C, "commanded_throttle_position", 1),
    Pid(0x52, "ethanol_fuel_percentage", 1),
    Pid(0x5A, "accelerator_pedal_position", 5),
    Pid(0x5C, "engine_oil_temperature", 1),
    Pid(0x63, "engine_torque", 1),
)


def integer(payload: bytes) -> int | None:
    """The payload as one big-endian unsigned integer; None when it is longer than 64 bits."""
    return int.from_bytes(payload, "big") if len(payload) <= _INTEGER_BYTES_LIMIT else None


def decode(mode: int, pid: int | None, payload: bytes) -> int | float | None:
    """The value of a PID's payload (the bytes after mode and PID): an int where it is integral, else a float.

    PIDs without a formula, and all those of other modes than 1, are one big-endian integer. None
    where the payload is empty, too short for its formula, or too long for an integer.
    """
    formula = _FORMULAS.get(pid) if mode == CURRENT_DATA and pid is not None else None
    if formula is None:
        return integer(payload) if payload else None
    if len(payload) < formula.length:
        return None
    # One division of exact integers: correctly rounded, whatever the formula.
    numerator = int.from_bytes(payload[: formula.length], "big") * formula.multiplier + formula.offset
    quotient, remainder = divmod(numerator, formula.divisor)
    return numerator / formula.divisor if remainder else quotient


def supported_pids(first: int, bitmap: bytes) -> frozenset[int]:
    """The PIDs that a supported-PIDs bitmap (the payload of PID `first`: 0x00, 0x20, ...) names.

    The most significant bit of its first byte is first + 1, the least significant of its fourth
    first + 0x20, which is the next bitmap. A shorter bitmap is taken as padded with zeros.
    """
    bits = int.from_bytes(bitmap[:4].ljust(4, b"\0"), "big")
    return frozenset(first + 1 + n for n in range(BITMAP_SPAN) if bits >> (BITMAP_SPAN - 1 - n) & 1)
