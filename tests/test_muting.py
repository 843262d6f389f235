"""A bus that an openOBD session has to itself: nothing of OpenXC clients reaches it, and all goes on afterwards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.frames import Frame, FrameBatch
from bridge.openxc.messages import DiagnosticRequest
from bridge.policy import BusRules, Write
from bridge.profile.plan import (
    CustomCommand,
    PlanBus,
    RecurringRequest,
)

from .bench import ENGINE, Vehicle, make_plan


@pytest.fixture
def vehicle() -> Vehicle:
    return Vehicle()


MUTED = "bus 1 is in use by an openOBD session, which has muted other testers"


class TestMuting:
    def test_clients_may_write_nothing_and_are_told_why(self, vehicle):
        vehicle.mute()
        for command in (
            {
                "command": "diagnostic_request",
                "action": "add",
                "request": {"bus": 1, "id": 0x7E0, "mode": 1, "pid": 12},
            },
            {"command": "get_vin"},
            {"command": "predefined_obd2", "enabled": True},
        ):
            assert vehicle.say(**command) == {
                "command_response": command["command"],
                "message": MUTED,
                "status": False,
            }
        vehicle.say(name="lights", value=True)
        vehicle.say(id=66, data="01")
        vehicle.wait(10)
        assert (vehicle.sent, vehicle.frames, vehicle.open) == ([], [], set())
        assert vehicle.refusals == [
            f"client 1: diagnostic_request: {MUTED}",
            f"client 1: get_vin: {MUTED}",
            f"client 1: predefined_obd2: {MUTED}",
            f"client 1: {MUTED}",
            f"client 1: {MUTED}",
        ]

    def test_the_other_buses_are_free(self, vehicle):
        vehicle.mute()
        vehicle.say(name="far", value=1)
        assert [frame.bus for frame in vehicle.frames] == [2]

    def test_a_custom_command_writes_nothing_there_either(self):
        command = CustomCommand("custom", lambda name, value, event: [("closed", 5)], forced=True)
        vehicle = Vehicle(make_plan(commands=(command,)))
        vehicle.mute()
        vehicle.say(name="custom", value=True)
        assert vehicle.frames == []
        assert vehicle.refusals == [f"client 1: {MUTED}"]

    def test_what_needs_no_write_still_works(self, vehicle):
        vehicle.mute()
        assert vehicle.say(command="passthrough", bus=1, enabled=True)["status"] is True
        assert vehicle.say(command="predefined_obd2", enabled=False)["status"] is True
        parts = [b"\xc1\0" + b"1M8GDM", b"\xc1\1" + b"9AXKP0", b"\xc1\2" + b"42788\0"]
        vehicle.take(vehicle.interface.frames(FrameBatch.of(Frame(id=0x40A, data=part) for part in parts), 0))
        assert vehicle.say(command="get_vin")["message"] == "1M8GDM9AXKP042788"

    def test_a_request_may_be_cancelled_so_that_it_does_not_come_back(self, vehicle):
        request = {"id": 0x7E0, "mode": 1, "pid": 12}
        vehicle.ask(**request, frequency=10)
        vehicle.mute()
        cancel = {"command": "diagnostic_request", "action": "cancel", "request": request}
        assert vehicle.say(**cancel)["status"] is True
        assert vehicle.say(**cancel)["message"].startswith("no recurring request")
        vehicle.unmute()
        vehicle.wait(3)
        assert (vehicle.sent, vehicle.open) == ([], set())

    def test_a_cancel_still_needs_the_right_to_ask(self):
        vehicle = Vehicle(grants=Write.SIGNAL, muted=True)
        request = {"id": 0x7E0, "mode": 1, "pid": 12}
        answer = vehicle.say(command="diagnostic_request", action="cancel", request=request)
        assert answer["status"] is False
        assert "--allow-write" in answer["message"]

    def test_whoever_holds_the_bus_has_the_profiles_rules(self, vehicle):
        vehicle.mute()
        vehicle.mute()
        assert vehicle.interface.rules(1) == BusRules(1, raw_writable=True)
        assert vehicle.interface.rules(2) == BusRules(2, raw_writable=False)
        vehicle.unmute()
        vehicle.say(id=66, data="01")
        assert len(vehicle.frames) == 1

    def test_recurring_requests_go_round_until_the_bus_is_free(self, vehicle):
        vehicle.ask(id=0x7E0, mode=1, pid=12, frequency=10)
        vehicle.ask(id=0x7E0, mode=1, pid=13, frequency=5)
        vehicle.wait(0.35)
        assert len(vehicle.sent) == 4
        vehicle.mute()
        vehicle.sent.clear()
        vehicle.polls = 0
        vehicle.wait(10)
        assert vehicle.sent == []
        assert vehicle.polls <= 155  # each request when it is due, the first ones also when they time out
        assert vehicle.open == {ENGINE}
        vehicle.unmute()
        vehicle.wait(1)
        assert {payload for _, payload in vehicle.sent} == {"010c", "010d"}

    def test_a_request_that_waited_its_turn_fails_and_one_that_was_sent_is_answered(self, vehicle):
        vehicle.ask(id=0x7E0, mode=1, pid=12)
        for pid in range(100, 120):
            vehicle.ask(id=0x7E0, mode=1, pid=pid)
        vehicle.say(command="get_vin")
        vehicle.mute()
        vehicle.answer("410c1af8")
        assert [(record["pid"], record["success"]) for record in vehicle.records] == [
            (12, True),
            *((pid, False) for pid in range(100, 120)),
        ]
        assert vehicle.sent == [(0x7E0, "010c")]
        assert vehicle.responses[-1] == {
            "command_response": "get_vin",
            "message": f"Unable to get VIN - {MUTED}",
            "status": False,
        }
        assert vehicle.open == set()
        assert vehicle.interface.next_wakeup() is None

    def test_a_functional_request_fails_as_well(self, vehicle):
        vehicle.ask(id=0x7DF, mode=1, pid=12)
        vehicle.ask(id=0x7DF, mode=1, pid=13)
        vehicle.mute()
        vehicle.wait(1)
        assert vehicle.sent == [(0x7DF, "010c")]
        assert vehicle.open == set()

    def test_predefined_requests_wait_for_the_bus_to_be_free(self, vehicle):
        vehicle.say(command="predefined_obd2", enabled=True)
        vehicle.mute()
        vehicle.wait(20)
        assert vehicle.sent == [(0x7DF, "010d")]
        assert vehicle.polls <= 12  # a look every two seconds
        vehicle.unmute()
        vehicle.sent.clear()
        vehicle.wait(2.2)
        assert vehicle.sent == [(0x7DF, "010d"), (0x7DF, "010c")]

    def test_predefined_requests_that_run_start_over_when_the_bus_is_free(self, vehicle):
        vehicle.say(command="predefined_obd2", enabled=True)
        vehicle.answer("410d20")
        vehicle.wait(0.2)
        assert vehicle.sent[-1] == (0x7DF, "0100")
        vehicle.mute()
        vehicle.answer("410000180000")  # vehicle and engine speed
        vehicle.sent.clear()
        vehicle.polls = 0
        vehicle.wait(30)
        assert vehicle.sent == []
        assert vehicle.polls < 200
        vehicle.unmute()
        vehicle.wait(8)
        assert vehicle.sent[0] == (0x7DF, "010d")

    def test_the_profiles_own_requests_begin_when_the_bus_is_free(self):
        request = DiagnosticRequest(bus=1, id=0x7E0, mode=1, pid=5, frequency=1.0, name="coolant")
        plan = make_plan(diagnostics=(RecurringRequest(request),), predefined_obd2=True)
        vehicle = Vehicle(plan, muted=True)
        assert vehicle.refusals == []
        vehicle.wait(5)
        assert vehicle.sent == []
        vehicle.unmute()
        vehicle.wait(2.5)
        assert (0x7E0, "0105") in vehicle.sent
        assert (0x7DF, "010d") in vehicle.sent


REQUESTS = st.fixed_dictionaries(
    {
        "bus": st.sampled_from([1, 2]),
        "id": st.sampled_from([0x7DF, 0x7E0, 0x7E1]),
        "mode": st.just(1),
        "pid": st.sampled_from([0, 12, 13]),
        "frequency": st.sampled_from([0, 1, 10]),
    }
)
STEPS = st.one_of(
    st.tuples(st.just("ask"), REQUESTS),
    st.tuples(st.just("command"), st.sampled_from(["get_vin", "predefined_obd2"])),
    st.tuples(st.sampled_from(["mute", "unmute"]), st.sampled_from([1, 2])),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.05, 0.5, 7.0])),
    st.tuples(st.just("answer"), st.sampled_from(["410c1af8", "410d20", "410000180000", "7f0178", "7f0112"])),
)


@given(st.lists(STEPS, max_size=25))
def test_nothing_is_ever_sent_on_a_muted_bus_and_everything_goes_on_afterwards(steps):
    """That the vehicle's side asserts with each payload; here is what must not loop or get stuck."""
    buses = (PlanBus(1, "hs", raw_writable=True), PlanBus(2, "ms", raw_writable=True))
    vehicle = Vehicle(make_plan(buses=buses))
    for kind, value in steps:
        match kind:
            case "ask":
                vehicle.ask(**value)
            case "command":
                vehicle.say(command=value, enabled=True)
            case "mute":
                vehicle.mute(value)
            case "unmute":
                vehicle.unmute(value)
            case "answer":
                if ENGINE in vehicle.open:
                    vehicle.answer(value)
            case "wait":
                vehicle.polls = 0
                vehicle.wait(value)
                assert vehicle.polls <= 20 + 200 * value
    for bus in (1, 2):
        vehicle.unmute(bus)
    vehicle.take(vehicle.interface.disconnect(vehicle.peer, vehicle.now))
    vehicle.say(command="predefined_obd2", enabled=False)
    vehicle.wait(10)
    assert vehicle.open == set()
    vehicle.sent.clear()
    vehicle.ask(bus=1, id=0x7E0, mode=1, pid=12)
    assert vehicle.sent == [(0x7E0, "010c")]
