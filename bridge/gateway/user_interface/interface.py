"""UserInterface: who answers controls. And the two that need nobody: by rule, and not at all.

Must not know streams or sessions beyond their names.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Iterable

from bridge.config import AnswerRule
from bridge.gateway.errors import WrongState
from bridge.gateway.user_interface.controls import Unfitting, answered, label, meaning, takes_answer
from bridge.openobd.messages import Control
from bridge.visible import one_line


class UserInterface(abc.ABC):
    """Shows controls to a user. It may be asked by any number of sessions at once."""

    def open(self) -> None:  # noqa: B027 - most have nothing to open
        """Make ready, on the event loop.

        Raises:
            ConfigurationError
        """

    def close(self) -> None:  # noqa: B027
        """Let go. Twice is fine."""

    @abc.abstractmethod
    async def show(self, session_id: str, control: Control) -> Control:
        """The control with its answer. Cancelled where it is no longer to be shown.

        Raises:
            WrongState: nobody can answer; the text says what would help.
        """


class NoUserInterface(UserInterface):
    """Nobody is there."""

    async def show(self, session_id: str, control: Control) -> Control:
        """See UserInterface.show."""
        raise WrongState(
            "this gateway has nobody to answer controls; start the bridge with --ui terminal, or with --ui auto and "
            "[[gateway.answer]] rules"
        )


class AutomaticUserInterface(UserInterface):
    """Answers by rule. What only wants to be seen is always answered."""

    def __init__(self, rules: Iterable[AnswerRule]) -> None:
        """The labels are regular expressions, which the settings have checked."""
        self._rules = [(re.compile(rule.label), rule.answer) for rule in rules]

    async def show(self, session_id: str, control: Control) -> Control:
        """See UserInterface.show."""
        if not takes_answer(control):
            return answered(control, None)
        text = label(control)
        for index, (pattern, answer) in enumerate(self._rules):
            if pattern.search(text):
                try:
                    return answered(control, meaning(control, answer))
                except Unfitting as error:
                    raise WrongState(
                        f'gateway.answer[{index}] answers {answer!r} to "{one_line(text)}": {error}'
                    ) from None
        raise WrongState(
            f'no rule answers "{one_line(text)}"; write a [[gateway.answer]] with a label, which is a regular '
            "expression that matches it, and an answer"
        )
