"""The loop closed: an app, a bridge with a remote vehicle, and the gateway of another bridge before that vehicle."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time

import pytest
from grpc import aio

from bridge.openobd.messages import EmptyMessage
from bridge.openxc.messages import (
    CanMessage,
    DiagnosticResponse,
    PassthroughCommand,
    PredefinedObd2Command,
    SimpleMessage,
)
from tests.gateway.bench import Caller

from .far_away import gateway_port, start_gateway, start_remote, write_settings
from .harness import PROJECT, SOON
from .test_diagnostics import NAMED, named_values

LOOPBACK = '[[bus]]\nspec = "simulated"\nloopback = true\npassthrough = true\nbypass_filter = true\n'
NOBODY = 0x7E5  #: a request id that no ECU answers
ANSWER = bytes.fromhex("101462F190")  #: the first frame of the VIN


async def sessions(port: int) -> list[str]:
    """The states of all sessions of the gateway."""
    async with Caller(aio.insecure_channel(f"127.0.0.1:{port}")) as caller:
        await caller.log_in()
        found = await caller.sessionController.getSessionList(EmptyMessage(), metadata=caller.metadata)
        return [session.state for session in found.sessions]


async def test_signals_of_a_profile_and_predefined_requests(start, tmp_path, join) -> None:
    port = gateway_port(start_gateway(start, tmp_path))
    app = await join(start_remote(start, tmp_path, port).url)
    for name in ("engine_speed", "vehicle_speed", "odometer"):
        await app.find(lambda record: isinstance(record, SimpleMessage) and record.name == name)  # noqa: B023
    assert (await app.ask(PredefinedObd2Command(name="predefined_obd2", enabled=True))).status
    await named_values(app, NAMED)


async def test_raw_frames_both_ways(start, tmp_path, join) -> None:
    gateway = start_gateway(start, tmp_path, bus=LOOPBACK)
    remote = start_remote(start, tmp_path, gateway_port(gateway), bus="openobd:ticket/1?raw=0x321,0x18FEF100")
    near, far = await join(gateway.url), await join(remote.url)
    assert (await far.ask(PassthroughCommand(name="passthrough", bus=1, enabled=True))).status
    far.send(CanMessage(bus=1, id=0x555, data=b"there"))
    heard = await near.find(lambda record: isinstance(record, CanMessage) and record.id == 0x555)
    assert heard.data == b"there"
    # The other session has the bus: an app of the gateway's own may not write on it, but its ECUs may.
    far.send(CanMessage(bus=1, id=0x7E0, data=bytes.fromhex("023E000000000000")))
    await near.find(lambda record: isinstance(record, CanMessage) and record.id == 0x7E8)


async def test_what_cannot_be_heard_is_said(start, tmp_path, join) -> None:
    port = gateway_port(start_gateway(start, tmp_path))
    app = await join(start_remote(start, tmp_path, port).url)
    answer = await app.ask(PassthroughCommand(name="passthrough", bus=1, enabled=True))
    assert not answer.status
    assert answer.message == (
        "bus 1 is a remote openOBD session, which hears only the ids that its --bus names, as in ?raw=0x123,0x456"
    )
    assert (await app.ask(PassthroughCommand(name="passthrough", bus=1, enabled=False))).status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_the_session_ends_with_the_bridge(start, tmp_path, hangup, number) -> None:
    """However it is told to: a session that stays open keeps the car muted."""
    hangup(signal.SIG_DFL)
    port = gateway_port(start_gateway(start, tmp_path))
    remote = start_remote(start, tmp_path, port)
    assert await sessions(port) == ["active"]
    status, seconds = await asyncio.to_thread(remote.end, number)
    assert (status, seconds < 2) == (0, True)
    assert await sessions(port) == ["finished"]
    assert remote.errors == ""


async def test_the_gateway_is_killed_and_comes_back(start, tmp_path, join) -> None:
    """No request is answered wrongly, none is sent twice, and data flows again within five seconds."""
    gateway = start_gateway(start, tmp_path, bus=LOOPBACK)
    port = gateway_port(gateway)
    remote = start_remote(start, tmp_path, port)
    app = await join(remote.url)
    near = await join(gateway.url)
    assert (await app.request(NOBODY, 0x2E, 0x0100, payload=b"\x01")).status
    await near.find(lambda record: isinstance(record, CanMessage) and record.id == NOBODY)
    gateway.kill()
    lost = await app.find(lambda record: isinstance(record, DiagnosticResponse))
    assert (lost.id, lost.mode, lost.success, lost.negative_response_code) == (NOBODY, 0x2E, False, None)
    assert (await app.request(0x7E0, 0x22, 0xF190)).status
    failed = await app.find(lambda record: isinstance(record, DiagnosticResponse))
    assert (failed.id, failed.mode, failed.success, failed.payload) == (0x7E0, 0x22, False, None)
    await asyncio.sleep(1)  # the outage
    gateway = start_gateway(start, tmp_path, port, bus=LOOPBACK)
    began = time.monotonic()
    near = await join(gateway.url)
    await app.find(lambda record: isinstance(record, SimpleMessage) and record.name == "engine_speed")
    assert time.monotonic() - began < 5
    assert (await app.request(0x7E0, 0x22, 0xF190)).status
    answer = await app.find(lambda record: isinstance(record, DiagnosticResponse))
    assert answer.payload == b"0XCBRDGE0R0000042"
    # All that the car was sent since: neither the write nor the request that had failed.
    sent = await near.until(lambda record: isinstance(record, CanMessage) and record.data.startswith(ANSWER))
    frames = [record for record in sent if isinstance(record, CanMessage)]
    assert not [frame for frame in frames if frame.id == NOBODY]
    assert [frame.data for frame in frames].count(bytes.fromhex("0322F19000000000")) == 1
    assert await sessions(port) == ["active"]


async def test_wrong_credentials_are_one_line(start, tmp_path) -> None:
    port = gateway_port(start_gateway(start, tmp_path))
    settings = write_settings(tmp_path, port, secret="wrong")
    command = [sys.executable, "-m", "bridge", "run", "-f", str(settings), "--bus", "openobd:ticket/1"]
    ended = await asyncio.to_thread(
        subprocess.run, command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=SOON
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        f"openxc-bridge: openOBD at 127.0.0.1:{port} refuses the login; check OPENOBD_PARTNER_CLIENT_ID, "
        "OPENOBD_PARTNER_CLIENT_SECRET and OPENOBD_CLUSTER_ID"
    ]
    assert await sessions(port) == []


def test_who_waits_for_a_session_may_be_told_to_end(tmp_path) -> None:
    """Somebody takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = write_settings(tmp_path, silent.getsockname()[1])
        command = [sys.executable, "-m", "bridge", "run", "-f", str(settings), "--bus", "openobd:ticket/1"]
        bridge = subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE)
        silent.settimeout(SOON)
        connection, _ = silent.accept()
        began = time.monotonic()
        bridge.send_signal(signal.SIGTERM)
        try:
            _, errors = bridge.communicate(timeout=SOON)
        finally:
            bridge.kill()
        connection.close()
    assert time.monotonic() - began < 2
    assert (bridge.returncode, errors) == (0, b"")


@pytest.mark.parametrize("spec", ["openobd:ticket/1", "openobd:session"])
def test_without_credentials_it_says_which_variable_to_set(tmp_path, spec) -> None:
    command = [sys.executable, "-m", "bridge", "run", "--bus", spec, "--listen", "tcp://127.0.0.1:0"]
    ended = subprocess.run(command, cwd=PROJECT, env={}, capture_output=True, text=True, check=False, timeout=SOON)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "OPENOBD_" in line
