"""The firmware's own decoders, encoders, message handlers and commands, under the firmware's names.

Each is a plain function as plan.py types them, so that a profile's Python functions can do
whatever these do. Must not know how frames are read or records written.

Source: the OpenXC vehicle interface (its shared handlers), with its defects mended: rear tires
are not swapped, and a rolling counter counts from its first sample, not from zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from bridge.openxc.messages import DecodedType, Value
from bridge.profile.decoding import MessageContext, SignalState
from bridge.profile.plan import BuiltinDecoder, MessageHandler, Signal, SignalDecoder, SignalEncoder

KILOMETERS_PER_MILE = 1.609344
KILOMETERS_PER_METER = 0.001
LITERS_PER_GALLON = 3.78541178
LITERS_PER_MICROLITER = 1e-6

_DOORS = {
    "driver_door": "driver",
    "passenger_door": "passenger",
    "rear_right_door": "rear_right",
    "rear_left_door": "rear_left",
}

_TIRES = {
    "tire_pressure_front_left": "front_left",
    "tire_pressure_front_right": "front_right",
    "tire_pressure_rear_left": "rear_left",
    "tire_pressure_rear_right": "rear_right",
}

_GPS_SIGNALS = tuple(
    f"{axis}_{part}" for axis in ("latitude", "longitude") for part in ("degrees", "minutes", "minute_fraction")
)


# Signal decoders


def decode_door_status(state: SignalState, value: int | float) -> None:
    """doorStatusDecoder: `door_status` with the door as value and open (true) or closed as event.

    Other names than the four doors' stand for themselves. No plain record. Source: OpenXC.
    """
    if state.due:
        name = state.signal.name
        state.publish("door_status", _DOORS.get(name, name), value != 0)


def decode_tire_pressure(state: SignalState, value: int | float) -> None:
    """tirePressureDecoder: `tire_pressure` with the tire as value and the pressure as event.

    Other names than the four tires' stand for themselves. No plain record. Source: OpenXC.
    """
    if state.due:
        name = state.signal.name
        state.publish("tire_pressure", _TIRES.get(name, name), value)


def decode_inverted(state: SignalState, value: int | float) -> int | float:
    """handleInverted: the value with the other sign. Source: OpenXC."""
    return -value if value else value


def decode_exterior_light_switch(state: SignalState, value: int | float) -> bool:
    """handleExteriorLightSwitch: true for the switch positions 2 and 3. Source: OpenXC."""
    return value in (2, 3)


def decode_unsigned_steering_wheel_angle(state: SignalState, value: int | float) -> int | float | None:
    """handleUnsignedSteeringWheelAngle: degrees, negative (left) while `steering_wheel_angle_sign` was last 0.

    Nothing where the plan has no such signal. Source: OpenXC.
    """
    sign = state.lookup("steering_wheel_angle_sign")
    if sign is None:
        return None
    return -value if value and sign.value == 0 else value


class _RollingCounter:
    """A counter that wraps at the signal's maximum, summed up since the first sample."""

    __slots__ = ("base", "total")

    def __init__(self) -> None:
        self.total: int | float = 0
        self.base: int | float = 0  #: the first odometer reading, added to the total

    def count(self, state: SignalState, value: int | float) -> None:
        """Add what has passed since the sample before."""
        if not state.received:
            return
        if value < state.value:
            maximum = state.signal.maximum
            self.total += (int(maximum) if maximum.is_integer() else maximum) - state.value
            self.total += value
        else:
            self.total += value - state.value

    def find_base(self, state: SignalState) -> None:
        """Take the first reading of `total_odometer` that is not zero."""
        if self.base:
            return
        odometer = state.lookup("total_odometer")
        if odometer is not None and odometer is not state and odometer.received:
            self.base = odometer.value


def _counter(state: SignalState) -> _RollingCounter:
    if not isinstance(state.memory, _RollingCounter):
        state.memory = _RollingCounter()
    return state.memory


def _rolling_odometer(unit: int | float, doc: str) -> SignalDecoder:
    def decode(state: SignalState, value: int | float) -> int | float:
        counter = _counter(state)
        counter.count(state, value)
        counter.find_base(state)
        return counter.base + unit * counter.total

    decode.__doc__ = doc
    return decode


def _fuel_flow(unit: float, doc: str) -> SignalDecoder:
    def decode(state: SignalState, value: int | float) -> int | float:
        counter = _counter(state)
        counter.count(state, value)
        return unit * counter.total

    decode.__doc__ = doc
    return decode


decode_rolling_odometer_kilometers = _rolling_odometer(
    1, "handleRollingOdometerKilometers: km, the first `total_odometer` plus a wrapping counter of km. Source: OpenXC."
)
decode_rolling_odometer_miles = _rolling_odometer(
    KILOMETERS_PER_MILE,
    "handleRollingOdometerMiles: km, the first `total_odometer` plus a wrapping counter of miles. Source: OpenXC.",
)
decode_rolling_odometer_meters = _rolling_odometer(
    KILOMETERS_PER_METER,
    "handleRollingOdometerMeters: km, the first `total_odometer` plus a wrapping counter of metres. Source: OpenXC.",
)
decode_fuel_flow_gallons = _fuel_flow(
    LITERS_PER_GALLON, "handleFuelFlowGallons: litres used, from a wrapping counter of US gallons. Source: OpenXC."
)
decode_fuel_flow_microliters = _fuel_flow(
    LITERS_PER_MICROLITER,
    "handleFuelFlowMicroliters: litres used, from a wrapping counter of microlitres. Source: OpenXC.",
)


def wheel_rotations(radius: float) -> SignalDecoder:
    """A decoder for a wrapping counter of wheel rotations: the first `total_odometer` plus 2 * pi * radius each.

    The radius is in the odometer's unit. It is what handleMultisizeWheelRotationCount does once the
    firmware's user wraps it; here `my_decoder = wheel_rotations(0.00033)` in a Python module does. Source: OpenXC.
    """
    return _rolling_odometer(2 * math.pi * radius, f"Rotations of a wheel with a radius of {radius}, as distance.")


# Message handlers


def handle_button_event(context: MessageContext) -> None:
    """handleButtonEventMessage: `button_event`, the state of `button_type` as value and of `button_state` as event.

    Nothing where either is missing or in no known state. Source: OpenXC.
    """
    button, action = context.value("button_type"), context.value("button_state")
    if isinstance(button, str) and isinstance(action, str):
        context.publish("button_event", button, action)


def handle_gps(context: MessageContext) -> None:
    """handleGpsMessage: `latitude` and `longitude` in degrees, from degrees, minutes and minute fractions.

    Reads {latitude,longitude}_{degrees,minutes,minute_fraction}; nothing where one is missing. The
    degrees' sign is the whole's. Source: OpenXC.
    """
    numbers: list[int | float] = []
    for name in _GPS_SIGNALS:
        value = context.value(name)
        if value is None or isinstance(value, str):
            return
        numbers.append(value)
    for axis, (degrees, minutes, fraction) in (("latitude", numbers[:3]), ("longitude", numbers[3:])):
        part = (minutes + fraction) / 60
        context.publish(axis, degrees - part if degrees < 0 else degrees + part)


# Encoders


def encode_boolean(signal: Signal, value: Value, event: Value | None) -> int | None:
    """booleanEncoder: 1 for true and for numbers other than 0, else 0; no text. Source: OpenXC."""
    return None if isinstance(value, str) else int(value != 0)


def encode_number(signal: Signal, value: Value, event: Value | None) -> int | float | None:
    """numberEncoder: the number, true and false as 1 and 0; no text, not even a state's name. Source: OpenXC."""
    if isinstance(value, str):
        return None
    return int(value) if isinstance(value, bool) else value


# Commands


def command_turn_signal(name: str, value: Value | None, event: Value | None) -> list[tuple[str, Value]]:
    """handleTurnSignalCommand: "left" or "right" sets `turn_signal_left` or `turn_signal_right` to true.

    Anything else writes nothing. The writes are forced: the signals need not be writable. Source: OpenXC.
    """
    return [(f"turn_signal_{value}", True)] if value in ("left", "right") else []


# Names

DECODERS: dict[str, BuiltinDecoder | SignalDecoder] = {
    "noopDecoder": BuiltinDecoder.NUMBER,
    "booleanDecoder": BuiltinDecoder.BOOLEAN,
    "handleStrictBoolean": BuiltinDecoder.BOOLEAN,
    "ignoreDecoder": BuiltinDecoder.IGNORE,
    "stateDecoder": BuiltinDecoder.STATE,
    "choiceDecoder": BuiltinDecoder.CHOICE,  # the bridge's own
    "doorStatusDecoder": decode_door_status,
    "tirePressureDecoder": decode_tire_pressure,
    "handleInverted": decode_inverted,
    "handleExteriorLightSwitch": decode_exterior_light_switch,
    "handleUnsignedSteeringWheelAngle": decode_unsigned_steering_wheel_angle,
    "handleRollingOdometerKilometers": decode_rolling_odometer_kilometers,
    "handleRollingOdometerMiles": decode_rolling_odometer_miles,
    "handleRollingOdometerMeters": decode_rolling_odometer_meters,
    "handleFuelFlowGallons": decode_fuel_flow_gallons,
    "handleFuelFlowMicroliters": decode_fuel_flow_microliters,
}

#: stateEncoder is what the plan does by itself: a state's name or a number.
ENCODERS: dict[str, SignalEncoder | None] = {
    "booleanEncoder": encode_boolean,
    "stateEncoder": None,
    "numberEncoder": encode_number,
}

HANDLERS: dict[str, MessageHandler] = {
    "handleButtonEventMessage": handle_button_event,
    "handleGpsMessage": handle_gps,
}

COMMANDS: dict[str, Callable[[str, Value | None, Value | None], list[tuple[str, Value]]]] = {
    "handleTurnSignalCommand": command_turn_signal,
}

#: The firmware's decoders of diagnostic responses are kinds of decoding that every request can ask for.
DIAGNOSTIC_DECODERS: dict[str, DecodedType] = {
    "handleObd2Pid": DecodedType.OBD2,
    "passthroughDecoder": DecodedType.NONE,
}

#: Firmware functions that need an argument from C++ code: what to do instead.
UNUSABLE = {
    "handleMultisizeWheelRotationCount": (
        "it needs a wheel's radius: name a Python variable that holds bridge.profile.decoders.wheel_rotations(radius)"
    ),
}


def name_of(function: Any) -> str:
    """What a profile calls a decoder, an encoder, a handler or a command; a Python function's dotted name."""
    tables: tuple[dict[str, Any], ...] = (DECODERS, ENCODERS, HANDLERS, COMMANDS)
    for table in tables:
        for name, known in table.items():
            if function is known:
                return name
    return f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', function)}"
