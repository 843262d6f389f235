"""One message of a profile and its signals, from checked JSON to the plan.

Must not know how files are merged or what buses exist (json_profile).

Source: the OpenXC firmware configuration; byte_order, signed, float, unit, multiplexer,
frame_format, length and fd are the bridge's own.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from bridge.frames import FD_LENGTHS, STANDARD_ID_MAX
from bridge.profile.errors import did_you_mean, quoted
from bridge.profile.fields import CLASSIC_LENGTH, FieldError, inverted_start, make_field
from bridge.profile.plan import (
    BuiltinDecoder,
    ByteOrder,
    Field,
    Message,
    MessageHandler,
    Multiplex,
    PlanBus,
    RawType,
    Signal,
    State,
)
from bridge.profile.plugins import Kind, UnknownFunction, resolve
from bridge.profile.schema import MULTIPLEXER, SIGNAL, Section, states_of

_MULTIPLEX_DEPTH_LIMIT = 8


def function(section: Section, key: str, kind: Kind) -> Any:
    """The function that a key names.

    Raises:
        ProfileError: there is none.
    """
    return _named_function(section, key, section.text(key), kind)


def _named_function(section: Section, key: str, name: str, kind: Kind) -> Any:
    try:
        return resolve(name, kind)
    except UnknownFunction as error:
        raise section.error(f'"{key}": {error}', key) from None


def extended_of(section: Section, identifier: int) -> bool | None:
    """The frame format of a message: what it says, else extended for long ids, else open."""
    word = section.choice("frame_format", ("standard", "extended"), "")
    if identifier > STANDARD_ID_MAX:
        if word == "standard":
            raise section.error(
                f'"frame_format" is standard, but the id is beyond 0x{STANDARD_ID_MAX:x}', "frame_format"
            )
        return True
    return {"": None, "standard": False, "extended": True}[word]


def build_message(section: Section, identifier: int, bus: PlanBus, inverted: bool, warnings: list[str]) -> Message:
    """A message with its enabled signals.

    Args:
        section: the message; its keys have been checked.
        identifier: its arbitration id.
        bus: where it is found; gives the defaults of raw output.
        inverted: the profile's default numbering.
        warnings: gets what could not be honoured.
    """
    length, fd = _length(section)
    inverted = section.boolean("bit_numbering_inverted", inverted)
    builder = _SignalBuilder(section, length, inverted, warnings)
    return Message(
        bus=bus.number,
        id=identifier,
        name=section.text("name", f"0x{identifier:x}"),
        extended=extended_of(section, identifier),
        length=length,
        fd=fd,
        signals=builder.signals(),
        handlers=_handlers(section, warnings),
        max_frequency=section.number("max_frequency", bus.max_message_frequency, 0),
        force_send_changed=section.boolean("force_send_changed", bus.force_send_changed),
    )


def _length(section: Section) -> tuple[int, bool]:
    """Data bytes, and whether the message is CAN FD: where it says so or is longer than classic CAN."""
    fd = section.boolean("fd", False)
    length = section.integer("length", 0, FD_LENGTHS[-1], FD_LENGTHS[-1] if fd else CLASSIC_LENGTH)
    if length > CLASSIC_LENGTH and section.has("fd") and not fd:
        raise section.error(
            f'"length" is {length}, but without "fd" a frame has up to {CLASSIC_LENGTH} bytes', "length"
        )
    fd = fd or length > CLASSIC_LENGTH
    if fd and length not in FD_LENGTHS:
        raise section.error(f'"length" is {length}; CAN FD has {", ".join(map(str, FD_LENGTHS[8:]))} bytes', "length")
    return length, fd


def _handlers(section: Section, warnings: list[str]) -> tuple[MessageHandler, ...]:
    handlers = [_named_function(section, "handlers", name, Kind.HANDLER) for name in section.texts("handlers")]
    if section.has("handler"):
        warnings.append(section.at('"handler" is deprecated; write "handlers", a list', "handler"))
        handlers.append(function(section, "handler", Kind.HANDLER))
    return tuple(handlers)


class _SignalBuilder:
    """The signals of one message; they see each other where one selects another."""

    def __init__(self, message: Section, length: int, inverted: bool, warnings: list[str]) -> None:
        self.length = length
        self.inverted = inverted
        self.warnings = warnings
        self.max_frequency = message.number("max_signal_frequency", 0.0, 0)
        self.force_send_changed = message.boolean("force_send_changed_signals", False)
        self.sections = dict(message.named("signals", "signal"))

    def signals(self) -> tuple[Signal, ...]:
        """The enabled signals, by published name: the order of their records."""
        built = []
        for key, section in self.sections.items():
            section.check(SIGNAL)
            if section.boolean("enabled", True):
                built.append(self._signal(key, section))
        return tuple(sorted(built, key=lambda signal: signal.name))

    def _signal(self, key: str, section: Section) -> Signal:
        if not key:
            raise section.error("a signal needs a name")
        factor = section.decimal("factor", Decimal(1))
        if factor == 0:
            raise section.error('"factor" must not be 0', "factor")
        states = states_of(section, State)
        return Signal(
            name=section.text("generic_name", key),
            key=key,
            field=self._field(section),
            factor=factor,
            offset=section.decimal("offset", Decimal(0)),
            minimum=section.number("min_value"),
            maximum=section.number("max_value"),
            unit=section.text("unit", "", empty=True),
            states=states,
            decoder=self._decoder(section, states),
            encoder=function(section, "encoder", Kind.ENCODER) if section.has("encoder") else None,
            max_frequency=section.number("max_frequency", self.max_frequency, 0),
            send_same=section.boolean("send_same", True),
            force_send_changed=section.boolean("force_send_changed", self.force_send_changed),
            writable=section.boolean("writable", False),
            multiplex=self._multiplex(key, section),
        )

    def _field(self, section: Section) -> Field:
        """Where the signal lies, in the plan's numbering."""
        size = section.integer("bit_size", 0, 64)
        position = section.integer("bit_position", 0, 8 * FD_LENGTHS[-1] - 1)
        order = ByteOrder(section.choice("byte_order", ("big", "little"), "big"))
        try:
            if order is ByteOrder.BIG and section.boolean("bit_numbering_inverted", self.inverted):
                position = inverted_start(position, size)
            return make_field(position, size, order, _raw_type(section), self.length)
        except FieldError as error:
            raise section.error(f'"bit_position", "bit_size": {error}', "bit_position") from None

    def _decoder(self, section: Section, states: tuple[State, ...]) -> Any:
        named = function(section, "decoder", Kind.DECODER) if section.has("decoder") else None
        if section.boolean("ignore", False):
            return BuiltinDecoder.IGNORE
        if named is None:
            return BuiltinDecoder.STATE if states else BuiltinDecoder.NUMBER
        if named is BuiltinDecoder.STATE and not states:
            self.warnings.append(
                section.at('"decoder" is stateDecoder without "states": nothing is published', "decoder")
            )
        return named

    def _multiplex(self, key: str, section: Section) -> tuple[Multiplex, ...]:
        """The conditions of a signal's presence, from the outermost to its own selector's."""
        conditions: list[Multiplex] = []
        visited = {key}
        while section.has("multiplexer"):
            choice = section.within("multiplexer", section.object("multiplexer"))
            choice.check(MULTIPLEXER)
            selector = choice.text("signal")
            if selector not in self.sections:
                hint = did_you_mean(selector, self.sections)
                raise choice.error(f'"signal": this message has no signal {quoted(selector)}{hint}', "signal")
            if selector in visited or len(visited) > _MULTIPLEX_DEPTH_LIMIT:
                raise choice.error(f'"signal": {quoted(selector)} selects itself', "signal")
            visited.add(selector)
            section = self.sections[selector]
            section.check(SIGNAL)
            selected_by = self._field(section)
            if selected_by.raw_type is RawType.FLOAT:
                raise choice.error(f'"signal": {quoted(selector)} is a float, which selects nothing', "signal")
            conditions.append(Multiplex(selected_by, frozenset(choice.integers("values"))))
        return tuple(reversed(conditions))


def _raw_type(section: Section) -> RawType:
    if section.boolean("float", False):
        return RawType.FLOAT
    return RawType.SIGNED if section.boolean("signed", False) else RawType.UNSIGNED
