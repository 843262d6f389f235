"""The simulated vehicle: a driver takes a car around the circuit, and every value adds up.

Sans-I/O: `advance(now)` brings the car to a moment, by any monotonic clock. With the same seed and
start, the same moment gives the same values, however the calls are spread. It must not know CAN
frames, profiles or ECUs.
"""

from __future__ import annotations

import math
import random

from bridge.openxc.messages import Value
from bridge.simulator.cabin import PASSENGER, PETROL, START_UP, ButtonPresses, Cabin, Deed, Ignition, Selector, perform
from bridge.simulator.circuit import Circuit, StopKind, Turn
from bridge.simulator.powertrain import MASS, TANK, Powertrain, road_resistance

STEP = 0.02  #: s, of the physics
CATCH_UP_LIMIT = 10.0  #: s driven in one call at most; a longer gap (a suspended computer) is not driven
COMMAND_HOLD = 10.0  #: s for which the vehicle does what a frame from outside told it

COMFORT = 1.7  #: m/s², the most that this driver accelerates
HARD_BRAKING = 4.5  #: m/s², the most that he brakes
JERK = 2.6  #: m/s³
STOP_BRAKING = 1.5  #: m/s² for which he waits before he brakes for a stop
LOOK_AHEAD = 1.0  #: s
SIGNAL_AHEAD = 55.0  #: m before a turn that the turn signal goes on
WAVER = 0.03  #: of the speed; nobody holds it exactly
LOW_FUEL = 0.12  #: of the tank, and the driver stops for petrol
PETROL_FLOW = 0.65  #: l/s at the pump

WHEELBASE = 2.72  #: m
STEERING_RATIO = 15.6
UNDERSTEER = 0.0022  #: rad per m/s², more steering the faster the curve is taken

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
#: The values that a frame from outside may set; all are true or false.
COMMANDS = frozenset(
    (
        "headlamp_status",
        "high_beam_status",
        "windshield_wiper_status",
        "turn_signal_left",
        "turn_signal_right",
        "door_lock_status",
    )
)


class Vehicle:
    """A car on a loop. Attributes are for reading; SI units unless they say otherwise."""

    def __init__(self, seed: int = 0, start: float = 0.0, circuit: Circuit | None = None) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - a drive, not a secret
        self.circuit = circuit or Circuit()
        self.powertrain = Powertrain(fuel=round(self._chance.uniform(0.5, 0.85) * TANK, 1))
        self.cabin = Cabin()
        self._buttons = ButtonPresses(random.Random(seed + 1))  # noqa: S311
        self.speed = 0.0  #: m/s
        self.acceleration = 0.0  #: m/s², along the car
        self.distance = 0.0  #: m driven since the simulation began
        self.refuelled = 0.0  #: litres since the simulation began
        self.odometer_start = 12_000.0 + self._chance.randrange(20_000)  #: km
        self._origin = start
        self._steps = 0
        self._wanted = 0.0  # m/s², follows the driver's wish at a limited jerk
        self._script: list[Deed] = list(START_UP)
        self._script_start = 0.0
        self._wait_until = 0.0
        self._section = -1
        self._mood = 1.0  # how fast the driver feels like going on this section
        self._rain = (self._chance.uniform(40, 90), self._chance.uniform(20, 50))  # start, length
        self._commands: dict[str, tuple[Value, float]] = {}
        self._stop = self._next_stop(0.0)
        self._values: dict[str, Value] | None = None

    # Time

    @property
    def time(self) -> float:
        """Seconds since the simulation began."""
        return self._steps * STEP

    def advance(self, now: float) -> None:
        """Drive on to a moment of the clock; one before the last is ignored.

        A gap longer than CATCH_UP_LIMIT counts as that: the car stood still while nobody looked.
        """
        gap = now - self._origin - self.time
        if gap > CATCH_UP_LIMIT:
            self._origin += gap - CATCH_UP_LIMIT
        # The tolerance keeps 0.1 s of a clock from being four steps of 0.02 s and a bit.
        target = math.floor((now - self._origin) / STEP + 1e-6)
        if target > self._steps:
            self._values = None
        while self._steps < target:
            self._step()

    def _step(self) -> None:
        self._steps += 1
        now = self.time
        self._run_script(now)
        self._buttons.step(now)
        self._drive(now)
        if self.cabin.filling:
            before = self.powertrain.fuel
            self.powertrain.refuel(PETROL_FLOW * STEP)
            self.refuelled += self.powertrain.fuel - before

    # What the values mean to a person

    @property
    def position(self) -> float:
        """Metres along the circuit since its first corner, counting on from lap to lap."""
        return self.circuit.start + self.distance

    @property
    def odometer(self) -> float:
        """Kilometres."""
        return self.odometer_start + self.distance / 1000

    @property
    def lateral_acceleration(self) -> float:
        """m/s², to the left positive."""
        return self.speed * self.speed * self.circuit.curvature(self.position)

    @property
    def steering_wheel_angle(self) -> float:
        """Degrees, to the left positive."""
        curvature = self.circuit.curvature(self.position)
        wheels = math.atan(WHEELBASE * curvature) + UNDERSTEER * self.speed * self.speed * curvature
        return math.degrees(wheels) * STEERING_RATIO

    @property
    def gear_position(self) -> str:
        """The transmission's state by OpenXC's names."""
        return "park" if self.cabin.selector is Selector.PARK else ORDINALS[self.powertrain.gear - 1]

    @property
    def raining(self) -> bool:
        """It rains, and the driver notices."""
        start, length = self._rain
        return start <= self.time < start + length

    @property
    def turn(self) -> Turn:
        """What the turn signal lever says."""
        if self.cabin.ignition is not Ignition.RUN:
            return Turn.NONE
        return self.circuit.turn(self.position, SIGNAL_AHEAD)

    # Commands from outside

    def command(self, key: str, value: Value, now: float) -> bool:
        """Do what a frame on the bus says, for COMMAND_HOLD seconds from `now`; False if this is no command."""
        if key not in COMMANDS:
            return False
        self._commands[key] = (value, now + COMMAND_HOLD)
        return True

    def values(self, now: float) -> dict[str, Value]:
        """Every value that the car's electronics send, by signal key, in the units of the official signals."""
        if self._values is None:
            self._values = self._measure()
        held = {key: value for key, (value, until) in self._commands.items() if now < until}
        if len(held) != len(self._commands):
            self._commands = {key: entry for key, entry in self._commands.items() if key in held}
        return self._values if not held else _with_commands(self._values, held)

    def _measure(self) -> dict[str, Value]:
        engine, cabin = self.powertrain, self.cabin
        place = self.circuit.place(self.position)
        awake = cabin.ignition is Ignition.RUN
        turn = self.turn
        dark = awake and self.circuit.dark(self.position)
        return {
            "steering_wheel_angle": self.steering_wheel_angle,
            "torque_at_transmission": engine.output_torque,
            "engine_speed": engine.engine_speed,
            "vehicle_speed": self.speed * 3.6,
            "accelerator_pedal_position": engine.accelerator,
            "parking_brake_status": cabin.parking_brake,
            "brake_pedal_status": awake and engine.braking,
            "transmission_gear_position": self.gear_position,
            "odometer": self.odometer,
            "ignition_status": cabin.ignition.value,
            "fuel_level": 100 * engine.fuel / TANK,
            "fuel_consumed_since_restart": engine.fuel_consumed,
            "driver_door": cabin.driver_door,
            "passenger_door": cabin.passenger_door,
            "rear_left_door": cabin.rear_left_door,
            "rear_right_door": cabin.rear_right_door,
            "door_lock_status": cabin.locked,
            "headlamp_status": dark or (awake and self.raining),
            "high_beam_status": dark and self.speed > 18 and abs(self.circuit.curvature(self.position)) < 0.004,
            "windshield_wiper_status": awake and self.raining,
            "turn_signal_left": turn is Turn.LEFT,
            "turn_signal_right": turn is Turn.RIGHT,
            "turn_signal_status": "off" if turn is Turn.NONE else turn.value,
            "longitudinal_acceleration": self.acceleration,
            "lateral_acceleration": self.lateral_acceleration,
            "latitude": place.latitude,
            "longitude": place.longitude,
            **_sexagesimal("latitude", place.latitude),
            **_sexagesimal("longitude", place.longitude),
            "button_type": self._buttons.button.type or 0,
            "button_state": self._buttons.button.state or 0,
        }

    # The driver

    def _run_script(self, now: float) -> None:
        while self._script and self._script[0].at <= now - self._script_start:
            self._perform(self._script.pop(0))
        start, length = self._rain
        if now >= start + length:
            self._rain = (now + self._chance.uniform(120, 300), self._chance.uniform(25, 70))

    def _perform(self, deed: Deed) -> None:
        before = self.cabin.ignition
        self.cabin = perform(self.cabin, deed.change)
        if self.cabin.ignition is before:
            return
        if self.cabin.ignition is Ignition.RUN:
            self.powertrain.start()
        elif before is Ignition.RUN:
            self.powertrain.stop()

    def _drive(self, now: float) -> None:
        ready = self.cabin.selector is Selector.DRIVE and self.cabin.ignition is Ignition.RUN
        engine = self.powertrain
        if not ready or now < self._wait_until:
            # Standing: the foot is on the brake while the engine pulls against it.
            cranking = self.cabin.ignition is Ignition.START
            held = -0.3 * MASS if self.cabin.ignition is Ignition.RUN and not self.cabin.parking_brake else 0.0
            engine.step(STEP, 0.0, held, engaged=ready, cranking=cranking)
            self.acceleration = self._wanted = 0.0
            return
        wish = self._wish()
        self._wanted += max(-1.5 * JERK * STEP, min(JERK * STEP, wish - self._wanted))
        resistance = road_resistance(self.speed, self.circuit.grade(self.position))
        force = engine.step(STEP, self.speed, MASS * self._wanted + resistance, engaged=True, cranking=False)
        self._move((force - resistance) / MASS)
        if self.speed < 0.1 and self._stop[0] - self.position < 3.0:
            self._halt(now)

    def _wish(self) -> float:
        """The acceleration that the driver would like, in m/s²."""
        place = self.position
        section = self.circuit.section(place)
        if section != self._section:
            self._section, self._mood = section, self._chance.uniform(0.93, 1.0)
        target = self._mood * min(self.circuit.speed(place), self.circuit.speed(place + self.speed * LOOK_AHEAD))
        target *= 1 + WAVER * math.sin(0.37 * self.time) * math.sin(0.11 * self.time)
        wish = max(-3.0, min(COMFORT - 0.02 * self.speed, 0.9 * (target - self.speed)))
        left = self._stop[0] - place
        needed = self.speed * self.speed / (2 * max(left, 0.4))
        if needed > STOP_BRAKING or (left < 3.0 and self.speed < 2.0):
            return -min(HARD_BRAKING, max(needed, 0.7))
        return wish

    def _move(self, acceleration: float) -> None:
        before = self.speed
        self.speed = max(0.0, before + acceleration * STEP)
        self.acceleration = (self.speed - before) / STEP
        self.distance += (before + self.speed) / 2 * STEP

    def _halt(self, now: float) -> None:
        kind = self._stop[1]
        self.speed = self.acceleration = self._wanted = 0.0
        if kind is StopKind.LIGHT:
            self._wait_until = now + self._chance.uniform(5, 16)
        else:
            self._script, self._script_start = list(PASSENGER if kind is StopKind.PASSENGER else PETROL), now
            self._wait_until = now + self._script[-1].at
        self._stop = self._next_stop(self.position + 5.0)

    def _next_stop(self, place: float) -> tuple[float, StopKind]:
        """The next place where this driver will stop: lights may be green, and petrol is not always needed."""
        at, kind = self.circuit.stop_after(max(place, self.circuit.start))
        while not self._stops_for(kind):
            at, kind = self.circuit.stop_after(at + 1.0)
        return at, kind

    def _stops_for(self, kind: StopKind) -> bool:
        if kind is StopKind.PETROL:
            return self.powertrain.fuel < LOW_FUEL * TANK
        return kind is StopKind.PASSENGER or self._chance.random() < 0.6


def _with_commands(values: dict[str, Value], held: dict[str, Value]) -> dict[str, Value]:
    merged = values | held
    left, right = merged["turn_signal_left"], merged["turn_signal_right"]
    merged["turn_signal_status"] = "left" if left else "right" if right else "off"
    return merged


def _sexagesimal(name: str, degrees: float) -> dict[str, Value]:
    """A coordinate as a GPS receiver sends it: degrees with the sign, minutes, and ten-thousandths of a minute."""
    total = round(abs(degrees) * 600_000)
    whole, rest = divmod(total, 600_000)
    minutes, fraction = divmod(rest, 10_000)
    return {
        f"{name}_degrees": int(math.copysign(whole, degrees)),
        f"{name}_minutes": minutes,
        f"{name}_minute_fraction": fraction / 10_000,
    }
