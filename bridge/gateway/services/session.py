"""openOBD.v1.session: a session's holder claims it, keeps it and finishes it."""

from __future__ import annotations

from bridge.gateway.core import Call, Core, bearer
from bridge.gateway.repeating import Repeating
from bridge.gateway.sessions import BY_AUTHENTICATION, BY_EITHER, BY_SESSION
from bridge.gateway.streams import ContextStream
from bridge.openobd.messages import EmptyMessage, ServiceResult, SessionToken
from bridge.openobd.services import sessionServicer


class SessionService(sessionServicer):
    """Calls of whoever holds a session's token."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def authenticate(self, request: EmptyMessage, call: Call) -> SessionToken:
        """Claim the session, once; nobody else can then."""
        context = self._core.context(call, BY_AUTHENTICATION)
        return SessionToken(value=self._core.sessions.authenticate(context, self._core.clock()))

    async def assertAuthenticationPossible(self, request: EmptyMessage, call: Call) -> EmptyMessage:
        """Whether authenticate() would do."""
        self._core.sessions.assert_available(self._core.context(call, BY_EITHER))
        return EmptyMessage()

    async def openSessionTokenStream(self, request: EmptyMessage, call: Call) -> None:
        """A new session token each session_token_refresh, counted from the one that opens the stream."""
        context = self._core.context(call, BY_SESSION)
        claim = self._core.sessions.claim(bearer(call), BY_SESSION, self._core.clock())
        first = claim.issued + self._core.settings.session_token_refresh - self._core.clock()
        async with ContextStream[SessionToken](call, self._core.sessions.of(context), context) as stream:

            def renew() -> None:
                if not context.state.final:
                    token = self._core.sessions.session_token(context, self._core.clock())
                    stream.put(SessionToken(value=token))

            with Repeating(renew, self._core.settings.session_token_refresh, first):
                await stream.run()

    async def finish(self, request: ServiceResult, call: Call) -> EmptyMessage:
        """End the context: the session, where it is the first one."""
        self._core.sessions.finish(self._core.context(call, BY_EITHER), request)
        return EmptyMessage()
