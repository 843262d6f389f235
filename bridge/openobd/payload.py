"""openOBD's payloads: bytes as pairs of hexadecimal digits, upper case, without 0x or spaces.

Must not know which channel a payload is for.
"""

from __future__ import annotations

import re

_DIGITS = re.compile(r"(?:[0-9A-Fa-f]{2})*", re.ASCII)


def encode(payload: bytes) -> str:
    """Bytes as a payload."""
    return payload.hex().upper()


def decode(text: str) -> bytes:
    """A payload as bytes; either case is taken.

    Raises:
        ValueError: anything but pairs of hexadecimal digits.
    """
    if not _DIGITS.fullmatch(text):
        raise ValueError("a payload is pairs of hexadecimal digits without 0x or spaces, such as 22F190")
    return bytes.fromhex(text)
