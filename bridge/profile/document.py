"""Profile files as JSON objects: parsed strictly, merged deeply, each key aware of its file.

Must not know what the keys mean (schema, json_profile) nor how files are read (loading).

Source: the OpenXC firmware configuration: `parents` are merged under the file that names them,
objects key by key, lists one after the other; a key that stands twice in an object is an error.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import PurePath
from typing import Any, NoReturn

from bridge.profile.errors import ProfileError, quoted

_DEPTH_LIMIT = 16  # of nested objects and lists; a profile needs seven

#: What an element of these is called in an error's place.
ELEMENTS = {
    "buses": "bus",
    "messages": "message",
    "signals": "signal",
    "mappings": "mapping",
    "commands": "command",
    "diagnostic_messages": "diagnostic message",
}

#: Keys whose values never mix: what the winning object says, it says whole.
WHOLE = frozenset(("multiplexer",))

ReadText = Callable[[PurePath], str]


class JsonObject(dict[str, Any]):
    """A JSON object that knows the file of each of its keys."""

    __slots__ = ("duplicates", "file", "origins")

    def __init__(self, pairs: list[tuple[str, Any]], file: PurePath) -> None:
        super().__init__(pairs)
        self.file = file
        self.origins: dict[str, PurePath] = {}  #: of the keys that come from another file
        self.duplicates: tuple[str, ...] = ()
        if len(self) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            self.duplicates = tuple(name for name, count in counts.items() if count > 1)

    def file_of(self, key: str) -> PurePath:
        """The file that wrote a key; the object's own where it has no such key."""
        return self.origins.get(key, self.file)


def parse(text: str, file: PurePath) -> JsonObject:
    """Parse a profile file; numbers with a point become Decimal, as written.

    Raises:
        ProfileError: no JSON, no object, a key twice, a number or a text that is none.
    """

    def refuse(constant: str) -> NoReturn:
        raise ProfileError(f"{file}: {constant} is no JSON number")

    try:
        document = json.loads(
            text.removeprefix("\ufeff"),
            parse_float=Decimal,
            parse_constant=refuse,
            object_pairs_hook=lambda pairs: JsonObject(pairs, file),
        )
    except json.JSONDecodeError as error:
        raise ProfileError(f"{file}: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise ProfileError(f"{file}: nested too deeply") from None
    except (ValueError, ArithmeticError) as error:  # digits beyond what int and Decimal take
        raise ProfileError(f"{file}: {error}") from None
    if not isinstance(document, JsonObject):
        raise ProfileError(f"{file}: a profile is a JSON object, in braces")
    _refuse_oddities(document, file)
    return document


def _refuse_oddities(document: JsonObject, file: PurePath) -> None:
    """Find keys that stand twice, texts that are no Unicode and endless nesting, anywhere in a file."""
    for path, value in _walk(document):
        place = f"{file}: {place_of(path)}"
        if isinstance(value, str):
            _check_unicode(value, place)
        elif isinstance(value, JsonObject):
            if value.duplicates:
                raise ProfileError(f"{place}key {quoted(value.duplicates[0])} stands twice")
            for key in value:
                _check_unicode(key, place)


def _walk(document: JsonObject) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value with its path; the order is the file's."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), document)]
    while waiting:
        path, value = waiting.pop()
        if len(path) > _DEPTH_LIMIT:
            raise ProfileError(f"{document.file}: nested too deeply")
        yield path, value
        if isinstance(value, dict):
            waiting.extend(((*path, key), value[key]) for key in reversed(value))
        elif isinstance(value, list):
            waiting.extend(((*path, str(index + 1)), value[index]) for index in reversed(range(len(value))))


def _check_unicode(text: str, place: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ProfileError(f"{place}the text {quoted(text)} is no valid Unicode") from None


def place_of(path: tuple[str, ...]) -> str:
    """A path as an error names it: `message 0x49, signal ENGINE: `; empty at the top."""
    places, index = [], 0
    while index < len(path):
        if path[index] in ELEMENTS and index + 1 < len(path):
            places.append(f"{ELEMENTS[path[index]]} {path[index + 1]}")
            index += 2
        else:
            places.append(path[index])
            index += 1
    return ", ".join(places) + ": " if places else ""


def merged(under: JsonObject, over: JsonObject, *, whole: frozenset[str] = WHOLE) -> JsonObject:
    """Both objects' keys: objects merge, lists are joined, of anything else `over` wins.

    Args:
        under: the object that gives way.
        over: the object that wins; the result is of its file.
        whole: keys whose values do not mix, at any depth.
    """
    result = JsonObject([], over.file)
    for key in (*under, *(key for key in over if key not in under)):
        if key not in over:
            result[key] = under[key]
            result.origins[key] = under.file_of(key)
            continue
        below, above = under.get(key), over[key]
        if key in whole:
            result[key] = above
        elif isinstance(below, JsonObject) and isinstance(above, JsonObject):
            result[key] = merged(below, above, whole=whole)
        elif isinstance(below, list) and isinstance(above, list):
            result[key] = below + above
        else:
            result[key] = above
        result.origins[key] = over.file_of(key)
    return result


def with_parents(file: PurePath, read: ReadText) -> JsonObject:
    """A profile file with its parents, and theirs, merged under it; each file is taken once.

    Raises:
        ProfileError: any of the files is unusable, or a file is its own ancestor.
    """
    return _Ancestry(read).resolve(file, ())


class _Ancestry:
    """The files merged so far."""

    def __init__(self, read: ReadText) -> None:
        self.read = read
        self.taken: set[PurePath] = set()

    def resolve(self, file: PurePath, children: tuple[PurePath, ...]) -> JsonObject:
        if len(children) > _DEPTH_LIMIT:
            raise ProfileError(f"{children[0]}: more than {_DEPTH_LIMIT} generations of parents")
        document = parse(self.read(file), file)
        self.taken.add(normalised(file))
        parents = document.pop("parents", None)
        if parents is not None and not (isinstance(parents, list) and all(isinstance(name, str) for name in parents)):
            raise ProfileError(f'{file}: "parents" must be a list of paths')
        for name in parents or ():
            parent = beside(file, name)
            if normalised(parent) in map(normalised, (*children, file)):
                raise ProfileError(f"{file}: the parent {quoted(name)} has this file as a parent itself")
            if normalised(parent) not in self.taken:
                document = merged(self.resolve(parent, (*children, file)), document)
        return document


def beside(file: PurePath, name: str) -> PurePath:
    """A path that a file names, relative to that file."""
    return file.parent / name


def normalised(file: PurePath) -> PurePath:
    """The path without `.` and `x/..`, so that one file has one name. Symbolic links are not followed."""
    parts: list[str] = []
    for part in file.parts:
        if part == ".." and parts and parts[-1] not in ("..", file.anchor):
            parts.pop()
        else:
            parts.append(part)
    return type(file)(*parts)
