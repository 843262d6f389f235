"""The daemon's log, which nobody may have to read for apps to be served."""

from __future__ import annotations

import fcntl
import os
import signal

import pytest

from bridge.openxc.messages import SimpleMessage

from .harness import Daemon, connect

VISITS = 400  #: each has a line when it comes and one when it goes


@pytest.fixture
def unread():
    """The writing end of a small pipe that nobody reads."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    yield writing
    os.close(reading)
    os.close(writing)


@pytest.fixture
def unread_daemon(tmp_path, unread):
    daemon = Daemon(tmp_path, "--listen", "tcp://127.0.0.1:0", log=unread)
    yield daemon
    daemon.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_log_that_nobody_reads_freezes_nobody(unread_daemon, join, number):
    """As on a terminal after Ctrl-S, or through a pager."""
    app = await join(unread_daemon.url)
    for _ in range(VISITS):
        connect(unread_daemon.url).close()
    assert (await app.ask("version")).status
    for _ in range(50):
        assert await app.find(lambda record: isinstance(record, SimpleMessage))
    status, seconds = unread_daemon.end(number)
    assert status == 0
    assert seconds < 2.5
