import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.openxc.messages import CanMessage, CommandResponse, InvalidRecord, SimpleMessage
from bridge.openxc.trace import TraceEntry, TraceMetadata, parse_line, write_line
from tests.openxc import strategies

METADATA = {
    "version": "v3.0",
    "vehicle_interface_id": "7ABF",
    "vehicle": {"make": "Ford", "model": "Mustang", "trim": "V6 Premium", "year": 2013},
    "description": "highway drive to work",
    "driver_name": "TJ Giuli",
    "vehicle_id": "17N1039247929",
}


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_line_with_a_time(end):
    line = b'{"timestamp": 1332432977.835, "name": "engine_speed", "value": 772}' + end
    timestamp, message = parse_line(line)
    assert timestamp == 1332432977.835
    assert message == SimpleMessage(name="engine_speed", value=772)


def test_lines_of_other_kinds():
    assert parse_line('{"bus":1,"id":66,"data":"0x12","timestamp":1}') == TraceEntry(
        1.0, CanMessage(bus=1, id=66, data=b"\x12")
    )
    assert parse_line(b'{"command_response":"version","message":"1","status":true}') == TraceEntry(
        None, CommandResponse(command_response="version", message="1", status=True)
    )


@pytest.mark.parametrize("line", ["", b"", "\n", b"\r\n", "  \t"])
def test_empty_lines(line):
    assert parse_line(line) is None


def test_metadata():
    assert parse_line(json.dumps({"metadata": METADATA})) == TraceMetadata(METADATA)


@pytest.mark.parametrize(
    "line",
    ["junk", "{broken}", "{}", "[]", '{"metadata":5}', '{"name":"a"}', '{"command":"version"}', "\ud800{}", b"\xff"],
)
def test_broken_lines(line):
    with pytest.raises(InvalidRecord):
        parse_line(line)


def test_writing():
    message = SimpleMessage(name="a", value=1.5, timestamp=3.0)
    assert write_line(message, 7.25) == b'{"timestamp":7.25,"name":"a","value":1.5}\n'
    assert write_line(message, None) == b'{"name":"a","value":1.5}\n'


@given(strategies.outgoing, st.one_of(st.none(), st.floats(0, 1e10)))
def test_a_line_is_read_as_written(message, timestamp):
    line = write_line(message, timestamp)
    entry = parse_line(line)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert entry.timestamp == timestamp
    assert write_line(entry.message, entry.timestamp) == line


@given(st.one_of(st.text(), st.binary()))
def test_no_line_raises_anything_else(line):
    try:
        parse_line(line)
    except InvalidRecord as error:
        assert str(error)
