"""Controls: what a script asks of its user, in which words, and which answers fit.

Must not know who answers, a person or a rule. Source: openOBD's protocol comments (userInterface).
"""

from __future__ import annotations

from typing import Any

from bridge.gateway.errors import InvalidCall
from bridge.limits import CONTROL_OPTIONS_LIMIT, CONTROL_TEXT_LIMIT
from bridge.openobd.messages import Control, Numbers, Options

Answer = bool | int | str  #: yes or no; a number, or the number of an option; a text

_YES = frozenset(("y", "yes", "true"))
_NO = frozenset(("n", "no", "false"))


class Unfitting(ValueError):
    """An answer that the control does not have; the text says which it has."""


def check(control: Control) -> None:
    """Whether anybody could answer it.

    Raises:
        InvalidCall: it asks nothing, too much, or leaves no answer.
    """
    kind = control.WhichOneof("ControlType")
    if kind is None:
        raise InvalidCall("the control has no type")
    texts = [label(control)]
    if kind == "control_options":
        texts += control.control_options.options
        if not 0 < len(control.control_options.options) <= CONTROL_OPTIONS_LIMIT:
            raise InvalidCall(f"a control has 1 to {CONTROL_OPTIONS_LIMIT} options")
    if kind == "control_number" and control.control_number.minimum > control.control_number.maximum:
        raise InvalidCall("the control's minimum is above its maximum")
    if any(len(text) > CONTROL_TEXT_LIMIT for text in texts):
        raise InvalidCall(f"a control's text has at most {CONTROL_TEXT_LIMIT} characters")


def label(control: Control) -> str:
    """The control's text, as the script wrote it."""
    return str(_content(control).label)


def is_label(control: Control) -> bool:
    """Whether it only shows something."""
    return bool(control.WhichOneof("ControlType") == "control_label")


def display_time(control: Control) -> float:
    """How long a control that nobody answers is shown at least, in seconds."""
    return float(control.control_label.minimal_display_time) if is_label(control) else 0.0


def takes_answer(control: Control) -> bool:
    """Whether its user can say more than that they have seen it."""
    return control.WhichOneof("ControlType") not in ("control_label", "control_continue")


def translated(control: Control, language: str | None) -> Control:
    """The control in a language (ISO 639-1), as far as it brings translations."""
    words = {}
    for each in control.translations:
        for translation in each.translations:
            if language is not None and translation.language.lower() == language:
                words[each.label] = translation.label
    shown = Control()
    shown.CopyFrom(control)
    content = _content(shown)
    content.label = words.get(content.label, content.label)
    if shown.WhichOneof("ControlType") == "control_options":
        content.options[:] = [words.get(option, option) for option in content.options]
    return shown


def numbered(options: Options) -> bool:
    """Whether options can be chosen by their numbers, 1 and on: not where their texts are numbers themselves."""
    return not any(option.strip().isdecimal() for option in options.options)


def meaning(control: Control, said: Answer) -> Answer | None:
    """What somebody's words are as the control's answer; None where it takes none.

    Options are said by number, from 1, or by text, and become an index.

    Raises:
        Unfitting: the control has no such answer.
    """
    match control.WhichOneof("ControlType"):
        case "control_yesno":
            return _yes_or_no(said)
        case "control_number":
            return _number(control.control_number, said)
        case "control_options":
            return _option(control.control_options, said)
        case "control_freetext":
            if isinstance(said, bool) or not str(said).strip():
                raise Unfitting("answer with a text")
            return str(said).strip()
    return None


def answered(control: Control, answer: Answer | None) -> Control:
    """What goes back to the script: its own control with the answer filled in."""
    reply = Control()
    reply.CopyFrom(control)
    if answer is not None:
        _content(reply).answer = answer
    return reply


def _content(control: Control) -> Any:
    return getattr(control, control.WhichOneof("ControlType") or "control_label")


def _yes_or_no(said: Answer) -> bool:
    if isinstance(said, bool):
        return said
    word = str(said).strip().lower()
    if word not in _YES | _NO:
        raise Unfitting("answer with yes or no")
    return word in _YES


def _number(numbers: Numbers, said: Answer) -> int:
    number = _integer(said)
    if number is None or not numbers.minimum <= number <= numbers.maximum:
        raise Unfitting(f"answer with a number from {numbers.minimum} to {numbers.maximum}")
    return number


def _option(options: Options, said: Answer) -> int:
    texts = [option.strip() for option in options.options]
    number = _integer(said)
    if numbered(options) and number is not None and 1 <= number <= len(texts):
        return number - 1
    word = "" if isinstance(said, bool) else str(said).strip()
    same = [index for index, text in enumerate(texts) if text == word]
    alike = [index for index, text in enumerate(texts) if text.lower() == word.lower()]
    if same or alike:
        return (same or alike)[0]
    if numbered(options):
        raise Unfitting(f"answer with an option's number, 1 to {len(texts)}, or its text")
    raise Unfitting("answer with an option's text")


def _integer(said: Answer) -> int | None:
    if isinstance(said, bool):
        return None
    if isinstance(said, int):
        return said
    word = said.strip()
    return int(word) if word.isascii() and word.isdecimal() and len(word) <= len(str(1 << 32)) else None
