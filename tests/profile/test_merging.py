from dataclasses import replace

import pytest

from bridge.profile.errors import ProfileError
from bridge.profile.merging import merge
from bridge.profile.plan import Field, Message, Plan, PlanBus, Signal


def message(identifier, *names, bus=1, extended=None):
    signals = tuple(Signal(name=name, key=name, field=Field(0, 8)) for name in names)
    return Message(bus, identifier, f"M{identifier}", extended=extended, signals=signals)


PROFILE = Plan(
    "profile", (PlanBus(2, "hs", raw_writable=True), PlanBus(3, "ms")), (message(7, "a", bus=2),), warnings=("w",)
)
DATABASE = Plan(
    "database", (PlanBus(1, "db", bypass_filter=True),), (message(1, "b"), message(9, "c")), warnings=("v",)
)


def test_messages_are_added_to_the_first_bus():
    plan = merge(PROFILE, DATABASE)
    assert plan.buses == PROFILE.buses
    assert [(message.bus, message.id) for message in plan.messages] == [(2, 1), (2, 7), (2, 9)]
    assert plan.name == "profile"
    assert plan.warnings == ("w", "v")


def test_messages_are_added_to_a_given_bus():
    assert [(message.bus, message.id) for message in merge(PROFILE, DATABASE, 3).messages] == [(2, 7), (3, 1), (3, 9)]


def test_a_profile_without_buses_takes_the_databases():
    plan = merge(Plan("empty", predefined_obd2=True), DATABASE)
    assert (plan.name, plan.buses, plan.messages, plan.predefined_obd2) == (
        "empty",
        DATABASE.buses,
        DATABASE.messages,
        True,
    )


def test_several_buses_go_side_by_side():
    both = replace(
        DATABASE, buses=(*DATABASE.buses, PlanBus(2, "second")), messages=(message(1, "b"), message(1, "c", bus=2))
    )
    assert [(message.bus, message.id) for message in merge(PROFILE, both).messages] == [(2, 1), (2, 7), (3, 1)]
    with pytest.raises(ProfileError, match="database needs 2 buses from 3 on; the profile profile has 1"):
        merge(PROFILE, both, 3)


def test_unknown_bus():
    with pytest.raises(ProfileError, match="needs 1 buses from 1 on"):
        merge(PROFILE, DATABASE, 1)


def test_a_name_that_both_publish():
    with pytest.raises(
        ProfileError, match=r"^database: message M1, signal a: the profile profile publishes a too, in its message M7$"
    ):
        merge(PROFILE, replace(DATABASE, messages=(message(1, "a"),)))


def test_an_id_that_both_define():
    with pytest.raises(ProfileError, match=r"^database: message M7: the profile profile defines 0x7 on bus 2 too$"):
        merge(PROFILE, replace(DATABASE, messages=(message(7, "b", extended=False),)))
    standard = replace(PROFILE, messages=(message(7, "a", bus=2, extended=False),))
    assert len(merge(standard, replace(DATABASE, messages=(message(7, "b", extended=True),))).messages) == 2
