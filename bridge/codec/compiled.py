"""The translator's twin in C: packs a plan into the tables that bridge/codec/_codec.c runs.

The layouts here are those of the structs there (Field, Named, Condition, Signal, Message, Key, State,
Bus). The last two are bytearrays: what changes while the daemon runs, for both to read and to write.
What a profile says in Python stays in Python: the program calls it, by number, for the signals and
messages that name it and for no others.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable

from bridge.codec import translator
from bridge.codec._codec import Program
from bridge.codec.numbers import Scaling, raw_range, scaling_of
from bridge.codec.records import Records
from bridge.codec.translator import FrameWatcher, clock_period, frame_key, json_head
from bridge.frames import FrameBatch
from bridge.limits import RAW_IDS_LIMIT
from bridge.openxc.messages import PayloadFormat
from bridge.openxc.protobuf_wire import simple_boolean, simple_number, simple_prefix, simple_string
from bridge.profile.decoding import SignalState
from bridge.profile.plan import BuiltinDecoder, ByteOrder, Field, Message, Plan, RawType, Signal, SignalDecoder

_FORMATS = {PayloadFormat.JSON: 1, PayloadFormat.PROTOBUF: 2}
_KINDS = {
    BuiltinDecoder.NUMBER: 0,
    BuiltinDecoder.BOOLEAN: 1,
    BuiltinDecoder.STATE: 2,
    BuiltinDecoder.IGNORE: 2,  # whose states have no records
    BuiltinDecoder.CHOICE: 3,
}
_FUNCTION = 4
_RAW_TYPES = {RawType.UNSIGNED: 0, RawType.SIGNED: 1, RawType.FLOAT: 2}
_CLOCK, _SEND_SAME, _FORCE, _KEEP = 1, 2, 4, 8  # rules

_FIELD = struct.Struct("=QQHBBBBBx")
_NAMED = struct.Struct("=qIIII")
_CONDITION = struct.Struct("=24sII")
_SIGNAL = struct.Struct("=24sQQddd6I4IIiBBBBBB2x")
_MESSAGE = struct.Struct("=dIiII")
_KEY = struct.Struct("=QII")
_NUMBER = struct.Struct("=dq?7x")
_STATE = struct.Struct("=dq?7xd?7x")
_RECEIVED = 32  # where a state has it
_BUS = struct.Struct("=d???xI")
_BUS_SETTINGS = struct.Struct("=d???")  # of its row, the rest is the program's own

_BUSES = 256
_SLACK = 16  # bytes behind the arena's last that the program may read

_NOBODY = -1
_WORD = 64  #: bits that the program reads at once
_MASK = (1 << 64) - 1
_INT64 = range(-(1 << 63), 1 << 63)
_DOUBLE_SIZE = 8

Function = Callable[..., None]


class _State(SignalState):
    """A state whose value lies in the program's table."""

    __slots__ = ("_row",)

    def __init__(self, row: memoryview, signal: Signal, owner: Translator) -> None:
        self._row = row
        kept = bytes(row)  # by frames before anybody asked
        super().__init__(signal, owner._publish, owner.lookup)
        row[:] = kept

    @property
    def value(self) -> int | float:
        number: tuple[float, int, bool] = _NUMBER.unpack_from(self._row)
        real, integer, integral = number
        return integer if integral else real

    @value.setter
    def value(self, value: int | float) -> None:
        integral = isinstance(value, int)
        self._row[: _NUMBER.size] = _NUMBER.pack(value, value if integral else 0, integral)

    @property
    def received(self) -> bool:
        return bool(self._row[_RECEIVED])

    @received.setter
    def received(self, received: bool) -> None:
        self._row[_RECEIVED] = received


class Translator(translator.Translator):
    """The twin in C."""

    def __init__(self, plan: Plan, asked: Iterable[str] = ()) -> None:
        super().__init__(plan, asked)
        self.slots: dict[str, int] = {}  #: of the published names' states
        self._first: list[Signal] = []
        for message in plan.messages:
            for signal in message.signals:
                if signal.name not in self.slots:
                    self.slots[signal.name] = len(self._first)
                    self._first.append(signal)
        self._states: dict[str, _State] = {}
        self.functions: list[Function] = []  #: what the program calls, by number
        self.state_rows = bytearray(_STATE.pack(0, 0, True, float("-inf"), False) * len(self.slots))
        self.bus_rows = bytearray(_BUSES * _BUS.size)
        self._wanted = 0
        self._opened_rows = b""
        self._program = _Packer(self).pack()
        for bus in self._bus_rules:
            self._bus_changed(bus)

    def want(self, formats: frozenset[PayloadFormat]) -> None:
        """See the base class."""
        self.formats = formats
        self._wanted = sum(_FORMATS[payload_format] for payload_format in formats)

    def set_passthrough(self, bus: int, enabled: bool) -> None:
        """See the base class."""
        super().set_passthrough(bus, enabled)
        self._bus_changed(bus)

    def set_filter_bypass(self, bus: int, bypass: bool) -> None:
        """See the base class."""
        super().set_filter_bypass(bus, bypass)
        self._bus_changed(bus)

    def _bus_changed(self, bus: int) -> None:
        period, force = self._bus_rules.get(bus, (0.0, True))
        _BUS_SETTINGS.pack_into(
            self.bus_rows, bus * _BUS.size, period, force, bus in self._passthrough, bus in self._bypass
        )

    def open_ids(self, ids: Iterable[tuple[int, int, bool]]) -> None:
        """See the base class."""
        before = self._opened
        super().open_ids(ids)
        if self._opened != before:
            self._opened_rows = b"".join(_NAMED.pack(key, 0, 0, 0, 0) for key in sorted(self._opened))

    def watch(self, bus: int, identifier: int, watcher: FrameWatcher) -> None:
        """See the base class."""
        super().watch(bus, identifier, watcher)
        self.functions.append(lambda data, length: watcher(data[:length]))
        self._program.watch(frame_key(bus, identifier, False), len(self.functions) - 1)

    def lookup(self, name: str) -> SignalState | None:
        """See the base class."""
        return self._state(name) if name in self.slots else None

    def _state(self, name: str) -> _State:
        if name not in self._states:
            slot = self.slots[name]
            start = slot * _STATE.size
            row = memoryview(self.state_rows)[start : start + _STATE.size]
            self._states[name] = _State(row, self._first[slot], self)
        return self._states[name]

    def translate(self, batch: FrameBatch) -> Records:
        """See the base class."""
        return Records(*self._program.translate(batch.buffer, self.functions, self._wanted, self._opened_rows))

    def decode(self, name: str, decoder: SignalDecoder, value: int | float, due: bool) -> None:
        """Call a signal's decoder on a frame's value, for the program."""
        state = self._state(name)
        state.due = due
        self._decode(decoder, state, value)

    def _append(self, text: bytes, binary: bytes) -> None:
        if self.formats:
            json_wanted, protobuf_wanted = (wanted in self.formats for wanted in _FORMATS)
            self._program.append(text if json_wanted else b"", binary if protobuf_wanted else b"")


class _Packer:
    """Writes the tables of a plan."""

    def __init__(self, owner: Translator) -> None:
        self._owner = owner
        self._arena = bytearray()
        self._named: list[bytes] = []
        self._conditions: list[bytes] = []
        self._signals: list[bytes] = []
        self._messages: list[bytes] = []

    def pack(self) -> Program:
        owner = self._owner
        numbers: dict[int, int] = {}
        for number, message in enumerate(owner.plan.messages):
            numbers[id(message)] = number
            self._add_message(message)
        keys = b"".join(_KEY.pack(key, numbers[id(message)], 1) for key, message in owner._messages.items())
        return Program(
            b"".join(self._messages),
            b"".join(self._signals),
            b"".join(self._named),
            b"".join(self._conditions),
            keys,
            bytes(self._arena) + bytes(_SLACK),
            owner.state_rows,
            owner.bus_rows,
            RAW_IDS_LIMIT,
        )

    def _add_message(self, message: Message) -> None:
        owner = self._owner
        handler = _NOBODY
        if message.handlers:
            handler = self._add_function(lambda data, length: owner._handle(message, length, data))
        start = len(self._signals)
        for signal in message.signals:
            self._add_signal(signal)
        period = clock_period(message.max_frequency)
        self._messages.append(_MESSAGE.pack(period, message.force_send_changed, handler, start, len(message.signals)))

    def _add_function(self, function: Function) -> int:
        self._owner.functions.append(function)
        return len(self._owner.functions) - 1

    def _span(self, data: bytes) -> tuple[int, int]:
        start = len(self._arena)
        self._arena += data
        return start, len(data)

    def _add_signal(self, signal: Signal) -> None:
        scaling = scaling_of(signal)
        exact, decoder = scaling.exact, signal.decoder
        if isinstance(decoder, BuiltinDecoder):
            kind, function = _KINDS[decoder], _NOBODY
        else:
            kind, function = _FUNCTION, self._add_function(self._decode(signal, decoder))
        rules = self._rules(signal)
        conditions = self._add_conditions(signal)
        self._signals.append(
            _SIGNAL.pack(
                _field(signal.field),
                scaling.multiplier & _MASK if exact and signal.field.size else 0,
                scaling.addend & _MASK if exact else 0,
                scaling.factor,
                scaling.offset,
                clock_period(signal.max_frequency),
                *self._heads(signal.name),
                *self._add_named(_named_records(signal)),
                *conditions,
                self._owner.slots[signal.name],
                function,
                kind,
                rules,
                scaling.decimals if exact else 0,
                exact,
                exact and decoder is BuiltinDecoder.NUMBER and rules == _SEND_SAME and not signal.multiplex,
                _width(signal, scaling) if exact else 0,
            )
        )

    def _heads(self, name: str) -> tuple[int, ...]:
        """Where the beginning of a signal's records lies, in either format, and protobuf's whole record of a zero."""
        prefix = simple_prefix(name)
        return (
            *self._span(json_head(name).encode("ascii")),
            *self._span(simple_number(prefix, 1.0)[:-_DOUBLE_SIZE]),
            *self._span(simple_number(prefix, 0.0)),
        )

    def _add_named(self, records: dict[int, tuple[bytes, bytes]]) -> tuple[int, int]:
        start = len(self._named)
        for value, (text, binary) in sorted(records.items()):
            self._named.append(_NAMED.pack(value, *self._span(text), *self._span(binary)))
        return start, len(records)

    def _add_conditions(self, signal: Signal) -> tuple[int, int]:
        start = len(self._conditions)
        for condition in signal.multiplex:
            values = _table_keys(condition.selector, condition.values)
            place = self._add_named(dict.fromkeys(values.values(), (b"", b"")))
            self._conditions.append(_CONDITION.pack(_field(condition.selector), *place))
        return start, len(signal.multiplex)

    def _rules(self, signal: Signal) -> int:
        clocked = signal.max_frequency > 0
        keeps = signal.name in self._owner.kept
        return _CLOCK * clocked | _SEND_SAME * signal.send_same | _FORCE * signal.force_send_changed | _KEEP * keeps

    def _decode(self, signal: Signal, decoder: SignalDecoder) -> Function:
        """What the program calls for a signal with a decoder in Python."""
        owner = self._owner

        def decode(value: int | float, due: bool) -> None:
            owner.decode(signal.name, decoder, value, due)

        return decode


def _field(field: Field) -> bytes:
    near = field.start + field.size <= _WORD or not field.size
    shift = 0
    if near and field.size:
        shift = _WORD - field.start - field.size if field.byte_order is ByteOrder.BIG else field.start
    signed = field.raw_type is RawType.SIGNED and field.size > 0
    return _FIELD.pack(
        (1 << field.size) - 1,
        1 << (field.size - 1) if signed else 0,
        field.start,
        field.size,
        shift,
        _RAW_TYPES[field.raw_type],
        field.byte_order is ByteOrder.BIG,
        near,
    )


def _width(signal: Signal, scaling: Scaling) -> int:
    """How many digits an exact number has before its point at most: 0 for three, 1 for six, 2 for any."""
    longest: int = max(abs(raw * scaling.multiplier + scaling.addend) for raw in raw_range(signal.field))
    whole: int = longest // 10**scaling.decimals
    return (whole >= 10**3) + (whole >= 10**6)


def _table_keys(field: Field, values: Iterable[int]) -> dict[int, int]:
    """The raw numbers among `values` that a field can hold, each with its bits as a signed integer."""
    if field.raw_type is RawType.FLOAT:
        return {value: value for value in values if value in _INT64}
    low, high = raw_range(field)
    return {value: value if value in _INT64 else value - (1 << 64) for value in values if low <= value <= high}


def _named_records(signal: Signal) -> dict[int, tuple[bytes, bytes]]:
    """A signal's ready records by the value that they stand for; of several states with one value the first wins."""
    head, prefix = json_head(signal.name), simple_prefix(signal.name)
    if signal.decoder is BuiltinDecoder.BOOLEAN:
        return {
            truth: (f"{head}{json.dumps(truth)}}}\0".encode("ascii"), simple_boolean(prefix, truth))
            for truth in (False, True)
        }
    if signal.decoder not in (BuiltinDecoder.STATE, BuiltinDecoder.CHOICE):
        return {}
    records: dict[int, tuple[bytes, bytes]] = {}
    for state in signal.states:
        record = f"{head}{json.dumps(state.name)}}}\0".encode("ascii"), simple_string(prefix, state.name)
        if signal.decoder is BuiltinDecoder.CHOICE:
            keys: Iterable[int] = _table_keys(signal.field, state.values).values()
        else:
            keys = (value for value in state.values if value in _INT64)
        for key in keys:
            records.setdefault(key, record)
    return records
