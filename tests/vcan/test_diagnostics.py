"""Diagnostics over the kernel's CAN: the simulated vehicle on vcan0, another maker's ISO-TP on vcan1."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import can
import isotp
import pytest

from bridge.openxc.messages import DiagnosticResponse, SimpleMessage
from bridge.simulator.ecus import VIN, pattern

ENGINE, FUNCTIONAL = 0x7E0, 0x7DF
SIMULATED, ISOTP = 1, 2  #: buses
LENGTH = 600  #: bytes of a response that takes several blocks of consecutive frames
PATIENCE = 5.0  #: seconds before an app asks again: a busy machine may keep an ECU from answering in its time


@pytest.fixture(scope="module")
def daemon(vehicle, start_shared):
    return start_shared("--profile", "demo", "--bus", "socketcan:vcan0", "--bus", "socketcan:vcan1")


@pytest.fixture
async def app(daemon, join):
    return await join(daemon.url)


async def ask(app, mode, pid, *, bus=SIMULATED, identifier=ENGINE, count=1):
    """Request until so many ECUs have answered; their responses."""
    for _ in range(4):
        assert (await app.request(identifier, mode, pid, bus=bus)).status
        found = {}
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while len(found) < count:
                    response = await app.find(lambda record: isinstance(record, DiagnosticResponse))
                    assert (response.bus, response.mode, response.pid) == (bus, mode, pid)
                    found[response.id] = response
                return found
    raise AssertionError(f"no answer to service 0x{mode:x}")


async def test_the_vehicle_is_heard(app):
    speed = await app.find(lambda record: isinstance(record, SimpleMessage) and record.name == "vehicle_speed")
    assert 0 <= speed.value < 200


@pytest.mark.parametrize(("pid", "low", "high"), [(0x05, -40, 130), (0x0C, 0, 7000), (0x0D, 0, 150)])
async def test_pids_of_obd2(app, pid, low, high):
    response = (await ask(app, 0x01, pid))[ENGINE]
    assert response.success
    assert low <= response.value <= high


async def test_the_vin_takes_several_frames(app):
    response = (await ask(app, 0x09, 0x02))[ENGINE]
    assert response.payload == b"\x01" + VIN.encode()


async def test_a_functional_request_is_answered_by_each_ecu(app):
    assert set(await ask(app, 0x01, 0x00, identifier=FUNCTIONAL, count=2)) == {0x7E8, 0x7E9}


def answer(stack, content, done):
    """An ECU's answers, as often as it is asked."""
    while not done.is_set():
        request = stack.recv(block=True, timeout=0.05)
        if request is not None:
            assert request == b"\x22\xf1\x90"
            stack.send(b"\x62\xf1\x90" + content)


@pytest.mark.parametrize("block_size", [0, 8])
async def test_an_ecu_with_another_isotp(app, block_size):
    """can-isotp answers; its flow control and its frames are not ours."""
    content = pattern(LENGTH)
    address = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x7E8, rxid=0x7E0)
    with can.Bus(interface="socketcan", channel="vcan1") as bus:
        stack = isotp.CanStack(bus, address=address, params={"blocksize": block_size})
        stack.start()
        done = threading.Event()
        answering = asyncio.create_task(asyncio.to_thread(answer, stack, content, done))
        try:
            response = (await ask(app, 0x22, 0xF190, bus=ISOTP))[ENGINE]
        finally:
            done.set()
            await answering
            stack.stop()
    assert response.success
    assert response.payload == content
