"""Bearer tokens: what each kind is for, how long it lives, whose it is.

Only digests are kept, so neither memory nor a log has a token, and how long it takes to find one tells
nothing about its text. This module must not know calls or clocks: `now` is monotonic seconds.

Source: openOBD's documentation (kinds and lives of tokens).
"""

from __future__ import annotations

import enum
import hashlib
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from itertools import islice

from bridge.gateway.errors import Exhausted, Unauthenticated
from bridge.limits import CONTEXT_TOKENS_LIMIT, PARTNER_TOKENS_LIMIT, TOKENS_LIMIT

_TOKEN_BYTES = 32  # 256 bits


class TokenKind(enum.Enum):
    """What a token is for; its value is what messages call it."""

    CONTROLLER = "session controller token"
    AUTHENTICATION = "authentication token"
    SESSION = "session token"
    MONITOR = "monitor token"
    BROKER = "function broker token"


_HELD_LIMITS = {
    TokenKind.CONTROLLER: PARTNER_TOKENS_LIMIT,
    TokenKind.BROKER: PARTNER_TOKENS_LIMIT,
    TokenKind.AUTHENTICATION: CONTEXT_TOKENS_LIMIT,
    TokenKind.SESSION: CONTEXT_TOKENS_LIMIT,
    TokenKind.MONITOR: CONTEXT_TOKENS_LIMIT,
}
_HELD_LEAST = 2  # the first one and the newest


@dataclass(frozen=True, slots=True)
class Claim:
    """What a valid token says: its kind, whose it is (a partner or a function context), from when to when."""

    kind: TokenKind
    holder: Hashable
    partner: str  #: that it counts for
    issued: float
    expires: float


class Tokens:
    """All tokens that have not run out."""

    def __init__(
        self, lives: Mapping[TokenKind, float], make: Callable[[], str] = lambda: secrets.token_urlsafe(_TOKEN_BYTES)
    ) -> None:
        """`lives` are seconds, `make` gives texts that nobody can guess."""
        self._lives = dict(lives)
        self._make = make
        self._claims: dict[TokenKind, OrderedDict[bytes, Claim]] = {kind: OrderedDict() for kind in TokenKind}
        self._held: dict[tuple[TokenKind, Hashable], OrderedDict[bytes, None]] = {}
        self._counts: Counter[tuple[TokenKind, str]] = Counter()  # by partner

    def __len__(self) -> int:
        """How many tokens are known."""
        return sum(map(len, self._claims.values()))

    def admit(self, kind: TokenKind, partner: str, now: float) -> None:
        """Check that one more holder of a partner's may have tokens of a kind; to be asked before anything begins.

        Raises:
            Exhausted: the partner has too many; others do not count.
        """
        self._forget_expired(kind, now)
        if self._full(kind, partner):
            raise Exhausted(f"this partner has too many {kind.value}s; try again when some have run out")

    def issue(self, kind: TokenKind, holder: Hashable, partner: str, now: float) -> str:
        """A new token, always: who has none cannot even end what it holds.

        A holder keeps so many of a kind: the first one, which may still be on its way to whom it is for, and
        the newest. Where its partner has too many, one of its own goes for each new one, down to two.
        """
        self._forget_expired(kind, now)
        held = self._held.get((kind, holder), ())
        if len(held) >= (_HELD_LEAST if self._full(kind, partner) else _HELD_LIMITS[kind]):
            self._forget(kind, next(islice(held, 1, None)))
        text = self._make()
        digest = _digest(text)
        self._claims[kind][digest] = Claim(kind, holder, partner, now, now + self._lives[kind])
        self._held.setdefault((kind, holder), OrderedDict())[digest] = None
        self._counts[kind, partner] += 1
        return text

    def _full(self, kind: TokenKind, partner: str) -> bool:
        return self._counts[kind, partner] >= TOKENS_LIMIT

    def check(self, text: str, kinds: frozenset[TokenKind], now: float) -> Claim:
        """What a token claims.

        Raises:
            Unauthenticated: it is unknown, has run out, or is of another kind; the text never has the token.
        """
        digest = _digest(text)
        claim = next((claims[digest] for claims in self._claims.values() if digest in claims), None)
        if claim is None:
            raise Unauthenticated("the token is unknown, has run out or was used")
        if claim.expires <= now:
            self._forget(claim.kind, digest)
            raise Unauthenticated(f"the {claim.kind.value} has run out")
        if claim.kind not in kinds:
            wanted = " or ".join(sorted(kind.value for kind in kinds))
            raise Unauthenticated(f"this call takes the {wanted}, not the {claim.kind.value}")
        return claim

    def any_held(self, kind: TokenKind, holder: Hashable, now: float) -> bool:
        """Whether somebody has a token of a kind that has not run out."""
        held = self._held.get((kind, holder))
        return held is not None and self._claims[kind][next(reversed(held))].expires > now

    def revoke(self, kind: TokenKind, holder: Hashable) -> None:
        """Forget all tokens of a kind that somebody holds."""
        for digest in list(self._held.get((kind, holder), ())):
            self._forget(kind, digest)

    def revoke_all(self, holder: Hashable) -> None:
        """Forget everything that somebody holds."""
        for kind in TokenKind:
            self.revoke(kind, holder)

    def _forget_expired(self, kind: TokenKind, now: float) -> None:
        """Tokens of one kind live equally long, so the oldest run out first."""
        claims = self._claims[kind]
        while claims:
            digest, claim = next(iter(claims.items()))
            if claim.expires > now:
                return
            self._forget(kind, digest)

    def _forget(self, kind: TokenKind, digest: bytes) -> None:
        claim = self._claims[kind].pop(digest)
        self._counts[kind, claim.partner] -= 1
        key = (kind, claim.holder)
        del self._held[key][digest]
        if not self._held[key]:
            del self._held[key]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
