"""openOBD.v1.vehicleInfo: which vehicle it is, and which ECUs it has; what is not configured is asked of the car."""

from __future__ import annotations

from bridge.config import EcuSettings
from bridge.gateway.connections import Connection
from bridge.gateway.core import Call, Core
from bridge.openobd.messages import (
    CanBitRate,
    CanBus,
    CanProtocol,
    Ecu,
    EcuList,
    EmptyMessage,
    IsotpEcu,
    VehicleDetails,
)
from bridge.openobd.services import vehicleInfoServicer


class VehicleInfoService(vehicleInfoServicer):
    """Calls of the holder of an active session."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def getVehicleDetails(self, request: EmptyMessage, call: Call) -> VehicleDetails:
        """Its name, TecDoc id and VIN; "" where the car does not tell its VIN."""
        connection = self._connection(call)
        vehicle = connection.settings.vehicle
        vin = await self._core.scanner.vin(connection)
        return VehicleDetails(name=vehicle.name, tecdoc_id=vehicle.tecdoc_id, vin=vin)

    async def getEcuList(self, request: EmptyMessage, call: Call) -> EcuList:
        """The ECUs that are configured, else those that answer."""
        connection = self._connection(call)
        ecus = await self._core.scanner.ecus(connection)
        return EcuList(ecus=[Ecu(isotp_ecu=_isotp_ecu(ecu, connection)) for ecu in ecus])

    def _connection(self, call: Call) -> Connection:
        return self._core.session(call).connection


def _isotp_ecu(ecu: EcuSettings, connection: Connection) -> IsotpEcu:
    pins = next(pins for pins, bus in connection.buses.items() if bus == ecu.bus)
    can_bus = CanBus(
        pin_plus=pins.plus,
        pin_min=pins.minus,
        can_protocol=CanProtocol.CAN_PROTOCOL_ISOTP,
        can_bit_rate=CanBitRate.CAN_BIT_RATE_500,
    )
    return IsotpEcu(
        can_bus=can_bus,
        request_id=ecu.request_id,
        response_id=ecu.response_id,
        extended_request_address=ecu.extended_request_address,
        extended_response_address=ecu.extended_response_address,
    )
