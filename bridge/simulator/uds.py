"""UDS services of a simulated ECU: sessions, reset, trouble codes, data, security, routines.

Sans-I/O. Source: ISO 14229-1; the order in which a request is checked is that of its figures 5 to 7.
It must not know OBD-II modes beyond the data that UDS mirrors, nor addresses.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bridge.limits import PAYLOAD_LIMIT
from bridge.simulator.faults import AVAILABILITY_MASK, FaultMemory
from bridge.simulator.obd import ObdServices
from bridge.simulator.routines import ROUTINES, RoutineControl
from bridge.simulator.security import SEED_LENGTH, SecurityAccess
from bridge.simulator.services import (
    P2,
    P2_EXTENDED,
    POSITIVE,
    NegativeResponse,
    Nrc,
    Reply,
)
from bridge.simulator.vehicle import Vehicle

S3 = 5.0  #: s, S3server: how long a session other than the default lasts without a request
DIDS_LIMIT = 8  #: data identifiers in one request
SUPPRESS = 0x80  #: suppressPosRspMsgIndicationBit, in the sub-function
DTC_FORMAT = 0x01  #: ISO 14229-1 DTC format
ALL_GROUPS = b"\xff\xff\xff"
BOOT_TIME = 0.4  #: s that a reset takes


class Session(enum.IntEnum):
    """Diagnostic sessions, by their sub-function of service 0x10."""

    DEFAULT = 0x01
    PROGRAMMING = 0x02
    EXTENDED = 0x03


ANY = frozenset(Session)
EXTENDED_ONLY = frozenset((Session.EXTENDED,))
PROGRAMMING_ONLY = frozenset((Session.PROGRAMMING,))
NOT_DEFAULT = EXTENDED_ONLY | PROGRAMMING_ONLY


@dataclass(frozen=True, slots=True)
class DataIdentifier:
    """Data with a number. Writing takes the extended session and an unlocked ECU."""

    read: Callable[[Vehicle], bytes]
    work: float = 0.0  #: s that reading takes
    secured: bool = False  #: reading takes an unlocked ECU
    lengths: range = range(0)  #: bytes that may be written; none: read only


@dataclass(frozen=True, slots=True)
class Service:
    """How a request of a service is checked, and who answers it."""

    handler: Callable[[UdsServices, bytes, float], Reply]
    minimum: int  #: bytes of a request, the service's own included
    maximum: int
    sub_functions: Mapping[int, frozenset[Session]] | None = None  #: with the sessions that they exist in
    sessions: frozenset[Session] = ANY


class UdsServices:
    """The UDS side of an ECU."""

    def __init__(
        self,
        vehicle: Vehicle,
        faults: FaultMemory,
        obd: ObdServices,
        identifiers: Mapping[int, DataIdentifier],
        seed: int = 0,
    ) -> None:
        self._vehicle = vehicle
        self._faults = faults
        self._obd = obd
        self._identifiers = identifiers
        self._written: dict[int, bytes] = {}
        self._security = SecurityAccess(seed)
        self._routines = RoutineControl()
        self._session = Session.DEFAULT
        self._expires = 0.0
        self._transmits = True

    def session(self, now: float) -> Session:
        """The active session; the default one when S3 has run out."""
        if self._session is not Session.DEFAULT and now >= self._expires:
            self._enter(Session.DEFAULT)
        return self._session

    def transmits(self, now: float) -> bool:
        """Whether the ECU sends its normal messages (CommunicationControl)."""
        self.session(now)
        return self._transmits

    def handle(self, payload: bytes, now: float) -> Reply:
        """Answer a request.

        Raises:
            NegativeResponse: as ISO 14229-1 says.
        """
        session = self.session(now)
        self._expires = now + S3
        service = SERVICES.get(payload[0])
        if service is None:
            raise NegativeResponse(Nrc.SERVICE_NOT_SUPPORTED)
        if session not in service.sessions:
            raise NegativeResponse(Nrc.SERVICE_NOT_SUPPORTED_IN_ACTIVE_SESSION)
        suppressed = False
        if service.sub_functions is not None:
            suppressed, payload = _check_sub_function(service.sub_functions, payload, session)
        if not service.minimum <= len(payload) <= service.maximum:
            raise NegativeResponse(Nrc.INCORRECT_MESSAGE_LENGTH_OR_INVALID_FORMAT)
        reply = service.handler(self, payload, now)
        self._expires = now + reply.work + S3
        return Reply(reply.payload, reply.work, suppressed, reply.silence)

    def _enter(self, session: Session) -> None:
        """Begin a session: whatever the last one allowed is over."""
        self._session = session
        self._security.lock()
        if session is Session.DEFAULT:
            self._transmits = True
            self._faults.freeze(None)
            self._routines.reset()

    def _still(self) -> None:
        if self._vehicle.speed > 0:
            raise NegativeResponse(Nrc.CONDITIONS_NOT_CORRECT)

    # One method per service; the payload's length and sub-function have been checked.

    def diagnostic_session_control(self, payload: bytes, now: float) -> Reply:
        """0x10: the session, and P2 in ms and P2* in 10 ms. Programming only at a standstill."""
        session = Session(payload[1])
        if session is Session.PROGRAMMING:
            self._still()
        self._enter(session)
        return Reply(_echo(payload) + _words(round(P2 * 1000), round(P2_EXTENDED * 100)))

    def ecu_reset(self, payload: bytes, now: float) -> Reply:
        """0x11: a soft reset at any time, the others at a standstill; then nobody answers for BOOT_TIME."""
        if payload[1] != 0x03:
            self._still()
        self._enter(Session.DEFAULT)
        return Reply(_echo(payload), silence=BOOT_TIME)

    def clear_diagnostic_information(self, payload: bytes, now: float) -> Reply:
        """0x14: all codes or one; another group is out of range."""
        if payload[1:] == ALL_GROUPS:
            self._obd.clear(now)
        elif (fault := self._faults.find(payload[1:])) is not None:
            self._obd.clear(now, fault)
        else:
            raise NegativeResponse(Nrc.REQUEST_OUT_OF_RANGE)
        return Reply(_echo(payload, 1))

    def read_dtc_information(self, payload: bytes, now: float) -> Reply:
        """0x19: number by status (01), list by status (02), counters of one code (06), all that are known (0A)."""
        length, report = DTC_REPORTS[payload[1]]
        if len(payload) != length:
            raise NegativeResponse(Nrc.INCORRECT_MESSAGE_LENGTH_OR_INVALID_FORMAT)
        return Reply(_echo(payload) + report(self._faults, payload[2:], now))

    def read_data_by_identifier(self, payload: bytes, now: float) -> Reply:
        """0x22: those of the identifiers that exist; none of them is out of range."""
        numbers = [int.from_bytes(payload[at : at + 2], "big") for at in range(1, len(payload), 2)]
        if len(payload) % 2 == 0 or len(numbers) > DIDS_LIMIT:
            raise NegativeResponse(Nrc.INCORRECT_MESSAGE_LENGTH_OR_INVALID_FORMAT)
        answer = _echo(payload, 1)
        work = 0.0
        for number in numbers:
            data = self._read(number, now)
            if data is not None:
                answer += number.to_bytes(2, "big") + data
                work += self._identifiers[number].work if number in self._identifiers else 0.0
        if len(answer) == 1:
            raise NegativeResponse(Nrc.REQUEST_OUT_OF_RANGE)
        if len(answer) > PAYLOAD_LIMIT:
            raise NegativeResponse(Nrc.RESPONSE_TOO_LONG)
        return Reply(answer, work)

    def _read(self, number: int, now: float) -> bytes | None:
        identifier = self._identifiers.get(number)
        if identifier is not None:
            if identifier.secured and self._security.unlocked is None:
                raise NegativeResponse(Nrc.SECURITY_ACCESS_DENIED)
            return self._written.get(number) or identifier.read(self._vehicle)
        if number == ACTIVE_SESSION:
            return bytes((self._session,))
        if number >> 8 == OBD_PARAMETERS:
            return self._obd.parameter(number & 0xFF, now)
        return self._obd.information(number & 0xFF) if number >> 8 == OBD_INFORMATION else None

    def security_access(self, payload: bytes, now: float) -> Reply:
        """0x27: seeds for odd sub-functions, keys for even ones."""
        sub_function = payload[1]
        if sub_function % 2:
            if len(payload) != 2:
                raise NegativeResponse(Nrc.INCORRECT_MESSAGE_LENGTH_OR_INVALID_FORMAT)
            return Reply(_echo(payload) + self._security.request_seed(sub_function, now))
        if len(payload) != 2 + SEED_LENGTH:
            raise NegativeResponse(Nrc.INCORRECT_MESSAGE_LENGTH_OR_INVALID_FORMAT)
        self._security.send_key(sub_function - 1, payload[2:], now)
        return Reply(_echo(payload))

    def communication_control(self, payload: bytes, now: float) -> Reply:
        """0x28: normal messages on or off; network management has none here to switch."""
        if payload[2] not in (0x01, 0x02, 0x03):
            raise NegativeResponse(Nrc.REQUEST_OUT_OF_RANGE)
        if payload[2] & 0x01:
            self._transmits = payload[1] in (0x00, 0x02)
        return Reply(_echo(payload))

    def write_data_by_identifier(self, payload: bytes, now: float) -> Reply:
        """0x2E: what may be written, in an unlocked extended session."""
        number = int.from_bytes(payload[1:3], "big")
        identifier = self._identifiers.get(number)
        if identifier is None or not identifier.lengths:
            raise NegativeResponse(Nrc.REQUEST_OUT_OF_RANGE)
        if self._security.unlocked is None:
            raise NegativeResponse(Nrc.SECURITY_ACCESS_DENIED)
        if len(payload) - 3 not in identifier.lengths:
            raise NegativeResponse(Nrc.INCORRECT_MESSAGE_LENGTH_OR_INVALID_FORMAT)
        self._written[number] = payload[3:]
        return Reply(_echo(payload, 3))

    def routine_control(self, payload: bytes, now: float) -> Reply:
        """0x31: start, stop, results."""
        identifier = int.from_bytes(payload[2:4], "big")
        routine = ROUTINES.get(identifier)
        if routine is None:
            raise NegativeResponse(Nrc.REQUEST_OUT_OF_RANGE)
        if routine.secured and (self._session is not Session.PROGRAMMING or self._security.unlocked is None):
            raise NegativeResponse(Nrc.SECURITY_ACCESS_DENIED)
        status = self._routines.control(payload[1], identifier, now)
        return Reply(_echo(payload, 4) + status, routine.work if payload[1] == 1 else 0.0)

    def tester_present(self, payload: bytes, now: float) -> Reply:
        """0x3E: the session lives on, which it does by any request."""
        return Reply(_echo(payload))

    def control_dtc_setting(self, payload: bytes, now: float) -> Reply:
        """0x85: notice faults (01) or don't (02)."""
        self._faults.freeze(None if payload[1] == 0x01 else now)
        return Reply(_echo(payload))


def _check_sub_function(
    known: Mapping[int, frozenset[Session]], payload: bytes, session: Session
) -> tuple[bool, bytes]:
    """Whether a positive answer is unwanted, and the payload without the bit that says so."""
    if len(payload) < 2:
        raise NegativeResponse(Nrc.INCORRECT_MESSAGE_LENGTH_OR_INVALID_FORMAT)
    number = payload[1] & ~SUPPRESS
    if number not in known:
        raise NegativeResponse(Nrc.SUB_FUNCTION_NOT_SUPPORTED)
    if session not in known[number]:
        raise NegativeResponse(Nrc.SUB_FUNCTION_NOT_SUPPORTED_IN_ACTIVE_SESSION)
    return bool(payload[1] & SUPPRESS), payload[:1] + bytes((number,)) + payload[2:]


def _echo(payload: bytes, length: int = 2) -> bytes:
    """The beginning of a positive answer: the service's, then what the request said."""
    return bytes((payload[0] + POSITIVE,)) + payload[1:length]


def _words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(2, "big") for number in numbers)


def _count_by_status(faults: FaultMemory, request: bytes, now: float) -> bytes:
    count = len(faults.matching(request[0], now))
    return bytes((AVAILABILITY_MASK, DTC_FORMAT)) + count.to_bytes(2, "big")


def _list_by_status(faults: FaultMemory, request: bytes, now: float) -> bytes:
    found = faults.matching(request[0], now)
    return bytes((AVAILABILITY_MASK,)) + b"".join(fault.uds + bytes((status,)) for fault, status in found)


def _counters(faults: FaultMemory, request: bytes, now: float) -> bytes:
    """Record 01: how often the fault occurred; FF: all records there are."""
    fault = faults.find(request[:3])
    if fault is None or request[3] not in (0x01, 0xFF):
        raise NegativeResponse(Nrc.REQUEST_OUT_OF_RANGE)
    return fault.uds + bytes((faults.status(fault, now), 0x01, fault.occurrences))


def _all_known(faults: FaultMemory, request: bytes, now: float) -> bytes:
    known = b"".join(fault.uds + bytes((faults.status(fault, now),)) for fault in faults.faults)
    return bytes((AVAILABILITY_MASK,)) + known


#: Sub-functions of service 0x19: the request's length, and who answers.
DTC_REPORTS: Mapping[int, tuple[int, Callable[[FaultMemory, bytes, float], bytes]]] = {
    0x01: (3, _count_by_status),
    0x02: (3, _list_by_status),
    0x06: (6, _counters),
    0x0A: (2, _all_known),
}

ACTIVE_SESSION = 0xF186  #: data identifiers that are not in a table, ISO 14229-1 annex C
OBD_PARAMETERS = 0xF4
OBD_INFORMATION = 0xF8

SERVICES: Mapping[int, Service] = {
    0x10: Service(UdsServices.diagnostic_session_control, 2, 2, dict.fromkeys(Session, ANY)),
    0x11: Service(UdsServices.ecu_reset, 2, 2, dict.fromkeys((1, 2, 3), ANY)),
    0x14: Service(UdsServices.clear_diagnostic_information, 4, 4),
    0x19: Service(UdsServices.read_dtc_information, 2, 6, dict.fromkeys(DTC_REPORTS, ANY)),
    0x22: Service(UdsServices.read_data_by_identifier, 3, 2 * DIDS_LIMIT + 1),
    0x27: Service(
        UdsServices.security_access,
        2,
        2 + SEED_LENGTH,
        {1: EXTENDED_ONLY, 2: EXTENDED_ONLY, 3: PROGRAMMING_ONLY, 4: PROGRAMMING_ONLY},
        NOT_DEFAULT,
    ),
    0x28: Service(UdsServices.communication_control, 3, 3, dict.fromkeys((0, 1, 2, 3), ANY), EXTENDED_ONLY),
    0x2E: Service(UdsServices.write_data_by_identifier, 4, PAYLOAD_LIMIT, None, EXTENDED_ONLY),
    0x31: Service(UdsServices.routine_control, 4, 4, dict.fromkeys((1, 2, 3), ANY)),
    0x3E: Service(UdsServices.tester_present, 2, 2, {0: ANY}),
    0x85: Service(UdsServices.control_dtc_setting, 2, 2, dict.fromkeys((1, 2), ANY), EXTENDED_ONLY),
}
