import json
from decimal import Decimal
from pathlib import PurePath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.profile.database import build_plan as plan_of_database
from bridge.profile.errors import ProfileError
from bridge.profile.json_profile import build_plan
from bridge.profile.json_writer import as_profile, profile_text
from bridge.profile.loading import load
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


def reloaded(plan):
    text = profile_text(plan)
    return build_plan(PurePath("x.json"), lambda path: text)


def test_a_real_cars_database(honda):
    plan = as_profile(plan_of_database(honda.read_text(), honda), "accord", 250000)
    again = reloaded(plan)
    assert again == plan
    assert (again.name, again.buses[0].speed, again.warnings) == ("accord", 250000, ())
    assert again.messages == plan_of_database(honda.read_text(), honda).messages


def test_speed_of_the_database_or_the_default():
    plan = Plan(buses=(PlanBus(1, "a", speed=125000, bypass_filter=True), PlanBus(2, "b", bypass_filter=True)))
    assert as_profile(plan).buses == (
        PlanBus(1, "a", speed=125000, raw_writable=False),
        PlanBus(2, "b", speed=500000, raw_writable=False),
    )


def test_only_databases_are_written():
    with pytest.raises(ProfileError, match="only the plan of a database"):
        profile_text(load("functional"))


def test_text_is_for_people():
    signal = Signal(
        "s", "s", Field(0, 8), factor=Decimal("0.010"), states=(State("on", (1, 2)),), decoder=BuiltinDecoder.STATE
    )
    plan = Plan("x", (PlanBus(1, "hs", 500000, raw_writable=False),), (Message(1, 5, "m", signals=(signal,)),))
    text = profile_text(plan)
    assert '"s": {"bit_position": 0, "bit_size": 8, "factor": 0.010, "states": {"on": [1, 2]}}' in text
    assert text.endswith("}\n")
    assert json.loads(text)["buses"] == {"hs": {"controller": 1, "speed": 500000, "raw_writable": False}}
    assert max(map(len, text.splitlines())) <= 120


names = st.text(min_size=1, max_size=8)
decimals = st.decimals("-1e6", "1e6", allow_nan=False).filter(lambda number: abs(number.adjusted()) < 30)
floats = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def _fields(draw, raw_types=tuple(RawType)):
    raw_type = draw(st.sampled_from(raw_types))
    size = 32 if raw_type is RawType.FLOAT else draw(st.integers(0, 64))
    return Field(draw(st.integers(0, 512 - size)) % 512, size, draw(st.sampled_from(ByteOrder)), raw_type)


@st.composite
def _signals(draw, key, selector=None):
    field = draw(_fields() if selector else _fields((RawType.UNSIGNED, RawType.SIGNED)))
    table = draw(
        st.dictionaries(names, st.lists(st.integers(-(1 << 63), (1 << 64) - 1), min_size=1, unique=True), max_size=3)
    )
    states = tuple(State(name, tuple(values)) for name, values in table.items())
    multiplex = ()
    if selector is not None and draw(st.booleans()):
        values = draw(st.frozensets(st.integers(0, 1 << 16), min_size=1, max_size=5))
        multiplex = (*selector.multiplex, Multiplex(selector.field, values))
    return Signal(
        name=draw(names),
        key=key,
        field=field,
        factor=draw(decimals.filter(bool)),
        offset=draw(decimals),
        minimum=draw(floats),
        maximum=draw(floats),
        unit=draw(st.text(max_size=4)),
        states=states,
        decoder=draw(st.sampled_from((BuiltinDecoder.CHOICE, BuiltinDecoder.STATE)))
        if states
        else draw(st.sampled_from((BuiltinDecoder.NUMBER, BuiltinDecoder.BOOLEAN, BuiltinDecoder.IGNORE))),
        writable=draw(st.booleans()),
        send_same=draw(st.booleans()),
        max_frequency=draw(st.floats(0, 100)),
        multiplex=multiplex,
    )


@st.composite
def _messages(draw):
    identifier = draw(st.integers(0, 0x1FFFFFFF) | st.integers(0, 0x7FF))
    selector = draw(_signals("selector"))
    others = [draw(_signals(f"s{number}", selector)) for number in range(draw(st.integers(0, 3)))]
    return Message(
        bus=draw(st.integers(1, 2)),
        id=identifier,
        name=draw(names),
        extended=True if identifier > 0x7FF else draw(st.sampled_from((None, False, True))),
        length=64,
        fd=True,
        max_frequency=draw(st.sampled_from((0.0, 2.5, 7.0))),
        force_send_changed=draw(st.booleans()),
        signals=tuple(sorted((selector, *others), key=lambda signal: signal.name)),
    )


@settings(max_examples=40)
@given(
    st.lists(_messages(), max_size=4, unique_by=lambda message: (message.bus, message.id)),
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
)
def test_what_is_written_loads_to_the_same_plan(messages, flags):
    passthrough, bypass, force, loopback = flags
    buses = (
        PlanBus(1, "one", 500000, raw_writable=False),
        PlanBus(2, "two", 1, passthrough, passthrough and bypass, True, 2.5, loopback, force),
    )
    plan = Plan("x", buses, tuple(sorted(messages, key=message_order)))
    assert reloaded(plan) == plan
