"""`openxc-bridge dump`."""

from __future__ import annotations

import json
import os
import re
import signal
import socket

import pytest

from bridge.cli import dump
from bridge.cli.connection import Connection
from bridge.cli.dump import Filter, IdFilter, candump_line
from bridge.cli.main import main
from bridge.codec import candump
from bridge.frames import FrameBatch
from bridge.openxc import json_format, trace
from bridge.openxc.messages import (
    CanMessage,
    CommandName,
    CommandResponse,
    DiagnosticResponse,
    FrameFormat,
    PassthroughCommand,
    SimpleMessage,
)
from tests.cli.conftest import PATIENCE, running, start

SPEED = SimpleMessage(name="vehicle_speed", value=50)
FRAME = CanMessage(id=0x7E8, data=b"\x12", bus=2)
RESPONSE = DiagnosticResponse(bus=1, id=0x7E0, mode=1, success=True)
ANSWER = CommandResponse(command_response="version", status=True)


def chosen(**options):
    return [message for message in (SPEED, FRAME, RESPONSE, ANSWER) if Filter(**options)(message)]


def id_filter(text, base=10):
    return IdFilter.parse(text, base)


def test_without_filters_everything_passes():
    assert chosen() == [SPEED, FRAME, RESPONSE, ANSWER]


def test_filters_choose_among_their_own_kind():
    assert chosen(names=("vehicle_*",)) == [SPEED]
    assert chosen(names=("speed",)) == []
    assert chosen(names=("x", "vehicle_speed"), ids=(id_filter("2024"),)) == [SPEED, FRAME]
    assert chosen(bus=1) == [RESPONSE]
    assert chosen(bus=1, ids=(id_filter("2024"),)) == []
    assert chosen(bus=2, names=("vehicle_speed",)) == [SPEED, FRAME]


@pytest.mark.parametrize(
    ("text", "base", "matching", "other"),
    [
        ("123", 10, 123, 0x123),
        ("123", 16, 0x123, 123),
        ("0x123", 10, 0x123, 123),
        ("7e8", 16, 0x7E8, 0x7E9),
        ("123:7FF", 10, 0x123, 123),
        ("7E0:7F0", 10, 0x7EF, 0x7D0),
        ("1F0~700", 16, 0x7DF, 0x101),
        ("18DAF110:1FFFFFFF", 16, 0x18DAF110, 0x18DAF111),
        ("92345678:DFFFFFFF", 16, 0x12345678, 0x12345679),  # as candump marks extended ids
    ],
)
def test_ids_as_the_output_and_as_candump_write_them(text, base, matching, other):
    assert id_filter(text, base).matches(matching)
    assert not id_filter(text, base).matches(other)


@pytest.mark.parametrize("text", ["", "7E8", "x", "1:", ":7FF", "-1", "1_0", "0x20000000", "1:2:3"])
def test_what_is_no_id(text, capsys):
    assert main(["dump", f"--id={text}"]) == 2
    assert capsys.readouterr().err.startswith(f"openxc-bridge dump: --id {text}: ")


@pytest.mark.parametrize(
    ("message", "interface", "line"),
    [
        (CanMessage(id=0x44, data=bytes.fromhex("2a366c2bba")), "can%d", "can0 044#2A366C2BBA"),
        (CanMessage(id=0x44, data=b"", bus=2), "vcan%d", "vcan1 044#"),
        (CanMessage(id=0x12345678, data=b"\1", bus=2), "vcan0", "vcan0 12345678#01"),
        (CanMessage(id=0x44, data=b"\1", frame_format=FrameFormat.EXTENDED), "can%d", "can0 00000044#01"),
        (CanMessage(id=0x123, data=bytes(12), fd=True), "can%d", "can0 123##0" + 12 * "00"),
    ],
)
def test_candump_lines(message, interface, line):
    written = candump_line(message, 1436509052.249713, interface).decode()
    assert written == f"(1436509052.249713) {line}\n"
    record = candump.parse_line(written.encode(), message.bus or 1)
    assert record is not None
    (frame,) = FrameBatch(record)
    assert (frame.id, frame.data, frame.fd) == (message.id, message.data, message.fd)
    assert frame.extended == (message.id > 0x7FF or message.frame_format is FrameFormat.EXTENDED)


def test_records_are_printed_as_they_came(says, url, capsys):
    said = [SPEED, FRAME, RESPONSE, ANSWER, SimpleMessage(name="é", value="\n", event=True, timestamp=1.5)]
    says(b"".join(map(json_format.encode, said)))
    assert main(["dump", url]) == 1
    printed = capsys.readouterr()
    assert [json_format.decode_outgoing(line.encode()) for line in printed.out.splitlines()] == said
    assert printed.err == f"openxc-bridge: the bridge at {url} has gone\n"


def test_timestamps_make_a_trace(says, url, capsys, monkeypatch):
    monkeypatch.setattr(dump.time, "time", lambda: 1436509052.2497131)
    says(json_format.encode(SPEED))
    main(["dump", url, "--timestamps"])
    line = capsys.readouterr().out
    assert line == '{"timestamp":1436509052.249713,"name":"vehicle_speed","value":50}\n'
    assert trace.parse_line(line) == trace.TraceEntry(1436509052.249713, SPEED)


def test_count_ends_it(says, url, capsys):
    says(json_format.encode(SPEED) * 5)
    assert main(["dump", url, "--count", "3"]) == 0
    assert capsys.readouterr().out.count("\n") == 3


def test_only_raw_frames_make_candump_lines_and_count(says, url, capsys):
    says(b"".join(map(json_format.encode, [SPEED, FRAME, RESPONSE, FRAME])))
    assert main(["dump", url, "--format", "candump", "--count", "2"]) == 0
    assert re.fullmatch(r"(\(\d+\.\d{6}\) can1 7E8#12\n){2}", capsys.readouterr().out)


def test_without_raw_frames_it_says_once_how_to_get_them(says, url, capsys, monkeypatch):
    monkeypatch.setattr(dump, "HINT_DELAY", 0.0)
    says(json_format.encode(SPEED))
    main(["dump", url, "--format", "candump", "--bus", "2"])
    error = capsys.readouterr().err
    assert error.count(f"openxc-bridge command --url {url} passthrough 2 on\n") == 1


@pytest.mark.parametrize("option", ["--count=0", "--count=x", "--bus=0", "--bus=256", "--format=pcap"])
def test_usage(option):
    with pytest.raises(SystemExit) as caught:
        main(["dump", option])
    assert caught.value.code == 2


def test_an_impossible_url_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["dump", "localhost:50001"])
    assert caught.value.code == 2
    assert "must be tcp://HOST:PORT" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["tcp", "unix", "pty", "read-only"])
@pytest.mark.parametrize("payload_format", [(), ("--payload-format", "protobuf"), ("--payload-format", "json")])
def test_a_real_bridge(vehicle, kind, payload_format, capsys):
    assert main(["dump", vehicle.urls[kind], "--name", "vehicle_speed", "--count", "2", *payload_format]) == 0
    for line in capsys.readouterr().out.splitlines():
        assert json.loads(line)["name"] == "vehicle_speed"


def test_raw_frames_of_a_real_bridge(vehicle, capsys):
    with Connection(vehicle.urls["tcp"]) as connection:
        connection.ask(PassthroughCommand(name=CommandName.PASSTHROUGH, bus=1, enabled=True))
        assert main(["dump", vehicle.urls["unix"], "--format", "candump", "--count", "20"]) == 0
        connection.ask(PassthroughCommand(name=CommandName.PASSTHROUGH, bus=1, enabled=False))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 20
    assert all(candump.parse_line(line.encode(), 1, b"can0") for line in lines)


def test_control_c_is_a_good_end(vehicle):
    with start("dump", vehicle.urls["tcp"]) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("{")
        process.send_signal(signal.SIGINT)
        rest, error = process.communicate(timeout=PATIENCE)
    assert (process.returncode, error) == (0, "")
    assert all(line.endswith("}") for line in rest.splitlines())


def test_a_closed_pipe_is_a_good_end(vehicle):
    with start("dump", vehicle.urls["tcp"]) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.parametrize("verb", [["profile", "check", "demo"], ["--help"]])
def test_a_pipe_closed_before_the_first_line_is_a_good_end(verb):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with start(*verb, stdout=writer) as process:
            _, error = process.communicate(timeout=PATIENCE)
    finally:
        os.close(writer)
    assert (process.returncode, error) == (0, "")


def test_a_real_bridge_that_goes(tmp_path):
    with running(tmp_path) as bridge, start("dump", bridge.urls["pty"]) as process:
        assert process.stdout is not None
        process.stdout.readline()
        bridge.stop()
        _, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert error == f"openxc-bridge: the bridge at {bridge.urls['pty']} has gone\n"


def test_the_url_of_the_environment(says, url, capsys, monkeypatch):
    monkeypatch.setenv("OPENXC_BRIDGE_URL", url)
    says(json_format.encode(SPEED))
    assert main(["dump", "--count", "1"]) == 0


def test_no_bridge(capsys):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert main(["dump", f"tcp://127.0.0.1:{port}"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_an_interface_s_name_may_be_any_bytes():
    assert b" \xff0 7E8#12" in candump_line(CanMessage(id=0x7E8, data=b"\x12"), 0.0, "\udcff%d")
