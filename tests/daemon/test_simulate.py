"""A simulated vehicle on a bus of its own, and a bridge that listens to it: two processes."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator

import can
import pytest

from bridge.openxc.messages import DiagnosticResponse, SimpleMessage

from .harness import SOON, simulating

GROUP = "239.74.163.7"


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def bus() -> str:
    """A multicast bus that nobody else uses."""
    port = free_udp_port()
    try:
        with can.Bus(interface="udp_multicast", channel=GROUP, port=port) as probe:
            probe.send(can.Message(arbitration_id=1))
            if probe.recv(1.0) is None:
                pytest.skip("multicast datagrams do not come back on this machine")
    except can.CanError as error:
        pytest.skip(f"no multicast on this machine: {error}")
    return f"udp_multicast:{GROUP}?port={port}"


@pytest.fixture
def vehicle(bus) -> Iterator[subprocess.Popen]:
    """`openxc-bridge simulate` on the bus, driving."""
    with simulating(bus) as process:
        yield process


async def test_a_bridge_hears_it_and_asks_its_ecus(bus, vehicle, start, join):
    daemon = start("--profile", "demo", "--bus", bus)
    app = await join(daemon.url)
    speed = await app.find(lambda record: isinstance(record, SimpleMessage) and record.name == "vehicle_speed")
    assert 0 <= speed.value < 200
    assert (await app.request(0x7E0, 0x09, 0x02)).status
    vin = await app.find(lambda record: isinstance(record, DiagnosticResponse) and record.mode == 0x09)
    assert vin.payload == b"\x01" + b"0XCBRDGE0R0000042"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told(vehicle, number):
    vehicle.send_signal(number)
    _, errors = vehicle.communicate(timeout=SOON)
    assert vehicle.returncode == 0
    assert b"Traceback" not in errors
