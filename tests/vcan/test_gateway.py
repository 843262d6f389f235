"""openOBD scripts on the kernel's CAN: the simulated vehicle on vcan0, can-utils on vcan1."""

from __future__ import annotations

import asyncio
import re

import pytest
from grpc import aio

from bridge.openobd.messages import IsotpChannel, RawChannel
from bridge.simulator.ecus import VIN
from tests.gateway.bench import Caller
from tests.gateway.services.test_can import configure, hs, isotp, opened, raw

from .can_utils import Candump, cansend

PATIENCE = 5.0  #: seconds before a script asks again: a busy machine may keep an ECU from answering in its time
ENGINE = IsotpChannel(bus_name="hs", request_id=0x7E0, response_id=0x7E8)


@pytest.fixture
async def caller(vehicle, start):
    """A script with a claimed session that has both buses."""
    buses = ("--bus", "socketcan:vcan0", "--bus", "socketcan:vcan1")
    daemon = start(*buses, "--gateway", "127.0.0.1:0", "--allow-write", "all", "--listen", "tcp://127.0.0.1:0")
    host, port = re.search(r"OPENOBD_GRPC_HOST=(\S+) OPENOBD_GRPC_PORT=(\d+)", daemon.printed).groups()
    async with Caller(aio.insecure_channel(f"{host}:{port}")) as caller:
        await caller.active_session()
        await configure(caller, hs(), hs(3, 11, "ms"))
        yield caller


async def ask(talk, payload: str) -> str:
    """Request until there is an answer."""
    for _ in range(4):
        await talk.send(payload)
        try:
            async with asyncio.timeout(PATIENCE):
                return await talk.hear()
        except TimeoutError:
            continue
    raise AssertionError(f"no answer to {payload}")


async def test_the_vehicle_on_vcan0_answers(caller):
    talk = await isotp(caller, ENGINE)
    assert await ask(talk, "3E00") == "7E00"
    assert await ask(talk, "22F190") == "62F190" + VIN.encode().hex().upper()


async def test_raw_frames_beside_can_utils(caller):
    talk = await raw(caller, RawChannel(bus_name="ms", request_id=0x123, response_id=0x321))
    await opened(caller)
    await asyncio.to_thread(cansend, "vcan1", "320#00", "321#DEADBEEF")
    assert await talk.hear() == "DEADBEEF"
    with Candump("vcan1") as dump:
        await talk.send("0102")
        assert await asyncio.to_thread(dump.lines, 1) == ["vcan1 123#0102"]
