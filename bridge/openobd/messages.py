"""openOBD's messages: the one place where the published protocol's generated messages come in.

Must not know gRPC (services.py does), nor what the messages are used for. The protocol is
openobd-protocol's; own definitions of the same names would collide with it in one process.
"""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import Message
from openobd_protocol.Communication.Messages.Doip_pb2 import (
    DoipChannel,
    DoipMessage,
)
from openobd_protocol.Communication.Messages.Isotp_pb2 import (
    IsotpChannel,
    IsotpMessage,
    KeepAlive,
    Padding,
)
from openobd_protocol.Communication.Messages.Kline_pb2 import (
    Keyword,
    KlineChannel,
    KlineMessage,
)
from openobd_protocol.Communication.Messages.Raw_pb2 import (
    RawChannel,
    RawFrame,
)
from openobd_protocol.Communication.Messages.Terminal15_pb2 import (
    Terminal15Message,
    Terminal15State,
)
from openobd_protocol.Communication.Messages.Tp20_pb2 import (
    Tp20Channel,
    Tp20Message,
)
from openobd_protocol.Configuration.Messages.BusConfiguration_pb2 import (
    BusConfiguration,
)
from openobd_protocol.Configuration.Messages.CanBus_pb2 import (
    CanBitRate,
    CanBus,
    CanProtocol,
    TransceiverSpeed,
)
from openobd_protocol.Configuration.Messages.Configuration_pb2 import (
    Configuration,
    ConfiguredChannel,
)
from openobd_protocol.Configuration.Messages.DoipBus_pb2 import (
    DoipBus,
    DoipNetworkConfiguration,
    DoipOption,
)
from openobd_protocol.Configuration.Messages.KlineBus_pb2 import (
    KlineBitRate,
    KlineBus,
    KlineProtocol,
)
from openobd_protocol.Configuration.Messages.Terminal15Bus_pb2 import (
    Terminal15Bus,
)
from openobd_protocol.ConnectionMonitor.Messages.ConnectorInformation_pb2 import (
    ConnectorInformation,
)
from openobd_protocol.Function.Messages.Function_pb2 import (
    ContextType,
    FunctionContext,
    FunctionDetails,
    FunctionId,
    Product,
    Variable,
    VariableList,
    VariableSelection,
    Vehicle,
)
from openobd_protocol.FunctionBroker.Messages.FunctionBroker_pb2 import (
    FunctionBrokerReconnect,
    FunctionBrokerToken,
    FunctionCall,
    FunctionRegistration,
    FunctionRegistrationState,
    FunctionSignature,
    FunctionUpdate,
    FunctionUpdateResponse,
    FunctionUpdateType,
    FunctionVisibility,
)
from openobd_protocol.Logging.Messages.LogMessage_pb2 import (
    LogLevel,
    LogMessage,
)
from openobd_protocol.Messages.Empty_pb2 import (
    EmptyMessage,
)
from openobd_protocol.ProductInfo.Messages.ProductDetails_pb2 import (
    ProductDetails,
    ProductList,
)
from openobd_protocol.Session.Messages.ServiceResult_pb2 import (
    Result,
    ServiceResult,
    UserFeedback,
)
from openobd_protocol.Session.Messages.Session_pb2 import (
    SessionToken,
)
from openobd_protocol.SessionController.Messages.SessionController_pb2 import (
    Authenticate,
    ConnectorId,
    SessionControllerToken,
    SessionId,
    SessionInfo,
    SessionInfoList,
    TicketId,
)
from openobd_protocol.TicketInfo.Messages.TicketDetails_pb2 import (
    TicketDetails,
)
from openobd_protocol.UserInterface.Messages.UserInterface_pb2 import (
    Continue,
    Control,
    FreeText,
    Image,
    InterfaceType,
    Label,
    LabelTranslations,
    Numbers,
    Options,
    Translation,
    YesNo,
)
from openobd_protocol.VehicleInfo.Messages.VehicleDetails_pb2 import (
    VehicleDetails,
)
from openobd_protocol.VehicleInfo.Messages.VehicleInfo_pb2 import (
    DoipEcu,
    Ecu,
    EcuList,
    IsotpEcu,
    KlineEcu,
    Tp20Ecu,
)

AnyMessage = TypeVar("AnyMessage", bound=Message)


def kept(message: AnyMessage) -> AnyMessage:
    """A received message to keep: only what the protocol knows of it, in memory of its own.

    As it was received it holds on to all the bytes that it came in, those included that nobody knows
    and those of a field that came twice.
    """
    message.DiscardUnknownFields()
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


__all__ = [
    "Authenticate",
    "BusConfiguration",
    "CanBitRate",
    "CanBus",
    "CanProtocol",
    "Configuration",
    "ConfiguredChannel",
    "ConnectorId",
    "ConnectorInformation",
    "ContextType",
    "Continue",
    "Control",
    "DoipBus",
    "DoipChannel",
    "DoipEcu",
    "DoipMessage",
    "DoipNetworkConfiguration",
    "DoipOption",
    "Ecu",
    "EcuList",
    "EmptyMessage",
    "FreeText",
    "FunctionBrokerReconnect",
    "FunctionBrokerToken",
    "FunctionCall",
    "FunctionContext",
    "FunctionDetails",
    "FunctionId",
    "FunctionRegistration",
    "FunctionRegistrationState",
    "FunctionSignature",
    "FunctionUpdate",
    "FunctionUpdateResponse",
    "FunctionUpdateType",
    "FunctionVisibility",
    "Image",
    "InterfaceType",
    "IsotpChannel",
    "IsotpEcu",
    "IsotpMessage",
    "KeepAlive",
    "Keyword",
    "KlineBitRate",
    "KlineBus",
    "KlineChannel",
    "KlineEcu",
    "KlineMessage",
    "KlineProtocol",
    "Label",
    "LabelTranslations",
    "LogLevel",
    "LogMessage",
    "Numbers",
    "Options",
    "Padding",
    "Product",
    "ProductDetails",
    "ProductList",
    "RawChannel",
    "RawFrame",
    "Result",
    "ServiceResult",
    "SessionControllerToken",
    "SessionId",
    "SessionInfo",
    "SessionInfoList",
    "SessionToken",
    "Terminal15Bus",
    "Terminal15Message",
    "Terminal15State",
    "TicketDetails",
    "TicketId",
    "Tp20Channel",
    "Tp20Ecu",
    "Tp20Message",
    "TransceiverSpeed",
    "Translation",
    "UserFeedback",
    "Variable",
    "VariableList",
    "VariableSelection",
    "Vehicle",
    "VehicleDetails",
    "YesNo",
    "kept",
]
