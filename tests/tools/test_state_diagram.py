"""The diagram in ARCHITECTURE.md is the one that the table makes."""

from __future__ import annotations

import pytest

from bridge.gateway.states import TRANSITIONS
from tools import state_diagram


def test_the_page_shows_the_table() -> None:
    text = state_diagram.PAGE.read_text(encoding="utf-8")
    assert state_diagram.with_diagram(text) == text, "run `make diagram`"
    _, _, shown = text.partition(state_diagram.BEGIN)
    drawn = shown.partition(state_diagram.END)[0]
    assert len([line for line in drawn.splitlines() if "-->" in line and "[*]" not in line]) == len(
        {(state, end) for (state, _), end in TRANSITIONS.items()}
    )


def test_a_page_without_a_place_is_said() -> None:
    with pytest.raises(SystemExit, match="no place for the diagram"):
        state_diagram.with_diagram("# Architecture\n")
