"""Function ids that belong to a partner: made here, with a signature that only this partner can use.

Must not know who asks, nor where the key is kept. Source: openOBD's documentation (function
signatures: bound to a partner, never expiring; optional since 1.26.11).
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from typing import Protocol

from bridge.gateway.errors import Exhausted
from bridge.limits import FUNCTION_IDS_LIMIT
from bridge.openobd.messages import FunctionSignature


class FunctionIdStore(Protocol):
    """Where signed ids and the key outlive the process."""

    def signing_key(self) -> bytes:
        """The key, which nobody else knows."""

    def keep_function_id(self, function_id: str, partner: str) -> None:
        """Remember whose an id is."""

    def owner(self, function_id: str) -> str | None:
        """Whose an id is; None where nobody has had it signed."""

    def count_function_ids(self, partner: str) -> int:
        """How many ids a partner has."""


class FunctionIds:
    """Makes signed ids, and says who may use which."""

    def __init__(self, store: FunctionIdStore) -> None:
        self._store = store

    def generate(self, partner: str) -> FunctionSignature:
        """A new id for a partner's function.

        Raises:
            Exhausted: the partner has too many.
        """
        if self._store.count_function_ids(partner) >= FUNCTION_IDS_LIMIT:
            raise Exhausted(f"this partner has {FUNCTION_IDS_LIMIT} signed function ids already")
        function_id = str(uuid.uuid4())
        self._store.keep_function_id(function_id, partner)
        return FunctionSignature(id=function_id, signature=self._sign(partner, function_id))

    def allows(self, partner: str, function_id: str, signature: str) -> bool:
        """Whether a partner may register an id. Without a signature it may if nobody has had the id signed."""
        if not signature:
            return self._store.owner(function_id) is None
        return hmac.compare_digest(signature.encode(), self._sign(partner, function_id).encode())

    def _sign(self, partner: str, function_id: str) -> str:
        message = f"{len(partner)}:{partner}{function_id}"  # the length keeps the two apart
        return hmac.new(self._store.signing_key(), message.encode(), hashlib.sha256).hexdigest()
