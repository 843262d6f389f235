"""How many channels hear the same arbitration id: each frame of it takes as much time as there are.

So a session and a partner have only so many, and nobody can hold up the others. Must not know what a
channel makes of its frames.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from bridge.gateway.errors import Exhausted
from bridge.gateway.sessions import Session
from bridge.limits import PARTNER_HEARERS_LIMIT, SESSION_HEARERS_LIMIT


class Hearers:
    """All channels that are open, of all sessions."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[Hashable, int, int]] = Counter()

    @contextmanager
    def hear(self, session: Session, bus: int, arbitration_id: int) -> Iterator[None]:
        """While a channel of a session's hears an id on a bus.

        Raises:
            Exhausted: the session or its partner has too many.
        """
        by_session, by_partner = (session, bus, arbitration_id), (session.partner, bus, arbitration_id)
        if self._counts[by_session] >= SESSION_HEARERS_LIMIT:
            raise Exhausted(f"{SESSION_HEARERS_LIMIT} channels of the session hear 0x{arbitration_id:x} already")
        if self._counts[by_partner] >= PARTNER_HEARERS_LIMIT:
            raise Exhausted(f"{PARTNER_HEARERS_LIMIT} channels of the partner hear 0x{arbitration_id:x} already")
        self._counts.update((by_session, by_partner))
        try:
            yield
        finally:
            self._counts.subtract((by_session, by_partner))
            for key in (by_session, by_partner):
                if not self._counts[key]:
                    del self._counts[key]
