"""Profiles and databases from files: the only part of this room that reads them.

A profile is found by the name of a shipped one, else by path. Must not know what is in a file
beyond its suffix; json_profile and database do.
"""

from __future__ import annotations

import importlib.resources
from pathlib import Path, PurePath

from bridge.profile import json_profile
from bridge.profile.document import normalised
from bridge.profile.errors import ProfileError, did_you_mean, quoted
from bridge.profile.merging import merge
from bridge.profile.plan import Plan

_PACKAGE = "firmware_profiles"
_SUFFIX = ".json"
_DATABASE_SUFFIXES = (".dbc", ".kcd", ".sym", ".arxml")
_SIZE_LIMIT = 64 * 1024 * 1024  # bytes; a database of a whole vehicle has a few million


def available() -> list[str]:
    """The names of the shipped profiles."""
    shipped = importlib.resources.files(_PACKAGE).iterdir()
    return sorted(entry.name.removesuffix(_SUFFIX) for entry in shipped if entry.name.endswith(_SUFFIX))


def find(name_or_path: str | PurePath) -> Path:
    """The file of a profile: a shipped one of this name, else the path.

    Raises:
        ProfileError: neither.
    """
    if isinstance(name_or_path, str) and name_or_path in available():
        return Path(str(importlib.resources.files(_PACKAGE) / f"{name_or_path}{_SUFFIX}"))
    path = Path(name_or_path)
    if not _exists(path):
        names = available()
        hint = did_you_mean(str(name_or_path), names) or f"; shipped are {', '.join(names)}"
        raise ProfileError(f"no file and no shipped profile {quoted(name_or_path)}{hint}")
    return path


def load(name_or_path: str | PurePath, dbc: str | PurePath | None = None) -> Plan:
    """The plan of a profile, or of a database, which the suffix tells.

    Args:
        name_or_path: a shipped profile's name or a file.
        dbc: a database whose messages are added to the profile's buses, from the first on.

    Raises:
        ProfileError: a file is missing or unusable; one line that names file and place.
    """
    path = find(name_or_path)
    plan = load_database(path) if is_database(path) else json_profile.build_plan(path, read_text)
    return plan if dbc is None else merge(plan, load_database(dbc))


def load_database(path: str | PurePath, bus: int = 1) -> Plan:
    """The plan of a DBC, KCD, SYM or ARXML database; see database.build_plan.

    Raises:
        ProfileError: the file is missing or no such database.
    """
    from bridge.profile import database  # noqa: PLC0415 - cantools takes a third of a second to import

    return database.build_plan(read_text(PurePath(path)), PurePath(path), bus)


def is_database(path: str | PurePath) -> bool:
    """Whether a file's suffix is a database's."""
    return PurePath(path).suffix.lower() in _DATABASE_SUFFIXES


def read_text(path: PurePath) -> str:
    """A file's text: UTF-8, and where a database is none of that, Windows-1252, which old DBC files are in.

    Raises:
        ProfileError: the file cannot be read, is too large, or is no text.
    """
    try:
        with Path(normalised(path)).open("rb") as file:
            data = file.read(_SIZE_LIMIT + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ProfileError(f"{path}: cannot be read: {reason}") from None
    if len(data) > _SIZE_LIMIT:
        raise ProfileError(f"{path}: more than {_SIZE_LIMIT} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if is_database(path):
            return data.decode("cp1252", errors="replace")
        raise ProfileError(f"{path}: byte {error.start} is no UTF-8 text") from None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False
