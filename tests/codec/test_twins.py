"""Both twins of the translator, side by side on random plans and random frames: the same bytes, the same states.

Set OPENXC_BRIDGE_PAIRS for more (or fewer) pairs of plan and frame than a normal run has.
"""

from __future__ import annotations

import os
import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.codec import reference
from bridge.frames import Frame, FrameBatch, FrameFlags
from bridge.openxc.messages import PayloadFormat
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
)

compiled = pytest.importorskip("bridge.codec.compiled", reason="the C extension is not built", exc_type=ImportError)

FRAMES = 400  #: with each plan
PLANS = max(1, int(os.environ.get("OPENXC_BRIDGE_PAIRS", "100000")) // FRAMES)
IDS = (0, 1, 0x42, 0x7FF, 0x800, 0x1FFFFFFF)
NAMES = ("a", "b", "speed", 'q"\\\u00e9\U0001f600', "x" * 200)
BATCHES = 8


def publishing(state, value):
    """A decoder that does all that a decoder may."""
    other = state.lookup("b")
    if value == 1:
        state.publish("event", "text", True)
    if value == 2:
        raise ValueError("two")
    state.memory = (state.memory or 0) + 1
    return None if other is None else [state.value, other.value, state.memory, other.received][state.memory % 4]


def handler(context):
    context.publish("handled", len(context.data))
    value = context.value("speed")
    if value is not None and value == value and abs(value if not isinstance(value, str) else 0) < 1e300:
        context.publish("seen", value)


decimals = st.one_of(
    st.sampled_from([Decimal(text) for text in ("1", "0.1", "0.25", "0.01", "0.392157", "-1", "0", "1E+3", "1E-9")]),
    st.decimals(-100000, 100000, places=4),
    st.decimals(-10, 10, places=9),
    st.decimals(-10, 10, places=11),
    st.integers(-(2**63), 2**63).map(Decimal),
)
integers = st.one_of(st.integers(-3, 9), st.integers(-(2**64), 2**64))


@st.composite
def fields(draw, kinds=tuple(RawType)):
    raw_type = draw(st.sampled_from(kinds))
    if raw_type is RawType.FLOAT:
        size = draw(st.sampled_from([32, 64]))
    else:
        size = draw(st.one_of(st.integers(0, 12), st.integers(0, 64)))
    start = draw(st.one_of(st.integers(0, max(0, 64 - size)), st.integers(0, 512 - size)))
    return Field(start, size, draw(st.sampled_from(ByteOrder)), raw_type)


@st.composite
def signals(draw):
    return Signal(
        name=draw(st.sampled_from(NAMES)),
        key="key",
        field=draw(fields()),
        factor=draw(decimals),
        offset=draw(st.one_of(st.just(Decimal(0)), decimals)),
        states=tuple(
            State(name, tuple(values))
            for name, values in draw(
                st.dictionaries(st.text(max_size=5), st.lists(integers, max_size=4), max_size=3)
            ).items()
        ),
        decoder=draw(st.one_of(st.sampled_from(BuiltinDecoder), st.just(publishing))),
        max_frequency=draw(st.sampled_from([0.0, 0.0, 1.0, 10.0, 1e-3])),
        send_same=draw(st.booleans()),
        force_send_changed=draw(st.booleans()),
        multiplex=tuple(
            Multiplex(selector, frozenset(values))
            for selector, values in draw(
                st.lists(
                    st.tuples(fields((RawType.UNSIGNED, RawType.SIGNED)), st.lists(integers, min_size=1, max_size=3)),
                    max_size=2,
                )
            )
        ),
    )


@st.composite
def messages(draw):
    identifier = draw(st.sampled_from(IDS))
    extended = draw(st.sampled_from([None, True, False]))
    return Message(
        bus=draw(st.integers(1, 2)),
        id=identifier,
        name="message",
        extended=True if identifier > 0x7FF else extended,
        signals=tuple(draw(st.lists(signals(), max_size=5))),
        handlers=draw(st.sampled_from([(), (), (handler,)])),
        max_frequency=draw(st.sampled_from([0.0, 1.0])),
        force_send_changed=draw(st.booleans()),
    )


@st.composite
def plans(draw):
    buses = tuple(
        PlanBus(
            number,
            "bus",
            passthrough=draw(st.booleans()),
            bypass_filter=draw(st.booleans()),
            max_message_frequency=draw(st.sampled_from([0.0, 1.0])),
            force_send_changed=draw(st.booleans()),
        )
        for number in (1, 2)
    )
    found = draw(st.lists(messages(), max_size=4, unique_by=lambda one: (one.bus, one.id, one.extended)))
    return Plan(buses=buses, messages=tuple(found))


def random_frames(source: random.Random, count: int, began: float) -> list[Frame]:
    """Frames of few ids and few values, so that rules about changes have something to do."""
    frames = []
    for number in range(count):
        identifier = source.choice(IDS)
        length = source.choice((0, 1, 7, 8, 8, 8, 64))
        fill = source.choice((b"\0", b"\xff", b"\x01", bytes((source.randrange(256),))))
        data = source.randbytes(length) if source.random() < 0.6 else fill * length
        frames.append(
            Frame(
                id=identifier,
                data=data,
                bus=source.choice((1, 1, 2, 3)),
                extended=identifier > 0x7FF or source.random() < 0.2,
                fd=length > 8,
                timestamp=began + number * source.choice((0.0, 0.01, 0.1)) - (source.random() < 0.02) * 5,
                flags=source.choice((FrameFlags.NONE,) * 20 + (FrameFlags.REMOTE, FrameFlags.ERROR, FrameFlags.OWN)),
            )
        )
    return frames


@settings(max_examples=PLANS)
@given(plan=plans(), seed=st.integers(0, 2**32))
def test_twins_say_the_same(plan, seed):
    source = random.Random(seed)
    asked = source.sample(NAMES, source.randrange(3))
    twins = [reference.Translator(plan, asked), compiled.Translator(plan, asked)]
    watched: list[list[bytes]] = [[], []]
    if source.random() < 0.3:
        for twin, seen in zip(twins, watched, strict=True):
            twin.watch(1, 0x42, seen.append)
    for number in range(BATCHES):
        formats = frozenset(source.sample(list(PayloadFormat), source.randrange(3)))
        bus, enabled = source.randrange(1, 4), source.random() < 0.5
        change = source.randrange(4)
        opened = {
            (source.randrange(1, 4), source.choice(IDS), source.random() < 0.5) for _ in range(source.randrange(3))
        }
        batch = FrameBatch.of(random_frames(source, FRAMES // BATCHES, number * 3.0))
        said = []
        for twin in twins:
            twin.want(formats)
            if change == 0:
                twin.set_passthrough(bus, enabled)
            elif change == 1:
                twin.set_filter_bypass(bus, enabled)
            elif change == 2:
                twin.open_ids(opened)
            said.append(twin.translate(batch))
        assert said[0] == said[1]
        assert twins[0].wanted_ids(bus) == twins[1].wanted_ids(bus)
    assert twins[0].faults == twins[1].faults
    assert watched[0] == watched[1]
    for name in NAMES:
        known = [twin.lookup(name) for twin in twins]
        assert (known[0] is None) == (known[1] is None)
        if known[0] is not None:
            assert [(repr(one.value), one.received) for one in known[:1]] == [
                (repr(one.value), one.received) for one in known[1:]
            ]
