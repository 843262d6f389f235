"""From a database's text to a translator that is ready: what a start or a change of profile costs."""

from __future__ import annotations

import time

from benchmarks import payload
from benchmarks.codec import BOTH, JSON
from benchmarks.measuring import Effort, Figure, Report, Row
from bridge import codec

MESSAGES = 200


def measure(effort: Effort) -> Report:
    """Reading a database of 800 signals, and compiling its plan."""
    text = payload.database(payload.SIGNALS, range(100, 100 + MESSAGES))
    reading, compiling, more = [], [], []
    for _ in range(effort.runs):
        began = time.perf_counter()
        plan = payload.plan(text)
        read = time.perf_counter()
        translator = codec.Translator(plan)
        translator.want(JSON)
        compiled = time.perf_counter()
        translator.want(BOTH)
        reading.append(1e3 * (read - began))
        compiling.append(1e3 * (compiled - read))
        more.append(1e3 * (time.perf_counter() - compiled))
    signals = MESSAGES * len(payload.SIGNALS)
    return Report(
        [
            Row(f"DBC of {signals} signals → plan", Figure(tuple(reading)).text("ms")),
            Row(f"plan → translator to JSON ({codec.IMPLEMENTATION})", Figure(tuple(compiling)).text("ms")),
            Row(f"the first client that wants protobuf, too ({codec.IMPLEMENTATION})", Figure(tuple(more)).text("ms")),
        ]
    )
