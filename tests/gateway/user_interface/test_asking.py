"""Controls on a terminal, and a person who answers them."""

from __future__ import annotations

import asyncio
import os

import pytest

from bridge.errors import ConfigurationError
from bridge.gateway.errors import WrongState
from bridge.gateway.user_interface.asking import TerminalUserInterface, screen
from bridge.gateway.user_interface.terminal import Terminal
from bridge.limits import ANSWER_LIMIT, CONTROL_LINES_SHOWN
from bridge.openobd.messages import (
    Continue,
    Control,
    FreeText,
    Image,
    InterfaceType,
    Label,
    LabelTranslations,
    Numbers,
    Options,
    Translation,
    YesNo,
)

from ..bench import SOON
from .person import Person

SESSION = "1a2b3c4d-0000-0000-0000-000000000000"
YES_NO = Control(control_yesno=YesNo(label="Is it running?"))
TEXT = Control(control_freetext=FreeText(label="Mileage?"))


@pytest.fixture
def person():
    person = Person()
    yield person
    person.close()


@pytest.fixture
async def interface(person):
    interface = TerminalUserInterface(Terminal(person.descriptor), None)
    interface.open()
    yield interface
    interface.close()


@pytest.fixture
async def ask(interface):
    """Show a control; what is under way at the end is taken back."""
    tasks: list[asyncio.Task[Control]] = []

    def ask(control: Control, session_id: str = SESSION) -> asyncio.Task[Control]:
        tasks.append(asyncio.get_running_loop().create_task(interface.show(session_id, control)))
        return tasks[-1]

    yield ask
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def of(task: asyncio.Task[Control]) -> Control:
    async with asyncio.timeout(SOON):
        return await task


async def test_a_question_is_shown_and_the_answer_comes_back(person, ask) -> None:
    shown = ask(YES_NO)
    assert await person.sees("yes or no? ") == ("\nopenOBD session 1a2b3c4d:\n  Is it running?\n  yes or no? ")
    person.type("yes\n")
    assert await of(shown) == Control(control_yesno=YesNo(label="Is it running?", answer=True))


@pytest.mark.parametrize(
    ("control", "typed", "answer"),
    [
        (Control(control_number=Numbers(label="Which?", minimum=1, maximum=4)), "4\n", 4),
        (Control(control_options=Options(label="Which?", options=["Petrol", "Diesel"])), "2\n", 1),
        (Control(control_options=Options(label="Which?", options=["Petrol", "Diesel"])), "petrol\n", 0),
        (TEXT, "Zündung: 5 °C\n", "Zündung: 5 °C"),
        (TEXT, "with a return\r", "with a return"),
    ],
)
async def test_answers_of_all_kinds(person, ask, control, typed, answer) -> None:
    shown = ask(control)
    await person.sees("? " if control != TEXT else "text: ")
    person.type(typed)
    reply = await of(shown)
    assert getattr(reply, reply.WhichOneof("ControlType")).answer == answer


async def test_nonsense_is_asked_again(person, ask) -> None:
    shown = ask(Control(control_number=Numbers(label="Which?", minimum=1, maximum=4)))
    await person.sees("1 to 4? ")
    person.type("five\n")
    assert "answer with a number from 1 to 4\n" in await person.sees("1 to 4? ")
    person.type("\n")
    await person.sees("1 to 4? ")
    person.type("3\n")
    assert (await of(shown)).control_number.answer == 3


async def test_a_label_needs_nobody_and_continue_takes_enter(person, ask) -> None:
    await of(ask(Control(control_label=Label(label="Reading"))))
    await person.sees("Reading")
    shown = ask(Control(control_continue=Continue(label="Start the engine")))
    await person.sees("Enter to continue: ")
    person.type("\n")
    await of(shown)


async def test_what_was_typed_before_is_no_answer(person, ask) -> None:
    person.type("yes\nyes\n")
    shown = ask(YES_NO)
    await person.sees("yes or no? ")
    person.type("n\n")
    assert not (await of(shown)).control_yesno.answer


async def test_a_line_comes_in_pieces(person, ask) -> None:
    shown = ask(TEXT)
    await person.sees("text: ")
    for piece in ("one", " two", "\x04", " three\n"):  # the fourth hands over what there is, without an end
        person.type(piece)
    assert (await of(shown)).control_freetext.answer == "one two three"


async def test_an_end_of_input_is_no_answer(person, ask) -> None:
    shown = ask(YES_NO)
    await person.sees("yes or no? ")
    person.type("\x04")
    with pytest.raises(WrongState, match="the user gave no answer"):
        await of(shown)


async def test_a_terminal_that_goes_is_an_error_and_no_busy_loop(person, ask) -> None:
    shown = ask(YES_NO)
    await person.sees("yes or no? ")
    person.hang_up()
    with pytest.raises(WrongState):
        await of(shown)
    with pytest.raises(WrongState):
        await of(ask(YES_NO))


async def test_one_control_at_a_time(person, ask) -> None:
    first, second = ask(YES_NO), ask(TEXT, "99999999-1")
    await person.sees("yes or no? ")
    person.type("y\n")
    assert (await of(first)).control_yesno.answer
    assert "openOBD session 99999999:" in await person.sees("text: ")
    person.type("42\n")
    assert (await of(second)).control_freetext.answer == "42"


async def test_a_control_that_is_taken_back_makes_room(person, ask) -> None:
    first = ask(YES_NO)
    await person.sees("yes or no? ")
    second = ask(TEXT)
    first.cancel()
    assert "(withdrawn)" in await person.sees("text: ")
    person.type("42\n")
    assert (await of(second)).control_freetext.answer == "42"


async def test_translations_are_in_the_user_s_language(person) -> None:
    interface = TerminalUserInterface(Terminal(person.descriptor), "de")
    interface.open()
    control = Control(
        control_yesno=YesNo(label="Is it running?"),
        translations=[
            LabelTranslations(
                label="Is it running?", translations=[Translation(language="de", label="Läuft der Motor?")]
            )
        ],
    )
    shown = asyncio.get_running_loop().create_task(interface.show(SESSION, control))
    assert "  Läuft der Motor?\n" in await person.sees("yes or no? ")
    person.type("y\n")
    assert (await of(shown)).control_yesno == YesNo(label="Is it running?", answer=True)
    interface.close()
    interface.close()
    with pytest.raises(WrongState):
        await interface.show(SESSION, control)


async def test_a_terminal_that_is_stopped_stops_nobody_else(person, ask, monkeypatch) -> None:
    """Nobody reads the other end: the terminal is full after a few thousand characters."""
    monkeypatch.setattr("bridge.gateway.user_interface.asking.CONTROL_PERIOD", 0.0)
    for number in range(60):
        ask(Control(control_label=Label(label=f"{number} " + 4000 * "x")))
    waiting = ask(YES_NO)
    for _ in range(1000):
        await asyncio.sleep(0)  # the loop goes on
    person.read()
    assert "yes or no" not in person.seen
    await person.sees("yes or no? ")
    person.type("y\n")
    assert (await of(waiting)).control_yesno.answer


async def test_a_very_long_line_without_an_end_is_an_answer(person, ask) -> None:
    import tty

    tty.setraw(person.descriptor)
    shown = ask(TEXT)
    await person.sees("text: ")
    person.type("x" * ANSWER_LIMIT)
    assert len((await of(shown)).control_freetext.answer) == ANSWER_LIMIT


def test_no_control_character_of_a_script_s_reaches_the_terminal() -> None:
    hostile = "a\x1b[2Jb\x07\r\x9b31m\u202ec\nopenOBD session 00000000:\x0b\x00"
    text = screen(
        SESSION,
        Control(
            target=InterfaceType.INTERFACE_OPERATOR,
            control_options=Options(label=hostile, options=[hostile, hostile]),
            image=Image(url=hostile),
        ),
    )
    assert all(line.isprintable() for line in text.split("\n"))
    assert [line for line in text.split("\n") if not line.startswith("  ")] == [
        "",
        "openOBD session 1a2b3c4d, for the operator:",
        "",
    ]


def test_a_screen_is_one_screen() -> None:
    text = screen(SESSION, Control(control_label=Label(label="\n" * 4000)))
    assert text.count("\n") == CONTROL_LINES_SHOWN + 3


def test_all_of_a_control_is_shown() -> None:
    assert screen(
        SESSION,
        Control(
            target=InterfaceType.INTERFACE_OPERATOR,
            control_options=Options(label="Which\nfuel?", options=["Petrol", "Diesel"]),
            image=Image(url="https://example.com/fuel.png"),
        ),
    ) == (
        "\nopenOBD session 1a2b3c4d, for the operator:\n  Which\n  fuel?\n"
        "  (image: https://example.com/fuel.png)\n  1) Petrol\n  2) Diesel\n"
    )
    assert "  - 4\n" in screen(SESSION, Control(control_options=Options(label="How many?", options=["2", "4"])))


def test_what_is_no_terminal_is_said_at_once() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(ConfigurationError, match=r"gateway\.ui.*--ui auto") as error:
            Terminal(reading)
    finally:
        os.close(reading)
        os.close(writing)
    assert "\n" not in str(error.value)


async def test_a_terminal_that_cannot_be_opened_is_said(person, monkeypatch) -> None:
    terminal = Terminal(person.descriptor)
    monkeypatch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(ConfigurationError, match="Permission denied"):
        terminal.open()


async def test_a_bridge_in_the_background_asks_nothing(person, ask, monkeypatch) -> None:
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp() + 1)
    with pytest.raises(WrongState, match="background"):
        await of(ask(YES_NO))
    assert not (await of(ask(Control(control_label=Label(label="x"))))).HasField("control_yesno")
