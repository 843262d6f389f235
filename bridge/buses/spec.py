"""What a bus is, as the user writes it: `--bus SPEC` and the configuration's `bus` entries.

    simulated[?latency=SECONDS]                   the simulated vehicle
    virtual                                       an in-process bus with nobody on it
    replay:FILE[?speed=1.0|max][&loop][&wait][&channel=NAME]
    socketcan:CHANNEL[@BITRATE[?dbitrate=BITRATE]]
    slcan:PORT[@BITRATE][?listen_only][&btr=XXYY][&dbitrate=RATE][&baudrate=115200]
    openobd:ticket/NUMBER[@BITRATE][?pins=6/14][&raw=ID,ID...][&frames]
    openobd:connector/ID...                       as above
    openobd:session[/FILE]...                     a session handed over, in a variable or a file
    INTERFACE[:CHANNEL][@BITRATE][?OPTION=VALUE[&OPTION=VALUE]...]

A bitrate of a SocketCAN interface is a request to set it; without one the interface stays as it is.
The last form is any interface of python-can; what is not written is taken from python-can's own
configuration, and options go to the interface as they are: `true` and `false`, numbers, text. A
`?`, `@` or `%` that belongs to a file's or a channel's name is written `%3F`, `%40`, `%25`.

This module reads text and touches neither files nor devices. It must not know the bus classes.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote

from bridge.errors import ConfigurationError
from bridge.frames import EXTENDED_ID_MAX

EXPECTED = (
    "simulated[?latency=N], virtual, replay:FILE[?speed=N|max&loop&wait], openobd:ticket/NUMBER "
    "or INTERFACE:CHANNEL[@BITRATE]"
)

DIAGNOSTIC_PINS = (6, 14)  #: CAN-H and CAN-L of the diagnostic connector, ISO 15765-4

OptionValue = bool | int | float | str

_WRITTEN_ELSEWHERE = {
    "interface": "written as INTERFACE",
    "channel": "written as :CHANNEL",
    "bitrate": "written as @BITRATE",
    "loopback": "the profile's",
}
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_INTEGER = re.compile(r"[+-]?(0x[0-9a-fA-F]+|[0-9]+)")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][+-]?[0-9]{1,2})?")
_OPTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PINS = re.compile(r"([1-9]|1[0-6])/([1-9]|1[0-6])")
_ID = re.compile(r"0[xX][0-9a-fA-F]{1,8}|0|[1-9][0-9]{0,9}")


@dataclass(frozen=True, slots=True)
class SimulatedSpec:
    """The simulated vehicle."""

    text: str = "simulated"
    latency: float | None = None  #: s from a request to any ECU's answer; None: each ECU has its own


@dataclass(frozen=True, slots=True)
class VirtualSpec:
    """An in-process bus with nobody on it."""

    text: str = "virtual"


@dataclass(frozen=True, slots=True)
class ReplaySpec:
    """A recording."""

    text: str
    path: Path
    speed: float | None = 1.0  #: times the recorded speed; None is as fast as possible
    loop: bool = False
    wait: bool = False  #: begin with the first client
    channel: str | None = None  #: only this channel of the recording


@dataclass(frozen=True, slots=True)
class SocketCanSpec:
    """A CAN interface of Linux."""

    text: str
    channel: str
    bitrate: int | None = None  #: bit/s to set; None leaves the interface as it is
    data_bitrate: int | None = None  #: bit/s of CAN FD's data phase, to set with the bitrate


@dataclass(frozen=True, slots=True)
class PythonCanSpec:
    """An interface of python-can."""

    text: str
    interface: str
    channel: str | None = None
    bitrate: int | None = None  #: bit/s
    options: Mapping[str, OptionValue] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class SlcanSpec:
    """An slcan adapter on a serial port."""

    text: str
    device: str
    bitrate: int | None = None  #: bit/s
    btr: str | None = None  #: bit timing registers in hex, instead of a bit rate
    data_bitrate: int | None = None  #: bit/s, CAN FD
    listen_only: bool = False
    baudrate: int | None = None  #: of the serial line, bit/s


class OpenObdOrigin(enum.Enum):
    """How a remote session is come by."""

    TICKET = "ticket"  #: started on a ticket's number
    CONNECTOR = "connector"  #: started on a connector's id
    SESSION = "session"  #: handed over


@dataclass(frozen=True, slots=True)
class OpenObdSpec:
    """A CAN bus of a remote openOBD session."""

    text: str
    origin: OpenObdOrigin
    where: str = ""  #: the ticket's number, the connector's id, or the file of a session; "": the variable's session
    bitrate: int | None = None  #: bit/s
    pins: tuple[int, int] = DIAGNOSTIC_PINS  #: of the diagnostic connector: CAN-H, CAN-L (ISO 15031-3)
    raw: tuple[int, ...] = ()  #: ids whose raw frames are heard
    frames: bool = False  #: configured for raw frames, without ISO-TP


BusSpec = SimulatedSpec | VirtualSpec | ReplaySpec | SocketCanSpec | SlcanSpec | OpenObdSpec | PythonCanSpec


def parse_bus_spec(text: str) -> BusSpec:
    """The bus that a text names.

    Raises:
        ConfigurationError: one line that says what was expected.
    """
    body, question, query = text.strip().partition("?")
    kind, colon, rest = body.partition(":")
    own, at, _ = kind.partition("@")
    if own == "simulated" and colon:
        raise _wrong(text, "simulated takes no channel")
    if own in ("simulated", "virtual") and not colon:
        if at or (question and own == "virtual"):
            raise _wrong(text, f"{own} takes no {'bitrate' if at else 'options'}")
        return _simulated(text, _options(text, query)) if own == "simulated" else VirtualSpec()
    options = _options(text, query)
    if kind == "replay":
        return _replay(text, rest, options)
    if own == "socketcan":
        return _socketcan(text, body, options)
    if kind == "slcan" and "://" not in rest:  # python-can reaches adapters behind pyserial's URLs
        return _slcan(text, rest, options)
    if own == "openobd":
        return _openobd(text, body, options)
    return _python_can(text, body, options)


def _wrong(text: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"bus {text!r}: {why}")


def _options(text: str, query: str) -> dict[str, str | None]:
    options: dict[str, str | None] = {}
    for part in query.split("&") if query else ():
        name, equals, value = part.partition("=")
        if not _OPTION.fullmatch(name):
            raise _wrong(text, f"{part!r} is no option")
        if name in options:
            raise _wrong(text, f"{name} is given twice")
        options[name] = unquote(value) if equals else None
    return options


def _simulated(text: str, options: dict[str, str | None]) -> SimulatedSpec:
    if unknown := sorted(options.keys() - {"latency"}):
        raise _wrong(text, f"simulated has no option {unknown[0]}, only latency")
    if "latency" not in options:
        return SimulatedSpec(text.strip())
    latency = _number(options["latency"])
    if not (latency >= 0 and math.isfinite(latency)):
        raise _wrong(text, "latency is a number of seconds, 0 or more")
    return SimulatedSpec(text.strip(), latency)


def _number(value: str | None) -> float:
    """An option's number; NaN where it is none."""
    try:
        return float(value or "")
    except ValueError:
        return math.nan


def _replay(text: str, file: str, options: dict[str, str | None]) -> ReplaySpec:
    if not file:
        raise _wrong(text, "replay needs a file")
    if unknown := sorted(options.keys() - {"speed", "loop", "wait", "channel"}):
        raise _wrong(text, f"replay has no option {unknown[0]}, only speed, loop, wait and channel")
    channel = options.get("channel")
    if "channel" in options and not channel:
        raise _wrong(text, "channel needs a name, such as channel=can1")
    return ReplaySpec(
        text=text.strip(),
        path=Path(unquote(file)),
        speed=_speed(text, options["speed"]) if "speed" in options else 1.0,
        loop=_switch(text, "loop", options),
        wait=_switch(text, "wait", options),
        channel=channel,
    )


def _speed(text: str, value: str | None) -> float | None:
    if value == "max":
        return None
    speed = _number(value)
    if not (speed > 0 and math.isfinite(speed)):
        raise _wrong(text, "speed is a number above 0, or max")
    return speed


def _switch(text: str, name: str, options: dict[str, str | None]) -> bool:
    value = options.get(name, "false")
    if value in (None, "true"):
        return True
    if value == "false":
        return False
    raise _wrong(text, f"{name} is given or not, it has no value {value!r}")


def _socketcan(text: str, body: str, options: dict[str, str | None]) -> SocketCanSpec:
    address, bitrate = _address(text, body)
    channel = unquote(address.partition(":")[2])
    if not channel:
        raise _wrong(text, "the channel of socketcan is missing; write the interface's name, as in socketcan:can0")
    if "fd" in options:
        raise _wrong(text, "CAN FD needs no option, its frames are taken where the interface has it; leave fd out")
    if unknown := sorted(options.keys() - {"dbitrate"}):
        raise _wrong(text, f"socketcan has no option {unknown[0]}, only dbitrate")
    data_bitrate = _bitrate(text, options["dbitrate"] or "") if "dbitrate" in options else None
    if data_bitrate is not None and (bitrate is None or data_bitrate < bitrate):
        raise _wrong(text, "dbitrate needs a bitrate no higher than it, as in socketcan:can0@500000?dbitrate=2000000")
    return SocketCanSpec(text.strip(), channel, bitrate, data_bitrate)


def _slcan(text: str, address: str, options: dict[str, str | None]) -> SlcanSpec:
    port, at, rate = address.rpartition("@")
    if not at:
        port = address
    if not port:
        raise _wrong(text, "slcan needs a serial port, such as slcan:/dev/ttyACM0@500000")
    if unknown := sorted(options.keys() - {"btr", "dbitrate", "listen_only", "baudrate"}):
        raise _wrong(text, f"slcan has no option {unknown[0]}, only btr, dbitrate, listen_only and baudrate")
    if at and "btr" in options:
        raise _wrong(text, "btr stands for a bit rate, there cannot be both")
    if "btr" in options and not options["btr"]:
        raise _wrong(text, "btr needs hex digits, such as btr=001C")
    # As python-can writes it: the serial speed is part of the channel.
    device, old, baudrate = unquote(port).rpartition("@")
    if old and baudrate.isdecimal():
        options.setdefault("baudrate", baudrate)
    else:
        device = unquote(port)
    return SlcanSpec(
        text=text.strip(),
        device=device,
        bitrate=_bitrate(text, rate) if at else None,
        btr=options.get("btr"),
        data_bitrate=_bitrate(text, options["dbitrate"] or "") if "dbitrate" in options else None,
        listen_only=_switch(text, "listen_only", options),
        baudrate=_bitrate(text, options["baudrate"] or "", "baudrate") if "baudrate" in options else None,
    )


def _openobd(text: str, body: str, options: dict[str, str | None]) -> OpenObdSpec:
    address, bitrate = _address(text, body)
    kind, slash, where = address.partition(":")[2].partition("/")
    try:
        origin = OpenObdOrigin(kind)
    except ValueError:
        raise _wrong(text, "openobd takes ticket/NUMBER, connector/ID, session or session/FILE") from None
    if not where and (slash or origin is not OpenObdOrigin.SESSION):
        raise _wrong(text, f"{kind}/ needs {'a file' if origin is OpenObdOrigin.SESSION else 'its number or id'}")
    if unknown := sorted(options.keys() - {"pins", "raw", "frames"}):
        raise _wrong(text, f"openobd has no option {unknown[0]}, only pins, raw and frames")
    return OpenObdSpec(
        text=text.strip(),
        origin=origin,
        where=unquote(where),
        bitrate=bitrate,
        pins=_pins(text, options["pins"]) if "pins" in options else DIAGNOSTIC_PINS,
        raw=_ids(text, options["raw"]) if "raw" in options else (),
        frames=_switch(text, "frames", options),
    )


def _pins(text: str, value: str | None) -> tuple[int, int]:
    found = _PINS.fullmatch(value or "")
    if found is None:
        raise _wrong(text, "pins are two of the diagnostic connector's, CAN-H/CAN-L, as in pins=3/11")
    return int(found[1]), int(found[2])


def _ids(text: str, value: str | None) -> tuple[int, ...]:
    found = []
    for word in (value or "").split(","):
        identifier = int(word, 0) if _ID.fullmatch(word) else EXTENDED_ID_MAX + 1
        if identifier > EXTENDED_ID_MAX:
            raise _wrong(text, f"{word!r} is no arbitration id; write raw=0x123,0x456")
        found.append(identifier)
    return tuple(dict.fromkeys(found))


def _address(text: str, body: str) -> tuple[str, int | None]:
    """What stands before @BITRATE, and the bitrate."""
    address, at, rate = body.rpartition("@")
    return (address, _bitrate(text, rate)) if at else (body, None)


def _bitrate(text: str, rate: str, what: str = "bitrate") -> int:
    if not (rate.isascii() and rate.isdecimal() and len(rate) < 10 and int(rate)):
        raise _wrong(text, f"{rate!r} is no {what}, which is a number of bits a second such as 500000")
    return int(rate)


def _python_can(text: str, body: str, options: dict[str, str | None]) -> PythonCanSpec:
    address, bitrate = _address(text, body)
    interface, colon, channel = address.partition(":")
    if not _INTERFACE.fullmatch(interface):
        why = "an interface's name is missing" if not interface else f"{interface!r} is no interface"
        raise _wrong(text, f"{why}; expected {EXPECTED}")
    if colon and not channel:
        raise _wrong(text, f"the channel of {interface} is missing")
    for name, instead in _WRITTEN_ELSEWHERE.items():
        if name in options:
            raise _wrong(text, f"{name} is {instead}, not an option")
    return PythonCanSpec(
        text=text.strip(),
        interface=interface,
        channel=unquote(channel) if colon else None,
        bitrate=bitrate,
        options=MappingProxyType({name: _typed(value) for name, value in options.items()}),
    )


def _typed(value: str | None) -> OptionValue:
    """An option's value as python-can's interfaces want it: `fd` alone means `fd=true`."""
    if value is None or value == "true":
        return True
    if value == "false":
        return False
    if _INTEGER.fullmatch(value):
        return int(value, 0) if "x" in value.lower() else int(value)
    return float(value) if _DECIMAL.fullmatch(value) else value
