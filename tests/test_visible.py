"""Other people's words: nothing of them works on a terminal or breaks a line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.visible import one_line, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("engine_speed", "engine_speed"),
        ("Zündung an? 点火", "Zündung an? 点火"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\r\nb\tc\0", r"a\r\nb\tc\x00"),
        ("\x9b31m", r"\x9b31m"),  # the C1 form of an escape sequence
        ("abc\u202edef\u2028\u200d", r"abc\u202edef\u2028\u200d"),
        ("\U000e0041", r"\U000e0041"),
        (r"C:\profile 'x' \"y\"", r"C:\profile 'x' \"y\""),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_cannot_be_printed_is_shown_as_its_escape(text, shown):
    assert visible(text) == shown


@given(st.text())
def test_anything_is_one_printable_line_of_bounded_length(text):
    assert visible(text).isprintable()
    assert len(one_line(text, 20)) <= 20 + len("...")
    assert one_line(text, 20).isprintable()


def test_a_long_text_is_cut_where_it_says_so():
    assert one_line("x" * 300) == "x" * 300
    assert one_line("x" * 301) == "x" * 300 + "..."
    assert one_line("\n" * 200, 10) == r"\n\n\n\n\n..."
