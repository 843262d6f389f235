"""What every verb does where its output, or its own words, cannot be written as they are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.cli.main import main
from tests.cli.conftest import PATIENCE

FULL = "openxc-bridge: cannot write: No space left on device\n"


def shell(redirected, *arguments):
    """A verb with its streams redirected by a shell: its exit status and what is on stderr."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}  # users have none
    done = subprocess.run(
        ["/bin/sh", "-c", f'"$@" {redirected}', "sh", sys.executable, "-m", "bridge", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--version"], ["--help"], ["profile", "show", "demo"], ["run", "--listen", "tcp://127.0.0.1:0"]],
    ids=lambda arguments: arguments[0],
)
def test_a_full_disk_is_told_in_one_line(arguments):
    assert shell(">/dev/full", *arguments) == (1, FULL)


def test_a_full_disk_while_a_bridge_says_something(vehicle):
    url = vehicle.urls["tcp"]
    assert shell(">/dev/full", "dump", url) == (1, FULL)
    assert shell(">/dev/full", "command", "--url", url, "version") == (1, FULL)


@pytest.mark.parametrize("redirected", [">&-", ">&- <&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_are_no_trouble(redirected):
    assert shell(redirected, "--version") == (0, "")
    assert shell(redirected, "profile", "check", "demo") == (0, "")


def test_an_error_that_nobody_can_be_told_is_an_exit_status():
    for redirected in ("2>&-", "2>/dev/full"):
        assert shell(redirected, "run", "--profile", "no-such-profile") == (1, "")
    assert shell("2>&-", "run", "--no-such-option") == (2, "")


def test_a_path_that_is_no_text_is_printed_as_it_is(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff"
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge", "run", "--bus", "virtual", "--listen", b"unix:" + path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    printed = b"".join(process.stdout.readline() for _ in range(3))
    process.terminate()
    assert process.communicate(timeout=PATIENCE)[1] == b""
    assert b"unix:" + path in printed


def test_a_daemon_without_streams_serves_and_writes_its_log_to_no_client(tmp_path):
    path = tmp_path / "s"
    process = subprocess.Popen(
        ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "bridge", "run", "--bus", "virtual",
         "--listen", f"unix:{path}"],
    )  # fmt: skip
    try:
        while not path.is_socket():
            assert process.poll() is None
        assert main(["command", "--url", f"unix:{path}", "version"]) == 0
        for number in range(3):
            assert Path(f"/proc/{process.pid}/fd/{number}").readlink() == Path(os.devnull)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["run", "--listen", "foo\nbar"], r"foo\nbar"),
        (["run", "--bus", "foo\x1b[31m"], r"foo\x1b[31m"),
        (["run", "--profile", "a\udcff"], r"a\udcff"),
        (["dump", "foo\nbar"], r"foo\nbar"),
        (["dump", "--id", "1\n2"], r"1\n2"),
        (["command", "foo\nbar"], r"foo\nbar"),
    ],
)
def test_what_is_refused_is_quoted_on_one_line(capfd, arguments, shown):
    try:
        assert main(arguments)
    except SystemExit as exit_:
        assert exit_.code == 2
    errors = capfd.readouterr().err
    assert shown in errors.splitlines()[-1]
    assert errors.isascii() and "\x1b" not in errors
    assert arguments[0] != "run" or errors.count("\n") == 1


def test_a_key_of_the_configuration_is_quoted_on_one_line(capfd, tmp_path):
    (tmp_path / "bridge.toml").write_text('"a\\nb" = 1\n')
    assert main(["run", "-f", str(tmp_path / "bridge.toml")]) == 1
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1
    assert r'unknown key "a\nb"' in errors
