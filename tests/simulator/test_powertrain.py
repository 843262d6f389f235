from __future__ import annotations

import pytest

from bridge.simulator.powertrain import (
    CRANKING_SPEED,
    GEAR_RATIOS,
    IDLE_SPEED,
    MASS,
    OPERATING_TEMPERATURE,
    TANK,
    Powertrain,
    full_load_torque,
    locked_engine_speed,
    road_resistance,
)


def run(engine: Powertrain, seconds: float, speed: float, wanted: float, **how: bool) -> float:
    force = 0.0
    for _ in range(round(seconds / 0.02)):
        force = engine.step(0.02, speed, wanted, **({"engaged": True, "cranking": False} | how))
    return force


@pytest.fixture
def engine() -> Powertrain:
    engine = Powertrain()
    engine.start()
    run(engine, 3, 0, 0, engaged=False)
    return engine


def test_idles(engine):
    assert IDLE_SPEED <= engine.engine_speed < IDLE_SPEED + 150
    assert 0.4 < engine.fuel_flow < 1.2


def test_a_warm_engine_idles_slower(engine):
    cold = engine.engine_speed
    run(engine, 1500, 0, 0, engaged=False)
    assert engine.coolant == pytest.approx(OPERATING_TEMPERATURE, abs=5)
    assert engine.engine_speed == pytest.approx(IDLE_SPEED, abs=1)
    assert engine.engine_speed < cold - 20


def test_the_starter_turns_an_engine_that_does_not_run_yet():
    engine = Powertrain()
    run(engine, 1, 0, 0, engaged=False, cranking=True)
    assert engine.engine_speed == pytest.approx(CRANKING_SPEED, rel=0.05)
    assert engine.fuel_consumed == 0
    run(engine, 3, 0, 0, engaged=False)
    assert engine.engine_speed == 0


@pytest.mark.parametrize(("speed", "gears"), [(3, {1}), (8, {1, 2}), (14, {3, 4}), (27, {5, 6})])
def test_chooses_a_gear_for_the_speed(engine, speed, gears):
    for now in range(1, speed + 1):  # a gearbox gets there gear by gear
        run(engine, 2, now, road_resistance(now, 0))
    assert engine.gear in gears
    assert engine.engine_speed == pytest.approx(max(locked_engine_speed(speed, engine.gear), IDLE_SPEED), rel=0.15)


def test_kicks_down_when_much_is_wanted(engine):
    for speed in range(1, 21):
        run(engine, 2, speed, road_resistance(speed, 0))
    cruising = engine.gear
    run(engine, 6, 20, MASS * 3)
    assert engine.gear < cruising
    assert engine.accelerator > 90


def test_cannot_give_more_than_it_has(engine):
    force = run(engine, 5, 20, 1e6)
    assert 0 < force < 1e6
    assert engine.engine_torque <= full_load_torque(engine.engine_speed)
    assert engine.accelerator <= 100


def test_the_brakes_do_what_the_engine_does_not(engine):
    assert run(engine, 2, 20, -MASS * 3) == -MASS * 3
    assert engine.braking
    assert engine.engine_torque < 0
    assert engine.fuel_flow == 0  # overrun
    assert engine.accelerator < 0.1


def test_lifting_the_foot_is_not_braking(engine):
    run(engine, 2, 20, 0)
    assert not engine.braking


def test_burns_what_it_takes_from_the_tank(engine):
    before = engine.fuel, engine.fuel_consumed
    run(engine, 60, 25, 900)
    assert before[0] - engine.fuel == pytest.approx(engine.fuel_consumed - before[1])
    assert engine.fuel_consumed > 0.05


def test_an_empty_tank_does_not_go_below_empty(engine):
    engine.fuel = 0.001
    run(engine, 60, 25, 900)
    assert engine.fuel == 0


def test_the_tank_holds_so_much(engine):
    engine.refuel(1000)
    assert engine.fuel == TANK


def test_a_new_start_counts_anew(engine):
    run(engine, 10, 0, 0, engaged=False)
    engine.stop()
    assert engine.engine_load == 0
    run(engine, 1, 0, 0, engaged=False)
    assert not engine.running
    engine.start()
    assert engine.run_time == engine.fuel_consumed == 0


def test_the_torque_curve_has_its_ends():
    assert full_load_torque(0) == full_load_torque(700)
    assert full_load_torque(9000) == full_load_torque(6500)
    assert len(GEAR_RATIOS) == 6
    assert sorted(GEAR_RATIOS, reverse=True) == list(GEAR_RATIOS)
