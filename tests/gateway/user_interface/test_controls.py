"""Controls: which make sense, in which words, and which answers fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.errors import InvalidCall
from bridge.gateway.user_interface.controls import (
    Unfitting,
    answered,
    check,
    display_time,
    label,
    meaning,
    takes_answer,
    translated,
)
from bridge.limits import CONTROL_OPTIONS_LIMIT, CONTROL_TEXT_LIMIT
from bridge.openobd.messages import (
    Continue,
    Control,
    FreeText,
    Label,
    LabelTranslations,
    Numbers,
    Options,
    Translation,
    YesNo,
)

SHOW = Control(control_label=Label(label="Wait"))
GO_ON = Control(control_continue=Continue(label="Start the engine"))
YES_NO = Control(control_yesno=YesNo(label="Is it running?"))
TEXT = Control(control_freetext=FreeText(label="Mileage?"))
NUMBER = Control(control_number=Numbers(label="Which cylinder?", minimum=1, maximum=6))
FUEL = Control(control_options=Options(label="Which fuel?", options=["Petrol", "Diesel", "diesel ", "E 85"]))
CYLINDERS = Control(control_options=Options(label="How many?", options=["3", "4", "2"]))


@pytest.mark.parametrize(
    ("control", "said", "answer"),
    [
        (SHOW, "", None),
        (GO_ON, "", None),
        (GO_ON, "anything", None),
        (YES_NO, True, True),
        (YES_NO, False, False),
        (YES_NO, "yes", True),
        (YES_NO, " Y ", True),
        (YES_NO, "no", False),
        (YES_NO, "N", False),
        (TEXT, "  12345 km ", "12345 km"),
        (TEXT, 12345, "12345"),
        (NUMBER, 1, 1),
        (NUMBER, "6", 6),
        (NUMBER, " 2 ", 2),
        (FUEL, 1, 0),
        (FUEL, "4", 3),
        (FUEL, "Petrol", 0),
        (FUEL, "PETROL", 0),
        (FUEL, "diesel", 2),  # the very text goes before the one that is only alike
        (FUEL, "e 85", 3),
        (CYLINDERS, "3", 0),  # texts that are numbers are meant as texts
        (CYLINDERS, "2", 2),
        (CYLINDERS, 4, 1),
    ],
)
def test_an_answer_that_fits(control, said, answer):
    assert meaning(control, said) == answer
    assert type(meaning(control, said)) is type(answer)


@pytest.mark.parametrize(
    ("control", "said", "hint"),
    [
        (YES_NO, "", "yes or no"),
        (YES_NO, "maybe", "yes or no"),
        (YES_NO, 1, "yes or no"),
        (TEXT, "   ", "a text"),
        (TEXT, True, "a text"),
        (NUMBER, "0", "from 1 to 6"),
        (NUMBER, "7", "from 1 to 6"),
        (NUMBER, "two", "from 1 to 6"),
        (NUMBER, True, "from 1 to 6"),
        (NUMBER, "٣", "from 1 to 6"),
        (NUMBER, "9" * 5000, "from 1 to 6"),
        (FUEL, 0, "1 to 4"),
        (FUEL, "5", "1 to 4"),
        (FUEL, "Hydrogen", "its text"),
        (FUEL, True, "1 to 4"),
        (FUEL, "", "1 to 4"),
        (CYLINDERS, "1", "an option's text"),
        (CYLINDERS, False, "an option's text"),
    ],
)
def test_an_answer_that_does_not_fit_is_told_what_would(control, said, hint):
    with pytest.raises(Unfitting, match=hint):
        meaning(control, said)


@pytest.mark.parametrize("control", [SHOW, GO_ON, YES_NO, TEXT, NUMBER, FUEL, CYLINDERS])
@given(said=st.text() | st.integers() | st.booleans())
def test_whatever_is_said_fits_the_answer_s_field_or_not_at_all(control, said):
    try:
        answer = meaning(control, said)
    except Unfitting:
        return
    reply = answered(control, answer)
    assert Control.FromString(reply.SerializeToString()) == reply
    assert label(reply) == label(control)
    assert (answer is not None) is takes_answer(control)


@pytest.mark.parametrize(
    ("control", "complaint"),
    [
        (Control(), "no type"),
        (Control(control_options=Options(label="x")), "1 to"),
        (Control(control_options=Options(options=["x"] * (CONTROL_OPTIONS_LIMIT + 1))), "1 to"),
        (Control(control_number=Numbers(minimum=3, maximum=2)), "minimum"),
        (Control(control_label=Label(label="x" * (CONTROL_TEXT_LIMIT + 1))), "characters"),
        (Control(control_options=Options(options=["x" * (CONTROL_TEXT_LIMIT + 1)])), "characters"),
    ],
)
def test_a_control_that_nobody_could_answer_is_refused(control, complaint):
    with pytest.raises(InvalidCall, match=complaint):
        check(control)


@pytest.mark.parametrize("control", [SHOW, GO_ON, YES_NO, TEXT, NUMBER, FUEL, CYLINDERS])
def test_a_control_that_makes_sense_passes(control):
    check(control)


def test_only_a_label_is_shown_for_a_time():
    assert display_time(Control(control_label=Label(label="x", minimal_display_time=3))) == 3.0
    assert display_time(SHOW) == 0.0
    assert display_time(YES_NO) == 0.0


def test_the_script_s_translations_are_used_for_label_and_options():
    control = Control(
        control_options=Options(label="Which fuel?", options=["Petrol", "Diesel", "E 85"]),
        translations=[
            LabelTranslations(
                label="Which fuel?",
                translations=[
                    Translation(language="nl", label="Welke brandstof?"),
                    Translation(language="DE", label="Welcher Kraftstoff?"),
                ],
            ),
            LabelTranslations(label="Petrol", translations=[Translation(language="de", label="Benzin")]),
        ],
    )
    shown = translated(control, "de")
    assert label(shown) == "Welcher Kraftstoff?"
    assert list(shown.control_options.options) == ["Benzin", "Diesel", "E 85"]
    assert meaning(shown, "benzin") == 0
    for language in (None, "fr"):
        assert translated(control, language) == control
    assert label(answered(control, meaning(shown, 2))) == "Which fuel?"
