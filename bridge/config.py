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
from typing import Any, Literal

import msgspec

from bridge import limits
from bridge.errors import ConfigurationError

ENVIRONMENT_PREFIX = "OPENXC_BRIDGE_"

LogLevel = Literal["debug", "info", "warning", "error"]
PayloadFormatName = Literal["json", "protobuf"]
ResponseStyle = Literal["complete", "frames"]


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
        merged |= layer
    settings = _convert(merged, "the configuration")
    if file is not None:
        return _relative_to(settings, merged, layers[0][1], file)
    return settings


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror or error}; name another file with -f") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: not valid TOML: {error}") from None


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """OPENXC_BRIDGE_PROFILE, _DBC, _BUS, _LISTEN (both separated by spaces), _ALLOW_WRITE, ..."""
    plain = ("profile", "dbc", "allow_write", "payload_format", "log_level", "platform", "device_id")
    found: dict[str, Any] = {}
    for key in plain:
        if text := environment.get(ENVIRONMENT_PREFIX + key.upper()):
            found[key] = text
    if text := environment.get(ENVIRONMENT_PREFIX + "BUS"):
        found["bus"] = [{"spec": spec} for spec in text.split()]
    if text := environment.get(ENVIRONMENT_PREFIX + "LISTEN"):
        found["listen"] = [{"url": url} for url in text.split()]
    return found


def _convert(layer: Mapping[str, Any], source: str) -> Settings:
    try:
        settings = msgspec.convert(layer, Settings)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{source}: {_explain(str(error))}") from None
    _check_ranges(settings, source)
    return settings


def _check_ranges(settings: Settings, source: str) -> None:
    if not 0 < settings.diagnostics.max_frequency <= 1000:
        raise ConfigurationError(f"{source}: diagnostics.max_frequency: a frequency in Hz above 0, at most 1000")
    if settings.limits.clients < 1:
        raise ConfigurationError(f"{source}: limits.clients: at least 1")
    if settings.limits.client_queue < limits.RECORD_LIMIT:
        raise ConfigurationError(
            f"{source}: limits.client_queue: at least {limits.RECORD_LIMIT} bytes, one record's limit"
        )


def _explain(text: str) -> str:
    """msgspec's "... - at `$.bus[0].spec`" with the key first, and a suggestion for an unknown one."""
    what, _, path = text.partition(" - at ")
    key = path.strip("`").removeprefix("$").removeprefix(".")
    unknown = re.match(r"Object contains unknown field `(.*)`", what)
    if unknown:
        known = [field for section in _sections() for field in section.__struct_fields__]
        near = difflib.get_close_matches(unknown[1], known, n=1)
        what = f'unknown key "{unknown[1]}"' + (f'; did you mean "{near[0]}"?' if near else "")
    return f"{key}: {what}" if key else what


def _sections() -> list[type[_Section]]:
    return [Settings, BusSettings, ListenerSettings, DiagnosticSettings, LimitSettings]


def _relative_to(settings: Settings, merged: Mapping[str, Any], layer: Mapping[str, Any], file: Path) -> Settings:
    """A file's own paths are relative to the file, wherever the bridge is started."""
    changes: dict[str, str] = {}
    for key in ("profile", "dbc"):
        path = layer.get(key)
        if path is not None and merged[key] == path and not Path(path).is_absolute():
            beside = file.parent / path
            if beside.exists():
                changes[key] = str(beside)
    return msgspec.structs.replace(settings, **changes)
