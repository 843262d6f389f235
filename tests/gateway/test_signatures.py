"""Signed function ids: for their own partner, for ever, and for nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway import signatures
from bridge.gateway.errors import Exhausted
from bridge.gateway.signatures import FunctionIds
from bridge.gateway.store import Store


@pytest.fixture
def ids() -> Iterator[FunctionIds]:
    store = Store()
    yield FunctionIds(store)
    store.close()


def test_only_its_partner_may_use_a_signed_id(ids: FunctionIds) -> None:
    made = ids.generate("ours")
    other = ids.generate("ours")
    assert ids.allows("ours", made.id, made.signature)
    assert not ids.allows("theirs", made.id, made.signature)
    assert not ids.allows("ours", made.id, other.signature)
    assert not ids.allows("ours", made.id, "")
    assert not ids.allows("theirs", made.id, "")


def test_an_id_that_nobody_has_had_signed_is_free_and_takes_no_signature(ids: FunctionIds) -> None:
    assert ids.allows("ours", "oil", "")
    assert not ids.allows("ours", "oil", "signature is no longer needed")
    assert not ids.allows("ours", "oil", ids.generate("ours").signature)


def test_a_signature_holds_after_a_restart_and_in_no_other_gateway(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "state"))
    made = FunctionIds(store).generate("ours")
    store.close()
    store = Store(str(tmp_path / "state"))
    elsewhere = Store()
    assert FunctionIds(store).allows("ours", made.id, made.signature)
    assert not FunctionIds(elsewhere).allows("ours", made.id, made.signature)
    store.close()
    elsewhere.close()


@given(partner=st.text(), function_id=st.text(), signature=st.text(min_size=1))
def test_no_text_is_a_signature_by_chance(partner: str, function_id: str, signature: str) -> None:
    store = Store()
    try:
        assert not FunctionIds(store).allows(partner, function_id, signature)
    finally:
        store.close()


@pytest.mark.parametrize("split", range(1, 5))
def test_partner_and_id_are_kept_apart(ids: FunctionIds, split: int) -> None:
    text = "ab1:cd"
    signed = {ids._sign(text[:at], text[at:]) for at in range(len(text) + 1)}
    assert len(signed) == len(text) + 1
    assert not ids.allows(text[:split], text[split:], ids._sign(text[: split - 1], text[split - 1 :]))


def test_ids_of_one_partner_are_bounded(ids: FunctionIds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "FUNCTION_IDS_LIMIT", 3)
    made = [ids.generate("ours") for _ in range(3)]
    assert len({each.id for each in made}) == 3
    with pytest.raises(Exhausted):
        ids.generate("ours")
    ids.generate("theirs")
