"""How fast the codec is, beside what one would write first: python benchmarks/codec.py

One 8-byte frame with four signals (16 bits x 0.25, 16 x 0.01, 16 signed x 0.1, 8 x 0.392157), 20
ids, 1,000 random frames, one process. Medians of seven runs; the ratio counts, not the figure.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import PurePath

import cantools

from bridge import codec
from bridge.frames import Frame, FrameBatch
from bridge.openxc.messages import PayloadFormat
from bridge.profile.database import build_plan

FRAMES = 1000
RUNS = 7
ROUNDS = 20

MESSAGE = """
BO_ {id} M{id}: 8 X
 SG_ speed_{id} : 0|16@1+ (0.25,0) [0|0] "" X
 SG_ angle_{id} : 16|16@1+ (0.01,0) [0|0] "" X
 SG_ torque_{id} : 32|16@1- (0.1,0) [0|0] "" X
 SG_ level_{id} : 48|8@1+ (0.392157,0) [0|0] "" X
"""
IDS = range(100, 120)
DATABASE = 'VERSION ""\nBU_: X\n' + "".join(MESSAGE.format(id=identifier) for identifier in IDS)


def rate(work: Callable[[], object]) -> float:
    """Median frames per second of doing all frames at once."""
    rates = []
    for _ in range(RUNS):
        began = time.perf_counter()
        for _ in range(ROUNDS):
            work()
        rates.append(FRAMES * ROUNDS / (time.perf_counter() - began))
    return statistics.median(rates)


def main() -> None:
    """Measure and print a table."""
    plan = build_plan(DATABASE, PurePath("benchmark.dbc"))
    randomness = random.Random(1)
    frames = [Frame(id=randomness.choice(IDS), data=randomness.randbytes(8)) for _ in range(FRAMES)]
    batch = FrameBatch.of(frames)

    def translate(*formats: PayloadFormat) -> Callable[[], object]:
        translator = codec.Translator(plan)
        translator.want(frozenset(formats))
        return lambda: translator.translate(batch)

    def raw() -> Callable[[], object]:
        translator = codec.Translator(plan)
        translator.want(frozenset({PayloadFormat.JSON}))
        translator.set_passthrough(1, True)
        unknown = FrameBatch.of([Frame(id=frame.id + 100, data=frame.data) for frame in frames])
        return lambda: translator.translate(unknown)

    database = cantools.database.load_string(DATABASE, "dbc")
    messages = {message.frame_id: message for message in database.messages}

    def obvious() -> None:
        for frame in frames:
            for name, value in messages[frame.id].decode(frame.data).items():
                json.dumps({"name": name, "value": value}).encode() + b"\0"

    def obvious_raw() -> None:
        for frame in frames:
            json.dumps({"bus": 1, "id": frame.id, "data": "0x" + frame.data.hex()}).encode() + b"\0"

    rows = [
        ("cantools + json.dumps, 4 signals", rate(obvious), None),
        ("json.dumps, raw frame", rate(obvious_raw), None),
    ]
    signals, raw_base = rows[0][1], rows[1][1]
    rows += [
        (f"codec ({codec.IMPLEMENTATION}), 4 signals to JSON", rate(translate(PayloadFormat.JSON)), signals),
        (f"codec ({codec.IMPLEMENTATION}), 4 signals to protobuf", rate(translate(PayloadFormat.PROTOBUF)), signals),
        (f"codec ({codec.IMPLEMENTATION}), 4 signals to both", rate(translate(*PayloadFormat)), signals),
        (f"codec ({codec.IMPLEMENTATION}), raw frame to JSON", rate(raw()), raw_base),
    ]
    print("| work | frames/s | ratio |\n|---|---:|---:|")
    for name, frames_per_second, base in rows:
        print(f"| {name} | {frames_per_second:,.0f} | {f'{frames_per_second / base:.1f}' if base else '1'} |")


if __name__ == "__main__":
    main()
