"""What the tests of single buses share."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from bridge.buses.bus import Bus, BusState
from bridge.frames import FrameBatch
from tests.contract import harness
from tests.gateway.bench import Caller

from .remote import Remote


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


@pytest.fixture
async def open_remote():
    """Make remote vehicles with settings of the gateway; they end with the test."""
    async with AsyncExitStack() as stack:

        async def open_remote(**settings) -> Remote:
            return await stack.enter_async_context(Remote(**settings))

        yield open_remote


@pytest.fixture
async def remote(open_remote) -> Remote:
    return await open_remote()


@pytest.fixture
async def join_gateway():
    """Connect other callers to a gateway; they leave with the test."""
    async with AsyncExitStack() as stack:

        async def join_gateway(remote: Remote) -> Caller:
            return await stack.enter_async_context(remote.bench.caller())

        yield join_gateway
