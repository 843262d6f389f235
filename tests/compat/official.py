"""OpenXC's official signals, and what is plausible for each in the simulated vehicle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

GEARS = frozenset(("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"))
BOOLEAN = frozenset((True, False))

#: Lowest and highest number, or the values that there are.
PLAUSIBLE: Mapping[str, tuple[float, float] | frozenset[Any]] = {
    "steering_wheel_angle": (-600, 600),
    "torque_at_transmission": (-500, 1500),
    "engine_speed": (0, 8000),
    "vehicle_speed": (0, 200),
    "accelerator_pedal_position": (0, 100),
    "parking_brake_status": BOOLEAN,
    "brake_pedal_status": BOOLEAN,
    "transmission_gear_position": GEARS | {"neutral", "reverse", "park"},
    "odometer": (10_000, 40_000),
    "ignition_status": frozenset(("off", "accessory", "run", "start")),
    "fuel_level": (1, 100),
    "fuel_consumed_since_restart": (0, 10),
    "door_status": frozenset(("driver", "passenger", "rear_left", "rear_right")),
    "headlamp_status": BOOLEAN,
    "high_beam_status": BOOLEAN,
    "windshield_wiper_status": BOOLEAN,
    "turn_signal_status": frozenset(("off", "left", "right")),
    "longitudinal_acceleration": (-10, 10),
    "lateral_acceleration": (-10, 10),
    "latitude": (-90, 90),
    "longitude": (-180, 180),
}
EVENTED = frozenset(("door_status",))


def all_there(messages: Iterable[Mapping[str, Any]]) -> bool:
    """Each official signal has come, and every door."""
    names = set()
    doors = set()
    for message in messages:
        names.add(message.get("name"))
        if message.get("name") == "door_status":
            doors.add(message["value"])
    return names >= PLAUSIBLE.keys() and doors == PLAUSIBLE["door_status"]


def implausible(messages: Iterable[Mapping[str, Any]], *, events_everywhere: bool = False) -> list[Mapping[str, Any]]:
    """The messages of official signals that make no sense.

    With `events_everywhere` as openxc-python reads protobuf: zero is False, and every message has an event.
    """
    return [message for message in messages if not _plausible(message, events_everywhere)]


def _plausible(message: Mapping[str, Any], events_everywhere: bool) -> bool:
    name, value = message.get("name", ""), message.get("value")
    allowed = PLAUSIBLE.get(name)
    if allowed is None:
        return True
    if ("event" in message) != (events_everywhere or name in EVENTED):
        return False
    if name in EVENTED and not isinstance(message["event"], bool):
        return False
    if isinstance(allowed, frozenset):
        return value in allowed and (allowed != BOOLEAN or isinstance(value, bool))
    number = isinstance(value, int | float) and (events_everywhere or not isinstance(value, bool))
    return number and allowed[0] <= value <= allowed[1]
