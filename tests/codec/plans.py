"""Small plans for the codec's tests."""

from decimal import Decimal

from bridge.frames import Frame, FrameBatch
from bridge.openxc.messages import PayloadFormat
from bridge.profile.plan import Field, Message, Plan, PlanBus, Signal, State

JSON = frozenset({PayloadFormat.JSON})
PROTOBUF = frozenset({PayloadFormat.PROTOBUF})
BOTH = JSON | PROTOBUF


def signal(name="test", start=0, size=8, factor="1", offset="0", states=None, **options) -> Signal:
    return Signal(
        name=name,
        key=options.pop("key", name),
        field=options.pop("field", None) or Field(start, size),
        factor=Decimal(factor),
        offset=Decimal(offset),
        states=tuple(State(state, tuple(values)) for state, values in (states or {}).items()),
        **options,
    )


def plan(*signals: Signal, bus: PlanBus | None = None, **message) -> Plan:
    ordered = tuple(sorted(signals, key=lambda one: one.name))
    return Plan(
        buses=(bus or PlanBus(1, "hs"),),
        messages=(Message(bus=1, id=message.pop("id", 0x42), name="message", signals=ordered, **message),),
    )


def frame(data: str, t: float = 0.0, id: int = 0x42, **options) -> Frame:
    return Frame(id=id, data=bytes.fromhex(data), timestamp=t, **options)


def batch(*frames: Frame) -> FrameBatch:
    return FrameBatch.of(frames)
