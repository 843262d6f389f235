"""Writes the diagram of the openOBD session's states, made of their table, into ARCHITECTURE.md."""

from __future__ import annotations

import sys
from pathlib import Path

from bridge.gateway.states import diagram

BEGIN, END = "<!-- states: made by tools/state_diagram.py -->\n```mermaid\n", "\n```\n<!-- /states -->"
PAGE = Path(__file__).parents[1] / "ARCHITECTURE.md"


def with_diagram(text: str) -> str:
    """The page's text with the diagram in its place."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{PAGE.name} has no place for the diagram: {BEGIN.splitlines()[0]}")
    return before + begin + diagram() + end + after


if __name__ == "__main__":
    PAGE.write_text(with_diagram(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
