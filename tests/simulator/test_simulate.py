from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys

import pytest

from bridge.cli import simulate
from bridge.errors import ConfigurationError
from bridge.profile import loading
from bridge.profile.plan import Plan


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    simulate.add_parser(parser.add_subparsers())
    return parser.parse_args(["simulate", *arguments])


def test_arguments():
    parsed = parse("--bus", "udp_multicast:239.0.0.1", "--seed", "7")
    assert (parsed.bus, parsed.seed, parsed.profile) == ("udp_multicast:239.0.0.1", 7, "demo")
    assert parsed.run is simulate.run


def test_needs_a_bus(capsys):
    with pytest.raises(SystemExit):
        parse()
    assert "--bus" in capsys.readouterr().err


@pytest.mark.parametrize("spec", ["simulated", "virtual", "replay:drive.log", "openobd:ticket/1"])
async def test_refuses_a_bus_that_nobody_hears(spec):
    with pytest.raises(ConfigurationError, match="others can listen"):
        simulate.make_vehicle(spec, loading.load("demo"), 0)


async def test_refuses_a_profile_without_a_bus():
    with pytest.raises(ConfigurationError, match="has no bus"):
        simulate.make_vehicle("udp_multicast:239.0.0.1", Plan(name="empty"), 0)


async def test_says_what_it_does():
    vehicle = simulate.make_vehicle("udp_multicast:239.0.0.1", loading.load("demo"), 0)
    text = simulate.describe(vehicle, "udp_multicast:239.0.0.1", "demo")
    assert len(text.splitlines()) == 3
    assert "engine at 0x7e0 and 0x18da10f1" in text
    assert "openxc-bridge run --profile demo --bus udp_multicast:239.0.0.1" in text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_runs_until_it_is_told_to_end(number):
    """In a process of its own, on python-can's in-process bus, which needs no network."""
    code = (
        "import argparse, sys; from bridge.cli import simulate; parser = argparse.ArgumentParser(); "
        "simulate.add_parser(parser.add_subparsers()); parsed = parser.parse_args(); sys.exit(parsed.run(parsed))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", "-c", code, "simulate", "--bus", "virtual:lane"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    first = await asyncio.wait_for(process.stdout.readline(), 20)
    process.send_signal(number)
    rest, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0, errors.decode()
    assert b"a simulated vehicle drives on virtual:lane" in first
    assert b"Traceback" not in errors
    assert rest.count(b"\n") == 2
