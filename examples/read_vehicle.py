"""Ask a vehicle who it is and what it does, with openOBD: run it against a gateway on the bench.

python -m openobd run --file examples/read_vehicle.py --ticket 1
"""

from openobd import (
    BusConfiguration,
    CanBitRate,
    CanBus,
    CanProtocol,
    IsotpChannel,
    IsotpSocket,
    OpenOBDFunction,
)

HIGH_SPEED = BusConfiguration(
    bus_name="high speed",
    can_bus=CanBus(
        pin_plus=6,
        pin_min=14,
        can_protocol=CanProtocol.CAN_PROTOCOL_ISOTP,
        can_bit_rate=CanBitRate.CAN_BIT_RATE_500,
    ),
)
ENGINE = IsotpChannel(bus_name="high speed", request_id=0x7E0, response_id=0x7E8)


class ReadVehicle(OpenOBDFunction):
    """Read the VIN (UDS) and the engine speed (OBD-II)."""

    id = "6e3d3f0e-2a3c-4b1e-9a55-0c5d0f6f7a01"
    version = "1.0"
    name = "Read the vehicle"

    def run(self) -> dict:
        """Configure the bus, ask the engine's ECU, and leave the answers as results."""
        self.openobd_session.configure_bus(iter([HIGH_SPEED]))
        with IsotpSocket(self.openobd_session, ENGINE) as engine:
            vin = bytes.fromhex(engine.request("22F190")[6:]).decode()
            speed = int(engine.request("010C")[4:8], 16) / 4
        print(f"VIN {vin}, engine at {speed:g} 1/min")
        return {"vin": vin, "engine_speed": str(speed)}
