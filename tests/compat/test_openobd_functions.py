"""Functions of the real openOBD library: `python -m openobd serve` on one side, callers on the other."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from typing import Any

import pytest

from bridge.gateway import server

from .conftest import StartDaemon
from .openobd_client import OpenOBD, finished, shown
from .processes import Process

ADD = ("add", "first=1", "second=2")
ADDED = 'RESULT {"sum": "3", "terms": "1+2"}'
REGISTERED = "registration was successful"
CALLED = "Received a function call for function id"
FUNCTIONS = 4  # that scripts_openobd/functions has

OpenBench = Callable[..., Any]


async def launch(openobd: OpenOBD, port: int) -> Process:
    """A launcher with all functions online."""
    launcher = openobd.serve("functions", port)
    await shown(launcher, REGISTERED, FUNCTIONS)
    return launcher


async def call(openobd: OpenOBD, port: int, *words: str) -> list[str]:
    """What a script says that calls functions in one session, one after the other."""
    return await finished(openobd.script("call.py", port, *words))


async def states(openobd: OpenOBD, port: int, *functions: str) -> list[str]:
    """The states of functions, as the library sees them."""
    lines = await finished(openobd.script("look_up.py", port, *functions))
    return [line.split()[1].removeprefix("FUNCTION_REGISTRATION_STATE_") for line in lines]


async def test_arguments_go_in_and_results_come_out_also_of_functions_that_call_functions(
    open_bench: OpenBench, openobd: OpenOBD
) -> None:
    bench = await open_bench()
    port = bench.gateway.endpoint.port
    launcher = await launch(openobd, port)
    lines = await call(openobd, port, *ADD, "add-three", "first=1", "second=2", "third=39")
    assert lines == [ADDED, 'RESULT "42"', "STATE finished"]
    assert sum(CALLED in line for line in launcher.lines) == 4
    assert not bench.gateway.core.sessions.open


async def test_a_failure_and_a_function_that_nobody_serves_leave_the_caller_its_session(
    open_bench: OpenBench, openobd: OpenOBD
) -> None:
    bench = await open_bench()
    port = bench.gateway.endpoint.port
    await launch(openobd, port)
    failed, unknown, added, state = await call(openobd, port, "fail", "nothing", *ADD)
    assert failed.startswith("ERROR OpenOBDFunctionUnsuccessfulException")
    assert "RESULT_FAILURE_RUNTIME_ERROR" in failed
    assert unknown.startswith("ERROR OpenOBDFunctionUnavailableException")
    assert (added, state) == (ADDED, "STATE finished")


async def test_a_composition_of_the_command_line(open_bench: OpenBench, openobd: OpenOBD) -> None:
    bench = await open_bench()
    port = bench.gateway.endpoint.port
    await launch(openobd, port)
    lines = await finished(openobd.run("compose.py", port, ticket="4711"))
    assert "VARIABLES 4711 None" in lines
    assert "RESULT {'waiting': 'yes'} {'sum': '42', 'terms': '20+22'}" in lines
    assert not bench.gateway.core.sessions.open


async def test_a_second_launcher_takes_over_and_is_gone(open_bench: OpenBench, openobd: OpenOBD) -> None:
    bench = await open_bench()
    port = bench.gateway.endpoint.port
    first = await launch(openobd, port)
    second = await launch(openobd, port)
    await shown(first, "[add] is no longer registered")
    assert await call(openobd, port, *ADD) == [ADDED, "STATE finished"]
    assert any(CALLED in line for line in second.lines)
    assert not any(CALLED in line for line in first.lines)
    assert await states(openobd, port, "add", "nothing") == ["ONLINE", "UNAVAILABLE"]
    second.stop()
    error, state = await call(openobd, port, *ADD)
    assert error.startswith("ERROR OpenOBDFunctionUnavailableException")
    assert state == "STATE finished"
    assert await states(openobd, port, "add", "nothing") == ["OFFLINE", "UNAVAILABLE"]


async def test_a_call_that_a_launcher_does_not_answer_expires(open_bench: OpenBench, openobd: OpenOBD) -> None:
    bench = await open_bench(function_call_timeout=1.0)
    port = bench.gateway.endpoint.port
    launcher = await launch(openobd, port)
    launcher.send_signal(signal.SIGSTOP)
    error, state = await call(openobd, port, *ADD)
    assert error.startswith("ERROR OpenOBDFunctionDeadlineExceededException")
    assert state == "STATE finished"
    launcher.send_signal(signal.SIGCONT)
    await shown(launcher, CALLED)
    assert await call(openobd, port, *ADD) == [ADDED, "STATE finished"]


async def test_the_caller_of_a_launcher_that_dies_at_work_goes_on(
    open_bench: OpenBench, openobd: OpenOBD, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ABANDONED_PERIOD", 0.1)
    bench = await open_bench(session_token_refresh=1.0, session_token_life=3.0)
    port = bench.gateway.endpoint.port
    launcher = await launch(openobd, port)
    caller = openobd.script("call.py", port, "wait", "nothing")
    await shown(launcher, "WAITING")
    launcher.stop()
    died, unknown, state = await finished(caller)
    assert died.startswith("ERROR OpenOBDFunctionUnsuccessfulException")
    assert unknown.startswith("ERROR OpenOBDFunctionUnavailableException")
    assert state == "STATE finished"


async def test_a_launcher_connects_again_when_an_end_is_announced_and_leaves_at_the_end(
    open_bench: OpenBench, openobd: OpenOBD
) -> None:
    bench = await open_bench()
    port = bench.gateway.endpoint.port
    launcher = await launch(openobd, port)
    bench.gateway.announce_end(60.0)
    await shown(launcher, "Received a request to reconnect")
    await shown(launcher, REGISTERED, 2 * FUNCTIONS)
    assert await call(openobd, port, *ADD) == [ADDED, "STATE finished"]
    await bench.gateway.stop()
    lines = await finished(launcher, None)
    assert sum("Received a request to reconnect" in line for line in lines) == 2


async def test_the_daemon_serves_functions_and_ends_in_time_with_launchers_connected(
    daemon: StartDaemon, openobd: OpenOBD
) -> None:
    bridge = daemon("--gateway", "127.0.0.1:0", ptys=())
    match = re.search(r"OPENOBD_GRPC_PORT=(\d+)", "\n".join(bridge.lines))
    assert match is not None
    port = int(match[1])
    launcher = await launch(openobd, port)
    assert await call(openobd, port, *ADD) == [ADDED, "STATE finished"]
    assert bridge.terminate() == 0
    assert "did not close" not in bridge.errors
    await shown(launcher, "Received a request to reconnect")
