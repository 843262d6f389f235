"""Bearer tokens: what each kind is for, how long it lives, whose it is.

Only digests are kept, so neither memory nor a log has a token, and finding one takes the same time
whatever its text. This module must not know calls or clocks: `now` is monotonic seconds.

Source: openOBD's documentation (kinds and lives of tokens).
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import secrets
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

from bridge.gateway.errors import Exhausted, Unauthenticated
from bridge.limits import CONTEXT_TOKENS_LIMIT, TOKENS_LIMIT

_TOKEN_BYTES = 32  # 256 bits


class TokenKind(enum.Enum):
    """What a token is for; its value is what messages call it."""

    CONTROLLER = "session controller token"
    AUTHENTICATION = "authentication token"
    SESSION = "session token"
    MONITOR = "monitor token"
    BROKER = "function broker token"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a valid token says: its kind, whose it is (a partner or a function context), from when to when."""

    kind: TokenKind
    holder: Hashable
    issued: float
    expires: float


@dataclass(slots=True)
class _Entry:
    digest: bytes
    claim: Claim


class Tokens:
    """All tokens that have not run out."""

    def __init__(
        self, lives: Mapping[TokenKind, float], make: Callable[[], str] = lambda: secrets.token_urlsafe(_TOKEN_BYTES)
    ) -> None:
        """`lives` are seconds, `make` gives texts that nobody can guess."""
        self._lives = dict(lives)
        self._make = make
        self._entries: dict[bytes, _Entry] = {}
        self._ages: dict[TokenKind, deque[bytes]] = {kind: deque() for kind in TokenKind}
        self._held: dict[tuple[TokenKind, Hashable], deque[bytes]] = {}

    def __len__(self) -> int:
        """How many tokens are known."""
        return len(self._entries)

    def issue(self, kind: TokenKind, holder: Hashable, now: float) -> str:
        """A new token. A holder keeps a few of a kind: the oldest goes when there would be too many.

        Raises:
            Exhausted: there are too many of all holders.
        """
        self._forget_expired(kind, now)
        held = self._held.setdefault((kind, holder), deque())
        if len(held) >= CONTEXT_TOKENS_LIMIT:
            self._entries.pop(held.popleft(), None)
        ages = self._ages[kind]
        while ages and ages[0] not in self._entries:
            ages.popleft()
        if len(ages) >= TOKENS_LIMIT:
            self._ages[kind] = ages = deque(digest for digest in ages if digest in self._entries)
            if len(ages) >= TOKENS_LIMIT:
                raise Exhausted(f"too many {kind.value}s are in use; try again when some have run out")
        text = self._make()
        digest = _digest(text)
        self._entries[digest] = _Entry(digest, Claim(kind, holder, now, now + self._lives[kind]))
        ages.append(digest)
        held.append(digest)
        return text

    def check(self, text: str, kinds: frozenset[TokenKind], now: float) -> Claim:
        """What a token claims.

        Raises:
            Unauthenticated: it is unknown, has run out, or is of another kind; the text never has the token.
        """
        digest = _digest(text)
        entry = self._entries.get(digest)
        if entry is None or not hmac.compare_digest(entry.digest, digest):
            raise Unauthenticated("the token is unknown, has run out or was used")
        if entry.claim.expires <= now:
            self._entries.pop(digest)
            raise Unauthenticated(f"the {entry.claim.kind.value} has run out")
        if entry.claim.kind not in kinds:
            wanted = " or ".join(sorted(kind.value for kind in kinds))
            raise Unauthenticated(f"this call takes the {wanted}, not the {entry.claim.kind.value}")
        return entry.claim

    def revoke(self, kind: TokenKind, holder: Hashable) -> None:
        """Forget all tokens of a kind that somebody holds."""
        for digest in self._held.pop((kind, holder), ()):
            self._entries.pop(digest, None)

    def revoke_all(self, holder: Hashable) -> None:
        """Forget everything that somebody holds."""
        for kind in TokenKind:
            self.revoke(kind, holder)

    def _forget_expired(self, kind: TokenKind, now: float) -> None:
        """Tokens of one kind live equally long, so the oldest run out first."""
        ages = self._ages[kind]
        while ages:
            entry = self._entries.get(ages[0])
            if entry is not None and entry.claim.expires > now:
                return
            digest = ages.popleft()
            if entry is not None:
                del self._entries[digest]
                self._no_longer_held(entry.claim, digest)

    def _no_longer_held(self, claim: Claim, digest: bytes) -> None:
        key = (claim.kind, claim.holder)
        held = self._held.get(key)
        if held is None:
            return
        if digest in held:
            held.remove(digest)
        if not held:
            del self._held[key]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
