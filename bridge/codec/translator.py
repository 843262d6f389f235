"""What both twins of the translator have in common: settings, signals' states, a profile's own Python code.

A twin (reference, compiled) adds how a batch becomes records. This module must not know bits or texts.

Source: OpenXC firmware behaviour (send rules, passthrough, acceptance filter), its defects mended.
"""

from __future__ import annotations

import abc
import json
import math
from collections.abc import Callable, Iterable
from typing import TypeVar

from bridge.codec.encoding import extract_field
from bridge.codec.numbers import scaling_of
from bridge.codec.records import Records
from bridge.frames import EXTENDED_ID_MAX, STANDARD_ID_MAX, FrameBatch
from bridge.limits import FAULTS_LIMIT
from bridge.openxc import json_format
from bridge.openxc.messages import PayloadFormat, SimpleMessage, Value
from bridge.openxc.protobuf_wire import simple_record
from bridge.profile.decoding import MessageContext, SignalState
from bridge.profile.plan import BuiltinDecoder, Message, Plan, Signal, SignalDecoder

EXTENDED_KEY = 1 << 31

#: Timestamps of recordings and kernels are exact to a microsecond, so a clock forgives one.
CLOCK_GRACE = 1e-6

Result = TypeVar("Result")
FrameWatcher = Callable[[bytes], None]
FrameId = tuple[int, bool]  #: arbitration id, extended


def frame_key(bus: int, identifier: int, extended: bool) -> int:
    """One integer for a bus, an arbitration id and its format."""
    return bus << 32 | (EXTENDED_KEY if extended else 0) | identifier


def clock_period(frequency: float) -> float:
    """Seconds between two ticks of a clock; 0 for a frequency of 0, which is no limit."""
    return 1 / frequency - CLOCK_GRACE if frequency > 0 else 0.0


def json_head(name: str) -> str:
    """The start of a simple message's record, up to its value."""
    return f'{{"name":{json.dumps(name)},"value":'


class Translator(abc.ABC):
    """Translates frame batches by a plan. One per daemon; not safe to share between threads."""

    def __init__(self, plan: Plan, asked: Iterable[str] = ()) -> None:
        """`asked` are the published names whose last values somebody will look up."""
        self.plan = plan
        self.kept = kept_names(plan, asked)
        self.formats: frozenset[PayloadFormat] = frozenset()
        self.wanted_changes = 0  #: how often wanted_ids() may have changed
        self.faults: dict[str, int] = {}  #: Python functions of the profile that raised: text -> how often
        self._new_faults: list[str] = []
        self._messages = _messages_by_key(plan.messages)
        self._watchers: dict[int, FrameWatcher] = {}
        self._passthrough = {bus.number for bus in plan.buses if bus.passthrough}
        self._bypass = {bus.number for bus in plan.buses if bus.bypass_filter}
        self._opened: frozenset[int] = frozenset()
        self._bus_rules = {
            bus.number: (clock_period(bus.max_message_frequency), bus.force_send_changed) for bus in plan.buses
        }

    # What changes while the daemon runs

    @abc.abstractmethod
    def want(self, formats: frozenset[PayloadFormat]) -> None:
        """Say in which formats somebody listens; only these are written."""

    def set_passthrough(self, bus: int, enabled: bool) -> None:
        """Publish the raw frames of a bus, or stop."""
        (self._passthrough.add if enabled else self._passthrough.discard)(bus)
        self.wanted_changes += 1

    def set_filter_bypass(self, bus: int, bypass: bool) -> None:
        """Let every raw frame of a bus through, or only defined and opened ids."""
        (self._bypass.add if bypass else self._bypass.discard)(bus)
        self.wanted_changes += 1

    def open_ids(self, ids: Iterable[tuple[int, int, bool]]) -> None:
        """The (bus, id, extended) that diagnostics listen to: the filter lets them through."""
        opened = frozenset(frame_key(*identity) for identity in ids)
        if opened != self._opened:
            self._opened = opened
            self.wanted_changes += 1

    def watch(self, bus: int, identifier: int, watcher: FrameWatcher) -> None:
        """Call `watcher` with the data bytes of every frame of a standard id, whatever the plan says of it."""
        self._watchers[frame_key(bus, identifier, False)] = watcher
        self.wanted_changes += 1

    def wanted_ids(self, bus: int) -> frozenset[FrameId] | None:
        """The ids of a bus whose frames make a difference; None where all do."""
        raw = bus in self._passthrough
        if raw and bus in self._bypass:
            return None
        keys = {key for key, message in self._messages.items() if raw or message.signals or message.handlers}
        keys.update(self._watchers)
        if raw:
            keys.update(self._opened)
        return frozenset((key & EXTENDED_ID_MAX, bool(key & EXTENDED_KEY)) for key in keys if key >> 32 == bus)

    @abc.abstractmethod
    def lookup(self, name: str) -> SignalState | None:
        """The state of a published name; None where the plan has none."""

    # The hot path

    @abc.abstractmethod
    def translate(self, batch: FrameBatch) -> Records:
        """The records of a batch, in the wanted formats, in the order of the frames.

        Per frame and in this order: message handlers, signals by published name, the raw frame.
        """

    # The profile's own Python code

    @abc.abstractmethod
    def _append(self, text: bytes, binary: bytes) -> None:
        """Write one record, in those of its two forms that are wanted."""

    def _publish(self, name: str, value: Value, event: Value | None) -> None:
        """Write a simple record for a profile's Python function; what no format can say is a fault of its maker."""
        try:
            text = json_format.encode(SimpleMessage(name=name, value=value, event=event))
            binary = simple_record(name, value, event)
        except (ValueError, TypeError, AttributeError) as error:  # AttributeError: it is no number, text or boolean
            self._fault(f"{name}: the value cannot be published: {error}")
            return
        self._append(text, binary)

    def _guard(self, function: Callable[..., Result], *arguments: object) -> Result | None:
        """Call a Python function of the profile; what it raises is counted, not let through."""
        try:
            return function(*arguments)
        except Exception as error:
            self._fault(f"{getattr(function, '__qualname__', function)} raised {type(error).__name__}: {error}")
            return None

    def _decode(self, decoder: SignalDecoder, state: SignalState, value: int | float) -> None:
        """Publish what a decoder makes of a value, where the send rules (state.due) let it out."""
        result = self._guard(decoder, state, value)
        if result is not None and state.due:
            self._publish(state.signal.name, result, None)

    def _handle(self, message: Message, length: int, data: bytes) -> None:
        """Run a message's handlers on a frame, of which `data` are 64 bytes."""
        context = MessageContext(message, data[:length], lambda name: signal_value(message, name, data), self._publish)
        for handler in message.handlers:
            self._guard(handler, context)

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


def kept_names(plan: Plan, asked: Iterable[str]) -> frozenset[str]:
    """The published names whose last values are kept, by all signals of a name: one name is one state.

    Those asked for and those that a signal's send rules compare with, or all where Python may look any up.
    """
    signals = [signal for message in plan.messages for signal in message.signals]
    python = any(map(_runs_python, plan.messages))
    return frozenset(asked).union(signal.name for signal in signals if python or compares(signal))


def compares(signal: Signal) -> bool:
    """Whether a signal's send rules look at the last value of its name."""
    return not signal.send_same or (signal.max_frequency > 0 and signal.force_send_changed)


def _runs_python(message: Message) -> bool:
    """Whether a message has a function that may look any signal up."""
    return bool(message.handlers) or any(not isinstance(signal.decoder, BuiltinDecoder) for signal in message.signals)


def published_value(signal: Signal, value: int | float) -> Value | None:
    """What a signal's kept value is called where it is published; None where it is no number.

    A state that the value is in, a boolean's truth, or else the value itself.
    """
    if not math.isfinite(value):
        return None
    if signal.decoder is BuiltinDecoder.BOOLEAN:
        return bool(value)
    if signal.decoder is BuiltinDecoder.CHOICE:  # whose states name raw numbers
        scaling = scaling_of(signal)
        named = (state.name for state in signal.states if value in map(scaling.value, state.values))
    else:
        named = (state.name for state in signal.states if int(value) in state.values)
    return next(named, value)


def signal_value(message: Message, name: str, data: bytes) -> Value | None:
    """What a signal of a message says in a frame: its state's name, else the number; None if absent or unknown."""
    for signal in message.signals:
        if name in (signal.name, signal.key):
            break
    else:
        return None
    if any(extract_field(condition.selector, data) not in condition.values for condition in signal.multiplex):
        return None
    raw = extract_field(signal.field, data)
    value = scaling_of(signal).value(raw)
    if not signal.states:
        return value
    if signal.decoder is BuiltinDecoder.CHOICE:
        return next((state.name for state in signal.states if raw in state.values), value)
    if not math.isfinite(value):
        return None
    return next((state.name for state in signal.states if int(value) in state.values), None)
