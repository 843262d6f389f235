"""What the tests of single buses share."""

from __future__ import annotations

import pytest

from bridge.buses.bus import Bus, BusState
from bridge.frames import FrameBatch
from tests.contract import harness


class Listener(harness.Listener):
    """Keeps the batches, and the reasons of the states, too."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[FrameBatch] = []
        self.states: list[tuple[BusState, str]] = []

    def frames_received(self, bus: Bus, batch: FrameBatch) -> None:
        self.batches.append(batch)
        self.frames.extend(batch)
        self._news.set()

    def bus_state_changed(self, bus: Bus, state: BusState, reason: str) -> None:
        self.states.append((state, reason))
        self._news.set()


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def new_listener() -> type[Listener]:
    return Listener
