"""A daemon that has no descriptor left for one more app."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from pathlib import Path

import pytest

from bridge.limits import CLIENTS_LIMIT

from .harness import connect

OPEN_FILES = resource.RLIMIT_NOFILE


@pytest.fixture
def few_files():
    """Have what is started meanwhile begin with a low limit, which it may raise."""
    before = resource.getrlimit(OPEN_FILES)
    resource.setrlimit(OPEN_FILES, (128, before[1]))
    yield
    resource.setrlimit(OPEN_FILES, before)


def leave_room(pid, files):
    """Allow a process so many files more than it has open."""
    used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, OPEN_FILES, (used + files, resource.prlimit(pid, OPEN_FILES)[1]))


def test_the_limit_is_raised_to_what_the_apps_need(few_files, start):
    daemon = start()
    assert resource.prlimit(daemon.process.pid, OPEN_FILES)[0] > CLIENTS_LIMIT
    assert daemon.errors == ""


async def test_without_descriptors_the_apps_that_are_there_are_served_and_the_log_is_short(start, join):
    daemon = start("--bus", "virtual")
    app = await join(daemon.url)
    leave_room(daemon.process.pid, 4)
    with contextlib.ExitStack() as visitors:
        for _ in range(20):
            visitors.enter_context(connect(daemon.url))
        for _ in range(15):
            assert (await app.ask("version")).status
            await asyncio.sleep(0.1)
        lines = [line for line in daemon.errors.splitlines() if "connected" not in line]
    assert 1 <= len(lines) <= 3, daemon.errors
    assert all("no more apps can connect for now" in line for line in lines)
    late = await join(daemon.url)  # there is room again
    assert (await late.ask("version")).status
