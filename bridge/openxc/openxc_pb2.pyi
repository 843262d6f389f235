from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class VehicleMessage(_message.Message):
    __slots__ = ("type", "can_message", "simple_message", "diagnostic_response", "control_command", "command_response", "timestamp")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNUSED: _ClassVar[VehicleMessage.Type]
        CAN: _ClassVar[VehicleMessage.Type]
        SIMPLE: _ClassVar[VehicleMessage.Type]
        DIAGNOSTIC: _ClassVar[VehicleMessage.Type]
        CONTROL_COMMAND: _ClassVar[VehicleMessage.Type]
        COMMAND_RESPONSE: _ClassVar[VehicleMessage.Type]
    UNUSED: VehicleMessage.Type
    CAN: VehicleMessage.Type
    SIMPLE: VehicleMessage.Type
    DIAGNOSTIC: VehicleMessage.Type
    CONTROL_COMMAND: VehicleMessage.Type
    COMMAND_RESPONSE: VehicleMessage.Type
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CAN_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SIMPLE_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DIAGNOSTIC_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    CONTROL_COMMAND_FIELD_NUMBER: _ClassVar[int]
    COMMAND_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    type: VehicleMessage.Type
    can_message: CanMessage
    simple_message: SimpleMessage
    diagnostic_response: DiagnosticResponse
    control_command: ControlCommand
    command_response: CommandResponse
    timestamp: int
    def __init__(self, type: _Optional[_Union[VehicleMessage.Type, str]] = ..., can_message: _Optional[_Union[CanMessage, _Mapping]] = ..., simple_message: _Optional[_Union[SimpleMessage, _Mapping]] = ..., diagnostic_response: _Optional[_Union[DiagnosticResponse, _Mapping]] = ..., control_command: _Optional[_Union[ControlCommand, _Mapping]] = ..., command_response: _Optional[_Union[CommandResponse, _Mapping]] = ..., timestamp: _Optional[int] = ...) -> None: ...

class CanMessage(_message.Message):
    __slots__ = ("bus", "id", "data", "frame_format")
    class FrameFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNUSED: _ClassVar[CanMessage.FrameFormat]
        STANDARD: _ClassVar[CanMessage.FrameFormat]
        EXTENDED: _ClassVar[CanMessage.FrameFormat]
    UNUSED: CanMessage.FrameFormat
    STANDARD: CanMessage.FrameFormat
    EXTENDED: CanMessage.FrameFormat
    BUS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    FRAME_FORMAT_FIELD_NUMBER: _ClassVar[int]
    bus: int
    id: int
    data: bytes
    frame_format: CanMessage.FrameFormat
    def __init__(self, bus: _Optional[int] = ..., id: _Optional[int] = ..., data: _Optional[bytes] = ..., frame_format: _Optional[_Union[CanMessage.FrameFormat, str]] = ...) -> None: ...

class SimpleMessage(_message.Message):
    __slots__ = ("name", "value", "event")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: DynamicField
    event: DynamicField
    def __init__(self, name: _Optional[str] = ..., value: _Optional[_Union[DynamicField, _Mapping]] = ..., event: _Optional[_Union[DynamicField, _Mapping]] = ...) -> None: ...

class DynamicField(_message.Message):
    __slots__ = ("type", "string_value", "numeric_value", "boolean_value")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNUSED: _ClassVar[DynamicField.Type]
        STRING: _ClassVar[DynamicField.Type]
        NUM: _ClassVar[DynamicField.Type]
        BOOL: _ClassVar[DynamicField.Type]
    UNUSED: DynamicField.Type
    STRING: DynamicField.Type
    NUM: DynamicField.Type
    BOOL: DynamicField.Type
    TYPE_FIELD_NUMBER: _ClassVar[int]
    STRING_VALUE_FIELD_NUMBER: _ClassVar[int]
    NUMERIC_VALUE_FIELD_NUMBER: _ClassVar[int]
    BOOLEAN_VALUE_FIELD_NUMBER: _ClassVar[int]
    type: DynamicField.Type
    string_value: str
    numeric_value: float
    boolean_value: bool
    def __init__(self, type: _Optional[_Union[DynamicField.Type, str]] = ..., string_value: _Optional[str] = ..., numeric_value: _Optional[float] = ..., boolean_value: bool = ...) -> None: ...

class ControlCommand(_message.Message):
    __slots__ = ("type", "diagnostic_request", "passthrough_mode_request", "acceptance_filter_bypass_command", "payload_format_command", "predefined_obd2_requests_command", "modem_configuration_command", "rtc_configuration_command")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNUSED: _ClassVar[ControlCommand.Type]
        VERSION: _ClassVar[ControlCommand.Type]
        DEVICE_ID: _ClassVar[ControlCommand.Type]
        DIAGNOSTIC: _ClassVar[ControlCommand.Type]
        PASSTHROUGH: _ClassVar[ControlCommand.Type]
        ACCEPTANCE_FILTER_BYPASS: _ClassVar[ControlCommand.Type]
        PAYLOAD_FORMAT: _ClassVar[ControlCommand.Type]
        PREDEFINED_OBD2_REQUESTS: _ClassVar[ControlCommand.Type]
        MODEM_CONFIGURATION: _ClassVar[ControlCommand.Type]
        RTC_CONFIGURATION: _ClassVar[ControlCommand.Type]
        SD_MOUNT_STATUS: _ClassVar[ControlCommand.Type]
        PLATFORM: _ClassVar[ControlCommand.Type]
        GET_VIN: _ClassVar[ControlCommand.Type]
    UNUSED: ControlCommand.Type
    VERSION: ControlCommand.Type
    DEVICE_ID: ControlCommand.Type
    DIAGNOSTIC: ControlCommand.Type
    PASSTHROUGH: ControlCommand.Type
    ACCEPTANCE_FILTER_BYPASS: ControlCommand.Type
    PAYLOAD_FORMAT: ControlCommand.Type
    PREDEFINED_OBD2_REQUESTS: ControlCommand.Type
    MODEM_CONFIGURATION: ControlCommand.Type
    RTC_CONFIGURATION: ControlCommand.Type
    SD_MOUNT_STATUS: ControlCommand.Type
    PLATFORM: ControlCommand.Type
    GET_VIN: ControlCommand.Type
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DIAGNOSTIC_REQUEST_FIELD_NUMBER: _ClassVar[int]
    PASSTHROUGH_MODE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    ACCEPTANCE_FILTER_BYPASS_COMMAND_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FORMAT_COMMAND_FIELD_NUMBER: _ClassVar[int]
    PREDEFINED_OBD2_REQUESTS_COMMAND_FIELD_NUMBER: _ClassVar[int]
    MODEM_CONFIGURATION_COMMAND_FIELD_NUMBER: _ClassVar[int]
    RTC_CONFIGURATION_COMMAND_FIELD_NUMBER: _ClassVar[int]
    type: ControlCommand.Type
    diagnostic_request: DiagnosticControlCommand
    passthrough_mode_request: PassthroughModeControlCommand
    acceptance_filter_bypass_command: AcceptanceFilterBypassCommand
    payload_format_command: PayloadFormatCommand
    predefined_obd2_requests_command: PredefinedObd2RequestsCommand
    modem_configuration_command: ModemConfigurationCommand
    rtc_configuration_command: RTCConfigurationCommand
    def __init__(self, type: _Optional[_Union[ControlCommand.Type, str]] = ..., diagnostic_request: _Optional[_Union[DiagnosticControlCommand, _Mapping]] = ..., passthrough_mode_request: _Optional[_Union[PassthroughModeControlCommand, _Mapping]] = ..., acceptance_filter_bypass_command: _Optional[_Union[AcceptanceFilterBypassCommand, _Mapping]] = ..., payload_format_command: _Optional[_Union[PayloadFormatCommand, _Mapping]] = ..., predefined_obd2_requests_command: _Optional[_Union[PredefinedObd2RequestsCommand, _Mapping]] = ..., modem_configuration_command: _Optional[_Union[ModemConfigurationCommand, _Mapping]] = ..., rtc_configuration_command: _Optional[_Union[RTCConfigurationCommand, _Mapping]] = ...) -> None: ...

class DiagnosticControlCommand(_message.Message):
    __slots__ = ("request", "action")
    class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNUSED: _ClassVar[DiagnosticControlCommand.Action]
        ADD: _ClassVar[DiagnosticControlCommand.Action]
        CANCEL: _ClassVar[DiagnosticControlCommand.Action]
    UNUSED: DiagnosticControlCommand.Action
    ADD: DiagnosticControlCommand.Action
    CANCEL: DiagnosticControlCommand.Action
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    request: DiagnosticRequest
    action: DiagnosticControlCommand.Action
    def __init__(self, request: _Optional[_Union[DiagnosticRequest, _Mapping]] = ..., action: _Optional[_Union[DiagnosticControlCommand.Action, str]] = ...) -> None: ...

class PassthroughModeControlCommand(_message.Message):
    __slots__ = ("bus", "enabled")
    BUS_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    bus: int
    enabled: bool
    def __init__(self, bus: _Optional[int] = ..., enabled: bool = ...) -> None: ...

class AcceptanceFilterBypassCommand(_message.Message):
    __slots__ = ("bus", "bypass")
    BUS_FIELD_NUMBER: _ClassVar[int]
    BYPASS_FIELD_NUMBER: _ClassVar[int]
    bus: int
    bypass: bool
    def __init__(self, bus: _Optional[int] = ..., bypass: bool = ...) -> None: ...

class PayloadFormatCommand(_message.Message):
    __slots__ = ("format",)
    class PayloadFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNUSED: _ClassVar[PayloadFormatCommand.PayloadFormat]
        JSON: _ClassVar[PayloadFormatCommand.PayloadFormat]
        PROTOBUF: _ClassVar[PayloadFormatCommand.PayloadFormat]
    UNUSED: PayloadFormatCommand.PayloadFormat
    JSON: PayloadFormatCommand.PayloadFormat
    PROTOBUF: PayloadFormatCommand.PayloadFormat
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    format: PayloadFormatCommand.PayloadFormat
    def __init__(self, format: _Optional[_Union[PayloadFormatCommand.PayloadFormat, str]] = ...) -> None: ...

class PredefinedObd2RequestsCommand(_message.Message):
    __slots__ = ("enabled",)
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    def __init__(self, enabled: bool = ...) -> None: ...

class NetworkOperatorSettings(_message.Message):
    __slots__ = ("allowDataRoaming", "operatorSelectMode", "networkDescriptor")
    class OperatorSelectMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        AUTOMATIC: _ClassVar[NetworkOperatorSettings.OperatorSelectMode]
        MANUAL: _ClassVar[NetworkOperatorSettings.OperatorSelectMode]
        DEREGISTER: _ClassVar[NetworkOperatorSettings.OperatorSelectMode]
        SET_ONLY: _ClassVar[NetworkOperatorSettings.OperatorSelectMode]
        MANUAL_AUTOMATIC: _ClassVar[NetworkOperatorSettings.OperatorSelectMode]
    AUTOMATIC: NetworkOperatorSettings.OperatorSelectMode
    MANUAL: NetworkOperatorSettings.OperatorSelectMode
    DEREGISTER: NetworkOperatorSettings.OperatorSelectMode
    SET_ONLY: NetworkOperatorSettings.OperatorSelectMode
    MANUAL_AUTOMATIC: NetworkOperatorSettings.OperatorSelectMode
    class NetworkDescriptor(_message.Message):
        __slots__ = ("PLMN", "networkType")
        class NetworkType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            GSM: _ClassVar[NetworkOperatorSettings.NetworkDescriptor.NetworkType]
            UTRAN: _ClassVar[NetworkOperatorSettings.NetworkDescriptor.NetworkType]
        GSM: NetworkOperatorSettings.NetworkDescriptor.NetworkType
        UTRAN: NetworkOperatorSettings.NetworkDescriptor.NetworkType
        PLMN_FIELD_NUMBER: _ClassVar[int]
        NETWORKTYPE_FIELD_NUMBER: _ClassVar[int]
        PLMN: int
        networkType: NetworkOperatorSettings.NetworkDescriptor.NetworkType
        def __init__(self, PLMN: _Optional[int] = ..., networkType: _Optional[_Union[NetworkOperatorSettings.NetworkDescriptor.NetworkType, str]] = ...) -> None: ...
    ALLOWDATAROAMING_FIELD_NUMBER: _ClassVar[int]
    OPERATORSELECTMODE_FIELD_NUMBER: _ClassVar[int]
    NETWORKDESCRIPTOR_FIELD_NUMBER: _ClassVar[int]
    allowDataRoaming: bool
    operatorSelectMode: NetworkOperatorSettings.OperatorSelectMode
    networkDescriptor: NetworkOperatorSettings.NetworkDescriptor
    def __init__(self, allowDataRoaming: bool = ..., operatorSelectMode: _Optional[_Union[NetworkOperatorSettings.OperatorSelectMode, str]] = ..., networkDescriptor: _Optional[_Union[NetworkOperatorSettings.NetworkDescriptor, _Mapping]] = ...) -> None: ...

class NetworkDataSettings(_message.Message):
    __slots__ = ("apn",)
    APN_FIELD_NUMBER: _ClassVar[int]
    apn: str
    def __init__(self, apn: _Optional[str] = ...) -> None: ...

class ServerConnectSettings(_message.Message):
    __slots__ = ("host", "port")
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    host: str
    port: int
    def __init__(self, host: _Optional[str] = ..., port: _Optional[int] = ...) -> None: ...

class ModemConfigurationCommand(_message.Message):
    __slots__ = ("networkOperatorSettings", "networkDataSettings", "serverConnectSettings")
    NETWORKOPERATORSETTINGS_FIELD_NUMBER: _ClassVar[int]
    NETWORKDATASETTINGS_FIELD_NUMBER: _ClassVar[int]
    SERVERCONNECTSETTINGS_FIELD_NUMBER: _ClassVar[int]
    networkOperatorSettings: NetworkOperatorSettings
    networkDataSettings: NetworkDataSettings
    serverConnectSettings: ServerConnectSettings
    def __init__(self, networkOperatorSettings: _Optional[_Union[NetworkOperatorSettings, _Mapping]] = ..., networkDataSettings: _Optional[_Union[NetworkDataSettings, _Mapping]] = ..., serverConnectSettings: _Optional[_Union[ServerConnectSettings, _Mapping]] = ...) -> None: ...

class RTCConfigurationCommand(_message.Message):
    __slots__ = ("unix_time",)
    UNIX_TIME_FIELD_NUMBER: _ClassVar[int]
    unix_time: int
    def __init__(self, unix_time: _Optional[int] = ...) -> None: ...

class CommandResponse(_message.Message):
    __slots__ = ("type", "message", "status")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    type: ControlCommand.Type
    message: str
    status: bool
    def __init__(self, type: _Optional[_Union[ControlCommand.Type, str]] = ..., message: _Optional[str] = ..., status: bool = ...) -> None: ...

class DiagnosticRequest(_message.Message):
    __slots__ = ("bus", "message_id", "mode", "pid", "payload", "multiple_responses", "frequency", "name", "decoded_type")
    class DecodedType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNUSED: _ClassVar[DiagnosticRequest.DecodedType]
        NONE: _ClassVar[DiagnosticRequest.DecodedType]
        OBD2: _ClassVar[DiagnosticRequest.DecodedType]
    UNUSED: DiagnosticRequest.DecodedType
    NONE: DiagnosticRequest.DecodedType
    OBD2: DiagnosticRequest.DecodedType
    BUS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    MULTIPLE_RESPONSES_FIELD_NUMBER: _ClassVar[int]
    FREQUENCY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DECODED_TYPE_FIELD_NUMBER: _ClassVar[int]
    bus: int
    message_id: int
    mode: int
    pid: int
    payload: bytes
    multiple_responses: bool
    frequency: float
    name: str
    decoded_type: DiagnosticRequest.DecodedType
    def __init__(self, bus: _Optional[int] = ..., message_id: _Optional[int] = ..., mode: _Optional[int] = ..., pid: _Optional[int] = ..., payload: _Optional[bytes] = ..., multiple_responses: bool = ..., frequency: _Optional[float] = ..., name: _Optional[str] = ..., decoded_type: _Optional[_Union[DiagnosticRequest.DecodedType, str]] = ...) -> None: ...

class DiagnosticResponse(_message.Message):
    __slots__ = ("bus", "message_id", "mode", "pid", "success", "negative_response_code", "payload", "value", "frame", "total_size")
    BUS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_RESPONSE_CODE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    bus: int
    message_id: int
    mode: int
    pid: int
    success: bool
    negative_response_code: int
    payload: bytes
    value: DynamicField
    frame: int
    total_size: int
    def __init__(self, bus: _Optional[int] = ..., message_id: _Optional[int] = ..., mode: _Optional[int] = ..., pid: _Optional[int] = ..., success: bool = ..., negative_response_code: _Optional[int] = ..., payload: _Optional[bytes] = ..., value: _Optional[_Union[DynamicField, _Mapping]] = ..., frame: _Optional[int] = ..., total_size: _Optional[int] = ...) -> None: ...
