"""What scripts here have in common: a session on a ticket with the car's bus, and its channels."""

from openobd import (
    BusConfiguration,
    CanBitRate,
    CanBus,
    CanProtocol,
    ConnectionArguments,
    IsotpChannel,
    OpenOBDSession,
    RawChannel,
    Result,
    ServiceResult,
    SessionTokenHandler,
    TicketId,
)
from openobd.core.session_controller import OpenOBDSessionController

SUCCESS = ServiceResult(result=[Result.RESULT_SUCCESS])
ENGINE = IsotpChannel(bus_name="hs", request_id=0x7E0, response_id=0x7E8)
TRANSMISSION = IsotpChannel(bus_name="hs", request_id=0x7E1, response_id=0x7E9)
SPEED = RawChannel(bus_name="hs", response_id=0x0)


def arguments() -> ConnectionArguments:
    """From the OPENOBD_* variables. The library leaves the port a text there, which is no port to it."""
    found = ConnectionArguments.from_environment_variables()
    found.grpc_port = int(found.grpc_port)
    return found


def controller() -> OpenOBDSessionController:
    return OpenOBDSessionController(arguments())


def claimed(ticket: str = "1", by: OpenOBDSessionController | None = None) -> OpenOBDSession:
    """A claimed session that has the car's bus as hs."""
    session = OpenOBDSession((by or controller()).start_session_on_ticket(TicketId(value=ticket)))
    SessionTokenHandler(session)
    session.configure_bus(
        iter(
            [
                BusConfiguration(
                    bus_name="hs",
                    can_bus=CanBus(
                        pin_plus=6,
                        pin_min=14,
                        can_protocol=CanProtocol.CAN_PROTOCOL_ISOTP,
                        can_bit_rate=CanBitRate.CAN_BIT_RATE_500,
                    ),
                )
            ]
        )
    )
    return session
