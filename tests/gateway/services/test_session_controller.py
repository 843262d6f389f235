"""openOBD.v1.sessionController: a session's life from its partner's side, and who may see it."""

from __future__ import annotations

import asyncio
import re
import uuid
from datetime import UTC, datetime

import grpc
import pytest
from grpc import aio

from bridge.config import ConnectionSettings, PartnerSettings, VehicleSettings
from bridge.openobd.messages import (
    Authenticate,
    ConnectorId,
    EmptyMessage,
    Result,
    ServiceResult,
    SessionId,
    TicketId,
)

from ..bench import SOON, Bench, Caller, bearer
from ..refusals import refusal, refused

SUCCESS = ServiceResult(result=[Result.RESULT_SUCCESS])
NOTHING = EmptyMessage()


class Partner:
    """A partner's calls; each is made with their controller token."""

    def __init__(self, caller: Caller) -> None:
        self._calls = caller.sessionController
        self.caller = caller
        self.metadata = caller.metadata

    def on_ticket(self, number: str = "1"):
        return self._calls.startSessionOnTicket(TicketId(value=number), metadata=self.metadata)

    def on_connector(self, connector: str = "J-1"):
        return self._calls.startSessionOnConnector(ConnectorId(value=connector), metadata=self.metadata)

    def get(self, session_id: str):
        return self._calls.getSession(SessionId(value=session_id), metadata=self.metadata)

    def interrupt(self, session_id: str):
        return self._calls.interruptSession(SessionId(value=session_id), metadata=self.metadata)

    async def list(self) -> list[tuple[str, str]]:
        found = await self._calls.getSessionList(NOTHING, metadata=self.metadata)
        assert not [one for one in found.sessions if one.authentication_token]
        return [(one.id, one.state) for one in found.sessions]

    async def state(self, session_id: str) -> str:
        return (await self.get(session_id)).state

    async def authenticate(self, token: str) -> str:
        """Claim a session; its session token."""
        return (await self.caller.session.authenticate(NOTHING, metadata=bearer(token))).value

    async def finish(self, token: str) -> None:
        await self.caller.session.finish(SUCCESS, metadata=bearer(token))

    async def possible(self, token: str) -> None:
        await self.caller.session.assertAuthenticationPossible(NOTHING, metadata=bearer(token))


@pytest.fixture
async def come(join):
    """A partner of a bench, logged in."""

    async def come(bench: Bench, name: str = "bench") -> Partner:
        caller = await join(bench)
        await caller.log_in(f"{name}-client", f"{name}-secret")
        return Partner(caller)

    return come


@pytest.fixture
async def partner(bench, come) -> Partner:
    return await come(bench)


# Starting


@pytest.mark.parametrize("kind", ["on_ticket", "on_connector"])
async def test_a_session_begins_available_with_all_that_it_takes(bench, partner, kind) -> None:
    before = datetime.now(UTC)
    info = await getattr(partner, kind)()
    assert info.state == "available"
    assert str(uuid.UUID(info.id)) == info.id
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", info.created_at)
    age = datetime.strptime(info.created_at, "%Y-%m-%dT%H:%M:%S.%f%z") - before
    assert -0.001 <= age.total_seconds() < SOON
    assert (info.grpc_endpoint, info.grpc_port) == ("127.0.0.1", bench.gateway.endpoint.port)
    assert await partner.authenticate(info.authentication_token)


async def test_several_sessions_may_be_on_one_vehicle(partner) -> None:
    infos = [await partner.on_ticket(), await partner.on_ticket(), await partner.on_connector()]
    assert len({info.id for info in infos}) == 3
    assert len({info.authentication_token for info in infos}) == 3
    assert await partner.list() == [(info.id, "available") for info in infos]


async def test_tickets_and_connectors_mean_their_vehicles(open_bench, come) -> None:
    bench = await open_bench(
        connection=(
            ConnectionSettings(connector="J-1", tickets=("11", "12"), vehicle=VehicleSettings(name="one", vin="1")),
            ConnectionSettings(connector="J-2", tickets=("21",), vehicle=VehicleSettings(name="two", vin="2")),
        )
    )
    partner = await come(bench)
    for start, name in (
        (partner.on_ticket("11"), "one"),
        (partner.on_ticket("12"), "one"),
        (partner.on_ticket("21"), "two"),
        (partner.on_connector("J-1"), "one"),
        (partner.on_connector("J-2"), "two"),
    ):
        token = await partner.authenticate((await start).authentication_token)
        vehicle = await partner.caller.vehicleInfo.getVehicleDetails(NOTHING, metadata=bearer(token))
        assert vehicle.name == name
    for start in (partner.on_ticket("13"), partner.on_ticket(""), partner.on_connector("11"), partner.on_connector("")):
        assert await refused(start) is grpc.StatusCode.NOT_FOUND


# Its life


async def test_a_session_is_claimed_and_finished(partner) -> None:
    info = await partner.on_ticket()
    await partner.possible(info.authentication_token)
    token = await partner.authenticate(info.authentication_token)
    assert await partner.state(info.id) == "active"
    assert await refused(partner.possible(token)) is grpc.StatusCode.FAILED_PRECONDITION
    for used in (partner.possible(info.authentication_token), partner.authenticate(info.authentication_token)):
        assert await refused(used) is grpc.StatusCode.UNAUTHENTICATED
    await partner.finish(token)
    assert await partner.state(info.id) == "finished"
    assert await partner.list() == [(info.id, "finished")]


async def test_a_session_may_be_finished_before_it_is_claimed(partner) -> None:
    info = await partner.on_ticket()
    await partner.finish(info.authentication_token)
    assert await partner.state(info.id) == "finished"
    assert await refused(partner.authenticate(info.authentication_token)) is grpc.StatusCode.UNAUTHENTICATED


async def test_the_token_stream_is_for_active_sessions(partner) -> None:
    info = await partner.on_ticket()
    session = partner.caller.session
    early = session.openSessionTokenStream(NOTHING, metadata=bearer(info.authentication_token))
    assert await refused(early.read()) is grpc.StatusCode.UNAUTHENTICATED
    token = await partner.authenticate(info.authentication_token)
    stream = session.openSessionTokenStream(NOTHING, metadata=bearer(token))
    await partner.finish(token)
    late = session.openSessionTokenStream(NOTHING, metadata=bearer(token))
    assert await refused(late.read()) is grpc.StatusCode.UNAUTHENTICATED
    stream.cancel()


@pytest.mark.parametrize("claimed", [False, True], ids=["available", "active"])
async def test_a_partner_interrupts_whatever_goes_on(partner, claimed) -> None:
    info = await partner.on_ticket()
    token = await partner.authenticate(info.authentication_token) if claimed else info.authentication_token
    found = await partner.interrupt(info.id)
    assert (found.id, found.state, found.authentication_token) == (info.id, "interrupted", "")
    assert found.created_at == info.created_at
    assert await partner.state(info.id) == "interrupted"
    session, monitor = partner.caller.session, partner.caller.connectionMonitor
    for call in (
        session.authenticate(NOTHING, metadata=bearer(token)),
        session.assertAuthenticationPossible(NOTHING, metadata=bearer(token)),
        session.finish(SUCCESS, metadata=bearer(token)),
        monitor.getConnectorInformation(NOTHING, metadata=bearer(token)),
    ):
        assert await refused(call) is grpc.StatusCode.UNAUTHENTICATED


async def test_an_interruption_ends_the_streams(partner) -> None:
    info = await partner.on_ticket()
    metadata = bearer(await partner.authenticate(info.authentication_token))
    streams = (
        partner.caller.connectionMonitor.openConnectorInformationStream(NOTHING, metadata=metadata),
        partner.caller.terminal15.openTerminal15Stream(NOTHING, metadata=metadata),
    )
    for stream in streams:
        await stream.read()
    await partner.interrupt(info.id)
    for stream in streams:
        async with asyncio.timeout(SOON):
            with pytest.raises(aio.AioRpcError) as error:
                while True:
                    await stream.read()
        assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "interrupted" in error.value.details()


@pytest.mark.parametrize("end", ["finish", "interrupt"])
async def test_what_is_over_cannot_be_interrupted(partner, end) -> None:
    info = await partner.on_ticket()
    if end == "finish":
        await partner.finish(info.authentication_token)
    else:
        await partner.interrupt(info.id)
    assert await refused(partner.interrupt(info.id)) is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_session_that_a_gateway_has_left_behind_is_failed(tmp_path, open_bench, come) -> None:
    state = str(tmp_path / "state.sqlite")
    async with Bench(state=state) as bench:
        partner = await come(bench)
        lost, done = await partner.on_ticket(), await partner.on_ticket()
        await partner.finish(done.authentication_token)
    again = await come(await open_bench(state=state))
    assert sorted(await again.list()) == sorted([(done.id, "finished"), (lost.id, "failed")])
    assert await refused(again.interrupt(lost.id)) is grpc.StatusCode.FAILED_PRECONDITION


# Looking at it


async def test_an_available_session_can_be_claimed_by_whoever_looks_it_up(partner) -> None:
    info = await partner.on_ticket()
    looked_up = await partner.get(info.id)
    assert looked_up.authentication_token not in ("", info.authentication_token)
    token = await partner.authenticate(looked_up.authentication_token)
    assert (await partner.get(info.id)).authentication_token == ""
    assert await refused(partner.authenticate(info.authentication_token)) is grpc.StatusCode.UNAUTHENTICATED
    await partner.finish(token)
    assert (await partner.get(info.id)).authentication_token == ""


@pytest.mark.parametrize("session_id", ["", "1", "de9622e9-0a70-4232-a3e1-8314ed329a20", "x" * 10_000])
async def test_a_session_that_there_never_was(partner, session_id) -> None:
    assert await refused(partner.get(session_id)) is grpc.StatusCode.NOT_FOUND
    assert await refused(partner.interrupt(session_id)) is grpc.StatusCode.NOT_FOUND


async def test_partners_see_their_own_sessions_only(open_bench, come) -> None:
    bench = await open_bench(
        partner=tuple(
            PartnerSettings(client_id=f"{name}-client", client_secret=f"{name}-secret") for name in ("one", "two")
        )
    )
    one, two = await come(bench, "one"), await come(bench, "two")
    info = await one.on_ticket()
    assert await two.list() == []
    assert await refused(two.get(info.id)) is grpc.StatusCode.NOT_FOUND
    assert await refused(two.interrupt(info.id)) is grpc.StatusCode.NOT_FOUND
    assert await one.state(info.id) == "available"
    # But whoever is given the session's token has the session.
    assert await two.authenticate(info.authentication_token)


# Who is a partner


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": "bench-clien"},
        {"client_secret": ""},
        {"client_secret": "bench-secret "},
        {"client_secret": "bänch-secret"},
        {"cluster_id": "002"},
        {"cluster_id": ""},
    ],
)
async def test_wrong_credentials_are_refused_and_not_told_which(bench, join, wrong) -> None:
    caller = await join(bench)
    right = {"client_id": "bench-client", "client_secret": "bench-secret", "cluster_id": "001"}
    error = await refusal(caller.sessionController.getSessionControllerToken(Authenticate(**right | wrong)))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert error.details() == "wrong client id, client secret or cluster id"


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", ""),),
        (("authorization", "Bearer "),),
        (("authorization", "Bearer nonsense"),),
        (("authorization", "Basic dXNlcjpwYXNz"),),
        (("authorization", "Bearer a"), ("authorization", "Bearer b")),
    ],
)
async def test_without_a_controller_token_there_is_nothing(partner, metadata) -> None:
    partner.metadata = metadata
    for call in (partner.on_ticket(), partner.on_connector(), partner.get("1"), partner.interrupt("1"), partner.list()):
        assert await refused(call) is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_written_in_any_case(partner, scheme) -> None:
    ((_, value),) = partner.metadata
    partner.metadata = (("authorization", value.replace("Bearer", scheme)),)
    assert await partner.list() == []


async def test_tokens_of_sessions_are_none_of_partners(partner) -> None:
    info = await partner.on_ticket()
    waiting = await partner.on_ticket()
    session_token = await partner.authenticate(info.authentication_token)
    for token in (waiting.authentication_token, session_token):
        partner.metadata = bearer(token)
        error = await refusal(partner.get(info.id))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert "takes the session controller token" in error.details()


async def test_a_controller_token_runs_out_and_another_does_not_replace_it(open_bench, come) -> None:
    bench = await open_bench(controller_token_life=100.0)
    now = bench.gateway.core.clock()
    bench.gateway.core.clock = lambda: now
    first = await come(bench)
    now += 60.0
    second = await come(bench)
    now += 39.9
    assert await first.list() == await second.list() == []
    now += 0.1
    assert "has run out" in (await refusal(first.list())).details()
    assert await second.list() == []
    now += 60.0
    assert await refused(second.list()) is grpc.StatusCode.UNAUTHENTICATED


async def test_an_authentication_token_runs_out(open_bench, come) -> None:
    bench = await open_bench(session_token_life=300.0)
    now = bench.gateway.core.clock()
    bench.gateway.core.clock = lambda: now
    partner = await come(bench)
    info = await partner.on_ticket()
    now += 300.0
    assert await refused(partner.authenticate(info.authentication_token)) is grpc.StatusCode.UNAUTHENTICATED
    assert await partner.authenticate((await partner.get(info.id)).authentication_token)
