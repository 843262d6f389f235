"""One pytest process where SocketCAN is, and the reports of its tests as they come.

This is the host's half. The other half is the plugin `inside`. It must not know what is tested.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
TOOL = PROJECT / "tools" / "vcan-kernel"

TEST_TIMEOUT = 60  #: seconds for one test in there, pytest-timeout's
SILENCE_LIMIT = 150.0  #: without a report; booting and collecting come before the first
RUN_LIMIT = 1800  #: for all of it, should nobody be left to end it
OUTPUT_SHOWN = 4000  #: characters of what it printed, for when it dies


def unavailable() -> str | None:
    """Why SocketCAN is nowhere to be had, in one line; None when it is."""
    found = subprocess.run([sys.executable, TOOL, "--check"], capture_output=True, text=True, check=False)
    return None if found.returncode == 0 else found.stderr.strip()


class Elsewhere:
    """The tests with these node ids, run in their order where SocketCAN is."""

    def __init__(self, config: pytest.Config, nodeids: list[str]) -> None:
        self._config = config
        self._folder = tempfile.TemporaryDirectory(prefix="vcan-tests.")
        folder = Path(self._folder.name)
        chosen = folder / "chosen"
        chosen.write_text("\n".join(nodeids))
        self._output = folder / "output"
        self._reports: dict[str, list[pytest.TestReport]] = {}
        self._buffer = b""
        options = [f"--tb={config.getoption('tbstyle')}", f"--color={config.getoption('color')}"]
        if config.getoption("showlocals"):
            options.append("--showlocals")
        if (verbose := config.getoption("verbose")) > 0:
            options.append(f"-{'v' * verbose}")
        with self._output.open("wb") as output:
            # Reports go to standard output, and what pytest itself has to say to standard error.
            self._process = subprocess.Popen(
                [
                    *(sys.executable, TOOL, "--timeout", str(RUN_LIMIT)),
                    *("sh", "-c", 'exec "$@" 3>&1 1>&2', "sh"),
                    *(sys.executable, "-m", "pytest", "tests/vcan", "-p", "tests.vcan.inside"),
                    *("--vcan-chosen", str(chosen), "--vcan-reports", "3", "--basetemp", str(folder / "tmp")),
                    *("-p", "no:cacheprovider", "-p", "no:xdist", "-o", f"timeout={TEST_TIMEOUT}", *options),
                ],
                cwd=config.rootpath,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
            )

    def reports(self, nodeid: str) -> list[pytest.TestReport]:
        """The reports of one test, once they are all there.

        Raises:
            EOFError: there will be none; the text says why, with what was printed.
        """
        deadline = time.monotonic() + SILENCE_LIMIT
        while not any(report.when == "teardown" for report in self._reports.get(nodeid, ())):
            if self._process.stdout is None:
                raise EOFError("it has ended before this test, see the first that failed so")
            if select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                data = os.read(self._process.stdout.fileno(), 1 << 16)
                deadline = time.monotonic() + SILENCE_LIMIT
            else:
                raise EOFError(f"no report for {SILENCE_LIMIT:g} s; it printed:\n{self._last_words()}")
            if not data:
                status = self._process.wait()
                raise EOFError(f"exit status {status}; it printed:\n{self._last_words()}")
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            for line in lines:
                self._take(json.loads(line))
        return self._reports.pop(nodeid)

    def _take(self, data: dict[str, Any]) -> None:
        if data["outcome"] == "skipped" and isinstance(data["longrepr"], list):
            data["longrepr"] = tuple(data["longrepr"])  # JSON knows no tuples, and pytest takes nothing else here
        report = self._config.hook.pytest_report_from_serializable(config=self._config, data=data)
        self._reports.setdefault(report.nodeid, []).append(report)

    def _last_words(self) -> str:
        """End it; the end of what it printed."""
        self.end()
        return self._said[-OUTPUT_SHOWN:]

    def end(self) -> int:
        """Leave no process and no file behind; its exit status."""
        if self._process.stdout is not None:
            self._process.terminate()
            self._process.stdout.close()
            self._process.stdout = None
            self._process.wait()
            self._said = self._output.read_text(errors="replace")
            self._folder.cleanup()
        return self._process.wait()
