"""The processes of these tests: the daemon, and the client's own tools, each with what it prints line by line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 60.0  #: s that anything here may take on a busy machine

Found = Callable[[list[str]], bool]


class Process:
    """A child process. Its standard output is read as it comes, so that it never blocks."""

    def __init__(
        self, command: Sequence[str | Path], environment: Mapping[str, str], cwd: Path, *, join_errors: bool = False
    ) -> None:
        """Start it. With `join_errors` its standard error is among the lines."""
        self.command = [str(word) for word in command]
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        self._popen = subprocess.Popen(
            self.command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if join_errors else self._errors,
            text=True,
            env=dict(environment),
            cwd=cwd,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as stream:
            for line in stream:
                with self._changed:
                    self.lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def errors(self) -> str:
        """Standard error so far."""
        # Not by seek: the child's writes go where this file's position is.
        return os.pread(self._errors.fileno(), 1 << 20, 0).decode(errors="replace")

    def wait_for(self, found: Found, what: str, timeout: float = TIMEOUT) -> list[str]:
        """The lines, as soon as they satisfy `found`."""
        with self._changed:
            self._changed.wait_for(lambda: found(self.lines) or self._ended, timeout)
            lines = list(self.lines)
        assert found(lines), f"{what} did not come from {self}"
        return lines

    def finish(self, status: int | None = 0, timeout: float = TIMEOUT) -> list[str]:
        """All lines, when the process has ended by itself, with this status if one is given."""
        try:
            returned = self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError(f"does not end: {self}") from None
        self._reader.join(timeout)
        text = str(self)
        self.stop()
        assert status is None or returned == status, text
        return self.lines

    def send_signal(self, number: int) -> None:
        """Send a signal, and see what comes of it."""
        self._popen.send_signal(number)

    def terminate(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; the exit status."""
        self._popen.send_signal(number)
        return self._popen.wait(TIMEOUT)

    def stop(self) -> None:
        """End it whatever it does, and release what it has. Calling it twice is fine."""
        if self._popen.poll() is None:
            self._popen.kill()
            self._popen.wait()
        self._reader.join(TIMEOUT)
        self._errors.close()

    def __str__(self) -> str:
        errors = "" if self._errors.closed else self.errors
        status = f"exit status {self._popen.poll()}"
        return "\n".join((" ".join(self.command), status, "stdout:", *self.lines[-40:], "stderr:", errors[-4000:]))


class Daemon(Process):
    """`python -m bridge run` with pseudo-terminals and one TCP port, ready."""

    def __init__(self, directory: Path, arguments: Sequence[str | Path], ptys: Sequence[str]) -> None:
        """Start it. `ptys` has an entry for each terminal: "" or the options of its listen URL."""
        self.ptys = [directory / f"vi{number}" for number in range(len(ptys))]
        listen = [f"pty:{link}{options}" for link, options in zip(self.ptys, ptys, strict=True)]
        urls = [word for url in (*listen, "tcp://127.0.0.1:0") for word in ("--listen", url)]
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("OPENXC_BRIDGE_", "CAN_"))
        }
        command = [sys.executable, "-m", "bridge", "run", *arguments, *urls]
        super().__init__(command, {**environment, "PYTHONPATH": str(ROOT)}, directory)
        try:
            lines = self.wait_for(self._is_ready, "the addresses that the daemon serves")
        except AssertionError:
            self.stop()
            raise
        match = re.search(r"tcp://127\.0\.0\.1:(\d+)", "\n".join(lines))
        assert match is not None
        self.port = int(match[1])

    def _is_ready(self, lines: list[str]) -> bool:
        text = "\n".join(lines) + "\n"
        return "tcp://127.0.0.1:" in text and all(
            re.search(rf"pty:{re.escape(str(link))}\W", text) for link in self.ptys
        )

    def end(self) -> None:
        """End it as a user does, and see that it leaves nothing."""
        status = self.terminate()
        text = str(self)
        assert status == 0, text
        assert not [link for link in self.ptys if os.path.lexists(link)]
        assert "Traceback" not in text
