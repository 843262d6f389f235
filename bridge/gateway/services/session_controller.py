"""openOBD.v1.sessionController: partners start, look up and interrupt sessions."""

from __future__ import annotations

from bridge.gateway.addresses import Endpoints
from bridge.gateway.connections import Connection
from bridge.gateway.core import Call, Core
from bridge.gateway.session_info import session_info
from bridge.gateway.sessions import Session
from bridge.gateway.tokens import TokenKind
from bridge.openobd.messages import (
    Authenticate,
    ConnectorId,
    EmptyMessage,
    SessionControllerToken,
    SessionId,
    SessionInfo,
    SessionInfoList,
    TicketId,
)
from bridge.openobd.services import sessionControllerServicer


class SessionControllerService(sessionControllerServicer):
    """Calls of partners, who show their controller token."""

    def __init__(self, core: Core, endpoints: Endpoints) -> None:
        self._core = core
        self._endpoints = endpoints

    async def getSessionControllerToken(self, request: Authenticate, call: Call) -> SessionControllerToken:
        """A controller token for a partner's credentials."""
        partner = self._core.partner(request, call.peer())
        return SessionControllerToken(
            value=self._core.tokens.issue(TokenKind.CONTROLLER, partner, partner, self._core.clock())
        )

    async def startSessionOnTicket(self, request: TicketId, call: Call) -> SessionInfo:
        """A session on the vehicle that a ticket number means."""
        partner = self._core.caller(call, TokenKind.CONTROLLER)
        return self._start(call, partner, self._core.connections.by_ticket(request.value), request.value)

    async def startSessionOnConnector(self, request: ConnectorId, call: Call) -> SessionInfo:
        """A session on the vehicle that a connector is plugged into."""
        partner = self._core.caller(call, TokenKind.CONTROLLER)
        return self._start(call, partner, self._core.connections.by_connector(request.value))

    async def getSession(self, request: SessionId, call: Call) -> SessionInfo:
        """One session of the partner's. One that is available comes with a token that claims it."""
        session = self._core.sessions.find(self._core.caller(call, TokenKind.CONTROLLER), request.value)
        token = self._core.sessions.renewed_token(session, self._core.clock()) if isinstance(session, Session) else ""
        return session_info(session, self._endpoints.towards(call.peer()), token)

    async def getSessionList(self, request: EmptyMessage, call: Call) -> SessionInfoList:
        """The partner's sessions, oldest first, without tokens."""
        endpoint = self._endpoints.towards(call.peer())
        sessions = self._core.sessions.list(self._core.caller(call, TokenKind.CONTROLLER))
        return SessionInfoList(sessions=[session_info(session, endpoint) for session in sessions])

    async def interruptSession(self, request: SessionId, call: Call) -> SessionInfo:
        """End a session at once, whoever has it."""
        record = self._core.sessions.interrupt(self._core.caller(call, TokenKind.CONTROLLER), request.value)
        return session_info(record, self._endpoints.towards(call.peer()))

    def _start(self, call: Call, partner: str, connection: Connection, ticket: str = "") -> SessionInfo:
        sessions = self._core.sessions
        session, token = sessions.start(partner, connection, self._core.clock(), self._core.wall_clock(), ticket)
        session.muted = self._core.settings.mute_at_start
        return session_info(session, self._endpoints.towards(call.peer()), token)
