"""openOBD.v1.session: claimed once, kept by its token stream, finished."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from grpc import aio

from bridge.gateway import server
from bridge.openobd.messages import EmptyMessage, Result, ServiceResult, SessionId

from ..bench import SOON, bearer

SUCCESS = ServiceResult(result=[Result.RESULT_SUCCESS])


async def refused(call) -> grpc.StatusCode:
    """The status with which a call ends."""
    with pytest.raises(aio.AioRpcError) as error:
        await call
    return error.value.code()


async def test_a_session_is_claimed_once_and_finished(bench, join) -> None:
    caller = await join(bench)
    info = await caller.start_session()
    controller = await caller.log_in()
    caller.token = info.authentication_token
    assert info.state == "available"
    await caller.session.assertAuthenticationPossible(EmptyMessage(), metadata=caller.metadata)
    token = (await caller.session.authenticate(EmptyMessage(), metadata=caller.metadata)).value
    assert await refused(caller.session.authenticate(EmptyMessage(), metadata=caller.metadata)) is (
        grpc.StatusCode.UNAUTHENTICATED
    )
    look = SessionId(value=info.id)
    assert (await caller.sessionController.getSession(look, metadata=bearer(controller))).state == "active"
    await caller.session.finish(SUCCESS, metadata=bearer(token))
    assert (await caller.sessionController.getSession(look, metadata=bearer(controller))).state == "finished"
    assert await refused(caller.session.finish(SUCCESS, metadata=bearer(token))) is grpc.StatusCode.UNAUTHENTICATED


async def test_the_token_stream_renews_and_ends_with_the_session(open_bench, join) -> None:
    bench = await open_bench(session_token_refresh=0.05, session_token_life=10.0)
    caller = await join(bench)
    await caller.active_session()
    stream = caller.session.openSessionTokenStream(EmptyMessage(), metadata=caller.metadata)
    async with asyncio.timeout(SOON):
        tokens = [(await stream.read()).value for _ in range(3)]
        assert len({caller.token, *tokens}) == 4
        await caller.session.finish(SUCCESS, metadata=bearer(tokens[1]))
        while await stream.read() is not aio.EOF:
            pass
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_session_that_nobody_can_finish_any_more_fails_by_itself(
    open_bench, join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ABANDONED_PERIOD", 0.02)
    bench = await open_bench(session_token_refresh=0.1, session_token_life=0.2)
    caller = await join(bench)
    info = await caller.active_session()
    stream = caller.session.openSessionTokenStream(EmptyMessage(), metadata=caller.metadata)
    async with asyncio.timeout(SOON):
        for _ in range(4):
            await stream.read()
        [session] = bench.gateway.core.sessions.open
        assert session.id == info.id
        ended = asyncio.Event()
        session.root.when_ended(lambda _: ended.set())
        stream.cancel()
        await ended.wait()
    assert session.state.value == "failed"
