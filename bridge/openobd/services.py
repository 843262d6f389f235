"""openOBD's services: the one place where the published protocol's generated stubs and servicers come in.

Importing it takes gRPC, so only who serves or calls does. Must not know what the calls mean.
"""

from __future__ import annotations

from openobd_protocol.Communication.CommunicationServices_pb2_grpc import (
    add_canServicer_to_server,
    add_doipServicer_to_server,
    add_klineServicer_to_server,
    add_terminal15Servicer_to_server,
    canServicer,
    canStub,
    doipServicer,
    doipStub,
    klineServicer,
    klineStub,
    terminal15Servicer,
    terminal15Stub,
)
from openobd_protocol.Configuration.ConfigurationServices_pb2_grpc import (
    add_configServicer_to_server,
    configServicer,
    configStub,
)
from openobd_protocol.ConnectionMonitor.ConnectionMonitorServices_pb2_grpc import (
    add_connectionMonitorServicer_to_server,
    connectionMonitorServicer,
    connectionMonitorStub,
)
from openobd_protocol.Function.FunctionServices_pb2_grpc import (
    add_functionServicer_to_server,
    functionServicer,
    functionStub,
)
from openobd_protocol.FunctionBroker.FunctionBrokerServices_pb2_grpc import (
    add_functionBrokerServicer_to_server,
    functionBrokerServicer,
    functionBrokerStub,
)
from openobd_protocol.Logging.LoggingServices_pb2_grpc import (
    add_loggingServicer_to_server,
    loggingServicer,
    loggingStub,
)
from openobd_protocol.ProductInfo.ProductInfoServices_pb2_grpc import (
    add_productInfoServicer_to_server,
    productInfoServicer,
    productInfoStub,
)
from openobd_protocol.Session.SessionServices_pb2_grpc import (
    add_sessionServicer_to_server,
    sessionServicer,
    sessionStub,
)
from openobd_protocol.SessionController.SessionControllerServices_pb2_grpc import (
    add_sessionControllerServicer_to_server,
    sessionControllerServicer,
    sessionControllerStub,
)
from openobd_protocol.TicketInfo.TicketInfoServices_pb2_grpc import (
    add_ticketInfoServicer_to_server,
    ticketInfoServicer,
    ticketInfoStub,
)
from openobd_protocol.UserInterface.UserInterfaceServices_pb2_grpc import (
    add_userInterfaceServicer_to_server,
    userInterfaceServicer,
    userInterfaceStub,
)
from openobd_protocol.VehicleInfo.VehicleInfoServices_pb2_grpc import (
    add_vehicleInfoServicer_to_server,
    vehicleInfoServicer,
    vehicleInfoStub,
)

__all__ = [
    "add_canServicer_to_server",
    "add_configServicer_to_server",
    "add_connectionMonitorServicer_to_server",
    "add_doipServicer_to_server",
    "add_functionBrokerServicer_to_server",
    "add_functionServicer_to_server",
    "add_klineServicer_to_server",
    "add_loggingServicer_to_server",
    "add_productInfoServicer_to_server",
    "add_sessionControllerServicer_to_server",
    "add_sessionServicer_to_server",
    "add_terminal15Servicer_to_server",
    "add_ticketInfoServicer_to_server",
    "add_userInterfaceServicer_to_server",
    "add_vehicleInfoServicer_to_server",
    "canServicer",
    "canStub",
    "configServicer",
    "configStub",
    "connectionMonitorServicer",
    "connectionMonitorStub",
    "doipServicer",
    "doipStub",
    "functionBrokerServicer",
    "functionBrokerStub",
    "functionServicer",
    "functionStub",
    "klineServicer",
    "klineStub",
    "loggingServicer",
    "loggingStub",
    "productInfoServicer",
    "productInfoStub",
    "sessionControllerServicer",
    "sessionControllerStub",
    "sessionServicer",
    "sessionStub",
    "terminal15Servicer",
    "terminal15Stub",
    "ticketInfoServicer",
    "ticketInfoStub",
    "userInterfaceServicer",
    "userInterfaceStub",
    "vehicleInfoServicer",
    "vehicleInfoStub",
]
