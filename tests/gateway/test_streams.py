"""Streams over real gRPC: how they end while a message is on its way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc import aio

from bridge.gateway.answering import Answering
from bridge.gateway.errors import WrongState
from bridge.gateway.streams import Stream
from bridge.limits import STREAM_QUEUE_SIZE
from bridge.openobd.messages import IsotpMessage
from bridge.openobd.services import add_canServicer_to_server, canServicer, canStub

from .bench import SOON

LONG = IsotpMessage(payload="00" * 4095)


class Talker(canServicer):
    """Says something, and ends the stream at once."""

    def __init__(self, count: int, limit: int, size_limit: int = STREAM_QUEUE_SIZE) -> None:
        self.count = count
        self.limit = limit
        self.size_limit = size_limit
        self.stream: Stream[IsotpMessage] | None = None

    async def openIsotpStream(self, request, call):  # noqa: N802
        self.stream = Stream[IsotpMessage](call, self.limit, self.size_limit)
        for _ in range(self.count):
            self.stream.put(LONG)
        asyncio.get_running_loop().call_soon(self.stream.end, WrongState("it is over"))
        await self.stream.run(lambda message: None)


@asynccontextmanager
async def serving(talker: Talker):
    server = aio.server(interceptors=[Answering()])
    add_canServicer_to_server(talker, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield canStub(channel)
    await server.stop(None)


@pytest.mark.parametrize("count", [0, 1, 100])
async def test_the_status_comes_whatever_is_on_its_way(count, caplog) -> None:
    caplog.set_level(logging.INFO)
    async with serving(Talker(count, 2000)) as can, asyncio.timeout(SOON):
        for _ in range(20):
            call = can.openIsotpStream()
            with pytest.raises(aio.AioRpcError):
                while True:
                    await call.read()
            assert (await call.code(), await call.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "it is over")
    assert not [record for record in caplog.records if record.name.startswith("bridge.")]


async def test_a_caller_that_leaves_amid_messages_is_no_fault(caplog) -> None:
    caplog.set_level(logging.INFO)
    talker = Talker(1000, 2000, 2000 * LONG.ByteSize())
    async with serving(talker) as can, asyncio.timeout(SOON):
        for _ in range(20):
            call = can.openIsotpStream()
            await call.wait_for_connection()
            call.cancel()
    assert not [record for record in caplog.records if record.name.startswith("bridge.")]


async def test_a_call_amid_which_the_server_stops_is_no_fault(caplog) -> None:
    class Late(Talker):
        async def openIsotpStream(self, request, call):  # noqa: N802
            stopping = asyncio.ensure_future(server.stop(None))
            with contextlib.suppress(asyncio.CancelledError):  # stopping cancels calls, this one too late
                await asyncio.shield(stopping)
            await stopping
            try:
                await super().openIsotpStream(request, call)
            finally:
                over.set()

    over = asyncio.Event()
    server = aio.server(interceptors=[Answering()])
    add_canServicer_to_server(Late(1, 2000), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    caplog.set_level(logging.INFO)
    async with asyncio.timeout(SOON), aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(aio.AioRpcError):
            await canStub(channel).openIsotpStream().read()
        await over.wait()
    assert not [record for record in caplog.records if record.name.startswith("bridge.")]


async def test_the_oldest_messages_go_where_nobody_reads(caplog) -> None:
    await lose(Talker(100, 10), caplog)


async def test_so_they_do_where_they_are_long(caplog) -> None:
    await lose(Talker(100, 1000, 10 * LONG.ByteSize()), caplog)


async def lose(talker: Talker, caplog) -> None:
    """Ten of a hundred messages have room."""
    async with serving(talker) as can, asyncio.timeout(SOON):
        call = can.openIsotpStream()
        with pytest.raises(aio.AioRpcError):
            while True:
                await call.read()
    assert talker.stream.dropped == 90
    assert "90 messages of a stream were lost because its client did not read" in caplog.text
