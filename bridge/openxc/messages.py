"""What OpenXC apps and a vehicle interface say to each other, as immutable objects.

The field names are the JSON format's. Nothing here knows how a message is written down
(json_format, protobuf_format), who sent it or whether it is allowed.

Source: the OpenXC message format 0.8 (JSON and protobuf), as real clients use it.
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from bridge.errors import ClientError

Value = bool | int | float | str  #: what a simple message carries, as value or as event


class InvalidRecord(ClientError):
    """A record that says nothing: not parsable, of no known kind, or with fields that make no sense.

    No answer goes out for it; the text is for a log.
    """


class CommandName(enum.StrEnum):
    """The commands by their names on the wire."""

    VERSION = "version"
    DEVICE_ID = "device_id"
    PLATFORM = "platform"
    PASSTHROUGH = "passthrough"
    AF_BYPASS = "af_bypass"
    PAYLOAD_FORMAT = "payload_format"
    PREDEFINED_OBD2 = "predefined_obd2"
    DIAGNOSTIC_REQUEST = "diagnostic_request"
    MODEM_CONFIGURATION = "modem_configuration"
    RTC_CONFIGURATION = "rtc_configuration"
    SD_MOUNT_STATUS = "sd_mount_status"
    GET_VIN = "get_vin"


class PayloadFormat(enum.Enum):
    """How records are written on a connection."""

    JSON = "json"
    PROTOBUF = "protobuf"


class FrameFormat(enum.Enum):
    """ISO 11898-1: 11-bit or 29-bit identifiers."""

    STANDARD = "standard"
    EXTENDED = "extended"


class DecodedType(enum.Enum):
    """How the payload of a diagnostic response becomes a value."""

    NONE = "none"
    OBD2 = "obd2"


class DiagnosticAction(enum.Enum):
    """What is to be done with a diagnostic request."""

    ADD = "add"
    CANCEL = "cancel"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What every record may carry besides its own fields."""

    timestamp: float | None = None  #: Unix seconds
    extras: Any = None  #: any JSON; ignored by the bridge


class SimpleMessage(Message, frozen=True, kw_only=True):
    """A named value, evented if `event` is given. From an app: a write of that signal."""

    name: str
    value: Value | None = None  #: None only on input: a write without a value
    event: Value | None = None


class CanMessage(Message, frozen=True, kw_only=True):
    """A raw CAN frame. From an app: a write of that frame."""

    id: int
    data: bytes
    bus: int | None = None  #: None on input means the first bus
    frame_format: FrameFormat | None = None  #: None means by the id; emitted for extended frames only
    fd: bool = False  #: our extension: a CAN FD frame


class DiagnosticRequest(Message, frozen=True, kw_only=True):
    """A request to an ECU, one-off or (frequency > 0) recurring."""

    id: int  #: arbitration id, 11 or 29 bits; 0x7DF and 0x18DB33F1 are functional addresses
    mode: int  #: service, 1 to 0xFF
    bus: int | None = None  #: None means the first bus
    pid: int | None = None  #: 0 to 0xFFFF; None sends no PID
    payload: bytes = b""
    multiple_responses: bool = False
    frequency: float = 0.0  #: Hz; 0 is one-off
    name: str | None = None
    decoded_type: DecodedType | None = None  #: None means by mode and PID


class DiagnosticResponse(Message, frozen=True, kw_only=True):
    """An ECU's answer, or one part of it when parts are asked for (frame is set)."""

    bus: int
    id: int  #: the request's id; the responder's own for a functional request
    mode: int  #: the request's mode
    success: bool
    pid: int | None = None
    negative_response_code: int | None = None
    payload: bytes | None = None
    value: int | float | None = None
    frame: int | None = None  #: 0, 1, ... and -1 for the last part
    total_size: int | None = None  #: length of the whole ISO-TP message
    pid_length: int | None = None  #: bytes of the PID in that message; None means by mode and PID. Not on the wire


class Command(Message, frozen=True, kw_only=True):
    """Base of what the app asks of the vehicle interface. `name` is the wire's name."""

    name: str


class SimpleCommand(Command, frozen=True, kw_only=True):
    """A command without arguments: version, device_id, platform, sd_mount_status, get_vin."""


class PassthroughCommand(Command, frozen=True, kw_only=True):
    """Raw frames of a bus on or off."""

    bus: int | None
    enabled: bool


class AcceptanceFilterCommand(Command, frozen=True, kw_only=True):
    """The acceptance filter of a bus bypassed (everything comes in) or not."""

    bus: int | None
    bypass: bool


class PayloadFormatCommand(Command, frozen=True, kw_only=True):
    """Another payload format for this connection; None where the name is unknown."""

    format: PayloadFormat | None


class PredefinedObd2Command(Command, frozen=True, kw_only=True):
    """The predefined OBD-II requests on or off."""

    enabled: bool


class DiagnosticCommand(Command, frozen=True, kw_only=True):
    """A diagnostic request to add or cancel."""

    action: DiagnosticAction
    request: DiagnosticRequest


class ModemConfigurationCommand(Command, frozen=True, kw_only=True):
    """Where a cellular vehicle interface sends its data."""

    host: str | None = None
    port: int | None = None


class RtcConfigurationCommand(Command, frozen=True, kw_only=True):
    """The time of a vehicle interface with a clock."""

    unix_time: int | None = None


class InvalidCommand(Command, frozen=True, kw_only=True):
    """A command whose name is unknown or whose fields make no sense; `reason` is the answer."""

    reason: str


class CommandResponse(Message, frozen=True, kw_only=True):
    """The answer to a command, for the client that sent it."""

    command_response: str
    status: bool
    message: str = ""


Incoming = SimpleMessage | CanMessage | Command  #: what an app may send
Outgoing = SimpleMessage | CanMessage | DiagnosticResponse | CommandResponse  #: what an app may get
