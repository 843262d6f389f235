"""A daemon for a test, or for all tests of a module; it must end well, whatever the tests did to it."""

from __future__ import annotations

import contextlib
import signal

import pytest

from bridge import config
from bridge.app import Bridge

from .harness import DATA, App, Daemon


def _checked_end(daemon: Daemon) -> None:
    """Nothing that apps do may end the daemon, hang it, or make it stumble over its own code."""
    assert daemon.running, daemon.errors
    status, seconds = daemon.end()
    assert "Traceback" not in daemon.errors, daemon.errors
    assert status == 0, daemon.errors
    assert seconds < 2, f"it took {seconds:.1f} s to end"


@contextlib.contextmanager
def _factory(folder):
    daemons: list[Daemon] = []

    def start(*arguments: object) -> Daemon:
        """Run the daemon with these arguments; a free port where they don't say where to listen."""
        words = [str(argument) for argument in arguments]
        if not {"--listen", "-f"} & set(words):
            words += ["--listen", "tcp://127.0.0.1:0"]
        daemons.append(Daemon(folder, *words))
        return daemons[-1]

    try:
        yield start
        for daemon in reversed(daemons):  # who uses another one goes first
            if daemon.process.returncode is None:
                _checked_end(daemon)
    finally:
        for daemon in daemons:
            daemon.kill()


@pytest.fixture
def start(tmp_path):
    """Start daemons that end with the test; one that the test ended itself is its own affair."""
    with _factory(tmp_path) as start:
        yield start


@pytest.fixture
def hangup():
    """Have what is started from now on take the end of its terminal in this way."""
    before = signal.getsignal(signal.SIGHUP)
    yield lambda way: signal.signal(signal.SIGHUP, way)
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="module")
def start_shared(tmp_path_factory):
    """Start daemons that all tests of a module share."""
    with _factory(tmp_path_factory.mktemp("daemon")) as start:
        yield start


@pytest.fixture
async def start_inside():
    """Start bridges in the test's own loop, where everything can be looked at."""
    bridges: list[Bridge] = []

    async def start(**settings: object) -> Bridge:
        settings.setdefault("listen", [{"url": "tcp://127.0.0.1:0"}])
        bridge = Bridge(config.load(flags=settings))
        bridges.append(bridge)
        await bridge.start()
        return bridge

    yield start
    for bridge in bridges:
        await bridge.stop()


@pytest.fixture
async def join():
    """Connect apps, by URL or by a socket that is connected already; they leave with the test."""
    apps: list[App] = []

    async def join(where, payload_format=None) -> App:
        make = App.connect if isinstance(where, str) else App.adopt
        apps.append(await make(where, payload_format))
        return apps[-1]

    yield join
    for app in apps:
        await app.close()


@pytest.fixture(scope="session")
def drive():
    """The recording of a real car and its database: (log, DBC)."""
    paths = DATA / "honda-drive.log", DATA / "honda-drive.dbc"
    for path in paths:
        if not path.exists():
            pytest.skip(f"{path.name} is not beside the project, in {DATA}")
    return paths
