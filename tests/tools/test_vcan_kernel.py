"""tools/vcan-kernel from outside: what goes in and out of its guest, and that nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "vcan-kernel"
SOON = 60.0  #: seconds; far beyond what a guest takes to boot


@pytest.fixture(scope="module")
def guest() -> None:
    done = subprocess.run(
        [sys.executable, TOOL, "--way", "guest", "--check"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(done.stderr.strip())


@contextmanager
def running(folder: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """The tool with these words, in a temporary directory that shows what it leaves behind."""
    temporary = folder / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, TOOL, "--way", "guest", *words],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
        process.communicate(timeout=SOON)
    finally:
        process.kill()
        process.communicate()
    deadline = time.monotonic() + SOON  # what a killed one leaves, its keeper removes
    while list(temporary.iterdir()) or guests(temporary):
        assert time.monotonic() < deadline, f"left behind: {list(temporary.iterdir())} {guests(temporary)}"
        time.sleep(0.05)


def guests(temporary: Path) -> list[str]:
    """Processes whose command line names the temporary directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(temporary).encode() in (process / "cmdline").read_bytes():
                found.append(process.name)
        except OSError:
            continue  # it has just ended
    return found


def read_until(process: subprocess.Popen[bytes], text: bytes) -> None:
    assert process.stdout is not None
    read = b""
    while text not in read:
        chunk = os.read(process.stdout.fileno(), 4096)
        assert chunk, f"it has ended after {read!r}"
        read += chunk


@pytest.mark.usefixtures("guest")
def test_everything_goes_in_and_comes_out(tmp_path):
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    script = 'sha256sum; pwd; echo "$1" >"a file"; cat /sys/class/net/vcan0/mtu; echo "$VCAN_KERNEL" >&2; exit 7'
    given = os.urandom(100_000)
    with running(folder, "sh", "-c", script, "sh", "an  argument") as process:
        output, errors = process.communicate(given, SOON)
    digest = subprocess.run(["sha256sum"], input=given, capture_output=True, check=True).stdout
    assert output == digest + f"{folder}\n72\n".encode()
    assert errors == b"guest\n"
    assert process.returncode == 7
    written = folder / "a file"
    assert written.read_text() == "an  argument\n"
    assert written.stat().st_uid == os.getuid()


@pytest.mark.usefixtures("guest")
def test_a_signal_reaches_the_command_and_output_comes_while_it_runs(tmp_path):
    with running(tmp_path, "sh", "-c", 'trap "echo so be it; exit 3" TERM; echo up; while :; do :; done') as process:
        read_until(process, b"up\n")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=SOON)
    assert output == b"so be it\n"
    assert process.returncode == 3


@pytest.mark.usefixtures("guest")
def test_what_the_command_leaves_running_ends_by_itself(tmp_path):
    """A bridge in the background removes its link."""
    left = "(trap 'rm link; exit' TERM; touch link ready; while :; do sleep 0.05; done) >/dev/null 2>&1 &"
    with running(tmp_path, "sh", "-c", f"{left} until [ -e ready ]; do sleep 0.05; done") as process:
        process.communicate(timeout=SOON)
    assert process.returncode == 0
    assert (tmp_path / "ready").exists()
    assert not (tmp_path / "link").exists()


@pytest.mark.usefixtures("guest")
def test_a_command_that_does_not_end_is_killed_in_time(tmp_path):
    with running(tmp_path, "--timeout", "1", "sh", "-c", "trap '' TERM INT; while :; do :; done") as process:
        _, errors = process.communicate(timeout=SOON)
    assert errors.splitlines()[-1] == b"vcan-kernel: killed, because it has not ended after 1 s"
    assert process.returncode == 124


@pytest.mark.usefixtures("guest")
def test_nothing_stays_behind_when_the_tool_itself_is_killed(tmp_path):
    with running(tmp_path, "sh", "-c", "echo up; while :; do :; done") as process:
        read_until(process, b"up\n")
        process.kill()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.usefixtures("guest")
def test_a_guest_that_dies_shows_its_console(tmp_path):
    with running(tmp_path, "sh", "-c", "echo c >/proc/sysrq-trigger; sleep 60") as process:
        _, errors = process.communicate(timeout=SOON)
    assert b"sysrq" in errors
    assert errors.splitlines()[-1] == b"vcan-kernel: the guest died"
    assert process.returncode == 125


@pytest.mark.parametrize("words", [[], ["--check", "true"], ["--memory", "lots", "true"], ["--timeout", "0", "true"]])
def test_a_command_line_that_makes_no_sense(words):
    done = subprocess.run([sys.executable, TOOL, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "vcan-kernel: error: " in done.stderr


def test_what_is_missing_is_said_in_one_line(tmp_path):
    environment = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, TOOL, "--way", "guest", "true"], env=environment, capture_output=True, text=True, check=False
    )
    if "no User-Mode Linux" not in done.stderr:
        pytest.skip("the tools that it needs are in a system folder here")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "apt-get install user-mode-linux" in done.stderr
