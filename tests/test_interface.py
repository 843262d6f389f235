"""The vehicle interface from outside: messages, frames and payloads in, decisions out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.diagnostics.addressing import ChannelAddress
from bridge.errors import ConfigurationError
from bridge.frames import Frame, FrameBatch
from bridge.interface import Identity
from bridge.openxc.messages import DiagnosticRequest, PayloadFormat
from bridge.policy import Write
from bridge.profile.plan import (
    BuiltinDecoder,
    CustomCommand,
    Field,
    Plan,
    RawType,
    RecurringRequest,
)

from .bench import ENGINE, Vehicle, make_plan
from .codec.plans import plan, signal


@pytest.fixture
def vehicle() -> Vehicle:
    return Vehicle()


class TestCommands:
    @pytest.mark.parametrize(
        ("command", "status", "message"),
        [
            ("version", True, "9.9 (tests)"),
            ("device_id", True, "Unknown"),
            ("platform", True, "openxc-bridge"),
            ("sd_mount_status", False, "this vehicle interface has no SD card"),
        ],
    )
    def test_what_the_interface_is(self, command, status, message):
        vehicle = Vehicle(identity=Identity(version="9.9"))
        assert vehicle.say(command=command) == {"command_response": command, "message": message, "status": status}

    def test_passthrough_changes_what_is_published(self, vehicle):
        frames = FrameBatch.of([Frame(id=0x42, data=b"\0")])
        vehicle.take(vehicle.interface.frames(frames, vehicle.now))
        assert "id" not in vehicle.records[-1]
        assert vehicle.say(command="passthrough", bus=1, enabled=True)["status"] is True
        vehicle.take(vehicle.interface.frames(frames, vehicle.now))
        assert vehicle.records[-1] == {"bus": 1, "id": 0x42, "data": "0x00"}

    def test_the_acceptance_filter_can_be_bypassed(self, vehicle):
        vehicle.say(command="passthrough", bus=1, enabled=True)
        frames = FrameBatch.of([Frame(id=0x99, data=b"\0")])
        vehicle.take(vehicle.interface.frames(frames, vehicle.now))
        assert vehicle.records == []
        assert vehicle.say(command="af_bypass", bus=1, bypass=True)["status"] is True
        vehicle.take(vehicle.interface.frames(frames, vehicle.now))
        assert len(vehicle.records) == 1

    @pytest.mark.parametrize("bus", [None, 0, 3])
    @pytest.mark.parametrize(
        "command", [{"command": "passthrough", "enabled": True}, {"command": "af_bypass", "bypass": True}]
    )
    def test_bus_commands_need_a_bus_that_is_there(self, vehicle, command, bus):
        answer = vehicle.say(**command, **({} if bus is None else {"bus": bus}))
        assert answer["status"] is False
        assert "bus 1, 2" in answer["message"]

    def test_the_payload_format_is_the_clients_own(self, vehicle):
        assert vehicle.say(command="payload_format", format="protobuf")["status"] is True
        assert vehicle.formats == [(vehicle.peer, PayloadFormat.PROTOBUF)]
        assert vehicle.say(command="payload_format", format="morse")["status"] is False

    @pytest.mark.parametrize(
        "command",
        [
            {"command": "modem_configuration", "server": {"host": "example.org", "port": 80}},
            {"command": "rtc_configuration", "unix_time": "1448551563"},
            {"command": "unknown"},
            {"command": "diagnostic_request"},
            {"command": "diagnostic_request", "action": "add", "request": {"bus": 1}},
            {"command": "diagnostic_request", "action": "add", "request": {"bus": 9, "id": 0x7E0, "mode": 1}},
        ],
    )
    def test_what_cannot_be_done_is_answered_with_the_reason(self, vehicle, command):
        answer = vehicle.say(**command)
        assert answer["status"] is False
        assert answer["command_response"] == command["command"]
        assert answer["message"]


class TestSimpleWrites:
    def test_a_writable_signal_is_written(self, vehicle):
        assert vehicle.say(name="lights", value=True) is None
        vehicle.say(name="wipers", value="fast")
        assert [(frame.id, frame.data.hex()) for frame in vehicle.frames] == [
            (0x42, "8000000000000000"),
            (0x42, "0020000000000000"),
        ]

    def test_a_writable_signal_goes_to_a_bus_that_is_not_raw_writable(self, vehicle):
        vehicle.say(name="far", value=1)
        assert vehicle.frames[-1].bus == 2

    @pytest.mark.parametrize(
        "record",
        [
            {"name": "closed", "value": 1},
            {"name": "nothing", "value": 1},
            {"name": "lights"},
            {"name": "wipers", "value": "sideways"},
            {"name": "lights", "value": 7},
        ],
    )
    def test_anything_else_is_dropped_and_counted(self, vehicle, record):
        assert vehicle.say(**record) is None
        assert vehicle.frames == []
        assert len(vehicle.refusals) == vehicle.interface.writes_refused == 1

    def test_a_custom_command_gets_value_and_event_and_writes_as_it_may(self):
        calls = []

        def handler(name, value, event):
            calls.append((name, value, event))
            return [("closed", 5)]

        for forced, frames in ((True, 1), (False, 0)):
            vehicle = Vehicle(make_plan(commands=(CustomCommand("custom", handler, forced=forced),)))
            vehicle.say(name="custom", value=True, event=2)
            assert len(vehicle.frames) == frames
        assert calls == [("custom", True, 2)] * 2

    def test_a_custom_command_that_raises_is_a_refusal(self):
        def handler(name, value, event):
            raise RuntimeError("broken")

        vehicle = Vehicle(make_plan(commands=(CustomCommand("custom", handler),)))
        vehicle.say(name="custom", value=True)
        assert "broken" in vehicle.refusals[0]

    @pytest.mark.parametrize(
        "writes",
        [
            None,
            5,
            "lights",
            ["lights"],
            [("lights", True, None)],
            [("lights", None)],
            [("lights", [1])],
            [("lights", b"on")],
            [(1, True)],
            [([], True)],
            [("lights", True), ("wipers", None)],
            map(int, ["1", "on"]),
            (1 / each for each in (1, 0)),
        ],
    )
    def test_a_custom_command_that_returns_no_writes_is_a_refusal(self, writes):
        command = CustomCommand("custom", lambda name, value, event: writes, forced=True)
        vehicle = Vehicle(make_plan(commands=(command,)))
        vehicle.say(name="custom", value=True)
        assert vehicle.frames == []
        assert len(vehicle.refusals) == vehicle.interface.writes_refused == 1
        assert "the command custom" in vehicle.refusals[0]

    def test_a_custom_command_may_yield_its_writes(self):
        def handler(name, value, event):
            yield "lights", value
            yield ["wipers", "fast"]

        vehicle = Vehicle(make_plan(commands=(CustomCommand("custom", handler),)))
        vehicle.say(name="custom", value=True)
        assert len(vehicle.frames) == 2


class TestRawWrites:
    @pytest.mark.parametrize(
        ("record", "frame"),
        [
            ({"id": 66, "data": "0x1234"}, Frame(id=66, data=b"\x12\x34", bus=1)),
            ({"id": 66, "data": "1234", "bus": 0}, Frame(id=66, data=b"\x12\x34", bus=1)),
            ({"id": 66, "data": "0x", "bus": 1}, Frame(id=66, bus=1)),
            ({"id": 0, "data": "01", "bus": 1}, Frame(id=0, data=b"\1", bus=1)),
            ({"id": 66, "data": "01", "frame_format": "extended"}, Frame(id=66, data=b"\1", extended=True)),
            ({"id": 0x800, "data": "01"}, Frame(id=0x800, data=b"\1", extended=True)),
            ({"id": 0x7FF, "data": "01", "format": "standard"}, Frame(id=0x7FF, data=b"\1")),
        ],
    )
    def test_a_frame_is_sent(self, vehicle, record, frame):
        assert vehicle.say(**record) is None
        assert vehicle.frames == [frame]

    def test_a_bus_that_is_not_raw_writable_or_not_there_takes_none(self, vehicle):
        vehicle.say(id=66, data="01", bus=2)
        vehicle.say(id=66, data="01", bus=3)
        assert vehicle.frames == []
        assert len(vehicle.refusals) == 2

    def test_without_buses_there_is_nothing_to_send_on(self):
        vehicle = Vehicle(Plan())
        vehicle.say(id=66, data="01")
        assert vehicle.ask(id=0x7E0, mode=1)["status"] is False
        assert vehicle.frames == []

    def test_a_listener_that_does_not_grant_raw_frames(self):
        vehicle = Vehicle(grants=Write.SIGNAL)
        vehicle.say(id=66, data="01")
        vehicle.say(name="lights", value=True)
        assert [frame.data.hex() for frame in vehicle.frames] == ["8000000000000000"]


IGNITION = {"off": [0], "run": [2]}


class TestSignal:
    """What the gateway learns of the vehicle."""

    def told(self, data, **options):
        vehicle = Vehicle(plan(signal("ignition", **options)), asked=["ignition"])
        assert vehicle.interface.signal("ignition") is None
        frames = FrameBatch.of([Frame(id=0x42, data=bytes.fromhex(data))])
        vehicle.take(vehicle.interface.frames(frames, vehicle.now))
        return vehicle.interface.signal("ignition")

    @pytest.mark.parametrize(
        ("options", "data", "value"),
        [
            ({}, "02", 2),
            ({"factor": "0.5"}, "01", 0.5),
            ({"decoder": BuiltinDecoder.STATE, "states": IGNITION}, "02", "run"),
            ({"decoder": BuiltinDecoder.STATE, "states": IGNITION, "factor": "0.5"}, "05", "run"),
            ({"decoder": BuiltinDecoder.STATE, "states": IGNITION}, "03", 3),
            ({"decoder": BuiltinDecoder.CHOICE, "states": IGNITION}, "02", "run"),
            ({"decoder": BuiltinDecoder.CHOICE, "states": IGNITION, "factor": "0.5"}, "02", "run"),
            ({"decoder": BuiltinDecoder.CHOICE, "states": IGNITION, "factor": "0.5"}, "04", 2),
            ({"decoder": BuiltinDecoder.CHOICE, "states": IGNITION, "offset": "-2"}, "02", "run"),
            ({"decoder": BuiltinDecoder.CHOICE, "states": IGNITION, "factor": "1e-12"}, "02", "run"),
        ],
    )
    def test_its_last_value_as_it_is_published(self, options, data, value):
        assert self.told(data, **options) == value

    @pytest.mark.parametrize(("data", "value"), [("01", True), ("00", False)])
    def test_a_boolean_is_no_number(self, data, value):
        assert self.told(data, decoder=BuiltinDecoder.BOOLEAN) is value

    @pytest.mark.parametrize("number", ["7fc00000", "7f800000"])
    @pytest.mark.parametrize("decoder", [BuiltinDecoder.NUMBER, BuiltinDecoder.STATE, BuiltinDecoder.CHOICE])
    def test_what_is_no_number_is_nothing(self, number, decoder):
        field = Field(0, 32, raw_type=RawType.FLOAT)
        assert self.told(number, field=field, states=IGNITION, decoder=decoder) is None


class TestDiagnostics:
    def test_a_request_is_acknowledged_sent_and_its_response_published(self, vehicle):
        assert vehicle.ask(bus=1, id=0x7E0, mode=1, pid=12)["status"] is True
        assert vehicle.sent == [(0x7E0, "010c")]
        vehicle.answer("410c1af8")
        assert vehicle.records == [{"bus": 1, "id": 0x7E0, "mode": 1, "success": True, "pid": 12, "value": 1726}]
        assert vehicle.open == set()

    def test_a_negative_response_tells_the_requested_pid(self, vehicle):
        vehicle.ask(id=0x7E0, mode=0x22, pid=0xF190)
        vehicle.answer("7f2231")
        assert vehicle.records == [
            {"bus": 1, "id": 2016, "mode": 34, "success": False, "pid": 0xF190, "negative_response_code": 0x31}
        ]

    def test_a_request_that_could_not_be_sent_says_so(self, vehicle):
        """Without a code: it was no ECU that refused."""
        vehicle.ask(id=0x7E0, mode=0x22, pid=0xF190)
        vehicle.take(vehicle.interface.channel_failed(ENGINE, "the adapter is gone", vehicle.now))
        assert vehicle.records == [{"bus": 1, "id": 0x7E0, "mode": 0x22, "success": False, "pid": 0xF190}]
        assert vehicle.open == set()

    def test_what_nobody_asked_for_may_fail_in_silence(self, vehicle):
        vehicle.ask(id=0x7E0, mode=1, pid=12, frequency=1)
        vehicle.say(command="predefined_obd2", enabled=True)
        vehicle.say(command="get_vin")
        vehicle.wait(0.01)
        functional = ChannelAddress(1, 0x7DF, None, False)
        for channel in (ENGINE, functional):
            vehicle.take(vehicle.interface.channel_failed(channel, "the adapter is gone", vehicle.now))
        assert vehicle.records == []

    def test_answers_from_afar_are_waited_for(self):
        vehicle = Vehicle(delay=lambda bus: {1: 0.5}[bus])
        vehicle.ask(id=0x7E0, mode=1, pid=12)
        vehicle.wait(2.5)
        vehicle.answer("410c1af8")
        assert len(vehicle.records) == 1

    def test_the_filter_lets_responses_through_as_raw_frames_while_asked_for(self, vehicle):
        vehicle.say(command="passthrough", bus=1, enabled=True)
        response = FrameBatch.of([Frame(id=0x7E8, data=bytes.fromhex("03410d20"))])
        vehicle.ask(id=0x7E0, mode=1, pid=13)
        vehicle.take(vehicle.interface.frames(response, vehicle.now))
        assert len(vehicle.records) == 1
        vehicle.wait(1)
        vehicle.take(vehicle.interface.frames(response, vehicle.now))
        assert len(vehicle.records) == 1

    def test_a_long_response_comes_in_parts_where_they_are_asked_for(self):
        vehicle = Vehicle(parts=True)
        vehicle.ask(id=0x7E0, mode=0x22, pid=0xDE00)
        vehicle.answer("62de00" + "030000ac8177")
        assert [record["frame"] for record in vehicle.records] == [0, -1]
        assert "".join(record["payload"][2:] for record in vehicle.records) == "62de00030000ac8177"
        assert all(record["id"] == record["message_id"] == 0x7E0 for record in vehicle.records)

    def test_the_parts_begin_with_the_pid_as_the_profile_sends_it(self):
        request = DiagnosticRequest(bus=1, id=0x7E0, mode=0x22, pid=0x12, frequency=1.0)
        vehicle = Vehicle(make_plan(diagnostics=(RecurringRequest(request, pid_length=1),)), parts=True)
        vehicle.wait(0)
        assert vehicle.sent == [(0x7E0, "2212")]
        vehicle.answer("6212" + "aabbccddeeff0011")
        assert [record["payload"] for record in vehicle.records] == ["0x6212aabbccddee", "0xff0011"]
        assert {record["total_size"] for record in vehicle.records} == {10}
        # Whoever else asks for the same, asks with two bytes.
        vehicle.records.clear()
        vehicle.ask(id=0x7E0, mode=0x22, pid=0x12)
        vehicle.answer("620012" + "aabbccddeeff0011")
        assert {record["total_size"] for record in vehicle.records} == {11}

    @pytest.mark.parametrize("grants", [Write.NONE, Write.READ_DIAGNOSTIC])
    def test_a_refused_request_is_answered_with_the_reason(self, grants):
        vehicle = Vehicle(grants=grants)
        answer = vehicle.ask(id=0x7E0, mode=0x2E, pid=0xF190, payload="00")
        assert answer["status"] is False
        assert "--allow-write diagnostics" in answer["message"]
        assert vehicle.sent == []

    @pytest.mark.parametrize(
        "command",
        [
            {"command": "diagnostic_request", "action": "add", "request": {"id": 0x7E0, "mode": 1, "pid": 12}},
            {"command": "diagnostic_request", "action": "cancel", "request": {"id": 0x7E0, "mode": 1, "pid": 12}},
            {"command": "get_vin"},
            {"command": "predefined_obd2", "enabled": True},
        ],
    )
    def test_what_the_policy_refuses_is_written_down(self, command):
        vehicle = Vehicle(grants=Write.SIGNAL)
        answer = vehicle.say(**command)
        assert vehicle.refusals == [f"client 1: {command['command']}: {answer['message']}"]
        assert vehicle.interface.writes_refused == 1

    @pytest.mark.parametrize(
        "command",
        [
            {"command": "unknown"},
            {"command": "passthrough", "bus": 9, "enabled": True},
            {"command": "diagnostic_request", "action": "add", "request": {"id": 0x7E0, "mode": 1, "frequency": 99}},
            {"command": "diagnostic_request", "action": "cancel", "request": {"id": 0x7E0, "mode": 1}},
        ],
    )
    def test_what_makes_no_sense_is_no_write_that_was_refused(self, vehicle, command):
        assert vehicle.say(**command)["status"] is False
        assert (vehicle.refusals, vehicle.interface.writes_refused) == ([], 0)

    def test_a_request_that_another_addressing_takes_for_a_write_is_refused(self):
        vehicle = Vehicle(grants=Write.READ_DIAGNOSTIC)
        answer = vehicle.ask(id=0x726, mode=3, payload="2ef19041")
        assert answer["status"] is False
        assert "--allow-write diagnostics" in answer["message"]
        assert vehicle.sent == []

    def test_a_bus_that_is_not_raw_writable_takes_no_requests(self, vehicle):
        assert "raw_writable" in vehicle.ask(bus=2, id=0x7E0, mode=1)["message"]

    def test_a_client_that_goes_takes_its_requests_along(self, vehicle):
        vehicle.ask(id=0x7E0, mode=1, pid=12, frequency=10)
        vehicle.wait(0.35)
        assert len(vehicle.sent) == 4
        vehicle.take(vehicle.interface.disconnect(vehicle.peer, vehicle.now))
        vehicle.wait(1)
        assert len(vehicle.sent) == 4
        assert vehicle.open == set()
        assert vehicle.interface.next_wakeup() is None

    def test_the_profiles_own_requests_run_from_the_start(self):
        request = DiagnosticRequest(bus=1, id=0x7E0, mode=1, pid=5, frequency=1.0, name="coolant")
        vehicle = Vehicle(make_plan(diagnostics=(RecurringRequest(request),)))
        vehicle.wait(0)
        assert vehicle.sent == [(0x7E0, "0105")]
        vehicle.answer("41057b")
        assert vehicle.records == [{"name": "coolant", "value": 83}]
        vehicle.take(vehicle.interface.disconnect(vehicle.peer, vehicle.now))
        vehicle.wait(1)
        assert len(vehicle.sent) == 2

    def test_the_profiles_own_requests_need_a_bus_that_takes_them(self):
        request = DiagnosticRequest(bus=2, id=0x7E0, mode=1, pid=5, frequency=1.0)
        vehicle = Vehicle(make_plan(diagnostics=(RecurringRequest(request),)))
        assert "raw_writable" in vehicle.refusals[0]
        assert vehicle.interface.next_wakeup() is None

    def test_the_profiles_own_requests_must_make_sense(self):
        request = DiagnosticRequest(bus=1, id=0x7E0, mode=1, pid=5, frequency=11.0)
        with pytest.raises(ConfigurationError, match="0x7e0"):
            Vehicle(make_plan(diagnostics=(RecurringRequest(request),)))

    def test_the_profiles_request_ids_are_no_way_around_the_policy(self):
        request = DiagnosticRequest(bus=1, id=0x241, mode=0x22, pid=5, frequency=1.0)
        vehicle = Vehicle(make_plan(diagnostics=(RecurringRequest(request),)), grants=Write.RAW)
        vehicle.say(id=0x241, data="0211010000000000")
        assert vehicle.frames == []


class TestVin:
    vin = "1M8GDM9AXKP042788"

    def test_asked_for(self, vehicle):
        assert vehicle.say(command="get_vin") is None
        vehicle.say(command="get_vin")
        assert vehicle.sent == [(0x7E0, "0902")]
        vehicle.answer("490201" + self.vin.encode().hex())
        assert vehicle.responses == [{"command_response": "get_vin", "message": self.vin, "status": True}] * 2
        assert vehicle.records == []

    def test_without_an_answer(self, vehicle):
        vehicle.say(command="get_vin")
        vehicle.wait(0.2)
        assert vehicle.responses == [
            {"command_response": "get_vin", "message": "Unable to get VIN - timeout", "status": False}
        ]

    def test_overheard(self):
        vehicle = Vehicle(grants=Write.NONE)
        parts = [b"\xc1\0" + b"1M8GDM", b"\xc1\1" + b"9AXKP0", b"\xc1\2" + b"42788\0"]
        vehicle.take(vehicle.interface.frames(FrameBatch.of(Frame(id=0x40A, data=part) for part in parts), 0))
        assert vehicle.say(command="get_vin") == {"command_response": "get_vin", "message": self.vin, "status": True}

    def test_refused(self):
        vehicle = Vehicle(grants=Write.NONE)
        assert vehicle.say(command="get_vin")["status"] is False


class TestPredefinedObd2:
    def test_on_and_off(self, vehicle):
        assert vehicle.say(command="predefined_obd2", enabled=True)["status"] is True
        assert vehicle.sent == [(0x7DF, "010d")]
        assert vehicle.say(command="predefined_obd2", enabled=False)["status"] is True
        assert vehicle.open == set()

    def test_refused(self):
        vehicle = Vehicle(grants=Write.NONE)
        assert vehicle.say(command="predefined_obd2", enabled=True)["status"] is False
        assert vehicle.sent == []

    def test_from_the_start_where_the_profile_says_so(self):
        vehicle = Vehicle(make_plan(predefined_obd2=True))
        assert vehicle.sent == [(0x7DF, "010d")]


class TestSelectiveBuses:
    reason = "bus 1 hears only the ids that it was told to"

    def test_raw_frames_of_all_ids_cannot_be_had_there(self):
        vehicle = Vehicle(selective={1: self.reason})
        assert vehicle.say(command="passthrough", bus=1, enabled=True) == {
            "command_response": "passthrough",
            "message": self.reason,
            "status": False,
        }
        frames = FrameBatch.of([Frame(id=0x42, data=b"\0")])
        vehicle.take(vehicle.interface.frames(frames, vehicle.now))
        assert all("id" not in record for record in vehicle.records)

    def test_turning_them_off_and_other_buses_are_as_ever(self):
        vehicle = Vehicle(selective={1: self.reason})
        assert vehicle.say(command="passthrough", bus=1, enabled=False)["status"] is True
        assert vehicle.say(command="passthrough", bus=2, enabled=True)["status"] is True
        assert "bus 1, 2" in vehicle.say(command="passthrough", bus=3, enabled=True)["message"]


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["command", "name", "id", "data", "bus", "value", "request", "action", "mode"]),
            st.one_of(
                st.integers(-5, 0x800),
                st.text(max_size=5),
                st.booleans(),
                st.none(),
                st.sampled_from(["version", "passthrough", "lights", "diagnostic_request", "add", "0102"]),
            ),
        ),
        max_size=10,
    )
)
def test_nothing_that_a_client_says_raises(records):
    vehicle = Vehicle()
    for record in records:
        vehicle.say(**record)
    vehicle.wait(10)
