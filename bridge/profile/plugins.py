"""Names of functions in a profile, turned into the functions: built in, installed or Python's.

A profile that names a Python function has it imported and called: such a profile is code, and
is to be trusted like code. Must not know what the functions do.
"""

from __future__ import annotations

import enum
import importlib
import importlib.metadata
import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from bridge.profile import decoders
from bridge.profile.errors import quoted


class UnknownFunction(LookupError):
    """A name that stands for no function that the bridge can call; the text says what to write instead."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What one attribute of a profile may name."""

    word: str
    group: str  #: entry points of installed packages
    builtin: dict[str, Any]


class Kind(enum.Enum):
    """The attributes that name functions."""

    DECODER = _Kind("a decoder", "openxc_bridge.decoders", decoders.DECODERS)
    ENCODER = _Kind("an encoder", "openxc_bridge.encoders", decoders.ENCODERS)
    HANDLER = _Kind("a message handler", "openxc_bridge.handlers", decoders.HANDLERS)
    COMMAND = _Kind("a command handler", "openxc_bridge.commands", decoders.COMMANDS)
    DIAGNOSTIC_DECODER = _Kind(
        "a diagnostic decoder", "openxc_bridge.diagnostic_decoders", decoders.DIAGNOSTIC_DECODERS
    )


#: Namespaces that the firmware's generated code may put before the name of a built-in.
_NAMESPACES = frozenset(("openxc", "can", "read", "write", "signals", "handlers", "diagnostics", "obd2"))
_DOTTED = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*)[:.](?P<attribute>[^\W\d]\w*)")


def resolve(name: str, kind: Kind) -> Any:
    """The function that a profile names: built in, an installed entry point, or `package.module:function`.

    Returns:
        what the kind's table in decoders holds for a built-in; otherwise a callable.

    Raises:
        UnknownFunction: no such function.
    """
    builtin = without_namespace(name)
    if builtin in kind.value.builtin:
        return kind.value.builtin[builtin]
    if builtin in decoders.UNUSABLE:
        raise UnknownFunction(f"{quoted(name)} cannot be used: {decoders.UNUSABLE[builtin]}")
    for other in Kind:
        if builtin in other.value.builtin:
            raise UnknownFunction(f"{quoted(name)} is {other.value.word}, not {kind.value.word}")
    dotted = _DOTTED.fullmatch(name)
    if dotted is not None:
        return _callable(name, lambda: getattr(importlib.import_module(dotted["module"]), dotted["attribute"]))
    for point in importlib.metadata.entry_points(group=kind.value.group, name=name):
        return _callable(name, point.load)
    raise UnknownFunction(_advice(name, kind))


def without_namespace(name: str) -> str:
    """A firmware function's name without the C++ namespaces before it."""
    *namespaces, last = name.split("::")
    return last if _NAMESPACES.issuperset(namespaces) else name


def _callable(name: str, load: Callable[[], Any]) -> Any:
    try:
        function = load()
    except (Exception, SystemExit) as error:  # importing runs anybody's code
        raise UnknownFunction(f"{quoted(name)} cannot be imported: {type(error).__name__}: {error}") from None
    if not callable(function):
        raise UnknownFunction(f"{quoted(name)} is no function")
    return function


def _advice(name: str, kind: Kind) -> str:
    """What to replace a C++ function by."""
    builtin = kind.value.builtin
    near = get_close_matches(without_namespace(name)[:80], builtin, n=3, cutoff=0.5) or list(builtin)
    return (
        f"{quoted(name)} is a C++ function; replace it by a built-in one ({', '.join(near)}) "
        f'or by a Python function as "package.module:function"'
    )
