"""From what the user wrote to a remote bus: the spec, the settings, openOBD's names for both.

Must not know what the bus does.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from bridge.buses.openobd import OpenObdBus
from bridge.buses.openobd_calls import Security
from bridge.buses.openobd_origin import Account, HandedOver, Origin, Partner, read_session_info
from bridge.buses.spec import OpenObdOrigin, OpenObdSpec
from bridge.config import OPENOBD_VARIABLES, OpenObdSettings
from bridge.errors import ConfigurationError, RemoteSessionError
from bridge.openobd.endpoint import Endpoint
from bridge.openobd.messages import (
    CanBitRate,
    CanBus,
    CanProtocol,
    ConnectorId,
    ServiceResult,
    TicketId,
)

DEFAULT_BITRATE = 500_000  #: bit/s, ISO 15765-4

_BITRATES = {
    1_000_000: CanBitRate.CAN_BIT_RATE_1000,
    500_000: CanBitRate.CAN_BIT_RATE_500,
    250_000: CanBitRate.CAN_BIT_RATE_250,
    125_000: CanBitRate.CAN_BIT_RATE_125,
    100_000: CanBitRate.CAN_BIT_RATE_100,
    94_000: CanBitRate.CAN_BIT_RATE_94,
    83_333: CanBitRate.CAN_BIT_RATE_83_3,
    83_300: CanBitRate.CAN_BIT_RATE_83_3,
    50_000: CanBitRate.CAN_BIT_RATE_50,
    33_333: CanBitRate.CAN_BIT_RATE_33_3,
    33_300: CanBitRate.CAN_BIT_RATE_33_3,
    20_000: CanBitRate.CAN_BIT_RATE_20,
    10_000: CanBitRate.CAN_BIT_RATE_10,
    5_000: CanBitRate.CAN_BIT_RATE_5,
}


def make_openobd_bus(
    number: int,
    spec: OpenObdSpec,
    settings: OpenObdSettings,
    *,
    speed: int | None = None,
    named: frozenset[int] = frozenset(),
    loopback: bool = False,
) -> OpenObdBus:
    """The bus that a spec names, not yet open.

    Args:
        number: OpenXC's bus number.
        spec: what the user wrote.
        settings: [openobd].
        speed: the profile's bit rate, for a spec without one.
        named: ids that the profile names; those of the spec are heard, too, when everything is wanted.
        loopback: hear the own frames, too.

    Raises:
        ConfigurationError: one line that says what is missing or wrong.
    """
    security = _security(settings)
    return OpenObdBus(
        number,
        spec.text,
        _origin(spec, settings, security),
        security,
        _can_bus(spec, speed),
        named=named | frozenset(spec.raw),
        result=_result(settings),
        loopback=loopback,
    )


def _security(settings: OpenObdSettings) -> Security:
    authority = None
    if settings.ca is not None:
        if settings.tls is False:
            raise ConfigurationError("openobd.ca: it is for TLS, and openobd.tls is false; leave one of them out")
        try:
            authority = Path(settings.ca).read_bytes()
            # gRPC itself would only say that nobody can be reached.
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(settings.ca)
        except ssl.SSLError:
            raise ConfigurationError(f"openobd.ca: {settings.ca}: there is no certificate in PEM in it") from None
        except OSError as error:
            raise ConfigurationError(f"openobd.ca: {settings.ca}: {error.strerror or error}") from None
    return Security(settings.tls, authority, settings.insecure)


def _origin(spec: OpenObdSpec, settings: OpenObdSettings, security: Security) -> Origin:
    if spec.origin is OpenObdOrigin.SESSION:
        return HandedOver(read_session_info(*_session_text(spec, settings)))
    for key in ("client_id", "client_secret"):
        if not getattr(settings, key):
            raise ConfigurationError(f"bus {spec.text!r}: set {OPENOBD_VARIABLES[key]}, or openobd.{key} in the file")
    endpoint = Endpoint(settings.host, settings.port)
    try:
        security.check(endpoint)
    except RemoteSessionError as error:
        raise ConfigurationError(f"bus {spec.text!r}: {error}") from None
    account = Account(endpoint, settings.client_id, settings.client_secret, settings.cluster_id)
    ticket = spec.origin is OpenObdOrigin.TICKET
    return Partner(account, security, TicketId(value=spec.where) if ticket else ConnectorId(value=spec.where))


def _session_text(spec: OpenObdSpec, settings: OpenObdSettings) -> tuple[str, str]:
    """The session that was handed over, as text, and where it stands."""
    if not spec.where:
        return settings.session_info, f"bus {spec.text!r}: {OPENOBD_VARIABLES['session_info']}"
    try:
        return Path(spec.where).read_text(encoding="ascii"), spec.where
    except OSError as error:
        raise ConfigurationError(f"bus {spec.text!r}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        return "", spec.where


def _can_bus(spec: OpenObdSpec, speed: int | None) -> CanBus:
    bitrate = spec.bitrate or speed or DEFAULT_BITRATE
    if bitrate not in _BITRATES:
        known = ", ".join(str(rate) for rate in _BITRATES)
        raise ConfigurationError(f"bus {spec.text!r}: openOBD has no bit rate {bitrate}; it has {known}")
    plus, minus = spec.pins
    protocol = CanProtocol.CAN_PROTOCOL_FRAMES if spec.frames else CanProtocol.CAN_PROTOCOL_ISOTP
    return CanBus(pin_plus=plus, pin_min=minus, can_protocol=protocol, can_bit_rate=_BITRATES[bitrate])


def _result(settings: OpenObdSettings) -> ServiceResult:
    return ServiceResult(
        result=[f"RESULT_{_constant(settings.result)}"],
        user_feedback=f"USER_FEEDBACK_{_constant(settings.user_feedback)}",
        description=settings.description or None,
    )


def _constant(name: str) -> str:
    return name.upper().replace("-", "_")
