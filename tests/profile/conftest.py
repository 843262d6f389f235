import json
from pathlib import PurePath

import pytest

from bridge.profile.errors import ProfileError
from bridge.profile.json_profile import build_plan
from bridge.profile.plan import ByteOrder, RawType

HONDA = "honda-drive"


@pytest.fixture
def build():
    """Build a plan of the profile `car.json`, with other files by name; values are texts or JSON."""

    def build(profile, **files):
        texts = {"car.json": profile} | {
            name.replace("__", "/").replace("_dot_", "."): text for name, text in files.items()
        }

        def read(path):
            name = str(path)
            if name not in texts:
                raise ProfileError(f"{name}: cannot be read: No such file or directory")
            return texts[name] if isinstance(texts[name], str) else json.dumps(texts[name])

        return build_plan(PurePath("car.json"), read)

    return build


@pytest.fixture
def build_signal(build):
    """Build a plan with one signal S of one message 0x49; the signal."""

    def build_signal(message=None, **signal):
        signal = {"bit_position": 0, "bit_size": 8} | signal
        plan = build(
            {
                "buses": {"hs": {"controller": 1, "speed": 500000}},
                "messages": {"0x49": {"bus": "hs", "signals": {"S": signal}} | (message or {})},
            }
        )
        return plan.messages[0].signals[0]

    return build_signal


def raw_of(field, data):
    """The raw number of a field, bit by bit: slow, and obviously right."""
    bits = []
    for index in range(field.size):
        if field.byte_order is ByteOrder.BIG:
            position = field.start + index
            bits.append(data[position // 8] >> (7 - position % 8) & 1)
        else:
            position = field.start + index
            bits.insert(0, data[position // 8] >> (position % 8) & 1)
    number = 0
    for bit in bits:
        number = number * 2 + bit
    if field.raw_type is RawType.SIGNED and bits and bits[0]:
        number -= 1 << field.size
    if field.raw_type is RawType.FLOAT:
        import struct

        return struct.unpack(">f" if field.size == 32 else ">d", number.to_bytes(field.size // 8, "big"))[0]
    return number


@pytest.fixture(scope="session")
def extract():
    return raw_of


@pytest.fixture(scope="session")
def honda():
    """The path of a real car's database, which lies beside the project."""
    from pathlib import Path

    for folder in Path(__file__).resolve().parents:
        path = folder / "shared" / "data" / f"{HONDA}.dbc"
        if path.exists():
            return path
    pytest.skip(f"{HONDA}.dbc is not beside the project")
