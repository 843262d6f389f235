"""openOBD.v1.function: contexts, what goes in and out of them, and variables in their scopes."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from grpc import StatusCode, aio

from bridge.config import ConnectionSettings, VehicleSettings
from bridge.gateway.services import function
from bridge.limits import SESSION_STREAMS_LIMIT
from bridge.openobd.messages import (
    ContextType,
    EmptyMessage,
    FunctionContext,
    FunctionDetails,
    Result,
    ServiceResult,
    SessionId,
    Variable,
    VariableSelection,
)

from ..bench import SOON, Bench, Caller, bearer, refusal

SUCCESS = ServiceResult(result=[Result.RESULT_SUCCESS])
NOTHING = EmptyMessage()
GLOBAL, FUNCTION, CONNECTION = (
    ContextType.GLOBAL_CONTEXT,
    ContextType.FUNCTION_CONTEXT,
    ContextType.CONNECTION_CONTEXT,
)


class Party:
    """Whoever holds a token, which it makes calls with."""

    def __init__(self, caller: Caller, token: str) -> None:
        self.caller = caller
        self.token = token

    def __getattr__(self, method: str) -> Any:
        service = self.caller.session if method in ("authenticate", "finish") else self.caller.function
        return lambda request=NOTHING: getattr(service, method)(request, metadata=bearer(self.token))

    async def claim(self) -> None:
        self.token = (await self.authenticate()).value

    async def start(self) -> tuple[FunctionContext, Party]:
        """A context within, and who will run in it."""
        context = await self.startFunctionContext()
        return context, Party(self.caller, context.authentication_token)

    def monitor(self, context: FunctionContext) -> Any:
        return self.caller.function.monitorFunctionContext(context, metadata=bearer(context.monitor_token))

    async def names(self, scope: int, prefix: str = "") -> list[str]:
        variables = await self.getVariableList(VariableSelection(type=scope, prefix=prefix))
        return [each.key for each in variables.variables]


@pytest.fixture
async def root(bench: Bench, join) -> Party:
    """Who has started a session."""
    caller = await join(bench)
    return Party(caller, (await caller.start_session()).authentication_token)


async def last(stream: Any) -> FunctionContext:
    """The last message of a monitor stream, which stays open after it."""
    async with asyncio.timeout(SOON):
        while not (message := await stream.read()).finished:
            pass
    return message


class TestContexts:
    async def test_a_composition_hands_its_session_over_and_gets_it_back(self, root: Party) -> None:
        context, function = await root.start()
        assert context.id
        assert not context.finished
        stream = root.monitor(context)
        assert (await refusal(root.authenticate())).code() is StatusCode.FAILED_PRECONDITION
        await function.claim()
        result = ServiceResult(result=[Result.RESULT_FAILURE, Result.RESULT_NEEDS_COMPLETION], description="half")
        await function.finish(result)
        message = await last(stream)
        stream.cancel()
        assert (message.id, message.service_result) == (context.id, result)
        root.token = message.authentication_token
        await root.claim()
        await root.finish(SUCCESS)

    async def test_a_function_that_calls_a_function_stays_as_it_is(self, root: Party) -> None:
        await root.claim()
        context, function = await root.start()
        stream = root.monitor(context)
        await function.claim()
        await function.finish(SUCCESS)
        message = await last(stream)
        stream.cancel()
        assert message.authentication_token == ""
        await root.getFunctionDetails()

    async def test_contexts_are_a_stack(self, root: Party) -> None:
        _, outer = await root.start()
        _, inner = await outer.start()
        for party in (root, outer):
            assert (await refusal(party.startFunctionContext())).code() is StatusCode.FAILED_PRECONDITION
        await inner.finish(SUCCESS)
        await outer.start()

    async def test_who_could_not_hand_over_closes_the_context(self, root: Party) -> None:
        context, function = await root.start()
        stream = root.monitor(context)
        await root.finish(ServiceResult(result=[Result.RESULT_FAILURE]))
        message = await last(stream)
        stream.cancel()
        assert message.service_result.result == [Result.RESULT_FAILURE]
        assert (await refusal(function.authenticate())).code() is StatusCode.UNAUTHENTICATED
        root.token = message.authentication_token
        await root.start()

    async def test_an_interrupted_session_ends_the_monitor_without_a_result_or_a_token(
        self, root: Party, bench: Bench
    ) -> None:
        context, _ = await root.start()
        stream = root.monitor(context)
        token = await root.caller.log_in()
        [session] = bench.gateway.core.sessions.open
        await root.caller.sessionController.interruptSession(SessionId(value=session.id), metadata=bearer(token))
        message = await last(stream)
        stream.cancel()
        assert not message.HasField("service_result")
        assert message.authentication_token == ""


class TestMonitor:
    async def test_it_renews_its_token_and_each_one_monitors(self, open_bench, join) -> None:
        bench = await open_bench(session_token_refresh=0.05, session_token_life=10.0)
        caller = await join(bench)
        root = Party(caller, (await caller.start_session()).authentication_token)
        context, function = await root.start()
        stream = root.monitor(context)
        async with asyncio.timeout(SOON):
            messages = [await stream.read() for _ in range(3)]
        tokens = {context.monitor_token, *(each.monitor_token for each in messages)}
        assert len(tokens) == 4
        assert not any(each.finished or each.authentication_token for each in messages)
        streams = [stream, *(root.monitor(FunctionContext(monitor_token=token)) for token in tokens)]
        await function.finish(SUCCESS)
        for each in streams:
            message = await last(each)
            assert (message.id, message.service_result) == (context.id, SUCCESS)
            each.cancel()

    async def test_a_context_that_is_over_is_told_at_once(self, root: Party) -> None:
        context, function = await root.start()
        await function.finish(SUCCESS)
        stream = root.monitor(context)
        message = await last(stream)
        stream.cancel()
        assert message.service_result == SUCCESS
        root.token = message.authentication_token
        await root.claim()

    async def test_even_when_the_whole_session_is_over(self, root: Party) -> None:
        context, _ = await root.start()
        await root.finish(SUCCESS)
        await root.finish(SUCCESS)
        stream = root.monitor(context)
        message = await last(stream)
        stream.cancel()
        assert message.finished
        assert message.authentication_token == ""

    async def test_the_stream_stays_open_after_the_last_message_for_a_while(
        self, root: Party, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(function, "FINAL_MESSAGE_GRACE", 0.2)
        context, callee = await root.start()
        stream = root.monitor(context)
        started = asyncio.get_running_loop().time()
        await callee.finish(SUCCESS)
        await last(stream)
        async with asyncio.timeout(SOON):
            assert await stream.read() is aio.EOF
            assert await stream.code() is StatusCode.OK
        assert asyncio.get_running_loop().time() - started >= 0.2

    async def test_only_a_monitor_token_monitors_and_nothing_else(self, root: Party) -> None:
        context, _ = await root.start()
        for token in (root.token, context.authentication_token, "nothing"):
            call = root.caller.function.monitorFunctionContext(context, metadata=bearer(token))
            assert (await refusal(call.read())).code() is StatusCode.UNAUTHENTICATED
        root.token = context.monitor_token
        for method in ("getFunctionDetails", "startFunctionContext", "authenticate"):
            assert (await refusal(getattr(root, method)())).code() is StatusCode.UNAUTHENTICATED

    async def test_monitors_count_for_their_session_whose_streams_are_bounded(self, root: Party, bench: Bench) -> None:
        context, _ = await root.start()
        [session] = bench.gateway.core.sessions.open
        with ExitStack() as streams:
            for _ in range(SESSION_STREAMS_LIMIT):
                streams.enter_context(session.room.stream())
            assert (await refusal(root.monitor(context).read())).code() is StatusCode.RESOURCE_EXHAUSTED
        await root.finish(SUCCESS)
        stream = root.monitor(context)
        await last(stream)
        assert session.streams == 1
        stream.cancel()


class TestDetails:
    async def test_the_first_registration_counts(self, root: Party) -> None:
        assert await root.getFunctionDetails() == FunctionDetails()
        await root.registerFunctionDetails(FunctionDetails(id="oil", name="Oil"))
        await root.registerFunctionDetails(FunctionDetails(id="oil", name="Oil service"))
        error = await refusal(root.registerFunctionDetails(FunctionDetails(id="brakes")))
        assert error.code() is StatusCode.FAILED_PRECONDITION
        assert (await root.getFunctionDetails()).name == "Oil service"
        assert (await refusal(root.registerFunctionDetails(FunctionDetails()))).code() is StatusCode.INVALID_ARGUMENT

    async def test_a_context_claimed_without_is_its_own_function(self, root: Party) -> None:
        context, function = await root.start()
        await function.claim()
        assert (await function.getFunctionDetails()).id == context.id


class TestArgumentsAndResults:
    async def test_they_go_in_by_the_callers_token_and_come_out_by_it(self, root: Party) -> None:
        context, function = await root.start()
        arguments = [
            Variable(key="first", value="1"),
            Variable(key="object", object=AnyMessage(type_url="type.example/x", value=b"\x01")),
        ]
        for argument in arguments:
            await root.setFunctionArgument(Variable(type=GLOBAL, key=argument.key, value="replaced"))
            await root.setFunctionArgument(argument)
        assert list((await function.getFunctionArgumentList()).variables) == arguments
        await function.claim()
        assert list((await function.getFunctionArgumentList()).variables) == arguments
        error = await refusal(root.setFunctionArgument(Variable(key="late", value="x")))
        assert error.code() is StatusCode.FAILED_PRECONDITION
        await function.setFunctionResult(Variable(type=FUNCTION, key="sum", value="3"))
        assert list((await root.getFunctionResultList()).variables) == []
        await function.finish(SUCCESS)
        assert list((await root.getFunctionResultList()).variables) == [Variable(key="sum", value="3")]
        stream = root.monitor(context)
        root.token = (await last(stream)).authentication_token
        stream.cancel()
        assert list((await root.getFunctionResultList()).variables) == [Variable(key="sum", value="3")]

    async def test_results_are_those_of_the_last_function(self, root: Party) -> None:
        for value in ("1", "2"):
            _, function = await root.start()
            await function.setFunctionResult(Variable(key=f"result {value}", value=value))
            await function.finish(SUCCESS)
        assert [each.key for each in (await root.getFunctionResultList()).variables] == ["result 2"]

    async def test_without_a_context_there_is_nobody_to_give_arguments_to(self, root: Party) -> None:
        error = await refusal(root.setFunctionArgument(Variable(key="first", value="1")))
        assert error.code() is StatusCode.FAILED_PRECONDITION

    async def test_an_active_caller_gives_them_too(self, root: Party) -> None:
        await root.claim()
        _, function = await root.start()
        await root.setFunctionArgument(Variable(key="first", value="1"))
        assert (await function.getFunctionArgumentList()).variables[0].value == "1"


class TestVariables:
    async def test_global_ones_are_the_sessions_and_a_functions_own_are_its_own(self, root: Party) -> None:
        await root.setVariable(Variable(type=GLOBAL, key="shared", value="1"))
        await root.setVariable(Variable(type=FUNCTION, key="own", value="1"))
        _, function = await root.start()
        await function.claim()
        assert await function.names(GLOBAL) == ["shared"]
        assert await function.names(FUNCTION) == []
        await function.setVariable(Variable(type=FUNCTION, key="own", value="2"))
        await function.setVariable(Variable(type=GLOBAL, key="shared", value="2"))
        await function.finish(SUCCESS)
        found = [
            await root.getVariable(Variable(type=scope, key=key))
            for scope, key in ((GLOBAL, "shared"), (FUNCTION, "own"))
        ]
        assert [(each.type, each.value) for each in found] == [(GLOBAL, "2"), (FUNCTION, "1")]

    async def test_messages_come_back_as_they_were(self, root: Party) -> None:
        variable = Variable(type=GLOBAL, key="object", object=AnyMessage(type_url="type.example/x", value=b"\x00\xff"))
        await root.setVariable(variable)
        assert await root.getVariable(Variable(type=GLOBAL, key="object")) == variable

    async def test_a_prefix_selects(self, root: Party) -> None:
        for key in ("car:doors", "car:wheels", "boat"):
            await root.setVariable(Variable(type=FUNCTION, key=key, value="x"))
        assert await root.names(FUNCTION, "car:") == ["car:doors", "car:wheels"]
        assert len(await root.names(FUNCTION)) == 3

    @pytest.mark.parametrize("scope", [GLOBAL, FUNCTION])
    async def test_they_are_deleted_and_not_found_then(self, root: Party, scope: int) -> None:
        variable = Variable(type=scope, key="key", value="x")
        await root.setVariable(variable)
        await root.deleteVariable(variable)
        for method in (root.getVariable, root.deleteVariable):
            assert (await refusal(method(variable))).code() is StatusCode.NOT_FOUND

    async def test_a_scope_must_be_named(self, root: Party) -> None:
        for call in (
            root.setVariable(Variable(key="key", value="x")),
            root.getVariable(Variable(key="key", type=99)),
            root.getVariableList(VariableSelection()),
            root.deleteVariable(Variable(key="key")),
        ):
            assert (await refusal(call)).code() is StatusCode.INVALID_ARGUMENT

    async def test_they_are_gone_with_the_session(self, root: Party) -> None:
        await root.setVariable(Variable(type=GLOBAL, key="key", value="x"))
        await root.finish(SUCCESS)
        assert (await refusal(root.getVariable(Variable(type=GLOBAL, key="key")))).code() is StatusCode.UNAUTHENTICATED


class TestConnectionVariables:
    async def test_what_is_known_and_what_was_noted(self, open_bench, join) -> None:
        car = ConnectionSettings(vehicle=VehicleSettings(vin="WVWZZZ1KZAW000001"))
        caller = await join(await open_bench(connection=(car,)))
        root = Party(caller, (await caller.start_session("42")).authentication_token)
        await root.setVariable(Variable(type=CONNECTION, key="shop", value="north"))
        assert await root.names(CONNECTION) == ["vehicle:info:vin", "ticket:id", "shop"]
        values = [
            (await root.getVariable(Variable(type=CONNECTION, key=key))).value
            for key in ("vehicle:info:vin", "ticket:id")
        ]
        assert values == ["WVWZZZ1KZAW000001", "42"]
        await root.finish(SUCCESS)
        again = Party(caller, (await caller.start_session("43")).authentication_token)
        assert (await again.getVariable(Variable(type=CONNECTION, key="shop"))).value == "north"
        assert (await again.getVariable(Variable(type=CONNECTION, key="ticket:id"))).value == "43"

    async def test_what_is_not_known_is_not_found(self, root: Party) -> None:
        for key in ("vehicle:info:vin", "vehicle:info:voltage"):
            call = root.getVariable(Variable(type=CONNECTION, key=key))
            assert (await refusal(call)).code() is StatusCode.NOT_FOUND

    async def test_only_texts_and_none_of_the_gateways_own_and_no_deleting(self, root: Party) -> None:
        message = Variable(type=CONNECTION, key="object", object=AnyMessage())
        assert (await refusal(root.setVariable(message))).code() is StatusCode.INVALID_ARGUMENT
        own = Variable(type=CONNECTION, key="vehicle:info:vin", value="mine")
        assert (await refusal(root.setVariable(own))).code() is StatusCode.PERMISSION_DENIED
        await root.setVariable(Variable(type=CONNECTION, key="shop", value="north"))
        deleted = root.deleteVariable(Variable(type=CONNECTION, key="shop"))
        assert (await refusal(deleted)).code() is StatusCode.INVALID_ARGUMENT
