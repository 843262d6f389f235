import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.openxc import openxc_pb2 as pb
from bridge.openxc import protobuf_format
from bridge.openxc.messages import (
    AcceptanceFilterCommand,
    CanMessage,
    CommandName,
    CommandResponse,
    DiagnosticAction,
    DiagnosticCommand,
    DiagnosticRequest,
    DiagnosticResponse,
    FrameFormat,
    InvalidCommand,
    InvalidRecord,
    PassthroughCommand,
    PayloadFormat,
    PayloadFormatCommand,
    PredefinedObd2Command,
    SimpleCommand,
    SimpleMessage,
)
from bridge.openxc.protobuf_format import COMMAND_NUMBERS, MalformedRecord, decode, decode_outgoing, encode
from tests.openxc import strategies


def unframed(stream):
    """The VehicleMessages of whole records."""
    messages = []
    while stream:
        length, start = stream[0] & 0x7F, 1
        if stream[0] & 0x80:
            length, start = length | stream[1] << 7, 2
        messages.append(stream[start : start + length])
        stream = stream[start + length :]
    return messages


def control(**fields):
    command = pb.ControlCommand(**fields)
    return pb.VehicleMessage(type=pb.VehicleMessage.CONTROL_COMMAND, control_command=command).SerializeToString()


def diagnostic(action=pb.DiagnosticControlCommand.ADD, **fields):
    request = pb.DiagnosticControlCommand(action=action, request=pb.DiagnosticRequest(**fields))
    return control(type=pb.ControlCommand.DIAGNOSTIC, diagnostic_request=request)


@given(strategies.incoming)
def test_an_app_says_what_is_heard(message):
    (record,) = unframed(encode(message))
    assert decode(record) == message


@given(strategies.outgoing)
def test_a_vehicle_interface_says_what_is_heard(message):
    (record,) = unframed(encode(message))
    assert decode_outgoing(record) == message


@given(st.one_of(strategies.incoming, strategies.outgoing))
def test_fields_are_in_the_runtimes_order(message):
    (record,) = unframed(encode(message))
    assert pb.VehicleMessage.FromString(record).SerializeToString() == record


# Bytes as openxc-python 2.2.0 sends them.
@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"\x06\x08\x04*\x02\x08\x01", SimpleCommand(name="version")),
        (b"\x06\x08\x04*\x02\x08\x0b", SimpleCommand(name="platform")),
        (b"\x06\x08\x04*\x02\x08\x02", SimpleCommand(name="device_id")),
        (
            b"\x0c\x08\x04*\x08\x08\x04\x1a\x04\x08\x01\x10\x01",
            PassthroughCommand(name="passthrough", bus=1, enabled=True),
        ),
        (b"\n\x08\x04*\x06\x08\x04\x1a\x02\x08\x02", PassthroughCommand(name="passthrough", bus=2, enabled=False)),
        (
            b'\x0c\x08\x04*\x08\x08\x05"\x04\x08\x01\x10\x01',
            AcceptanceFilterCommand(name="af_bypass", bus=1, bypass=True),
        ),
        (
            b"\n\x08\x04*\x06\x08\x06*\x02\x08\x02",
            PayloadFormatCommand(name="payload_format", format=PayloadFormat.PROTOBUF),
        ),
        (b"\n\x08\x04*\x06\x08\x072\x02\x08\x01", PredefinedObd2Command(name="predefined_obd2", enabled=True)),
        (b"\x08\x08\x04*\x04\x08\x072\x00", PredefinedObd2Command(name="predefined_obd2", enabled=False)),
        (
            b'\x17\x08\x04*\x13\x08\x03\x12\x0f\n\x0b\x08\x01\x10\xe0\x0f\x18" \x90\xe3\x03\x10\x01',
            DiagnosticCommand(
                name="diagnostic_request",
                action=DiagnosticAction.ADD,
                request=DiagnosticRequest(id=0x7E0, mode=0x22, bus=1, pid=0xF190),
            ),
        ),
        (
            b"\x1c\x08\x04*\x18\x08\x03\x12\x14\n\x10\x10\xdf\x0f\x18\x01 \x0c9\x00\x00\x00\x00\x00\x00\xf0?\x10\x01",
            DiagnosticCommand(
                name="diagnostic_request",
                action=DiagnosticAction.ADD,
                request=DiagnosticRequest(id=0x7DF, mode=1, pid=12, frequency=1.0),
            ),
        ),
        (
            b"\x11\x08\x04*\r\x08\x03\x12\t\n\x05\x10\xdf\x0f\x18\x01\x10\x01",
            DiagnosticCommand(
                name="diagnostic_request",
                action=DiagnosticAction.ADD,
                request=DiagnosticRequest(id=0x7DF, mode=1, pid=0),
            ),
        ),
        (
            b"\x11\x08\x02\x1a\r\n\x01a\x12\x04\x08\x03 \x01\x1a\x02\x08\x03",
            SimpleMessage(name="a", value=True, event=False),
        ),
        (
            b"\x18\x08\x02\x1a\x14\n\x01a\x12\x08\x08\x01\x12\x04left\x1a\x05\x08\x01\x12\x01x",
            SimpleMessage(name="a", value="left", event="x"),
        ),
        (b"\x0c\x08\x01\x12\x08\x08\x01\x10B\x1a\x02\x124", CanMessage(bus=1, id=66, data=b"\x12\x34")),
        (
            b"\x14\x08\x01\x12\x10\x08\x01\x10B\x1a\x08\x124Vx\x9a\xbc\xde\xf0 \x02",
            CanMessage(bus=1, id=66, data=bytes.fromhex("123456789abcdef0"), frame_format=FrameFormat.EXTENDED),
        ),
    ],
)
def test_what_openxc_python_sends(record, message):
    assert decode(record[1:]) == message
    assert decode(memoryview(record)[1:]) == message
    assert encode(message) == record


@pytest.mark.parametrize(("mode", "pid"), [(1, 0), (9, 0), (2, None), (5, None), (6, None), (8, None), (0x22, None)])
def test_pid_0_is_one_in_two_modes(mode, pid):
    assert decode(diagnostic(message_id=0x7E0, mode=mode)).request.pid == pid
    response = pb.DiagnosticResponse(bus=1, message_id=0x7E0, mode=mode, success=True)
    message = pb.VehicleMessage(type=pb.VehicleMessage.DIAGNOSTIC, diagnostic_response=response)
    assert decode_outgoing(message.SerializeToString()).pid == pid


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (control(type=pb.ControlCommand.DIAGNOSTIC), "action must be ADD or CANCEL"),
        (diagnostic(action=7, message_id=1, mode=1), "action must be ADD or CANCEL"),
        (diagnostic(mode=1, pid=12), "id is missing"),
        (diagnostic(action=pb.DiagnosticControlCommand.CANCEL, bus=1, mode=1, pid=12), "id is missing"),
        (diagnostic(message_id=1), "mode must be from 1 to 255, not 0"),
        (diagnostic(message_id=1, mode=256), "mode must be from 1 to 255, not 256"),
        (diagnostic(message_id=1, mode=1, pid=0x10000), "pid must be from 0 to 0xffff, not 65536"),
        (diagnostic(message_id=0x20000000, mode=1), "id must be from 0 to 0x1fffffff, not 536870912"),
        (diagnostic(message_id=1, mode=1, bus=-1), "bus must be from 0 to 255, not -1"),
        (diagnostic(message_id=1, mode=1, frequency=-1), "frequency must be 0 or more Hz, not -1.0"),
        (diagnostic(message_id=1, mode=1, frequency=math.nan), "frequency must be 0 or more Hz, not nan"),
        (diagnostic(message_id=1, mode=1, frequency=math.inf), "frequency must be 0 or more Hz, not inf"),
        (diagnostic(message_id=1, mode=1, decoded_type=3), "decoded_type must be NONE or OBD2"),
    ],
)
def test_invalid_diagnostic_requests(record, reason):
    assert decode(record) == InvalidCommand(name="diagnostic_request", reason=reason)


def test_a_bus_out_of_range():
    passthrough = pb.PassthroughModeControlCommand(bus=300)
    record = control(type=pb.ControlCommand.PASSTHROUGH, passthrough_mode_request=passthrough)
    assert decode(record) == InvalidCommand(name="passthrough", reason="bus must be from 0 to 255, not 300")


@pytest.mark.parametrize("format", [0, 3])
def test_a_payload_format_of_no_known_name(format):
    command = pb.PayloadFormatCommand(format=format)
    record = control(type=pb.ControlCommand.PAYLOAD_FORMAT, payload_format_command=command)
    assert decode(record) == PayloadFormatCommand(name="payload_format", format=None)


@pytest.mark.parametrize("number", [0, 13, 99])
def test_silence_for_commands_of_no_known_name(number):
    with pytest.raises(InvalidRecord):
        decode(control(type=number))


def vehicle_message(**fields):
    return pb.VehicleMessage(**fields).SerializeToString()


nan = pb.DynamicField(type=pb.DynamicField.NUM, numeric_value=math.nan)


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\x08\x00",
        b"\x08\x01",
        b"\x08\x02",
        b"\x08\x03",
        b"\x08\x05",
        b"\x08\x06",
        vehicle_message(type=1, can_message=pb.CanMessage()),
        vehicle_message(type=1, can_message=pb.CanMessage(bus=1, data=b"1")),
        vehicle_message(type=1, can_message=pb.CanMessage(data=b"1", frame_format=2)),
        vehicle_message(type=1, can_message=pb.CanMessage(id=0x20000000, data=b"1")),
        vehicle_message(type=1, can_message=pb.CanMessage(id=0x800, data=b"1", frame_format=1)),
        vehicle_message(type=1, can_message=pb.CanMessage(id=1, data=b"1", frame_format=5)),
        vehicle_message(type=1, can_message=pb.CanMessage(id=1, data=b"1", bus=256)),
        vehicle_message(type=2, simple_message=pb.SimpleMessage(name="a", value=nan)),
        vehicle_message(type=2, simple_message=pb.SimpleMessage(name="", value=pb.DynamicField(type=2))),
        vehicle_message(type=3, diagnostic_response=pb.DiagnosticResponse(bus=1, message_id=1, mode=1)),
        vehicle_message(type=5, command_response=pb.CommandResponse(type=1)),
    ],
)
def test_invalid_records(record):
    with pytest.raises(InvalidRecord) as caught:
        decode(record)
    assert not isinstance(caught.value, MalformedRecord)


@pytest.mark.parametrize(
    "record", [b"\x08", b"\x08\x01\x12\x05", b"\x0b", b"\x0c", b"\xff" * 20, b"\x08\x02\x1a\x03\n\x01\xff"]
)
@pytest.mark.parametrize("read", [decode, decode_outgoing])
def test_bytes_that_are_no_message(record, read):
    with pytest.raises(MalformedRecord):
        read(record)


@pytest.mark.parametrize(
    "record",
    [
        control(type=pb.ControlCommand.VERSION),
        vehicle_message(type=2, simple_message=pb.SimpleMessage(name="a")),
        vehicle_message(type=3, diagnostic_response=pb.DiagnosticResponse(message_id=1, mode=1)),
        vehicle_message(type=3, diagnostic_response=pb.DiagnosticResponse(bus=1, mode=1, value=nan)),
        vehicle_message(
            type=3, diagnostic_response=pb.DiagnosticResponse(bus=1, mode=1, value=pb.DynamicField(type=1))
        ),
        vehicle_message(type=5, command_response=pb.CommandResponse(type=99)),
    ],
)
def test_nothing_that_a_vehicle_interface_says(record):
    with pytest.raises(InvalidRecord):
        decode_outgoing(record)


def test_data_too_long():
    record = vehicle_message(type=1, can_message=pb.CanMessage(id=1, data=bytes(12)))
    assert decode(record) == CanMessage(id=1, data=bytes(8))
    assert decode_outgoing(record) == CanMessage(id=1, data=bytes(12), fd=True)


def test_an_id_of_0_is_a_frames_on_the_bus_and_nobodys_to_write():
    """Without presence, a write of that id and one whose id was forgotten are the same bytes."""
    record = vehicle_message(type=1, can_message=pb.CanMessage(bus=1, data=b"1"))
    assert decode_outgoing(record) == CanMessage(bus=1, id=0, data=b"1")
    with pytest.raises(InvalidRecord, match="id is missing"):
        decode(record)


def test_bus_0_is_none():
    assert decode(vehicle_message(type=1, can_message=pb.CanMessage(id=1, data=b"1"))).bus is None


@pytest.mark.parametrize(
    "message",
    [
        CommandResponse(command_response="versionfoo", status=False, message="unknown command"),
        SimpleCommand(name="unknown"),
        InvalidCommand(name="unknown", reason="unknown command"),
    ],
)
def test_what_has_no_form_is_not_sent(message):
    assert encode(message) == b""


def test_every_command_has_the_schemas_number():
    assert {name.upper() for name in CommandName} == {
        {
            "DIAGNOSTIC": "DIAGNOSTIC_REQUEST",
            "ACCEPTANCE_FILTER_BYPASS": "AF_BYPASS",
            "PREDEFINED_OBD2_REQUESTS": "PREDEFINED_OBD2",
        }.get(name, name)
        for name in pb.ControlCommand.Type.keys()  # noqa: SIM118  # an enum wrapper, not a dict
        if name != "UNUSED"
    }
    assert len(set(COMMAND_NUMBERS.values())) == len(CommandName) == 12


def test_no_negative_response_code_0():
    message = DiagnosticResponse(bus=1, id=1, mode=1, success=True, negative_response_code=0)
    (record,) = unframed(encode(message))
    assert b"\x30" not in record
    assert decode_outgoing(record).negative_response_code is None


@pytest.mark.parametrize("value", [math.nan, math.inf, 1 << 2000])
def test_a_diagnostic_value_that_no_double_holds_is_left_out(value):
    message = DiagnosticResponse(bus=1, id=1, mode=1, success=True, payload=b"1", value=value)
    (record,) = unframed(encode(message))
    assert decode_outgoing(record).value is None


@pytest.mark.parametrize(
    "message",
    [
        SimpleMessage(name="a", value=math.nan),
        SimpleMessage(name="a", value=10**400),
        SimpleMessage(name="a", value="\ud800"),
        SimpleMessage(name="a", value=1, timestamp=math.inf),
        SimpleMessage(name="a", value=1, timestamp=1e30),
        CommandResponse(command_response="version", status=True, message="\ud800"),
    ],
)
def test_what_cannot_be_said(message):
    with pytest.raises(ValueError):
        encode(message)


def test_timestamps_are_whole_seconds():
    assert encode(SimpleMessage(name="a", value=True, timestamp=300.9)).endswith(b"\x38\xac\x02")
    assert encode(SimpleMessage(name="a", value=True, timestamp=0.5)) == encode(SimpleMessage(name="a", value=True))


@given(
    st.integers(1, 4095),
    st.integers(1, 0xFF),
    st.integers(1, 0xFFFF),
    st.sampled_from([1, 0x7E0, 0x1FFFFFFF]),
    st.sampled_from([None, 2.0**32]),
    st.sampled_from([None, 1.5, 1e30]),
)
def test_long_responses_come_in_short_records(length, mode, pid, identifier, timestamp, value):
    payload = bytes(range(1, 256)) * 17
    message = DiagnosticResponse(
        bus=255,
        id=identifier,
        mode=mode,
        success=True,
        pid=pid,
        payload=payload[:length],
        timestamp=timestamp,
        value=value,
    )
    records = unframed(encode(message))
    assert max(map(len, records)) <= protobuf_format.RECORD_SIZE_MAX
    parts = [decode_outgoing(record) for record in records]
    if len(parts) == 1:
        assert parts == [message]
    else:
        assert [part.frame for part in parts] == [*range(len(parts) - 1), -1]
        assert b"".join(part.payload for part in parts).endswith(message.payload)
        assert {(part.bus, part.id, part.mode, part.pid) for part in parts} == {(255, identifier, mode, pid)}


@pytest.mark.parametrize(("pid_length", "header"), [(None, b"\x62\0\x12"), (2, b"\x62\0\x12"), (1, b"\x62\x12")])
def test_the_parts_of_a_long_response_have_the_pid_as_it_was(pid_length, header):
    message = DiagnosticResponse(
        bus=1, id=0x7E0, mode=0x22, success=True, pid=0x12, payload=bytes(300), pid_length=pid_length
    )
    parts = [decode_outgoing(record) for record in unframed(encode(message))]
    assert b"".join(part.payload for part in parts) == header + bytes(300)
    assert {part.total_size for part in parts} == {len(header) + 300}


@given(st.one_of(st.binary(), st.binary().map(lambda data: b"\x08\x04" + data)))
def test_nothing_but_the_documented_error(record):
    for read in (decode, decode_outgoing):
        try:
            message = read(record)
        except InvalidRecord as error:
            assert str(error)
        else:
            assert encode(message)


PUBLISHED = """
from google.protobuf import descriptor_pb2, descriptor_pool
file = descriptor_pb2.FileDescriptorProto(name="openxc.proto", package="openxc", syntax="proto3")
file.message_type.add(name="VehicleMessage")
descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
import bridge.openxc.openxc_pb2
"""


def test_an_apps_own_copy_of_the_format_may_be_loaded():
    subprocess.run([sys.executable, "-c", PUBLISHED], check=True)
