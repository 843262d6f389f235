"""The client's own virtual environment, and daemons for it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from .processes import ROOT, Daemon, Process
from .watcher import Watcher

#: The client as published. It asks for protobuf 3.17.1 itself; its pyserial (3.1.1) cannot open pseudo-terminals.
REQUIREMENTS = ("openxc==2.2.0", "pyserial==3.5", "protobuf==3.17.1")
ENVIRONMENT = ROOT / ".venv-openxc"
MARKER = ENVIRONMENT / "installed"
SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True)
class OpenXC:
    """The installed client."""

    bin: Path
    directory: Path  #: where its processes run
    started: list[Process]

    def tool(self, name: str, port: Path, *arguments: str) -> Process:
        """Start one of the client's tools on a serial port."""
        return self._start(self.bin / name, "--serial", "--serial-port", port, *arguments)

    def script(self, name: str, *arguments: str | Path) -> Process:
        """Start a script of these tests in the client's environment."""
        return self._start(self.bin / "python", SCRIPTS / name, *arguments)

    def _start(self, *command: str | Path) -> Process:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        process = Process(command, environment, self.directory)
        self.started.append(process)
        return process


StartDaemon = Callable[..., Daemon]


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep other processes out, on the directory itself."""
    directory.mkdir(exist_ok=True)
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _run(*command: str | Path) -> None:
    """Run a step of the installation; a failure skips, and says why."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        pytest.skip(f"the openxc client cannot be installed: {Path(command[0]).name} {command[-1]}: {last}")


def _install() -> None:
    _run(sys.executable, "-m", "venv", "--clear", ENVIRONMENT)
    _run(
        ENVIRONMENT / "bin" / "python",
        *("-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"),
        *REQUIREMENTS,
    )
    _run(ENVIRONMENT / "bin" / "openxc-dump", "--help")


@pytest.fixture(scope="session")
def openxc_bin() -> Path:
    """Where the client's commands are, installed on first use and kept for the next run."""
    wanted = "\n".join((*REQUIREMENTS, sys.version, sys.base_prefix, ""))
    with _locked(ENVIRONMENT):
        if not MARKER.exists() or MARKER.read_text() != wanted:
            _install()
            MARKER.write_text(wanted)
    return ENVIRONMENT / "bin"


@pytest.fixture
def openxc(openxc_bin: Path, tmp_path: Path) -> Iterator[OpenXC]:
    """The client; what a test leaves running is ended."""
    client = OpenXC(openxc_bin, tmp_path, [])
    yield client
    for process in client.started:
        process.stop()


@pytest.fixture
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartDaemon]:
    """Start daemons: daemon(*arguments, ptys=("", "?payload-format=protobuf")). They end well, or the test fails."""
    started: list[Daemon] = []

    def start(*arguments: str | Path, ptys: Sequence[str] = ("",)) -> Daemon:
        started.append(Daemon(tmp_path_factory.mktemp("bridge"), arguments, ptys))
        return started[-1]

    yield start
    try:
        for process in started:
            process.end()
    finally:
        for process in started:
            process.stop()


@pytest.fixture
def watch() -> Iterator[Callable[[Daemon], Watcher]]:
    """Connect watchers to daemons."""
    watchers: list[Watcher] = []

    def connect(to: Daemon) -> Watcher:
        watchers.append(Watcher(to.port))
        return watchers[-1]

    yield connect
    for watcher in watchers:
        watcher.close()
