"""The clients in virtual environments of their own, and daemons for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..gateway.conftest import open_bench  # noqa: F401 - a fixture
from . import openobd_client
from .environments import Environment
from .openobd_client import OpenOBD
from .processes import Daemon, Process
from .watcher import Watcher

#: The client as published. It asks for protobuf 3.17.1 itself; its pyserial (3.1.1) cannot open pseudo-terminals.
ENVIRONMENT = Environment("openxc", ("openxc==2.2.0", "pyserial==3.5", "protobuf==3.17.1"), ("openxc-dump", "--help"))
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


@pytest.fixture(scope="session")
def openxc_bin() -> Path:
    """Where the OpenXC client's commands are."""
    return ENVIRONMENT.bin


@pytest.fixture
def openxc(openxc_bin: Path, tmp_path: Path) -> Iterator[OpenXC]:
    """The client; what a test leaves running is ended."""
    client = OpenXC(openxc_bin, tmp_path, [])
    yield client
    for process in client.started:
        process.stop()


@pytest.fixture(scope="session")
def openobd_bin() -> Path:
    """Where the openOBD library's python is."""
    return openobd_client.ENVIRONMENT.bin


@pytest.fixture
def openobd(openobd_bin: Path) -> Iterator[OpenOBD]:
    """The openOBD library; what a test leaves running is ended."""
    started: list[Process] = []
    yield OpenOBD(openobd_bin, started)
    for process in started:
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
