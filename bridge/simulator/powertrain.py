"""The powertrain of the simulated vehicle: engine, six-speed automatic gearbox, brakes and fuel.

Asked for a force at the wheels, it delivers what it can, and everything a car would measure
follows from that: engine speed, gear, pedals, torque, fuel flow, temperatures. It must not know
the road, the driver or signals. SI units, except engine speed (1/min) and fuel (litres).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

MASS = 1520.0  #: kg, one person on board
GRAVITY = 9.81  #: m/s²
WHEEL_RADIUS = 0.312  #: m
FINAL_DRIVE = 3.51
GEAR_RATIOS = (4.15, 2.37, 1.56, 1.16, 0.86, 0.69)  #: first to sixth
EFFICIENCY = 0.94  #: of the drive train
ROLLING_RESISTANCE = 0.011
AIR_RESISTANCE = 0.40  #: N/(m/s)²: half the air's density times drag area

IDLE_SPEED = 760.0  #: 1/min
CRANKING_SPEED = 240.0  #: 1/min, of the starter
TORQUE_CURVE = ((700.0, 120.0), (1500.0, 205.0), (3200.0, 238.0), (5000.0, 226.0), (6500.0, 175.0))  #: 1/min, Nm
SHIFT_PAUSE = 1.4  #: s between two shifts
SHIFT_TIME = 0.12  #: s, how fast the engine follows to another gear
CONVERTER_SLIP = 11.0  #: 1/min of converter slip per percent of pedal, first two gears
BRAKE_THRESHOLD = 0.12  #: m/s² more than the engine brakes by itself, and the driver takes the pedal
CUT_OFF_SPEED = 1250.0  #: 1/min; above it an overrun engine gets no fuel

HEATING_VALUE = 42_700.0  #: J/g of petrol
PETROL_DENSITY = 745.0  #: g/l
INDICATED_EFFICIENCY = 0.36
STOICHIOMETRIC_RATIO = 14.6
TANK = 50.0  #: litres
AMBIENT = 19.0  #: °C
OPERATING_TEMPERATURE = 91.0  #: °C, of the coolant when the thermostat works


def radians_per_second(engine_speed: float) -> float:
    """An engine speed in 1/min as angular frequency."""
    return engine_speed * math.tau / 60


def locked_engine_speed(speed: float, gear: int) -> float:
    """The engine speed in 1/min that belongs to a road speed in m/s when nothing slips."""
    return speed / (math.tau * WHEEL_RADIUS) * 60 * FINAL_DRIVE * GEAR_RATIOS[gear - 1]


def full_load_torque(engine_speed: float) -> float:
    """The most that the engine gives, in Nm."""
    points = TORQUE_CURVE
    if engine_speed <= points[0][0]:
        return points[0][1]
    for (low, low_torque), (high, high_torque) in pairwise(points):
        if engine_speed <= high:
            return low_torque + (high_torque - low_torque) * (engine_speed - low) / (high - low)
    return points[-1][1]


def friction_torque(engine_speed: float) -> float:
    """What the engine needs to turn itself, in Nm; also how much it brakes when overrun."""
    return 12.0 + 0.006 * engine_speed


def road_resistance(speed: float, grade: float) -> float:
    """The force in N against a moving car at a speed in m/s on a slope."""
    return MASS * GRAVITY * (ROLLING_RESISTANCE + grade) + AIR_RESISTANCE * speed * speed


@dataclass(slots=True)
class Powertrain:
    """The moving parts' state. Read it; only `step` changes it."""

    gear: int = 1
    engine_speed: float = 0.0  #: 1/min
    engine_torque: float = 0.0  #: Nm at the crankshaft, negative when overrun
    accelerator: float = 0.0  #: percent
    throttle: float = 12.0  #: percent, never quite closed
    braking: bool = False
    fuel_flow: float = 0.0  #: l/h
    fuel: float = 31.0  #: litres in the tank
    fuel_consumed: float = 0.0  #: litres since the engine was started last
    air_flow: float = 0.0  #: g/s
    coolant: float = 34.0  #: °C
    oil: float = 31.0  #: °C
    intake_air: float = AMBIENT + 4  #: °C
    running: bool = False
    run_time: float = 0.0  #: s since the engine was started
    _since_shift: float = SHIFT_PAUSE

    @property
    def engine_load(self) -> float:
        """Calculated load, percent of what the engine could give at this speed."""
        if not self.running:
            return 0.0
        inner = self.engine_torque + friction_torque(self.engine_speed)
        return max(0.0, min(100.0, 100 * inner / (full_load_torque(self.engine_speed) + 25)))

    @property
    def output_torque(self) -> float:
        """Torque behind the gearbox, in Nm."""
        return self.engine_torque * GEAR_RATIOS[self.gear - 1]

    def start(self) -> None:
        """The engine fires: what counts since the start counts from here."""
        self.running = True
        self.run_time = self.fuel_consumed = 0.0

    def stop(self) -> None:
        """The ignition goes off."""
        self.running = False
        self.engine_torque = self.fuel_flow = self.air_flow = self.accelerator = 0.0

    def refuel(self, litres: float) -> None:
        """Fill the tank, at most to the brim."""
        self.fuel = min(TANK, self.fuel + litres)

    def step(self, dt: float, speed: float, wanted: float, *, engaged: bool, cranking: bool) -> float:
        """Go on by `dt` seconds at a road speed (m/s) and with a force (N) wanted at the wheels.

        Returns the force that the wheels get, engine and brakes together.
        """
        self._since_shift += dt
        if not self.running:
            self._settle_engine_speed(dt, CRANKING_SPEED if cranking else 0.0)
            self._warm(dt)
            self.braking = wanted < 0
            return min(0.0, wanted)
        self.run_time += dt
        if engaged:
            self._shift(speed)
        else:
            self.gear = 1
        self._turn_engine(dt, speed, engaged)
        force = self._pull(dt, wanted, engaged)
        self._burn(dt)
        self._warm(dt)
        return force

    def _pull(self, dt: float, wanted: float, engaged: bool) -> float:
        leverage = GEAR_RATIOS[self.gear - 1] * FINAL_DRIVE * EFFICIENCY / WHEEL_RADIUS
        limit = full_load_torque(self.engine_speed)
        overrun = -friction_torque(self.engine_speed) if self.engine_speed > IDLE_SPEED * 1.3 else 0.0
        demand = wanted / leverage if engaged else 0.0
        self.engine_torque = max(overrun, min(limit, demand))
        by_engine = self.engine_torque * leverage
        left_over = by_engine - wanted  # what the brakes must do
        self.braking = left_over > (0.4 if self.braking else 1.0) * BRAKE_THRESHOLD * MASS
        pedal = 100 * max(0.0, self.engine_torque) / limit
        self.accelerator += (pedal - self.accelerator) * min(1.0, dt / 0.18)
        self.throttle += (11 + 0.75 * self.accelerator - self.throttle) * min(1.0, dt / 0.1)
        return min(by_engine, wanted)

    def _shift(self, speed: float) -> None:
        if self._since_shift < SHIFT_PAUSE:
            return
        turns = locked_engine_speed(speed, self.gear)
        down_at = 1180 + 11 * self.accelerator
        if self.gear < len(GEAR_RATIOS) and turns > 1950 + 26 * self.accelerator:
            if locked_engine_speed(speed, self.gear + 1) > down_at + 80:
                self._change_gear(self.gear + 1)
        elif self.gear > 1 and turns < down_at:
            self._change_gear(self.gear - 1)

    def _change_gear(self, gear: int) -> None:
        self.gear = gear
        self._since_shift = 0.0

    def _turn_engine(self, dt: float, speed: float, engaged: bool) -> None:
        floor = IDLE_SPEED + 140 * max(0.0, 1 - self.coolant / 60)  # a cold engine idles faster
        target = floor
        if engaged:
            if self.gear <= 2:
                floor += CONVERTER_SLIP * self.accelerator
            target = max(floor, locked_engine_speed(speed, self.gear))
        self._settle_engine_speed(dt, target)

    def _settle_engine_speed(self, dt: float, target: float) -> None:
        self.engine_speed += (target - self.engine_speed) * min(1.0, dt / SHIFT_TIME)
        if target == 0.0 and self.engine_speed < 20:
            self.engine_speed = 0.0

    def _burn(self, dt: float) -> None:
        inner = self.engine_torque + friction_torque(self.engine_speed)
        cut_off = self.engine_torque < 0 and self.accelerator < 1 and self.engine_speed > CUT_OFF_SPEED
        power = max(0.0, inner) * radians_per_second(self.engine_speed)
        grams = 0.0 if cut_off else power / (HEATING_VALUE * INDICATED_EFFICIENCY) + 0.06
        self.air_flow = max(1.6 * self.engine_speed / 1000, grams * STOICHIOMETRIC_RATIO)
        self.fuel_flow = grams / PETROL_DENSITY * 3600
        burnt = min(self.fuel, self.fuel_flow / 3600 * dt)
        self.fuel -= burnt
        self.fuel_consumed += burnt

    def _warm(self, dt: float) -> None:
        if self.running:
            heat = 0.7 + self.engine_load / 100
            self.coolant += (OPERATING_TEMPERATURE - self.coolant) * min(1.0, heat * dt / 210)
            self.oil += (OPERATING_TEMPERATURE + 0.25 * self.engine_load - self.oil) * min(1.0, heat * dt / 420)
        else:
            self.coolant += (AMBIENT - self.coolant) * min(1.0, dt / 5400)
            self.oil += (AMBIENT - self.oil) * min(1.0, dt / 7200)
        warm_air = AMBIENT + 3 + 22 / (1 + self.air_flow / 4)
        self.intake_air += (warm_air - self.intake_air) * min(1.0, dt / 40)
