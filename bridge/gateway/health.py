"""How a vehicle connection does: since when its buses are there, and how soon its ECUs answer.

Must not know buses beyond their numbers, nor clocks. Source: openOBD's protocol comments
(ConnectorInformation).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from bridge.limits import HEALTHY_LATENCY, LATENCY_SAMPLES


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of some buses together."""

    since: float | None  #: Unix seconds from which on all of them have been there; None: one is missing
    latency: float | None  #: seconds that the last answer took; None: there was none yet
    average: float | None  #: of the last LATENCY_SAMPLES answers

    @property
    def connected(self) -> bool:
        """Whether all of them are there."""
        return self.since is not None

    @property
    def healthy(self) -> bool:
        """Whether they are there and answer soon enough; nobody has to have asked anything."""
        return self.connected and (self.average is None or self.average < HEALTHY_LATENCY)


class Health:
    """What was seen of all buses."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}  # of those that are there
        self._samples: dict[int, deque[tuple[int, float]]] = {}  # bus -> (which sample of all, seconds)
        self._count = 0

    def observe(self, bus: int, connected: bool, now: float) -> None:
        """Whether a bus is there at `now` (Unix seconds). What ECUs did before a loss says nothing any more."""
        if connected:
            self._since.setdefault(bus, now)
        else:
            self._since.pop(bus, None)
            self._samples.pop(bus, None)

    def answered(self, bus: int, seconds: float) -> None:
        """An ECU has given the first answer to a request."""
        self._count += 1
        self._samples.setdefault(bus, deque(maxlen=LATENCY_SAMPLES)).append((self._count, seconds))

    def report(self, buses: Collection[int]) -> Report:
        """These buses as one connection. None at all is no connection."""
        samples = sorted(sample for bus in buses for sample in self._samples.get(bus, ()))
        last = [seconds for _, seconds in samples[-LATENCY_SAMPLES:]]
        there = buses and all(bus in self._since for bus in buses)
        return Report(
            since=max(self._since[bus] for bus in buses) if there else None,
            latency=last[-1] if last else None,
            average=sum(last) / len(last) if last else None,
        )
