"""A gateway for a test, and callers of it."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from .bench import Bench, Caller


@pytest.fixture
async def open_bench():
    """Open benches with settings of their own; they end with the test."""
    async with AsyncExitStack() as stack:

        async def open_bench(**settings) -> Bench:
            return await stack.enter_async_context(Bench(**settings))

        yield open_bench


@pytest.fixture
async def bench(open_bench) -> Bench:
    return await open_bench()


@pytest.fixture
async def join():
    """Connect callers to a bench; they leave with the test."""
    async with AsyncExitStack() as stack:

        async def join(bench: Bench) -> Caller:
            return await stack.enter_async_context(bench.caller())

        yield join


@pytest.fixture
async def caller(bench, join) -> Caller:
    """A caller of the bench with a claimed session."""
    caller = await join(bench)
    await caller.active_session()
    return caller
