"""What ECUs have in common in their answers: codes, replies, and how an answer travels.

Must not know any service. Names and numbers: ISO 14229-1 (UDS) and SAE J1979 (OBD-II).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from bridge.errors import BridgeError

NEGATIVE_RESPONSE = 0x7F
POSITIVE = 0x40  #: added to the service of a request

P2 = 0.05  #: s, P2server_max: how soon an ECU answers
P2_EXTENDED = 5.0  #: s, P2*server_max: how soon after responsePending


class Nrc(enum.IntEnum):
    """Negative response codes, ISO 14229-1 annex A."""

    SERVICE_NOT_SUPPORTED = 0x11
    SUB_FUNCTION_NOT_SUPPORTED = 0x12  #: SAE J1979: invalid format as well
    INCORRECT_MESSAGE_LENGTH_OR_INVALID_FORMAT = 0x13
    RESPONSE_TOO_LONG = 0x14
    BUSY_REPEAT_REQUEST = 0x21
    CONDITIONS_NOT_CORRECT = 0x22
    REQUEST_SEQUENCE_ERROR = 0x24
    REQUEST_OUT_OF_RANGE = 0x31
    SECURITY_ACCESS_DENIED = 0x33
    INVALID_KEY = 0x35
    EXCEEDED_NUMBER_OF_ATTEMPTS = 0x36
    REQUIRED_TIME_DELAY_NOT_EXPIRED = 0x37
    RESPONSE_PENDING = 0x78
    SUB_FUNCTION_NOT_SUPPORTED_IN_ACTIVE_SESSION = 0x7E
    SERVICE_NOT_SUPPORTED_IN_ACTIVE_SESSION = 0x7F


#: An ECU that was asked functionally keeps these to itself (ISO 14229-1, 7.5).
SILENT_WHEN_FUNCTIONAL = frozenset(
    (
        Nrc.SERVICE_NOT_SUPPORTED,
        Nrc.SUB_FUNCTION_NOT_SUPPORTED,
        Nrc.REQUEST_OUT_OF_RANGE,
        Nrc.SUB_FUNCTION_NOT_SUPPORTED_IN_ACTIVE_SESSION,
        Nrc.SERVICE_NOT_SUPPORTED_IN_ACTIVE_SESSION,
    )
)


class NegativeResponse(BridgeError):
    """A service refuses a request."""

    def __init__(self, code: Nrc) -> None:
        super().__init__(code.name)
        self.code = code


@dataclass(frozen=True, slots=True)
class Reply:
    """What a service made of a request."""

    payload: bytes  #: the whole positive response
    work: float = 0.0  #: s that it takes; beyond P2 the ECU says responsePending first
    suppressed: bool = False  #: suppressPosRspMsgIndicationBit
    silence: float = 0.0  #: s after the answer in which the ECU does not hear


@dataclass(frozen=True, slots=True)
class Answer:
    """A payload that an ECU sends."""

    delay: float  #: s after the request
    payload: bytes


def negative(service: int, code: Nrc) -> bytes:
    """The payload of a negative response."""
    return bytes((NEGATIVE_RESPONSE, service, code))
