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
from bridge.gateway.connections import Connections
from bridge.gateway.contexts import Context
from bridge.gateway.errors import Unauthenticated
from bridge.gateway.sessions import Session, Sessions
from bridge.gateway.store import Store
from bridge.gateway.tokens import TokenKind, Tokens
from bridge.gateway.vehicle import Vehicle
from bridge.openobd.messages import Authenticate

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
        self.bus_watchers: set[Callable[[int, str], None]] = set()  #: told (bus number, state) when a bus is lost
        self._muted: frozenset[int] = frozenset()

    # Who calls

    def partner(self, request: Authenticate) -> str:
        """The client id of the partner whose credentials these are.

        Raises:
            Unauthenticated: nobody's.
        """
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

    # The vehicle

    def bus_state_changed(self, bus: int, state: BusState) -> None:
        """A vehicle connection came, went or fell ill."""
        if state in (BusState.GONE, BusState.BUS_OFF, BusState.CLOSED):
            for watcher in list(self.bus_watchers):
                watcher(bus, state.value)

    def note_latency(self, seconds: float) -> None:
        """The time from a request to the first answer of an ECU."""

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
