"""Running bridges, each a process of its own, and servers that only pretend to be one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bridge.config import ENVIRONMENT_PREFIX

PATIENCE = 20.0  # s, for what takes milliseconds unless the machine is busy


@dataclass
class RunningBridge:
    process: subprocess.Popen[str]
    urls: dict[str, str] = field(default_factory=dict)  # by kind

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)


@contextmanager
def running(directory: Path, *arguments: str) -> Iterator[RunningBridge]:
    """A bridge on a TCP port, a Unix socket, a pseudo-terminal and a Unix socket through which nothing is written."""
    listen = ("tcp://127.0.0.1:0", f"unix:{directory}/s", f"pty:{directory}/p", f"unix:{directory}/r?allow-write=none")
    options = [text for url in listen for text in ("--listen", url)]
    with (directory / "log").open("w") as log:
        process = start("run", *options, *arguments, stderr=log)
    bridge = RunningBridge(process, {"unix": listen[1], "pty": listen[2], "read-only": listen[3]})
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "tcp://" in line:
                bridge.urls["tcp"] = next(word for word in line.split() if word.startswith("tcp://"))
            if line.startswith("try:"):
                break
        assert "tcp" in bridge.urls, (directory / "log").read_text()
        yield bridge
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def start(*arguments: str, stdout: int = subprocess.PIPE, stderr: object = subprocess.PIPE) -> subprocess.Popen[str]:
    """A verb as a process. Use it as a context manager, or call communicate()."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(ENVIRONMENT_PREFIX)}
    environment.pop("PYTHONUNBUFFERED", None)  # users have none, and a pipe's end is another thing then
    return subprocess.Popen(
        [sys.executable, "-m", "bridge", *arguments],
        stdout=stdout,
        stderr=stderr,
        text=True,
        env=environment,
    )


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in list(os.environ):
        if key.startswith(ENVIRONMENT_PREFIX):
            monkeypatch.delenv(key)


@pytest.fixture(scope="session")
def vehicle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBridge]:
    """A bridge with the simulated vehicle."""
    with running(tmp_path_factory.mktemp("vehicle")) as bridge:
        yield bridge


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBridge]:
    """A bridge whose buses give back every frame that is written."""
    with running(tmp_path_factory.mktemp("echo"), "--profile", "functional") as bridge:
        yield bridge


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A listening socket: a client's connect() succeeds before anybody accepts."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE)
        yield listening


@pytest.fixture
def url(server: socket.socket) -> str:
    return f"tcp://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def says(server: socket.socket) -> Iterator[Callable[[bytes], None]]:
    """Have the server say something to the first client, and leave."""
    threads = []

    def say(data: bytes) -> None:
        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                peer.sendall(data)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()

    yield say
    for thread in threads:
        thread.join(PATIENCE)
