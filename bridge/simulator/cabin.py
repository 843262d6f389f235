"""What people do in and around the simulated vehicle: doors, switches, ignition, and the scripts of a stop.

A script is a table of moments and changes. It must not know speed, road or signals.
"""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass, replace

from bridge.openxc.messages import Value


class Ignition(enum.Enum):
    """The ignition lock, by OpenXC's names."""

    OFF = "off"
    ACCESSORY = "accessory"
    RUN = "run"
    START = "start"


class Selector(enum.Enum):
    """The selector lever, as far as this driver uses it."""

    PARK = "park"
    DRIVE = "drive"


@dataclass(frozen=True, slots=True)
class Cabin:
    """Everything that a hand can change."""

    ignition: Ignition = Ignition.OFF
    selector: Selector = Selector.PARK
    parking_brake: bool = True
    driver_door: bool = False
    passenger_door: bool = False
    rear_left_door: bool = False
    rear_right_door: bool = False
    locked: bool = False
    filling: bool = False  #: petrol runs into the tank


Change = tuple[str, Value | enum.Enum]


@dataclass(frozen=True, slots=True)
class Deed:
    """A change of the cabin at a moment, in seconds from the script's start."""

    at: float
    change: Change


START_UP = (
    Deed(0.0, ("ignition", Ignition.ACCESSORY)),
    Deed(0.1, ("driver_door", True)),
    Deed(0.5, ("driver_door", False)),
    Deed(0.7, ("ignition", Ignition.START)),
    Deed(1.3, ("ignition", Ignition.RUN)),
    Deed(1.7, ("parking_brake", False)),
    Deed(2.0, ("selector", Selector.DRIVE)),
    Deed(2.6, ("locked", True)),
)
PASSENGER = (
    Deed(0.8, ("selector", Selector.PARK)),
    Deed(1.4, ("parking_brake", True)),
    Deed(1.9, ("locked", False)),
    Deed(2.4, ("passenger_door", True)),
    Deed(5.1, ("rear_right_door", True)),
    Deed(8.0, ("rear_right_door", False)),
    Deed(9.2, ("passenger_door", False)),
    Deed(11.0, ("parking_brake", False)),
    Deed(11.5, ("selector", Selector.DRIVE)),
    Deed(12.4, ("locked", True)),
)
PETROL = (
    Deed(0.8, ("selector", Selector.PARK)),
    Deed(1.5, ("parking_brake", True)),
    Deed(2.5, ("ignition", Ignition.OFF)),
    Deed(3.0, ("locked", False)),
    Deed(3.6, ("driver_door", True)),
    Deed(6.0, ("driver_door", False)),
    Deed(12.0, ("filling", True)),
    Deed(82.0, ("filling", False)),
    Deed(90.0, ("driver_door", True)),
    Deed(92.5, ("driver_door", False)),
    Deed(94.0, ("ignition", Ignition.START)),
    Deed(94.8, ("ignition", Ignition.RUN)),
    Deed(96.5, ("parking_brake", False)),
    Deed(97.0, ("selector", Selector.DRIVE)),
    Deed(98.0, ("locked", True)),
)


def perform(cabin: Cabin, change: Change) -> Cabin:
    """The cabin after a change."""
    attribute, value = change
    return replace(cabin, **{attribute: value})  # type: ignore[arg-type]


BUTTONS = ("ok", "up", "down", "left", "right")  #: on the steering wheel, by OpenXC's names
PRESS_TIME = 0.35  #: s, the shortest press
HELD_SHORT = 0.7  #: s from pressing to held_short
HELD_LONG = 1.8  #: s from pressing to held_long


@dataclass(frozen=True, slots=True)
class Button:
    """What the steering wheel's buttons say."""

    type: str | None = None
    state: str | None = None  #: pressed, held_short, held_long or released


class ButtonPresses:
    """Somebody presses a button on the steering wheel now and then."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._queue: list[tuple[float, Button]] = []
        self.button = Button()
        self._plan(4.0)

    def step(self, now: float) -> None:
        """Go on to a moment, in the vehicle's seconds."""
        while self._queue and self._queue[0][0] <= now:
            moment, self.button = self._queue.pop(0)
            if not self._queue:
                self._plan(moment)

    def _plan(self, now: float) -> None:
        start = now + self._chance.uniform(6.0, 30.0)
        held = self._chance.choice((PRESS_TIME, PRESS_TIME, PRESS_TIME, HELD_SHORT + 0.4, HELD_LONG + 0.4))
        kind = self._chance.choice(BUTTONS)
        self._queue.append((start, Button(kind, "pressed")))
        for moment, state in ((HELD_SHORT, "held_short"), (HELD_LONG, "held_long")):
            if held > moment:
                self._queue.append((start + moment, Button(kind, state)))
        self._queue.append((start + held, Button(kind, "released")))
        self._queue.append((start + held + 0.3, Button()))
