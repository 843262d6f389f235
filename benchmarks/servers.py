"""Servers as processes, measured from outside: the bridge, and the obvious bridge beside it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measuring import PROJECT

TIMEOUT = 60.0  #: seconds for a server to start or to end; far beyond what it takes

TICK = 1 / os.sysconf("SC_CLK_TCK")  #: seconds; the grain of cpu_seconds()
_PAGE = os.sysconf("SC_PAGE_SIZE")
_ADDRESS = re.compile(rb"(?:tcp://|connect to )127\.0\.0\.1:(\d+)")


class Server:
    """A process that prints the address at which it serves."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdout is not None
        for line in process.stdout:
            if match := _ADDRESS.search(line):
                self.port = int(match[1])
                return
        raise RuntimeError(f"{' '.join(process.args)} ended before it served")

    def cpu_seconds(self) -> float:
        """User and system time of all its threads so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK

    def resident(self) -> int:
        """Its resident memory in bytes."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * _PAGE


@contextmanager
def serving(*arguments: str) -> Iterator[Server]:
    """A Python program as a server; what it says on stderr is shown if it fails.

    Args:
        arguments: for the interpreter, beginning with `-m MODULE`.
    """
    # The settings of whoever runs the benchmark must not count.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OPENXC_", "CAN_"))}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        try:
            yield Server(process)
        except BaseException:
            errors.seek(0)
            sys.stderr.buffer.write(errors.read())
            raise
        finally:
            _end(process)


def bridge_arguments(buses: Sequence[str], *more: str, listen: Sequence[str] = ("tcp://127.0.0.1:0",)) -> list[str]:
    """`openxc-bridge run` with these buses, on a free port; without `listen` the settings say where apps connect."""
    arguments = ["-m", "bridge", "run", *more]
    for url in listen:
        arguments += ["--listen", url]
    for bus in buses:
        arguments += ["--bus", bus]
    return arguments


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def deadline(seconds: float = TIMEOUT) -> float:
    """The moment, on the monotonic clock, at which something has hung."""
    return time.monotonic() + seconds
