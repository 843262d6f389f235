"""A pytest plugin for where SocketCAN is: run the tests that were chosen elsewhere, and report them there.

It must not know how its reports are shown.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vcan")
    group.addoption("--vcan-chosen", type=Path, help="file with the node ids to run, a line each, in their order")
    group.addoption("--vcan-reports", type=int, help="descriptor that gets each report as a line of JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Reporter(config))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    known = {item.nodeid: item for item in items}
    items[:] = [known[nodeid] for nodeid in config.getoption("--vcan-chosen").read_text().split("\n")]


class _Reporter:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._descriptor: int = config.getoption("--vcan-reports")
        os.set_inheritable(self._descriptor, False)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        line = json.dumps(data).encode() + b"\n"
        while line:
            line = line[os.write(self._descriptor, line) :]
