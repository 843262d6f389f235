"""openxc-scanner and openxc-obd2scanner. Unbounded, they take an hour; so the tools themselves run until their
first finding, and a script runs the same code over a few ids."""

from __future__ import annotations

from .conftest import OpenXC, StartDaemon
from .test_control import PROTOBUF, STEADY_ARGUMENTS


def starting(lines: list[str], text: str) -> list[str]:
    return [line for line in lines if line.startswith(text)]


def responders(lines: list[str]) -> set[int]:
    """Who has answered to PID 0, as openxc-obd2scanner has it."""
    found = starting(lines, "PID 0x0 responded with: {'bus': 1, 'id': ")
    return {int(line.split("'id': ")[1].split(",")[0]) for line in found}


def test_the_scanners_find_what_there_is(daemon: StartDaemon, openxc: OpenXC) -> None:
    """Who scans takes whatever response comes for its own, so the bounded scans have a daemon each."""
    bridge = daemon(*STEADY_ARGUMENTS, ptys=["", "", PROTOBUF, ""])
    bridges = {"json": daemon(*STEADY_ARGUMENTS), "protobuf": daemon(*STEADY_ARGUMENTS, ptys=[PROTOBUF])}
    bounded = {name: openxc.script("scan.py", each.ptys[0], name) for name, each in bridges.items()}
    all_ids = openxc.tool("openxc-scanner", bridge.ptys[0])
    obd2_json = openxc.tool("openxc-obd2scanner", bridge.ptys[1], "--bus", "1")
    obd2_protobuf = openxc.tool("openxc-obd2scanner", bridge.ptys[2], "--format", "protobuf")
    one_id = openxc.tool("openxc-scanner", bridge.ptys[3], "--message-id", hex(0x7E1))

    all_ids.wait_for(lambda lines: bool(starting(lines, "0x0 responded to tester present: ([{'command")), "an answer")
    for tool in (obd2_json, obd2_protobuf):
        lines = tool.wait_for(lambda lines: responders(lines) >= {0x7E8, 0x7E9}, "two ECUs' answers")
        assert lines[0] == "Beginning sequential scan of all OBD-II PIDs"
    # The tool asks for the id as text, gets its answer, and stops at its own attempt to print text as a number.
    lines = one_id.wait_for(lambda lines: any("'id': 2017, 'mode': 62" in line for line in lines), "tester present")
    assert "{'bus': 1, 'id': 2017, 'mode': 62, 'success': True, 'payload': '0x00'}" in lines

    check_bounded({name: scan.finish() for name, scan in bounded.items()})


def check_bounded(results: dict[str, list[str]]) -> None:
    for lines in results.values():
        for pid in (0x00, 0x0D):
            found = starting(lines, f"PID 0x{pid:x} responded with: {{'bus': 1, 'id': 2024, 'mode': 1,")
            assert found, (pid, lines)
            assert all(f"'pid': {pid}," in line for line in found)
        assert "PID 0x50 did not respond" in lines
        assert "corrupted 0" in lines

    lines = results["json"]
    answer = "{'bus': 1, 'id': 2016, 'mode': 62, 'success': True, 'payload': '0x00'}"
    assert any(answer in line for line in starting(lines, "0x7e0 responded to tester present"))
    assert not any("'mode': 62" in line for line in starting(lines, "0x7e2 responded to tester present"))
    assert "modes [9, 11]" in lines
    for mode, code in ((0x09, 0x12), (0x0B, 0x11)):
        nrc = f"'mode': {mode}, 'success': False, 'negative_response_code': {code}"
        assert any(nrc in line for line in lines), (mode, lines)
