"""openxc-dump shows what the bridge publishes, in both payload formats."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from .conftest import OpenXC, StartDaemon
from .official import all_there, implausible

PROTOBUF = "?payload-format=protobuf"


def records(lines: list[str]) -> list[dict[str, Any]]:
    """What openxc-dump printed: each line is a Python bytes literal of JSON. Logs don't look so."""
    return [json.loads(ast.literal_eval(line)) for line in lines if line.startswith("b'")]


def values(lines: list[str], name: str) -> list[Any]:
    return [record["value"] for record in records(lines) if record.get("name") == name]


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        pytest.param("", ("--format", "json"), id="json"),
        pytest.param("", (), id="json, detected"),
        pytest.param(PROTOBUF, ("--format", "protobuf"), id="protobuf"),
    ],
)
def test_the_dump_shows_every_official_signal_and_what_a_write_changes(
    daemon: StartDaemon, openxc: OpenXC, options: str, arguments: tuple[str, ...]
) -> None:
    bridge = daemon(ptys=(options, ""))
    dump = openxc.tool("openxc-dump", bridge.ptys[0], *arguments)
    lines = dump.wait_for(lambda lines: all_there(records(lines)), "every official signal")
    seen = records(lines)
    assert not implausible(seen, events_everywhere=bool(options))
    assert "parse" not in dump.errors and "Traceback" not in dump.errors

    assert set(values(lines, "windshield_wiper_status")) == {False}
    wipe = openxc.tool(
        "openxc-control", bridge.ptys[1], "write", "--name", "windshield_wiper_status", "--value", "true"
    )
    wipe.finish()
    dump.wait_for(lambda lines: True in values(lines, "windshield_wiper_status"), "the wipers that were switched on")
