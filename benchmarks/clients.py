"""Saturated buses and many clients: what the fan-out costs, how late records come, whether any is lost."""

from __future__ import annotations

from benchmarks import fanout
from benchmarks.measuring import Effort, Figure, Report, Row, within
from bridge.codec import IMPLEMENTATION

#: Clients and buses of each case.
CASES = ((100, 1), (10, 1), (10, 10))
RUNS = 5


def measure(effort: Effort) -> Report:
    """The three cases in turn."""
    seconds = 1.0 if effort.quick else 3.0
    results: dict[tuple[int, int], list[fanout.Fanout]] = {case: [] for case in CASES}
    for _ in range(RUNS):
        for clients, buses in CASES:
            results[clients, buses].append(fanout.measure(clients, buses=buses, seconds=seconds))
    hundred, ten, buses = (results[case] for case in CASES)
    bus = f"a saturated 1 Mbit/s bus, 4 signals a frame ({IMPLEMENTATION} codec)"
    return Report(
        [
            within(f"{bus}, 100 clients: processor time", _figure(hundred, "cpu"), 20, "% of a core"),
            within(f"{bus}, 100 clients: frame to client, p99", _figure(hundred, "p99"), 10, "ms"),
            Row(f"{bus}, 10 clients: processor time", _figure(ten, "cpu").text("% of a core")),
            within(f"{bus}, 10 clients: frame to client, p99", _figure(ten, "p99"), 2, "ms"),
            _lost(buses),
            Row("ten such buses, 10 clients: processor time", _figure(buses, "cpu").text("% of a core")),
        ],
        notes=[
            "A saturated bus is 9,009 frames/s of 8 bytes at their true pace. Source, daemon and readers are three "
            "processes; processor time is the daemon's, latency is of every frame at every client."
        ],
    )


def _figure(results: list[fanout.Fanout], name: str) -> Figure:
    return Figure(tuple(getattr(result, name) for result in results))


def _lost(results: list[fanout.Fanout]) -> Row:
    """All runs count, not their median."""
    lost = sum(result.records_lost for result in results)
    frames = sum(result.frames_per_second for result in results) / len(results)
    return Row(
        f"ten such buses, 10 clients ({IMPLEMENTATION} codec)",
        f"{lost:,} records lost in {len(results)} runs, at {frames:,.0f} frames/s",
        wanted="no frame lost",
        reached=not lost,
    )
