"""Profiles of one bus for the tests of profiles."""

HS = {"hs": {"controller": 1, "speed": 500000}}
WRITABLE = {"hs": {"controller": 1, "speed": 500000, "raw_writable": True}}
NUMBER = {"bit_position": 0, "bit_size": 8}


def car(**keys):
    return {"buses": HS, **keys}


def message(**keys):
    return car(messages={"0x49": {"bus": "hs", **keys}})


def diagnostic(**keys):
    request = {"bus": "hs", "id": 2016, "mode": 34, "frequency": 1} | keys
    return {"buses": WRITABLE, "diagnostic_messages": [request]}
