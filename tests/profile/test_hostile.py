"""No profile, however odd, raises anything but ProfileError."""

import json
from decimal import Decimal
from pathlib import PurePath

from hypothesis import given
from hypothesis import strategies as st

from bridge.profile import schema
from bridge.profile.candb_xml import CandbDatabase
from bridge.profile.describe import describe
from bridge.profile.errors import ProfileError
from bridge.profile.json_profile import build_plan

WORDS = sorted(
    set().union(
        *(keys.known for keys in (schema.PROFILE, schema.MAPPING, schema.MESSAGE, schema.SIGNAL, schema.DIAGNOSTIC))
    )
    | {"hs", "0x49", "S", "T", "parents", "car.json", "stateDecoder", "handleGpsMessage", "signal", "values", "little"}
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.integers(0, 70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(WORDS)
)
anything = st.recursive(
    scalars,
    lambda part: (
        st.lists(part, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=3), part, max_size=4)
    ),
    max_leaves=12,
)


def odd(known):
    """An object with some known keys, whose values are mostly plausible in type."""
    return st.dictionaries(st.sampled_from(sorted(known)), anything, max_size=4)


signal = st.builds(
    lambda sane, more: sane | more, st.just({"bit_position": 8, "bit_size": 8}), odd(schema.SIGNAL.known)
)
message = st.builds(
    lambda more, signals: {"bus": "hs", "signals": signals} | more,
    odd(schema.MESSAGE.known),
    st.dictionaries(st.sampled_from(("S", "T")), signal, max_size=2),
)
profile = st.builds(
    lambda more, messages, bus, requests: (
        {
            "buses": {"hs": {"controller": 1, "speed": 500000, "raw_writable": True} | bus},
            "messages": messages,
            "diagnostic_messages": requests,
        }
        | more
    ),
    odd(schema.PROFILE.known | {"parents"}),
    st.dictionaries(st.sampled_from(("0x49", "73", "0x800")), message, max_size=2),
    odd(schema.BUS.known),
    st.lists(
        st.builds(lambda more: {"bus": "hs", "id": 1, "mode": 1, "frequency": 1} | more, odd(schema.DIAGNOSTIC.known)),
        max_size=1,
    ),
)


def load(text):
    def read(path):
        if path.name != "car.json":
            raise ProfileError(f"{path}: cannot be read")
        return text

    try:
        plan = build_plan(PurePath("car.json"), read)
    except ProfileError as error:
        assert str(error).isprintable()
        assert "car.json" in str(error) or "cannot be read" in str(error)
        return
    assert describe(plan)
    for built in plan.messages:
        for each in built.signals:
            assert isinstance(each.factor, Decimal)
            assert each.field.start >= 0
            assert each.field.start + each.field.size <= 8 * built.length
            assert all(condition.values for condition in each.multiplex)


@given(profile | anything)
def test_odd_profiles(value):
    load(json.dumps(value))


@given(st.text() | st.text('{}[]",:0123456789.eE-+truefalsn\\u ', max_size=60))
def test_any_text(text):
    load(text)


@given(st.text() | st.text("<>/?!&;[] abIDNameTxMessageSignalNode=\"'", max_size=60))
def test_any_xml(text):
    try:
        CandbDatabase(text, PurePath("db.xml")).message(1, ["a"])
    except ProfileError as error:
        assert str(error).startswith("db.xml: ")
