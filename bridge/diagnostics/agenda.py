"""Agenda: when each of many things is to be looked at again, one time each.

It must not know what the things are, nor the time: `now` is handed in.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_SLACK = 32  #: stale heap items that are not worth a clean-up


class Agenda(Generic[K]):
    """A heap of times with lazy deletion: every operation is O(log n), amortised."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, K]] = []
        self._serials: dict[K, int] = {}
        self._counter = itertools.count()

    def __len__(self) -> int:
        return len(self._serials)

    def set(self, key: K, when: float) -> None:
        """Have `key` due at `when`, and at no other time."""
        serial = next(self._counter)
        self._serials[key] = serial
        heapq.heappush(self._heap, (when, serial, key))
        # Times that are moved again and again must not grow the heap.
        if len(self._heap) > 2 * len(self._serials) + _SLACK:
            self._heap = [item for item in self._heap if self._serials.get(item[2]) == item[1]]
            heapq.heapify(self._heap)

    def discard(self, key: K) -> None:
        """Have `key` due no more."""
        self._serials.pop(key, None)

    def next_time(self) -> float | None:
        """The earliest time set; None when there is none."""
        while self._heap:
            when, serial, key = self._heap[0]
            if self._serials.get(key) == serial:
                return when
            heapq.heappop(self._heap)
        return None

    def due(self, now: float) -> list[K]:
        """Take out everything due at or before `now`, earliest first."""
        keys = []
        while (when := self.next_time()) is not None and when <= now:
            key = heapq.heappop(self._heap)[2]
            del self._serials[key]
            keys.append(key)
        return keys
