"""Interfaces that come, go and are several, seen by apps that stay."""

from __future__ import annotations

import subprocess
import sys

from bridge.openxc.messages import CanMessage
from tests.daemon.harness import PROJECT, SOON

from .can_utils import Candump, cansend, ip, until


def raw(number, data=b"", bus=1):
    return CanMessage(bus=bus, id=number, data=data)


async def joined(daemon, join, count):
    apps = [await join(daemon.url) for _ in range(count)]
    for app in apps:
        assert (await app.ask("version")).status
    return apps


async def test_two_buses_at_once(start, join):
    daemon = start("--bus", "socketcan:vcan0", "--bus", "socketcan:vcan1", "--allow-write", "all")
    (app,) = await joined(daemon, join, 1)
    cansend("vcan1", "101#02")
    cansend("vcan0", "101#01")
    assert await app.records(2) == [raw(0x101, b"\2", bus=2), raw(0x101, b"\1", bus=1)]
    with Candump("vcan0", "vcan1") as candump:
        app.send(raw(0x102, b"\2", bus=2), raw(0x102, b"\1", bus=1))
        assert sorted(candump.lines(2)) == ["vcan0 102#01", "vcan1 102#02"]


LEAVING = {"down": "link set {} down", "removed": "link del {}"}
RETURNING = {"down": ("link set {} up",), "removed": ("link add dev {} type vcan", "link set {} up")}


async def test_an_interface_goes_and_comes_back_while_apps_stay(start, join, own_interface):
    daemon = start("--bus", f"socketcan:{own_interface}", "--allow-write", "all")
    apps = await joined(daemon, join, 2)
    for number, how in enumerate(["down", "down", "removed"]):
        ip(LEAVING[how].format(own_interface))
        until(lambda count=number: daemon.errors.count(" is gone:") > count, "the loss of the interface")
        apps[0].send(raw(0x100))  # goes nowhere, and harms nobody
        assert (await apps[0].ask("version")).status
        for command in RETURNING[how]:
            ip(command.format(own_interface))
        until(lambda count=number: daemon.errors.count(" is back") > count, "the interface's return")
        cansend(own_interface, f"20{number}#")
        for app in apps:
            assert await app.record() == raw(0x200 + number)
        with Candump(own_interface) as candump:
            apps[1].send(raw(0x300 + number))
            assert candump.lines(1) == [f"{own_interface} 30{number}#"]
    assert f"ip link set {own_interface} up" in daemon.errors


def test_a_missing_interface_is_said_in_one_line():
    done = subprocess.run(
        [sys.executable, "-m", "bridge", "run", "--bus", "socketcan:nosuch0", "--listen", "tcp://127.0.0.1:0"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=SOON,
        check=False,
    )
    assert done.returncode == 1
    assert not done.stdout
    (line,) = done.stderr.splitlines()
    assert "nosuch0" in line
