"""The two-way stream, on calls that end in ways that a network seldom shows."""

from __future__ import annotations

import asyncio
import contextlib

import grpc
import pytest
from grpc import aio

from bridge.buses.openobd_stream import RemoteStream

PATIENCE = 20.0


class Call:
    """Says nothing. Cancelled, it fails as gRPC's does where the connection is lost in the same turn."""

    def __init__(self) -> None:
        self._over = asyncio.Event()

    def cancel(self) -> None:
        self._over.set()

    def __aiter__(self) -> Call:
        return self

    async def __anext__(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # its reader goes on to the status
            await self._over.wait()
        raise aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, aio.Metadata(), aio.Metadata(), "Socket closed")


@pytest.fixture
async def call() -> Call:
    return Call()


async def finish(tasks: set[asyncio.Task[None]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while tasks:
            await asyncio.wait(tasks)


async def test_one_that_ends_by_itself_says_why_once(call) -> None:
    reasons: list[str] = []
    tasks: set[asyncio.Task[None]] = set()
    RemoteStream(call, limit=1, tasks=tasks, heard=pytest.fail, ended=reasons.append)
    await asyncio.sleep(0)
    call.cancel()
    await finish(tasks)
    assert len(reasons) == 1
    assert "Socket closed" in reasons[0]


async def test_one_that_was_closed_says_nothing_though_it_ends_in_the_same_turn(call) -> None:
    reasons: list[str] = []
    tasks: set[asyncio.Task[None]] = set()
    stream = RemoteStream(call, limit=1, tasks=tasks, heard=pytest.fail, ended=reasons.append)
    await asyncio.sleep(0)
    stream.close()
    await finish(tasks)
    assert reasons == []
