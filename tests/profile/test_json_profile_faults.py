"""Mistakes in a firmware profile: each is one line that names the file and the key."""

import json

import pytest

from bridge.errors import ConfigurationError
from bridge.profile.errors import ProfileError

from .cars import HS, NUMBER, car, diagnostic, message

SIGNAL_FAULTS = [
    ({"bit_postion": 1}, 'unknown key "bit_postion"; did you mean "bit_position"?'),
    ({"send_frequency": 1}, '"send_frequency" is an old name; write "max_frequency"'),
    ({"handler": "x"}, '"handler" is an old name; write "decoder"'),
    ({"write_handler": "x"}, '"write_handler" is an old name; write "encoder"'),
    ({"bit_position": None}, 'missing "bit_position"'),
    ({"bit_size": None}, 'missing "bit_size"'),
    ({"bit_position": -1}, '"bit_position" must be an integer from 0 to 511, not -1'),
    ({"bit_position": 1.0}, '"bit_position" must be an integer from 0 to 511, not 1.0'),
    ({"bit_position": True}, '"bit_position" must be an integer from 0 to 511, not true'),
    ({"bit_position": 10**50}, '"bit_position" must be an integer from 0 to 511, not a huge number'),
    ({"bit_size": 65}, '"bit_size" must be an integer from 0 to 64, not 65'),
    ({"bit_position": 57}, '"bit_position", "bit_size": bits 57 to 64 lie beyond the 8 data bytes (bits 0 to 63)'),
    ({"bit_position": 57, "byte_order": "little"}, '"bit_position", "bit_size": bits 57 to 64 lie beyond'),
    ({"bit_numbering_inverted": True, "bit_size": 16}, '"bit_position", "bit_size": 16 bits that end at bit 0'),
    ({"float": True}, '"bit_position", "bit_size": a float of 8 bits'),
    ({"factor": 0}, '"factor" must not be 0'),
    ({"factor": "1"}, '"factor" must be a number, not "1"'),
    ({"factor": True}, '"factor" must be a number, not true'),
    ({"offset": 10**40}, '"offset" must be a number from 1e-30 to 1e30'),
    ({"states": []}, '"states" must be an object, in braces, not []'),
    ({"states": {"on": 1}}, 'states: "on" must be a list of integers, not 1'),
    ({"states": {"on": [1.5]}}, 'states: "on" must be a list of integers, not ["1.5"]'),
    ({"states": {"on": [True]}}, 'states: "on" must be a list of integers, not [true]'),
    ({"states": {"on": []}}, 'states: "on" must be a list of integers, not []'),
    ({"max_frequency": -1}, '"max_frequency" must be a number not below 0, not -1'),
    ({"send_same": "no"}, '"send_same" must be true or false, not "no"'),
    ({"generic_name": ""}, '"generic_name" must be a text, not ""'),
    ({"byte_order": "intel"}, '"byte_order" must be one of big, little, not "intel"'),
    ({"decoder": "handleMine"}, '"decoder": "handleMine" is a C++ function; replace it by a built-in one ('),
    ({"encoder": "mine"}, '"encoder": "mine" is a C++ function; replace it by a built-in one ('),
    ({"multiplexer": 1}, '"multiplexer" must be an object, in braces, not 1'),
    ({"multiplexer": {}}, 'multiplexer: missing "signal"'),
    ({"multiplexer": {"signal": "S", "values": [1]}}, 'multiplexer: "signal": "S" selects itself'),
    ({"multiplexer": {"signal": "T", "values": [1]}}, 'multiplexer: "signal": this message has no signal "T"'),
    ({"multiplexer": {"signl": "T"}}, 'multiplexer: unknown key "signl"; did you mean "signal"?'),
]


@pytest.mark.parametrize(("keys", "error"), SIGNAL_FAULTS, ids=[str(fault[0])[:40] for fault in SIGNAL_FAULTS])
def test_signal_faults(build, keys, error):
    text = json.dumps(message(signals={"S": NUMBER | keys}))
    with pytest.raises(ProfileError) as caught:
        build(text)
    start = f"car.json: message 0x49, signal S{', ' if error.startswith(('states:', 'multiplexer:')) else ': '}"
    assert str(caught.value).startswith(start + error)
    assert isinstance(caught.value, ConfigurationError)


OTHER_FAULTS = [
    ({"name": 1}, 'car.json: "name" must be a text, not 1'),
    ({"buses": {"hs": {"controller": 1}}}, 'car.json: bus hs: missing "speed"'),
    (
        {"buses": {"hs": {"controller": 0, "speed": 1}}},
        'car.json: bus hs: "controller" must be an integer from 1 to 255',
    ),
    ({"buses": {"hs": {"sped": 1}}}, 'car.json: bus hs: unknown key "sped"; did you mean "speed"?'),
    ({"buses": {"hs": 1}}, "car.json: bus hs must be an object, in braces"),
    ({"buses": {"hs": HS["hs"], "ms": HS["hs"]}}, 'car.json: bus ms: "controller" 1 is already that of bus hs'),
    (
        {"buses": {"hs": HS["hs"] | {"raw_can_mode": "on"}}},
        'car.json: bus hs: "raw_can_mode" must be one of off, filtered',
    ),
    (car(messages=[]), 'car.json: "messages" must be an object, in braces, not []'),
    (car(messages={"x": {"bus": "hs"}}), 'car.json: message x: the id must be text like "0x49" or "73"'),
    (car(messages={"010": {"bus": "hs"}}), "car.json: message 010: the id must be text like"),
    (car(messages={"0x20000000": {"bus": "hs"}}), "car.json: message 0x20000000: the id must be text like"),
    (car(messages={"1": {}}), 'car.json: message 1: missing "bus"'),
    (car(messages={"1": {"bus": "sh"}}), 'car.json: message 1: "bus": the profile has no bus "sh"; its buses: hs'),
    (message(handlers="x"), 'car.json: message 0x49: "handlers" must be a list of texts, not "x"'),
    (message(handlers=["mine"]), 'car.json: message 0x49: "handlers": "mine" is a C++ function; replace it by'),
    (message(send_frequency=1), 'car.json: message 0x49: "send_frequency" is an old name; write "max_frequency"'),
    (message(id=1), 'car.json: message 0x49: unknown key "id"'),
    (
        message(fd=False, length=12),
        'car.json: message 0x49: "length" is 12, but without "fd" a frame has up to 8 bytes',
    ),
    (message(length=13), 'car.json: message 0x49: "length" is 13; CAN FD has 8, 12, 16'),
    (message(length=65), 'car.json: message 0x49: "length" must be an integer from 0 to 64, not 65'),
    (message(length=2, signals={"S": NUMBER | {"bit_position": 16}}), "car.json: message 0x49, signal S: "),
    (car(messages={"0x800": {"bus": "hs", "frame_format": "standard"}}), 'car.json: message 0x800: "frame_format" is'),
    (message(signals={"": NUMBER}), "car.json: message 0x49, signal : a signal needs a name"),
    (car(mappings=[1]), 'car.json: "mappings" must be a list of objects; item 1 is 1'),
    (car(mappings=[{}]), 'car.json: mapping 1: missing "mapping"'),
    (car(mappings=[{"mapping": "a.json", "x": 1}]), 'car.json: mapping 1: unknown key "x"'),
    (car(mappings=[{"mapping": "a.json"}]), "a.json: cannot be read"),
    (car(mappings=[{"mapping": "a.json", "bus": "x"}]), 'car.json: mapping a.json: "bus": the profile has no bus "x"'),
    (car(commands=[{"handler": "x"}]), 'car.json: command 1: missing "name"'),
    (car(commands=[{"name": "c", "handler": "x"}]), 'car.json: command c: "handler": "x" is a C++ function'),
    (car(commands=2 * [{"name": "c", "handler": "math:sin"}]), 'car.json: command c: "name": there is a command of'),
    (diagnostic(frequency=None), 'car.json: diagnostic message 1: missing "frequency"'),
    (diagnostic(frequency=0), 'car.json: diagnostic message 1: "frequency" must be greater than 0'),
    (diagnostic(id=1 << 29), 'car.json: diagnostic message 1: "id" must be a CAN id from 0 to 0x1fffffff'),
    (diagnostic(mode=0), 'car.json: diagnostic message 1: "mode" must be an integer from 1 to 255, not 0'),
    (diagnostic(pid=0x100, pid_length=1), 'car.json: diagnostic message 1: "pid" 0x100 does not fit "pid_length" 1'),
    (diagnostic(handler="x"), 'car.json: diagnostic message 1: "handler" is an old name; write "decoder"'),
    (
        diagnostic(decoder="handleMyDiagRequest"),
        'car.json: diagnostic message 1: "decoder": "handleMyDiagRequest" is a C++',
    ),
]


@pytest.mark.parametrize(("profile", "error"), OTHER_FAULTS, ids=[fault[1][:60] for fault in OTHER_FAULTS])
def test_faults(build, profile, error):
    with pytest.raises(ProfileError) as caught:
        build(profile)
    assert str(caught.value).startswith(error)


def test_multiplexers_in_a_circle(build):
    signals = {
        "A": NUMBER | {"multiplexer": {"signal": "B", "values": [1]}},
        "B": NUMBER | {"multiplexer": {"signal": "A", "values": [1]}},
    }
    with pytest.raises(ProfileError, match="selects itself"):
        build(message(signals=signals))


def test_a_float_selects_nothing(build):
    signals = {
        "F": {"bit_position": 0, "bit_size": 32, "float": True},
        "V": NUMBER | {"multiplexer": {"signal": "F", "values": [1]}},
    }
    with pytest.raises(ProfileError, match='"F" is a float, which selects nothing'):
        build(message(signals=signals))


def test_errors_are_one_printable_line(build):
    with pytest.raises(ProfileError) as caught:
        build(car(messages={"1": {"bus": "hs", "a\nb\x1b[31m": 1}}))
    assert str(caught.value) == 'car.json: message 1: unknown key "a\\nb\\x1b[31m"'
