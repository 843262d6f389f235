"""OpenXC's JSON records: messages from bytes and to bytes.

One record is one JSON object followed by a NUL, compact, in ASCII (an app on Android takes a
stream for protobuf as soon as it sees any other byte, a line feed included). Must not know how
records are found in a stream (stream), nor what becomes of a message.

Source: the OpenXC message format 0.8, and what the firmware 8.2 and its clients make of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, TypeVar

from bridge.frames import EXTENDED_ID_MAX
from bridge.openxc import messages
from bridge.openxc.json_fields import (
    Fields,
    lower_keys,
    read_boolean,
    read_bytes,
    read_integer,
    read_number,
    read_object,
    read_text,
    read_value,
)
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
from bridge.openxc.ranges import (
    BUS_MAX,
    MODE_MAX,
    MODE_MIN,
    PID_MAX,
    PORT_MAX,
    UINT32_MAX,
    can_write,
    checked_frequency,
    fits_double,
    is_extended,
    shown,
)

_INT64 = 2.0**63
Common = dict[str, Any]  #: timestamp and extras, as a message's arguments
Choice = TypeVar("Choice", FrameFormat, DecodedType, DiagnosticAction)


def number_text(value: int | float) -> str:
    """A number as JSON text that every client parses back to the same double.

    An integral number within a signed 64-bit integer has no point (-0.0 is "0"); any other
    float is the shortest text that gives the double back.

    Raises:
        ValueError: not a number or infinite, which JSON cannot say; or an integer of over 4300 digits.
    """
    if isinstance(value, int):
        return int.__repr__(value)
    if value.is_integer() and -_INT64 <= value < _INT64:
        return str(int(value))
    if not math.isfinite(value):
        raise ValueError(f"{value} has no JSON form")
    return repr(value)


def encode(message: Incoming | Outgoing) -> bytes:
    """One record with its NUL: what the bridge sends, or what a client of it does.

    Keys come in the firmware's order, `timestamp` first and `extras` last when given. A part of
    a diagnostic response carries its id twice, as `id` and as `message_id`; a diagnostic value
    that no double can hold is left out.

    Raises:
        ValueError: a number that is not finite, or extras that JSON cannot say.
    """
    body = _WRITERS[type(message)](message)
    if message.timestamp is not None:
        body = f'"timestamp":{number_text(message.timestamp)},{body}'
    if message.extras is not None:
        body = f'{body},"extras":{_extras_text(message.extras)}'
    return f"{{{body}}}\0".encode("ascii")


def decode(record: bytes | bytearray | memoryview) -> Incoming:
    """What an app means by one record; the NUL may be there or not.

    A command that is unknown or has impossible fields is an InvalidCommand, to be answered.

    Raises:
        InvalidRecord: it is not a command and not a write that makes sense. Nothing else, for any bytes.
    """
    fields = read_object(record)
    common = _common(fields)
    command = fields.get("command")
    if command is not None:
        return _read_command(command, fields, common)
    if fields.get("command_response") is not None:
        raise InvalidRecord("a command response is nothing that an app sends")
    if fields.get("name") is not None:
        return _read_simple(fields, common)
    return _read_can(fields, common)


def decode_outgoing(record: bytes | bytearray | memoryview) -> Outgoing:
    """What a vehicle interface says in one record; the NUL may be there or not.

    Raises:
        InvalidRecord: nothing that a vehicle interface says. Nothing else, for any bytes.
    """
    return outgoing_from_fields(read_object(record))


def outgoing_from_fields(fields: Fields) -> Outgoing:
    """Like decode_outgoing, from an object that is read already.

    Raises:
        InvalidRecord: nothing that a vehicle interface says.
    """
    common = _common(fields)
    if fields.get("command_response") is not None:
        return _read_response(fields, common)
    if fields.get("mode") is not None:
        return _read_diagnostic_response(fields, common)
    if fields.get("name") is not None:
        message = _read_simple(fields, common)
        if message.value is None:
            raise InvalidRecord("value is missing")
        return message
    return _read_can(fields, common)


def _write_value(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return quoted(value) if isinstance(value, str) else number_text(value)


def _write_boolean(value: bool) -> str:
    return "true" if value else "false"


def _write_bus(bus: int | None) -> str:
    return "" if bus is None else f'"bus":{bus},'


def _write_simple(message: messages.SimpleMessage) -> str:
    text = f'"name":{quoted(message.name)}'
    if message.value is not None:
        text += f',"value":{_write_value(message.value)}'
    if message.event is not None:
        text += f',"event":{_write_value(message.event)}'
    return text


def _write_can(message: messages.CanMessage) -> str:
    text = f'{_write_bus(message.bus)}"id":{message.id},"data":"0x{message.data.hex()}"'
    if is_extended(message):
        text += ',"frame_format":"extended"'
    if message.fd:
        text += ',"fd":true'
    return text


def _write_diagnostic_response(message: messages.DiagnosticResponse) -> str:
    text = f'"bus":{message.bus},"id":{message.id},'
    if message.frame is not None:
        # Clients that put parts together look for the id under this key, those that do not under the other.
        text += f'"message_id":{message.id},'
    text += f'"mode":{message.mode},"success":{_write_boolean(message.success)}'
    if message.pid is not None:
        text += f',"pid":{message.pid}'
    if message.negative_response_code:
        # Android takes the mere presence of the key for a failure.
        text += f',"negative_response_code":{message.negative_response_code}'
    if message.frame is not None:
        text += f',"frame":{message.frame}'
    if message.total_size is not None:
        text += f',"total_size":{message.total_size}'
    if message.payload:
        text += f',"payload":"0x{message.payload.hex()}"'
    if message.value is not None and fits_double(message.value):
        text += f',"value":{number_text(message.value)}'
    return text


def _write_response(message: messages.CommandResponse) -> str:
    return (
        f'"command_response":{quoted(message.command_response)},"message":{quoted(message.message)}'
        f',"status":{_write_boolean(message.status)}'
    )


def _write_command(message: messages.Command) -> str:
    return f'"command":{quoted(message.name)}'


def _write_passthrough(message: messages.PassthroughCommand) -> str:
    return f'{_write_command(message)},{_write_bus(message.bus)}"enabled":{_write_boolean(message.enabled)}'


def _write_acceptance_filter(message: messages.AcceptanceFilterCommand) -> str:
    return f'{_write_command(message)},{_write_bus(message.bus)}"bypass":{_write_boolean(message.bypass)}'


def _write_payload_format(message: messages.PayloadFormatCommand) -> str:
    text = _write_command(message)
    return text if message.format is None else f'{text},"format":"{message.format.value}"'


def _write_predefined_obd2(message: messages.PredefinedObd2Command) -> str:
    return f'{_write_command(message)},"enabled":{_write_boolean(message.enabled)}'


def _write_diagnostic(message: messages.DiagnosticCommand) -> str:
    request = message.request
    text = f'{_write_bus(request.bus)}"id":{request.id},"mode":{request.mode}'
    if request.pid is not None:
        text += f',"pid":{request.pid}'
    if request.payload:
        text += f',"payload":"0x{request.payload.hex()}"'
    if request.multiple_responses:
        text += ',"multiple_responses":true'
    if request.frequency:
        text += f',"frequency":{number_text(request.frequency)}'
    if request.name is not None:
        text += f',"name":{quoted(request.name)}'
    if request.decoded_type is not None:
        text += f',"decoded_type":"{request.decoded_type.value}"'
    return f'{_write_command(message)},"action":"{message.action.value}","request":{{{text}}}'


def _write_modem(message: messages.ModemConfigurationCommand) -> str:
    text = _write_command(message)
    if message.host is not None:
        text += f',"host":{quoted(message.host)}'
    if message.port is not None:
        text += f',"port":{message.port}'
    return text


def _write_rtc(message: messages.RtcConfigurationCommand) -> str:
    text = _write_command(message)
    return text if message.unix_time is None else f'{text},"unix_time":{message.unix_time}'


def _extras_text(extras: object) -> str:
    try:
        return json.dumps(extras, separators=(",", ":"), allow_nan=False)
    except RecursionError:
        raise ValueError("extras are nested too deeply") from None


_WRITERS: dict[type, Callable[[Any], str]] = {
    messages.SimpleMessage: _write_simple,
    messages.CanMessage: _write_can,
    messages.DiagnosticResponse: _write_diagnostic_response,
    messages.CommandResponse: _write_response,
    messages.SimpleCommand: _write_command,
    messages.InvalidCommand: _write_command,
    messages.PassthroughCommand: _write_passthrough,
    messages.AcceptanceFilterCommand: _write_acceptance_filter,
    messages.PayloadFormatCommand: _write_payload_format,
    messages.PredefinedObd2Command: _write_predefined_obd2,
    messages.DiagnosticCommand: _write_diagnostic,
    messages.ModemConfigurationCommand: _write_modem,
    messages.RtcConfigurationCommand: _write_rtc,
}


def _common(fields: Fields) -> Common:
    if "timestamp" not in fields and "extras" not in fields:
        return {}
    timestamp = fields.get("timestamp")
    if isinstance(timestamp, bool) or not isinstance(timestamp, int | float) or not fits_double(timestamp):
        timestamp = None
    return {"timestamp": None if timestamp is None else float(timestamp), "extras": fields.get("extras")}


def _read_choice(fields: Fields, key: str, choices: type[Choice]) -> Choice | None:
    text = read_text(fields, key)
    if text is None:
        return None
    try:
        return choices(text.lower())
    except ValueError:
        known = " or ".join(choice.value for choice in choices)
        raise InvalidRecord(f"{key} must be {known}, not {shown(text)}") from None


def _read_bus(fields: Fields) -> int | None:
    return read_integer(fields, "bus", 0, BUS_MAX) or None


def _required(key: str, value: Any) -> Any:
    if value is None:
        raise InvalidRecord(f"{key} is missing")
    return value


def _read_simple(fields: Fields, common: Common) -> messages.SimpleMessage:
    name = read_text(fields, "name")
    if not name:
        raise InvalidRecord("name is empty")
    return messages.SimpleMessage(
        name=name, value=read_value(fields, "value"), event=read_value(fields, "event"), **common
    )


def _read_can(fields: Fields, common: Common) -> messages.CanMessage:
    identifier = read_integer(fields, "id", 0, EXTENDED_ID_MAX)
    data = read_bytes(fields, "data")
    if identifier is None or data is None:
        raise InvalidRecord("no known kind of record: neither command, nor name, nor id and data")
    format_key = "format" if fields.get("frame_format") is None else "frame_format"
    return can_write(
        identifier,
        data,
        _read_bus(fields) or 0,
        _read_choice(fields, format_key, FrameFormat),
        read_boolean(fields, "fd") or False,
        **common,
    )


def _read_id(fields: Fields) -> int:
    key = "id" if fields.get("id") is not None else "message_id"
    identifier: int = _required("id", read_integer(fields, key, 0, EXTENDED_ID_MAX))
    return identifier


def _read_diagnostic_response(fields: Fields, common: Common) -> messages.DiagnosticResponse:
    return messages.DiagnosticResponse(
        bus=_required("bus", read_integer(fields, "bus", 1, BUS_MAX)),
        id=_read_id(fields),
        mode=_required("mode", read_integer(fields, "mode", 0, MODE_MAX)),
        success=_required("success", read_boolean(fields, "success")),
        pid=read_integer(fields, "pid", 0, PID_MAX),
        negative_response_code=read_integer(fields, "negative_response_code", 0, 0xFF) or None,
        payload=read_bytes(fields, "payload") or None,
        value=read_number(fields, "value"),
        frame=read_integer(fields, "frame", -1, UINT32_MAX >> 1),
        total_size=read_integer(fields, "total_size", 0, UINT32_MAX),
        **common,
    )


def _read_response(fields: Fields, common: Common) -> messages.CommandResponse:
    return messages.CommandResponse(
        command_response=_required("command_response", read_text(fields, "command_response")),
        message=read_text(fields, "message") or "",
        status=_required("status", read_boolean(fields, "status")),
        **common,
    )


def _read_command(name: object, fields: Fields, common: Common) -> messages.Command:
    if not isinstance(name, str):
        raise InvalidRecord(f"command must be a text, not {shown(name)}")
    reader = _READERS.get(name)
    if reader is None:
        return messages.InvalidCommand(name=name, reason=f"unknown command {shown(name)}", **common)
    try:
        return reader(name, fields, common)
    except InvalidRecord as error:
        return messages.InvalidCommand(name=name, reason=str(error), **common)


def _read_plain(name: str, _: Fields, common: Common) -> messages.Command:
    return messages.SimpleCommand(name=name, **common)


def _read_passthrough(name: str, fields: Fields, common: Common) -> messages.Command:
    enabled = _required("enabled", read_boolean(fields, "enabled"))
    return messages.PassthroughCommand(name=name, bus=_read_bus(fields), enabled=enabled, **common)


def _read_acceptance_filter(name: str, fields: Fields, common: Common) -> messages.Command:
    bypass = _required("bypass", read_boolean(fields, "bypass"))
    return messages.AcceptanceFilterCommand(name=name, bus=_read_bus(fields), bypass=bypass, **common)


def _read_payload_format(name: str, fields: Fields, common: Common) -> messages.Command:
    wanted = fields.get("format")
    known = {choice.value: choice for choice in PayloadFormat}
    choice = known.get(wanted.lower()) if isinstance(wanted, str) else None
    return messages.PayloadFormatCommand(name=name, format=choice, **common)


def _read_predefined_obd2(name: str, fields: Fields, common: Common) -> messages.Command:
    enabled = _required("enabled", read_boolean(fields, "enabled"))
    return messages.PredefinedObd2Command(name=name, enabled=enabled, **common)


def _read_diagnostic(name: str, fields: Fields, common: Common) -> messages.Command:
    action = _required("action", _read_choice(fields, "action", DiagnosticAction))
    request = fields.get("request")
    if request is None:
        request = _required("request", fields.get("diagnostic_request"))
    if not isinstance(request, dict):
        raise InvalidRecord(f"request must be an object, not {shown(request)}")
    return messages.DiagnosticCommand(name=name, action=action, request=_read_request(lower_keys(request)), **common)


def _read_request(fields: Fields) -> messages.DiagnosticRequest:
    return messages.DiagnosticRequest(
        id=_read_id(fields),
        mode=_required("mode", read_integer(fields, "mode", MODE_MIN, MODE_MAX)),
        bus=_read_bus(fields),
        pid=read_integer(fields, "pid", 0, PID_MAX),
        payload=read_bytes(fields, "payload") or b"",
        multiple_responses=read_boolean(fields, "multiple_responses") or False,
        frequency=checked_frequency(float(read_number(fields, "frequency") or 0.0)),
        name=read_text(fields, "name") or None,
        decoded_type=_read_choice(fields, "decoded_type", DecodedType),
    )


def _read_modem(name: str, fields: Fields, common: Common) -> messages.Command:
    server = fields.get("server")
    if server is None:
        server = fields
    elif not isinstance(server, dict):
        raise InvalidRecord(f"server must be an object, not {shown(server)}")
    server = lower_keys(server)
    host, port = read_text(server, "host"), read_integer(server, "port", 0, PORT_MAX)
    return messages.ModemConfigurationCommand(name=name, host=host, port=port, **common)


def _read_rtc(name: str, fields: Fields, common: Common) -> messages.Command:
    unix_time = read_integer(fields, "unix_time", 0, UINT32_MAX)
    return messages.RtcConfigurationCommand(name=name, unix_time=unix_time, **common)


_READERS: dict[str, Callable[[str, Fields, Common], messages.Command]] = {
    CommandName.VERSION: _read_plain,
    CommandName.DEVICE_ID: _read_plain,
    CommandName.PLATFORM: _read_plain,
    CommandName.SD_MOUNT_STATUS: _read_plain,
    CommandName.GET_VIN: _read_plain,
    CommandName.PASSTHROUGH: _read_passthrough,
    CommandName.AF_BYPASS: _read_acceptance_filter,
    CommandName.PAYLOAD_FORMAT: _read_payload_format,
    CommandName.PREDEFINED_OBD2: _read_predefined_obd2,
    CommandName.DIAGNOSTIC_REQUEST: _read_diagnostic,
    CommandName.MODEM_CONFIGURATION: _read_modem,
    CommandName.RTC_CONFIGURATION: _read_rtc,
}
