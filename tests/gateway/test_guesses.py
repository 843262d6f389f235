"""Wrong credentials: five at once, five a minute, for each address but this machine's own."""

from __future__ import annotations

import pytest

from bridge.gateway import guesses as module
from bridge.gateway.errors import Exhausted
from bridge.gateway.guesses import Guesses
from bridge.limits import GUESSES_ADDRESSES, GUESSES_BURST, GUESSES_RATE


def refused(guesses: Guesses, peer: str, now: float) -> bool:
    try:
        guesses.check(peer, now)
    except Exhausted:
        return True
    return False


@pytest.mark.parametrize("host", ["ipv4:10.0.0.7", "ipv6:%5B2001:db8::1%5D"])
def test_an_address_that_is_wrong_too_often_has_to_wait(host: str) -> None:
    guesses = Guesses()
    for port in range(GUESSES_BURST):
        assert not refused(guesses, f"{host}:{port}", 100.0)
        guesses.note(f"{host}:{port}", 100.0)
    assert refused(guesses, f"{host}:9", 100.0)
    assert not refused(guesses, "ipv4:10.0.0.8:9", 100.0)
    assert not refused(guesses, f"{host}:9", 101.0 + 1 / GUESSES_RATE)
    guesses.note(f"{host}:9", 101.0 + 1 / GUESSES_RATE)
    assert refused(guesses, f"{host}:9", 101.0 + 1 / GUESSES_RATE)


@pytest.mark.parametrize("peer", ["ipv4:127.0.0.1:9", "ipv6:%5B::1%5D:9", "ipv6:[::1]:9", "unix:", "unix:/a:b", ""])
def test_callers_on_this_machine_do_not_lock_one_another_out(peer: str) -> None:
    guesses = Guesses()
    for _ in range(100):
        guesses.note(peer, 1.0)
    assert not refused(guesses, peer, 1.0)


def test_so_many_addresses_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert GUESSES_ADDRESSES >= 1024
    monkeypatch.setattr(module, "GUESSES_ADDRESSES", 2)
    guesses = Guesses()
    for number in (1, 2, 3):
        for _ in range(GUESSES_BURST):
            guesses.note(f"ipv4:10.0.0.{number}:9", 1.0)
    assert [refused(guesses, f"ipv4:10.0.0.{number}:9", 1.0) for number in (1, 2, 3)] == [False, True, True]
