"""What partners share, none of them takes from another one: over real gRPC."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from grpc import aio

from bridge.config import PartnerSettings
from bridge.gateway import tokens
from bridge.openobd.messages import EmptyMessage, ServiceResult, TicketId

from .bench import SOON, bearer

GREEDY, MODEST = (PartnerSettings(client_id=name, client_secret=f"{name}'s secret") for name in ("greedy", "modest"))


async def refused(call: aio.Call) -> grpc.StatusCode:
    with pytest.raises(aio.AioRpcError) as error:
        await call
    return error.value.code()


async def test_a_partner_with_too_many_tokens_holds_up_nobody_else_and_loses_nothing(
    open_bench, join, monkeypatch
) -> None:
    monkeypatch.setattr(tokens, "TOKENS_LIMIT", 30)
    bench = await open_bench(partner=(GREEDY, MODEST))
    greedy, modest = await join(bench), await join(bench)
    one, other = [
        bearer(await caller.log_in(partner.client_id, partner.client_secret))
        for caller, partner in ((greedy, GREEDY), (modest, MODEST))
    ]
    start = greedy.sessionController.startSessionOnTicket
    running = bearer((await start(TicketId(value="1"), metadata=one)).authentication_token)
    spare = bearer((await start(TicketId(value="1"), metadata=one)).authentication_token)
    context = await greedy.function.startFunctionContext(EmptyMessage(), metadata=running)
    monitor = greedy.function.monitorFunctionContext(context, metadata=bearer(context.monitor_token))
    await monitor.initial_metadata()
    launcher = await greedy.session.authenticate(EmptyMessage(), metadata=bearer(context.authentication_token))
    with pytest.raises(aio.AioRpcError) as error:
        while True:
            await start(TicketId(value="1"), metadata=one)
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

    # What is refused has not happened.
    status = await refused(greedy.function.startFunctionContext(EmptyMessage(), metadata=spare))
    assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
    await greedy.session.authenticate(EmptyMessage(), metadata=spare)
    # What is under way goes on and ends.
    await greedy.session.finish(ServiceResult(), metadata=bearer(launcher.value))
    last = await asyncio.wait_for(monitor.read(), SOON)
    assert last.finished
    await greedy.session.finish(ServiceResult(), metadata=bearer(last.authentication_token))
    # The other partner notices nothing.
    session = await modest.sessionController.startSessionOnTicket(TicketId(value="1"), metadata=other)
    inner = await modest.function.startFunctionContext(EmptyMessage(), metadata=bearer(session.authentication_token))
    await modest.session.authenticate(EmptyMessage(), metadata=bearer(inner.authentication_token))
