"""The meaning of the codec: a batch of frames in, the records of every wanted format out.

What a message's signals say is compiled (`program`); this module owns what changes while the
daemon runs: last values, clocks, passthrough and the acceptance filter. Time is the frames' own,
so a recording gives the same bytes however fast it is played; a clock that steps back ticks.
"""

from __future__ import annotations

from collections.abc import Iterable

from bridge.codec import translator
from bridge.codec.program import Environment, FrameFunction, compile_message
from bridge.codec.records import Records
from bridge.codec.translator import EXTENDED_KEY, FrameWatcher, clock_period, frame_key
from bridge.frames import EXTENDED, EXTENDED_ID_MAX, FD, FrameBatch, FrameFlags
from bridge.limits import RAW_IDS_LIMIT
from bridge.openxc.messages import PayloadFormat
from bridge.openxc.protobuf_wire import can_record
from bridge.profile.decoding import SignalState
from bridge.profile.plan import Plan

#: Remote frames have no data and error frames are no frames of the bus: neither becomes a record.
_UNSPOKEN = int(FrameFlags.REMOTE | FrameFlags.ERROR)

_MARKED = EXTENDED | FD

Functions = dict[int, tuple[dict[int, FrameFunction], dict[int, FrameFunction]]]  #: by bus: standard ids, extended ids
_NOTHING: tuple[dict[int, FrameFunction], dict[int, FrameFunction]] = ({}, {})


class _RawState:
    """The last raw record of one id, for the rules of raw output."""

    __slots__ = ("data", "ticked")

    def __init__(self, timestamp: float, data: bytes) -> None:
        self.ticked = timestamp
        self.data = data


class Translator(translator.Translator):
    """The twin in Python."""

    def __init__(self, plan: Plan, asked: Iterable[str] = ()) -> None:
        super().__init__(plan, asked)
        self._writes_json = self._writes_protobuf = False
        self._json: list[str] = []
        self._protobuf: list[bytes] = []
        self._states = self._make_states()
        self._functions: Functions = {}
        self._programs: dict[frozenset[PayloadFormat], Functions] = {}
        self._raw_states: dict[int, _RawState] = {}
        self._raw_counts: dict[int, int] = {}  # by bus, of ids that no message defines
        self._raw_rules = {
            key: (clock_period(message.max_frequency), message.force_send_changed)
            for key, message in self._messages.items()
        }
        self.want(frozenset())

    def want(self, formats: frozenset[PayloadFormat]) -> None:
        """See the base class."""
        if formats not in self._programs:
            self._programs[formats] = self._compile(formats)
        self.formats = formats
        self._writes_json = PayloadFormat.JSON in formats
        self._writes_protobuf = PayloadFormat.PROTOBUF in formats
        self._functions = self._programs[formats]

    def watch(self, bus: int, identifier: int, watcher: FrameWatcher) -> None:
        """See the base class."""
        super().watch(bus, identifier, watcher)
        for program in self._programs.values():
            _watch_in(program, frame_key(bus, identifier, False), watcher)

    def lookup(self, name: str) -> SignalState | None:
        """See the base class."""
        return self._states.get(name)

    def translate(self, batch: FrameBatch) -> Records:
        """See the base class."""
        passthrough = self._passthrough
        bus_before = -1
        for timestamp, identifier, bus, flags, length, data in batch.records():
            if bus != bus_before:
                standard, extended = self._functions.get(bus, _NOTHING)
                bus_before = bus
            if flags & _UNSPOKEN:
                continue
            function = (extended if flags & 1 else standard).get(identifier)
            if function is not None:
                function(timestamp, length, data)
            if passthrough and bus in passthrough and self._raw_due(bus, identifier, flags, timestamp, data[:length]):
                self._write_raw(bus, identifier, flags, data[:length])
        return self._take()

    def _take(self) -> Records:
        """What has been written since the last call."""
        text = "".join(self._json).encode("ascii")
        binary = b"".join(self._protobuf)
        count = text.count(b"\0") if self._writes_json else len(self._protobuf)
        self._json.clear()
        self._protobuf.clear()
        return Records(text, binary, count)

    def _raw_due(self, bus: int, identifier: int, flags: int, timestamp: float, data: bytes) -> bool:
        """The rules of raw output: acceptance, then the first sight, the clock or a forced change."""
        key = bus << 32 | (flags & 1) << 31 | identifier  # frame_key(), without the call
        rule = self._raw_rules.get(key)
        if rule is None:
            if bus not in self._bypass and key not in self._opened:
                return False
            rule = self._bus_rules.get(bus, (0.0, True))
        period, force = rule
        if not period:
            return True
        state = self._raw_states.get(key)
        if state is None:
            if key not in self._raw_rules:
                count = self._raw_counts.get(bus, 0)
                if count >= RAW_IDS_LIMIT:
                    return True
                self._raw_counts[bus] = count + 1
            self._raw_states[key] = _RawState(timestamp, data)
            return True
        ticks = not 0 <= timestamp - state.ticked < period
        if ticks:
            state.ticked = timestamp
        changed = data != state.data
        state.data = data
        return ticks or (force and changed)

    def _write_raw(self, bus: int, identifier: int, flags: int, data: bytes) -> None:
        if self._writes_json:
            if flags & _MARKED:
                extended = ',"frame_format":"extended"' if flags & EXTENDED else ""
                fd = ',"fd":true' if flags & FD else ""
                self._json.append(f'{{"bus":{bus},"id":{identifier},"data":"0x{data.hex()}"{extended}{fd}}}\0')
            else:
                self._json.append(f'{{"bus":{bus},"id":{identifier},"data":"0x{data.hex()}"}}\0')
        if self._writes_protobuf:
            self._protobuf.append(can_record(bus, identifier, data, bool(flags & EXTENDED)))

    # Building

    def _make_states(self) -> dict[str, SignalState]:
        states: dict[str, SignalState] = {}
        for message in self.plan.messages:
            for signal in message.signals:
                if signal.name not in states:
                    states[signal.name] = SignalState(signal, self._publish, self.lookup)
        return states

    def _compile(self, formats: frozenset[PayloadFormat]) -> Functions:
        environment = Environment(
            states=self._states,
            formats=formats,
            json=self._json.append,
            protobuf=self._protobuf.append,
            decode=self._decode,
            handle=self._handle,
            kept=self.kept,
        )
        compiled = {id(message): compile_message(message, environment) for message in self.plan.messages}
        functions = {key: compiled[id(message)] for key, message in self._messages.items()}
        by_bus: Functions = {}
        for key, function in functions.items():
            if function is not None:
                of_bus = by_bus.setdefault(key >> 32, ({}, {}))
                of_bus[bool(key & EXTENDED_KEY)][key & EXTENDED_ID_MAX] = function
        for key, watcher in self._watchers.items():
            _watch_in(by_bus, key, watcher)
        return by_bus

    def _append(self, text: bytes, binary: bytes) -> None:
        if self._writes_json:
            self._json.append(text.decode("ascii"))
        if self._writes_protobuf:
            self._protobuf.append(binary)


def _watch_in(functions: Functions, key: int, watcher: FrameWatcher) -> None:
    """Have a watcher called before whatever else a standard id's frames are for."""
    standard, _ = functions.setdefault(key >> 32, ({}, {}))
    identifier = key & EXTENDED_ID_MAX
    function = standard.get(identifier)

    def frame(timestamp: float, length: int, data: bytes) -> None:
        watcher(data[:length])
        if function is not None:
            function(timestamp, length, data)

    standard[identifier] = frame
