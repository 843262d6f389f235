"""Security access of a simulated ECU: seeds, keys, wrong attempts and the delay after them.

Sans-I/O. Source: ISO 14229-1, service 0x27. It must not know sessions or other services.
"""

from __future__ import annotations

import random

from bridge.simulator.services import NegativeResponse, Nrc

SEED_LENGTH = 4  #: bytes, of seeds and keys
ATTEMPTS_LIMIT = 3  #: the wrong key that brings the delay
DELAY = 10.0  #: s without seeds after too many wrong keys
SECRETS = {1: 0x4F584342, 3: 0x56454849}  #: by level, as the number of its requestSeed


def security_key(seed: bytes, level: int = 1) -> bytes:
    """The key to a seed: its bits crossed with the level's secret, then turned left by three.

    A made-up algorithm, documented so that anybody can unlock the simulated ECUs. The secret of
    level 1 is 0x4F584342, that of level 3 is 0x56454849.
    """
    mixed = int.from_bytes(seed, "big") ^ SECRETS[level]
    return ((mixed << 3 | mixed >> 29) & 0xFFFFFFFF).to_bytes(SEED_LENGTH, "big")


class SecurityAccess:
    """Which level is unlocked, and the way there."""

    def __init__(self, seed: int = 0) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - simulated security
        self._asked: tuple[int, bytes] | None = None
        self._failures = 0
        self._blocked_until = 0.0
        self.unlocked: int | None = None  #: the level, None when locked

    def lock(self) -> None:
        """A session begins or ends: what was unlocked or asked for is void; wrong attempts still count."""
        self._asked = None
        self.unlocked = None

    def request_seed(self, level: int, now: float) -> bytes:
        """A seed; zeros when the level is unlocked already.

        Raises:
            NegativeResponse: 0x37 during the delay.
        """
        if now < self._blocked_until:
            raise NegativeResponse(Nrc.REQUIRED_TIME_DELAY_NOT_EXPIRED)
        if self.unlocked == level:
            return bytes(SEED_LENGTH)
        if self._asked is None or self._asked[0] != level:
            # Never zeros, which would mean that no key is needed.
            self._asked = level, self._chance.randrange(1, 1 << 32).to_bytes(SEED_LENGTH, "big")
        return self._asked[1]

    def send_key(self, level: int, key: bytes, now: float) -> None:
        """Unlock a level with the key to the seed that was given last.

        Raises:
            NegativeResponse: 0x24 without a seed, 0x35 for a wrong key, 0x36 for one too many.
        """
        if self._asked is None or self._asked[0] != level:
            raise NegativeResponse(Nrc.REQUEST_SEQUENCE_ERROR)
        seed, self._asked = self._asked[1], None
        if key == security_key(seed, level):
            self.unlocked = level
            self._failures = 0
            return
        self._failures += 1
        if self._failures < ATTEMPTS_LIMIT:
            raise NegativeResponse(Nrc.INVALID_KEY)
        self._failures = 0
        self._blocked_until = now + DELAY
        raise NegativeResponse(Nrc.EXCEEDED_NUMBER_OF_ATTEMPTS)
