"""The gateway: a gRPC server for openOBD's protocol, over the bridge's own buses.

Must not know OpenXC. All of it runs on the bridge's event loop.
"""

from __future__ import annotations

import logging
import os
import resource
import ssl
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

import grpc
from grpc import aio

from bridge.buses.bus import BusState
from bridge.config import GatewaySettings, PartnerSettings
from bridge.errors import ConfigurationError
from bridge.gateway.addresses import Endpoints, parse_endpoint
from bridge.gateway.answering import Answering
from bridge.gateway.core import BENCH_PARTNER, Core
from bridge.gateway.repeating import Repeating
from bridge.gateway.services.can import CanService
from bridge.gateway.services.config import ConfigService
from bridge.gateway.services.connection_monitor import ConnectionMonitorService
from bridge.gateway.services.doip import DoipService
from bridge.gateway.services.function import FunctionService
from bridge.gateway.services.function_broker import FunctionBrokerService
from bridge.gateway.services.kline import KlineService
from bridge.gateway.services.logs import LoggingService
from bridge.gateway.services.product_info import ProductInfoService
from bridge.gateway.services.session import SessionService
from bridge.gateway.services.session_controller import SessionControllerService
from bridge.gateway.services.terminal15 import Terminal15Service
from bridge.gateway.services.ticket_info import TicketInfoService
from bridge.gateway.services.user_interface import UserInterfaceService
from bridge.gateway.services.vehicle_info import VehicleInfoService
from bridge.gateway.store import Store
from bridge.gateway.user_interface.choosing import make_user_interface
from bridge.gateway.vehicle import Vehicle
from bridge.limits import (
    ABANDONED_PERIOD,
    CLOSE_GRACE,
    GRPC_DESCRIPTORS_SHARE,
    GRPC_HANDSHAKE_TIMEOUT,
    GRPC_IDLE_TIMEOUT,
    GRPC_MESSAGE_LIMIT,
    GRPC_PING_PERIOD,
    GRPC_PING_TIMEOUT,
    GRPC_STREAMS_LIMIT,
    GRPC_WINDOW,
)
from bridge.openobd import services
from bridge.openobd.endpoint import TLS_PORT, Endpoint

_log = logging.getLogger(__name__)
logging.getLogger("grpc._cython.cygrpc").setLevel(logging.INFO)  # below that it has a line for every call


def _connections_limit() -> int:
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 2**31 - 1  # an int of C, and what "unlimited" means here
    return most if descriptors == resource.RLIM_INFINITY else min(most, int(GRPC_DESCRIPTORS_SHARE * descriptors))


_OPTIONS = [
    ("grpc.so_reuseport", 0),  # a second gateway on the port must fail, not share it
    ("grpc.max_receive_message_length", GRPC_MESSAGE_LIMIT),
    ("grpc.max_concurrent_streams", GRPC_STREAMS_LIMIT),
    # openOBD's clients may ping every 30 s without a call; gRPC allows one in five minutes by itself.
    ("grpc.http2.bdp_probe", 0),  # or the window grows with how fast a caller sends
    ("grpc.http2.lookahead_bytes", GRPC_WINDOW),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
    # A caller whose machine or network has gone says no farewell; without a ping its sessions would keep their buses.
    ("grpc.keepalive_time_ms", round(1000 * GRPC_PING_PERIOD)),
    ("grpc.keepalive_timeout_ms", round(1000 * GRPC_PING_TIMEOUT)),
    ("grpc.http2.ping_timeout_ms", round(1000 * GRPC_PING_TIMEOUT)),  # which counts, too, where it is longer
    ("grpc.max_connection_idle_ms", round(1000 * GRPC_IDLE_TIMEOUT)),
    ("grpc.server_handshake_timeout_ms", round(1000 * GRPC_HANDSHAKE_TIMEOUT)),
    ("grpc.max_allowed_incoming_connections", _connections_limit()),
]
_PARTNER_VARIABLES = {
    "client_id": "OPENOBD_PARTNER_CLIENT_ID",
    "client_secret": "OPENOBD_PARTNER_CLIENT_SECRET",
    "cluster_id": "OPENOBD_CLUSTER_ID",
}


class Gateway:
    """The openOBD server."""

    def __init__(
        self, settings: GatewaySettings, vehicle: Vehicle, environment: Mapping[str, str] = os.environ
    ) -> None:
        """Check everything that can be checked without opening anything but the state's file.

        Raises:
            ConfigurationError: one line that says what is wrong.
        """
        self._settings = settings
        self.endpoint = _listening(settings)  #: once it listens the port is the one that is really open
        self._credentials = _credentials(settings)
        self._advertised = _advertised(settings)
        self._partners = partners_from(environment, settings)
        _check_secrets(self.endpoint, settings, self._partners)
        self._interface = make_user_interface(settings, environment)
        self.core = Core(settings, vehicle, Store(settings.state), partners=self._partners)
        self._server: aio.Server | None = None
        self._function_broker: FunctionBrokerService | None = None
        self._running = ExitStack()

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: the port is in use, or the address is not this machine's; the terminal is not there.
        """
        self._interface.open()
        self.core.look_at_buses()
        server = aio.server(interceptors=[Answering()], options=_OPTIONS)
        try:
            if self._credentials is None:
                port = server.add_insecure_port(str(self.endpoint))
            else:
                port = server.add_secure_port(str(self.endpoint), self._credentials)
        except RuntimeError:
            raise ConfigurationError(
                f"the gateway cannot listen on {self.endpoint}: the port is in use, or the address is not this "
                "machine's; choose another one with --gateway HOST:PORT"
            ) from None
        self.endpoint = Endpoint(self.endpoint.host, port)
        self._add_services(server, Endpoints(self.endpoint, self._advertised))
        await server.start()
        self._server = server
        if self._credentials is None and not self.endpoint.loopback:
            _log.warning(
                "openOBD is served in the clear on %s: secrets and tokens can be read on the way", self.endpoint
            )
        sessions, clock = self.core.sessions, self.core.clock
        self._running.enter_context(Repeating(lambda: sessions.fail_abandoned(clock()), ABANDONED_PERIOD))

    def _add_services(self, server: aio.Server, endpoints: Endpoints) -> None:
        services.add_sessionControllerServicer_to_server(SessionControllerService(self.core, endpoints), server)
        services.add_sessionServicer_to_server(SessionService(self.core), server)
        self._function_broker = FunctionBrokerService(self.core, endpoints)
        services.add_functionBrokerServicer_to_server(self._function_broker, server)
        services.add_functionServicer_to_server(FunctionService(self.core), server)
        services.add_configServicer_to_server(ConfigService(self.core), server)
        services.add_canServicer_to_server(CanService(self.core), server)
        services.add_terminal15Servicer_to_server(Terminal15Service(self.core), server)
        services.add_klineServicer_to_server(KlineService(self.core), server)
        services.add_doipServicer_to_server(DoipService(self.core), server)
        services.add_connectionMonitorServicer_to_server(ConnectionMonitorService(self.core), server)
        services.add_vehicleInfoServicer_to_server(VehicleInfoService(self.core), server)
        services.add_productInfoServicer_to_server(ProductInfoService(self.core), server)
        services.add_ticketInfoServicer_to_server(TicketInfoService(self.core), server)
        services.add_loggingServicer_to_server(LoggingService(self.core), server)
        services.add_userInterfaceServicer_to_server(UserInterfaceService(self.core, self._interface), server)

    def announce_end(self, seconds: float | None = None) -> None:
        """Tell function launchers that the gateway will end in so many seconds; None: in gateway.reconnect_notice.

        For who plans the end of a gateway, beside another one that takes over. It changes nothing else: a launcher
        that connects again to this gateway is served until stop(), which tells all of them once more.
        """
        self.core.broker.announce_end(self._settings.reconnect_notice if seconds is None else seconds)

    async def stop(self) -> None:
        """End all sessions and calls, and listen no more, in little more than CLOSE_GRACE. Calling it twice is fine.

        Function launchers are told before, with the seconds that they really have: none worth counting.
        """
        self._running.close()
        if self._server is not None:
            server, self._server = self._server, None
            assert self._function_broker is not None
            self.core.sessions.end_all()
            await self._function_broker.end(CLOSE_GRACE)
            await server.stop(grace=0)
        self.core.sessions.end_all()
        await self.core.scanner.close()
        self._interface.close()
        self.core.store.close()

    def bus_state_changed(self, bus: int, state: BusState) -> None:
        """A vehicle connection came, went or fell ill."""
        self.core.bus_state_changed(bus, state)

    def describe(self) -> list[str]:
        """Where it listens, and what to paste into a shell that runs openOBD scripts."""
        shown = Endpoints(self.endpoint, self._advertised).towards("")
        security = "TLS" if self._credentials is not None else "in the clear"
        lines = [f"  openOBD scripts connect to {shown} ({security})"]
        if self._credentials is not None and shown.port != TLS_PORT:
            lines.append(f"    beware: the openobd library for Python speaks TLS to port {TLS_PORT} only")
        partner = self.core.partners[0]
        secret = partner.client_secret if partner == BENCH_PARTNER else "..."
        return [
            *lines,
            f"    export OPENOBD_GRPC_HOST={shown.host} OPENOBD_GRPC_PORT={shown.port}",
            f"    export OPENOBD_CLUSTER_ID={partner.cluster_id}",
            f"    export OPENOBD_PARTNER_CLIENT_ID={partner.client_id}",
            f"    export OPENOBD_PARTNER_CLIENT_SECRET={secret}",
        ]


def partners_from(environment: Mapping[str, str], settings: GatewaySettings) -> tuple[PartnerSettings, ...]:
    """All partners, at least the bench's. What the environment names takes the place of the first one's.

    Raises:
        ConfigurationError: it names the client id of another one.
    """
    first, *others = settings.partner or (BENCH_PARTNER,)
    named = {key: value for key, variable in _PARTNER_VARIABLES.items() if (value := environment.get(variable))}
    partner = PartnerSettings(**{key: named.get(key, getattr(first, key)) for key in _PARTNER_VARIABLES})
    if any(other.client_id == partner.client_id for other in others):
        raise ConfigurationError(
            f"{_PARTNER_VARIABLES['client_id']}: there is a [[gateway.partner]] {partner.client_id!r} already"
        )
    return (partner, *others)


def _check_secrets(endpoint: Endpoint, settings: GatewaySettings, partners: Iterable[PartnerSettings]) -> None:
    """TLS tells callers who the gateway is, and the gateway nothing of who calls: that takes a secret."""
    if endpoint.loopback or settings.insecure:
        return
    if any(partner.client_secret == BENCH_PARTNER.client_secret for partner in partners):
        raise ConfigurationError(
            "gateway.partner: other machines reach the gateway, and everybody knows the bench's secret; write a "
            "[[gateway.partner]] with a client_id and a client_secret of your own"
        )


def _listening(settings: GatewaySettings) -> Endpoint:
    endpoint = parse_endpoint(settings.listen or "", "gateway.listen")
    if endpoint.loopback or settings.insecure or settings.certificate is not None:
        return endpoint
    raise ConfigurationError(
        f"gateway.listen: other machines reach {endpoint}; give gateway.certificate and gateway.key for TLS, or say "
        "gateway.insecure = true to have it all in the clear"
    )


def _advertised(settings: GatewaySettings) -> Endpoint | None:
    if settings.advertise is None:
        return None
    endpoint = parse_endpoint(settings.advertise, "gateway.advertise")
    if not endpoint.port or endpoint.wildcard:
        raise ConfigurationError(
            f"gateway.advertise: nobody reaches {endpoint}; write the host and port that callers use"
        )
    return endpoint


def _credentials(settings: GatewaySettings) -> grpc.ServerCredentials | None:
    if settings.certificate is None and settings.key is None:
        return None
    texts = []
    for key in ("key", "certificate"):
        path = getattr(settings, key)
        if path is None:
            raise ConfigurationError(f"gateway.{key} is missing; TLS takes gateway.certificate and gateway.key")
        try:
            texts.append(Path(path).read_bytes())
        except OSError as error:
            raise ConfigurationError(f"gateway.{key}: {path}: {error.strerror or error}") from None
    _check_pair(settings.certificate, settings.key)
    return grpc.ssl_server_credentials([(texts[0], texts[1])])


def _check_pair(certificate: str | None, key: str | None) -> None:
    """gRPC itself would not say before the first call that a certificate or its key is of no use."""
    assert certificate is not None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_passphrase)
    except (ssl.SSLError, ValueError) as error:
        why = getattr(error, "reason", None)
        if why == "KEY_VALUES_MISMATCH":
            raise ConfigurationError(
                f"gateway.key: {key} is not the key of gateway.certificate, {certificate}"
            ) from None
        raise ConfigurationError(
            f"gateway.certificate and gateway.key: {certificate} and {key} are not a certificate and its key in PEM, "
            "without a passphrase"
        ) from None


def _no_passphrase() -> str:
    return ""
