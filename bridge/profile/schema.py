"""The keys of a profile's objects, and reading them: every complaint names file, place and key.

Must not know what becomes of the values (json_profile).

Source: the OpenXC firmware configuration, plus the bridge's own keys, marked below.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NoReturn, TypeVar

from bridge.frames import EXTENDED_ID_MAX
from bridge.profile.document import JsonObject, ReadText, parse
from bridge.profile.errors import ProfileError, did_you_mean, printable, quoted
from bridge.profile.fields import DECIMAL_EXPONENT_LIMIT, is_exact

_ID = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that one kind of object may have."""

    known: frozenset[str]
    renamed: dict[str, str] = field(default_factory=dict)  #: old names and what replaces them


PROFILE = Keys(
    frozenset(
        (
            "name",
            "buses",
            "messages",
            "mappings",
            "bit_numbering_inverted",
            "raw_can_mode",
            "max_message_frequency",
            "initializers",
            "loopers",
            "extra_sources",
            "commands",
            "diagnostic_messages",
            "predefined_obd2",  # the bridge's own
        )
    )
)

MAPPING_FILE = Keys(
    frozenset(("messages", "diagnostic_messages", "commands", "initializers", "loopers", "extra_sources"))
)

MAPPING = Keys(frozenset(("mapping", "bus", "database", "bit_numbering_inverted", "enabled")))

BUS = Keys(
    frozenset(
        (
            "speed",
            "controller",
            "raw_can_mode",
            "raw_writable",
            "max_message_frequency",
            "force_send_changed",
            "loopback",
        )
    )
)

MESSAGE = Keys(
    frozenset(
        (
            "bus",
            "name",
            "bit_numbering_inverted",
            "handlers",
            "handler",  # deprecated by the firmware, and still read
            "enabled",
            "max_frequency",
            "force_send_changed",
            "max_signal_frequency",
            "force_send_changed_signals",
            "signals",
            "frame_format",  # from here on the bridge's own
            "length",
            "fd",
        )
    ),
    {"send_frequency": "max_frequency"},
)

SIGNAL = Keys(
    frozenset(
        (
            "generic_name",
            "bit_position",
            "bit_size",
            "factor",
            "offset",
            "min_value",
            "max_value",
            "decoder",
            "encoder",
            "states",
            "max_frequency",
            "send_same",
            "force_send_changed",
            "writable",
            "ignore",
            "enabled",
            "bit_numbering_inverted",
            "byte_order",  # from here on the bridge's own
            "signed",
            "float",
            "unit",
            "multiplexer",
        )
    ),
    {"send_frequency": "max_frequency", "handler": "decoder", "write_handler": "encoder"},
)

MULTIPLEXER = Keys(frozenset(("signal", "values")))

COMMAND = Keys(frozenset(("name", "handler", "enabled")))

DIAGNOSTIC = Keys(
    frozenset(
        (
            "bus",
            "id",
            "mode",
            "frequency",
            "pid",
            "pid_length",
            "name",
            "multiple_responses",
            "decoder",
            "callback",
            "enabled",
        )
    ),
    {"handler": "decoder", "generic_name": "name"},
)


class Section:
    """One object of a profile, read key by key. A key whose value is null counts as absent."""

    __slots__ = ("data", "place")

    def __init__(self, data: JsonObject, place: str = "") -> None:
        self.data = data
        self.place = place  #: `message 0x49, signal ENGINE`; empty at the top

    def check(self, keys: Keys) -> None:
        """Refuse keys that this kind of object does not have."""
        for key in self.data:
            if key in keys.renamed:
                raise self.error(f'{quoted(key)} is an old name; write "{keys.renamed[key]}"', key)
            if key not in keys.known:
                raise self.error(f"unknown key {quoted(key)}{did_you_mean(key, sorted(keys.known))}", key)

    def unknown(self, keys: Keys) -> list[str]:
        """Warnings about keys that are ignored."""
        return [
            self.at(f"unknown key {quoted(key)} is ignored{did_you_mean(key, sorted(keys.known))}", key)
            for key in self.data
            if key not in keys.known
        ]

    def at(self, text: str, key: str = "") -> str:
        """A text about this place, on one line."""
        place = f"{self.place}: " if self.place else ""
        return printable(f"{self.data.file_of(key)}: {place}{text}")

    def error(self, text: str, key: str = "") -> ProfileError:
        """A fault of this place."""
        return ProfileError(self.at(text, key))

    def within(self, place: str, data: JsonObject) -> Section:
        """A part of this object."""
        return Section(data, f"{self.place}, {place}" if self.place else place)

    def has(self, key: str) -> bool:
        """Whether the key says anything."""
        return self.data.get(key) is not None

    def _wrong(self, key: str, wanted: str) -> NoReturn:
        value = self.data[key]
        given = "null" if value is None else str(value).lower() if isinstance(value, bool) else _given(value)
        raise self.error(f'"{key}" must be {wanted}, not {given}', key)

    def _required(self, key: str) -> Any:
        if not self.has(key):
            raise self.error(f'missing "{key}"', key)
        return self.data[key]

    # Values

    def text(self, key: str, default: str | None = None, *, empty: bool = False) -> str:
        """A text, not empty unless that is allowed. Without a default it is required."""
        if default is not None and not self.has(key):
            return default
        value = self._required(key)
        if not isinstance(value, str) or not (value or empty):
            self._wrong(key, "a text")
        return value

    def boolean(self, key: str, default: bool) -> bool:
        """True or false."""
        if not self.has(key):
            return default
        value = self.data[key]
        if not isinstance(value, bool):
            self._wrong(key, "true or false")
        return value is True

    def choice(self, key: str, choices: tuple[str, ...], default: str) -> str:
        """One of some words."""
        if not self.has(key):
            return default
        value = self.data[key]
        if not isinstance(value, str) or value not in choices:
            self._wrong(key, f"one of {', '.join(choices)}")
        return value

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """An integer from low to high. Without a default it is required."""
        if default is not None and not self.has(key):
            return default
        value = self._required(key)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self._wrong(key, f"an integer from {low} to {high}")
        return value

    def identifier(self, key: str) -> int:
        """An arbitration id, as an integer or as text in hexadecimal or decimal; required."""
        value = self._required(key)
        number = parse_id(value) if isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= EXTENDED_ID_MAX:
            self._wrong(key, f"a CAN id from 0 to 0x{EXTENDED_ID_MAX:x}")
        return number

    def number(self, key: str, default: float | None = 0.0, low: float = -math.inf) -> float:
        """A finite number, not below low. Without a default it is required."""
        if default is not None and not self.has(key):
            return default
        number = _finite(self._required(key))
        if number is None or number < low:
            self._wrong(key, "a number" if low == -math.inf else f"a number not below {low:g}")
        return number

    def decimal(self, key: str, default: Decimal) -> Decimal:
        """A number as written, of a size that arithmetic with it stays exact and quick."""
        if not self.has(key):
            return default
        value = self.data[key]
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            self._wrong(key, "a number")
        number = Decimal(value)
        if not is_exact(number):
            self._wrong(key, f"a number from 1e-{DECIMAL_EXPONENT_LIMIT} to 1e{DECIMAL_EXPONENT_LIMIT}")
        return number

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; empty where absent."""
        value = self.data.get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            self._wrong(key, "a list of texts")
        return tuple(value)

    def integers(self, key: str) -> tuple[int, ...]:
        """A list of one or more integers of up to 64 bits; required."""
        value = self._required(key)
        if not isinstance(value, list) or not value or not all(map(_is_integer, value)):
            self._wrong(key, "a list of integers")
        return tuple(value)

    # Parts

    def object(self, key: str) -> JsonObject:
        """An object; empty where absent."""
        if not self.has(key):
            return JsonObject([], self.data.file_of(key))
        value = self.data[key]
        if not isinstance(value, JsonObject):
            self._wrong(key, "an object, in braces")
        return value

    def named(self, key: str, word: str) -> Iterator[tuple[str, Section]]:
        """The named objects in an object, in the file's order."""
        container = self.object(key)
        for name, value in container.items():
            place = Section(container, self.place)
            if not isinstance(value, JsonObject):
                raise place.error(f"{word} {name} must be an object, in braces", name)
            yield name, self.within(f"{word} {name}", value)

    def listed(self, key: str, word: str) -> Iterator[Section]:
        """The objects in a list; an error names them by their number, from 1."""
        value = self.data.get(key)
        if value is None:
            return
        if not isinstance(value, list):
            self._wrong(key, "a list of objects")
        for number, item in enumerate(value, 1):
            if not isinstance(item, JsonObject):
                raise self.error(f'"{key}" must be a list of objects; item {number} is {_given(item)}', key)
            name = item.get("name")
            yield self.within(f"{word} {name if isinstance(name, str) else number}", item)


def _given(value: object) -> str:
    """A value as an error shows it, cut where it is long."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, int) and abs(value) >= 1 << 128:
        return "a huge number"
    text = json.dumps(value[:8], default=str) if isinstance(value, list) else str(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _finite(value: object) -> float | None:
    """A JSON number as a double; None where it is none or too large for one."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(1 << 63) <= value < 1 << 64


def parse_id(text: str) -> int | None:
    """A CAN id as profiles write it, hexadecimal with 0x or decimal; None where it is neither."""
    if len(text) > 20 or _ID.fullmatch(text) is None:
        return None
    try:
        return int(text, 0)
    except ValueError:  # 010: octal in C, nothing in Python
        return None


def states_of(signal: Section, build: Callable[[str, tuple[int, ...]], Item]) -> tuple[Item, ...]:
    """The states of a signal, in the file's order."""
    data = signal.object("states")
    states = Section(data, f"{signal.place}, states")
    return tuple(build(name, tuple(dict.fromkeys(states.integers(name)))) for name in data)


def read_mapping_file(section: Section, read: ReadText) -> JsonObject:
    """The file that a mapping names, relative to the file that holds the mapping."""
    file = section.data.file_of("mapping").parent / section.text("mapping")
    return parse(read(file), file)
