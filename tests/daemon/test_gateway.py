"""The gateway within the daemon: openOBD callers beside OpenXC apps, on the same buses."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest
from grpc import aio

from bridge.openobd.messages import (
    Continue,
    Control,
    EmptyMessage,
    Result,
    ServiceResult,
    SessionId,
    Terminal15State,
    YesNo,
)
from bridge.openxc.messages import DiagnosticResponse
from tests.gateway.bench import SOON, Caller
from tests.gateway.services.test_can import configure, hs, isotp
from tests.gateway.user_interface.person import Person

from .harness import PROJECT, Daemon

SUCCESS = ServiceResult(result=[Result.RESULT_SUCCESS])


@pytest.fixture
def start_gateway(start, tmp_path):
    """Start a daemon with a gateway, and further settings for it; the daemon and the gateway's address."""

    def start_gateway(gateway: str = "", top: str = "", *arguments: str):
        file = tmp_path / "bridge.toml"
        file.write_text(f'{top}\n[[listen]]\nurl = "tcp://127.0.0.1:0"\n[gateway]\nlisten = "127.0.0.1:0"\n{gateway}\n')
        daemon = start("-f", file, *arguments)
        host, port = re.search(r"OPENOBD_GRPC_HOST=(\S+) OPENOBD_GRPC_PORT=(\d+)", daemon.printed).groups()
        return daemon, f"{host}:{port}"

    return start_gateway


async def test_the_bench_is_printed_to_be_pasted(start_gateway) -> None:
    daemon, address = start_gateway()
    assert f"openOBD scripts connect to {address} (in the clear)" in daemon.printed
    assert re.findall(r"^ +export (OPENOBD_.*)", daemon.printed, re.MULTILINE)[1:] == [
        "OPENOBD_CLUSTER_ID=001",
        "OPENOBD_PARTNER_CLIENT_ID=bench-client",
        "OPENOBD_PARTNER_CLIENT_SECRET=bench-secret",
    ]


async def test_scripts_and_apps_share_the_vehicle(start_gateway, join) -> None:
    daemon, address = start_gateway()
    app = await join(daemon.url)
    async with Caller(aio.insecure_channel(address)) as caller:
        await caller.active_session()
        assert (await app.request(0x7E0, 0x3E)).status
        await app.find(lambda record: isinstance(record, DiagnosticResponse))
        await configure(caller, hs())
        talk = await isotp(caller)
        # The session has the bus to itself, until it says otherwise.
        refused = await app.request(0x7E0, 0x3E)
        assert (refused.status, "openOBD session" in refused.message) == (False, True)
        assert (await talk.ask("22F190")).startswith("62F190")
        await caller.config.unmuteLocals(EmptyMessage(), metadata=caller.metadata)
        assert (await app.request(0x7E0, 0x01, 0x0C)).status
        assert (await talk.hear()).startswith("410C")  # it hears what the app's request brought
        answer = await app.find(lambda record: isinstance(record, DiagnosticResponse) and record.mode == 1)
        assert (answer.id, answer.pid, answer.success) == (0x7E0, 0x0C, True)
        await caller.session.finish(SUCCESS, metadata=caller.metadata)
    assert (await app.request(0x7E0, 0x3E)).status


async def test_an_app_may_write_again_when_a_session_is_lost_with_its_caller(start_gateway, join) -> None:
    daemon, address = start_gateway()
    app = await join(daemon.url)
    async with Caller(aio.insecure_channel(address)) as caller:
        info = await caller.active_session()
        await configure(caller, hs())
        assert not (await app.request(0x7E0, 0x3E)).status
        await caller.log_in()
        await caller.sessionController.interruptSession(SessionId(value=info.id), metadata=caller.metadata)
    assert (await app.request(0x7E0, 0x3E)).status


async def test_the_ignition_is_the_vehicles_even_while_no_app_listens(start_gateway) -> None:
    _, address = start_gateway('terminal15 = "ignition_status"')
    async with Caller(aio.insecure_channel(address)) as caller, asyncio.timeout(SOON):
        await caller.active_session()
        stream = caller.terminal15.openTerminal15Stream(EmptyMessage(), metadata=caller.metadata)
        while (await stream.read()).state != Terminal15State.STATE_ON:
            pass


async def test_a_running_session_does_not_keep_the_daemon(start_gateway) -> None:
    daemon, address = start_gateway()
    async with Caller(aio.insecure_channel(address)) as caller:
        await caller.active_session()
        await configure(caller, hs())
        talk = await isotp(caller)
        assert await talk.ask("3E00") == "7E00"
        status, seconds = await asyncio.to_thread(daemon.end)
        assert (status, seconds < 2) == (0, True)
        assert "Traceback" not in daemon.errors, daemon.errors
        await talk.end()


async def test_the_person_at_the_bridge_s_terminal_answers(tmp_path) -> None:
    person = Person()
    options = ("--listen", "tcp://127.0.0.1:0", "--gateway", "127.0.0.1:0", "--ui", "terminal")
    daemon = Daemon(tmp_path, *options, stdin=person.descriptor)
    try:
        address = ":".join(re.search(r"OPENOBD_GRPC_HOST=(\S+) OPENOBD_GRPC_PORT=(\d+)", daemon.printed).groups())
        async with Caller(aio.insecure_channel(address)) as caller, asyncio.timeout(SOON):
            await caller.active_session()
            stream = caller.userInterface.openControlStream(metadata=caller.metadata)
            await stream.write(Control(control_yesno=YesNo(label="Is it running?")))
            assert "Is it running?" in await person.sees("yes or no? ")
            person.type("yes\n")
            assert (await stream.read()).control_yesno.answer
            await stream.write(Control(control_continue=Continue(label="Stop the engine")))
            await person.sees("Enter to continue: ")
            status, seconds = await asyncio.to_thread(daemon.end)  # while it waits for a key
            assert (status, seconds < 2) == (0, True), daemon.errors
            assert "Traceback" not in daemon.errors, daemon.errors
    finally:
        daemon.kill()
        person.close()


@pytest.mark.parametrize(
    ("gateway", "says"),
    [
        ('listen = "0.0.0.0:0"', "gateway.insecure = true"),
        ('listen = "nowhere.invalid:1"\ninsecure = true', "cannot listen on nowhere.invalid:1"),
        ('listen = "127.0.0.1:x"', "'x' is no port"),
        ('terminal15 = "no_such_signal"', 'the profile has no signal "no_such_signal"'),
        ('allow_write = "everything"', 'gateway.allow_write: "everything" cannot be allowed'),
        ('ui = "terminal"', 'gateway.ui: "terminal" needs a terminal for its input'),
        ('[[gateway.answer]]\nlabel = "("\nanswer = true', "bridge.toml: gateway.answer[0].label: not a regular"),
        ('certificate = "no.pem"', "gateway.key is missing"),
        ('state = "/nowhere/state.sqlite"', "gateway.state: /nowhere/state.sqlite"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, gateway, says) -> None:
    listen = "" if "listen" in gateway else 'listen = "127.0.0.1:0"\n'
    file = tmp_path / "bridge.toml"
    file.write_text(f'[[listen]]\nurl = "tcp://127.0.0.1:0"\n[gateway]\n{listen}{gateway}\n')
    ended = subprocess.run(
        [sys.executable, "-m", "bridge", "run", "-f", str(file)],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=SOON,
    )
    (line,) = ended.stderr.splitlines()
    assert (ended.returncode, line.startswith("openxc-bridge: "), says in line) == (1, True, True), ended.stderr


def test_a_port_in_use_is_said(start_gateway, tmp_path) -> None:
    _, address = start_gateway()
    file = tmp_path / "second.toml"
    file.write_text(f'[[listen]]\nurl = "tcp://127.0.0.1:0"\n[gateway]\nlisten = "{address}"\n')
    ended = subprocess.run(
        [sys.executable, "-m", "bridge", "run", "-f", str(file)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=SOON,
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert f"the gateway cannot listen on {address}: the port is in use" in line


def test_without_a_gateway_there_is_no_grpc(start) -> None:
    """It would cost every user start-up time and memory."""
    daemon = start()
    assert "grpc" not in Path(f"/proc/{daemon.process.pid}/maps").read_text()
