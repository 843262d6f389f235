"""Tokens: the right kind, at the right time, for the right one, and never kept as text."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bridge.gateway import tokens as module
from bridge.gateway.errors import Exhausted, Unauthenticated
from bridge.gateway.tokens import TokenKind, Tokens
from bridge.limits import CONTEXT_TOKENS_LIMIT, PARTNER_TOKENS_LIMIT

LIVES = {kind: 100.0 * number for number, kind in enumerate(TokenKind, 1)}
ANY = frozenset(TokenKind)
PARTNER = "partner"


def kept(tokens: Tokens, texts: list[str], now: float = 0.0) -> list[int]:
    """Which of the texts still hold."""
    found = []
    for index, text in enumerate(texts):
        try:
            tokens.check(text, ANY, now)
        except Unauthenticated:
            continue
        found.append(index)
    return found


@pytest.mark.parametrize("kind", TokenKind)
def test_a_token_says_whose_it_is_until_the_very_end_of_its_life(kind: TokenKind) -> None:
    tokens = Tokens(LIVES)
    text = tokens.issue(kind, "somebody", PARTNER, 1000.0)
    end = 1000.0 + LIVES[kind]
    claim = tokens.check(text, frozenset((kind,)), math.nextafter(end, 0))
    assert (claim.kind, claim.holder, claim.issued, claim.expires) == (kind, "somebody", 1000.0, end)
    with pytest.raises(Unauthenticated, match="run out"):
        tokens.check(text, frozenset((kind,)), end)
    with pytest.raises(Unauthenticated, match="unknown"):
        tokens.check(text, frozenset((kind,)), 1000.0)
    assert len(tokens) == 0


@pytest.mark.parametrize(("kind", "wanted"), list(itertools.permutations(TokenKind, 2)))
def test_a_token_of_another_kind_is_refused_and_named(kind: TokenKind, wanted: TokenKind) -> None:
    tokens = Tokens(LIVES)
    text = tokens.issue(kind, "somebody", PARTNER, 0.0)
    with pytest.raises(Unauthenticated) as refusal:
        tokens.check(text, frozenset((wanted,)), 0.0)
    assert wanted.value in str(refusal.value)
    assert kind.value in str(refusal.value)
    assert text not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "x", "Bearer", "\udc80", "a" * 100_000, "\0"])
def test_no_text_is_a_token_by_chance(text: str) -> None:
    tokens = Tokens(LIVES)
    tokens.issue(TokenKind.SESSION, "somebody", PARTNER, 0.0)
    with pytest.raises(Unauthenticated):
        tokens.check(text, ANY, 0.0)


def test_texts_are_long_and_different() -> None:
    tokens = Tokens(LIVES)
    texts = {tokens.issue(TokenKind.SESSION, number, PARTNER, 0.0) for number in range(1000)}
    assert len(texts) == 1000
    assert all(len(text) >= 43 and text.isascii() for text in texts)


def test_no_text_is_kept() -> None:
    tokens = Tokens(LIVES)
    text = tokens.issue(TokenKind.SESSION, "somebody", PARTNER, 0.0)
    assert text not in repr(vars(tokens))


@pytest.mark.parametrize(
    ("kind", "limit"), [(TokenKind.SESSION, CONTEXT_TOKENS_LIMIT), (TokenKind.CONTROLLER, PARTNER_TOKENS_LIMIT)]
)
def test_a_holder_keeps_the_first_token_and_the_newest(kind: TokenKind, limit: int) -> None:
    tokens = Tokens(LIVES)
    other = tokens.issue(kind, "another", PARTNER, 0.0)
    texts = [tokens.issue(kind, "somebody", PARTNER, 0.0) for _ in range(limit + 5)]
    assert kept(tokens, texts) == [0, *range(6, limit + 5)]
    assert kept(tokens, [other]) == [0]


def test_a_partner_with_too_many_tokens_gets_no_new_holders_until_some_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOKENS_LIMIT", 10)
    tokens = Tokens(LIVES)
    for number in range(10):
        tokens.admit(TokenKind.SESSION, PARTNER, float(number))
        tokens.issue(TokenKind.SESSION, number, PARTNER, float(number))
    tokens.admit(TokenKind.MONITOR, PARTNER, 9.0)
    tokens.admit(TokenKind.SESSION, "another partner", 9.0)
    with pytest.raises(Exhausted, match="this partner has too many session tokens"):
        tokens.admit(TokenKind.SESSION, PARTNER, 9.0)
    tokens.revoke(TokenKind.SESSION, 5)
    tokens.admit(TokenKind.SESSION, PARTNER, 9.0)
    tokens.issue(TokenKind.SESSION, "somebody", PARTNER, 9.0)
    with pytest.raises(Exhausted):
        tokens.admit(TokenKind.SESSION, PARTNER, 9.0)
    tokens.admit(TokenKind.SESSION, PARTNER, LIVES[TokenKind.SESSION])


def test_who_has_tokens_gets_more_at_the_price_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOKENS_LIMIT", 3)
    tokens = Tokens(LIVES)
    other = tokens.issue(TokenKind.SESSION, "another", PARTNER, 0.0)
    texts = [tokens.issue(TokenKind.SESSION, "somebody", PARTNER, 0.0) for _ in range(5)]
    assert kept(tokens, texts) == [0, 4]
    assert kept(tokens, [other]) == [0]
    assert len(tokens) == 3


def test_whether_somebody_holds_a_token() -> None:
    tokens = Tokens(LIVES)
    assert not tokens.any_held(TokenKind.SESSION, "somebody", 0.0)
    tokens.issue(TokenKind.SESSION, "somebody", PARTNER, 0.0)
    end = LIVES[TokenKind.SESSION]
    assert tokens.any_held(TokenKind.SESSION, "somebody", math.nextafter(end, 0))
    assert not tokens.any_held(TokenKind.SESSION, "somebody", end)
    assert not tokens.any_held(TokenKind.MONITOR, "somebody", 0.0)
    assert not tokens.any_held(TokenKind.SESSION, "another", 0.0)


class AgainstTheSimplestModel(RuleBasedStateMachine):
    """Random lives of tokens, beside a list of all that was ever issued."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = Tokens(LIVES)
        self.now = 0.0
        self.issued: list[tuple[str, TokenKind, str, float]] = []  # text, kind, holder, end
        self.revoked: set[str] = set()

    @rule(kind=st.sampled_from(TokenKind), holder=st.sampled_from("abc"))
    def issue(self, kind: TokenKind, holder: str) -> None:
        text = self.tokens.issue(kind, holder, PARTNER, self.now)
        held = [one for one in self.holding() if one[1:3] == (kind, holder)]
        if kind not in (TokenKind.CONTROLLER, TokenKind.BROKER) and len(held) >= CONTEXT_TOKENS_LIMIT:
            self.revoked.add(held[1][0])
        self.issued.append((text, kind, holder, self.now + LIVES[kind]))

    @rule(kind=st.sampled_from(TokenKind), holder=st.sampled_from("abc"))
    def revoke(self, kind: TokenKind, holder: str) -> None:
        self.tokens.revoke(kind, holder)
        self.revoked |= {text for text, *whose, _ in self.issued if whose == [kind, holder]}

    @rule(holder=st.sampled_from("abc"))
    def revoke_all(self, holder: str) -> None:
        self.tokens.revoke_all(holder)
        self.revoked |= {text for text, _, whose, _ in self.issued if whose == holder}

    @rule(seconds=st.sampled_from([0.0, 1.0, 50.0, 100.0, 500.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(data=st.data())
    def check(self, data: st.DataObject) -> None:
        if not self.issued:
            return
        text, kind, holder, _ = one = data.draw(st.sampled_from(self.issued))
        if one in self.holding():
            assert self.tokens.check(text, ANY, self.now).holder == holder
            assert self.tokens.check(text, frozenset((kind,)), self.now).kind is kind
        else:
            with pytest.raises(Unauthenticated):
                self.tokens.check(text, ANY, self.now)

    def holding(self) -> list[tuple[str, TokenKind, str, float]]:
        return [one for one in self.issued if one[0] not in self.revoked and one[3] > self.now]

    @invariant()
    def knows_no_more_than_it_must(self) -> None:
        assert len(self.tokens) >= len(self.holding())
        assert {kind for kind in TokenKind for who in "abc" if self.tokens.any_held(kind, who, self.now)} == {
            kind for _, kind, _, _ in self.holding()
        }


TestAgainstTheSimplestModel = AgainstTheSimplestModel.TestCase
