"""What is kept of a received message."""

from __future__ import annotations

import resource

import pytest
from google.protobuf.any_pb2 import Any

from bridge.openobd.messages import BusConfiguration, CanBus, Variable, kept

UNKNOWN = bytes.fromhex("c23e04") + b"????"  # field 1000


@pytest.mark.parametrize(
    "message",
    [
        Variable(key="k", value="v"),
        Variable(key="k", object=Any(type_url="type.example/x", value=b"\x01")),
        BusConfiguration(bus_name="hs", can_bus=CanBus(pin_plus=6, pin_min=14)),
    ],
)
def test_all_that_the_protocol_knows(message) -> None:
    received = type(message).FromString(message.SerializeToString() + UNKNOWN)
    assert kept(received) == message
    assert kept(received).SerializeToString() == message.SerializeToString()


def test_it_holds_on_to_nothing_else() -> None:
    """A field that comes many times has its last value, and used to take the memory of all of them."""
    one = Variable(value="x" * 60_000).SerializeToString()
    two = Variable(key="k", value="v").SerializeToString()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    held = [kept(Variable.FromString(one + two)) for _ in range(2000)]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # kilobytes on Linux
    assert all(each == Variable(key="k", value="v") for each in held)
    assert grown < 30_000  # all of it would be 120,000
