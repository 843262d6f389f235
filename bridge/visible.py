"""Other people's words on the user's terminal and in the log: every control character made visible.

A text from a client, a script or a car may hold escape sequences, line breaks and characters that
turn the reading direction. Must not know where the words come from.
"""

from __future__ import annotations

from bridge.limits import LOGGED_LENGTH


def visible(text: str) -> str:
    """A text with every character that cannot be printed as its escape, such as `\\x1b` or `\\u202e`."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def one_line(text: str, length: int = LOGGED_LENGTH) -> str:
    """A text as fit for one line of the log: visible, and at most `length` characters of it."""
    line = visible(text[: length + 1])
    return line if len(line) <= length else f"{line[:length]}..."
