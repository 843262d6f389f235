"""`openxc-bridge command`, all but its diagnostics."""

from __future__ import annotations

import json

import pytest

from bridge import __version__
from bridge.cli.connection import Connection
from bridge.cli.main import main as bridge_main
from bridge.cli.main import make_parser
from bridge.openxc import json_format
from bridge.openxc.messages import CanMessage, CommandName, FrameFormat, Outgoing, SimpleCommand, SimpleMessage
from tests.cli.conftest import PATIENCE, RunningBridge

DEEP = "[" * 100_000

COMMANDS = [
    "version",
    "platform",
    "device_id",
    "id",
    "get_vin",
    "vin",
    "passthrough",
    "af_bypass",
    "payload_format",
    "predefined_obd2",
    "modem_configuration",
    "rtc_configuration",
    "sd_mount_status",
    "diagnostics",
    "write",
    "write-raw",
]


def command(*arguments: str) -> int:
    return bridge_main(["command", *arguments])


def record_of(*arguments: str) -> dict[str, object]:
    """What such a command line sends."""
    parsed = make_parser().parse_args(["command", *arguments])
    record: dict[str, object] = json.loads(json_format.encode(parsed.make(parsed))[:-1])
    return record


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as caught:
        command(name, "--help")
    assert caught.value.code == 0
    assert "usage: openxc-bridge command " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "record"),
    [
        ("version", {"command": "version"}),
        ("id", {"command": "device_id"}),
        ("vin", {"command": "get_vin"}),
        ("passthrough 2 on", {"command": "passthrough", "bus": 2, "enabled": True}),
        ("af_bypass 1 off", {"command": "af_bypass", "bus": 1, "bypass": False}),
        ("payload_format protobuf", {"command": "payload_format", "format": "protobuf"}),
        ("predefined_obd2 on", {"command": "predefined_obd2", "enabled": True}),
        ("modem_configuration h 80", {"command": "modem_configuration", "host": "h", "port": 80}),
        ("rtc_configuration 1436509052", {"command": "rtc_configuration", "unix_time": 1436509052}),
        ("write x 12.5", {"name": "x", "value": 12.5}),
        ("write x -3", {"name": "x", "value": -3}),
        ("write x true", {"name": "x", "value": True}),
        ("write x driver false", {"name": "x", "value": "driver", "event": False}),
        ('write x "5"', {"name": "x", "value": "5"}),
        ("write x null", {"name": "x", "value": "null"}),
        ("write x NaN", {"name": "x", "value": "NaN"}),
        ("write x [1]", {"name": "x", "value": "[1]"}),
        ("write-raw 0x7df 0201", {"id": 0x7DF, "data": "0x0201"}),
        ("write-raw 5 0xAB --bus 2", {"bus": 2, "id": 5, "data": "0xab"}),
        ("write-raw 5 ab --frame-format extended", {"id": 5, "data": "0xab", "frame_format": "extended"}),
    ],
)
def test_what_is_sent(line, record):
    assert record_of(*line.split()) == record


@pytest.mark.parametrize(
    "line",
    [
        "",
        "versions",
        "passthrough",
        "passthrough 1 yes",
        "passthrough 0 on",
        "payload_format messagepack",
        "rtc_configuration now",
        "modem_configuration h 65536",
        "write x",
        "write x 1e999",
        "write-raw 7DF 00",
        "write-raw 0x20000000 00",
        "write-raw 1 0",
        "write-raw 1 xy",
        "write-raw 1 000102030405060708",
        "write-raw 0x800 00 --frame-format standard",
        "version --url nowhere",
        "version --timeout 0",
    ],
)
def test_usage(line, capsys):
    with pytest.raises(SystemExit) as caught:
        command(*line.split())
    assert caught.value.code == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize("kind", ["tcp", "unix", "pty", "read-only"])
def test_version_through_every_listener(vehicle, kind, capsys):
    assert command("version", "--url", vehicle.urls[kind]) == 0
    assert capsys.readouterr().out == f"{__version__} (demo)\n"


def test_options_may_stand_before_the_name_as_well(vehicle, capsys):
    assert command("--url", vehicle.urls["tcp"], "--json", "version", "--timeout", "5") == 0
    expected = {"command_response": "version", "message": f"{__version__} (demo)", "status": True}
    assert json.loads(capsys.readouterr().out) == expected


def test_an_answer_without_a_message_is_ok(vehicle, capsys):
    for line in ("passthrough 1 off", "af_bypass 1 off", "payload_format protobuf", "payload_format json"):
        assert command(*line.split(), "--url", vehicle.urls["tcp"]) == 0
    assert capsys.readouterr().out == "ok\n" * 4


def test_the_vin(vehicle, capsys):
    assert command("get_vin", "--url", vehicle.urls["tcp"]) == 0
    assert len(capsys.readouterr().out) == 17 + 1


def test_a_refusal_is_on_stderr(vehicle, capsys):
    assert command("passthrough", "9", "on", "--url", vehicle.urls["tcp"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("openxc-bridge: passthrough: there is no bus 9")
    assert printed.err.count("\n") == 1


def test_a_refusal_as_a_raw_record(vehicle, capsys):
    assert command("sd_mount_status", "--json", "--url", vehicle.urls["tcp"]) == 1
    assert json.loads(capsys.readouterr().out)["status"] is False


def test_nothing_answers(server, url, capsys):
    assert command("version", "--timeout", "0.01", "--url", url) == 1
    printed = capsys.readouterr()
    expected = f"openxc-bridge: no answer from {url} within 0.01 s; is it an OpenXC vehicle interface?\n"
    assert (printed.out, printed.err) == ("", expected)


def hears(bridge: RunningBridge, expected: Outgoing, *line: str) -> bool:
    """Whether another client gets this record after this command."""
    with Connection(bridge.urls["tcp"]) as listener:
        listener.ask(SimpleCommand(name=CommandName.VERSION))  # from here on, nothing passes it by
        assert command(*line) == 0
        while (message := listener.receive(PATIENCE)) not in (None, expected):
            pass
        return message is not None


@pytest.mark.parametrize("kind", ["tcp", "unix", "pty"])
def test_a_written_signal_reaches_the_bus(echo, kind, capsys):
    written = SimpleMessage(name="writable_number", value=12.5)
    assert hears(echo, written, "write", "writable_number", "12.5", "--url", echo.urls[kind])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("kind", ["tcp", "unix", "pty"])
def test_a_written_frame_reaches_the_bus(echo, kind):
    written = CanMessage(bus=1, id=0x18FF50E5, data=b"\1\2", frame_format=FrameFormat.EXTENDED)
    assert hears(echo, written, "write-raw", "0x18ff50e5", "0102", "--bus", "1", "--url", echo.urls[kind])


def test_a_refused_write_is_no_error_since_nobody_says_so(echo):
    assert command("write", "no_such_signal", "1", "--url", echo.urls["tcp"]) == 0


def test_a_value_that_is_nested_too_deeply_is_a_text():
    parsed = make_parser().parse_args(["command", "write", "x", DEEP])
    assert parsed.value == DEEP
