"""Apps on the openxc library: measurements with their units, commands, diagnostics."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest

from bridge import __version__
from bridge.simulator.ecus import LOG_LENGTH, VIN, pattern

from .conftest import OpenXC, StartDaemon
from .processes import Process
from .test_control import PROTOBUF

UNITS = {
    "accelerator_pedal_position": "%",
    "fuel_level": "%",
    "vehicle_speed": "km / h",
    "engine_speed": "rotations / m",
    "fuel_consumed_since_restart": "L",
    "latitude": "deg",
    "longitude": "deg",
    "odometer": "km",
    "steering_wheel_angle": "deg",
    "torque_at_transmission": "Nm",
    "lateral_acceleration": "m / s * s",
    "longitudinal_acceleration": "m / s * s",
}
ENGINE, LOG = 0x7E0, 0xFD00


def result_of(process: Process) -> dict[str, Any]:
    found = [line for line in process.finish() if line.startswith("RESULT ")]
    assert found, str(process)
    result: dict[str, Any] = json.loads(found[-1].removeprefix("RESULT "))
    return result


def check_commands(result: dict[str, Any]) -> None:
    assert result["version"] == f"{__version__} (demo)"
    assert result["platform"] == "openxc-bridge"
    assert result["device_id"] == "Unknown"
    assert result["passthrough"] == [True, False]
    assert result["frames"] and result["no_passthrough"] is True
    assert result["predefined"] == [True, True]
    [acknowledged], [vin] = result["vin"]
    assert acknowledged["status"] is True
    assert (vin["id"], vin["pid"], vin["success"]) == (ENGINE, 2, True)
    assert vin["payload"] == "0x01" + VIN.encode("ascii").hex()
    assert [each["status"] for each in (*result["recurring"], *result["again"])] == [True, False]
    assert result["repeated"]
    assert result["deleted"] == [True, False]
    assert result["log_complete"]
    assert result["corrupted"] == 0


def test_an_app_in_json(daemon: StartDaemon, openxc: OpenXC) -> None:
    bridge = daemon()
    result = result_of(openxc.script("library.py", bridge.ptys[0], "json"))
    assert result["complete"], set(result["wanted"]) - {each["name"] for each in result["measurements"]}
    by_name = defaultdict(list)
    for measurement in result["measurements"]:
        by_name[measurement["name"]].append(measurement)
    assert UNITS.keys() <= by_name.keys()
    for name, measurements in by_name.items():
        assert {each["unit"] for each in measurements} == {UNITS.get(name, "None")}
        assert False not in [each["in_range"] for each in measurements], measurements
        assert False not in [each["valid_state"] for each in measurements], measurements
    assert all(isinstance(each["event"], bool) for each in by_name["door_status"])
    assert result["speed"][0] == "VehicleSpeed" and result["speed"][2] == "km / h"
    check_commands(result)
    [log] = result["log"]
    assert log["payload"] == "0x" + pattern(LOG_LENGTH).hex()
    assert "frame" not in log and "total_size" not in log


def test_an_app_in_protobuf(daemon: StartDaemon, openxc: OpenXC) -> None:
    """The client skips records of more than 200 bytes, so a long response comes in parts."""
    bridge = daemon(ptys=[PROTOBUF])
    result = result_of(openxc.script("library.py", bridge.ptys[0], "protobuf"))
    check_commands(result)
    parts = result["log"]
    assert [each["frame"] for each in parts] == [*range(len(parts) - 1), -1]
    assert {each["total_size"] for each in parts} == {LOG_LENGTH + 3}
    joined = "".join(each["payload"].removeprefix("0x") for each in parts)
    assert bytes.fromhex(joined) == bytes((0x62, 0xFD, 0x00)) + pattern(LOG_LENGTH)


@pytest.mark.parametrize("payload_format", ["json", "protobuf"])
def test_the_client_puts_parts_together(daemon: StartDaemon, openxc: OpenXC, payload_format: str) -> None:
    """For apps made for the firmware, which publishes long responses frame by frame."""
    configuration = openxc.directory / "bridge.toml"
    configuration.write_text('[diagnostics]\nresponses = "frames"\n')
    bridge = daemon("-f", configuration, ptys=["" if payload_format == "json" else PROTOBUF])
    lines = openxc.script("parts.py", bridge.ptys[0], payload_format).finish()
    assert f"STITCHED 0x{VIN.encode('ascii').hex()}" in lines
