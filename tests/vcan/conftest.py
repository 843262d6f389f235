"""Tests with the kernel's SocketCAN, run where that is.

Many kernels have no CAN: those of most containers and of many virtual machines. So all tests of this
directory run in one other pytest process, which tools/vcan-kernel starts: in a network namespace of
its own where the kernel has vcan, and in a User-Mode Linux kernel where it has not.

The pytest that was called collects them as any others, so that -k, -x, a node id and --collect-only
do what they always do. When it comes to the first of them, it starts the other process with the list
of all of them that it has to run (`elsewhere`). There the plugin `inside` runs just these, and writes
every report (set-up, call, teardown) as a line of JSON. Here each test's turn is to wait for its
reports and to pass them on, so one summary counts them all, with their tracebacks. If the other
process dies, or says nothing for too long, the tests that it still owes fail with what it printed.

With xdist they are one group, which `--dist loadgroup` gives to one worker: the kernel boots once.
(Without that option each worker that gets some of them runs all of them, and reports its own.)

Where there is neither, they are skipped, and the reason says what to install. With
OPENXC_BRIDGE_VCAN=required, which .ci/run sets, they fail instead.

For a debugger, or to have a look around in there:

    tools/vcan-kernel .venv/bin/python -m pytest tests/vcan --pdb
    tools/vcan-kernel sh
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.conftest import drive, join, start, start_shared
from tests.daemon.harness import SOON, simulating

from .can_utils import REQUIRED, ip, is_up, need
from .elsewhere import Elsewhere, unavailable

__all__ = ["drive", "join", "start", "start_shared"]  # fixtures that these tests have in common with tests/daemon

HERE = Path(__file__).parent
WAY = os.environ.get("VCAN_KERNEL")  #: set by tools/vcan-kernel: this is where SocketCAN is
GROUP = "vcan"

_elsewhere = pytest.StashKey[Elsewhere]()
_unavailable = pytest.StashKey[str | None]()


def _ours(item: pytest.Item) -> bool:
    return HERE in item.path.parents


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if WAY is None:
        for item in filter(_ours, items):
            item.add_marker(pytest.mark.timeout(0))  # it has its time in there
            if config.pluginmanager.hasplugin("xdist"):
                item.add_marker(pytest.mark.xdist_group(GROUP))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Pass on what happened to the test elsewhere."""
    if WAY is not None or not _ours(item):
        return None
    stash = item.session.stash
    if _unavailable not in stash:
        stash[_unavailable] = unavailable()
    missing = stash[_unavailable]
    if missing is not None and not REQUIRED:
        item.add_marker(pytest.mark.skip(reason=missing))
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _reports(item) if missing is None else [_failure(item, missing)]:
        report.nodeid = item.nodeid  # which ends in the group's name where xdist distributes by that
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _nodeid(item: pytest.Item) -> str:
    return item.nodeid.removesuffix(f"@{GROUP}")


def _reports(item: pytest.Item) -> list[pytest.TestReport]:
    stash = item.session.stash
    if _elsewhere not in stash:
        stash[_elsewhere] = Elsewhere(item.config, [_nodeid(one) for one in item.session.items if _ours(one)])
    try:
        return stash[_elsewhere].reports(_nodeid(item))
    except EOFError as error:
        return [_failure(item, f"the process with SocketCAN is gone: {error}")]


def _failure(item: pytest.Item, text: str) -> pytest.TestReport:
    keywords = dict.fromkeys(item.keywords, 1)
    return pytest.TestReport(item.nodeid, item.location, keywords, outcome="failed", longrepr=text, when="call")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _elsewhere in session.stash:
        session.stash[_elsewhere].end()


# For the tests themselves


@pytest.fixture(scope="session", autouse=True)
def _programs() -> None:
    need("ip", "candump", "cansend", "cangen", "canplayer")


@pytest.fixture(autouse=True)
def _interfaces() -> None:
    """vcan0 and vcan1 are up, whatever the test before did to them."""
    for name in ("vcan0", "vcan1"):
        if not is_up(name):
            ip(f"link set {name} up")


@pytest.fixture
def own_interface() -> Iterator[str]:
    """A vcan interface that only this test has, up: it may be taken down and removed."""
    if WAY == "interfaces":
        pytest.skip("no interface can be made here; that takes root, or user namespaces")
    name = "vcan7"
    ip(f"link add dev {name} type vcan")
    ip(f"link set dev {name} up")
    yield name
    if name in [found for _, found in socket.if_nameindex()]:
        ip(f"link del {name}")


@pytest.fixture(scope="module")
def vehicle():
    """`openxc-bridge simulate` on vcan0, driving."""
    with simulating("socketcan:vcan0") as process:
        yield process
        process.terminate()
        _, errors = process.communicate(timeout=SOON)
        assert process.returncode == 0
        assert b"Traceback" not in errors
