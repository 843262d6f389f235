"""OBD-II services of a simulated ECU: modes 01 to 04, 07, 09 and 0A.

Sans-I/O. Source: SAE J1979 (services, PIDs and their scaling), SAE J1979-DA (information types),
ISO 15765-4 (what a functional request may be answered with). It must not know UDS or addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from bridge.simulator.cabin import Ignition
from bridge.simulator.faults import Fault, FaultMemory
from bridge.simulator.powertrain import AMBIENT, CUT_OFF_SPEED, TANK
from bridge.simulator.services import POSITIVE, NegativeResponse, Nrc, Reply
from bridge.simulator.vehicle import Vehicle

PIDS_LIMIT = 6  #: in one request of mode 01
FREEZE_PIDS_LIMIT = 3  #: in one request of mode 02
RANGE = 0x20  #: PIDs in one bitmap
REFERENCE_TORQUE = 240  #: Nm, PID 63
DISTANCE_BEFORE = 386.0  #: km since the codes were cleared last, when the simulation begins
BAROMETRIC_PRESSURE = 98  #: kPa


@dataclass(frozen=True, slots=True)
class View:
    """What a parameter is computed from."""

    vehicle: Vehicle
    faults: FaultMemory
    distance_since_clear: float  #: km
    now: float


@dataclass(frozen=True, slots=True)
class Parameter:
    """One PID: its length in bytes and its raw value, clipped to what fits."""

    length: int
    value: Callable[[View], float]

    def data(self, view: View) -> bytes:
        """The data bytes now."""
        raw = min(max(round(self.value(view)), 0), (1 << 8 * self.length) - 1)
        return int.to_bytes(raw, self.length, "big")


def _percent(share: float) -> float:
    return share * 255 / 100


def _monitors(view: View) -> float:
    """PID 01: the lamp, the number of confirmed codes, and which tests exist (all have run)."""
    count = len(view.faults.confirmed(view.now))
    return (0x80 if count else 0) << 24 | count << 24 | 0x07 << 16 | 0x65 << 8


def _fuel_system(view: View) -> float:
    """PID 03: 01 open loop (cold), 02 closed loop, 04 open loop (overrun)."""
    engine = view.vehicle.powertrain
    if not engine.running:
        return 0
    if engine.engine_torque < 0 and engine.engine_speed > CUT_OFF_SPEED:
        return 0x0400
    return 0x0200 if engine.coolant > 45 else 0x0100


def _voltage(view: View) -> float:
    if view.vehicle.powertrain.running:
        return 14.15
    return 10.6 if view.vehicle.cabin.ignition is Ignition.START else 12.4


def _torque_percent(view: View) -> float:
    return 100 * view.vehicle.powertrain.engine_torque / REFERENCE_TORQUE


ENGINE_PARAMETERS: Mapping[int, Parameter] = {
    0x01: Parameter(4, _monitors),
    0x03: Parameter(2, _fuel_system),
    0x04: Parameter(1, lambda view: _percent(view.vehicle.powertrain.engine_load)),
    0x05: Parameter(1, lambda view: view.vehicle.powertrain.coolant + 40),
    0x06: Parameter(1, lambda view: 128 + view.vehicle.powertrain.engine_load / 25 - 2),
    0x07: Parameter(1, lambda view: 131),
    0x0B: Parameter(1, lambda view: 28 + 0.7 * view.vehicle.powertrain.engine_load),
    0x0C: Parameter(2, lambda view: 4 * view.vehicle.powertrain.engine_speed),
    0x0D: Parameter(1, lambda view: 3.6 * view.vehicle.speed),
    0x0E: Parameter(1, lambda view: 2 * (74 + view.vehicle.powertrain.engine_speed / 250)),
    0x0F: Parameter(1, lambda view: view.vehicle.powertrain.intake_air + 40),
    0x10: Parameter(2, lambda view: 100 * view.vehicle.powertrain.air_flow),
    0x11: Parameter(1, lambda view: _percent(view.vehicle.powertrain.throttle)),
    0x13: Parameter(1, lambda view: 0x03),
    0x1C: Parameter(1, lambda view: 0x06),  # EOBD
    0x1F: Parameter(2, lambda view: view.vehicle.powertrain.run_time),
    0x21: Parameter(2, lambda view: view.distance_since_clear if view.faults.confirmed(view.now) else 0),
    0x2F: Parameter(1, lambda view: _percent(100 * view.vehicle.powertrain.fuel / TANK)),
    0x30: Parameter(1, lambda view: view.distance_since_clear / 20),
    0x31: Parameter(2, lambda view: view.distance_since_clear),
    0x33: Parameter(1, lambda view: BAROMETRIC_PRESSURE),
    0x42: Parameter(2, lambda view: 1000 * _voltage(view)),
    0x43: Parameter(2, lambda view: _percent(0.85 * view.vehicle.powertrain.engine_load)),
    0x44: Parameter(2, lambda view: 32768),
    0x45: Parameter(1, lambda view: _percent(view.vehicle.powertrain.throttle - 11)),
    0x46: Parameter(1, lambda view: AMBIENT + 40),
    0x49: Parameter(1, lambda view: _percent(15 + 0.7 * view.vehicle.powertrain.accelerator)),
    0x4A: Parameter(1, lambda view: _percent(7.5 + 0.35 * view.vehicle.powertrain.accelerator)),
    0x4C: Parameter(1, lambda view: _percent(view.vehicle.powertrain.throttle)),
    0x51: Parameter(1, lambda view: 0x01),  # petrol
    0x5A: Parameter(1, lambda view: _percent(view.vehicle.powertrain.accelerator)),
    0x5C: Parameter(1, lambda view: view.vehicle.powertrain.oil + 40),
    0x5E: Parameter(2, lambda view: 20 * view.vehicle.powertrain.fuel_flow),
    0x61: Parameter(1, lambda view: 125 + _torque_percent(view)),
    0x62: Parameter(1, lambda view: 125 + _torque_percent(view)),
    0x63: Parameter(2, lambda view: REFERENCE_TORQUE),
    0xA6: Parameter(4, lambda view: 10 * view.vehicle.odometer),
}

TRANSMISSION_PARAMETERS: Mapping[int, Parameter] = {
    pid: ENGINE_PARAMETERS[pid] for pid in (0x01, 0x0C, 0x0D, 0x1C, 0x1F, 0x21, 0x30, 0x31, 0x42)
}

#: The freeze frame of the code that lit the lamp, a moment of a drive before the simulation: PID to data.
FREEZE_FRAME: Mapping[int, bytes] = {
    0x04: bytes((96,)),
    0x05: bytes((131,)),
    0x0C: bytes((0x26, 0xAC)),
    0x0D: bytes((92,)),
}
FREEZE_FRAME_CODE = 0x02  #: the PID that tells which code it was


def bitmap(pids: Collection[int], start: int) -> bytes:
    """The 4 bytes that say which of the 32 PIDs after `start` exist; the last bit stands for the next bitmap."""
    bits = 0
    for pid in pids:
        if start < pid <= start + RANGE:
            bits |= 1 << (start + RANGE - pid)
        if pid > start + RANGE:
            bits |= 1
    return bits.to_bytes(4, "big")


class ObdServices:
    """The emissions-related side of an ECU."""

    def __init__(
        self,
        vehicle: Vehicle,
        faults: FaultMemory,
        parameters: Mapping[int, Parameter],
        information: Mapping[int, bytes],
    ) -> None:
        self._vehicle = vehicle
        self._faults = faults
        self._parameters = parameters
        self._information = information
        self._cleared_at = vehicle.odometer - DISTANCE_BEFORE
        self._services: Mapping[int, Callable[[bytes, float], bytes]] = {
            0x01: self._current_data,
            0x02: self._freeze_frame,
            0x03: self._stored_codes,
            0x04: self._clear,
            0x07: self._pending_codes,
            0x09: self._vehicle_information,
            0x0A: self._permanent_codes,
        }

    def handle(self, payload: bytes, now: float) -> Reply:
        """Answer a request of a mode up to 0x0A.

        Raises:
            NegativeResponse: 0x11 for other modes; 0x12 for what is malformed or holds nothing that the ECU has.
        """
        service = self._services.get(payload[0])
        if service is None:
            raise NegativeResponse(Nrc.SERVICE_NOT_SUPPORTED)
        return Reply(bytes((payload[0] + POSITIVE,)) + service(payload[1:], now))

    def parameter(self, pid: int, now: float) -> bytes | None:
        """The data of a PID, bitmaps included; None where the ECU has no such PID."""
        if pid % RANGE == 0:
            exists = pid == 0 or any(known > pid for known in self._parameters)
            return bitmap(self._parameters, pid) if exists else None
        parameter = self._parameters.get(pid)
        if parameter is None:
            return None
        since_clear = self._vehicle.odometer - self._cleared_at
        return parameter.data(View(self._vehicle, self._faults, since_clear, now))

    def information(self, kind: int) -> bytes | None:
        """The data of an information type of mode 09, with its count of items; None where it doesn't exist."""
        return bitmap(self._information, 0) if kind == 0 else self._information.get(kind)

    def clear(self, now: float, fault: Fault | None = None) -> None:
        """Clear one code, or all and what was counted since they were cleared last."""
        self._faults.clear(now, fault)
        if fault is None:
            self._cleared_at = self._vehicle.odometer

    def _current_data(self, pids: bytes, now: float) -> bytes:
        if not 1 <= len(pids) <= PIDS_LIMIT:
            raise NegativeResponse(Nrc.SUB_FUNCTION_NOT_SUPPORTED)
        found = [(pid, data) for pid in pids if (data := self.parameter(pid, now)) is not None]
        return _something(b"".join(bytes((pid,)) + data for pid, data in found))

    def _freeze_frame(self, request: bytes, now: float) -> bytes:
        if len(request) % 2 or not 2 <= len(request) <= 2 * FREEZE_PIDS_LIMIT:
            raise NegativeResponse(Nrc.SUB_FUNCTION_NOT_SUPPORTED)
        confirmed = self._faults.confirmed(now)
        frame = {FREEZE_FRAME_CODE: confirmed[0].obd if confirmed else bytes(2)}
        if confirmed:
            frame |= FREEZE_FRAME
        parts = []
        for pid, number in zip(request[::2], request[1::2], strict=True):
            data = bitmap(frame, 0) if pid == 0 else frame.get(pid)
            if data is not None and number == 0:
                parts.append(bytes((pid, number)) + data)
        return _something(b"".join(parts))

    def _stored_codes(self, rest: bytes, now: float) -> bytes:
        return _codes(rest, self._faults.confirmed(now))

    def _pending_codes(self, rest: bytes, now: float) -> bytes:
        return _codes(rest, self._faults.pending(now))

    def _permanent_codes(self, rest: bytes, now: float) -> bytes:
        return _codes(rest, self._faults.permanent())

    def _clear(self, rest: bytes, now: float) -> bytes:
        if rest:
            raise NegativeResponse(Nrc.SUB_FUNCTION_NOT_SUPPORTED)
        self.clear(now)
        return b""

    def _vehicle_information(self, kinds: bytes, now: float) -> bytes:
        data = self.information(kinds[0]) if len(kinds) == 1 else None
        return _something(b"" if data is None else kinds + data)


def _something(data: bytes) -> bytes:
    if not data:
        raise NegativeResponse(Nrc.SUB_FUNCTION_NOT_SUPPORTED)
    return data


def _codes(rest: bytes, faults: list[Fault]) -> bytes:
    """A count and the codes, as ISO 15765-4 wants it on CAN."""
    if rest:
        raise NegativeResponse(Nrc.SUB_FUNCTION_NOT_SUPPORTED)
    return bytes((len(faults),)) + b"".join(fault.obd for fault in faults)
