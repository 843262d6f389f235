"""Routines that a tester can start in a simulated ECU.

Sans-I/O. Source: ISO 14229-1, service 0x31. It must not know other services.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.simulator.services import NegativeResponse, Nrc

START, STOP, RESULTS = 1, 2, 3  #: sub-functions

FINISHED, RUNNING, STOPPED = 0x00, 0x01, 0x02  #: routineStatusRecord, its first byte


@dataclass(frozen=True, slots=True)
class Routine:
    """Something that an ECU can do. A routine is over when it is answered, or runs on for a while."""

    name: str
    work: float = 0.0  #: s until the start is answered
    duration: float = 0.0  #: s that it runs on after that
    secured: bool = False  #: needs an unlocked programming session
    result: bytes = b""  #: what it finds, behind the status


ROUTINES: Mapping[int, Routine] = {
    0x0203: Routine("check programming preconditions"),
    0x0301: Routine("fan self-test", duration=3.0, result=bytes.fromhex("09c4")),
    0x0302: Routine("throttle adaptation", work=0.4, result=bytes.fromhex("0b")),
    0xFF00: Routine("erase memory", work=1.5, secured=True),
}


class RoutineControl:
    """What runs, and what has run."""

    def __init__(self) -> None:
        self._started: dict[int, float] = {}
        self._stopped: set[int] = set()

    def reset(self) -> None:
        """The ECU starts anew: nothing runs, nothing is known."""
        self._started.clear()
        self._stopped.clear()

    def control(self, action: int, identifier: int, now: float) -> bytes:
        """Start, stop or ask a routine that exists; its status record.

        Raises:
            NegativeResponse: 0x24 for starting what runs, stopping what doesn't, asking what never ran.
        """
        routine = ROUTINES[identifier]
        running = identifier in self._started and self._status(identifier, now) == RUNNING
        if action == START:
            if running:
                raise NegativeResponse(Nrc.REQUEST_SEQUENCE_ERROR)
            self._started[identifier] = now
            self._stopped.discard(identifier)
            return bytes((RUNNING,)) if routine.duration else bytes((FINISHED,)) + routine.result
        if identifier not in self._started or (action == STOP and not running):
            raise NegativeResponse(Nrc.REQUEST_SEQUENCE_ERROR)
        if action == STOP:
            self._stopped.add(identifier)
        status = self._status(identifier, now)
        return bytes((status,)) + (routine.result if status == FINISHED else b"")

    def _status(self, identifier: int, now: float) -> int:
        if identifier in self._stopped:
            return STOPPED
        return RUNNING if now - self._started[identifier] < ROUTINES[identifier].duration else FINISHED
