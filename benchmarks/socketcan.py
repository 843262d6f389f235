"""SocketCAN: frames of a vcan interface to JSON for one TCP client, on one processor.

This is the part that runs on the machine; `vcan_contest` runs where the interfaces are.
"""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.measuring import PROJECT, Effort, Figure, Report, amount, faster, unmeasured

TOOL = PROJECT / "tools" / "vcan-kernel"  #: runs a command where vcan0 and vcan1 are
TIMEOUT = 180  #: seconds
WORK = "vcan → JSON → one TCP client, one processor"


def measure(effort: Effort) -> Report:
    """The bridge beside python-can's Notifier, cantools and json."""
    if not TOOL.exists():
        return Report([unmeasured(WORK, f"{TOOL.relative_to(PROJECT)} is missing")])
    seconds = 0.3 if effort.quick else 1.0
    finished = subprocess.run(
        [
            str(TOOL),
            "--timeout",
            str(TIMEOUT),
            sys.executable,
            "-m",
            "benchmarks.vcan_contest",
            str(effort.runs),
            str(seconds),
        ],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode == 2:  # none of its ways is there
        return Report([unmeasured(WORK, (finished.stderr.strip().splitlines() or ["no vcan"])[-1])])
    if finished.returncode:
        raise RuntimeError(f"the contest failed with status {finished.returncode}: {finished.stderr.strip()[-500:]}")
    return report_of(json.loads(finished.stdout.strip().splitlines()[-1]))


def report_of(outcome: dict) -> Report:
    """The rows of what the contest printed."""
    results = {name: list(zip(*runs, strict=True)) for name, runs in outcome["results"].items()}
    rates = {name: Figure(tuple(columns[0])) for name, columns in results.items()}
    costs = {name: Figure(tuple(columns[1])) for name, columns in results.items()}
    # Of a cost the smaller is the better, so the rate that a whole processor would give is compared.
    served = {name: Figure(tuple(1e6 / cost for cost in figure.runs)) for name, figure in costs.items()}
    peer = "python-can's Notifier + cantools + json"
    work = f"{WORK} ({outcome['implementation']} codec)"
    return Report(
        [
            faster(f"{work}: the server's own time", served["bridge"], peer, served["obvious"], 10),
            faster(f"{work}: with source and client", rates["bridge"], peer, rates["obvious"]),
        ],
        notes=[
            f"SocketCAN was measured in {outcome['kernel']} ({outcome['way']}), source, server and client on one "
            "processor, with a window of frames under way so that none is lost. A server's own time is its user and "
            "system time, "
            f"{amount(costs['bridge'].median)} µs a frame for the bridge and {amount(costs['obvious'].median)} µs for "
            "its peer; the row gives the frames that a whole processor of it serves. In a guest a system call costs "
            "several times what it costs elsewhere, which counts against whoever makes several for each frame."
        ],
    )
