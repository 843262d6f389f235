"""openOBD.v1.config: pins become buses, and OpenXC clients are muted on them while the session has them."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from grpc import aio

from bridge.config import ConnectionSettings
from bridge.limits import SESSION_TOKEN_LIFE
from bridge.openobd.messages import (
    BusConfiguration,
    EmptyMessage,
    KlineBus,
    Result,
    ServiceResult,
    SessionId,
    Terminal15Bus,
)

from ..bench import SOON, bearer
from .test_can import ENGINE, configuration, configure, hs, isotp, opened


def kline(name: str) -> BusConfiguration:
    return BusConfiguration(bus_name=name, kline_bus=KlineBus(pin=7))


async def refusal(caller, *buses) -> tuple[str, str]:
    """Status and details of a configuration that is refused."""
    with pytest.raises(aio.AioRpcError) as error:
        await configure(caller, *buses)
    return error.value.code().name, error.value.details()


async def test_a_configuration_replaces_the_one_before(caller) -> None:
    assert not (await configuration(caller)).buses
    await configure(caller, hs())
    await isotp(caller)
    await opened(caller)
    assert list((await configuration(caller)).buses) == [hs()]
    assert [each.isotp_channel for each in (await configuration(caller)).channels] == [ENGINE]
    ms = hs(3, 11, "ms")
    ignition = BusConfiguration(bus_name="t15", terminal15_bus=Terminal15Bus(pin=1))
    await configure(caller, ms, ignition, kline("k"))
    now = await configuration(caller)
    assert (list(now.buses), len(now.channels)) == ([ms, ignition, kline("k")], 0)


@pytest.mark.parametrize(
    ("buses", "status", "says"),
    [
        ([hs(1, 9)], "NOT_FOUND", "there is no CAN bus at pins 1/9 of 'hs'; there are 6/14, 3/11"),
        ([hs(14, 6)], "NOT_FOUND", "pins 14/6"),
        ([hs(), hs(3, 11)], "INVALID_ARGUMENT", "'hs' is there twice"),
        ([hs(), hs(name="too")], "INVALID_ARGUMENT", "the pins of 'too' are used twice"),
        ([hs(name="")], "INVALID_ARGUMENT", "needs a name"),
        ([hs(name="x" * 65)], "INVALID_ARGUMENT", "needs a name of 1 to 64 characters"),
        ([BusConfiguration(bus_name="hs")], "INVALID_ARGUMENT", "'hs' has no definition"),
        ([kline(str(number)) for number in range(17)], "RESOURCE_EXHAUSTED", "16 buses are the most"),
    ],
)
async def test_what_makes_no_sense_changes_nothing(caller, buses, status, says) -> None:
    await configure(caller, hs(3, 11))
    code, details = await refusal(caller, *buses)
    assert (code, says in details) == (status, True), details
    assert list((await configuration(caller)).buses) == [hs(3, 11)]


async def test_what_the_protocol_does_not_know_is_not_kept(bench, caller) -> None:
    """It may be of any size."""
    unknown = bytes.fromhex("c23e04") + b"????"  # field 1000
    sent = caller.channel.stream_unary("/openOBD.v1.config/configureBus")
    await sent(iter([hs().SerializeToString() + unknown]), metadata=caller.metadata)
    [session] = bench.gateway.core.sessions.open
    assert [each.SerializeToString() for each in session.configuration] == [hs().SerializeToString()]


async def test_a_configuration_that_does_not_end_is_a_stream_of_its_session(bench, caller) -> None:
    """So there are only so many, and they go with the session."""
    call = caller.config.configureBus(metadata=caller.metadata)
    await call.write(hs())
    [session] = bench.gateway.core.sessions.open
    async with asyncio.timeout(SOON):
        while not session.streams:
            await configuration(caller)
        await caller.session.finish(ServiceResult(result=[Result.RESULT_SUCCESS]), metadata=caller.metadata)
        with pytest.raises(aio.AioRpcError) as error:
            await call
    assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert (session.streams, bench.muted) == (0, set())


async def test_openxc_clients_are_muted_while_a_session_has_the_bus(bench, caller, join) -> None:
    assert bench.muted == set()
    await configure(caller, hs())
    assert bench.muted == {1}
    await caller.config.unmuteLocals(EmptyMessage(), metadata=caller.metadata)
    assert bench.muted == set()
    await caller.config.muteLocals(EmptyMessage(), metadata=caller.metadata)
    await configure(caller, hs(), hs(3, 11, "ms"))
    assert bench.muted == {1, 2}
    other = await join(bench)
    await other.active_session()
    await configure(other, hs())
    await caller.session.finish(ServiceResult(result=[Result.RESULT_SUCCESS]), metadata=caller.metadata)
    assert bench.muted == {1}
    await other.session.finish(ServiceResult(result=[Result.RESULT_SUCCESS]), metadata=other.metadata)
    assert bench.muted == set()


@pytest.mark.parametrize("end", ["finish", "interrupt", "expiry", "another configuration", "the gateway stops"])
async def test_no_way_out_of_a_session_leaves_a_bus_muted(bench, caller, end) -> None:
    await configure(caller, hs())
    assert bench.muted == {1}
    core = bench.gateway.core
    match end:
        case "finish":
            await caller.session.finish(ServiceResult(result=[Result.RESULT_FAILURE]), metadata=caller.metadata)
        case "interrupt":
            [session] = core.sessions.open
            metadata = bearer(await caller.log_in())
            await caller.sessionController.interruptSession(SessionId(value=session.id), metadata=metadata)
        case "expiry":
            core.sessions.fail_abandoned(core.clock() + SESSION_TOKEN_LIFE)
        case "another configuration":
            await configure(caller, kline("k"))
        case "the gateway stops":
            await bench.gateway.stop()
    assert bench.muted == set()


async def test_a_gateway_may_leave_them_unmuted_at_first(open_bench, join) -> None:
    bench = await open_bench(mute_at_start=False)
    caller = await join(bench)
    await caller.active_session()
    await configure(caller, hs())
    assert bench.muted == set()
    await caller.config.muteLocals(EmptyMessage(), metadata=caller.metadata)
    assert bench.muted == {1}


async def test_pins_are_the_connections(open_bench, join) -> None:
    bench = await open_bench(connection=(ConnectionSettings(tickets=("7",), pins={"1/9": 2, "6/14": 5}),))
    caller = await join(bench)
    await caller.active_session("7")
    await configure(caller, hs(1, 9))
    assert bench.gateway.core.sessions.open[0].buses == {"hs": 2}
    assert await refusal(caller, hs()) == (
        "NOT_FOUND",
        "there is no CAN bus at pins 6/14 of 'hs'; there are 1/9",
    )


async def test_only_an_active_session_is_configured(bench, join) -> None:
    caller = await join(bench)
    await caller.start_session()
    with pytest.raises(aio.AioRpcError) as error:
        await caller.config.muteLocals(EmptyMessage(), metadata=caller.metadata)
    assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
