"""openxc-control: every command that it has, with its effect. Each command first sleeps 5 s by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge import __version__
from bridge.openxc.messages import CanMessage, CommandResponse, Outgoing, SimpleCommand
from bridge.simulator.ecus import VIN

from .conftest import OpenXC, StartDaemon
from .processes import Daemon
from .watcher import Watcher

STEADY = Path(__file__).parent / "profiles" / "steady.json"
#: Two vehicles, and one signal of each: enough to keep the client's time-outs alive, little to read.
STEADY_ARGUMENTS = ("--profile", STEADY, "--bus", "simulated", "--bus", "simulated")
PROTOBUF = "?payload-format=protobuf"
SPEED_ID, ODOMETER_ID = 0x3E9, 0x3F5


def raw(messages: list[Outgoing], bus: int) -> set[int]:
    return {message.id for message in messages if isinstance(message, CanMessage) and message.bus == bus}


def test_passthrough_and_filter_are_set(
    daemon: StartDaemon, openxc: OpenXC, watch: Callable[[Daemon], Watcher]
) -> None:
    bridge = daemon(*STEADY_ARGUMENTS, ptys=("", PROTOBUF, "", PROTOBUF))
    watcher = watch(bridge)
    watcher.wait_for(lambda messages: ODOMETER_ID in raw(messages, 2), "raw frames of bus 2")
    # "set" sets everything twice, once for each of two places in the tool.
    sets = (
        (("set", "--passthrough"), "Bus 1 passthrough set to True"),
        (("set", "--no-passthrough", "--bus", "2", "--format", "protobuf"), "Bus 2 passthrough set to False"),
        (("set", "--af-bypass", "--bus", "1"), "Bus 1 AF is now bypassed"),
        (("set", "--no-af-bypass", "--bus", "2", "--format", "protobuf"), "Bus 2 AF is now enabled"),
    )
    tools = [
        openxc.tool("openxc-control", port, *arguments) for port, (arguments, _) in zip(bridge.ptys, sets, strict=True)
    ]
    watcher.wait_for(lambda messages: {SPEED_ID, ODOMETER_ID} <= raw(messages, 1), "defined and undefined frames")
    assert [tool.finish() for tool in tools] == [[line, line] for _, line in sets]

    # Everything that was sent before the answer is here with it; what comes then is without bus 2.
    watcher.send(SimpleCommand(name="version"))
    watcher.wait_for(lambda messages: any(isinstance(each, CommandResponse) for each in messages), "an answer")
    watcher.messages.clear()
    watcher.wait_for(lambda messages: len(messages) >= 40, "more records")
    assert SPEED_ID in raw(watcher.messages, 1)
    assert not raw(watcher.messages, 2)


def test_questions_are_answered_and_the_payload_format_is_set(daemon: StartDaemon, openxc: OpenXC) -> None:
    """With what the bridge does not have, and therefore refuses."""
    version = f"Device is running version {__version__} "
    steady = (
        ("", ("version",), [version + "(steady)"]),
        ("", ("platform",), ["Device is a openxc-bridge"]),
        ("", ("id",), ["Device ID is Unknown"]),
        ("", ("get_vin",), [f"Vehicle VIN is {VIN}"]),
        ("", ("sd_mount_status",), ["SD card mount status: false"]),
        (PROTOBUF, ("version", "--format", "protobuf"), [version + "(steady)"]),
        (PROTOBUF, ("platform", "--format", "protobuf"), ["Device is a openxc-bridge"]),
        (PROTOBUF, ("id", "--format", "protobuf"), ["Device ID is Unknown"]),
    )
    # Nothing moves here, since the client parses with the old format for a moment after the change.
    silent = (
        (
            "",
            ("version", "--new-payload-format", "protobuf"),
            ["Changed payload format to protobuf", version + "(functional_tests)"],
        ),
        (
            PROTOBUF,
            ("version", "--format", "protobuf", "--new-payload-format", "json"),
            ["Changed payload format to json", version + "(functional_tests)"],
        ),
        ("", ("version", "--time", "1600000000"), [version + "(functional_tests)"]),
        ("", ("version", "--network-host", "example.org"), [version + "(functional_tests)"]),
    )
    bridges = (
        (daemon(*STEADY_ARGUMENTS, ptys=[options for options, _, _ in steady]), steady),
        (daemon("--profile", "functional", ptys=[options for options, _, _ in silent]), silent),
    )
    tools = [
        openxc.tool("openxc-control", port, *arguments)
        for bridge, cases in bridges
        for port, (_, arguments, _) in zip(bridge.ptys, cases, strict=True)
    ]
    assert [tool.finish() for tool in tools] == [lines for _, _, lines in (*steady, *silent)]


@pytest.mark.parametrize("payload_format", ["json", "protobuf"])
def test_writes_reach_the_bus(
    daemon: StartDaemon, openxc: OpenXC, watch: Callable[[Daemon], Watcher], payload_format: str
) -> None:
    """A write has no answer: the tool leaves as soon as it has written. The buses of the profile loop back."""
    trace = openxc.directory / "trace.json"
    entries = [
        {"timestamp": 1600000000.0, "name": "writable_number", "value": 25},
        {"timestamp": 1600000000.1, "name": "writable_state", "value": "start"},
        {"timestamp": 1600000000.2, "bus": 1, "id": 0x42, "data": "0x0000000000000456"},
    ]
    trace.write_text("".join(json.dumps(entry) + "\n" for entry in entries) + "no JSON\n")
    writes = (
        ("--name", "writable_number", "--value", "12.5"),
        ("--name", "writable_state", "--value", "run"),
        ("--name", "writable_boolean", "--value", "true"),
        ("--name", "turn_signal_status", "--value", "left"),
        ("--id", "0x42", "--data", "0x0000000000000123"),
        ("--id", "67", "--bus", "2", "--data", "0x80"),
        ("--id", "0x18ff0050", "--data", "0x3fc00000", "--frame-format", "extended"),
        ("-f", str(trace)),
    )
    bridge = daemon("--profile", "functional", ptys=[""] * len(writes))
    watcher = watch(bridge)
    tools = [
        openxc.tool("openxc-control", port, "--format", payload_format, "write", *arguments)
        for port, arguments in zip(bridge.ptys, writes, strict=True)
    ]
    results = [tool.finish() for tool in tools]
    assert results == [*([[]] * 7), ["3 lines sent", "1 invalid lines in the data file were not sent"]]
    watcher.wait_for_values(
        ("writable_number", 12.5),
        ("writable_number", 25),
        ("writable_state", "run"),
        ("writable_state", "start"),
        ("writable_boolean", True),
        ("turn_signal_left", True),
        ("signal1", 0x123),
        ("signal1", 0x456),
        ("signal2", 1),
        ("wide_number", 1.5),
    )
    frames = {(each.bus, each.id, each.data) for each in watcher.messages if isinstance(each, CanMessage)}
    assert frames >= {
        (1, 0x42, bytes.fromhex("0000000000000123")),
        (2, 0x43, b"\x80"),
        (1, 0x18FF0050, bytes.fromhex("3fc00000")),
    }


def test_a_client_that_changes_to_protobuf_by_itself_gets_its_first_answer(daemon: StartDaemon, openxc: OpenXC) -> None:
    bridge = daemon(ptys=("", "", ""))
    tools = [openxc.tool("openxc-control", port, "version", "--format", "protobuf") for port in bridge.ptys]
    assert [tool.finish() for tool in tools] == [[f"Device is running version {__version__} (demo)"]] * 3
