"""CAN databases (DBC, KCD, SYM, ARXML), read by cantools and made a plan of.

Every signal is published: under its own name, or as MESSAGE.SIGNAL where several messages have
that name (BUS.MESSAGE.SIGNAL where a message of several buses does). A signal with a value
table publishes the name of its raw value, else the number. Must not know firmware profiles.

Sources: the DBC format (start bits, extended multiplexing, value tables) as cantools reads it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import PurePath

import cantools.database
from cantools.database.can import Database
from cantools.database.can import Message as DatabaseMessage
from cantools.database.can import Signal as DatabaseSignal

from bridge.frames import FD_LENGTHS
from bridge.profile.errors import ProfileError
from bridge.profile.fields import (
    CLASSIC_LENGTH,
    FIELD_LIMIT,
    FLOAT_SIZES,
    FieldError,
    fd_length,
    is_exact,
    make_field,
    sawtooth_start,
)
from bridge.profile.plan import (
    BuiltinDecoder,
    ByteOrder,
    Field,
    Message,
    Multiplex,
    Plan,
    PlanBus,
    RawType,
    Signal,
    State,
    message_order,
)

FORMATS = {".dbc": "dbc", ".kcd": "kcd", ".sym": "sym", ".arxml": "arxml"}  #: by suffix

_MULTIPLEX_DEPTH_LIMIT = 8
_STATE_RANGE = range(-(1 << 63), 1 << 64)
_BUS_LIMIT = 255

#: What cantools takes a moment for: a signal is there for any value of a 16-bit multiplexer.
_SIGNAL_SELECTIONS_LIMIT = 1 << 16
_DATABASE_SELECTIONS_LIMIT = 1 << 20
_DBC_TEXT = re.compile(r'"(?:\\"|[^"])*"|//[^\n]*')  # strings and comments, which may say anything
_DBC_SELECTIONS = re.compile(r"\bSG_MUL_VAL_\s+(\d+)\s+(\w+)\s+\w+\s([^;]*);")  # message, signal, multiplexer, ranges
_DBC_RANGE = re.compile(r"([-+]?\d+)\s*[-+](\d+)")


def build_plan(text: str, file: PurePath, bus: int = 1) -> Plan:
    """Make a plan of a database.

    Args:
        text: the database.
        file: where it is from; its suffix tells the format, its stem is the plan's name.
        bus: the number of the database's first bus; further ones (KCD, ARXML) count on.

    Returns:
        a plan whose buses are read with an open filter, and whose writing no profile restricts
        (`raw_writable` is None). What no frame of 64 bytes can carry is left out, with a warning.

    Raises:
        ProfileError: no such database, or a field that no frame has.
    """
    database = _parse(text, file)
    return _DatabaseBuilder(database, file, bus).plan()


def _parse(text: str, file: PurePath) -> Database:
    suffix = file.suffix.lower()
    if suffix not in FORMATS:
        raise ProfileError(f'{file}: "{suffix}" is no database\'s suffix; known are {", ".join(FORMATS)}')
    try:
        if FORMATS[suffix] == "dbc":
            _refuse_many_selections(text, file)
        # Overlapping signals are common in the wild and harm nobody, so cantools is not to be strict;
        # fields outside of the data are found here.
        database = cantools.database.load_string(text, database_format=FORMATS[suffix], strict=False)
    except ProfileError:
        raise
    except Exception as error:  # whatever its parsers raise about a file that is none
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ProfileError(f"{file}: no {FORMATS[suffix].upper()} database: {reason}") from None
    if not isinstance(database, Database) or not database.messages:
        raise ProfileError(f"{file}: the database has no messages")
    return database


def _refuse_many_selections(text: str, file: PurePath) -> None:
    """Look how many multiplexer values select a DBC's signals, because cantools makes a list of them all.

    For a range as wide as a 24-bit multiplexer that takes minutes and gigabytes.
    """
    in_all = 0
    for message, signal, ranges in _DBC_SELECTIONS.findall(_DBC_TEXT.sub("", text)):
        count = sum(max(0, int(last) - int(first) + 1) for first, last in _DBC_RANGE.findall(ranges))
        in_all += count
        if count > _SIGNAL_SELECTIONS_LIMIT:
            problem = f"it is selected by more than {_SIGNAL_SELECTIONS_LIMIT}"
        elif in_all > _DATABASE_SELECTIONS_LIMIT:
            problem = f"it and those before are selected by more than {_DATABASE_SELECTIONS_LIMIT}"
        else:
            continue
        raise ProfileError(f"{file}: signal {signal} of message {message}: {problem} multiplexer values")


class _DatabaseBuilder:
    """Builds one plan; keeps the buses' numbers, the names that are taken and the warnings."""

    def __init__(self, database: Database, file: PurePath, first_bus: int) -> None:
        self.database = database
        self.file = file
        self.warnings: list[str] = []
        self.buses = self._number_buses(first_bus)
        self.messages = [message for message in database.messages if self._fits(message)]
        self.names = Counter(name for message in self.messages for name in self._names_in(message))

    def plan(self) -> Plan:
        messages: dict[tuple[int, int, bool], Message] = {}
        for source in self.messages:
            bus = self.buses[source.bus_name].number
            key = (bus, source.frame_id, source.is_extended_frame)
            if key in messages:
                raise self._error(source, f"has the id of {messages[key].name}, 0x{source.frame_id:x}")
            messages[key] = self._message(source, bus)
        return Plan(
            name=self.file.stem,
            buses=tuple(dict.fromkeys(self.buses.values())),
            messages=tuple(sorted(messages.values(), key=message_order)),
            warnings=tuple(self.warnings),
        )

    # What there is

    def _number_buses(self, first: int) -> dict[str | None, PlanBus]:
        """The buses by the database's name for them; messages that name none are the first one's."""
        speeds = {bus.name: bus.baudrate for bus in self.database.buses}
        used = {message.bus_name for message in self.database.messages if message.bus_name is not None}
        names = [name for name in speeds if name in used] + sorted(used - speeds.keys())
        if first + len(names) > _BUS_LIMIT:
            raise ProfileError(f"{self.file}: {len(names)} buses from number {first} on; the last is {_BUS_LIMIT}")
        buses: dict[str | None, PlanBus] = {}
        for number, name in enumerate(names or [self.file.stem], first):
            speed = speeds.get(name)
            buses[name] = PlanBus(
                number=number, name=name, speed=speed if speed and speed > 0 else None, bypass_filter=True
            )
        buses[None] = next(iter(buses.values()))
        return buses

    def _fits(self, message: DatabaseMessage) -> bool:
        if message.is_container:
            self._warn(message, "holds other messages, and is left out")
        elif message.length > FD_LENGTHS[-1]:
            self._warn(message, f"has {message.length} bytes, more than a frame, and is left out")
        else:
            return True
        return False

    def _candidates(self, message: DatabaseMessage, name: str) -> tuple[str, ...]:
        """What a signal may be published as, the best first."""
        return name, f"{message.name}.{name}", f"{self.buses[message.bus_name].name}.{message.name}.{name}"

    def _names_in(self, message: DatabaseMessage) -> Iterator[str]:
        """Every candidate of every signal name in a message, once."""
        for name in {signal.name for signal in message.signals}:
            yield from self._candidates(message, name)

    def _published(self, message: DatabaseMessage, name: str) -> str:
        for candidate in self._candidates(message, name):
            if self.names[candidate] == 1:
                return candidate
        raise self._error(message, f"is there several times, each with a signal {name}")

    # Messages and signals

    def _message(self, source: DatabaseMessage, bus: int) -> Message:
        fd = source.is_fd or source.length > CLASSIC_LENGTH
        signals: list[Signal] = []
        seen: Counter[str] = Counter()
        for signal in source.signals:
            seen[signal.name] += 1
            key = signal.name if seen[signal.name] == 1 else f"{signal.name}#{seen[signal.name]}"
            built = self._signal(source, signal, key)
            if built is not None:
                signals.append(built)
        return Message(
            bus=bus,
            id=source.frame_id,
            name=source.name,
            extended=source.is_extended_frame,
            length=fd_length(source.length) if fd else source.length,
            fd=fd,
            signals=tuple(sorted(signals, key=lambda signal: (signal.name, signal.key))),
        )

    def _signal(self, message: DatabaseMessage, signal: DatabaseSignal, key: str) -> Signal | None:
        """A signal of the plan; None where it is left out."""
        if signal.length > FIELD_LIMIT or (signal.is_float and signal.length not in FLOAT_SIZES):
            kind = "float of " if signal.is_float else ""
            self._warn(message, f"signal {signal.name}: a {kind}{signal.length} bits number is left out")
            return None
        conditions = self._conditions(message, signal)
        if any(not condition.values for condition in conditions):
            self._warn(message, f"signal {signal.name}: no value of its multiplexer selects it; it is left out")
            return None
        states = _states(signal)
        factor, offset = self._scaling(message, signal)
        return Signal(
            name=self._published(message, signal.name),
            key=key,
            field=self._field(message, signal),
            factor=factor,
            offset=offset,
            minimum=float(signal.minimum or 0),
            maximum=float(signal.maximum or 0),
            unit=signal.unit or "",
            states=states,
            decoder=BuiltinDecoder.CHOICE if states else BuiltinDecoder.NUMBER,
            multiplex=conditions,
        )

    def _field(self, message: DatabaseMessage, signal: DatabaseSignal) -> Field:
        big = signal.byte_order == "big_endian"
        raw_type = RawType.UNSIGNED
        if signal.is_float:
            raw_type = RawType.FLOAT
        elif signal.is_signed:
            raw_type = RawType.SIGNED
        try:
            return make_field(
                sawtooth_start(signal.start) if big else signal.start,
                signal.length,
                ByteOrder.BIG if big else ByteOrder.LITTLE,
                raw_type,
                message.length,
            )
        except FieldError as error:
            raise self._error(message, f"signal {signal.name}: {error}") from None

    def _scaling(self, message: DatabaseMessage, signal: DatabaseSignal) -> tuple[Decimal, Decimal]:
        """Factor and offset as decimals: the shortest that give cantools' numbers, which are the file's."""
        factor, offset = (Decimal(repr(number)) for number in (signal.conversion.scale, signal.conversion.offset))
        if factor == 0 or not is_exact(factor) or not is_exact(offset):
            raise self._error(message, f"signal {signal.name}: factor {factor} and offset {offset} are no scaling")
        return factor, offset

    def _conditions(self, message: DatabaseMessage, signal: DatabaseSignal) -> tuple[Multiplex, ...]:
        """What selects a signal, the outermost multiplexer first."""
        conditions: list[Multiplex] = []
        while signal.multiplexer_signal is not None and len(conditions) < _MULTIPLEX_DEPTH_LIMIT:
            selector = message.get_signal_by_name(signal.multiplexer_signal)
            values = frozenset(signal.multiplexer_ids or ())
            conditions.append(Multiplex(self._field(message, selector), values))
            signal = selector
        return tuple(reversed(conditions))

    # Complaints

    def _error(self, message: DatabaseMessage, text: str) -> ProfileError:
        return ProfileError(f"{self.file}: message {message.name}: {text}")

    def _warn(self, message: DatabaseMessage, text: str) -> None:
        self.warnings.append(str(self._error(message, text)))


def _states(signal: DatabaseSignal) -> tuple[State, ...]:
    """The value table, by name; its values are raw."""
    values: dict[str, list[int]] = {}
    for number, name in (signal.conversion.choices or {}).items():
        if number in _STATE_RANGE:
            values.setdefault(str(name), []).append(int(number))
    return tuple(State(name, tuple(numbers)) for name, numbers in values.items())
