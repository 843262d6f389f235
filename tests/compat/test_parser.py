"""The client's parser as an oracle: a minute of the bridge's records of every kind means the same to both sides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.codec import Records
from bridge.frames import FrameBatch
from bridge.interface import VehicleInterface
from bridge.openxc import json_format, protobuf_format
from bridge.openxc.messages import (
    CanMessage,
    CommandName,
    CommandResponse,
    DiagnosticResponse,
    FrameFormat,
    Outgoing,
    PayloadFormat,
    SimpleMessage,
)
from bridge.openxc.stream import OutgoingStreamDecoder
from bridge.profile import loading
from bridge.simulator.ecus import pattern
from bridge.simulator.frames import VehicleFrames
from bridge.simulator.vehicle import Vehicle

from .conftest import OpenXC

DURATION, STEP = 60, 0.02  #: s
RAW_SECONDS = (30, 31, 32)  #: of the minute, those with passthrough on

#: Responses to these end the client's reading thread in protobuf; it cannot send the commands in that format either.
UNKNOWN_TO_THE_CLIENT = (
    CommandName.MODEM_CONFIGURATION,
    CommandName.RTC_CONFIGURATION,
    CommandName.SD_MOUNT_STATUS,
    CommandName.GET_VIN,
)


def drive(interface: VehicleInterface) -> Iterator[Records]:
    """What is published in a minute of driving, raw frames in some of its seconds."""
    vehicle = Vehicle(seed=5, start=0.0)
    frames = VehicleFrames(loading.load("demo"), vehicle.values(0.0).keys(), 0.0)
    for turn in range(round(DURATION / STEP)):
        now = turn * STEP
        vehicle.advance(now)
        interface.translator.set_passthrough(1, int(now) in RAW_SECONDS)
        due = frames.due(now, vehicle.values(now))
        stamped = FrameBatch.of(replace(frame, timestamp=now) for frame in due)
        yield interface.frames(stamped, now).records


def others() -> Iterator[Outgoing]:
    """Records of the kinds that no drive brings."""
    for event in (True, False, 23.5, 0, "pressed", ""):
        yield SimpleMessage(name="evented", value="name", event=event)
    for value in (True, False, 0, 1, -1, 0.1, 2616.6, 1e-7, 123456789012345, "", "text", 'quote " \\ \n', "ü€🚗", "\0"):
        yield SimpleMessage(name="some_value", value=value)
    yield SimpleMessage(name=60 * "x", value=100 * "y", event=True)  # the client skips records of over 200 bytes
    for data in (b"", b"\0", bytes(range(8))):
        yield CanMessage(bus=2, id=0x7FF, data=data)
        yield CanMessage(bus=1, id=0x1FFFFFFF, data=data, frame_format=FrameFormat.EXTENDED)
    yield CanMessage(bus=1, id=0x42, data=b"\x01", frame_format=FrameFormat.EXTENDED)
    for pid in (None, 0x0C, 0xF190):
        yield DiagnosticResponse(bus=1, id=0x7E0, mode=0x22, pid=pid, success=True, payload=b"\x12\x34")
        yield DiagnosticResponse(bus=1, id=0x7E8, mode=0x22, pid=pid, success=False, negative_response_code=0x31)
    yield DiagnosticResponse(bus=1, id=0x18DA10F1, mode=0x3E, success=True)
    for value in (0, 12.5, 3191840787):
        yield DiagnosticResponse(bus=2, id=0x7E0, mode=1, pid=0x0C, success=True, value=value)
    for length in (20, 150, 200, 4092):
        yield DiagnosticResponse(bus=1, id=0x7E0, mode=0x22, pid=0xFD00, success=True, payload=pattern(length))
    for name in CommandName:
        yield CommandResponse(command_response=name.value, status=True, message="a message")
        yield CommandResponse(command_response=name.value, status=False)


def recorded(payload_format: PayloadFormat) -> bytes:
    interface = VehicleInterface(loading.load("demo"))
    interface.translator.want(frozenset(PayloadFormat))
    encode = json_format.encode if payload_format is PayloadFormat.JSON else protobuf_format.encode
    left_out = UNKNOWN_TO_THE_CLIENT if payload_format is PayloadFormat.PROTOBUF else ()
    driven = b"".join(records.of(payload_format) for records in drive(interface))
    more = [each for each in others() if not (isinstance(each, CommandResponse) and each.command_response in left_out)]
    return driven + b"".join(map(encode, more))


def in_json(message: Outgoing) -> dict[str, Any]:
    """A message as the client has it when it comes in JSON."""
    match message:
        case SimpleMessage(name=name, value=value, event=event):
            return {"name": name, "value": value} | ({} if event is None else {"event": event})
        case CanMessage():
            fields = {"bus": message.bus, "id": message.id, "data": "0x" + message.data.hex()}
            return fields | ({"frame_format": "extended"} if message.frame_format is FrameFormat.EXTENDED else {})
        case DiagnosticResponse():
            optional = {
                "pid": message.pid,
                "negative_response_code": message.negative_response_code,
                "value": message.value,
                "payload": None if message.payload is None else "0x" + message.payload.hex(),
            }
            fields = {"bus": message.bus, "id": message.id, "mode": message.mode, "success": message.success}
            return fields | {key: value for key, value in optional.items() if value is not None}
        case CommandResponse():
            fields = {"command_response": message.command_response, "status": message.status}
            return fields | {"message": message.message}


def in_protobuf(message: Outgoing) -> dict[str, Any]:
    """The same in protobuf, where the client knows no presence: 0 and "" are False, and what is absent is there."""
    match message:
        case SimpleMessage(name=name, value=value, event=event):
            return {"name": name, "value": value or False, "event": event or False}
        case CanMessage():
            fields = in_json(message)
            return {key: value for key, value in fields.items() if value not in (0, "0x")}
        case DiagnosticResponse():
            fields = {"pid": 0} | in_json(message) | {"frame": message.frame or 0}
            return fields | ({"total_size": message.total_size} if message.total_size else {})
        case CommandResponse():
            fields = in_json(message)
            return fields if message.message else {key: fields[key] for key in ("command_response", "status")}


@pytest.mark.parametrize("payload_format", list(PayloadFormat), ids=lambda payload_format: payload_format.value)
@pytest.mark.parametrize("detected", [False, True], ids=["named", "detected"])
def test_both_parsers_agree(openxc: OpenXC, payload_format: PayloadFormat, detected: bool) -> None:
    stream = recorded(payload_format)
    path = Path(openxc.directory / "stream")
    path.write_bytes(stream)
    process = openxc.script("parse.py", path, "" if detected else payload_format.value)

    decoder = OutgoingStreamDecoder(payload_format)
    ours = decoder.feed(stream)
    assert (decoder.invalid, decoder.oversized, decoder.buffered) == (0, 0, 0)
    kinds = (SimpleMessage, CanMessage, DiagnosticResponse, CommandResponse)
    assert {type(each) for each in ours} == set(kinds) and len(ours) > 4000
    convert = in_json if payload_format is PayloadFormat.JSON else in_protobuf
    expected = [convert(each) for each in ours]

    *lines, summary = process.finish()
    assert summary == "corrupted 0, left 0"
    theirs = [json.loads(line) for line in lines]
    different = [pair for pair in zip(theirs, expected, strict=False) if pair[0] != pair[1]]
    assert not different[:5]
    assert len(theirs) == len(expected)
