"""Types of command-line arguments that several verbs share. What is wrong becomes a usage error.

Must not know which verb an argument belongs to.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Callable
from typing import TypeAlias

from bridge.frames import EXTENDED_ID_MAX
from bridge.openxc.messages import Value
from bridge.openxc.ranges import BUS_MAX, MODE_MAX, MODE_MIN, PID_MAX, fits_double

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  #: what a verb registers with

_INTEGER = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}", re.ASCII)


def integer(low: int, high: int) -> Callable[[str], int]:
    """The type of an integer in a range, decimal or with 0x hexadecimal.

    Bare hexadecimal digits are refused even when they can be nothing else: who gets used to 7DF
    would sooner or later write 700 and mean 0x700.
    """

    def parse(text: str) -> int:
        if not _INTEGER.fullmatch(text):
            raise argparse.ArgumentTypeError(f"write a number as 2015 or 0x7DF, not {text!r}")
        value = int(text, 0 if text[:2] in ("0x", "0X") else 10)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be from {low} to {high} ({high:#x}), not {text}")
        return value

    return parse


bus_number = integer(1, BUS_MAX)
arbitration_id = integer(0, EXTENDED_ID_MAX)
mode = integer(MODE_MIN, MODE_MAX)
pid = integer(0, PID_MAX)
count = integer(1, 1 << 53)


def seconds(text: str) -> float:
    """A time above 0."""
    return _positive(text, "seconds")


def frequency(text: str) -> float:
    """A frequency above 0, in Hz."""
    return _positive(text, "Hz")


def _positive(text: str, unit: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of {unit} above 0, not {text!r}")
    return value


def hexadecimal(text: str) -> bytes:
    """Bytes as pairs of hexadecimal digits, with or without 0x."""
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"write bytes as pairs of hexadecimal digits, not {text!r}") from None


def switch(text: str) -> bool:
    """`on` or `off`."""
    try:
        return {"on": True, "off": False}[text]
    except KeyError:
        raise argparse.ArgumentTypeError(f"must be on or off, not {text!r}") from None


def value(text: str) -> Value:
    """A JSON boolean, number or text; everything else is a text as it stands."""
    try:
        parsed = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text
    if isinstance(parsed, int | float) and not fits_double(parsed):
        raise argparse.ArgumentTypeError(f"{text} is beyond every number that apps can read")
    return parsed if isinstance(parsed, bool | int | float | str) else text


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
