"""OpenXC's protobuf records: messages from bytes and to bytes.

One record is a VehicleMessage behind its length as a varint, without a NUL. Must not know how
records are found in a stream (stream), nor what becomes of a message.

Scalars have no presence: a bus of 0 is none, an app's id of 0 is missing, and a PID of 0 is one in
modes 1 and 9 only, where it asks for the supported PIDs. A CAN FD frame and `extras` have no form here.

Source: the OpenXC message format 0.8; protos/openxc.proto.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.message import DecodeError

from bridge.frames import EXTENDED_ID_MAX
from bridge.openxc import messages, multiframe
from bridge.openxc import openxc_pb2 as pb
from bridge.openxc.messages import (
    CommandName,
    DecodedType,
    DiagnosticAction,
    FrameFormat,
    Incoming,
    InvalidRecord,
    Outgoing,
    PayloadFormat,
    Value,
)
from bridge.openxc.protobuf_wire import (
    can_body,
    can_record,
    double,
    evented,
    framed,
    simple_body,
    simple_boolean,
    simple_number,
    simple_prefix,
    simple_record,
    simple_string,
    varint,
)
from bridge.openxc.ranges import (
    BUS_MAX,
    CAN_DATA_MAX,
    MODE_MAX,
    MODE_MIN,
    PID_MAX,
    PORT_MAX,
    can_write,
    checked,
    checked_frequency,
    fits_double,
    is_extended,
)

__all__ = [
    "COMMAND_NUMBERS",
    "PART_SIZE",
    "RECORD_SIZE_MAX",
    "MalformedRecord",
    "can_record",
    "decode",
    "decode_outgoing",
    "encode",
    "evented",
    "framed",
    "simple_boolean",
    "simple_number",
    "simple_prefix",
    "simple_record",
    "simple_string",
    "varint",
]

#: Longest VehicleMessage that openxc-python reads; a diagnostic response that is longer goes out in parts.
RECORD_SIZE_MAX = 200
#: Bytes of the ISO-TP message in one part, so that the part fits with every field at its longest.
PART_SIZE = 144

#: The commands' numbers in ControlCommand.Type.
COMMAND_NUMBERS: dict[CommandName, pb.ControlCommand.Type] = {
    CommandName.VERSION: pb.ControlCommand.VERSION,
    CommandName.DEVICE_ID: pb.ControlCommand.DEVICE_ID,
    CommandName.DIAGNOSTIC_REQUEST: pb.ControlCommand.DIAGNOSTIC,
    CommandName.PASSTHROUGH: pb.ControlCommand.PASSTHROUGH,
    CommandName.AF_BYPASS: pb.ControlCommand.ACCEPTANCE_FILTER_BYPASS,
    CommandName.PAYLOAD_FORMAT: pb.ControlCommand.PAYLOAD_FORMAT,
    CommandName.PREDEFINED_OBD2: pb.ControlCommand.PREDEFINED_OBD2_REQUESTS,
    CommandName.MODEM_CONFIGURATION: pb.ControlCommand.MODEM_CONFIGURATION,
    CommandName.RTC_CONFIGURATION: pb.ControlCommand.RTC_CONFIGURATION,
    CommandName.SD_MOUNT_STATUS: pb.ControlCommand.SD_MOUNT_STATUS,
    CommandName.PLATFORM: pb.ControlCommand.PLATFORM,
    CommandName.GET_VIN: pb.ControlCommand.GET_VIN,
}
_COMMAND_NAMES: dict[int, str] = {int(number): name.value for name, number in COMMAND_NUMBERS.items()}

_FRAME_FORMATS = {pb.CanMessage.STANDARD: FrameFormat.STANDARD, pb.CanMessage.EXTENDED: FrameFormat.EXTENDED}
_ACTIONS = {
    pb.DiagnosticControlCommand.ADD: DiagnosticAction.ADD,
    pb.DiagnosticControlCommand.CANCEL: DiagnosticAction.CANCEL,
}
_FORMATS = {
    pb.PayloadFormatCommand.JSON: PayloadFormat.JSON,
    pb.PayloadFormatCommand.PROTOBUF: PayloadFormat.PROTOBUF,
}
_DECODED_TYPES = {pb.DiagnosticRequest.NONE: DecodedType.NONE, pb.DiagnosticRequest.OBD2: DecodedType.OBD2}
_MODES_WITH_PID_0 = (1, 9)

Key = TypeVar("Key")
Member = TypeVar("Member")
Common = dict[str, Any]  #: the timestamp, as a message's argument


class MalformedRecord(InvalidRecord):
    """Bytes that are no VehicleMessage at all: whoever reads a stream has lost its place."""


def encode(message: Incoming | Outgoing) -> bytes:
    """A message as a record with its length, empty if it has no form here (a command of another name).

    A diagnostic response of more than 200 bytes becomes several records, its parts: see
    multiframe.split. A diagnostic value that no double can hold is left out. The timestamp goes in
    whole seconds.

    Raises:
        ValueError: a number that is not finite or does not fit its field, a text without UTF-8 form.
    """
    if isinstance(message, messages.DiagnosticResponse):
        return _encode_diagnostic_response(message)
    if isinstance(message, messages.SimpleMessage):
        return framed(simple_body(message.name, message.value, message.event) + _timestamp_field(message))
    if isinstance(message, messages.CanMessage):
        body = can_body(message.bus or 0, message.id, message.data, is_extended(message))
        return framed(body + _timestamp_field(message))
    vehicle_message = pb.VehicleMessage()
    if isinstance(message, messages.CommandResponse):
        if not _fill_response(message, vehicle_message):
            return b""
    elif not _fill_command(message, vehicle_message):
        return b""
    return framed(vehicle_message.SerializeToString() + _timestamp_field(message))


def decode(record: bytes | bytearray | memoryview) -> Incoming:
    """What an app means by one VehicleMessage, given without its length.

    Raises:
        MalformedRecord: no VehicleMessage.
        InvalidRecord: not a command and not a write that makes sense. Nothing else, for any bytes.
    """
    message = _parse(record)
    common = _common(message)
    if message.type == pb.VehicleMessage.CONTROL_COMMAND:
        return _read_command(message.control_command, common)
    if message.type == pb.VehicleMessage.SIMPLE:
        return _read_simple(message.simple_message, common)
    if message.type == pb.VehicleMessage.CAN and message.HasField("can_message"):
        _require_id(message.can_message.id)
        return _read_can(message.can_message, False, common)
    raise InvalidRecord(f"a message of type {message.type} is nothing that an app sends")


def decode_outgoing(record: bytes | bytearray | memoryview) -> Outgoing:
    """What a vehicle interface says in one VehicleMessage, given without its length.

    Raises:
        MalformedRecord: no VehicleMessage.
        InvalidRecord: nothing that a vehicle interface says. Nothing else, for any bytes.
    """
    message = _parse(record)
    common = _common(message)
    if message.type == pb.VehicleMessage.SIMPLE:
        simple = _read_simple(message.simple_message, common)
        if simple.value is None:
            raise InvalidRecord("value is missing")
        return simple
    if message.type == pb.VehicleMessage.CAN and message.HasField("can_message"):
        return _read_can(message.can_message, len(message.can_message.data) > CAN_DATA_MAX, common)
    if message.type == pb.VehicleMessage.DIAGNOSTIC:
        return _read_diagnostic_response(message.diagnostic_response, common)
    if message.type == pb.VehicleMessage.COMMAND_RESPONSE:
        return _read_response(message.command_response, common)
    raise InvalidRecord(f"a message of type {message.type} is nothing that a vehicle interface sends")


def _timestamp_field(message: messages.Message) -> bytes:
    """VehicleMessage.timestamp, the last field."""
    seconds = 0 if message.timestamp is None else int(double(message.timestamp))
    if seconds >= 1 << 64:
        raise ValueError(f"the timestamp {seconds} does not fit 64 bits")
    return b"\x38" + varint(seconds) if seconds > 0 else b""


def _encode_diagnostic_response(message: messages.DiagnosticResponse) -> bytes:
    body = _diagnostic_body(message)
    if len(body) <= RECORD_SIZE_MAX:
        return framed(body)
    return b"".join(framed(_diagnostic_body(part)) for part in multiframe.split(message, PART_SIZE))


def _diagnostic_body(message: messages.DiagnosticResponse) -> bytes:
    response = pb.DiagnosticResponse(
        bus=message.bus,
        message_id=message.id,
        mode=message.mode,
        pid=message.pid or 0,
        success=message.success,
        negative_response_code=message.negative_response_code or 0,
        payload=message.payload or b"",
        frame=message.frame or 0,
        total_size=message.total_size or 0,
    )
    if message.value is not None and fits_double(message.value):
        response.value.type = pb.DynamicField.NUM
        response.value.numeric_value = double(message.value)
    vehicle_message = pb.VehicleMessage(type=pb.VehicleMessage.DIAGNOSTIC, diagnostic_response=response)
    return vehicle_message.SerializeToString() + _timestamp_field(message)


def _fill_response(message: messages.CommandResponse, target: pb.VehicleMessage) -> bool:
    number = _command_number(message.command_response)
    if number is None:
        return False
    target.type = pb.VehicleMessage.COMMAND_RESPONSE
    target.command_response.type = number
    target.command_response.message = message.message
    target.command_response.status = message.status
    return True


def _command_number(name: str) -> pb.ControlCommand.Type | None:
    return COMMAND_NUMBERS.get(name)  # type: ignore[call-overload, no-any-return]  # a CommandName is its text


def _fill_command(message: messages.Command, target: pb.VehicleMessage) -> bool:
    number = _command_number(message.name)
    if number is None:
        return False
    target.type = pb.VehicleMessage.CONTROL_COMMAND
    command = target.control_command
    command.type = number
    if isinstance(message, messages.PassthroughCommand):
        command.passthrough_mode_request.bus = message.bus or 0
        command.passthrough_mode_request.enabled = message.enabled
    elif isinstance(message, messages.AcceptanceFilterCommand):
        command.acceptance_filter_bypass_command.bus = message.bus or 0
        command.acceptance_filter_bypass_command.bypass = message.bypass
    elif isinstance(message, messages.PayloadFormatCommand):
        command.payload_format_command.format = _number_of(_FORMATS, message.format)
    elif isinstance(message, messages.PredefinedObd2Command):
        command.predefined_obd2_requests_command.enabled = message.enabled
    elif isinstance(message, messages.DiagnosticCommand):
        command.diagnostic_request.action = _number_of(_ACTIONS, message.action)
        command.diagnostic_request.request.CopyFrom(_request(message.request))
    elif isinstance(message, messages.ModemConfigurationCommand):
        server = command.modem_configuration_command.serverConnectSettings
        server.host, server.port = message.host or "", message.port or 0
    elif isinstance(message, messages.RtcConfigurationCommand):
        command.rtc_configuration_command.unix_time = message.unix_time or 0
    return True


def _request(request: messages.DiagnosticRequest) -> pb.DiagnosticRequest:
    return pb.DiagnosticRequest(
        bus=request.bus or 0,
        message_id=request.id,
        mode=request.mode,
        pid=request.pid or 0,
        payload=request.payload,
        multiple_responses=request.multiple_responses,
        frequency=double(request.frequency),
        name=request.name or "",
        decoded_type=_number_of(_DECODED_TYPES, request.decoded_type),
    )


def _number_of(members: dict[Key, Member], member: Member | None) -> Any:
    """The enum number of a member; 0, which every enum of the format has as UNUSED, for none."""
    return next((number for number, known in members.items() if known is member), 0)


def _parse(record: bytes | bytearray | memoryview) -> pb.VehicleMessage:
    try:
        return pb.VehicleMessage.FromString(bytes(record))
    except (DecodeError, ValueError, RecursionError) as error:
        raise MalformedRecord(f"no VehicleMessage: {error}") from None


def _common(message: pb.VehicleMessage) -> Common:
    return {"timestamp": float(message.timestamp)} if message.timestamp else {}


def _read_dynamic(key: str, field: pb.DynamicField) -> Value | None:
    if field.type == pb.DynamicField.NUM:
        if not fits_double(field.numeric_value):
            raise InvalidRecord(f"{key} must be a finite number")
        return field.numeric_value
    if field.type == pb.DynamicField.STRING:
        return field.string_value
    if field.type == pb.DynamicField.BOOL:
        return field.boolean_value
    return None


def _read_simple(simple: pb.SimpleMessage, common: Common) -> messages.SimpleMessage:
    if not simple.name:
        raise InvalidRecord("name is empty")
    return messages.SimpleMessage(
        name=simple.name,
        value=_read_dynamic("value", simple.value),
        event=_read_dynamic("event", simple.event),
        **common,
    )


def _read_can(frame: pb.CanMessage, fd: bool, common: Common) -> messages.CanMessage:
    if not frame.id and not frame.data:
        raise InvalidRecord("a frame without id and data")
    frame_format = None
    if frame.frame_format != pb.CanMessage.UNUSED:
        frame_format = _FRAME_FORMATS.get(frame.frame_format)
        if frame_format is None:
            raise InvalidRecord("frame_format must be STANDARD or EXTENDED")
    return can_write(frame.id, frame.data, frame.bus, frame_format, fd, **common)


def _require_id(identifier: int) -> None:
    """Whoever forgets an id must not write to the one with the highest priority of all."""
    if not identifier:
        raise InvalidRecord("id is missing")


def _read_pid(mode: int, pid: int) -> int | None:
    checked("pid", pid, 0, PID_MAX)
    return pid if pid or mode in _MODES_WITH_PID_0 else None


def _read_diagnostic_response(response: pb.DiagnosticResponse, common: Common) -> messages.DiagnosticResponse:
    value = _read_dynamic("value", response.value)
    if isinstance(value, str | bool):
        raise InvalidRecord("value must be a number")
    return messages.DiagnosticResponse(
        bus=checked("bus", response.bus, 1, BUS_MAX),
        id=checked("id", response.message_id, 0, EXTENDED_ID_MAX),
        mode=checked("mode", response.mode, 0, MODE_MAX),
        success=response.success,
        pid=_read_pid(response.mode, response.pid),
        negative_response_code=checked("negative_response_code", response.negative_response_code, 0, 0xFF) or None,
        payload=response.payload or None,
        value=value,
        frame=checked("frame", response.frame, -1, 2**31 - 1) if response.total_size else None,
        total_size=response.total_size or None,
        **common,
    )


def _read_response(response: pb.CommandResponse, common: Common) -> messages.CommandResponse:
    name = _COMMAND_NAMES.get(response.type)
    if name is None:
        raise InvalidRecord(f"a response to a command of the unknown type {response.type}")
    return messages.CommandResponse(command_response=name, message=response.message, status=response.status, **common)


def _read_command(command: pb.ControlCommand, common: Common) -> messages.Command:
    name = _COMMAND_NAMES.get(command.type)
    if name is None:
        # Without a name there is nothing that an answer could say, in this format.
        raise InvalidRecord(f"a command of the unknown type {command.type}")
    reader = _READERS.get(name)
    if reader is None:
        return messages.SimpleCommand(name=name, **common)
    try:
        return reader(name, command, common)
    except InvalidRecord as error:
        return messages.InvalidCommand(name=name, reason=str(error), **common)


def _read_passthrough(name: str, command: pb.ControlCommand, common: Common) -> messages.Command:
    request = command.passthrough_mode_request
    bus = checked("bus", request.bus, 0, BUS_MAX) or None
    return messages.PassthroughCommand(name=name, bus=bus, enabled=request.enabled, **common)


def _read_acceptance_filter(name: str, command: pb.ControlCommand, common: Common) -> messages.Command:
    request = command.acceptance_filter_bypass_command
    bus = checked("bus", request.bus, 0, BUS_MAX) or None
    return messages.AcceptanceFilterCommand(name=name, bus=bus, bypass=request.bypass, **common)


def _read_payload_format(name: str, command: pb.ControlCommand, common: Common) -> messages.Command:
    wanted = _FORMATS.get(command.payload_format_command.format)
    return messages.PayloadFormatCommand(name=name, format=wanted, **common)


def _read_predefined_obd2(name: str, command: pb.ControlCommand, common: Common) -> messages.Command:
    enabled = command.predefined_obd2_requests_command.enabled
    return messages.PredefinedObd2Command(name=name, enabled=enabled, **common)


def _read_diagnostic(name: str, command: pb.ControlCommand, common: Common) -> messages.Command:
    action = _ACTIONS.get(command.diagnostic_request.action)
    if action is None:
        raise InvalidRecord("action must be ADD or CANCEL")
    request = _read_request(command.diagnostic_request.request)
    return messages.DiagnosticCommand(name=name, action=action, request=request, **common)


def _read_request(request: pb.DiagnosticRequest) -> messages.DiagnosticRequest:
    decoded_type = _DECODED_TYPES.get(request.decoded_type)
    if decoded_type is None and request.decoded_type != pb.DiagnosticRequest.UNUSED:
        raise InvalidRecord("decoded_type must be NONE or OBD2")
    _require_id(request.message_id)
    return messages.DiagnosticRequest(
        id=checked("id", request.message_id, 0, EXTENDED_ID_MAX),
        mode=checked("mode", request.mode, MODE_MIN, MODE_MAX),
        bus=checked("bus", request.bus, 0, BUS_MAX) or None,
        pid=_read_pid(request.mode, request.pid),
        payload=request.payload,
        multiple_responses=request.multiple_responses,
        frequency=checked_frequency(request.frequency),
        name=request.name or None,
        decoded_type=decoded_type,
    )


def _read_modem(name: str, command: pb.ControlCommand, common: Common) -> messages.Command:
    server = command.modem_configuration_command.serverConnectSettings
    port = checked("port", server.port, 0, PORT_MAX) or None
    return messages.ModemConfigurationCommand(name=name, host=server.host or None, port=port, **common)


def _read_rtc(name: str, command: pb.ControlCommand, common: Common) -> messages.Command:
    unix_time = command.rtc_configuration_command.unix_time or None
    return messages.RtcConfigurationCommand(name=name, unix_time=unix_time, **common)


_READERS: dict[str, Callable[[str, pb.ControlCommand, Common], messages.Command]] = {
    CommandName.PASSTHROUGH: _read_passthrough,
    CommandName.AF_BYPASS: _read_acceptance_filter,
    CommandName.PAYLOAD_FORMAT: _read_payload_format,
    CommandName.PREDEFINED_OBD2: _read_predefined_obd2,
    CommandName.DIAGNOSTIC_REQUEST: _read_diagnostic,
    CommandName.MODEM_CONFIGURATION: _read_modem,
    CommandName.RTC_CONFIGURATION: _read_rtc,
}
