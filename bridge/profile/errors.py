"""How a profile's fault is told: one line that names the file and the place in it.

Must not know what a profile means; schema and the loaders find the faults.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from bridge.errors import ConfigurationError

_SHOWN_LIMIT = 80


class ProfileError(ConfigurationError):
    """A profile or a database cannot be used; the text is one printable line."""

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


def printable(text: str) -> str:
    """Text on one line, with escapes for whatever a terminal should not get."""
    shown = (
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
    return "".join(shown)


def quoted(value: object) -> str:
    """A value of the profile for a message: in quotes, cut where it is long."""
    text = str(value)
    return f'"{text}"' if len(text) <= _SHOWN_LIMIT else f'"{text[:_SHOWN_LIMIT]}..."'


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?`, or nothing where no known word is near."""
    near = difflib.get_close_matches(word[:_SHOWN_LIMIT], list(known), n=1)
    return f'; did you mean "{near[0]}"?' if near else ""
