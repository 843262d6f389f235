"""Signals of a CANdb++ database in XML, for the mappings of a firmware profile.

Only what a mapping names is looked up, as JSON objects of the profile's keys, so that the
mapping's own values can be merged over them. Must not know profiles beyond these keys.

Source: the OpenXC firmware configuration: Node/TxMessage by ID, its Signal by Name, with
Bitposition, Bitsize, Factor, Offset, Minimum and Maximum.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from decimal import Decimal, InvalidOperation
from pathlib import PurePath
from typing import Any, NoReturn

from bridge.profile.document import JsonObject
from bridge.profile.errors import ProfileError, quoted
from bridge.profile.schema import parse_id

_CHUNK = 1 << 16  # parsed at once, so that a refusal comes before the rest is looked at

#: XML element of a signal -> key of the profile, integer or decimal.
_ELEMENTS = (
    ("Bitposition", "bit_position", int),
    ("Bitsize", "bit_size", int),
    ("Factor", "factor", Decimal),
    ("Offset", "offset", Decimal),
    ("Minimum", "min_value", Decimal),
    ("Maximum", "max_value", Decimal),
)


class CandbDatabase:
    """The messages of one XML export, by id."""

    def __init__(self, text: str, file: PurePath) -> None:
        """Parse an export.

        Raises:
            ProfileError: no XML, or XML with a document type, which no export has.
        """
        self.file = file
        self._messages: dict[int, ET.Element] = {}
        for element in _parse(text, file).iterfind("./Node/TxMessage"):
            identifier = parse_id((element.findtext("ID") or "").strip())
            if identifier is not None:
                self._messages.setdefault(identifier, element)

    def message(self, identifier: int, signal_names: list[str]) -> JsonObject | None:
        """A message with the named signals that it has; None where the database has no such id.

        Raises:
            ProfileError: a number of a signal is none.
        """
        element = self._messages.get(identifier)
        if element is None:
            return None
        elements = {(child.findtext("Name") or "").strip(): child for child in reversed(element.findall("Signal"))}
        signals = [
            (name, self._signal(f"message 0x{identifier:x}, signal {name}", elements[name]))
            for name in signal_names
            if name in elements
        ]
        pairs: list[tuple[str, Any]] = [("signals", JsonObject(signals, self.file))]
        name = (element.findtext("Name") or "").strip()
        return JsonObject([*([("name", name)] if name else []), *pairs], self.file)

    def _signal(self, place: str, element: ET.Element) -> JsonObject:
        pairs: list[tuple[str, Any]] = []
        for tag, key, kind in _ELEMENTS:
            text = (element.findtext(tag) or "").strip()
            if text:
                try:
                    pairs.append((key, _number(kind, text)))
                except (ValueError, InvalidOperation):
                    raise ProfileError(f"{self.file}: {place}: {tag} is {quoted(text)}, which is no number") from None
        return JsonObject(pairs, self.file)


def _number(kind: type[int] | type[Decimal], text: str) -> int | Decimal:
    number = kind(text)
    if isinstance(number, Decimal) and not number.is_finite():
        raise ValueError
    return number


class _Builder(ET.TreeBuilder):
    """Builds the tree of a document without a document type: entities could grow without end."""

    def __init__(self, file: PurePath) -> None:
        super().__init__()
        self.file = file

    def doctype(self, name: str, pubid: str | None, system: str | None) -> NoReturn:
        raise ProfileError(f"{self.file}: XML with a document type is refused")


def _parse(text: str, file: PurePath) -> ET.Element:
    parser = ET.XMLParser(target=_Builder(file))  # noqa: S314 - see _Builder
    try:
        for start in range(0, len(text), _CHUNK):
            parser.feed(text[start : start + _CHUNK])
        root = parser.close()
    except (ET.ParseError, ValueError) as error:
        raise ProfileError(f"{file}: no CANdb++ XML export: {error}") from None
    assert isinstance(root, ET.Element)
    return root
