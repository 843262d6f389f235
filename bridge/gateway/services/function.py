"""openOBD.v1.function: function contexts, what is handed into and out of them, and variables."""

from __future__ import annotations

import asyncio

from bridge.gateway.contexts import Context
from bridge.gateway.core import Call, Core, bearer
from bridge.gateway.errors import InvalidCall, WrongState
from bridge.gateway.repeating import Repeating
from bridge.gateway.sessions import BY_EITHER, BY_MONITOR
from bridge.gateway.states import State
from bridge.gateway.streams import Stream
from bridge.gateway.variables import Scope
from bridge.limits import FINAL_MESSAGE_GRACE
from bridge.openobd.messages import (
    ContextType,
    EmptyMessage,
    FunctionContext,
    FunctionDetails,
    Variable,
    VariableList,
    VariableSelection,
)
from bridge.openobd.services import functionServicer


class FunctionService(functionServicer):
    """Calls of who holds a context, by either token; and of who monitors one."""

    def __init__(self, core: Core) -> None:
        self._core = core

    # Contexts

    async def startFunctionContext(self, request: EmptyMessage, call: Call) -> FunctionContext:
        """A context within the caller's, for somebody else to claim."""
        outer = self._core.context(call, BY_EITHER)
        context, monitor, authentication = self._core.sessions.start_context(outer, self._core.clock())
        return FunctionContext(id=context.id, monitor_token=monitor, authentication_token=authentication)

    async def monitorFunctionContext(self, request: FunctionContext, call: Call) -> None:
        """A new monitor token each session_token_refresh, and a last message when the context has ended.

        After that message the stream stays open for a while, or until the client leaves: a client that looks
        at whether the stream is open before it looks at what came would miss the message otherwise.
        """
        core = self._core
        claim = core.sessions.claim(bearer(call), BY_MONITOR, core.clock())
        context = core.context(call, BY_MONITOR)
        first = claim.issued + core.settings.session_token_refresh - core.clock()
        stream = Stream[FunctionContext](call)

        def renew() -> None:
            if not context.state.final:
                token = core.sessions.monitor_token(context, core.clock())
                stream.put(FunctionContext(id=context.id, monitor_token=token))

        def ended(_: Context) -> None:
            stream.put(self._last_message(context))
            asyncio.get_running_loop().call_later(FINAL_MESSAGE_GRACE, stream.end)

        with context.room.stream(), Repeating(renew, core.settings.session_token_refresh, first):
            forget = context.when_ended(ended)
            try:
                await stream.run()
            finally:
                forget()

    def _last_message(self, context: Context) -> FunctionContext:
        return FunctionContext(
            id=context.id,
            finished=True,
            authentication_token=self._core.sessions.parent_token(context, self._core.clock()),
            service_result=context.service_result,
        )

    async def registerFunctionDetails(self, request: FunctionDetails, call: Call) -> EmptyMessage:
        """Say which function runs in the caller's context."""
        self._core.context(call, BY_EITHER).register(request)
        return EmptyMessage()

    async def getFunctionDetails(self, request: EmptyMessage, call: Call) -> FunctionDetails:
        """Which function runs in the caller's context; empty where nobody has said."""
        return self._core.context(call, BY_EITHER).details

    # Arguments and results

    async def setFunctionArgument(self, request: Variable, call: Call) -> EmptyMessage:
        """Give an argument to the function that will run in the context that the caller has just started."""
        inner = self._core.context(call, BY_EITHER).inner
        if inner is None:
            raise WrongState("there is no context to give arguments to: start one first")
        if inner.state is not State.AVAILABLE:
            raise WrongState("the function runs already; it takes its arguments before that")
        request.ClearField("type")
        inner.arguments.set(request)
        return EmptyMessage()

    async def getFunctionArgumentList(self, request: EmptyMessage, call: Call) -> VariableList:
        """The arguments that the caller's function was given."""
        return VariableList(variables=self._core.context(call, BY_EITHER).arguments.list())

    async def setFunctionResult(self, request: Variable, call: Call) -> EmptyMessage:
        """Keep a result of the caller's function for who has called it."""
        request.ClearField("type")
        self._core.context(call, BY_EITHER).results.set(request)
        return EmptyMessage()

    async def getFunctionResultList(self, request: EmptyMessage, call: Call) -> VariableList:
        """The results of the function that the caller has called last."""
        return VariableList(variables=self._core.context(call, BY_EITHER).inner_results.list())

    # Variables

    async def getVariableList(self, request: VariableSelection, call: Call) -> VariableList:
        """The variables of a scope, or those whose keys start with a prefix."""
        return VariableList(variables=self._scope(call, request.type).list(request.prefix))

    async def setVariable(self, request: Variable, call: Call) -> EmptyMessage:
        """Set a variable in its scope."""
        self._scope(call, request.type).set(request)
        return EmptyMessage()

    async def getVariable(self, request: Variable, call: Call) -> Variable:
        """The variable with the request's key in its scope."""
        return self._scope(call, request.type).get(request.key)

    async def deleteVariable(self, request: Variable, call: Call) -> EmptyMessage:
        """Forget a variable of the function's scope or of the global one."""
        self._scope(call, request.type).delete(request.key)
        return EmptyMessage()

    def _scope(self, call: Call, kind: int) -> Scope:
        context = self._core.context(call, BY_EITHER)
        session = self._core.sessions.of(context)
        if kind == ContextType.GLOBAL_CONTEXT:
            return session.variables
        if kind == ContextType.FUNCTION_CONTEXT:
            return context.variables
        if kind == ContextType.CONNECTION_CONTEXT:
            return self._core.connection_variables(session)
        raise InvalidCall("the variable's type is GLOBAL_CONTEXT, FUNCTION_CONTEXT or CONNECTION_CONTEXT")
