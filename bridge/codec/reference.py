"""The meaning of the codec: a batch of frames in, the records of every wanted format out.

Per frame and in this order: message handlers, signals by published name, the raw frame. What a
message's signals say is compiled (`program`); this module owns what changes while the daemon
runs: last values, clocks, passthrough and the acceptance filter. Time is the frames' own, so a
recording gives the same bytes however fast it is played; a clock that steps back ticks.

Source: OpenXC firmware behaviour (send rules, passthrough, acceptance filter), its defects mended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bridge.codec.program import Environment, FrameFunction, clock_period, compile_message
from bridge.codec.records import Records
from bridge.frames import EXTENDED_ID_MAX, STANDARD_ID_MAX, FrameBatch, FrameFlags
from bridge.limits import FAULTS_LIMIT, RAW_IDS_LIMIT
from bridge.openxc import json_format
from bridge.openxc.messages import PayloadFormat, SimpleMessage, Value
from bridge.openxc.protobuf_wire import can_record, simple_record
from bridge.profile.decoding import SignalState
from bridge.profile.plan import BuiltinDecoder, Message, Plan

#: Remote frames have no data and error frames are no frames of the bus: neither becomes a record.
_UNSPOKEN = int(FrameFlags.REMOTE | FrameFlags.ERROR)

# Plain integers: the arithmetic of an IntFlag would cost more than the rest of a frame.
_EXTENDED = int(FrameFlags.EXTENDED)
_FD = int(FrameFlags.FD)
_MARKED = _EXTENDED | _FD

_EXTENDED_KEY = 1 << 31


FrameWatcher = Callable[[bytes], None]
Functions = dict[int, tuple[dict[int, FrameFunction], dict[int, FrameFunction]]]  #: by bus: standard ids, extended ids
_NOTHING: tuple[dict[int, FrameFunction], dict[int, FrameFunction]] = ({}, {})


def frame_key(bus: int, identifier: int, extended: bool) -> int:
    """One integer for a bus, an arbitration id and its format."""
    return bus << 32 | (_EXTENDED_KEY if extended else 0) | identifier


class _RawState:
    """The last raw record of one id, for the rules of raw output."""

    __slots__ = ("data", "ticked")

    def __init__(self, timestamp: float, data: bytes) -> None:
        self.ticked = timestamp
        self.data = data


class Translator:
    """Translates frame batches by a plan. One per daemon; not safe to share between threads."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.formats: frozenset[PayloadFormat] = frozenset()
        self._writes_json = self._writes_protobuf = False
        self.faults: dict[str, int] = {}  #: Python functions of the profile that raised: text -> how often
        self._new_faults: list[str] = []
        self._json: list[str] = []
        self._protobuf: list[bytes] = []
        self._states = self._make_states()
        self._messages = _messages_by_key(plan.messages)
        self._functions: Functions = {}
        self._programs: dict[frozenset[PayloadFormat], Functions] = {}
        self._watchers: dict[int, FrameWatcher] = {}
        self._passthrough = {bus.number for bus in plan.buses if bus.passthrough}
        self._bypass = {bus.number for bus in plan.buses if bus.bypass_filter}
        self._opened: frozenset[int] = frozenset()
        self._raw_states: dict[int, _RawState] = {}
        self._raw_counts: dict[int, int] = {}
        self._raw_rules = _raw_rules(self._messages)
        self._bus_rules = {
            bus.number: (clock_period(bus.max_message_frequency), bus.force_send_changed) for bus in plan.buses
        }
        self.want(frozenset())

    # What changes while the daemon runs

    def want(self, formats: frozenset[PayloadFormat]) -> None:
        """Say in which formats somebody listens; only these are written."""
        if formats not in self._programs:
            self._programs[formats] = self._compile(formats)
        self.formats = formats
        self._writes_json = PayloadFormat.JSON in formats
        self._writes_protobuf = PayloadFormat.PROTOBUF in formats
        self._functions = self._programs[formats]

    def set_passthrough(self, bus: int, enabled: bool) -> None:
        """Publish the raw frames of a bus, or stop."""
        (self._passthrough.add if enabled else self._passthrough.discard)(bus)

    def set_filter_bypass(self, bus: int, bypass: bool) -> None:
        """Let every raw frame of a bus through, or only defined and opened ids."""
        (self._bypass.add if bypass else self._bypass.discard)(bus)

    def open_ids(self, ids: Iterable[tuple[int, int, bool]]) -> None:
        """The (bus, id, extended) that diagnostics listen to: the filter lets them through."""
        self._opened = frozenset(frame_key(*identity) for identity in ids)

    def watch(self, bus: int, identifier: int, watcher: FrameWatcher) -> None:
        """Call `watcher` with the data bytes of every frame of a standard id, whatever the plan says of it."""
        key = frame_key(bus, identifier, False)
        self._watchers[key] = watcher
        for program in self._programs.values():
            _watch_in(program, key, watcher)

    def lookup(self, name: str) -> SignalState | None:
        """The state of a published name; None where the plan has none."""
        return self._states.get(name)

    # The hot path

    def translate(self, batch: FrameBatch) -> Records:
        """The records of a batch, in the wanted formats, in the order of the frames."""
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
            if self._raw_counts.get(bus, 0) < RAW_IDS_LIMIT:
                self._raw_counts[bus] = self._raw_counts.get(bus, 0) + 1
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
                extended = ',"frame_format":"extended"' if flags & _EXTENDED else ""
                fd = ',"fd":true' if flags & _FD else ""
                self._json.append(f'{{"bus":{bus},"id":{identifier},"data":"0x{data.hex()}"{extended}{fd}}}\0')
            else:
                self._json.append(f'{{"bus":{bus},"id":{identifier},"data":"0x{data.hex()}"}}\0')
        if self._writes_protobuf:
            self._protobuf.append(can_record(bus, identifier, data, bool(flags & _EXTENDED)))

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
            publish=self._publish,
            guard=self._guard,
            keep_values=any(map(_runs_python, self.plan.messages)),
        )
        compiled = {id(message): compile_message(message, environment) for message in self.plan.messages}
        functions = {key: compiled[id(message)] for key, message in self._messages.items()}
        by_bus: Functions = {}
        for key, function in functions.items():
            if function is not None:
                of_bus = by_bus.setdefault(key >> 32, ({}, {}))
                of_bus[bool(key & _EXTENDED_KEY)][key & EXTENDED_ID_MAX] = function
        for key, watcher in self._watchers.items():
            _watch_in(by_bus, key, watcher)
        return by_bus

    def _publish(self, name: str, value: Value, event: Value | None) -> None:
        """Write a simple record for a profile's Python function; what no format can say is a fault of its maker."""
        try:
            text = json_format.encode(SimpleMessage(name=name, value=value, event=event)).decode("ascii")
            binary = simple_record(name, value, event)
        except (ValueError, TypeError, AttributeError) as error:  # AttributeError: it is no number, text or boolean
            self._fault(f"{name}: the value cannot be published: {error}")
            return
        if self._writes_json:
            self._json.append(text)
        if self._writes_protobuf:
            self._protobuf.append(binary)

    def _guard(self, function: Callable[..., object], *arguments: object) -> object:
        """Call a Python function of the profile; what it raises is counted, not let through."""
        try:
            return function(*arguments)
        except Exception as error:
            self._fault(f"{getattr(function, '__qualname__', function)} raised {type(error).__name__}: {error}")
            return None

    def take_faults(self) -> list[str]:
        """The new faults since the last call, each text once."""
        taken, self._new_faults = self._new_faults, []
        return taken

    def _fault(self, text: str) -> None:
        if text not in self.faults:
            if len(self.faults) >= FAULTS_LIMIT:
                return
            self._new_faults.append(text)
        self.faults[text] = self.faults.get(text, 0) + 1


def _messages_by_key(messages: Iterable[Message]) -> dict[int, Message]:
    """Messages by frame key. One whose format is open is found by either, unless another claims it."""
    by_key: dict[int, Message] = {}
    open_messages = []
    for message in messages:
        if message.extended is None:
            open_messages.append(message)
        else:
            by_key[frame_key(message.bus, message.id, message.extended)] = message
    for message in open_messages:
        for extended in (False, True):
            if extended or message.id <= STANDARD_ID_MAX:
                by_key.setdefault(frame_key(message.bus, message.id, extended), message)
    return by_key


def _raw_rules(messages: dict[int, Message]) -> dict[int, tuple[float, bool]]:
    return {key: (clock_period(message.max_frequency), message.force_send_changed) for key, message in messages.items()}


def _runs_python(message: Message) -> bool:
    """Whether a message has a function that may look any signal up."""
    return bool(message.handlers) or any(not isinstance(signal.decoder, BuiltinDecoder) for signal in message.signals)


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
