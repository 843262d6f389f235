"""The text of a TCP port. Must not know whose setting it is."""

from __future__ import annotations

_LONGEST = 5  # digits; Python refuses to read thousands of them


def parse_port(text: str) -> int | None:
    """A port from 0 to 65535; None for any other text, however long."""
    if not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST):
        return None
    port = int(text)
    return port if port <= 0xFFFF else None
