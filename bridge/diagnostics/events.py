"""What the manager wants done, in the order in which it is to be done.

Decisions only: nothing here opens, sends or publishes.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable
from dataclasses import dataclass

from bridge.diagnostics.addressing import ChannelAddress
from bridge.openxc.messages import DiagnosticRequest, DiagnosticResponse, SimpleMessage

Owner = Hashable  #: whoever makes requests: a client, the profile, one of InternalOwner


class InternalOwner(enum.Enum):
    """The owners within this room."""

    PREDEFINED_OBD2 = "predefined_obd2"
    VIN = "get_vin"


class Outcome(enum.Enum):
    """How a request ended."""

    ANSWERED = "answered"  #: at least one response was published
    TIMED_OUT = "timed out"
    FAILED = "failed"  #: its channel could not send it, or lost the answer
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class OpenChannel:
    """A channel is needed from now on. It is not open yet."""

    address: ChannelAddress


@dataclass(frozen=True, slots=True)
class CloseChannel:
    """A channel is needed no more. It is open."""

    address: ChannelAddress


@dataclass(frozen=True, slots=True)
class SendPayload:
    """Send one ISO-TP payload on an open channel."""

    address: ChannelAddress
    payload: bytes


@dataclass(frozen=True, slots=True)
class Publish:
    """A response, complete and decoded, to `request` of `owner`."""

    message: DiagnosticResponse | SimpleMessage
    owner: Owner
    request: DiagnosticRequest


@dataclass(frozen=True, slots=True)
class Finished:
    """A request is no more: a one-off is done, or either kind was cancelled. `request` is the object that was added."""

    owner: Owner
    request: DiagnosticRequest
    outcome: Outcome
    reason: str = ""  #: one line, where it failed


@dataclass(frozen=True, slots=True)
class DecoderFailed:
    """A profile's decoder raised; the response is published undecoded. `error` is one line for the log."""

    request: DiagnosticRequest
    error: str


Event = OpenChannel | CloseChannel | SendPayload | Publish | Finished | DecoderFailed
