"""An ECU's fault memory: the same trouble codes for OBD-II and UDS.

Sans-I/O. It must not know services. Numbers: ISO 14229-1 annex D (DTC status) and SAE J2012 (codes).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

CONFIRMATION = 3  #: a fault that came back is confirmed after so many times its return time


class DtcStatus(enum.IntFlag):
    """Bits of the DTC status byte, ISO 14229-1 annex D.2."""

    TEST_FAILED = 0x01
    PENDING = 0x04
    CONFIRMED = 0x08
    NOT_COMPLETED_SINCE_CLEAR = 0x10
    NOT_COMPLETED_THIS_CYCLE = 0x40


AVAILABILITY_MASK = 0x5D  #: the bits that this ECU supports


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong with the vehicle, and stays so however often the memory is cleared."""

    code: str  #: such as P0420
    failure_type: int = 0x00  #: SAE J2012-DA, the third byte of a DTC in UDS
    confirmed: bool = True  #: already at the start, else pending
    permanent: bool = False  #: a scan tool cannot clear it (mode 0A)
    returns_after: float = 60.0  #: s after clearing until it is noticed again
    occurrences: int = 1

    @property
    def obd(self) -> bytes:
        """The code's two bytes, SAE J2012: P, C, B, U in the upper two bits."""
        return (("PCBU".index(self.code[0]) << 14) | int(self.code[1:], 16)).to_bytes(2, "big")

    @property
    def uds(self) -> bytes:
        """The DTC's three bytes."""
        return self.obd + bytes((self.failure_type,))


class FaultMemory:
    """What an ECU remembers of its faults."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self.faults = faults
        self._cleared: dict[str, float] = {}  # when each was cleared last
        self._frozen_at: float | None = None

    def status(self, fault: Fault, now: float) -> DtcStatus:
        """The DTC status byte of a fault."""
        cleared = self._cleared.get(fault.code)
        if cleared is None:
            if fault.confirmed:
                return DtcStatus.CONFIRMED
            return DtcStatus.TEST_FAILED | DtcStatus.PENDING
        age = (now if self._frozen_at is None else min(now, self._frozen_at)) - cleared
        if age < fault.returns_after:
            return DtcStatus.NOT_COMPLETED_SINCE_CLEAR | DtcStatus.NOT_COMPLETED_THIS_CYCLE
        status = DtcStatus.TEST_FAILED | DtcStatus.PENDING
        return status | DtcStatus.CONFIRMED if age >= CONFIRMATION * fault.returns_after else status

    def matching(self, mask: int, now: float) -> list[tuple[Fault, DtcStatus]]:
        """The faults whose status has any of the mask's bits."""
        found = [(fault, self.status(fault, now)) for fault in self.faults]
        return [(fault, status) for fault, status in found if status & mask & AVAILABILITY_MASK]

    def confirmed(self, now: float) -> list[Fault]:
        """The faults for the malfunction indicator lamp (mode 03)."""
        return [fault for fault, _ in self.matching(DtcStatus.CONFIRMED, now)]

    def pending(self, now: float) -> list[Fault]:
        """The faults of this drive or the last (mode 07)."""
        return [fault for fault, _ in self.matching(DtcStatus.PENDING, now)]

    def permanent(self) -> list[Fault]:
        """The faults that clearing does not remove (mode 0A)."""
        return [fault for fault in self.faults if fault.permanent]

    def find(self, uds: bytes) -> Fault | None:
        """The fault with a DTC of three bytes."""
        return next((fault for fault in self.faults if fault.uds == uds), None)

    def clear(self, now: float, fault: Fault | None = None) -> None:
        """Forget one fault, or all; each comes back after its time."""
        for cleared in self.faults if fault is None else (fault,):
            self._cleared[cleared.code] = now

    def freeze(self, now: float | None) -> None:
        """Stop (from a moment) or resume (None) noticing faults: ControlDTCSetting."""
        self._frozen_at = now
