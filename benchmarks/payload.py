"""The benchmark's traffic: 20 messages of 8 bytes with four signals each, and 1,000 random frames.

The signals are 16 bits x 0.25, 16 x 0.01, 16 signed x 0.1 and 8 x 0.392157. Raw frames are the same
data under ids that the database does not know.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import PurePath

from bridge.frames import Frame, FrameBatch
from bridge.profile.database import build_plan
from bridge.profile.plan import Plan

FRAMES = 1000
IDS = range(100, 120)
RAW_ID_OFFSET = 100

#: Start bit, size, sign, factor and offset of a signal as DBC writes them, by name.
SIGNALS = {
    "speed": "0|16@1+ (0.25,0)",
    "angle": "16|16@1+ (0.01,0)",
    "torque": "32|16@1- (0.1,0)",
    "level": "48|8@1+ (0.392157,0)",
}

#: The setting of the published figure of OpenXC's firmware core: four unsigned signals of 16 bits.
FIRMWARE_SIGNALS = {
    "speed": "0|16@1+ (0.25,0)",
    "angle": "16|16@1+ (0.01,-20)",
    "torque": "32|16@1+ (0.1,-500)",
    "level": "48|16@1+ (0.5,10)",
}


def database(signals: dict[str, str], ids: Iterable[int] = IDS) -> str:
    """A DBC file of one message an id, each with these signals, their names followed by the id."""
    lines = ['VERSION ""', "BU_: X"]
    for identifier in ids:
        lines.append(f"BO_ {identifier} M{identifier}: 8 X")
        lines += [f' SG_ {name}_{identifier} : {text} [0|0] "" X' for name, text in signals.items()]
    return "\n".join(lines) + "\n"


DATABASE = database(SIGNALS)


def plan(text: str = DATABASE) -> Plan:
    """The bridge's plan of a database."""
    return build_plan(text, PurePath("benchmark.dbc"))


def frames(count: int = FRAMES, offset: int = 0) -> list[Frame]:
    """Random frames of the messages, the same each time; with an offset, of other ids."""
    randomness = random.Random(1)
    return [Frame(id=randomness.choice(IDS) + offset, data=randomness.randbytes(8)) for _ in range(count)]


def raw_frames(count: int = FRAMES) -> list[Frame]:
    """The same data under ids that the database does not know."""
    return frames(count, RAW_ID_OFFSET)


def batch(offset: int = 0) -> FrameBatch:
    """All frames as one batch."""
    return FrameBatch.of(frames(offset=offset))
