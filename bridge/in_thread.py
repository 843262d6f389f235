"""Runs what blocks in a thread that the program can leave behind. Must not know what it runs."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")


async def in_thread(function: Callable[[], _Result], discard: Callable[[_Result], None] | None = None) -> _Result:
    """Run what blocks in a thread of its own, which holds up nothing if it never ends.

    The loop's own executor would: leaving the program waits for its threads, so a driver that
    hangs could not be left behind. `discard` gets a result that nobody waits for any more.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    results: list[_Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:  # handed to whoever waits
            errors.append(error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle)

    def settle() -> None:
        if not done.cancelled():
            done.set_result(None)
        else:
            throw_away()

    def throw_away() -> None:
        if discard is not None and results:
            threading.Thread(target=discard, args=results, daemon=True).start()

    thread = threading.Thread(target=run, name="blocks for in_thread", daemon=True)
    thread.start()
    try:
        await done
    except asyncio.CancelledError:
        if done.done() and not done.cancelled():  # settled and cancelled in one turn of the loop
            throw_away()
        raise
    thread.join()  # it has nothing left to do
    if errors:
        # Taken out of the list: the traceback holds this frame, and must not be held by it in turn,
        # or the half-open socket of a failed attempt stays open until the garbage is collected.
        raise errors.pop()
    return results[0]
