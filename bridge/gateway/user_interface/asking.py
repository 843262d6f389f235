"""The user interface on a terminal: controls as text, answers as lines.

What scripts write is shown as words only: no control character of theirs reaches the terminal, and
every line of it is indented below a heading of the bridge's own.
"""

from __future__ import annotations

import asyncio

from bridge.gateway.errors import WrongState
from bridge.gateway.user_interface.controls import (
    Unfitting,
    answered,
    is_label,
    label,
    meaning,
    numbered,
    translated,
)
from bridge.gateway.user_interface.interface import UserInterface
from bridge.gateway.user_interface.terminal import Terminal
from bridge.limits import CONTROL_LINES_SHOWN, CONTROL_PERIOD
from bridge.openobd.messages import Control, InterfaceType
from bridge.visible import one_line, visible


class TerminalUserInterface(UserInterface):
    """One control at a time is on the terminal; the others wait for their turn."""

    def __init__(self, terminal: Terminal, language: str | None) -> None:
        """`language` is the user's, ISO 639-1; None: that of the script."""
        self._terminal = terminal
        self._language = language
        self._turn = asyncio.Lock()

    def open(self) -> None:
        """See UserInterface.open."""
        self._terminal.open()

    def close(self) -> None:
        """See UserInterface.close."""
        self._terminal.close()

    async def show(self, session_id: str, control: Control) -> Control:
        """See UserInterface.show."""
        async with self._turn:
            await asyncio.sleep(CONTROL_PERIOD)  # a flood of controls replaces them before they are shown
            shown = translated(control, self._language)
            await self._terminal.write(screen(session_id, shown))
            if is_label(control):
                return control
            try:
                return await self._ask(control, shown)
            except asyncio.CancelledError:
                self._terminal.write_now("\n  (withdrawn)\n")
                raise

    async def _ask(self, control: Control, shown: Control) -> Control:
        self._terminal.begin_question()
        while True:
            await self._terminal.write(f"  {prompt(shown)} ")
            line = await self._terminal.read_line()
            if line is None:
                await self._terminal.write("\n")
                raise WrongState("the user gave no answer")
            try:
                return answered(control, meaning(shown, line))
            except Unfitting as error:
                await self._terminal.write(f"  {error}\n")


def screen(session_id: str, control: Control) -> str:
    """A control as it appears, in whole lines."""
    for_whom = ", for the operator" if control.target == InterfaceType.INTERFACE_OPERATOR else ""
    lines = [f"openOBD session {session_id[:8]}{for_whom}:", *_paragraph(label(control))]
    if control.HasField("image"):
        lines.append(f"(image: {one_line(control.image.url)})")
    if control.WhichOneof("ControlType") == "control_options":
        options = control.control_options
        for number, option in enumerate(options.options, 1):
            lines.append(f"{number}) {one_line(option)}" if numbered(options) else f"- {one_line(option)}")
    return "\n" + "\n  ".join(lines) + "\n"


def prompt(control: Control) -> str:
    """What is asked for, in a word."""
    match control.WhichOneof("ControlType"):
        case "control_yesno":
            return "yes or no?"
        case "control_number":
            return f"{control.control_number.minimum} to {control.control_number.maximum}?"
        case "control_options":
            return "which one?"
        case "control_freetext":
            return "text:"
    return "Enter to continue:"


def _paragraph(text: str) -> list[str]:
    lines = [visible(line) for line in text.splitlines()]
    return lines if len(lines) <= CONTROL_LINES_SHOWN else [*lines[:CONTROL_LINES_SHOWN], "..."]
