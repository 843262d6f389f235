"""Controls answered by rule, or by nobody."""

from __future__ import annotations

import pytest

from bridge.config import AnswerRule, GatewaySettings
from bridge.gateway.errors import WrongState
from bridge.gateway.user_interface.choosing import language_of, make_user_interface
from bridge.gateway.user_interface.interface import AutomaticUserInterface, NoUserInterface
from bridge.openobd.messages import Continue, Control, FreeText, Label, Numbers, Options, YesNo

RULES = (
    AnswerRule(label="^Is the ignition", answer=True),
    AnswerRule(label="ignition", answer=False),
    AnswerRule(label="fuel", answer="Diesel"),
    AnswerRule(label="cylinder", answer=2),
    AnswerRule(label="(?i)mileage", answer="12345"),
)


@pytest.fixture
def interface():
    return AutomaticUserInterface(RULES)


@pytest.mark.parametrize(
    ("control", "answer"),
    [
        (Control(control_yesno=YesNo(label="Is the ignition on?")), True),
        (Control(control_yesno=YesNo(label="Switch the ignition off?")), False),
        (Control(control_options=Options(label="Which fuel?", options=["Petrol", "Diesel"])), 1),
        (Control(control_options=Options(label="Which cylinder?", options=["left", "right"])), 1),
        (Control(control_number=Numbers(label="Which cylinder?", minimum=1, maximum=4)), 2),
        (Control(control_freetext=FreeText(label="MILEAGE?")), "12345"),
    ],
)
async def test_the_first_rule_that_matches_answers(interface, control, answer) -> None:
    reply = await interface.show("session", control)
    content = getattr(reply, reply.WhichOneof("ControlType"))
    assert content.HasField("answer")
    assert content.answer == answer
    content.ClearField("answer")
    assert reply == control


@pytest.mark.parametrize("control", [Control(control_label=Label(label="?")), Control(control_continue=Continue())])
async def test_what_only_wants_to_be_seen_needs_no_rule(control) -> None:
    assert await AutomaticUserInterface(()).show("session", control) == control


async def test_without_a_rule_the_error_says_what_to_write(interface) -> None:
    with pytest.raises(WrongState) as error:
        await interface.show("session", Control(control_yesno=YesNo(label="Really\x1b[2J?")))
    assert r'"Really\x1b[2J?"' in str(error.value)
    assert "[[gateway.answer]]" in str(error.value)


async def test_a_rule_that_answers_something_else_is_named(interface) -> None:
    with pytest.raises(WrongState) as error:
        await interface.show("session", Control(control_options=Options(label="Which fuel?", options=["E 85"])))
    assert str(error.value).startswith("gateway.answer[2] answers 'Diesel' to \"Which fuel?\": answer with an option")


async def test_nobody_answers_and_the_error_says_who_would() -> None:
    interface = make_user_interface(GatewaySettings(), {})
    assert isinstance(interface, NoUserInterface)
    for control in (Control(control_label=Label(label="x")), Control(control_yesno=YesNo(label="x"))):
        with pytest.raises(WrongState, match="--ui terminal, or with --ui auto"):
            await interface.show("session", control)


def test_the_settings_choose() -> None:
    assert isinstance(make_user_interface(GatewaySettings(ui="auto", answer=RULES), {}), AutomaticUserInterface)


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, None),
        ({"LANG": "de_DE.UTF-8"}, "de"),
        ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "nl"}, "nl"),
        ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "nl", "LC_ALL": "fr_BE@euro"}, "fr"),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "C.UTF-8"}, None),
        ({"LANG": "POSIX"}, None),
        ({"LANG": "", "LC_ALL": ""}, None),
    ],
)
def test_the_user_s_language_is_the_environment_s(environment, language) -> None:
    assert language_of(environment) == language
