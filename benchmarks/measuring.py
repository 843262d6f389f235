"""Runs, medians, rows and the machine: what all parts of the benchmark share.

Contestants take turns, one run each, so that whatever else the machine does hits all of them alike.
Must not know what is measured.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.internal import api_implementation

PROJECT = Path(__file__).parents[1]
PEERS = ("cantools", "python-can", "protobuf", "msgspec", "pyserial", "grpcio")
LOAD_BEFORE = os.getloadavg()[0]  #: of the last minute, before anything is measured

Run = Callable[[], float]  #: measures once; gives a rate per second, or whatever its row is about


@dataclass(frozen=True)
class Effort:
    """How much a measurement may take."""

    runs: int = 9  #: of each contestant
    run_seconds: float = 0.15  #: of a run that can be of any length
    quick: bool = False


QUICK = Effort(runs=5, run_seconds=0.04, quick=True)


@dataclass(frozen=True)
class Figure:
    """What the runs of one contestant gave."""

    runs: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.runs)

    def text(self, unit: str = "") -> str:
        """The median and, in brackets, the lowest and the highest run."""
        low, high = amount(min(self.runs)), amount(max(self.runs))
        spread = f" ({low} to {high})" if len(self.runs) > 1 else ""
        return f"{amount(self.median)}{f' {unit}' if unit else ''}{spread}"


@dataclass(frozen=True)
class Row:
    """One line of the table of claims."""

    work: str
    measured: str
    beside: str = ""
    ratio: str = ""
    wanted: str = ""
    reached: bool | None = None  #: None: nothing was promised, or nothing could be measured
    why_missed: str = ""  #: what a profile shows, for a row that does not reach what is wanted


@dataclass(frozen=True)
class Table:
    """How something grows: not claims, so without verdicts."""

    title: str
    heads: tuple[str, ...]
    lines: Sequence[tuple[str, ...]]


@dataclass
class Report:
    """What one part of the benchmark has to say."""

    rows: list[Row] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def amount(number: float) -> str:
    """Three digits that count, and a letter from ten thousand on."""
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= max(size, 1e4):
            return f"{three_digits(number / size)}{letter}"
    return three_digits(number)


def three_digits(number: float) -> str:
    """A number of 0 or more with three digits that count, or all of its whole part."""
    for bound, decimals in ((100, 0), (10, 1), (1, 2)):
        if number >= bound:
            return f"{number:,.{decimals}f}"
    return f"{number:.3g}"


# Measuring


def repeated(work: Callable[[], object], items: int, seconds: float) -> Run:
    """A run that does the work over and over for about that time; its rate is in items per second."""
    work()
    began = time.perf_counter()
    work()
    once = time.perf_counter() - began
    rounds = max(1, round(seconds / max(once, 1e-9)))

    def run() -> float:
        began = time.perf_counter()
        for _ in range(rounds):
            work()
        return items * rounds / (time.perf_counter() - began)

    return run


def contest(contestants: Mapping[str, Run], runs: int) -> dict[str, Figure]:
    """Let all contestants run in turn, so often."""
    results: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(runs):
        for name, run in contestants.items():
            results[name].append(run())
    return {name: Figure(tuple(rates)) for name, rates in results.items()}


# Rows


def faster(
    work: str,
    ours: Figure,
    peer_name: str,
    peer: Figure,
    wanted: float | None = None,
    unit: str = "frames/s",
    why_missed: str = "",
) -> Row:
    """How many times a peer's rate ours is; at least `wanted`, if something was promised."""
    ratio = ours.median / peer.median
    return Row(
        work,
        ours.text(unit),
        f"{peer_name}: {peer.text()}",
        f"{three_digits(ratio)} x",
        f"≥ {wanted:g} x" if wanted else "",
        ratio >= wanted if wanted else None,
        why_missed,
    )


def longer(
    work: str,
    ours: Figure,
    limit_name: str,
    limit: Figure,
    wanted: float | None = None,
    unit: str = "frames/s",
    why_missed: str = "",
) -> Row:
    """How many times as long as a limit we take; at most `wanted`, if something was promised."""
    ratio = limit.median / ours.median
    return Row(
        work,
        ours.text(unit),
        f"{limit_name}: {limit.text()}",
        f"{three_digits(ratio)} x as long",
        f"≤ {wanted:g} x as long" if wanted else "",
        ratio <= wanted if wanted else None,
        why_missed,
    )


def within(work: str, figure: Figure, limit: float, unit: str, why_missed: str = "") -> Row:
    """A figure that may be as large as a limit."""
    return Row(
        work, figure.text(unit), wanted=f"≤ {limit:g} {unit}", reached=figure.median <= limit, why_missed=why_missed
    )


def unmeasured(work: str, reason: str) -> Row:
    """A part that could not run on this machine, and why."""
    return Row(work, f"not measured: {reason}")


# The machine


def processor() -> str:
    """The name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model"):
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def commit() -> str:
    """The commit that is measured, and whether the tree is another."""
    try:
        shown = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", "bridge", "benchmarks", "setup.py")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    changed = "\n".join(line for line in changed.splitlines() if not line.endswith("RESULTS.md"))
    return f"{shown} with changes" if changed else shown


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=PROJECT, check=True, capture_output=True, text=True).stdout.strip()


def compiler() -> str:
    """The C compiler that made the standalone loops."""
    try:
        shown = subprocess.run(["cc", "--version"], check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return shown.partition("\n")[0]


def machine() -> list[tuple[str, str]]:
    """What the figures depend on, besides the code."""
    peers = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PEERS)
    peers += f"; protobuf's runtime is {api_implementation.Type()}"
    return [
        ("Commit", commit()),
        ("Date", datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("Processor", f"{processor()}, {len(os.sched_getaffinity(0))} cores"),
        ("Load before", f"{LOAD_BEFORE:.2f}"),
        ("Kernel", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        ("C compiler", compiler()),
        ("Peers", peers),
    ]
