"""openxc-diag: requests to the simulated vehicle's ECUs, in both payload formats.

The tool listens from 5 s before its request until half a second after, and takes whatever comes
for an answer, so tools that run at the same time see each other's. It prints each record that it
takes, and then the command's answer and the first diagnostic response, behind "Response: ".
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bridge.openxc.messages import (
    CommandResponse,
    DiagnosticAction,
    DiagnosticCommand,
    DiagnosticRequest,
    DiagnosticResponse,
)
from bridge.simulator.ecus import VIN

from .conftest import OpenXC, StartDaemon
from .processes import Daemon
from .test_control import PROTOBUF, STEADY_ARGUMENTS
from .watcher import Watcher

VIN_HEX = VIN.encode("ascii").hex()
ENGINE, TRANSMISSION = 0x7E0, 0x7E1


def request(message: int, mode: int, *more: str, bus: int = 1) -> tuple[str, ...]:
    return ("add", "--message", hex(message), "--mode", hex(mode), "--bus", str(bus), *more)


def pieces(lines: list[str]) -> list[str]:
    """The lines as they were meant: two threads of the tool print, and a line may end up behind another."""
    return [piece for line in lines for piece in re.split(r"(?<=[}\]])(?=\{'|Response: )", line)]


def printed(lines: list[str]) -> list[dict[str, Any]]:
    """The records that the tool printed as they came."""
    return [ast.literal_eval(piece) for piece in pieces(lines) if piece.startswith("{'")]


def answers(lines: list[str]) -> list[Any]:
    """What the tool says is the response: the command's, and the ECU's."""
    found = [piece for piece in pieces(lines) if piece.startswith("Response: ")]
    return [ast.literal_eval(piece.removeprefix("Response: ")) for piece in found]


class Asked:
    """A run of the tool. Its listener gives up in half a second of silence, 5 s before the request is sent,
    which a machine that is busy starting tools may well bring: then it is run again."""

    def __init__(self, openxc: OpenXC, port: Path, *arguments: str) -> None:
        self._start = partial(openxc.tool, "openxc-diag", port, *arguments)
        self._process = self._start()

    def lines(self) -> list[str]:
        for _ in range(2):
            lines = self._process.finish()
            if any("command_response" in record for record in printed(lines)):
                return lines
            self._process = self._start()
        return self._process.finish()


def has(record: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return wanted.items() <= record.items()


def responders(lines: list[str], wanted: Mapping[str, Any]) -> list[int]:
    return sorted(record["id"] for record in printed(lines) if has(record, wanted))


#: What is asked, and what the ECU's answer has.
REQUESTS = (
    (request(ENGINE, 0x9, "--pid", "2"), {"id": ENGINE, "mode": 9, "pid": 2, "payload": "0x01" + VIN_HEX}),
    (request(ENGINE, 0x22, "--pid", "0xf190"), {"id": ENGINE, "mode": 0x22, "pid": 0xF190, "payload": "0x" + VIN_HEX}),
    (
        request(0x18DA18F1, 0x22, "--pid", "0xf197"),
        {"id": 0x18DA18F1, "mode": 0x22, "pid": 0xF197, "payload": "0x" + b"TCM-TransmisCtrl".hex()},
    ),
    (
        request(TRANSMISSION, 0x22, "--pid", "0x9999"),
        {"id": TRANSMISSION, "mode": 0x22, "success": False, "negative_response_code": 0x31},
    ),
    (
        request(TRANSMISSION, 0x22, "--pid", "0xf189", "--frequency", "10"),
        {"id": TRANSMISSION, "mode": 0x22, "pid": 0xF189, "payload": "0x" + b"TRM 11.3.2".hex()},
    ),
)


def test_requests_of_many_kinds(daemon: StartDaemon, openxc: OpenXC) -> None:
    """In JSON the payload reaches the bridge as "0xb'f18cf187'"; in protobuf the client cannot write one.

    One tool in each format is alone with its daemon, which is a vehicle of its own.
    """
    several = request(ENGINE, 0x22, "--pid", "0xf195", "--payload", "0xf18cf187")
    broadcast = request(0x7DF, 0x22, "--pid", "0xf18a")
    supported = request(0x7DF, 0x1, "--pid", "0")
    too_often = request(ENGINE, 0x22, "--pid", "0xf190", "--frequency", "11")
    plain = [arguments for arguments, _ in REQUESTS]
    asked = {
        "json": [*plain, broadcast, too_often, supported, several],
        "protobuf": [*plain, broadcast, too_often],
    }
    started = {}
    for name, arguments in asked.items():
        bridge = daemon(*STEADY_ARGUMENTS, ptys=["" if name == "json" else PROTOBUF] * len(arguments))
        started[name] = [
            Asked(openxc, port, *each, "--format", name) for port, each in zip(bridge.ptys, arguments, strict=True)
        ]
    alone = {}
    for name in asked:
        bridge = daemon(*STEADY_ARGUMENTS, ptys=["" if name == "json" else PROTOBUF])
        alone[name] = Asked(openxc, bridge.ptys[0], *plain[0], "--format", name)
    results = {name: [tool.lines() for tool in tools] for name, tools in started.items()}

    acknowledged: dict[str, Any] = {"command_response": "diagnostic_request", "status": True}
    response: dict[str, Any] = {"bus": 1, "id": ENGINE, "mode": 9, "success": True, "pid": 2}
    response |= {"payload": "0x01" + VIN_HEX}
    assert answers(alone["json"].lines()) == [[acknowledged | {"message": ""}], response]
    assert answers(alone["protobuf"].lines()) == [[acknowledged], response | {"frame": 0}]

    for name, outputs in results.items():
        for lines, (arguments, wanted) in zip(outputs, REQUESTS, strict=False):
            assert any(has(record, wanted | {"bus": 1}) for record in printed(lines)), (name, arguments, lines)
            assert answers(lines)[0] == [acknowledged | ({"message": ""} if name == "json" else {})]
        of_broadcast, of_too_often = outputs[len(REQUESTS) : len(REQUESTS) + 2]
        assert responders(of_broadcast, {"mode": 0x22, "pid": 0xF18A}) == [0x7E8, 0x7E9], (name, of_broadcast)
        assert answers(of_too_often)[0][0]["status"] is False
    *_, of_supported, of_several = results["json"]
    assert responders(of_supported, {"mode": 1, "pid": 0}) == [0x7E8, 0x7E9], of_supported
    software, serial, part = (text.encode("ascii").hex() for text in ("ENG 24.1.7", "E-0000042", "OXB-12A650-ENG"))
    wanted = {"id": ENGINE, "pid": 0xF195, "payload": f"0x{software}f18c{serial}f187{part}"}
    assert any(has(record, wanted) for record in printed(of_several)), of_several


def test_recurring_requests_are_cancelled(
    daemon: StartDaemon, openxc: OpenXC, watch: Callable[[Daemon], Watcher]
) -> None:
    """The tool's own recurring request goes when the tool ends, so another client has those that it cancels."""
    bridge = daemon(*STEADY_ARGUMENTS, ptys=["", PROTOBUF, ""])
    watcher = watch(bridge)
    for identifier in (ENGINE, TRANSMISSION):
        recurring = DiagnosticRequest(id=identifier, mode=0x22, pid=0xF190, bus=1, frequency=10)
        watcher.send(DiagnosticCommand(name="diagnostic_request", action=DiagnosticAction.ADD, request=recurring))
    cancels = (
        (("0x7e0", "0xf190"), (), "Diagnostic request deleted successfully"),
        (("0x7e1", "0xf190"), ("--format", "protobuf"), "Diagnostic request deleted successfully"),
        (("0x7e0", "0xf18a"), (), "Error when attempting delete"),
    )
    tools = [
        openxc.tool(
            "openxc-diag",
            port,
            *("cancel", "--message", message, "--mode", "0x22", "--pid", pid, "--bus", "1"),
            *arguments,
        )
        for port, ((message, pid), arguments, _) in zip(bridge.ptys, cancels, strict=True)
    ]
    watcher.wait_for(
        lambda messages: (
            {each.id for each in messages if isinstance(each, DiagnosticResponse)} == {ENGINE, TRANSMISSION}
        ),
        "responses to the recurring requests",
    )
    assert [tool.finish() for tool in tools] == [[line] for _, _, line in cancels]

    # Whoever is there now has to make the request anew: nothing of it is left.
    count = len([each for each in watcher.messages if isinstance(each, CommandResponse)])
    watcher.send(DiagnosticCommand(name="diagnostic_request", action=DiagnosticAction.CANCEL, request=recurring))
    watcher.wait_for(
        lambda messages: len([each for each in messages if isinstance(each, CommandResponse)]) > count, "an answer"
    )
    assert [each.status for each in watcher.messages if isinstance(each, CommandResponse)][count:] == [False]
