"""The simulated vehicle's ECUs: whole payloads in, whole payloads with delays out.

Sans-I/O: `Ecu.request` says what to answer and when. It must not know CAN frames or ISO-TP.
Addresses: ISO 15765-4. The vehicle identification number is made up: no manufacturer has its
first three characters (ISO 3780 gives out no region 0), its check digit is right (49 CFR 565).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bridge.simulator.faults import Fault, FaultMemory
from bridge.simulator.obd import ENGINE_PARAMETERS, TRANSMISSION_PARAMETERS, ObdServices, Parameter
from bridge.simulator.services import (
    P2,
    SILENT_WHEN_FUNCTIONAL,
    Answer,
    NegativeResponse,
    Nrc,
    Reply,
    negative,
)
from bridge.simulator.uds import DataIdentifier, UdsServices
from bridge.simulator.vehicle import ORDINALS, Vehicle

VIN = "0XCBRDGE0R0000042"

OBD_LAST = 0x0A  #: modes up to it are SAE J1979's
RESPONSE_BIT = 0x40  #: in a service's number: this is somebody's answer, not a request
TESTER_PRESENT = 0x3E

FUNCTIONAL_ID = 0x7DF
FUNCTIONAL_ID_EXTENDED = 0x18DB33F1

LOG_LENGTH = 3000  #: bytes of the data identifier LOG
LONGEST_LENGTH = 4092  #: bytes of the data identifier LONGEST: with its header the longest ISO-TP payload
LOG = 0xFD00
LONGEST = 0xFD01
SECURED = 0xFD02
SLOW = 0xFD10
SLOW_WORK = 0.25  #: s


@dataclass(frozen=True, slots=True)
class EcuDescription:
    """What makes an ECU this ECU."""

    name: str  #: as frames.Sender has it
    request_id: int  #: 11 bits; it answers on request_id + 8
    address: int  #: of the 29-bit identifiers 18DAxxF1 and 18DAF1xx
    latency: float  #: s from a request to its answer
    parameters: Mapping[int, Parameter]  #: PIDs of mode 01
    information: Mapping[int, bytes]  #: of mode 09, with the count of items
    identifiers: Mapping[int, DataIdentifier]
    faults: tuple[Fault, ...]

    @property
    def response_id(self) -> int:
        """The 11-bit identifier of its answers."""
        return self.request_id + 8

    @property
    def request_id_extended(self) -> int:
        """The 29-bit identifier of requests to it."""
        return 0x18DA00F1 | self.address << 8

    @property
    def response_id_extended(self) -> int:
        """The 29-bit identifier of its answers."""
        return 0x18DAF100 | self.address


class Ecu:
    """One control unit with its fault memory, OBD-II and UDS."""

    def __init__(self, description: EcuDescription, vehicle: Vehicle, seed: int = 0) -> None:
        self.description = description
        self.faults = FaultMemory(description.faults)
        self._obd = ObdServices(vehicle, self.faults, description.parameters, description.information)
        self._uds = UdsServices(vehicle, self.faults, self._obd, description.identifiers, seed)
        self._busy_until = 0.0
        self._deaf_until = 0.0

    def transmits(self, now: float) -> bool:
        """Whether it sends its normal messages."""
        return self._uds.transmits(now)

    def request(self, payload: bytes, now: float, functional: bool = False) -> list[Answer]:
        """Answer a request; the list is empty where the ECU says nothing.

        Args:
            payload: of one ISO-TP message.
            now: seconds, by the vehicle's clock.
            functional: sent to all ECUs, which keep some negative answers to themselves.
        """
        if not payload or now < self._deaf_until or payload[0] & RESPONSE_BIT:
            return []
        service = payload[0]
        latency = self.description.latency
        if now < self._busy_until and service != TESTER_PRESENT:
            return [Answer(latency, negative(service, Nrc.BUSY_REPEAT_REQUEST))]
        try:
            reply = (self._obd if service <= OBD_LAST else self._uds).handle(payload, now)
        except NegativeResponse as refusal:
            if functional and refusal.code in SILENT_WHEN_FUNCTIONAL:
                return []
            return [Answer(latency, negative(service, refusal.code))]
        return self._answers(service, reply, now)

    def _answers(self, service: int, reply: Reply, now: float) -> list[Answer]:
        latency = self.description.latency
        if reply.silence:
            self._deaf_until = now + latency + reply.silence
        if latency + reply.work <= P2:
            return [] if reply.suppressed else [Answer(latency + reply.work, reply.payload)]
        # Once it has asked for patience an ECU owes the answer, wanted or not (ISO 14229-1, 8.2.2).
        self._busy_until = now + latency + reply.work
        pending = Answer(min(latency, P2), negative(service, Nrc.RESPONSE_PENDING))
        return [pending, Answer(latency + reply.work, reply.payload)]


def make_ecus(vehicle: Vehicle, seed: int = 0, latency: float | None = None) -> tuple[Ecu, ...]:
    """The vehicle's ECUs, engine and transmission; with a `latency` (s) instead of their own."""
    return tuple(
        Ecu(description if latency is None else replace(description, latency=latency), vehicle, seed + number)
        for number, description in enumerate((ENGINE, TRANSMISSION))
    )


def pattern(length: int) -> bytes:
    """The content of long data: byte n is 7 * n + 3, so that a lost or doubled part shows."""
    return bytes((7 * number + 3) & 0xFF for number in range(length))


def _text(text: str) -> DataIdentifier:
    data = text.encode("ascii")
    return DataIdentifier(lambda vehicle: data)


def _identification(part: str, software: str, serial: str, name: str) -> dict[int, DataIdentifier]:
    """What both ECUs say of themselves, ISO 14229-1 annex C."""
    return {
        0xF187: _text(part),
        0xF189: _text(software),
        0xF18A: _text("OPENXC BRIDGE"),
        0xF18C: _text(serial),
        0xF190: _text(VIN),
        0xF191: _text(part + "-H1"),
        0xF195: _text(software),
        0xF197: _text(name),
        0xF198: DataIdentifier(lambda vehicle: b"WORKSHOP00", lengths=range(1, 17)),
        0xF199: DataIdentifier(lambda vehicle: bytes.fromhex("20240229"), lengths=range(4, 5)),
        SECURED: DataIdentifier(lambda vehicle: pattern(16), secured=True),
        SLOW: DataIdentifier(lambda vehicle: pattern(8), work=SLOW_WORK),
    }


def _word(value: float) -> bytes:
    return min(max(round(value), 0), 0xFFFF).to_bytes(2, "big")


def _information(calibration: str, verification: int, name: str) -> dict[int, bytes]:
    """Mode 09: the count of items, then their text padded to the length that SAE J1979-DA gives."""
    return {
        0x02: b"\x01" + VIN.encode("ascii"),
        0x04: b"\x01" + calibration.encode("ascii").ljust(16, b"\0"),
        0x06: b"\x01" + verification.to_bytes(4, "big"),
        0x0A: b"\x01" + name.encode("ascii").ljust(20, b"\0"),
    }


ENGINE = EcuDescription(
    name="engine",
    request_id=0x7E0,
    address=0x10,
    latency=0.004,
    parameters=ENGINE_PARAMETERS,
    information=_information("OXCB-ENG-24.1", 0x1791BC82, "ECM\0-EngineControl"),
    identifiers=_identification("OXB-12A650-ENG", "ENG 24.1.7", "E-0000042", "ECM-EngineControl")
    | {
        LOG: DataIdentifier(lambda vehicle: pattern(LOG_LENGTH)),
        LONGEST: DataIdentifier(lambda vehicle: pattern(LONGEST_LENGTH)),
        0xD100: DataIdentifier(lambda vehicle: _word(vehicle.powertrain.engine_speed)),  # 1/min
        0xD101: DataIdentifier(lambda vehicle: _word(10 * (vehicle.powertrain.coolant + 40))),  # 0.1 °C from -40
        0xD102: DataIdentifier(lambda vehicle: _word(1000 * vehicle.powertrain.fuel)),  # ml
        0xD110: DataIdentifier(lambda vehicle: b"openxc-bridge", lengths=range(1, 65)),  # a tester's note
    },
    faults=(
        Fault("P0420", confirmed=True, permanent=True, returns_after=120.0, occurrences=3),
        Fault("P0171", confirmed=False, returns_after=60.0),
    ),
)

TRANSMISSION = EcuDescription(
    name="transmission",
    request_id=0x7E1,
    address=0x18,
    latency=0.007,
    parameters=TRANSMISSION_PARAMETERS,
    information=_information("OXCB-TRM-11.3", 0x5C0FFEE5, "TCM\0-TransmisCtrl"),
    identifiers=_identification("OXB-7Z369-TRM", "TRM 11.3.2", "T-0000042", "TCM-TransmisCtrl")
    | {
        0xD200: DataIdentifier(  # gear: 0 park, 1 first, ...
            lambda vehicle: bytes((1 + ORDINALS.index(gear) if (gear := vehicle.gear_position) in ORDINALS else 0,))
        ),
        0xD201: DataIdentifier(
            lambda vehicle: _word(10 * (vehicle.powertrain.output_torque + 500))
        ),  # 0.1 Nm from -500
    },
    faults=(Fault("U0100", failure_type=0x87, confirmed=True, returns_after=90.0),),
)
