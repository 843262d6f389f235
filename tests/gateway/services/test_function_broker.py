"""openOBD.v1.functionBroker: launchers, callers and the broker between them, over real gRPC."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode, aio

from bridge.config import PartnerSettings
from bridge.gateway.broker import FAILED, OFFLINE, ONLINE, REQUEST, RESPONSE, SUCCESS, UNAUTHORIZED, UNAVAILABLE
from bridge.gateway.services import function_broker
from bridge.limits import CLOSE_GRACE, FUNCTION_DETAILS_LIMIT, SHUTDOWN_TIMEOUT
from bridge.openobd.messages import (
    Authenticate,
    EmptyMessage,
    FunctionCall,
    FunctionDetails,
    FunctionId,
    FunctionRegistration,
    FunctionRegistrationState,
    FunctionUpdate,
    FunctionVisibility,
    Result,
    ServiceResult,
    SessionInfo,
)

from ..bench import SOON, Bench, Caller, bearer, refusal

SUCCEEDED = ServiceResult(result=[Result.RESULT_SUCCESS])
NOTHING = EmptyMessage()
BENCH = PartnerSettings(client_id="bench-client", client_secret="bench-secret")
OTHER = PartnerSettings(client_id="other-client", client_secret="other-secret")


class Partner:
    """Somebody with a broker token."""

    def __init__(self, caller: Caller, token: str) -> None:
        self.caller = caller
        self.broker = caller.functionBroker
        self.token = token

    @classmethod
    async def log_in(cls, caller: Caller, partner: PartnerSettings = BENCH) -> Partner:
        request = Authenticate(
            client_id=partner.client_id, client_secret=partner.client_secret, cluster_id=partner.cluster_id
        )
        return cls(caller, (await caller.functionBroker.getFunctionBrokerToken(request)).value)

    def run(self, function: str, info: SessionInfo, **more: Any) -> Any:
        call = FunctionCall(id=function, session_info=info, **more)
        return self.broker.runFunction(call, metadata=bearer(self.token))

    async def state(self, function: str, provider: str = "") -> int:
        return (await self.look_up(function, provider)).state

    async def look_up(self, function: str, provider: str = "") -> FunctionRegistration:
        request = FunctionId(value=function, provider_id=provider)
        return await self.broker.getFunctionRegistration(request, metadata=bearer(self.token))

    async def launcher(self, *functions: str, **more: Any) -> Launcher:
        launcher = Launcher(self.broker.openFunctionStream(metadata=bearer(self.token)))
        for function in functions:
            answer = await launcher.register(function, **more)
            assert answer.response == SUCCESS
        return launcher


class Launcher:
    """A function stream."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    async def hear(self, kind: str = "") -> FunctionUpdate:
        """The next update, or the next of a kind."""
        async with asyncio.timeout(SOON):
            while (update := await self.stream.read()) is not aio.EOF:
                if not kind or update.HasField(kind):
                    return update
        raise AssertionError("the stream has ended")

    async def register(self, function: str, state: int = ONLINE, **more: Any) -> FunctionUpdate:
        """Set a function's state; the acknowledgement."""
        registration = FunctionRegistration(
            details=FunctionDetails(id=function, name=function.title()), state=state, **more
        )
        await self.stream.write(FunctionUpdate(type=REQUEST, function_registration=registration))
        return await self.hear("function_registration")

    async def answer(self, update: FunctionUpdate, response: int = SUCCESS, description: str | None = None) -> None:
        """Answer a call as the real library does, which sends all of it back."""
        await self.stream.write(
            FunctionUpdate(
                type=RESPONSE,
                function_call=update.function_call,
                response=response,
                response_description=description,
            )
        )

    async def status(self) -> StatusCode:
        """How the stream ends, whatever comes before."""
        async with asyncio.timeout(SOON):
            with suppress(aio.AioRpcError):
                while await self.stream.read() is not aio.EOF:
                    pass
            return await self.stream.code()


Join = Callable[..., Any]


@pytest.fixture
async def partner(bench: Bench, join: Join) -> Partner:
    return await Partner.log_in(await join(bench))


@pytest.fixture
async def two(open_bench: Join, join: Join) -> tuple[Partner, Partner]:
    bench = await open_bench(partner=(BENCH, OTHER))
    return await Partner.log_in(await join(bench)), await Partner.log_in(await join(bench), OTHER)


@pytest.fixture
def patient(open_bench: Join, join: Join) -> Join:
    """Log in at a bench with settings of its own."""

    async def log_in(**settings: Any) -> Partner:
        return await Partner.log_in(await join(await open_bench(**settings)))

    return log_in


async def handed_over(partner: Partner) -> SessionInfo:
    """A session as a caller hands it over in the real library: without a port, and with an old state."""
    info = await partner.caller.start_session()
    context = await partner.caller.function.startFunctionContext(NOTHING, metadata=partner.caller.metadata)
    return SessionInfo(
        id=info.id,
        state="",
        created_at=info.created_at,
        grpc_endpoint=info.grpc_endpoint,
        authentication_token=context.authentication_token,
    )


class TestTokens:
    async def test_credentials_get_one_and_wrong_ones_do_not(self, bench: Bench, join: Join) -> None:
        caller = await join(bench)
        assert (await Partner.log_in(caller)).token
        for wrong in (
            Authenticate(client_id="bench-client", client_secret="no", cluster_id="001"),
            Authenticate(client_id="bench-client", client_secret="bench-secret", cluster_id="002"),
            Authenticate(),
        ):
            assert (
                await refusal(caller.functionBroker.getFunctionBrokerToken(wrong))
            ).code() is StatusCode.UNAUTHENTICATED

    async def test_no_other_token_will_do(self, partner: Partner) -> None:
        info = await partner.caller.start_session()
        for token in (await partner.caller.log_in(), info.authentication_token, "nothing"):
            partner.token = token
            for call in (
                partner.run("oil", info),
                partner.look_up("oil"),
                partner.broker.generateFunctionSignature(NOTHING, metadata=bearer(token)),
                partner.broker.openFunctionStream(metadata=bearer(token)).read(),
            ):
                assert (await refusal(call)).code() is StatusCode.UNAUTHENTICATED

    async def test_a_stream_brings_new_ones_and_a_missing_echo_does_no_harm(self, patient: Join) -> None:
        partner = await patient(broker_token_refresh=0.05, broker_token_life=10.0)
        launcher = await partner.launcher("oil")
        tokens = {partner.token}
        for _ in range(3):
            update = await launcher.hear("function_broker_token")
            assert update.type == REQUEST
            tokens.add(update.function_broker_token.value)
        assert len(tokens) == 4
        for token in tokens:
            partner.token = token
            assert await partner.state("oil") == ONLINE

    async def test_an_echo_does_no_harm_either(self, patient: Join) -> None:
        partner = await patient(broker_token_refresh=0.05, broker_token_life=10.0)
        launcher = await partner.launcher("oil")
        update = await launcher.hear("function_broker_token")
        update.type = RESPONSE
        await launcher.stream.write(update)
        await launcher.hear("function_broker_token")
        assert await partner.state("oil") == ONLINE


class TestRegistrations:
    async def test_it_is_looked_up_with_its_details(self, partner: Partner) -> None:
        await partner.launcher("oil", visibility=FunctionVisibility.FUNCTION_VISIBILITY_INTERNAL)
        found = await partner.look_up("oil")
        assert (found.details.id, found.details.name, found.details.provider_id) == ("oil", "Oil", "bench-client")
        assert found.visibility == FunctionVisibility.FUNCTION_VISIBILITY_INTERNAL
        unknown = await partner.look_up("nothing")
        assert unknown.state == FunctionRegistrationState.FUNCTION_REGISTRATION_STATE_UNAVAILABLE

    @pytest.mark.parametrize("leave", ["done_writing", "cancel"])
    async def test_it_is_offline_when_its_stream_closes(self, partner: Partner, leave: str) -> None:
        launcher = await partner.launcher("oil")
        closing = getattr(launcher.stream, leave)()
        if leave == "done_writing":
            await closing
            assert await launcher.status() is StatusCode.OK
        async with asyncio.timeout(SOON):
            while await partner.state("oil") == ONLINE:
                pass
        assert await partner.state("oil") == OFFLINE

    async def test_a_second_launcher_takes_over(self, partner: Partner) -> None:
        first = await partner.launcher("oil")
        second = await partner.launcher("oil")
        notice = await first.hear()
        assert (notice.type, notice.response) == (RESPONSE, UNAVAILABLE)
        assert notice.function_registration.details.id == "oil"
        assert notice.function_registration.state == OFFLINE
        info = await handed_over(partner)
        call = asyncio.ensure_future(partner.run("oil", info))
        await second.answer(await second.hear("function_call"))
        assert (await call).response == SUCCESS

    async def test_nonsense_ends_the_stream(self, partner: Partner) -> None:
        launcher = await partner.launcher("oil")
        await launcher.stream.write(FunctionUpdate(type=REQUEST))
        assert await launcher.status() is StatusCode.INVALID_ARGUMENT
        assert await partner.state("oil") == OFFLINE

    async def test_who_sends_without_end_has_to_wait(self, open_bench: Join, join: Join, monkeypatch) -> None:
        """And nobody else: the launchers of one partner are read at a rate."""
        monkeypatch.setattr(function_broker, "LAUNCHERS_RATE", 0.0)
        monkeypatch.setattr(function_broker, "LAUNCHERS_BURST", 3)
        bench = await open_bench(partner=(BENCH, OTHER))
        partner, other = await Partner.log_in(await join(bench)), await Partner.log_in(await join(bench), OTHER)
        launcher = await partner.launcher("one", "two", "three")
        details = FunctionDetails(id="four")
        await launcher.stream.write(
            FunctionUpdate(type=REQUEST, function_registration=FunctionRegistration(details=details, state=ONLINE))
        )
        await other.launcher("oil")
        assert (await partner.state("three"), await partner.state("four")) == (
            ONLINE,
            FunctionRegistrationState.FUNCTION_REGISTRATION_STATE_UNAVAILABLE,
        )

    async def test_an_idle_stream_is_closed_well(self, patient: Join) -> None:
        partner = await patient(idle_stream_timeout=0.2)
        never = await partner.launcher()
        launcher = await partner.launcher("oil")
        assert await never.status() is StatusCode.OK
        assert not launcher.stream.done()
        await launcher.register("oil", OFFLINE)
        assert await launcher.status() is StatusCode.OK

    async def test_a_signed_id_is_its_partners(self, two: tuple[Partner, Partner]) -> None:
        ours, theirs = two
        signed = await ours.broker.generateFunctionSignature(NOTHING, metadata=bearer(ours.token))
        launcher = await ours.launcher()
        assert (await launcher.register(signed.id)).response == UNAUTHORIZED
        assert (await launcher.register(signed.id, signature=signed.signature)).response == SUCCESS
        other = await theirs.launcher()
        assert (await other.register(signed.id, signature=signed.signature)).response == UNAUTHORIZED
        assert (await other.register(signed.id)).response == UNAUTHORIZED
        assert await ours.state(signed.id) == ONLINE

    async def test_a_signature_holds_after_a_restart(self, open_bench: Join, join: Join, tmp_path: Path) -> None:
        state = str(tmp_path / "gateway.state")
        async with Bench(state=state) as bench:
            partner = await Partner.log_in(await join(bench))
            signed = await partner.broker.generateFunctionSignature(NOTHING, metadata=bearer(partner.token))
        partner = await Partner.log_in(await join(await open_bench(state=state)))
        launcher = await partner.launcher()
        assert (await launcher.register(signed.id)).response == UNAUTHORIZED
        assert (await launcher.register(signed.id, signature=signed.signature)).response == SUCCESS


class TestCalls:
    async def test_a_launcher_can_take_the_session_over_as_it_is_told_of_it(
        self, bench: Bench, partner: Partner
    ) -> None:
        launcher = await partner.launcher("oil")
        info = await handed_over(partner)
        call = asyncio.ensure_future(partner.run("oil", info))
        update = await launcher.hear("function_call")
        forwarded = update.function_call
        assert (update.type, forwarded.id, forwarded.caller_id) == (REQUEST, "oil", "bench-client")
        session = forwarded.session_info
        assert (session.id, session.state, session.created_at) == (info.id, "available", info.created_at)
        assert (session.grpc_endpoint, session.grpc_port) == (bench.gateway.endpoint.host, bench.gateway.endpoint.port)
        assert session.authentication_token == info.authentication_token
        await launcher.answer(update)
        answer = await call
        assert (answer.type, answer.response, answer.function_call.id) == (RESPONSE, SUCCESS, "oil")
        token = (
            await partner.caller.session.authenticate(NOTHING, metadata=bearer(session.authentication_token))
        ).value
        details = await partner.caller.function.getFunctionDetails(NOTHING, metadata=bearer(token))
        assert (details.id, details.name, details.provider_id) == ("oil", "Oil", "bench-client")

    async def test_a_session_without_a_context_will_do(self, partner: Partner) -> None:
        launcher = await partner.launcher("oil")
        info = await partner.caller.start_session()
        call = asyncio.ensure_future(partner.run("oil", info))
        await launcher.answer(await launcher.hear("function_call"))
        assert (await call).response == SUCCESS

    async def test_parallel_calls_of_one_function_get_their_own_answers(self, partner: Partner) -> None:
        launcher = await partner.launcher("oil")
        infos = [await handed_over(partner) for _ in range(10)]
        calls = [asyncio.ensure_future(partner.run("oil", info)) for info in infos]
        updates = [await launcher.hear("function_call") for _ in infos]
        bad = {infos[number].id for number in (2, 7)}
        for update in reversed(updates):
            session = update.function_call.session_info.id
            await launcher.answer(update, FAILED if session in bad else SUCCESS, f"not in {session}")
        results = await asyncio.gather(*calls, return_exceptions=True)
        for info, result in zip(infos, results, strict=True):
            if info.id in bad:
                assert isinstance(result, aio.AioRpcError)
                assert (result.code(), result.details()) == (StatusCode.FAILED_PRECONDITION, f"not in {info.id}")
            else:
                assert result.function_call.session_info.id == info.id

    async def test_a_function_that_ends_before_its_launcher_answers_has_run(self, partner: Partner) -> None:
        launcher = await partner.launcher("oil")
        call = asyncio.ensure_future(partner.run("oil", await handed_over(partner)))
        update = await launcher.hear("function_call")
        session = partner.caller.session
        token = await session.authenticate(
            NOTHING, metadata=bearer(update.function_call.session_info.authentication_token)
        )
        await session.finish(SUCCEEDED, metadata=bearer(token.value))
        assert (await call).response == SUCCESS

    async def test_a_context_that_is_closed_meanwhile_fails_the_call(self, partner: Partner) -> None:
        launcher = await partner.launcher("oil")
        call = asyncio.ensure_future(partner.run("oil", await handed_over(partner)))
        update = await launcher.hear("function_call")
        await partner.caller.session.finish(SUCCEEDED, metadata=partner.caller.metadata)
        assert (await refusal(call)).code() is StatusCode.ABORTED
        await launcher.answer(update)
        assert await partner.state("oil") == ONLINE

    async def test_what_is_not_online_is_unavailable_at_once(self, partner: Partner) -> None:
        launcher = await partner.launcher("oil")
        await launcher.register("oil", OFFLINE)
        info = await handed_over(partner)
        for function in ("oil", "nothing"):
            assert (await refusal(partner.run(function, info))).code() is StatusCode.UNAVAILABLE

    async def test_an_answer_that_does_not_come_in_time(self, patient: Join) -> None:
        partner = await patient(function_call_timeout=0.1)
        launcher = await partner.launcher("oil")
        info = await handed_over(partner)
        assert (await refusal(partner.run("oil", info))).code() is StatusCode.DEADLINE_EXCEEDED
        await launcher.answer(await launcher.hear("function_call"))
        call = asyncio.ensure_future(partner.run("oil", info))
        await launcher.answer(await launcher.hear("function_call"))
        assert (await call).response == SUCCESS

    async def test_a_launcher_that_goes_without_an_answer(self, partner: Partner) -> None:
        launcher = await partner.launcher("oil")
        call = asyncio.ensure_future(partner.run("oil", await handed_over(partner)))
        await launcher.hear("function_call")
        launcher.stream.cancel()
        assert (await refusal(call)).code() is StatusCode.UNAVAILABLE

    async def test_the_session_must_be_there_to_be_claimed(self, partner: Partner) -> None:
        await partner.launcher("oil")
        info = await partner.caller.start_session()
        other = await partner.caller.start_session()
        mixed = SessionInfo(id=other.id, authentication_token=info.authentication_token)
        for wrong, status in (
            (SessionInfo(id=info.id), StatusCode.INVALID_ARGUMENT),
            (mixed, StatusCode.INVALID_ARGUMENT),
            (SessionInfo(authentication_token="nothing"), StatusCode.UNAUTHENTICATED),
            (SessionInfo(authentication_token=partner.token), StatusCode.UNAUTHENTICATED),
        ):
            assert (await refusal(partner.run("oil", wrong))).code() is status
        await partner.caller.function.startFunctionContext(NOTHING, metadata=bearer(info.authentication_token))
        assert (await refusal(partner.run("oil", info))).code() is StatusCode.FAILED_PRECONDITION
        token = (await partner.caller.session.authenticate(NOTHING, metadata=bearer(other.authentication_token))).value
        for used in (other.authentication_token, token):
            info = SessionInfo(id=other.id, authentication_token=used)
            assert (await refusal(partner.run("oil", info))).code() is StatusCode.UNAUTHENTICATED

    async def test_a_context_of_another_function_is_refused(self, partner: Partner) -> None:
        await partner.launcher("oil")
        info = await handed_over(partner)
        await partner.caller.function.registerFunctionDetails(
            FunctionDetails(id="brakes"), metadata=bearer(info.authentication_token)
        )
        assert (await refusal(partner.run("oil", info))).code() is StatusCode.FAILED_PRECONDITION

    async def test_another_partners_function(self, two: tuple[Partner, Partner]) -> None:
        ours, theirs = two
        launcher = await theirs.launcher("shown", visibility=FunctionVisibility.FUNCTION_VISIBILITY_DASHBOARD)
        await theirs.launcher("hidden")
        info = await handed_over(ours)
        assert (await refusal(ours.run("shown", info))).code() is StatusCode.UNAVAILABLE
        hidden = ours.run("hidden", info, provider_id="other-client")
        assert (await refusal(hidden)).code() is StatusCode.PERMISSION_DENIED
        call = asyncio.ensure_future(ours.run("shown", info, provider_id="other-client"))
        update = await launcher.hear("function_call")
        assert (update.function_call.caller_id, update.function_call.provider_id) == ("bench-client", "other-client")
        await launcher.answer(update)
        assert (await call).response == SUCCESS


class TestTheEnd:
    async def test_a_planned_end_is_announced_and_changes_nothing_yet(self, open_bench: Join, join: Join) -> None:
        bench = await open_bench(reconnect_notice=90.0)
        partner = await Partner.log_in(await join(bench))
        launcher = await partner.launcher("oil")
        for seconds, told in ((None, 90), (5.0, 5)):
            bench.gateway.announce_end(seconds)
            notice = await launcher.hear()
            assert (notice.type, notice.function_broker_reconnect.seconds_until_disconnect) == (REQUEST, told)
        assert await partner.state("oil") == ONLINE
        await partner.launcher("oil")

    async def test_at_the_real_end_launchers_are_told_and_waited_for(self, bench: Bench, partner: Partner) -> None:
        launcher = await partner.launcher("oil")
        ending = asyncio.ensure_future(bench.gateway.stop())
        notice = await launcher.hear("function_broker_reconnect")
        assert notice.function_broker_reconnect.seconds_until_disconnect == int(CLOSE_GRACE)
        late = partner.broker.openFunctionStream(metadata=bearer(partner.token))
        assert (await refusal(late.read())).code() is StatusCode.UNAVAILABLE
        await launcher.stream.done_writing()
        assert await launcher.status() is StatusCode.OK
        await asyncio.wait_for(ending, SOON)

    @pytest.mark.parametrize("flood", [False, True])
    async def test_one_that_stays_does_not_hold_up_the_end(
        self, bench: Bench, partner: Partner, flood: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        launcher = await partner.launcher("oil")

        details = FunctionDetails(id="oil", description="x" * (FUNCTION_DETAILS_LIMIT // 2))
        update = FunctionUpdate(type=REQUEST, function_registration=FunctionRegistration(details=details, state=ONLINE))

        async def register_without_end() -> None:
            with suppress(aio.AioRpcError, asyncio.InvalidStateError):
                while True:
                    await launcher.stream.write(update)

        flooding = asyncio.ensure_future(register_without_end()) if flood else None
        started = time.monotonic()
        await bench.gateway.stop()
        assert time.monotonic() - started < SHUTDOWN_TIMEOUT
        if flooding is not None:
            await asyncio.wait_for(flooding, SOON)
        assert bench.gateway.core.broker.launchers == 0
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
        if not flood:
            assert await launcher.status() is StatusCode.UNAVAILABLE
            assert await launcher.stream.details() == "the gateway has ended"

    async def test_a_caller_that_waits_for_an_answer_learns_of_it(self, bench: Bench, partner: Partner) -> None:
        launcher = await partner.launcher("oil")
        call = asyncio.ensure_future(partner.run("oil", await handed_over(partner)))
        await launcher.hear("function_call")
        ending = asyncio.ensure_future(bench.gateway.stop())
        assert (await refusal(call)).code() is StatusCode.ABORTED
        launcher.stream.cancel()
        await ending
