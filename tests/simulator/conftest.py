"""Half an hour of driving, once for all tests that look at it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from bridge.openxc.messages import Value
from bridge.simulator.vehicle import Vehicle

SAMPLE = 0.1  #: s


@dataclass
class Drive:
    vehicle: Vehicle
    samples: list[dict[str, Value]] = field(default_factory=list)
    places: list[float] = field(default_factory=list)
    fuel: list[float] = field(default_factory=list)


@pytest.fixture(scope="session")
def drive() -> Drive:
    vehicle = Vehicle(seed=3, start=1000.0)
    recorded = Drive(vehicle)
    for number in range(1, 30 * 60 * 10 + 1):
        now = 1000.0 + number * SAMPLE
        vehicle.advance(now)
        recorded.samples.append(vehicle.values(now))
        recorded.places.append(vehicle.position)
        recorded.fuel.append(vehicle.powertrain.fuel)
    return recorded


@pytest.fixture
def driving() -> Vehicle:
    """A vehicle that has been on its way for half a minute; its clock says 30."""
    vehicle = Vehicle(seed=1)
    for now in range(1, 31):
        vehicle.advance(float(now))
    assert vehicle.speed > 5
    return vehicle


@pytest.fixture
def parked() -> Vehicle:
    """A vehicle that has not moved yet; its clock says 0."""
    return Vehicle(seed=1)
