"""The plan of a database, written as a firmware profile that loads to the same plan.

Must not know databases, files or what a plan is used for. Functions, commands and diagnostic
requests are not written: no database has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from bridge.frames import STANDARD_ID_MAX
from bridge.profile import decoders
from bridge.profile.errors import ProfileError, quoted
from bridge.profile.plan import BuiltinDecoder, ByteOrder, Message, Multiplex, Plan, PlanBus, RawType, Signal

DEFAULT_SPEED = 500_000  #: bit/s, of buses whose database says nothing
_LINE_LIMIT = 120


def as_profile(plan: Plan, name: str | None = None, speed: int | None = None) -> Plan:
    """The plan of a database as a firmware profile can say it.

    A profile's bus has a speed, is not raw_writable unless it says so, and takes part in raw output
    only where it says so.

    Args:
        plan: the plan of a database.
        name: another name for it.
        speed: bit/s of every bus; None leaves the database's, or DEFAULT_SPEED.
    """
    buses = tuple(
        replace(bus, speed=speed or bus.speed or DEFAULT_SPEED, raw_writable=False, bypass_filter=bus.passthrough)
        for bus in plan.buses
    )
    return replace(plan, name=name or plan.name, buses=buses)


def profile_text(plan: Plan) -> str:
    """The JSON of a plan that as_profile has made; loading it gives an equal plan.

    Raises:
        ProfileError: the plan has something that only a hand-written profile says.
    """
    if plan.commands or plan.diagnostics or any(message.handlers for message in plan.messages):
        raise ProfileError(f"{plan.name}: only the plan of a database can be written as a profile")
    buses = {bus.number: bus for bus in plan.buses}
    document = {
        "name": plan.name,
        "buses": {bus.name: _bus(bus) for bus in plan.buses},
        "messages": _messages(plan.messages, buses),
    }
    return _text(document) + "\n"


def _bus(bus: PlanBus) -> dict[str, Any]:
    mode = "off" if not bus.passthrough else "unfiltered" if bus.bypass_filter else "filtered"
    written = {
        "controller": bus.number,
        "speed": bus.speed,
        "raw_can_mode": mode,
        "raw_writable": bus.raw_writable or False,
        "max_message_frequency": bus.max_message_frequency,
        "force_send_changed": bus.force_send_changed,
        "loopback": bus.loopback,
    }
    return _without(
        written, {"raw_can_mode": "off", "max_message_frequency": 0, "force_send_changed": True, "loopback": False}
    )


def _messages(messages: tuple[Message, ...], buses: Mapping[int, PlanBus]) -> dict[str, Any]:
    """Messages by id; one id in several formats or on several buses is written in several ways."""
    written: dict[str, Any] = {}
    for message in messages:
        digits = 8 if message.extended else 3
        key = f"0x{message.id:0{digits}x}"
        while key in written:
            digits += 1
            key = f"0x{message.id:0{digits}x}"
        written[key] = _message(message, buses[message.bus])
    return written


def _message(message: Message, bus: PlanBus) -> dict[str, Any]:
    written: dict[str, Any] = {"bus": bus.name, "name": message.name}
    if message.id <= STANDARD_ID_MAX and message.extended is not None:
        written["frame_format"] = "extended" if message.extended else "standard"
    if message.fd or message.length != 8:
        written["length"] = message.length
    if message.fd:
        written["fd"] = True
    if message.max_frequency != bus.max_message_frequency:
        written["max_frequency"] = message.max_frequency
    if message.force_send_changed != bus.force_send_changed:
        written["force_send_changed"] = message.force_send_changed
    written["signals"] = {signal.key: _signal(signal, message) for signal in message.signals}
    return written


def _signal(signal: Signal, message: Message) -> dict[str, Any]:
    field = signal.field
    written: dict[str, Any] = {} if signal.name == signal.key else {"generic_name": signal.name}
    written |= {"bit_position": field.start, "bit_size": field.size}
    written |= _without(
        {
            "byte_order": field.byte_order.value,
            "signed": field.raw_type is RawType.SIGNED,
            "float": field.raw_type is RawType.FLOAT,
            "factor": signal.factor,
            "offset": signal.offset,
            "min_value": signal.minimum,
            "max_value": signal.maximum,
            "unit": signal.unit,
            "max_frequency": signal.max_frequency,
            "send_same": signal.send_same,
            "force_send_changed": signal.force_send_changed,
            "writable": signal.writable,
        },
        {
            "byte_order": ByteOrder.BIG.value,
            "signed": False,
            "float": False,
            "factor": 1,
            "offset": 0,
            "min_value": 0,
            "max_value": 0,
            "unit": "",
            "max_frequency": 0,
            "send_same": True,
            "force_send_changed": False,
            "writable": False,
        },
    )
    if signal.multiplex:
        condition = signal.multiplex[-1]
        written["multiplexer"] = {"signal": _selector(signal, message), "values": sorted(condition.values)}
    if signal.states:
        written["states"] = {state.name: list(state.values) for state in signal.states}
    if signal.decoder is not (BuiltinDecoder.STATE if signal.states else BuiltinDecoder.NUMBER):
        written["decoder"] = decoders.name_of(signal.decoder)
    return written


def _selector(signal: Signal, message: Message) -> str:
    """The key of the signal that selects another."""
    wanted: tuple[Multiplex, ...] = signal.multiplex[:-1]
    for other in message.signals:
        if other.field == signal.multiplex[-1].selector and other.multiplex == wanted:
            return other.key
    raise ProfileError(f"message {message.name}: no signal selects {quoted(signal.key)}")


def _without(written: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in written.items() if key not in defaults or value != defaults[key]}


# Text


def _text(value: Any, depth: int = 0) -> str:
    """JSON with numbers as they are, one line for an object that fits in one."""
    if isinstance(value, dict) and value:
        parts = [f"{json.dumps(key)}: {_text(item, depth + 1)}" for key, item in value.items()]
        line = "{" + ", ".join(parts) + "}"
        if depth > 1 and "\n" not in line and len(line) + 4 * depth <= _LINE_LIMIT:
            return line
        indent = "\n" + "    " * (depth + 1)
        return "{" + indent + f",{indent}".join(parts) + "\n" + "    " * depth + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_text(item, depth) for item in value) + "]"
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value)
