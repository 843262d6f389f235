"""What all services of the gateway share: settings, vehicle, partners, tokens, sessions, time.

It finds out who calls. It must not know what the services do.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from grpc import aio

from bridge.buses.bus import BusState
from bridge.config import GatewaySettings, PartnerSettings
from bridge.gateway.broker import Broker
from bridge.gateway.connections import Connection, Connections
from bridge.gateway.contexts import Context
from bridge.gateway.errors import Unauthenticated
from bridge.gateway.guesses import Guesses
from bridge.gateway.health import Health, Report
from bridge.gateway.hearers import Hearers
from bridge.gateway.scanning import Scanner
from bridge.gateway.sessions import BY_SESSION, Session, Sessions
from bridge.gateway.signatures import FunctionIds
from bridge.gateway.store import Store
from bridge.gateway.tokens import TokenKind, Tokens
from bridge.gateway.variables import TICKET_KEY, VIN_KEY, ConnectionVariables, Room, Variables
from bridge.gateway.vehicle import Vehicle
from bridge.limits import CONNECTION_VARIABLES_SIZE_LIMIT
from bridge.openobd.messages import Authenticate
from bridge.seldom import SeldomLog
from bridge.visible import one_line

_log = logging.getLogger(__name__)

Call: TypeAlias = aio.ServicerContext[Any, Any]  #: gRPC's side of one call

BENCH_PARTNER = PartnerSettings(client_id="bench-client", client_secret="bench-secret")  # noqa: S106 - no secret: it is printed at start


class Core:
    """The gateway's state, of which each service is a view."""

    def __init__(
        self,
        settings: GatewaySettings,
        vehicle: Vehicle,
        store: Store,
        *,
        partners: Iterable[PartnerSettings] = (),
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` is monotonic seconds, `wall_clock` Unix seconds; `partners` go before the settings'."""
        self.settings = settings
        self.vehicle = vehicle
        self.store = store
        self.clock = clock
        self.wall_clock = wall_clock
        self.partners = tuple(partners) or settings.partner or (BENCH_PARTNER,)
        self.connections = Connections(settings.connection)
        self.tokens = Tokens(
            {
                TokenKind.CONTROLLER: settings.controller_token_life,
                TokenKind.AUTHENTICATION: settings.session_token_life,
                TokenKind.SESSION: settings.session_token_life,
                TokenKind.MONITOR: settings.session_token_life,
                TokenKind.BROKER: settings.broker_token_life,
            }
        )
        self.sessions = Sessions(self.tokens, store, self._session_changed)
        self.health = Health()
        self.hearers = Hearers()
        self.scanner = Scanner(vehicle, self.note_latency)
        self.function_ids = FunctionIds(store)
        self.broker = Broker(self.function_ids, settings.function_call_timeout, settings.idle_stream_timeout)
        self.bus_watchers: set[Callable[[int, str], None]] = set()  #: told (bus number, state) when a bus is lost
        self._guesses = Guesses()
        self._wrong_credentials = SeldomLog(_log)
        self._muted: frozenset[int] = frozenset()
        self._notes: dict[tuple[str, Connection], Variables] = {}

    # Who calls

    def partner(self, request: Authenticate, peer: str) -> str:
        """The client id of the partner whose credentials these are; `peer` is who sends them, as gRPC names it.

        Raises:
            Unauthenticated: nobody's.
            Exhausted: the peer's address was wrong too often of late.
        """
        self._guesses.check(peer, self.clock())
        found = None
        for partner in self.partners:  # all of them, so that the time tells nothing
            same = [
                hmac.compare_digest(one.encode(), other.encode())
                for one, other in (
                    (partner.client_id, request.client_id),
                    (partner.client_secret, request.client_secret),
                    (partner.cluster_id, request.cluster_id),
                )
            ]
            if all(same):
                found = partner.client_id
        if found is None:
            self._guesses.note(peer, self.clock())
            self._wrong_credentials.warning("wrong credentials from %s", one_line(peer))
            raise Unauthenticated("wrong client id, client secret or cluster id")
        return found

    def caller(self, call: Call, kind: TokenKind) -> str:
        """The client id of the partner whose controller or broker token a call has.

        Raises:
            Unauthenticated
        """
        holder = self.tokens.check(bearer(call), frozenset((kind,)), self.clock()).holder
        assert isinstance(holder, str)
        return holder

    def context(self, call: Call, kinds: frozenset[TokenKind]) -> Context:
        """The function context whose token a call has.

        Raises:
            Unauthenticated, WrongState
        """
        return self.sessions.context(bearer(call), kinds, self.clock())

    def session(self, call: Call) -> Session:
        """The active session whose token a call has.

        Raises:
            Unauthenticated, WrongState
        """
        return self.sessions.of(self.context(call, BY_SESSION))

    # The vehicle

    def bus_state_changed(self, bus: int, state: BusState) -> None:
        """A vehicle connection came, went or fell ill."""
        self._observe(bus, state)
        if state in (BusState.GONE, BusState.BUS_OFF, BusState.CLOSED):
            self.scanner.bus_lost(bus)
            for watcher in list(self.bus_watchers):
                watcher(bus, state.value)

    def note_latency(self, bus: int, seconds: float) -> None:
        """The time from a request on a bus to the first answer of an ECU."""
        self.health.answered(bus, seconds)

    def connection_report(self, session: Session) -> Report:
        """How the session's CAN buses do, or those that the connection has while the session has configured none."""
        buses = {*session.buses.values()} or {*session.connection.buses.values()} & self.vehicle.buses.keys()
        self.look_at_buses()
        return self.health.report(buses)

    def look_at_buses(self) -> None:
        """Note how the buses do: what opening and closing them does is not reported."""
        for number, bus in self.vehicle.buses.items():
            self._observe(number, bus.state)

    def known_vin(self, connection: Connection) -> str:
        """The VIN of a connection's vehicle, as configured or as read of late; "" where it is not known."""
        return self.scanner.known_vin(connection)

    def _observe(self, bus: int, state: BusState) -> None:
        self.health.observe(bus, state in (BusState.UP, BusState.ERROR_PASSIVE), self.wall_clock())

    def connection_variables(self, session: Session) -> ConnectionVariables:
        """What is known of a session's connection. Its partner's notes outlive the session."""
        known = {VIN_KEY: self.known_vin(session.connection), TICKET_KEY: session.ticket}
        key = (session.partner, session.connection)
        notes = self._notes.setdefault(key, Variables(Room(CONNECTION_VARIABLES_SIZE_LIMIT)))
        return ConnectionVariables({key: value for key, value in known.items() if value}, notes)

    def _session_changed(self, session: Session) -> None:
        """OpenXC clients are muted on a bus while an open session that mutes them has configured it."""
        muting = (each for each in self.sessions.open if each.muted)
        muted = frozenset(bus for each in muting for bus in each.buses.values())
        for bus in self._muted ^ muted:
            self.vehicle.mute(bus, bus in muted)
        self._muted = muted


def bearer(call: Call) -> str:
    """The token in a call's metadata.

    Raises:
        Unauthenticated: there is none.
    """
    values = [value for key, value in call.invocation_metadata() or () if key.lower() == "authorization"]
    scheme, _, token = str(values[0]).partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated('the metadata needs "authorization: Bearer TOKEN", once')
    return token.strip()
