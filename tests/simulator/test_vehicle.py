from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.simulator.cabin import BUTTONS, Ignition
from bridge.simulator.powertrain import TANK, locked_engine_speed
from bridge.simulator.vehicle import CATCH_UP_LIMIT, COMMAND_HOLD, COMMANDS, ORDINALS, Vehicle

SAMPLE = 0.1

#: The official signals' ranges, narrowed to what an ordinary car does where that is less.
RANGES = {
    "steering_wheel_angle": (-600, 600),
    "torque_at_transmission": (-500, 1500),
    "engine_speed": (0, 6500),
    "vehicle_speed": (0, 130),
    "accelerator_pedal_position": (0, 100),
    "odometer": (12_000, 33_000),
    "fuel_level": (0, 100),
    "fuel_consumed_since_restart": (0, 50),
    "longitudinal_acceleration": (-5, 5),
    "lateral_acceleration": (-5, 5),
    "latitude": (-90, 90),
    "longitude": (-180, 180),
}
STATES = {
    "transmission_gear_position": {*ORDINALS, "park"},
    "ignition_status": {"off", "accessory", "run", "start"},
    "turn_signal_status": {"off", "left", "right"},
}


def pairs(drive, *keys):
    return itertools.pairwise([tuple(sample[key] for key in keys) for sample in drive.samples])


# Believable


@pytest.mark.parametrize("key", RANGES)
def test_values_stay_in_their_range(drive, key):
    low, high = RANGES[key]
    values = [sample[key] for sample in drive.samples]
    assert low <= min(values) <= max(values) <= high


@pytest.mark.parametrize("key", STATES)
def test_states_are_official_ones(drive, key):
    assert {sample[key] for sample in drive.samples} <= STATES[key]


def test_everything_moves(drive):
    constant = {key for key in drive.samples[0] if len({sample[key] for sample in drive.samples}) == 1}
    assert constant <= {"rear_left_door", "latitude_degrees", "longitude_degrees"}


def test_drives_several_laps_and_stops_on_the_way(drive):
    assert drive.places[-1] > 3 * drive.vehicle.circuit.length
    assert max(sample["vehicle_speed"] for sample in drive.samples) > 90
    stops = sum(before > 0 and now == 0 for (before,), (now,) in pairs(drive, "vehicle_speed"))
    assert stops >= 6


def test_no_value_jumps(drive):
    for key, most in (("vehicle_speed", 2.0), ("steering_wheel_angle", 25.0), ("longitudinal_acceleration", 1.8)):
        assert max(abs(now - before) for (before,), (now,) in pairs(drive, key)) < most


# Adding up


def test_the_odometer_is_the_integral_of_the_speed(drive):
    integral = sum((before + now) / 2 / 3600 * SAMPLE for (before,), (now,) in pairs(drive, "vehicle_speed"))
    driven = drive.samples[-1]["odometer"] - drive.samples[0]["odometer"]
    assert driven == pytest.approx(integral, rel=1e-3)
    assert driven > 15


def test_the_acceleration_is_the_derivative_of_the_speed(drive):
    for (before, _), (now, acceleration) in pairs(drive, "vehicle_speed", "longitudinal_acceleration"):
        if now:  # the last moment before a stop is both
            assert (now - before) / 3.6 / SAMPLE == pytest.approx(acceleration, abs=0.5)


def test_the_position_moves_at_the_speed(drive):
    for before, now in pairs(drive, "latitude", "longitude", "vehicle_speed"):
        north = math.radians(now[0] - before[0]) * 6_371_000
        east = math.radians(now[1] - before[1]) * 6_371_000 * math.cos(math.radians(now[0]))
        metres = (before[2] + now[2]) / 2 / 3.6 * SAMPLE
        assert math.hypot(north, east) == pytest.approx(metres, abs=0.05)


def test_fuel_adds_up(drive):
    assert drive.vehicle.refuelled == 0
    used = (drive.samples[0]["fuel_level"] - drive.samples[-1]["fuel_level"]) / 100 * TANK
    assert drive.samples[-1]["fuel_consumed_since_restart"] == pytest.approx(used, abs=1e-6)
    driven = drive.samples[-1]["odometer"] - drive.samples[0]["odometer"]
    assert 5 < used / driven * 100 < 12  # litres per 100 km


def test_engine_speed_gear_and_speed_belong_together(drive):
    compared = 0
    for number in range(10, len(drive.samples)):
        sample = drive.samples[number]
        gears = {drive.samples[number - back]["transmission_gear_position"] for back in range(11)}
        if sample["vehicle_speed"] < 25 or len(gears) > 1:
            continue
        gear = ORDINALS.index(sample["transmission_gear_position"]) + 1
        locked = locked_engine_speed(sample["vehicle_speed"] / 3.6, gear)
        if locked > 1800:  # below, the converter may slip
            compared += 1
            assert sample["engine_speed"] == pytest.approx(locked, rel=0.04)
    assert compared > 1000


def test_nobody_presses_both_pedals(drive):
    for sample in drive.samples:
        assert not (sample["brake_pedal_status"] and sample["accelerator_pedal_position"] > 45)
        if sample["longitudinal_acceleration"] < -1.2:
            assert sample["brake_pedal_status"]


def test_the_steering_wheel_points_where_the_car_is_pushed_from(drive):
    for sample in drive.samples:
        angle, push = sample["steering_wheel_angle"], sample["lateral_acceleration"]
        assert angle * push >= 0
        if abs(push) > 1:
            assert abs(angle) > 5


def test_signals_before_it_turns(drive):
    seen = set()
    for number, sample in enumerate(drive.samples):
        if abs(sample["steering_wheel_angle"]) > 70 and sample["vehicle_speed"] > 5:
            side = "left" if sample["steering_wheel_angle"] > 0 else "right"
            assert sample["turn_signal_status"] == side
            assert sample[f"turn_signal_{side}"] is True
            assert drive.samples[number - 15]["turn_signal_status"] == side
            seen.add(side)
    assert seen == {"left", "right"}


def test_doors_open_only_where_they_may(drive):
    opened = 0
    for sample in drive.samples:
        if any(sample[f"{door}_door"] for door in ("driver", "passenger", "rear_left", "rear_right")):
            opened += 1
            assert sample["vehicle_speed"] == 0
            assert sample["parking_brake_status"] is True
            assert sample["transmission_gear_position"] == "park"
            assert sample["door_lock_status"] is False
    assert opened > 50


def test_the_ignition_stays_on_at_an_ordinary_stop(drive):
    started = next(n for n, sample in enumerate(drive.samples) if sample["ignition_status"] == "run")
    assert started < 20
    assert {sample["ignition_status"] for sample in drive.samples[started:]} == {"run"}


def test_high_beams_only_with_headlamps(drive):
    assert all(sample["headlamp_status"] for sample in drive.samples if sample["high_beam_status"])


def test_buttons_are_pressed_before_they_are_released(drive):
    events = [
        state for _, state in (now for before, now in pairs(drive, "button_type", "button_state") if now != before)
    ]
    assert {"pressed", "released"} <= set(events)
    assert "held_short" in events
    following = {(before, now) for before, now in itertools.pairwise(events)}
    assert ("pressed", "released") in following
    assert following <= {
        (0, "pressed"),
        ("pressed", "released"),
        ("pressed", "held_short"),
        ("held_short", "held_long"),
        ("held_short", "released"),
        ("held_long", "released"),
        ("released", 0),
    }
    assert {sample["button_type"] for sample in drive.samples} <= {0, *BUTTONS}


def test_gps_parts_make_the_coordinate(drive):
    for sample in drive.samples[::100]:
        for axis in ("latitude", "longitude"):
            degrees = sample[f"{axis}_degrees"]
            part = (sample[f"{axis}_minutes"] + sample[f"{axis}_minute_fraction"]) / 60
            whole = degrees - part if degrees < 0 else degrees + part
            assert whole == pytest.approx(sample[axis], abs=1e-6)
            assert 0 <= sample[f"{axis}_minutes"] < 60
            assert 0 <= sample[f"{axis}_minute_fraction"] < 1


def test_the_circuit_lies_in_the_north_west(drive):
    assert drive.samples[0]["latitude_degrees"] == 42
    assert drive.samples[0]["longitude_degrees"] == -83


# Petrol


def test_stops_for_petrol_and_starts_anew():
    vehicle = Vehicle(seed=5)
    vehicle.powertrain.fuel = initial = 5.0
    burnt, before, seen = 0.0, 0.0, []
    for number in range(1, 12_000):
        vehicle.advance(number * SAMPLE)
        consumed = vehicle.powertrain.fuel_consumed
        burnt += consumed - before if consumed >= before else consumed
        before = consumed
        if not seen or vehicle.cabin.ignition is not seen[-1]:
            seen.append(vehicle.cabin.ignition)
        if vehicle.cabin.filling:
            assert not vehicle.powertrain.running
    assert vehicle.refuelled > 30
    assert vehicle.powertrain.fuel == pytest.approx(initial + vehicle.refuelled - burnt, abs=1e-3)
    assert seen[-4:] == [Ignition.RUN, Ignition.OFF, Ignition.START, Ignition.RUN]
    assert vehicle.powertrain.fuel_consumed < burnt


# Time


def test_the_same_seed_drives_the_same_way_however_the_calls_are_spread():
    often, seldom, other = Vehicle(seed=7), Vehicle(seed=7, start=50.0), Vehicle(seed=8)
    for number in range(1, 6001):
        often.advance(number / 100)
    for number in range(1, 11):
        seldom.advance(50 + number * 6.0)
        other.advance(number * 6.0)
    assert often.values(60.0) == seldom.values(110.0)
    assert often.values(60.0) != other.values(60.0)


@given(st.lists(st.floats(0, 3, allow_nan=False), max_size=40))
@settings(max_examples=30, deadline=None)
def test_the_steps_taken_depend_on_the_time_alone(gaps):
    vehicle, now = Vehicle(), 0.0
    for gap in gaps:
        now += gap
        vehicle.advance(now)
    assert vehicle.time == pytest.approx(now, abs=0.021)


def test_time_that_goes_back_is_ignored():
    vehicle = Vehicle()
    vehicle.advance(10.0)
    values = vehicle.values(10.0)
    vehicle.advance(3.0)
    assert vehicle.values(10.0) == values


def test_a_suspended_computer_does_not_make_it_drive_for_days():
    vehicle = Vehicle()
    for now in range(1, 40):
        vehicle.advance(float(now))
    place, speed = vehicle.position, vehicle.speed
    vehicle.advance(1e6)
    assert vehicle.time == pytest.approx(39 + CATCH_UP_LIMIT)
    assert 0 <= vehicle.position - place < CATCH_UP_LIMIT * 40
    assert abs(vehicle.speed - speed) < CATCH_UP_LIMIT * 5
    vehicle.advance(1e6 + 1)
    assert vehicle.time == pytest.approx(40 + CATCH_UP_LIMIT)


# Commands


@pytest.mark.parametrize("key", sorted(COMMANDS))
def test_does_as_told_for_a_while(parked, key):
    assert parked.values(0.0)[key] is False
    assert parked.command(key, True, 0.0)
    assert parked.values(0.0)[key] is True
    assert parked.values(COMMAND_HOLD - 0.01)[key] is True
    assert parked.values(COMMAND_HOLD)[key] is False


def test_the_lever_follows_the_turn_signals(parked):
    parked.command("turn_signal_right", True, 0.0)
    assert parked.values(1.0)["turn_signal_status"] == "right"
    parked.command("turn_signal_left", True, 1.0)
    parked.command("turn_signal_right", False, 1.0)
    assert parked.values(1.0)["turn_signal_status"] == "left"


def test_takes_no_other_commands(parked):
    assert not parked.command("vehicle_speed", 200, 0.0)
    assert parked.values(0.0)["vehicle_speed"] == 0
