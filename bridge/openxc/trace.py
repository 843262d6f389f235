"""OpenXC traces: one JSON record with its time per line, as the recorders of the apps write them.

Lines in, messages out and back. Must not know files, nor when a line is to be played.

Source: the trace files of openxc-python and openxc-android.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from bridge.openxc.json_fields import read_object
from bridge.openxc.json_format import encode, outgoing_from_fields
from bridge.openxc.messages import InvalidRecord, Outgoing


class TraceEntry(NamedTuple):
    """A line with a message."""

    timestamp: float | None  #: Unix seconds; None where the line has none and is to be played at once
    message: Outgoing  #: without a timestamp of its own


class TraceMetadata(msgspec.Struct, frozen=True):
    """The first line of a trace, if it says where the trace is from."""

    #: As the line has them: version, vehicle_interface_id, vehicle {make, model, trim, year},
    #: description, driver_name, vehicle_id; any may be missing.
    fields: dict[str, Any]


def parse_line(line: bytes | str) -> TraceEntry | TraceMetadata | None:
    """What a line says; None for an empty one. The line's end (LF or CRLF) may be there or not.

    Raises:
        InvalidRecord: neither a message nor metadata. Nothing else, for any line.
    """
    record = line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line
    if not record.strip():
        return None
    fields = read_object(record)
    metadata = fields.get("metadata")
    if metadata is not None:
        if not isinstance(metadata, dict):
            raise InvalidRecord("metadata must be an object")
        return TraceMetadata(metadata)
    message = outgoing_from_fields(fields)
    if message.timestamp is None:
        return TraceEntry(None, message)
    return TraceEntry(message.timestamp, msgspec.structs.replace(message, timestamp=None))


def write_line(message: Outgoing, timestamp: float | None) -> bytes:
    """A message as a line with its LF; `timestamp` (Unix seconds) is the time of its arrival.

    Raises:
        ValueError: a number that is not finite, or extras that JSON cannot say.
    """
    return encode(msgspec.structs.replace(message, timestamp=timestamp))[:-1] + b"\n"
