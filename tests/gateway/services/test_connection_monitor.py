"""openOBD.v1.connectionMonitor: as the buses really are."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest
from grpc import aio

from bridge.buses.bus import BusState
from bridge.config import ConnectionSettings
from bridge.limits import LATENCY_SAMPLES
from bridge.openobd.messages import EmptyMessage, Result, ServiceResult

from ..bench import SOON, Bench, Caller
from ..refusals import refused
from .test_can import ENGINE, IsotpMessage, configure, hs


async def information(caller: Caller):
    return await caller.connectionMonitor.getConnectorInformation(EmptyMessage(), metadata=caller.metadata)


def change(bench: Bench, bus: int, state: BusState) -> None:
    """A bus comes or goes, as its adapter tells."""
    bench.buses[bus].state = state
    bench.bus_state_changed(bench.buses[bus], state, "for a test")


async def test_a_connection_that_is_there_since_the_buses_are(bench, caller) -> None:
    found = await information(caller)
    assert found.connected
    assert found.healthy
    assert found.latency == 0
    assert 0 <= time.time() * 1000 - found.connected_since < SOON * 1000
    assert await information(caller) == found


async def test_every_bus_of_the_connection_counts_until_the_session_has_its_own(bench, caller) -> None:
    before = await information(caller)
    change(bench, 2, BusState.BUS_OFF)
    lost = await information(caller)
    assert (lost.connected, lost.healthy, lost.connected_since) == (False, False, 0)
    await configure(caller, hs())
    assert (await information(caller)).connected
    change(bench, 1, BusState.GONE)
    assert not (await information(caller)).connected
    change(bench, 1, BusState.ERROR_PASSIVE)
    again = await information(caller)
    assert again.connected
    assert again.connected_since >= before.connected_since


async def test_only_buses_that_the_bridge_has_count(open_bench, join) -> None:
    bench = await open_bench(connection=(ConnectionSettings(pins={"6/14": 1, "3/11": 7}),))
    caller = await join(bench)
    await caller.active_session()
    assert (await information(caller)).connected


async def test_latency_is_measured_on_the_isotp_channels(bench, caller) -> None:
    await configure(caller, hs())
    stream = caller.can.openIsotpStream(metadata=caller.metadata)
    for _ in range(2):
        await stream.write(IsotpMessage(channel=ENGINE, payload="0100"))
        await stream.read()
    found = await information(caller)
    assert 4 <= found.latency < 500  # the engine's control unit takes 4 ms
    assert found.healthy
    for _ in range(LATENCY_SAMPLES):
        bench.gateway.core.note_latency(1, 0.7)
    slow = await information(caller)
    assert (slow.connected, slow.latency, slow.healthy) == (True, 700, False)
    stream.cancel()


async def test_the_stream_tells_at_once_and_again_and_ends_with_the_session(bench, caller, monkeypatch) -> None:
    monkeypatch.setattr("bridge.gateway.services.connection_monitor.CONNECTOR_INFORMATION_PERIOD", 0.02)
    stream = caller.connectionMonitor.openConnectorInformationStream(EmptyMessage(), metadata=caller.metadata)
    async with asyncio.timeout(SOON):
        assert (await stream.read()).connected
        assert (await stream.read()).connected
        change(bench, 1, BusState.GONE)
        while (await stream.read()).connected:
            pass
        change(bench, 1, BusState.UP)
        while not (await stream.read()).connected:
            pass
        await caller.session.finish(ServiceResult(result=[Result.RESULT_SUCCESS]), metadata=caller.metadata)
        while await stream.read() is not aio.EOF:
            pass
    assert await stream.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("call", ["getConnectorInformation", "openConnectorInformationStream"])
async def test_it_takes_the_session_token(bench, join, call) -> None:
    caller = await join(bench)
    await caller.start_session()
    method = getattr(caller.connectionMonitor, call)(EmptyMessage(), metadata=caller.metadata)
    assert await refused(method if call.startswith("get") else method.read()) is grpc.StatusCode.UNAUTHENTICATED
