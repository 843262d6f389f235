"""What the tests of single buses share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from bridge.buses.bus import Bus, BusState
from bridge.frames import Frame, FrameBatch

PATIENCE = 20.0


class Listener:
    """Keeps what a bus says, and lets a test wait for it."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.batches: list[FrameBatch] = []
        self.states: list[tuple[BusState, str]] = []
        self._news = asyncio.Event()

    def frames_received(self, bus: Bus, batch: FrameBatch) -> None:
        self.batches.append(batch)
        self.frames.extend(batch)
        self._news.set()

    def bus_state_changed(self, bus: Bus, state: BusState, reason: str) -> None:
        self.states.append((state, reason))
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def heard(self, count: int) -> list[Frame]:
        await self.until(lambda: len(self.frames) >= count)
        return self.frames


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def new_listener() -> type[Listener]:
    return Listener
