"""Which user interface the settings choose."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.config import GatewaySettings
from bridge.gateway.user_interface.asking import TerminalUserInterface
from bridge.gateway.user_interface.interface import AutomaticUserInterface, NoUserInterface, UserInterface
from bridge.gateway.user_interface.terminal import Terminal

_LANGUAGE_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")  # the first that is set counts (POSIX)
_NO_LANGUAGES = ("", "c", "posix")


def make_user_interface(settings: GatewaySettings, environment: Mapping[str, str]) -> UserInterface:
    """The user interface that `gateway.ui` names, not yet open.

    Raises:
        ConfigurationError: it needs a terminal, and there is none.
    """
    if settings.ui == "terminal":
        language = settings.language.lower() if settings.language else language_of(environment)
        return TerminalUserInterface(Terminal(), language)
    if settings.ui == "auto":
        return AutomaticUserInterface(settings.answer)
    return NoUserInterface()


def language_of(environment: Mapping[str, str]) -> str | None:
    """The user's language by ISO 639-1, such as "de" for de_DE.UTF-8; None where they have chosen none."""
    locale = next((text for name in _LANGUAGE_VARIABLES if (text := environment.get(name))), "")
    language = locale.partition(".")[0].partition("@")[0].partition("_")[0].lower()
    return None if language in _NO_LANGUAGES else language
