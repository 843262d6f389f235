import math

import pytest

from bridge.openxc.messages import DecodedType
from bridge.profile import decoders
from bridge.profile.decoding import MessageContext, SignalState
from bridge.profile.plan import BuiltinDecoder, Field, Message, Signal, State


class Codec:
    """As much of a codec as decoders see."""

    def __init__(self, decoder, name="s", maximum=0.0):
        self.records = []
        self.states = {}
        self.decoder = decoder
        self.state = self.add(name, maximum)

    def add(self, name, maximum=0.0):
        signal = Signal(name=name, key=name, field=Field(0, 8), maximum=maximum)
        self.states[name] = SignalState(signal, lambda *record: self.records.append(record), self.states.get)
        return self.states[name]

    def frame(self, value, due=True):
        self.state.due = due
        result = self.decoder(self.state, value)
        self.state.value, self.state.received = value, True
        return result


@pytest.mark.parametrize(
    ("name", "door"),
    [
        ("driver_door", "driver"),
        ("passenger_door", "passenger"),
        ("rear_right_door", "rear_right"),
        ("rear_left_door", "rear_left"),
        ("trunk", "trunk"),
    ],
)
def test_doors(name, door):
    codec = Codec(decoders.decode_door_status, name)
    assert codec.frame(1) is None
    assert codec.frame(0) is None
    assert codec.frame(1, due=False) is None
    assert codec.records == [("door_status", door, True), ("door_status", door, False)]


@pytest.mark.parametrize("tire", ["front_left", "front_right", "rear_left", "rear_right"])
def test_tires_are_not_swapped(tire):
    codec = Codec(decoders.decode_tire_pressure, f"tire_pressure_{tire}")
    assert codec.frame(23.1) is None
    assert codec.frame(23.2, due=False) is None
    assert codec.records == [("tire_pressure", tire, 23.1)]


def test_unknown_tire_stands_for_itself():
    codec = Codec(decoders.decode_tire_pressure, "spare")
    codec.frame(2)
    assert codec.records == [("tire_pressure", "spare", 2)]


@pytest.mark.parametrize(("value", "inverted"), [(1, -1), (-2.5, 2.5), (0, 0)])
def test_inverted(value, inverted):
    result = Codec(decoders.decode_inverted).frame(value)
    assert result == inverted
    assert math.copysign(1, result) == math.copysign(1, inverted)


@pytest.mark.parametrize(("value", "on"), [(0, False), (1, False), (2, True), (3, True), (4, False)])
def test_exterior_light_switch(value, on):
    assert Codec(decoders.decode_exterior_light_switch).frame(value) is on


def test_steering_wheel_angle():
    codec = Codec(decoders.decode_unsigned_steering_wheel_angle)
    assert codec.frame(30) is None
    sign = codec.add("steering_wheel_angle_sign")
    assert codec.frame(30) == -30
    sign.value = 1
    assert codec.frame(30) == 30


def test_fuel_flow_wraps_at_its_maximum():
    gallons = Codec(decoders.decode_fuel_flow_gallons, maximum=255.0)
    assert [gallons.frame(value) for value in (0, 1, 255, 2)] == [
        pytest.approx(litres * 3.78541178) for litres in (0, 1, 255, 257)
    ]
    microliters = Codec(decoders.decode_fuel_flow_microliters, maximum=255.0)
    assert [microliters.frame(value) for value in (0, 1, 255, 2)] == [
        pytest.approx(litres * 1e-6) for litres in (0, 1, 255, 257)
    ]


def test_a_counter_counts_from_its_first_sample():
    assert [Codec(decoders.decode_fuel_flow_gallons, maximum=255.0).frame(200)] == [0]


@pytest.mark.parametrize(
    ("decoder", "unit"),
    [
        (decoders.decode_rolling_odometer_kilometers, 1),
        (decoders.decode_rolling_odometer_miles, 1.609344),
        (decoders.decode_rolling_odometer_meters, 0.001),
        (decoders.wheel_rotations(0.5), math.pi),
    ],
)
def test_rolling_odometers_add_the_first_total_odometer(decoder, unit):
    codec = Codec(decoder, maximum=255.0)
    assert codec.frame(250) == 0
    assert codec.frame(253) == pytest.approx(3 * unit)
    total = codec.add("total_odometer")
    assert codec.frame(253) == pytest.approx(3 * unit), "not received yet"
    total.value, total.received = 1000, True
    assert codec.frame(253) == pytest.approx(1000 + 3 * unit)
    total.value = 2000
    assert codec.frame(1) == pytest.approx(1000 + 6 * unit), "the first reading stays"


def test_integers_stay_integers():
    codec = Codec(decoders.decode_rolling_odometer_kilometers, maximum=255.0)
    codec.frame(255)
    assert repr(codec.frame(4)) == "4"


def test_an_odometer_does_not_add_itself():
    codec = Codec(decoders.decode_rolling_odometer_kilometers, "total_odometer", 255.0)
    assert [codec.frame(value) for value in (5, 6, 7)] == [0, 1, 2]


def context(values):
    records = []
    return records, MessageContext(Message(1, 1, "m"), b"", values.get, lambda *record: records.append(record))


@pytest.mark.parametrize(
    ("button", "action", "expected"),
    [
        ("down", "stuck", [("button_event", "down", "stuck")]),
        (None, "stuck", []),
        ("down", None, []),
        (3, "stuck", []),
    ],
)
def test_button_event(button, action, expected):
    records, frame = context({"button_type": button, "button_state": action})
    decoders.handle_button_event(frame)
    assert [record[:3] for record in records] == expected


GPS = {
    "latitude_degrees": 48,
    "latitude_minutes": 30,
    "latitude_minute_fraction": 0.6,
    "longitude_degrees": -122,
    "longitude_minutes": 15,
    "longitude_minute_fraction": 0.0,
}


def test_gps():
    records, frame = context(GPS)
    decoders.handle_gps(frame)
    assert [(name, pytest.approx(value)) for name, value, *_ in records] == [
        ("latitude", 48.51),
        ("longitude", -122.25),
    ]


@pytest.mark.parametrize("missing", GPS)
def test_gps_needs_every_part(missing):
    records, frame = context(GPS | {missing: None})
    decoders.handle_gps(frame)
    assert records == []


SIGNAL = Signal(name="s", key="s", field=Field(0, 8), states=(State("on", (1,)),))


@pytest.mark.parametrize(("value", "raw"), [(True, 1), (False, 0), (0, 0), (2.5, 1), ("on", None)])
def test_boolean_encoder(value, raw):
    assert decoders.encode_boolean(SIGNAL, value, None) == raw


@pytest.mark.parametrize(("value", "raw"), [(True, 1), (7, 7), (2.5, 2.5), ("on", None)])
def test_number_encoder(value, raw):
    assert decoders.encode_number(SIGNAL, value, None) == raw


@pytest.mark.parametrize(
    ("value", "writes"),
    [
        ("left", [("turn_signal_left", True)]),
        ("right", [("turn_signal_right", True)]),
        ("up", []),
        (None, []),
        (True, []),
    ],
)
def test_turn_signal_command(value, writes):
    assert decoders.command_turn_signal("turn", value, None) == writes


def test_tables():
    assert decoders.DECODERS["handleStrictBoolean"] is BuiltinDecoder.BOOLEAN
    assert decoders.DIAGNOSTIC_DECODERS == {"handleObd2Pid": DecodedType.OBD2, "passthroughDecoder": DecodedType.NONE}
    for table in (decoders.DECODERS, decoders.ENCODERS, decoders.HANDLERS, decoders.COMMANDS):
        for name, function in table.items():
            if callable(function):
                assert name in function.__doc__
                assert "Source: OpenXC" in function.__doc__


def test_names():
    assert decoders.name_of(decoders.decode_inverted) == "handleInverted"
    assert decoders.name_of(BuiltinDecoder.CHOICE) == "choiceDecoder"
    assert decoders.name_of(BuiltinDecoder.NUMBER) == "noopDecoder"
    assert decoders.name_of(math.sin) == "math:sin"
