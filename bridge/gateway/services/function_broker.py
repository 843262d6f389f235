"""openOBD.v1.functionBroker: launchers offer functions, callers run them in their sessions."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from bridge.gateway.addresses import Endpoints
from bridge.gateway.allowance import Allowance
from bridge.gateway.broker import REQUEST, RESPONSE, SUCCESS
from bridge.gateway.contexts import Context
from bridge.gateway.core import Call, Core
from bridge.gateway.errors import Aborted, CallError, InvalidCall
from bridge.gateway.repeating import Repeating
from bridge.gateway.session_info import session_info
from bridge.gateway.sessions import BY_AUTHENTICATION
from bridge.gateway.streams import Stream
from bridge.gateway.tokens import TokenKind
from bridge.limits import END_GRACE, LAUNCHERS_BURST, LAUNCHERS_RATE
from bridge.openobd.messages import (
    Authenticate,
    EmptyMessage,
    FunctionBrokerToken,
    FunctionCall,
    FunctionId,
    FunctionRegistration,
    FunctionSignature,
    FunctionUpdate,
    SessionInfo,
)
from bridge.openobd.services import functionBrokerServicer


class FunctionBrokerService(functionBrokerServicer):
    """Calls of partners, who show their broker token."""

    def __init__(self, core: Core, endpoints: Endpoints) -> None:
        self._core = core
        self._broker = core.broker
        self._endpoints = endpoints
        self._timer: asyncio.TimerHandle | None = None
        self._allowances = {one.client_id: Allowance(LAUNCHERS_RATE, LAUNCHERS_BURST) for one in core.partners}
        self._left = asyncio.Event()  # each time that a launcher goes

    async def getFunctionBrokerToken(self, request: Authenticate, call: Call) -> FunctionBrokerToken:
        """A broker token for a partner's credentials."""
        return FunctionBrokerToken(value=self._token(self._core.partner(request, call.peer())))

    async def openFunctionStream(self, request: object, call: Call) -> None:
        """Functions are online on this stream as long as it is open, and are called through it."""
        partner = self._core.caller(call, TokenKind.BROKER)
        stream = Stream[FunctionUpdate](call)
        launcher = self._broker.join(partner, call.peer(), stream, self._core.clock())

        def renew() -> None:
            token = FunctionBrokerToken(value=self._token(partner))
            stream.put(FunctionUpdate(type=REQUEST, function_broker_token=token))

        def receive(update: FunctionUpdate) -> None:
            self._broker.receive(launcher, update, self._core.clock())
            self._look_when_due()

        self._look_when_due()
        try:
            with Repeating(renew, self._core.settings.broker_token_refresh):
                await stream.run(receive, self._allowances[partner])
        finally:
            self._broker.leave(launcher)
            self._left.set()
            self._look_when_due()

    async def runFunction(self, request: FunctionCall, call: Call) -> FunctionUpdate:
        """Have a launcher run a function in the context whose authentication token the caller hands over.

        The answer says that the launcher has begun. What comes of it the caller learns by monitoring.
        """
        core = self._core
        caller = core.caller(call, TokenKind.BROKER)
        function, launcher = self._broker.find(caller, request.id, request.provider_id)
        context = self._callee(request.session_info)
        core.sessions.assert_available(context)
        context.register(function.details)
        # Callers' own SessionInfos leave out the port, and tell an old state.
        info = session_info(
            core.sessions.of(context),
            self._endpoints.towards(launcher.peer),
            request.session_info.authentication_token,
        )
        forwarded = FunctionCall(id=request.id, caller_id=caller, provider_id=function.partner, session_info=info)
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def answered(error: CallError | None) -> None:
            if begun.done():
                return
            if error is None:
                begun.set_result(None)
            else:
                begun.set_exception(error)

        def ended(_: Context) -> None:
            answered(None if context.claimed else Aborted("the function's context was closed before it was claimed"))

        pending = self._broker.call(launcher, forwarded, answered, core.clock())
        self._look_when_due()
        forget = context.when_ended(ended)
        try:
            await begun
        finally:
            forget()
            self._broker.give_up(pending)
            self._look_when_due()
        return FunctionUpdate(type=RESPONSE, function_call=request, response=SUCCESS)

    async def getFunctionRegistration(self, request: FunctionId, call: Call) -> FunctionRegistration:
        """A function's details, and whether it is online."""
        caller = self._core.caller(call, TokenKind.BROKER)
        return self._broker.registration(caller, request.value, request.provider_id)

    async def generateFunctionSignature(self, request: EmptyMessage, call: Call) -> FunctionSignature:
        """A new function id, and the signature without which nobody can register it."""
        return self._core.function_ids.generate(self._core.caller(call, TokenKind.BROKER))

    def _callee(self, info: SessionInfo) -> Context:
        """The context that a call hands over. Whoever has its token may do so, whoever started the session."""
        core = self._core
        if not info.authentication_token:
            raise InvalidCall("the call's session_info needs an authentication_token")
        context = core.sessions.context(info.authentication_token, BY_AUTHENTICATION, core.clock())
        if info.id not in ("", core.sessions.of(context).id):
            raise InvalidCall("the call's session_info has the authentication_token of another session")
        return context

    def _token(self, partner: str) -> str:
        return self._core.tokens.issue(TokenKind.BROKER, partner, partner, self._core.clock())

    # Time

    def _look_when_due(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = self._broker.due()
        delay = None if due is None else max(0.0, due - self._core.clock())
        self._timer = None if delay is None else asyncio.get_running_loop().call_later(delay, self._look)

    def _look(self) -> None:
        self._broker.poll(self._core.clock())
        self._look_when_due()

    async def end(self, grace: float) -> None:
        """Tell the launchers that the gateway goes, and end the streams of those who stay so many seconds."""
        self._broker.close(grace)
        await self._all_left(grace)
        self._broker.end_streams()
        await self._all_left(END_GRACE)

    async def _all_left(self, seconds: float) -> None:
        """Wait until no launcher is there, so many seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._broker.launchers:
                    self._left.clear()
                    await self._left.wait()
