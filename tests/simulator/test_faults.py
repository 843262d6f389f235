from __future__ import annotations

import pytest

from bridge.simulator.faults import Fault, FaultMemory

STORED = Fault("P0420", returns_after=10.0, permanent=True)
PENDING = Fault("U0100", failure_type=0x87, confirmed=False, returns_after=5.0)


@pytest.fixture
def memory() -> FaultMemory:
    return FaultMemory((STORED, PENDING))


@pytest.mark.parametrize(
    ("code", "bytes_"), [("P0420", "0420"), ("C1234", "5234"), ("B0001", "8001"), ("U0100", "c100"), ("P3FFF", "3fff")]
)
def test_codes_as_bytes(code, bytes_):
    assert Fault(code).obd.hex() == bytes_
    assert Fault(code, failure_type=0x11).uds.hex() == bytes_ + "11"


def test_knows_what_is_confirmed_pending_and_permanent(memory):
    assert memory.confirmed(0) == [STORED]
    assert memory.pending(0) == [PENDING]
    assert memory.permanent() == [STORED]
    assert memory.find(PENDING.uds) is PENDING
    assert memory.find(b"\0\0\0") is None


@pytest.mark.parametrize(("age", "status"), [(0, 0x50), (9.9, 0x50), (10, 0x05), (29.9, 0x05), (30, 0x0D), (1e6, 0x0D)])
def test_a_cleared_fault_comes_back(memory, age, status):
    memory.clear(100.0)
    assert memory.status(STORED, 100.0 + age) == status


def test_clearing_one_leaves_the_others(memory):
    memory.clear(100.0, STORED)
    assert memory.confirmed(100.0) == []
    assert memory.pending(100.0) == [PENDING]
    assert memory.permanent() == [STORED]


def test_nothing_is_noticed_while_frozen(memory):
    memory.clear(100.0)
    memory.freeze(101.0)
    assert memory.matching(0x0D, 1000.0) == []
    memory.freeze(None)
    assert len(memory.matching(0x0D, 1000.0)) == 2
