"""A function for other people's scripts: how many trouble codes an ECU has stored. Serve it with

    python -m openobd serve --modules examples/functions

and call it by its id from any script on the same gateway.
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


class TroubleCodes(OpenOBDFunction):
    """Count the confirmed trouble codes of one ECU (UDS service 0x19, sub-function 0x01)."""

    id = "6e3d3f0e-2a3c-4b1e-9a55-0c5d0f6f7a02"
    version = "1.0"
    name = "Trouble codes"
    description = "How many confirmed trouble codes an ECU has"

    def run(self, request_id: str = "7E0", **kwargs) -> dict:
        """Arguments and results travel as texts: the ECU's request id in hexadecimal digits, the count."""
        bus = BusConfiguration(
            bus_name="high speed",
            can_bus=CanBus(
                pin_plus=6,
                pin_min=14,
                can_protocol=CanProtocol.CAN_PROTOCOL_ISOTP,
                can_bit_rate=CanBitRate.CAN_BIT_RATE_500,
            ),
        )
        self.openobd_session.configure_bus(iter([bus]))
        request = int(request_id, 16)
        channel = IsotpChannel(bus_name="high speed", request_id=request, response_id=request + 8)
        with IsotpSocket(self.openobd_session, channel) as ecu:
            answer = ecu.request("190108")
        return {"trouble_codes": str(int(answer[8:12], 16))}
