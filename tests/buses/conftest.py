"""What the tests of single buses share."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from bridge.buses.bus import Bus, BusState
from bridge.buses.slcan import SlcanBus
from bridge.buses.slcan_adapter import ChannelSettings
from bridge.frames import FrameBatch
from tests.contract import harness
from tests.gateway.bench import Caller

from .remote import Remote
from .slcan_adapter import SlcanAdapter, Wire

PATIENCE = 20.0
SOON = 0.02  #: seconds until something that will never come
SLCAN_SETTINGS = ChannelSettings(500_000)


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


@pytest.fixture
async def wire():
    """What joins slcan adapters; they are unplugged after the test."""
    wire = Wire()
    yield wire
    wire.close()


@pytest.fixture
async def adapter(wire) -> SlcanAdapter:
    return SlcanAdapter(wire)


@pytest.fixture
async def make_slcan():
    """Makes slcan buses that wait long for answers and not at all for adapters; they are closed after the test."""
    buses: list[SlcanBus] = []

    def make_bus(
        path: str, settings: ChannelSettings = SLCAN_SETTINGS, *, patience: float = PATIENCE, **options
    ) -> SlcanBus:
        bus = SlcanBus(4, "stick", str(path), settings, **options)
        bus.answer_timeout = patience
        bus.start_timeout = bus.reopen_period = SOON
        buses.append(bus)
        return bus

    yield make_bus
    for bus in buses:
        await bus.close()


@pytest.fixture
async def opened(make_slcan, adapter, listener) -> SlcanBus:
    bus = make_slcan(adapter.path)
    await bus.open(listener)
    return bus
