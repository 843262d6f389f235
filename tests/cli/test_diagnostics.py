"""`openxc-bridge command diagnostics`."""

from __future__ import annotations

import json
import signal

import pytest

from bridge.cli.diagnostics import answers, describe, is_whole
from bridge.cli.main import main
from bridge.openxc import json_format
from bridge.openxc.messages import (
    CommandResponse,
    DecodedType,
    DiagnosticAction,
    DiagnosticCommand,
    DiagnosticRequest,
    DiagnosticResponse,
    SimpleMessage,
)
from tests.cli.conftest import PATIENCE, start
from tests.cli.test_command import record_of

REQUEST = DiagnosticRequest(id=0x7E0, mode=0x22, pid=0xF190)
RESPONSE = DiagnosticResponse(bus=2, id=0x7E0, mode=0x22, pid=0xF190, success=True)


def diagnostics(*arguments: str) -> int:
    return main(["command", "diagnostics", *arguments])


def test_what_is_sent():
    line = "diagnostics add 0x7e0 34 --pid 0xf190 --bus 2 --payload 0a0B --frequency 0.5 --name vin"
    record = record_of(*line.split(), "--multiple-responses", "--decoded-type", "none")
    request = DiagnosticRequest(
        id=0x7E0,
        mode=0x22,
        pid=0xF190,
        bus=2,
        payload=b"\x0a\x0b",
        frequency=0.5,
        name="vin",
        multiple_responses=True,
        decoded_type=DecodedType.NONE,
    )
    sent = DiagnosticCommand(name="diagnostic_request", action=DiagnosticAction.ADD, request=request)
    assert json_format.decode(json.dumps(record).encode()) == sent
    assert record_of("diagnostics", "cancel", "2016", "1", "--pid", "0") == {
        "command": "diagnostic_request",
        "action": "cancel",
        "request": {"id": 2016, "mode": 1, "pid": 0},
    }


@pytest.mark.parametrize(
    "line",
    [
        "",
        "add",
        "add 0x7e0",
        "add 7e0 1",
        "add 0x7e0 0",
        "add 0x7e0 0x100",
        "add 0x7e0 1 --pid 0x10000",
        "add 0x7e0 1 --payload 1",
        "add 0x7e0 1 --frequency 0",
        "add 0x7e0 1 --wait inf",
        "cancel 0x7e0",
    ],
)
def test_usage(line):
    with pytest.raises(SystemExit) as caught:
        diagnostics(*line.split())
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("message", "request_", "matches"),
    [
        (RESPONSE, REQUEST, True),
        (RESPONSE, DiagnosticRequest(bus=2, id=0x7E0, mode=0x22, pid=0xF190), True),
        (RESPONSE, DiagnosticRequest(bus=1, id=0x7E0, mode=0x22, pid=0xF190), False),
        (RESPONSE, DiagnosticRequest(id=0x7E1, mode=0x22, pid=0xF190), False),
        (RESPONSE, DiagnosticRequest(id=0x7E0, mode=0x2E, pid=0xF190), False),
        (RESPONSE, DiagnosticRequest(id=0x7E0, mode=0x22), False),
        (RESPONSE, DiagnosticRequest(id=0x7DF, mode=0x22, pid=0xF190), False),
        (DiagnosticResponse(bus=1, id=0x7EF, mode=1, success=False), DiagnosticRequest(id=0x7DF, mode=1), True),
        (
            DiagnosticResponse(bus=1, id=0x18DAF110, mode=1, success=True),
            DiagnosticRequest(id=0x18DB33F1, mode=1),
            True,
        ),
        (SimpleMessage(name="vin", value=1), REQUEST, False),
        (SimpleMessage(name="vin", value=1), DiagnosticRequest(id=0x7E0, mode=1, name="vin"), True),
        (CommandResponse(command_response="version", status=True), REQUEST, False),
    ],
)
def test_which_records_answer_a_request(message, request_, matches):
    assert answers(message, request_) is matches


def response(**fields):
    return DiagnosticResponse(**({"bus": 1, "id": 0x7E8, "mode": 1, "success": True} | fields))


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (response(pid=12, value=1726), "bus 1 id 0x7e8 mode 0x01 pid 0x0c: 1726"),
        (response(pid=12, value=0.5), "bus 1 id 0x7e8 mode 0x01 pid 0x0c: 0.5"),
        (response(mode=0x14), "bus 1 id 0x7e8 mode 0x14: ok"),
        (response(payload=b"\x12\x34", value=0x1234), "bus 1 id 0x7e8 mode 0x01: 0x1234 4660"),
        (response(payload=b"ABCD\0"), 'bus 1 id 0x7e8 mode 0x01: 0x4142434400 "ABCD"'),
        (response(payload=b"\1", frame=0, total_size=9), "bus 1 id 0x7e8 mode 0x01 part 0: 0x01"),
        (response(payload=b"\1", frame=-1, total_size=9), "bus 1 id 0x7e8 mode 0x01 last part: 0x01"),
        (
            response(mode=0x22, success=False, negative_response_code=0x31),
            "bus 1 id 0x7e8 mode 0x22: refused, requestOutOfRange (0x31)",
        ),
        (response(success=False, negative_response_code=0xF0), "bus 1 id 0x7e8 mode 0x01: refused, code (0xf0)"),
        (
            response(success=False),
            "bus 1 id 0x7e8 mode 0x01: failed, the bridge could not send it or lost the answer",
        ),
        (SimpleMessage(name="coolant", value=90), "coolant: 90"),
    ],
)
def test_responses_for_people(message, line):
    assert describe(message) == line


def test_a_response_in_parts_ends_with_the_last():
    assert is_whole(response())
    assert is_whole(response(frame=-1))
    assert not is_whole(response(frame=0))


def test_one_ecu(vehicle, capsys):
    assert diagnostics("add", "0x7e0", "0x22", "--pid", "0xf190", "--url", vehicle.urls["tcp"]) == 0
    line = capsys.readouterr().out
    assert line.startswith("bus 1 id 0x7e0 mode 0x22 pid 0xf190: 0x")
    assert line.endswith('"\n')


def test_every_ecu(vehicle, capsys):
    assert diagnostics("add", "0x7df", "1", "--pid", "0", "--url", vehicle.urls["unix"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[3] for line in printed) == ["0x7e8", "0x7e9"]


def test_a_raw_record_for_the_answer_and_for_each_response(vehicle, capsys):
    assert diagnostics("add", "0x7e0", "1", "--pid", "0x0d", "--json", "--url", vehicle.urls["pty"]) == 0
    answer, found = map(json.loads, capsys.readouterr().out.splitlines())
    assert answer == {"command_response": "diagnostic_request", "message": "", "status": True}
    assert (found["id"], found["pid"], found["success"]) == (0x7E0, 0x0D, True)


def test_a_named_request(vehicle, capsys):
    line = ("add", "0x7e0", "1", "--pid", "0x0c", "--name", "my_engine_speed")
    assert diagnostics(*line, "--url", vehicle.urls["tcp"]) == 0
    assert capsys.readouterr().out.startswith("my_engine_speed: ")


def test_an_ecu_that_refuses(vehicle, capsys):
    assert diagnostics("add", "0x7e0", "0x22", "--pid", "0x1234", "--url", vehicle.urls["tcp"]) == 1
    assert capsys.readouterr().out.endswith("refused, requestOutOfRange (0x31)\n")


def test_no_ecu(vehicle, capsys):
    line = ("add", "0x700", "0x22", "--pid", "0xf190", "--wait", "0.01")
    assert diagnostics(*line, "--url", vehicle.urls["tcp"]) == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "openxc-bridge: no ECU answered within 0.01 s\n")


def test_a_bridge_that_refuses(vehicle, capsys):
    assert diagnostics("add", "0x7e0", "0x22", "--pid", "0xf190", "--url", vehicle.urls["read-only"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("openxc-bridge: diagnostic_request: ")


def repeated(vehicle, pid):
    line = ("diagnostics", "add", "0x7e0", "0x22", "--pid", pid, "--frequency", "10", "--url", vehicle.urls["tcp"])
    return start("command", *line)


def test_a_repeated_request_until_control_c(vehicle):
    with repeated(vehicle, "0xf190") as process:
        assert process.stdout is not None
        for _ in range(3):
            assert process.stdout.readline().startswith("bus 1 id 0x7e0 mode 0x22 pid 0xf190: 0x")
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=PATIENCE)
    assert (process.returncode, error) == (0, "")


def test_a_repeated_request_that_somebody_cancels(vehicle, capsys):
    key = ("0x7e0", "0x22", "--pid", "0x1234", "--url", vehicle.urls["tcp"])
    with repeated(vehicle, "0x1234") as process:
        assert process.stdout is not None
        assert "refused" in process.stdout.readline()
        assert diagnostics("cancel", *key) == 0
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    assert diagnostics("cancel", *key) == 1
    assert capsys.readouterr().out == "ok\n"
