"""openOBD.v1.terminal15, and what the gateway does not speak."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from bridge.openobd.messages import DoipChannel, DoipMessage, EmptyMessage, KlineChannel, KlineMessage, Terminal15State

from ..bench import SOON
from .test_can import Talk


async def told(stream) -> Terminal15State:
    async with asyncio.timeout(SOON):
        return (await stream.read()).state


async def test_the_ignition_is_on_where_no_signal_tells(caller) -> None:
    stream = caller.terminal15.openTerminal15Stream(EmptyMessage(), metadata=caller.metadata)
    assert await told(stream) == Terminal15State.STATE_ON


async def test_the_ignition_follows_its_signal(open_bench, join) -> None:
    bench = await open_bench(terminal15="ignition_status")
    caller = await join(bench)
    await caller.active_session()
    stream = caller.terminal15.openTerminal15Stream(EmptyMessage(), metadata=caller.metadata)
    assert await told(stream) == Terminal15State.STATE_UNDEFINED
    for value, state in (
        ("run", Terminal15State.STATE_ON),
        ("off", Terminal15State.STATE_OFF),
        (True, Terminal15State.STATE_ON),
        (1, Terminal15State.STATE_OFF),  # a number is not a boolean
    ):
        bench.signals["ignition_status"] = value
        assert await told(stream) == state


@pytest.mark.parametrize(
    ("service", "method", "make", "channel", "says"),
    [
        ("kline", "openKlineStream", KlineMessage, KlineChannel(), "K-line"),
        ("doip", "openDoipStream", DoipMessage, DoipChannel(), "DoIP"),
    ],
)
async def test_what_is_missing_is_said(caller, service, method, make, channel, says) -> None:
    talk = Talk(getattr(getattr(caller, service), method)(metadata=caller.metadata), make, channel)
    code, details = await talk.end()
    assert (code, says in details) == (grpc.StatusCode.UNIMPLEMENTED, True), details
    talk = Talk(getattr(getattr(caller, service), method)(), make, channel)
    assert (await talk.end())[0] is grpc.StatusCode.UNAUTHENTICATED
