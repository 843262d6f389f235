"""One validated tree of settings: defaults < file (TOML) < environment < command line.

Each source is checked on its own, so that an error names the file or variable and the key that
is to blame. Must not know what the settings are used for: specs of buses and listeners stay
text here and are parsed by their rooms.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec

from bridge import limits
from bridge.errors import ConfigurationError
from bridge.ports import parse_port

ENVIRONMENT_PREFIX = "OPENXC_BRIDGE_"
#: Keys of [openobd] and the variables that openOBD's own library reads for them; the last is ours.
OPENOBD_VARIABLES = {
    "host": "OPENOBD_GRPC_HOST",
    "port": "OPENOBD_GRPC_PORT",
    "client_id": "OPENOBD_PARTNER_CLIENT_ID",
    "client_secret": "OPENOBD_PARTNER_CLIENT_SECRET",
    "cluster_id": "OPENOBD_CLUSTER_ID",
    "session_info": "OPENOBD_SESSION_INFO",
}

LogLevel = Literal["debug", "info", "warning", "error"]
PayloadFormatName = Literal["json", "protobuf"]
ResponseStyle = Literal["complete", "frames"]
UserInterfaceName = Literal["refuse", "terminal", "auto"]
ResultName = Literal[
    "success",
    "invalid-preconditions",
    "needs-validation",
    "needs-completion",
    "failure-authentication-error",
    "failure-missing-coding-information",
    "failure-not-compatible",
    "failure-communication-error",
    "failure-runtime-error",
    "failure-external-service-error",
    "failure",
]
UserFeedbackName = Literal["nothing", "success", "failure", "assistance-requested"]
_CHOICES: Mapping[str, tuple[str, ...]] = {  # keys whose value is one of a few
    "log_level": get_args(LogLevel),
    "payload_format": get_args(PayloadFormatName),
    "responses": get_args(ResponseStyle),
    "ui": get_args(UserInterfaceName),
    "result": get_args(ResultName),
    "user_feedback": get_args(UserFeedbackName),
}
_PLAIN_TYPES = {  # msgspec's words for what TOML has
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "array": "a list",
    "object": "a table",
}
_HOST = re.compile(r"[^\s/@:]+|[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*")  # a name or address; or IPv6
_SURROGATE = re.compile("[\ud800-\udfff]")  # a byte of a variable that is no UTF-8
_Uint32 = Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]  # openOBD's numbers
_Byte = Annotated[int, msgspec.Meta(ge=0, le=0xFF)]
_ArbitrationId = Annotated[int, msgspec.Meta(ge=0, le=0x1FFFFFFF)]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration: nothing in it goes unnoticed."""


class BusSettings(_Section, frozen=True, kw_only=True):
    """One [[bus]]: the n-th is OpenXC bus n."""

    spec: str  #: as for --bus
    loopback: bool | None = None  #: frames that the bridge sends come back as received; None: the profile's
    raw_writable: bool | None = None  #: None: the profile's
    passthrough: bool | None = None  #: raw frames are published from the start; None: the profile's
    bypass_filter: bool | None = None  #: raw frames of undefined ids, too; None: the profile's


class ListenerSettings(_Section, frozen=True, kw_only=True):
    """One [[listen]]."""

    url: str  #: as for --listen
    allow_write: str | None = None  #: None: the whole bridge's
    payload_format: PayloadFormatName | None = None
    insecure: bool = False  #: listen beyond loopback in the clear


class DiagnosticSettings(_Section, frozen=True, kw_only=True):
    """[diagnostics]."""

    max_frequency: float = limits.DIAGNOSTIC_MAX_FREQUENCY  #: Hz, of a recurring request
    responses: ResponseStyle = "complete"  #: "frames" publishes a long response in parts, as the firmware does


class LimitSettings(_Section, frozen=True, kw_only=True):
    """[limits]."""

    clients: int = limits.CLIENTS_LIMIT
    client_queue: int = limits.CLIENT_QUEUE_LIMIT  #: bytes


class PartnerSettings(_Section, frozen=True, kw_only=True):
    """One [[gateway.partner]]: who may start openOBD sessions."""

    client_id: str
    client_secret: str
    cluster_id: str = "001"


class VehicleSettings(_Section, frozen=True, kw_only=True):
    """[gateway.connection.vehicle]."""

    name: str = ""
    tecdoc_id: _Uint32 = 0
    vin: str = ""  #: empty: read from the car


class ProductSettings(_Section, frozen=True, kw_only=True):
    """One [[gateway.connection.product]]."""

    number: _Uint32
    name: str


class EcuSettings(_Section, frozen=True, kw_only=True):
    """One [[gateway.connection.ecu]]."""

    request_id: _ArbitrationId
    response_id: _ArbitrationId
    bus: int = 1  #: OpenXC's bus number
    extended_request_address: _Byte | None = None
    extended_response_address: _Byte | None = None


class ConnectionSettings(_Section, frozen=True, kw_only=True):
    """One [[gateway.connection]]: a vehicle that sessions are started on."""

    connector: str | None = None  #: its connector id; None: any
    tickets: tuple[str, ...] | None = None  #: the ticket numbers that mean it; None: any
    #: Pins of the diagnostic connector, CAN-H/CAN-L -> bus number.
    pins: dict[str, int] = msgspec.field(default_factory=lambda: {"6/14": 1, "3/11": 2})
    vehicle: VehicleSettings = VehicleSettings()
    product: tuple[ProductSettings, ...] = ()
    ecu: tuple[EcuSettings, ...] = ()  #: empty: found by scanning


class AnswerRule(_Section, frozen=True, kw_only=True):
    """One [[gateway.answer]]: what the user interface "auto" answers."""

    label: str  #: a regular expression that the control's label matches somewhere
    answer: bool | int | str  #: yes or no, an option (its number or its text), a number, a text


class GatewaySettings(_Section, frozen=True, kw_only=True):
    """[gateway]: the openOBD server."""

    listen: str | None = None  #: HOST:PORT; None: there is no gateway
    insecure: bool = False  #: listen beyond loopback in the clear
    certificate: str | None = None  #: PEM file: TLS
    key: str | None = None  #: PEM file
    advertise: str | None = None  #: HOST:PORT that callers reach; None: what they have called
    state: str = ":memory:"  #: SQLite file of what outlives a restart
    allow_write: str | None = None  #: None: the whole bridge's
    ui: UserInterfaceName = "refuse"
    language: str | None = None  #: the user's, ISO 639-1, for controls with translations; None: the environment's
    answer: tuple[AnswerRule, ...] = ()
    terminal15: str | None = None  #: the signal that tells the ignition; None: it is on
    terminal15_on: tuple[bool | int | str, ...] = (True, "on", "run", "start")  #: its values that mean on
    mute_at_start: bool = True  #: a session mutes OpenXC clients on its buses until it says otherwise
    partner: tuple[PartnerSettings, ...] = ()  #: empty: the bench's
    connection: tuple[ConnectionSettings, ...] = ()  #: empty: the bench vehicle, whatever ticket or connector
    session_token_life: float = limits.SESSION_TOKEN_LIFE  #: seconds, as all that follow
    session_token_refresh: float = limits.SESSION_TOKEN_REFRESH
    controller_token_life: float = limits.CONTROLLER_TOKEN_LIFE
    broker_token_life: float = limits.BROKER_TOKEN_LIFE
    broker_token_refresh: float = limits.BROKER_TOKEN_REFRESH
    function_call_timeout: float = limits.FUNCTION_CALL_TIMEOUT
    idle_stream_timeout: float = limits.IDLE_STREAM_TIMEOUT
    reconnect_notice: float = limits.RECONNECT_NOTICE


class OpenObdSettings(_Section, frozen=True, kw_only=True):
    """[openobd]: who starts remote sessions, where, and how they end. The variables are the openOBD library's."""

    host: str = "grpc.openobd.com"  #: OPENOBD_GRPC_HOST
    port: int = 443  #: OPENOBD_GRPC_PORT
    client_id: str = ""  #: OPENOBD_PARTNER_CLIENT_ID
    client_secret: str = ""  #: OPENOBD_PARTNER_CLIENT_SECRET
    cluster_id: str = "001"  #: OPENOBD_CLUSTER_ID
    session_info: str = ""  #: OPENOBD_SESSION_INFO: a SessionInfo in base64
    tls: bool | None = None  #: None: on port 443, or with `ca`
    ca: str | None = None  #: PEM file of the authority that vouches for the server; None: the usual ones
    insecure: bool = False  #: in the clear beyond loopback
    result: ResultName = "success"  #: of sessions that end well
    user_feedback: UserFeedbackName = "nothing"  #: to whoever is at the vehicle
    description: str = ""  #: of the result


class Settings(_Section, frozen=True, kw_only=True):
    """Everything that `openxc-bridge run` can be told."""

    profile: str | None = None  #: a shipped profile's name or a path
    dbc: str | None = None  #: a database that cantools reads
    bus: tuple[BusSettings, ...] = ()
    listen: tuple[ListenerSettings, ...] = ()
    allow_write: str | None = None  #: None: all where no bus is real, else read-diagnostics
    payload_format: PayloadFormatName = "json"
    log_level: LogLevel = "info"
    platform: str = "openxc-bridge"  #: the answer to the platform command
    device_id: str = "Unknown"  #: the answer to the device_id command
    diagnostics: DiagnosticSettings = DiagnosticSettings()
    gateway: GatewaySettings = GatewaySettings()
    openobd: OpenObdSettings = OpenObdSettings()
    limits: LimitSettings = LimitSettings()


def load(
    file: Path | None = None, environment: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> Settings:
    """Read and join the sources. `flags` has the shape of the file; a key that is None is not given.

    Raises:
        ConfigurationError: one line that names the source and the key.
    """
    layers: list[tuple[str, Mapping[str, Any]]] = []
    if file is not None:
        layers.append((str(file), _read(file)))
    layers.append(("the environment", _from_environment(environment or {})))
    layers.append(("the command line", {key: value for key, value in (flags or {}).items() if value is not None}))
    merged: dict[str, Any] = {}
    for source, layer in layers:
        _convert(layer, source)
        merged = _joined(merged, layer)
    settings = _convert(merged, "the configuration")
    if file is not None:
        return _relative_to(settings, merged, layers[0][1], file)
    return settings


def _joined(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two sources as one: a table is joined key by key, everything else is the upper one's."""
    joined = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(joined.get(key), Mapping)
        joined[key] = _joined(joined[key], value) if both else value
    return joined


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror or error}; name another file with -f") from None
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, a number too long or lists too deep
        raise ConfigurationError(f"{file}: not valid TOML: {error}") from None


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """OPENXC_BRIDGE_PROFILE, _DBC, _BUS, _LISTEN (both separated by spaces), _ALLOW_WRITE, ..."""
    _refuse_bytes(environment)
    plain = ("profile", "dbc", "allow_write", "payload_format", "log_level", "platform", "device_id")
    found: dict[str, Any] = {}
    for key in plain:
        if text := environment.get(ENVIRONMENT_PREFIX + key.upper()):
            found[key] = text
    if text := environment.get(ENVIRONMENT_PREFIX + "BUS"):
        found["bus"] = [{"spec": spec} for spec in text.split()]
    if text := environment.get(ENVIRONMENT_PREFIX + "LISTEN"):
        found["listen"] = [{"url": url} for url in text.split()]
    if text := environment.get(ENVIRONMENT_PREFIX + "GATEWAY"):
        found["gateway"] = {"listen": text}
    if remote := {key: text for key, name in OPENOBD_VARIABLES.items() if (text := environment.get(name))}:
        found["openobd"] = _with_port(remote)
    return found


def _refuse_bytes(environment: Mapping[str, str]) -> None:
    """What is sent to others, or quoted, must be text; paths may be any bytes."""
    texts = ("ALLOW_WRITE", "PAYLOAD_FORMAT", "LOG_LEVEL", "PLATFORM", "DEVICE_ID", "GATEWAY")
    for name in (*(ENVIRONMENT_PREFIX + text for text in texts), *OPENOBD_VARIABLES.values()):
        if _SURROGATE.search(environment.get(name, "")):
            raise ConfigurationError(f"the environment: {name}: not valid UTF-8: set it again")


def _with_port(remote: dict[str, str]) -> dict[str, Any]:
    """The variables of [openobd], the port as a number."""
    if "port" not in remote:
        return dict(remote)
    text = remote["port"]
    port = parse_port(text)
    if not port:
        raise ConfigurationError(f"the environment: {OPENOBD_VARIABLES['port']}: {text!r} is no port from 1 to 65535")
    return remote | {"port": port}


def _convert(layer: Mapping[str, Any], source: str) -> Settings:
    try:
        settings = msgspec.convert(layer, Settings)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{source}: {_explain(str(error))}") from None
    _refuse_nul(layer, source, "")
    _check_ranges(settings, source)
    return settings


def _refuse_nul(value: object, source: str, key: str) -> None:
    """No path, host or secret has a NUL: what is asked for such a one raises whatever it likes."""
    if isinstance(value, str) and "\0" in value:
        raise ConfigurationError(f"{source}: {key}: there is a NUL in it: leave it out")
    if isinstance(value, Mapping):
        for name, part in value.items():
            _refuse_nul(part, source, f"{key}.{name}" if key else name)
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            _refuse_nul(part, source, f"{key}[{index}]")


def _check_ranges(settings: Settings, source: str) -> None:
    if not 0 < settings.diagnostics.max_frequency <= 1000:
        raise ConfigurationError(f"{source}: diagnostics.max_frequency: a frequency in Hz above 0, at most 1000")
    if not 1 <= settings.limits.clients <= 1_000_000:
        raise ConfigurationError(f"{source}: limits.clients: from 1 to 1000000")
    if settings.limits.client_queue < limits.RECORD_LIMIT:
        raise ConfigurationError(
            f"{source}: limits.client_queue: at least {limits.RECORD_LIMIT} bytes, one record's limit"
        )
    if not 0 < settings.openobd.port <= 65535:
        raise ConfigurationError(f"{source}: openobd.port: a port from 1 to 65535")
    if not _HOST.fullmatch(settings.openobd.host):
        raise ConfigurationError(
            f"{source}: openobd.host: {settings.openobd.host!r} is no host name or address; "
            "write it without https:// and without the port"
        )
    _check_gateway(settings.gateway, source)


def _check_gateway(gateway: GatewaySettings, source: str) -> None:
    for key in GatewaySettings.__struct_fields__:
        value = getattr(gateway, key)
        if isinstance(value, float) and not 0 < value <= limits.LONGEST_LIFE:
            raise ConfigurationError(f"{source}: gateway.{key}: seconds above 0, at most {limits.LONGEST_LIFE:g}")
    for life, refresh in (
        ("session_token_life", "session_token_refresh"),
        ("broker_token_life", "broker_token_refresh"),
    ):
        if getattr(gateway, refresh) >= getattr(gateway, life):
            raise ConfigurationError(f"{source}: gateway.{refresh}: less than gateway.{life}, or tokens run out before")
    for index, partner in enumerate(gateway.partner):
        where = f"{source}: gateway.partner[{index}]"
        for key in ("client_id", "client_secret"):
            if not getattr(partner, key):
                raise ConfigurationError(f"{where}.{key}: it is empty, so anybody could start sessions; write one")
        if any(partner.client_id == other.client_id for other in gateway.partner[:index]):
            raise ConfigurationError(f"{where}.client_id: there is a partner {partner.client_id!r} already")
    for index, connection in enumerate(gateway.connection):
        _check_connection(connection, f"{source}: gateway.connection[{index}]")
    for index, rule in enumerate(gateway.answer):
        try:
            re.compile(rule.label)
        except (re.error, OverflowError, RecursionError) as error:
            raise ConfigurationError(
                f"{source}: gateway.answer[{index}].label: not a regular expression: {error}"
            ) from None


def _check_connection(connection: ConnectionSettings, where: str) -> None:
    for pins in connection.pins:
        if not re.fullmatch(r"[1-9][0-9]?/[1-9][0-9]?", pins):
            raise ConfigurationError(f'{where}.pins: "{pins}" is no pair as "6/14"')
    for index, ecu in enumerate(connection.ecu):
        if ecu.bus not in connection.pins.values():
            raise ConfigurationError(f"{where}.ecu[{index}].bus: no pins of the connection lead to bus {ecu.bus}")


def _explain(text: str) -> str:
    """msgspec's "... - at `$.bus[0].spec`" with the key first, in TOML's words, and with what it may be."""
    what, _, path = text.partition(" - at ")
    key = path.strip("`").removeprefix("$").removeprefix(".")
    unknown = re.match(r"Object contains unknown field `(.*)`", what, re.DOTALL)
    if unknown:
        known = [field for section in _sections() for field in section.__struct_fields__]
        near = difflib.get_close_matches(unknown[1], known, n=1)
        what = f'unknown key "{unknown[1]}"' + (f'; did you mean "{near[0]}"?' if near else "")
    elif missing := re.match(r"Object missing required field `(.*)`", what):
        what = f"{missing[1]} is missing"
    elif choices := _CHOICES.get(key.rpartition(".")[2]):
        what = f"one of {', '.join(choices)}" + (f", not {value[0]}" if (value := re.search("'.*'", what)) else "")
    elif what == "Expected `array`, got `object`":
        what = f"write [[{key}]], since there may be several"
    else:
        what = re.sub("`([^`]*)`", _in_toml, what).replace("Expected", "expected")
    return f"{key}: {what}" if key else what


def _in_toml(types: re.Match[str]) -> str:
    """`str | null` in words. There is no null in TOML."""
    return " or ".join(_PLAIN_TYPES.get(name, name) for name in types[1].split(" | ") if name != "null")


def _sections() -> list[type[_Section]]:
    return _Section.__subclasses__()


def _relative_to(settings: Settings, merged: Mapping[str, Any], layer: Mapping[str, Any], file: Path) -> Settings:
    """A file's own paths are relative to the file, wherever the bridge is started."""
    changes: dict[str, Any] = {}
    for key in ("profile", "dbc"):
        path = layer.get(key)
        if path is not None and merged[key] == path and not Path(path).is_absolute():
            beside = file.parent / path
            if beside.exists():
                changes[key] = str(beside)
    gateway = {
        key: str(file.parent / path)
        for key in ("certificate", "key", "state")
        if (path := layer.get("gateway", {}).get(key)) is not None and path != ":memory:"
    }
    if gateway:
        changes["gateway"] = msgspec.structs.replace(settings.gateway, **gateway)
    if (authority := layer.get("openobd", {}).get("ca")) is not None:
        changes["openobd"] = msgspec.structs.replace(settings.openobd, ca=str(file.parent / authority))
    return msgspec.structs.replace(settings, **changes)
