"""Who may call what: every method with every kind of token, over real gRPC.

The table says what openOBD's documents say; a method that it leaves out makes the test fail.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import grpc
import pytest
from grpc import aio

from bridge.config import ConnectionSettings, EcuSettings, VehicleSettings
from bridge.gateway.services import function
from bridge.gateway.tokens import TokenKind
from bridge.openobd import services
from bridge.openobd.messages import Authenticate, ContextType, EmptyMessage, SessionInfo, TicketId, Variable

from .bench import SOON, Bench, Caller, bearer

A, S = TokenKind.AUTHENTICATION, TokenKind.SESSION
C, B, M = TokenKind.CONTROLLER, TokenKind.BROKER, TokenKind.MONITOR

#: What each method takes; nothing: it is called without a token.
TAKES: dict[str, set[TokenKind]] = {
    "session/authenticate": {A},
    "session/assertAuthenticationPossible": {A, S},
    "session/openSessionTokenStream": {S},
    "session/finish": {A, S},
    "function/monitorFunctionContext": {M},
    "functionBroker/getFunctionBrokerToken": set(),
    "sessionController/getSessionControllerToken": set(),
}
#: And those of a service that are not named above.
SERVICE_TAKES: dict[str, set[TokenKind]] = {
    "function": {A, S},
    "functionBroker": {B},
    "sessionController": {C},
    "can": {S},
    "config": {S},
    "connectionMonitor": {S},
    "doip": {S},
    "kline": {S},
    "logging": {S},
    "productInfo": {S},
    "terminal15": {S},
    "ticketInfo": {S},
    "userInterface": {S},
    "vehicleInfo": {S},
}


@dataclass(frozen=True)
class Method:
    """One method of the protocol."""

    service: str
    name: str
    kind: str  #: as gRPC's channels call it, such as unary_stream

    def __str__(self) -> str:
        return f"{self.service}/{self.name}"

    @property
    def takes(self) -> set[TokenKind]:
        found = TAKES.get(str(self))
        return SERVICE_TAKES[self.service] if found is None else found


class Catalogue:
    """In place of a server: it writes down what methods there are."""

    def __init__(self) -> None:
        self.methods: list[Method] = []
        for name in dir(services):
            if name.startswith("add_"):
                servicer = getattr(services, name.removeprefix("add_").removesuffix("_to_server"))
                getattr(services, name)(servicer(), self)

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        pass

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler]) -> None:
        for name, handler in handlers.items():
            sides = (handler.request_streaming, handler.response_streaming)
            kind = "_".join("stream" if streaming else "unary" for streaming in sides)
            self.methods.append(Method(service.removeprefix("openOBD.v1."), name, kind))


METHODS = Catalogue().methods


def test_all_methods_are_looked_at() -> None:
    assert len(METHODS) == 45
    assert {method.service for method in METHODS} == SERVICE_TAKES.keys() | {"session"}
    assert TAKES.keys() <= {str(method) for method in METHODS}


async def status(bench: Bench, caller: Caller, method: Method, metadata: object) -> grpc.StatusCode:
    """How a method called with an empty message is answered; a stream is ended by the end of all sessions."""
    requests = () if method.kind.startswith("stream") else b""
    call = getattr(caller.channel, method.kind)(f"/openOBD.v1.{method}")(requests, metadata=metadata)
    async with asyncio.timeout(SOON):
        await call.initial_metadata()
        bench.gateway.core.sessions.end_all()
        if method.kind.endswith("stream"):
            with suppress(aio.AioRpcError):
                while await call.read() is not aio.EOF:
                    pass
        return await call.code()


async def tokens_of_all_kinds(caller: Caller, kind: TokenKind) -> dict[TokenKind, str]:
    """Tokens of one caller; the session's is available if a token of `kind` has to find it so, else active."""
    info = await caller.start_session()
    found = {A: info.authentication_token}
    credentials = Authenticate(client_id="bench-client", client_secret="bench-secret", cluster_id="001")
    found[C] = (await caller.sessionController.getSessionControllerToken(credentials)).value
    found[B] = (await caller.functionBroker.getFunctionBrokerToken(credentials)).value
    if kind is S:
        found[S] = (await caller.session.authenticate(EmptyMessage(), metadata=caller.metadata)).value
    if kind is M:
        found[M] = (await caller.function.startFunctionContext(EmptyMessage(), metadata=caller.metadata)).monitor_token
    return found


@pytest.fixture
async def bench(open_bench, monkeypatch) -> Bench:
    """One that need not ask its vehicle anything."""
    monkeypatch.setattr(function, "FINAL_MESSAGE_GRACE", 0.0)
    known = ConnectionSettings(
        vehicle=VehicleSettings(vin="0XCBRDGE0R0000042"), ecu=(EcuSettings(bus=1, request_id=0x7E0, response_id=0x7E8),)
    )
    return await open_bench(connection=(known,))


@pytest.mark.parametrize("method", METHODS, ids=str)
async def test_a_method_takes_the_tokens_that_it_is_for_and_no_others(bench, join, method) -> None:
    caller = await join(bench)
    for kind in TokenKind:
        token = (await tokens_of_all_kinds(caller, kind))[kind]
        answer = await status(bench, caller, method, bearer(token))
        refused = method.takes and kind not in method.takes
        if method.takes:
            assert (answer is grpc.StatusCode.UNAUTHENTICATED) == refused, (kind, answer)
        assert answer not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
    for metadata in (
        (),
        bearer(""),
        bearer("x" * 43),
        bearer(token[:-1]),
        bearer(token + "x"),
        bearer(token + "," + token),
        (("authorization", token),),
        (("authorization", f"Basic {token}"),),
        (*bearer(token), *bearer(token)),
        (("authorization-bin", token.encode()),),
    ):
        if method.takes:
            assert await status(bench, caller, method, metadata) is grpc.StatusCode.UNAUTHENTICATED, metadata


@pytest.mark.parametrize(
    ("kind", "life"),
    [(C, 5400.0), (B, 300.0), (A, 300.0), (S, 300.0), (M, 300.0)],
)
async def test_a_token_lives_to_the_second(bench, join, kind, life) -> None:
    caller = await join(bench)
    now = 1000.0
    bench.gateway.core.clock = lambda: now
    method = next(one for one in METHODS if one.takes == {kind} or (kind is A and one.name == "getVariableList"))
    for age, holds in ((life - 1.0, True), (life + 1.0, False)):
        token = (await tokens_of_all_kinds(caller, kind))[kind]
        now += age
        answer = await status(bench, caller, method, bearer(token))
        assert (answer is not grpc.StatusCode.UNAUTHENTICATED) == holds


@dataclass
class Owned:
    """A session as its tokens show it."""

    info: SessionInfo
    ticket: str
    tokens: list[str]


async def own(bench: Bench, caller: Caller, number: int) -> Owned:
    info = await caller.start_session(ticket=str(number))
    variable = Variable(type=ContextType.GLOBAL_CONTEXT, key="whose", value=info.id)
    await caller.function.setVariable(variable, metadata=caller.metadata)
    found = [caller.token]
    if number % 2:
        found.append((await caller.session.authenticate(EmptyMessage(), metadata=caller.metadata)).value)
    inner = await caller.function.startFunctionContext(EmptyMessage(), metadata=bearer(found[-1]))
    found += [inner.monitor_token, inner.authentication_token]
    if number % 3 == 0:
        found.append((await caller.session.authenticate(EmptyMessage(), metadata=bearer(found[-1]))).value)
    return Owned(info, str(number), found)


async def test_no_token_opens_another_session_over_the_wire(bench, join) -> None:
    """Ten thousand random calls with tokens of every kind, whole and changed, of sessions that all live."""
    chance = random.Random(44)
    callers = [await join(bench) for _ in range(4)]
    owned = [await own(bench, callers[number % 4], number) for number in range(40)]
    by_token = {token: one for one in owned for token in one.tokens}
    partner = await callers[0].log_in()
    everything = [*by_token, partner]
    opened = refused = 0

    async def probe(caller: Caller) -> None:
        nonlocal opened, refused
        token = chance.choice(everything)
        if chance.random() < 0.1:
            place = chance.randrange(len(token))
            token = token[:place] + chance.choice("-_azAZ09") + token[place + 1 :]
        one = by_token.get(token)
        try:
            if chance.random() < 0.5:
                asked = Variable(type=ContextType.GLOBAL_CONTEXT, key="whose")
                whose = (await caller.function.getVariable(asked, metadata=bearer(token))).value
                assert one is not None
                assert whose == one.info.id
            else:
                ticket = (await caller.ticketInfo.getTicketDetails(EmptyMessage(), metadata=bearer(token))).id
                assert one is not None
                assert ticket == one.ticket
            opened += 1
        except aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED
            refused += 1

    for _ in range(250):
        await asyncio.gather(*(probe(caller) for caller in callers for _ in range(10)))
    assert opened + refused == 10_000
    assert min(opened, refused) > 1000
    start = callers[0].sessionController.startSessionOnTicket
    assert (await start(TicketId(value="1"), metadata=bearer(partner))).id not in [one.info.id for one in owned]
