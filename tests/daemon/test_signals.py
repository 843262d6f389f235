"""Which signals end the daemon, and that they do so in good order."""

from __future__ import annotations

import signal
import time

import pytest


def test_the_end_of_the_terminal_is_an_end_in_good_order(start, hangup, tmp_path):
    """A closed window or a dropped ssh connection must not leave links, or remote sessions, behind."""
    hangup(signal.SIG_DFL)
    daemon = start("--listen", f"unix:{tmp_path}/s", "--listen", f"pty:{tmp_path}/vi")
    status, seconds = daemon.end(signal.SIGHUP)
    assert status == 0, daemon.errors
    assert seconds < 2
    assert not list(tmp_path.glob("vi")) and not list(tmp_path.glob("s"))


async def test_with_nohup_it_outlives_the_terminal(start, hangup, join):
    hangup(signal.SIG_IGN)
    daemon = start()
    daemon.process.send_signal(signal.SIGHUP)
    assert (await (await join(daemon.url)).ask("version")).status
    assert daemon.end()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_until_the_process_is_gone_do_not_change_its_exit_status(start, number):
    """What is left to do after the end in good order takes a moment, too."""
    daemon = start()
    while daemon.running:
        daemon.process.send_signal(number)
        time.sleep(0.002)
    assert daemon.process.returncode == 0
    assert "Traceback" not in daemon.errors
