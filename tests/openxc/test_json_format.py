import json
import math

import pytest
from hypothesis import given

from bridge.openxc.json_format import decode, decode_outgoing, encode, number_text
from bridge.openxc.messages import (
    AcceptanceFilterCommand,
    CanMessage,
    CommandResponse,
    DecodedType,
    DiagnosticAction,
    DiagnosticCommand,
    DiagnosticRequest,
    DiagnosticResponse,
    FrameFormat,
    InvalidCommand,
    InvalidRecord,
    ModemConfigurationCommand,
    PassthroughCommand,
    PayloadFormat,
    PayloadFormatCommand,
    PredefinedObd2Command,
    RtcConfigurationCommand,
    SimpleCommand,
    SimpleMessage,
)
from tests.openxc import strategies


def request(**fields):
    return {"command": "diagnostic_request", "action": "add", "request": fields}


def decoded(fields):
    return decode(json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (42, "42"),
        (-42, "-42"),
        (42.0, "42"),
        (-0.0, "0"),
        (42.5, "42.5"),
        (2616.6, "2616.6"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-7, "1e-07"),
        (1e15, "1000000000000000"),
        (2.0**62, "4611686018427387904"),
        (-(2.0**63), "-9223372036854775808"),
        (2.0**63, "9.223372036854776e+18"),
        (1e22, "1e+22"),
        (2**64, "18446744073709551616"),
        (True, "1"),
    ],
)
def test_number_text(value, text):
    assert number_text(value) == text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_cannot_say(value):
    with pytest.raises(ValueError):
        number_text(value)


def test_integers_longer_than_python_prints():
    with pytest.raises(ValueError):
        number_text(10**5000)


@given(strategies.floats)
def test_number_text_gives_the_number_back(value):
    assert float(number_text(value)) == value
    assert json.loads(number_text(value)) == value


RESPONSE = {"bus": 1, "id": 2016, "mode": 1, "success": True}


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (SimpleMessage(name="signal1", value=3500), '{"name":"signal1","value":3500}'),
        (SimpleMessage(name="test", value=42.5), '{"name":"test","value":42.5}'),
        (SimpleMessage(name="test", value=42.0), '{"name":"test","value":42}'),
        (SimpleMessage(name="test", value=-19990.0), '{"name":"test","value":-19990}'),
        (SimpleMessage(name="test", value=False), '{"name":"test","value":false}'),
        (SimpleMessage(name="test", value="string"), '{"name":"test","value":"string"}'),
        (
            SimpleMessage(name="door_status", value="driver", event=True),
            '{"name":"door_status","value":"driver","event":true}',
        ),
        (SimpleMessage(name="test", value="value", event="event"), '{"name":"test","value":"value","event":"event"}'),
        (SimpleMessage(name="test", value="value", event=43), '{"name":"test","value":"value","event":43}'),
        (SimpleMessage(name="no value"), '{"name":"no value"}'),
        (
            SimpleMessage(name='"\\\n\x7fé€😀', value=1),
            '{"name":"\\"\\\\\\n\\u007f\\u00e9\\u20ac\\ud83d\\ude00","value":1}',
        ),
        (CanMessage(bus=1, id=66, data=b"\x12\x34"), '{"bus":1,"id":66,"data":"0x1234"}'),
        (
            CanMessage(bus=1, id=42, data=bytes.fromhex("123456789abcdef1")),
            '{"bus":1,"id":42,"data":"0x123456789abcdef1"}',
        ),
        (CanMessage(bus=2, id=0, data=b""), '{"bus":2,"id":0,"data":"0x"}'),
        (CanMessage(id=66, data=b"\x0a"), '{"id":66,"data":"0x0a"}'),
        (CanMessage(bus=1, id=0x800, data=b""), '{"bus":1,"id":2048,"data":"0x","frame_format":"extended"}'),
        (
            CanMessage(bus=1, id=66, data=b"", frame_format=FrameFormat.EXTENDED),
            '{"bus":1,"id":66,"data":"0x","frame_format":"extended"}',
        ),
        (CanMessage(bus=1, id=66, data=b"", frame_format=FrameFormat.STANDARD), '{"bus":1,"id":66,"data":"0x"}'),
        (
            CanMessage(bus=1, id=66, data=bytes(12), fd=True),
            '{"bus":1,"id":66,"data":"0x000000000000000000000000","fd":true}',
        ),
        (
            DiagnosticResponse(**RESPONSE, pid=12, value=1726.0),
            '{"bus":1,"id":2016,"mode":1,"success":true,"pid":12,"value":1726}',
        ),
        (
            DiagnosticResponse(**RESPONSE, pid=2, payload=b"\x45"),
            '{"bus":1,"id":2016,"mode":1,"success":true,"pid":2,"payload":"0x45"}',
        ),
        (
            DiagnosticResponse(**RESPONSE, pid=2, payload=b"\x45", value=0x45),
            '{"bus":1,"id":2016,"mode":1,"success":true,"pid":2,"payload":"0x45","value":69}',
        ),
        (DiagnosticResponse(**RESPONSE, payload=b""), '{"bus":1,"id":2016,"mode":1,"success":true}'),
        (DiagnosticResponse(**RESPONSE, value=math.nan), '{"bus":1,"id":2016,"mode":1,"success":true}'),
        (DiagnosticResponse(**RESPONSE, value=1 << 10000), '{"bus":1,"id":2016,"mode":1,"success":true}'),
        (
            DiagnosticResponse(bus=1, id=2016, mode=1, success=False, pid=0, negative_response_code=17),
            '{"bus":1,"id":2016,"mode":1,"success":false,"pid":0,"negative_response_code":17}',
        ),
        (
            DiagnosticResponse(**RESPONSE, negative_response_code=0),
            '{"bus":1,"id":2016,"mode":1,"success":true}',
        ),
        (
            DiagnosticResponse(
                bus=1,
                id=2016,
                mode=34,
                success=True,
                pid=56832,
                frame=-1,
                total_size=11,
                payload=b"\x03\x00\x0a\xc8",
            ),
            '{"bus":1,"id":2016,"message_id":2016,"mode":34,"success":true,"pid":56832,"frame":-1,"total_size":11,'
            '"payload":"0x03000ac8"}',
        ),
        (
            CommandResponse(command_response="version", message="8.2.1 (functional_tests)", status=True),
            '{"command_response":"version","message":"8.2.1 (functional_tests)","status":true}',
        ),
        (CommandResponse(command_response="x", status=False), '{"command_response":"x","message":"","status":false}'),
        (
            SimpleMessage(name="a", value=1, timestamp=1332432977.835, extras={"k": [1, "é"]}),
            '{"timestamp":1332432977.835,"name":"a","value":1,"extras":{"k":[1,"\\u00e9"]}}',
        ),
        (SimpleCommand(name="version"), '{"command":"version"}'),
        (InvalidCommand(name="nonsense", reason="unknown"), '{"command":"nonsense"}'),
        (
            PassthroughCommand(name="passthrough", bus=1, enabled=True),
            '{"command":"passthrough","bus":1,"enabled":true}',
        ),
        (PassthroughCommand(name="passthrough", bus=None, enabled=False), '{"command":"passthrough","enabled":false}'),
        (
            AcceptanceFilterCommand(name="af_bypass", bus=2, bypass=True),
            '{"command":"af_bypass","bus":2,"bypass":true}',
        ),
        (
            PayloadFormatCommand(name="payload_format", format=PayloadFormat.PROTOBUF),
            '{"command":"payload_format","format":"protobuf"}',
        ),
        (PredefinedObd2Command(name="predefined_obd2", enabled=True), '{"command":"predefined_obd2","enabled":true}'),
        (
            ModemConfigurationCommand(name="modem_configuration", host="example.org", port=80),
            '{"command":"modem_configuration","host":"example.org","port":80}',
        ),
        (
            RtcConfigurationCommand(name="rtc_configuration", unix_time=7),
            '{"command":"rtc_configuration","unix_time":7}',
        ),
        (
            DiagnosticCommand(
                name="diagnostic_request",
                action=DiagnosticAction.ADD,
                request=DiagnosticRequest(
                    bus=1,
                    id=2015,
                    mode=1,
                    pid=0,
                    payload=b"\x12",
                    multiple_responses=True,
                    frequency=0.5,
                    name="mypid",
                    decoded_type=DecodedType.OBD2,
                ),
            ),
            '{"command":"diagnostic_request","action":"add","request":{"bus":1,"id":2015,"mode":1,"pid":0,'
            '"payload":"0x12","multiple_responses":true,"frequency":0.5,"name":"mypid","decoded_type":"obd2"}}',
        ),
    ],
)
def test_encode(message, text):
    assert encode(message) == text.encode() + b"\0"


@pytest.mark.parametrize(
    "message",
    [
        SimpleMessage(name="a", value=math.nan),
        SimpleMessage(name="a", value=math.inf),
        SimpleMessage(name="a", value=1, event=-math.inf),
        SimpleMessage(name="a", value=1, timestamp=math.nan),
        SimpleMessage(name="a", value=1, extras=math.nan),
    ],
)
def test_what_is_not_finite_is_never_sent(message):
    with pytest.raises(ValueError):
        encode(message)


def test_extras_nested_too_deeply():
    nested = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(ValueError):
        encode(SimpleMessage(name="a", value=1, extras=nested))
    while nested:  # taken apart from the outside, for the garbage collector's stack
        nested = nested[0]


# Bytes as openxc-python 2.2.0 sends them.
@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b'{"command": "version"}\x00', SimpleCommand(name="version")),
        (b'{"command": "platform"}\x00', SimpleCommand(name="platform")),
        (b'{"command": "device_id"}\x00', SimpleCommand(name="device_id")),
        (b'{"command": "get_vin"}\x00', SimpleCommand(name="get_vin")),
        (b'{"command": "sd_mount_status"}\x00', SimpleCommand(name="sd_mount_status")),
        (
            b'{"command": "passthrough", "bus": 1, "enabled": true}\x00',
            PassthroughCommand(name="passthrough", bus=1, enabled=True),
        ),
        (
            b'{"command": "af_bypass", "bus": 1, "bypass": true}\x00',
            AcceptanceFilterCommand(name="af_bypass", bus=1, bypass=True),
        ),
        (
            b'{"command": "payload_format", "format": "protobuf"}\x00',
            PayloadFormatCommand(name="payload_format", format=PayloadFormat.PROTOBUF),
        ),
        (
            b'{"command": "predefined_obd2", "enabled": false}\x00',
            PredefinedObd2Command(name="predefined_obd2", enabled=False),
        ),
        (
            b'{"command": "rtc_configuration", "unix_time": 1700000000}\x00',
            RtcConfigurationCommand(name="rtc_configuration", unix_time=1700000000),
        ),
        (
            b'{"command": "modem_configuration", "host": "example.org", "port": "8080"}\x00',
            ModemConfigurationCommand(name="modem_configuration", host="example.org", port=8080),
        ),
        (
            b'{"command": "diagnostic_request", "request": {"id": 2016, "mode": 34, "bus": 1, "pid": 61840}, '
            b'"action": "add"}\x00',
            DiagnosticCommand(
                name="diagnostic_request",
                action=DiagnosticAction.ADD,
                request=DiagnosticRequest(id=2016, mode=34, bus=1, pid=61840),
            ),
        ),
        (
            b'{"command": "diagnostic_request", "request": {"id": "0x7e0", "mode": 62, "bus": "1", '
            b'"payload": "0xb\'00\'"}, "action": "add"}\x00',
            DiagnosticCommand(
                name="diagnostic_request",
                action=DiagnosticAction.ADD,
                request=DiagnosticRequest(id=2016, mode=62, bus=1, payload=b"\0"),
            ),
        ),
        (
            b'{"command": "diagnostic_request", "request": {"id": 2015, "mode": 1, "pid": 0}, "action": "add"}\x00',
            DiagnosticCommand(
                name="diagnostic_request",
                action=DiagnosticAction.ADD,
                request=DiagnosticRequest(id=2015, mode=1, pid=0),
            ),
        ),
        (
            b'{"command": "diagnostic_request", "request": {"id": 2015, "mode": 1, "bus": 1, "pid": 12}, '
            b'"action": "cancel"}\x00',
            DiagnosticCommand(
                name="diagnostic_request",
                action=DiagnosticAction.CANCEL,
                request=DiagnosticRequest(id=2015, mode=1, bus=1, pid=12),
            ),
        ),
        (b'{"name": "a", "value": 20.0}\x00', SimpleMessage(name="a", value=20.0)),
        (b'{"name": "a", "value": true, "event": false}\x00', SimpleMessage(name="a", value=True, event=False)),
        (b'{"id": 66, "data": "0x1234", "bus": 1}\x00', CanMessage(id=66, data=b"\x12\x34", bus=1)),
        (
            b'{"id": 66, "data": "0x123456789abcdef0", "bus": 1, "frame_format": "extended"}\x00',
            CanMessage(id=66, data=bytes.fromhex("123456789abcdef0"), bus=1, frame_format=FrameFormat.EXTENDED),
        ),
    ],
)
def test_what_openxc_python_sends(record, message):
    assert decode(record) == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        # Android's commands carry the fields of all others.
        (
            {"command": "version", "bus": 0, "enabled": False, "bypass": False, "unix_time": 0},
            SimpleCommand(name="version"),
        ),
        (
            {"command": "passthrough", "bus": 0, "enabled": False, "bypass": False, "unix_time": 0},
            PassthroughCommand(name="passthrough", bus=None, enabled=False),
        ),
        ({"command": "passthrough", "enabled": True}, PassthroughCommand(name="passthrough", bus=None, enabled=True)),
        ({"command": "af_bypass", "bypass": 1}, AcceptanceFilterCommand(name="af_bypass", bus=None, bypass=True)),
        ({"COMMAND": "version"}, SimpleCommand(name="version")),
        ({"command": "version", "name": "a", "id": 1, "data": "0x"}, SimpleCommand(name="version")),
        (
            {"command": "payload_format", "format": "JSON"},
            PayloadFormatCommand(name="payload_format", format=PayloadFormat.JSON),
        ),
        (
            {"command": "payload_format", "format": "messagepack"},
            PayloadFormatCommand(name="payload_format", format=None),
        ),
        ({"command": "payload_format", "format": 2}, PayloadFormatCommand(name="payload_format", format=None)),
        ({"command": "payload_format"}, PayloadFormatCommand(name="payload_format", format=None)),
        (
            {"command": "modem_configuration", "server": {"Host": "h", "port": 1}},
            ModemConfigurationCommand(name="modem_configuration", host="h", port=1),
        ),
        ({"command": "modem_configuration"}, ModemConfigurationCommand(name="modem_configuration")),
        (
            {"command": "rtc_configuration", "unix_time": "1700000000"},
            RtcConfigurationCommand(name="rtc_configuration", unix_time=1700000000),
        ),
        (
            {"command": "version", "timestamp": 1.5, "extras": {"a": 1}},
            SimpleCommand(name="version", timestamp=1.5, extras={"a": 1}),
        ),
        ({"command": "version", "timestamp": "soon"}, SimpleCommand(name="version")),
        ({"command": "version", "timestamp": 10**400}, SimpleCommand(name="version")),
        ({"command": None, "name": "a", "value": 1}, SimpleMessage(name="a", value=1)),
        ({"name": "a"}, SimpleMessage(name="a")),
        ({"name": "a", "value": True, "event": 2}, SimpleMessage(name="a", value=True, event=2)),
        ({"name": "a", "value": 1, "id": 1, "data": "0x12"}, SimpleMessage(name="a", value=1)),
        ({"id": 0, "data": ""}, CanMessage(id=0, data=b"")),
        ({"id": "0x42", "data": "1234", "bus": "2"}, CanMessage(id=66, data=b"\x12\x34", bus=2)),
        ({"id": 42.0, "data": "0x123", "bus": 0}, CanMessage(id=42, data=b"\x12\x03")),
        ({"message_id": 42, "data": "0x12", "id": 7}, CanMessage(id=7, data=b"\x12")),
        ({"id": 1, "data": "0x00112233445566778899"}, CanMessage(id=1, data=bytes.fromhex("0011223344556677"))),
        ({"id": 1, "data": "00" * 70, "fd": True}, CanMessage(id=1, data=bytes(64), fd=True)),
        ({"id": 1, "data": "00" * 70, "fd": False}, CanMessage(id=1, data=bytes(8))),
        ({"id": 1, "data": "", "format": "Extended"}, CanMessage(id=1, data=b"", frame_format=FrameFormat.EXTENDED)),
        (
            {"id": 0x7FF, "data": "", "frame_format": "standard", "format": "extended"},
            CanMessage(id=0x7FF, data=b"", frame_format=FrameFormat.STANDARD),
        ),
        ({"id": 0x1FFFFFFF, "data": "", "frame_format": None}, CanMessage(id=0x1FFFFFFF, data=b"")),
    ],
)
def test_decode(fields, message):
    assert decoded(fields) == message


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"unknown": 1},
        {"command": 5},
        {"command": ["version"]},
        {"command_response": "version", "status": True},
        {"bus": 1, "id": 2016, "mode": 1, "success": True, "pid": 12, "value": 1726},
        {"name": 5, "value": 1},
        {"name": "", "value": 1},
        {"name": True, "value": 1},
        {"name": "a", "value": [1]},
        {"name": "a", "value": 1, "event": {}},
        {"name": "a", "value": 10**400},
        {"id": 1},
        {"data": "0x12"},
        {"message_id": 1, "data": "0x12"},
        {"id": True, "data": "0x12"},
        {"id": -1, "data": "0x12"},
        {"id": 0x20000000, "data": "0x12"},
        {"id": 10**100, "data": "0x12"},
        {"id": 1, "data": 12},
        {"id": 1, "data": "0xgg"},
        {"id": 1, "data": "0x12", "bus": "x"},
        {"id": 1, "data": "0x12", "bus": True},
        {"id": 1, "data": "0x12", "bus": 256},
        {"id": 1, "data": "0x12", "bus": -1},
        {"id": 1, "data": "0x12", "frame_format": "long"},
        {"id": 1, "data": "0x12", "frame_format": 1},
        {"id": 0x800, "data": "0x12", "frame_format": "standard"},
        {"id": 1, "data": "0x12", "fd": "yes"},
    ],
)
def test_invalid_records(fields):
    with pytest.raises(InvalidRecord):
        decoded(fields)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"command": "versionfoo"}, "unknown command 'versionfoo'"),
        ({"command": "Version"}, "unknown command 'Version'"),
        ({"command": ""}, "unknown command ''"),
        ({"command": "a\nb" + "c" * 100}, "unknown command 'a\\nb" + "c" * 32 + "..."),
        ({"command": "passthrough", "bus": 1}, "enabled is missing"),
        ({"command": "passthrough", "bus": "x", "enabled": True}, "bus must be an integer, not 'x'"),
        ({"command": "passthrough", "bus": 1, "enabled": "on"}, "enabled must be true or false, not 'on'"),
        ({"command": "af_bypass", "bus": 1}, "bypass is missing"),
        ({"command": "predefined_obd2"}, "enabled is missing"),
        ({"command": "rtc_configuration", "unix_time": "noon"}, "unix_time must be an integer, not 'noon'"),
        ({"command": "modem_configuration", "server": "h"}, "server must be an object, not 'h'"),
        ({"command": "modem_configuration", "port": 65536}, "port must be from 0 to 0xffff, not 65536"),
    ],
)
def test_invalid_commands(fields, reason):
    assert decoded(fields) == InvalidCommand(name=fields["command"], reason=reason)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (request(id=2016, mode=1), DiagnosticRequest(id=2016, mode=1)),
        (request(message_id=2016, mode=1), DiagnosticRequest(id=2016, mode=1)),
        (request(message_id=1, id=2, mode=1), DiagnosticRequest(id=2, mode=1)),
        (request(ID=2016, Mode=1), DiagnosticRequest(id=2016, mode=1)),
        (request(id=0, mode=1), DiagnosticRequest(id=0, mode=1)),
        (request(id=0x18DB33F1, mode="0x22", pid="0xf190"), DiagnosticRequest(id=0x18DB33F1, mode=0x22, pid=0xF190)),
        (request(id=1, mode=1, pid=0), DiagnosticRequest(id=1, mode=1, pid=0)),
        (request(id=1, mode=1, pid=None), DiagnosticRequest(id=1, mode=1)),
        (request(id=1, mode=1, bus=0), DiagnosticRequest(id=1, mode=1)),
        (request(id=1, mode=1, payload="0x1234"), DiagnosticRequest(id=1, mode=1, payload=b"\x12\x34")),
        (request(id=1, mode=1, payload="1234"), DiagnosticRequest(id=1, mode=1, payload=b"\x12\x34")),
        (request(id=1, mode=1, payload="0xb'1234'"), DiagnosticRequest(id=1, mode=1, payload=b"\x12\x34")),
        (request(id=1, mode=1, payload="00" * 20), DiagnosticRequest(id=1, mode=1, payload=bytes(20))),
        (request(id=1, mode=1, frequency="2.5"), DiagnosticRequest(id=1, mode=1, frequency=2.5)),
        (request(id=1, mode=1, frequency=0), DiagnosticRequest(id=1, mode=1)),
        (request(id=1, mode=1, name="n"), DiagnosticRequest(id=1, mode=1, name="n")),
        (request(id=1, mode=1, name=""), DiagnosticRequest(id=1, mode=1)),
        (request(id=1, mode=1, multiple_responses=True), DiagnosticRequest(id=1, mode=1, multiple_responses=True)),
        (request(id=1, mode=1, decoded_type="none"), DiagnosticRequest(id=1, mode=1, decoded_type=DecodedType.NONE)),
        (request(id=1, mode=1, decoded_type="OBD2"), DiagnosticRequest(id=1, mode=1, decoded_type=DecodedType.OBD2)),
    ],
)
@pytest.mark.parametrize("key", ["request", "diagnostic_request", "Request"])
def test_diagnostic_requests(fields, expected, key):
    fields = {**fields, key: fields["request"]}
    if key != "request":
        del fields["request"]
    command = decoded(fields)
    assert command == DiagnosticCommand(name="diagnostic_request", action=DiagnosticAction.ADD, request=expected)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"command": "diagnostic_request", "request": {"id": 1, "mode": 1}}, "action is missing"),
        ({**request(id=1, mode=1), "action": "remove"}, "action must be add or cancel, not 'remove'"),
        ({**request(id=1, mode=1), "action": 1}, "action must be a text, not 1"),
        ({"command": "diagnostic_request", "action": "add"}, "request is missing"),
        ({"command": "diagnostic_request", "action": "add", "request": "x"}, "request must be an object, not 'x'"),
        (request(mode=1), "id is missing"),
        (request(id=1), "mode is missing"),
        (request(id=1, mode=0), "mode must be from 1 to 255, not 0"),
        (request(id=1, mode=256), "mode must be from 1 to 255, not 256"),
        (request(id=1, mode=True), "mode must be an integer, not True"),
        (request(id=1, mode=1.5), "mode must be an integer, not 1.5"),
        (request(id=1, mode=1, pid=0x10000), "pid must be from 0 to 0xffff, not 65536"),
        (request(id=1, mode=1, pid=-1), "pid must be from 0 to 0xffff, not -1"),
        (request(id=1, mode=1, pid=False), "pid must be an integer, not False"),
        (request(id=0x20000000, mode=1), "id must be from 0 to 0x1fffffff, not 536870912"),
        (request(id=10**100, mode=1), "id must be from 0 to 0x1fffffff, not a huge number"),
        (request(id="seven", mode=1), "id must be an integer, not 'seven'"),
        (request(id=1, mode=1, bus=[1]), "bus must be an integer, not list"),
        (request(id=1, mode=1, frequency=-1), "frequency must be 0 or more Hz, not -1.0"),
        (request(id=1, mode=1, frequency="fast"), "frequency must be a number, not 'fast'"),
        (request(id=1, mode=1, payload="0xxy"), "payload must be hexadecimal digits, not '0xxy'"),
        (request(id=1, mode=1, payload=12), "payload must be hexadecimal digits, not 12"),
        (request(id=1, mode=1, name=5), "name must be a text, not 5"),
        (request(id=1, mode=1, multiple_responses="no"), "multiple_responses must be true or false, not 'no'"),
        (request(id=1, mode=1, decoded_type="hex"), "decoded_type must be none or obd2, not 'hex'"),
    ],
)
def test_invalid_diagnostic_requests(fields, reason):
    assert decoded(fields) == InvalidCommand(name="diagnostic_request", reason=reason)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "a", "value": 1.5, "event": "x"}, SimpleMessage(name="a", value=1.5, event="x")),
        ({"bus": 1, "id": 66, "data": "0x1234"}, CanMessage(bus=1, id=66, data=b"\x12\x34")),
        (
            {"command_response": "version", "status": True},
            CommandResponse(command_response="version", status=True),
        ),
        (
            {"bus": 1, "id": 2016, "mode": 1, "success": False, "pid": 0, "negative_response_code": 17},
            DiagnosticResponse(bus=1, id=2016, mode=1, success=False, pid=0, negative_response_code=17),
        ),
        (
            {"bus": 1, "message_id": 2016, "mode": 1, "success": True, "negative_response_code": 0, "payload": ""},
            DiagnosticResponse(bus=1, id=2016, mode=1, success=True),
        ),
    ],
)
def test_decode_outgoing(fields, message):
    assert decode_outgoing(json.dumps(fields).encode()) == message


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"command": "version"},
        {"name": "a"},
        {"command_response": "version"},
        {"command_response": 5, "status": True},
        {"id": 2016, "mode": 1, "success": True},
        {"bus": 1, "id": 2016, "mode": 1},
        {"bus": 1, "id": 2016, "mode": 1, "success": True, "value": "text"},
    ],
)
def test_nothing_that_a_vehicle_interface_says(fields):
    with pytest.raises(InvalidRecord):
        decode_outgoing(json.dumps(fields).encode())
