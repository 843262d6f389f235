"""A plan for people: its buses, messages and signals as text. Must not know where the plan is from."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.frames import STANDARD_ID_MAX
from bridge.openxc.messages import DecodedType
from bridge.profile.decoders import name_of
from bridge.profile.errors import printable
from bridge.profile.plan import BuiltinDecoder, ByteOrder, Message, Plan, PlanBus, RawType, RecurringRequest, Signal

_STATES_SHOWN = 12


def describe(plan: Plan) -> str:
    """The plan, one line for each bus, message, signal, command and request, without a last newline."""
    return "\n".join(printable(line) for line in _lines(plan))


def summary(plan: Plan) -> str:
    """The plan in a few words: `demo: 2 buses, 12 messages, 40 signals`."""
    counts = [
        (len(plan.buses), "bus", "buses"),
        (len(plan.messages), "message", "messages"),
        (sum(len(message.signals) for message in plan.messages), "signal", "signals"),
        (len(plan.commands), "command", "commands"),
        (len(plan.diagnostics), "diagnostic request", "diagnostic requests"),
    ]
    words = [
        f"{count} {one if count == 1 else many}" for count, one, many in counts if count or one in ("bus", "message")
    ]
    return printable(f"{plan.name}: {', '.join(words)}")


def _lines(plan: Plan) -> Iterator[str]:
    yield summary(plan)
    if plan.predefined_obd2:
        yield "the predefined OBD-II requests are on"
    for bus in plan.buses:
        yield ""
        yield f"bus {bus.number}: {_bus(bus)}"
        for message in plan.messages:
            if message.bus == bus.number:
                yield f"  {_message(message)}"
                yield from (f"    {_signal(signal)}" for signal in message.signals)
        for request in plan.diagnostics:
            if request.request.bus == bus.number:
                yield f"  diagnostic request {_request(request)}"
    if plan.commands:
        yield ""
        yield from (f"command {command.name}: {name_of(command.handler)}" for command in plan.commands)


def _bus(bus: PlanBus) -> str:
    words = [bus.name]
    if bus.speed is not None:
        words.append(f"{bus.speed} bit/s")
    words.append(
        {True: "raw_writable", False: "not raw_writable", None: "raw writing as the listener grants"}[bus.raw_writable]
    )
    if bus.passthrough:
        words.append("raw frames" if bus.bypass_filter else "raw frames of known ids")
    if bus.max_message_frequency:
        words.append(f"raw frames at {bus.max_message_frequency:g} Hz at most")
    if bus.loopback:
        words.append("loopback")
    return ", ".join(words)


def _message(message: Message) -> str:
    words = [f"0x{message.id:x} {message.name}" if message.name != f"0x{message.id:x}" else message.name]
    if message.extended and message.id <= STANDARD_ID_MAX:
        words.append("extended")
    if message.fd:
        words.append("CAN FD")
    if message.length != 8:
        words.append(f"{message.length} bytes")
    if message.max_frequency:
        words.append(f"raw at {message.max_frequency:g} Hz at most")
    words.extend(name_of(handler) for handler in message.handlers)
    return ", ".join(words)


def _signal(signal: Signal) -> str:
    name = signal.name if signal.key in signal.name else f"{signal.name} ({signal.key})"
    if signal.unit:
        name += f" in {signal.unit}"
    words = [_position(signal)]
    if signal.factor != 1 or signal.offset:
        words.append(f"x {signal.factor}" + (f" {signal.offset:+}" if signal.offset else ""))
    if signal.minimum or signal.maximum:
        words.append(f"{signal.minimum:g} to {signal.maximum:g}")
    if signal.decoder not in (BuiltinDecoder.NUMBER, BuiltinDecoder.STATE, BuiltinDecoder.CHOICE):
        words.append(name_of(signal.decoder))
    words.extend(_rules(signal))
    if signal.multiplex:
        values = ", ".join(map(str, sorted(signal.multiplex[-1].values)[:_STATES_SHOWN]))
        words.append(f"where its multiplexer is {values}")
    return f"{name}: {', '.join(words)}{_states(signal)}"


def _position(signal: Signal) -> str:
    field = signal.field
    kind = {RawType.UNSIGNED: "", RawType.SIGNED: " signed", RawType.FLOAT: " float"}[field.raw_type]
    order = " little-endian" if field.byte_order is ByteOrder.LITTLE else ""
    return f"bit {field.start}, {field.size}{kind}{order} bit" + ("s" if field.size != 1 else "")


def _rules(signal: Signal) -> Iterator[str]:
    if signal.max_frequency:
        yield f"at {signal.max_frequency:g} Hz at most" + (" and on change" if signal.force_send_changed else "")
    if not signal.send_same:
        yield "only changes"
    if signal.writable:
        yield "writable"


def _states(signal: Signal) -> str:
    if not signal.states:
        return ""
    shown = [f"{state.name} {'/'.join(map(str, state.values))}" for state in signal.states[:_STATES_SHOWN]]
    if len(signal.states) > _STATES_SHOWN:
        shown.append(f"and {len(signal.states) - _STATES_SHOWN} more")
    return f"; {', '.join(shown)}"


def _request(recurring: RecurringRequest) -> str:
    request = recurring.request
    words = [f"0x{request.id:x} mode 0x{request.mode:x}"]
    if request.pid is not None:
        words.append(f"pid 0x{request.pid:x}")
    words.append(f"{request.frequency:g} Hz")
    if request.name:
        words.append(f"published as {request.name}")
    if recurring.decoder is not None:
        words.append(name_of(recurring.decoder))
    elif request.decoded_type is DecodedType.OBD2:
        words.append("OBD-II")
    return ", ".join(words)
