"""The front: python -m benchmarks [--quick] [PART ...]

Without a part all are measured, and RESULTS.md is written. A part that cannot run on this machine
says why in its row, and the others run all the same.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
from pathlib import Path

from benchmarks.measuring import QUICK, Effort, Report, unmeasured
from benchmarks.results import as_markdown, table_of

RESULTS = Path(__file__).with_name("RESULTS.md")

#: Each is a module here with a measure(effort).
PARTS = ("codec", "parsing", "plan", "slcan", "socketcan", "clients", "daemon", "gateway", "growth")


def main(arguments: list[str]) -> int:
    """Measure and print; 1 if a part broke."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--output", type=Path, help=f"where to write; a full run writes {RESULTS.name} by itself")
    options = parser.parse_args(arguments)
    if unknown := [part for part in options.parts if part not in PARTS]:
        parser.error(f"{unknown[0]} is no part; there are {', '.join(PARTS)}")
    output = options.output
    if output is None and not options.parts and not options.quick:
        output = RESULTS
    reports, broken = _measure(options.parts or list(PARTS), QUICK if options.quick else Effort())
    if output is not None:
        output.write_text(as_markdown(reports, options.quick), encoding="utf-8")
        print(f"written to {output}")
    return int(broken)


def _measure(parts: list[str], effort: Effort) -> tuple[list[Report], bool]:
    reports = []
    broken = False
    for part in parts:
        began = time.monotonic()
        print(f"\n{part} ...", flush=True)
        try:
            report = importlib.import_module(f"benchmarks.{part}").measure(effort)
        except Exception as error:  # one broken part must not cost the others' results
            traceback.print_exc()
            report = Report([unmeasured(part, f"{type(error).__name__}: {error}".splitlines()[0])])
            broken = True
        print(table_of(report))
        print(f"({part}: {time.monotonic() - began:.0f} s)", flush=True)
        reports.append(report)
    return reports, broken


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
