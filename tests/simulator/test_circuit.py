from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.simulator.circuit import CORNERING, Circuit, StopKind, Turn

CIRCUIT = Circuit()
distances = st.floats(0, 1e5, allow_nan=False)


def metres_between(a, b):
    latitude = math.radians((a.latitude + b.latitude) / 2)
    east = math.radians(b.longitude - a.longitude) * math.cos(latitude) * 6_371_000
    return math.hypot(east, math.radians(b.latitude - a.latitude) * 6_371_000)


def test_is_a_few_kilometres_long_and_has_straights_and_curves_both_ways():
    assert 4000 < CIRCUIT.length < 8000
    turns = {CIRCUIT.turn(distance) for distance in range(int(CIRCUIT.length))}
    assert turns == set(Turn)


def test_closes():
    for offset in (0.0, 1.0, 1234.5):
        gap = metres_between(CIRCUIT.place(offset), CIRCUIT.place(CIRCUIT.length + offset))
        assert gap < 1e-3


def test_has_no_jump_where_the_lap_ends():
    assert metres_between(CIRCUIT.place(CIRCUIT.length - 0.01), CIRCUIT.place(CIRCUIT.length + 0.01)) < 0.03
    assert CIRCUIT.grade(CIRCUIT.length) == pytest.approx(CIRCUIT.grade(0), abs=1e-9)


@given(distances)
def test_a_metre_along_the_loop_is_a_metre_on_the_globe(distance):
    assert metres_between(CIRCUIT.place(distance), CIRCUIT.place(distance + 1)) == pytest.approx(1, rel=0.01)


@given(distances)
def test_the_heading_is_the_way_that_the_place_moves(distance):
    here, ahead = CIRCUIT.place(distance), CIRCUIT.place(distance + 0.5)
    north = ahead.latitude - here.latitude
    east = (ahead.longitude - here.longitude) * math.cos(math.radians(here.latitude))
    assert math.remainder(math.atan2(north, east) - here.heading, math.tau) == pytest.approx(0, abs=0.05)


@given(distances)
def test_curves_are_taken_at_a_speed_that_passengers_bear(distance):
    speed = CIRCUIT.speed(distance)
    assert 4 < speed < 30
    assert speed * speed * abs(CIRCUIT.curvature(distance)) < CORNERING * 1.25


def test_the_hills_add_up_to_nothing():
    total = sum(CIRCUIT.grade(distance) for distance in range(round(CIRCUIT.length)))
    assert abs(total) < 0.1


@given(distances)
def test_the_next_stop_is_ahead_and_within_a_lap(distance):
    at, kind = CIRCUIT.stop_after(distance)
    assert distance < at <= distance + CIRCUIT.length + 1e-6
    assert kind in StopKind


def test_stops_come_in_their_order_lap_after_lap():
    distance, kinds = 0.0, []
    for _ in range(2 * len(CIRCUIT.stops)):
        distance, kind = CIRCUIT.stop_after(distance + 1)
        kinds.append(kind)
    assert kinds == [stop.kind for stop in CIRCUIT.stops] * 2


def test_sections_count_on_from_lap_to_lap():
    numbers = [CIRCUIT.section(distance) for distance in range(int(3 * CIRCUIT.length))]
    assert numbers == sorted(numbers)
    assert CIRCUIT.section(10 + CIRCUIT.length) == CIRCUIT.section(10) + 18
