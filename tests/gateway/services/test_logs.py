"""openOBD.v1.logging: scripts' words as lines of the bridge's log, whatever they are and however many."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest

from bridge.limits import SCRIPT_LOG_BURST, SCRIPT_LOG_LENGTH
from bridge.openobd import services
from bridge.openobd.messages import EmptyMessage, LogLevel, LogMessage, Result, ServiceResult, SessionId

from ..bench import SOON, Caller, bearer
from ..refusals import refused

LOGGER = "openobd.script"
SUCCESS = ServiceResult(result=[Result.RESULT_SUCCESS])


async def say(caller: Caller, *messages: LogMessage) -> EmptyMessage:
    async def sent() -> AsyncIterator[LogMessage]:
        for message in messages:
            yield message

    return await caller.logging.openLogStream(sent(), metadata=caller.metadata)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage().partition(": ")[2] for record in caplog.records if record.name == LOGGER]


async def heard(caller: Caller, caplog: pytest.LogCaptureFixture, line: str) -> None:
    """A line has come through, on a stream that goes on."""
    async with asyncio.timeout(SOON):
        while line not in lines(caplog):
            await caller.ticketInfo.getTicketDetails(EmptyMessage(), metadata=caller.metadata)


@pytest.fixture(autouse=True)
def everything(caplog):
    caplog.set_level(logging.DEBUG, LOGGER)


async def test_each_message_is_a_line_with_its_level_and_session(bench, join, caplog) -> None:
    caller = await join(bench)
    info = await caller.active_session()
    answer = await say(
        caller,
        LogMessage(content="reading", level=LogLevel.LOG_LEVEL_DEBUG),
        LogMessage(content="read", level=LogLevel.LOG_LEVEL_INFO),
        LogMessage(content="odd", level=LogLevel.LOG_LEVEL_WARNING),
        LogMessage(content="broken", level=LogLevel.LOG_LEVEL_ERROR),
        LogMessage(content="plain"),
        LogMessage(content="undefined", level=LogLevel.LOG_LEVEL_UNDEFINED),
        LogMessage(content="from the future", level=17),
    )
    assert answer == EmptyMessage()
    assert [(record.levelname, record.getMessage()) for record in caplog.records if record.name == LOGGER] == [
        (level, f"session {info.id[:8]}: {text}")
        for level, text in (
            ("DEBUG", "reading"),
            ("INFO", "read"),
            ("WARNING", "odd"),
            ("ERROR", "broken"),
            ("INFO", "plain"),
            ("INFO", "undefined"),
            ("INFO", "from the future"),
        )
    ]


async def test_a_line_is_a_line_whatever_it_holds(caller, caplog) -> None:
    await say(caller, LogMessage(content="\x1b[2Jred\nERROR forged: line\0"), LogMessage(content="7F" * 4000))
    assert lines(caplog) == [
        r"\x1b[2Jred\nERROR forged: line\x00",
        "7F" * (SCRIPT_LOG_LENGTH // 2) + "...",
    ]


async def test_lines_of_a_level_that_is_not_logged_take_nobody_s_room(caller, caplog) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    await say(caller, *[LogMessage(content="x", level=LogLevel.LOG_LEVEL_DEBUG)] * (SCRIPT_LOG_BURST + 50))
    await say(caller, LogMessage(content="heard"))
    assert lines(caplog) == ["heard"]


async def test_a_flood_is_cut_and_counted(open_bench, join, caplog, monkeypatch) -> None:
    now = 100.0
    bench = await open_bench()
    bench.gateway.core.clock = lambda: now
    caller = await join(bench)
    await caller.active_session()
    await say(caller, *(LogMessage(content=f"line {number}") for number in range(SCRIPT_LOG_BURST + 60)))
    assert lines(caplog)[:SCRIPT_LOG_BURST] == [f"line {number}" for number in range(SCRIPT_LOG_BURST)]
    assert lines(caplog)[SCRIPT_LOG_BURST:] == ["60 lines left out, because there were too many"]
    now += 0.125  # time for two more
    caplog.clear()
    await say(caller, *(LogMessage(content=f"late {number}") for number in range(5)))
    assert lines(caplog) == ["late 0", "late 1", "3 lines left out, because there were too many"]


async def test_streams_that_come_and_go_are_no_way_around(open_bench, join, caplog, monkeypatch) -> None:
    monkeypatch.setattr("bridge.gateway.services.logs.SCRIPTS_LOG_BURST", 30)
    bench = await open_bench()
    bench.gateway.core.clock = lambda: 100.0
    for _ in range(4):
        caller = await join(bench)
        await caller.active_session()
        for _ in range(20):
            await say(caller, LogMessage(content="again"))
    assert len(lines(caplog)) == 30


async def test_another_session_has_its_own_room(bench, caller, join, caplog) -> None:
    await say(caller, *[LogMessage(content="flood")] * (SCRIPT_LOG_BURST + 100))
    other = await join(bench)
    await other.active_session()
    caplog.clear()
    await say(other, LogMessage(content="still heard"))
    assert lines(caplog) == ["still heard"]


async def test_a_client_that_breaks_off_has_been_heard(caller, caplog) -> None:
    stream = caller.logging.openLogStream(metadata=caller.metadata)
    await stream.write(LogMessage(content="the last word"))
    await heard(caller, caplog, "the last word")
    stream.cancel()
    await say(caller, LogMessage(content="and another"))
    assert lines(caplog) == ["the last word", "and another"]


async def test_the_stream_ends_with_the_session(bench, join, caplog) -> None:
    caller = await join(bench)
    info = await caller.start_session()
    for end in ("finish", "interrupt"):
        caller.token = info.authentication_token
        caller.token = (await caller.session.authenticate(EmptyMessage(), metadata=caller.metadata)).value
        stream = caller.logging.openLogStream(metadata=caller.metadata)
        await stream.write(LogMessage(content=end))
        await heard(caller, caplog, end)
        if end == "finish":
            await caller.session.finish(SUCCESS, metadata=caller.metadata)
            assert await stream == EmptyMessage()
            info = await caller.start_session()
        else:
            controller = bearer(await caller.log_in())
            await caller.sessionController.interruptSession(SessionId(value=info.id), metadata=controller)
            assert await refused(stream) is grpc.StatusCode.FAILED_PRECONDITION


def log_and_finish(address: str, token: str, count: int) -> None:
    """Messages and their end from one thread, while another one finishes the session."""
    with grpc.insecure_channel(address) as channel:
        begun = threading.Event()

        def messages() -> Iterator[LogMessage]:
            for number in range(count):
                yield LogMessage(content=str(number))
                begun.set()

        answer = services.loggingStub(channel).openLogStream.future(messages(), metadata=bearer(token))
        assert begun.wait(SOON)
        services.sessionStub(channel).finish(SUCCESS, metadata=bearer(token))
        assert answer.result(SOON) == EmptyMessage()


async def test_the_last_words_before_the_end_are_heard(bench, caller, caplog) -> None:
    await asyncio.to_thread(log_and_finish, bench.address, caller.token, 150)
    assert lines(caplog) == [str(number) for number in range(150)]


async def test_a_finished_session_s_log_is_not_kept_open_for_long(bench, join, caplog, monkeypatch) -> None:
    monkeypatch.setattr("bridge.gateway.services.logs.LAST_WORDS_GRACE", 0.05)
    caller = await join(bench)
    await caller.active_session()
    stream = caller.logging.openLogStream(metadata=caller.metadata)
    await stream.write(LogMessage(content="on and on"))
    await caller.session.finish(SUCCESS, metadata=caller.metadata)
    async with asyncio.timeout(SOON):
        assert await stream == EmptyMessage()
    assert lines(caplog) == ["on and on"]


async def test_it_takes_the_session_token(bench, join) -> None:
    caller = await join(bench)
    await caller.start_session()
    assert await refused(say(caller)) is grpc.StatusCode.UNAUTHENTICATED
