"""What blocks, in a thread: nothing that it made is left behind, whenever its caller is cancelled."""

from __future__ import annotations

import asyncio
import threading

import pytest

from bridge.in_thread import in_thread

PATIENCE = 20.0


async def test_a_result_is_discarded_where_its_caller_is_cancelled_before_it_is_there() -> None:
    go, discarded = threading.Event(), asyncio.Queue[str]()
    loop = asyncio.get_running_loop()

    def slow() -> str:
        go.wait(PATIENCE)
        return "made"

    task = asyncio.create_task(in_thread(slow, lambda made: loop.call_soon_threadsafe(discarded.put_nowait, made)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    assert await asyncio.wait_for(discarded.get(), PATIENCE) == "made"


async def test_a_result_is_discarded_where_its_caller_is_cancelled_in_the_turn_that_brings_it() -> None:
    discarded = asyncio.Queue[str]()
    loop = asyncio.get_running_loop()
    made = threading.Event()

    def quick() -> str:
        made.set()
        return "made"

    task = asyncio.create_task(in_thread(quick, lambda made: loop.call_soon_threadsafe(discarded.put_nowait, made)))
    await asyncio.sleep(0)
    made.wait(PATIENCE)
    for thread in threading.enumerate():
        if thread.name == "blocks for in_thread":
            thread.join(PATIENCE)  # it has told the loop
    loop.call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.wait_for(discarded.get(), PATIENCE) == "made"
