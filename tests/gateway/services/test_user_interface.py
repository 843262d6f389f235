"""openOBD.v1.userInterface: one control at a time, each answered, replaced or taken back."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time

import grpc
import pytest
from grpc import aio

from bridge.config import AnswerRule
from bridge.errors import ConfigurationError
from bridge.openobd.messages import (
    Control,
    EmptyMessage,
    Label,
    Numbers,
    Options,
    Result,
    ServiceResult,
    SessionId,
    YesNo,
)

from ..bench import SOON, Bench, Caller, bearer
from ..refusals import refusal, refused
from ..user_interface.person import Person

YES_NO = Control(control_yesno=YesNo(label="Is it running?"))
NUMBER = Control(control_number=Numbers(label="Which cylinder?", minimum=1, maximum=4))
RULES = (AnswerRule(label="running", answer=True), AnswerRule(label="cylinder", answer=3))


@pytest.fixture
async def automatic(open_bench) -> Bench:
    return await open_bench(ui="auto", answer=RULES)


@pytest.fixture
def person(monkeypatch):
    """Somebody at the terminal that the bridge's input comes from."""
    person = Person()
    own = os.dup(0)
    os.dup2(person.descriptor, 0)
    yield person
    os.dup2(own, 0)
    os.close(own)
    person.close()


async def show(caller: Caller) -> aio.StreamStreamCall:
    return caller.userInterface.openControlStream(metadata=caller.metadata)


async def read(stream: aio.StreamStreamCall) -> Control:
    async with asyncio.timeout(SOON):
        message = await stream.read()
    assert message is not aio.EOF, await stream.code()
    return message


async def active(bench: Bench, join) -> Caller:
    caller = await join(bench)
    await caller.active_session()
    return caller


async def test_each_control_comes_back_with_its_answer(automatic, join) -> None:
    stream = await show(await active(automatic, join))
    for control, answer in (
        (YES_NO, Control(control_yesno=YesNo(label="Is it running?", answer=True))),
        (NUMBER, Control(control_number=Numbers(label="Which cylinder?", minimum=1, maximum=4, answer=3))),
        (Control(control_label=Label(label="Thank you")),) * 2,
    ):
        await stream.write(control)
        assert await read(stream) == answer
    await stream.done_writing()
    assert await stream.read() is aio.EOF
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_label_answers_itself_when_it_was_shown_long_enough(automatic, join) -> None:
    stream = await show(await active(automatic, join))
    began = time.monotonic()
    await stream.write(Control(control_label=Label(label="Wait", minimal_display_time=1)))
    await read(stream)
    assert time.monotonic() - began >= 1.0


async def test_a_control_that_is_replaced_is_not_answered(automatic, join) -> None:
    stream = await show(await active(automatic, join))
    await stream.write(Control(control_label=Label(label="for ever", minimal_display_time=0xFFFFFFFF)))
    await stream.write(YES_NO)
    assert (await read(stream)).control_yesno.answer
    await stream.write(NUMBER)
    assert (await read(stream)).control_number.answer == 3


async def test_a_second_stream_of_the_session_takes_over(automatic, join) -> None:
    caller, other = await active(automatic, join), await active(automatic, join)
    first, foreign = await show(caller), await show(other)
    await first.write(Control(control_label=Label(label="for ever", minimal_display_time=0xFFFFFFFF)))
    await foreign.write(YES_NO)
    await read(foreign)
    second = await show(caller)
    await second.write(YES_NO)
    assert (await read(second)).control_yesno.answer
    assert await refused(first.read()) is grpc.StatusCode.CANCELLED
    third = await show(caller)
    await third.write(YES_NO)
    assert (await read(third)).control_yesno.answer
    await foreign.write(NUMBER)
    assert (await read(foreign)).control_number.answer == 3


async def test_without_a_rule_the_caller_hears_what_to_write(automatic, join) -> None:
    stream = await show(await active(automatic, join))
    await stream.write(Control(control_options=Options(label="Which fuel?\x1b[2J", options=["Petrol"])))
    error = await refusal(stream.read())
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert r'"Which fuel?\x1b[2J"' in error.details()
    assert "[[gateway.answer]]" in error.details()


async def test_by_default_nobody_answers(bench, caller) -> None:
    stream = await show(caller)
    await stream.write(YES_NO)
    error = await refusal(stream.read())
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "--ui" in error.details()


@pytest.mark.parametrize("control", [Control(), Control(control_options=Options(label="none"))])
async def test_a_control_that_makes_no_sense_ends_the_stream(automatic, join, control) -> None:
    caller = await active(automatic, join)
    stream = await show(caller)
    await stream.write(control)
    assert await refused(stream.read()) is grpc.StatusCode.INVALID_ARGUMENT
    again = await show(caller)
    await again.write(YES_NO)
    assert (await read(again)).control_yesno.answer


async def test_a_fault_of_the_gateway_s_is_told_as_one(automatic, join, monkeypatch, caplog) -> None:
    async def fail(*_: object) -> Control:
        raise ZeroDivisionError

    monkeypatch.setattr("bridge.gateway.user_interface.interface.AutomaticUserInterface.show", fail)
    stream = await show(await active(automatic, join))
    await stream.write(YES_NO)
    assert await refused(stream.read()) is grpc.StatusCode.INTERNAL
    assert "ZeroDivisionError" in caplog.text


async def test_a_context_within_an_active_one_may_only_communicate(automatic, join) -> None:
    caller = await active(automatic, join)
    core = automatic.gateway.core
    session = core.sessions.open[0]
    _, _, token = core.sessions.start_context(session.root, core.clock())
    inner = await join(automatic)
    inner.token = (await inner.session.authenticate(EmptyMessage(), metadata=bearer(token))).value
    error = await refusal((await show(inner)).read())
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "may only communicate" in error.details()
    stream = await show(caller)
    await stream.write(YES_NO)
    assert (await read(stream)).control_yesno.answer


async def test_it_takes_the_session_token(automatic, join) -> None:
    caller = await join(automatic)
    await caller.start_session()
    assert await refused((await show(caller)).read()) is grpc.StatusCode.UNAUTHENTICATED


# On the bridge's terminal


async def test_the_person_at_the_bridge_answers(person, open_bench, join) -> None:
    bench = await open_bench(ui="terminal", language="EN")
    caller = await join(bench)
    info = await caller.active_session()
    stream = await show(caller)
    await stream.write(YES_NO)
    assert f"openOBD session {info.id[:8]}:" in await person.sees("yes or no? ")
    person.type("n\n")
    assert not (await read(stream)).control_yesno.answer
    await stream.write(NUMBER)
    await person.sees("1 to 4? ")
    await stream.write(YES_NO)  # in its place
    await person.sees("yes or no? ")
    person.type("y\n")
    assert (await read(stream)).control_yesno.answer


@pytest.mark.parametrize("end", ["cancel", "half-close", "finish", "interrupt", "stop"])
async def test_a_question_goes_with_its_stream(person, open_bench, join, end) -> None:
    bench = await open_bench(ui="terminal")
    caller = await join(bench)
    info = await caller.active_session()
    stream = await show(caller)
    await stream.write(YES_NO)
    await person.sees("yes or no? ")
    match end:
        case "cancel":
            stream.cancel()
        case "half-close":
            await stream.done_writing()
        case "finish":
            await caller.session.finish(ServiceResult(result=[Result.RESULT_SUCCESS]), metadata=caller.metadata)
        case "interrupt":
            controller = bearer(await caller.log_in())
            await caller.sessionController.interruptSession(SessionId(value=info.id), metadata=controller)
        case "stop":
            async with asyncio.timeout(1.0):
                await bench.gateway.stop()
    await person.sees("(withdrawn)")
    if end in ("half-close", "finish"):
        assert await stream.read() is aio.EOF
    elif end == "interrupt":
        assert await refused(stream.read()) is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_bridge_without_a_terminal_says_so_at_its_start() -> None:
    reading, writing = os.pipe()
    own = os.dup(0)
    os.dup2(reading, 0)
    try:
        with pytest.raises(ConfigurationError, match="needs a terminal"):
            Bench(ui="terminal")
    finally:
        os.dup2(own, 0)
        for descriptor in (own, reading, writing):
            os.close(descriptor)


async def test_streams_that_replace_one_another_and_are_cancelled_in_any_order(automatic, join, caplog) -> None:
    caller = await join(automatic)
    await caller.active_session()
    randomness = random.Random(1)
    for _ in range(50):
        streams = [await show(caller) for _ in range(4)]
        for stream in streams:
            await stream.write(Control(control_label=Label(label="x", minimal_display_time=5)))
        randomness.shuffle(streams)
        for stream in streams:
            stream.cancel()
            await asyncio.sleep(0)
    stream = await show(caller)
    await stream.write(YES_NO)
    assert (await read(stream)).control_yesno.answer
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
