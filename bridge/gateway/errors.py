"""Why a call is refused: one exception for each gRPC status that the gateway gives on purpose.

Must not know gRPC; server.py turns these into the statuses of the same names.
"""

from __future__ import annotations

import enum

from bridge.errors import ClientError


class Status(enum.Enum):
    """gRPC's status codes, as far as the gateway uses them (grpc/status.h)."""

    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class CallError(ClientError):
    """A call that cannot be done; its text becomes the status's details."""

    status = Status.INTERNAL


class InvalidCall(CallError):
    """The request makes no sense: bad hexadecimal digits, an id out of range, a missing field."""

    status = Status.INVALID_ARGUMENT


class Unauthenticated(CallError):
    """No token, an unknown or expired one, or wrong credentials."""

    status = Status.UNAUTHENTICATED


class WrongState(CallError):
    """The session, the context or the bus is not in the state that the call needs."""

    status = Status.FAILED_PRECONDITION


class Declined(CallError):
    """Whoever should do it has tried, and says why it cannot be done."""

    status = Status.FAILED_PRECONDITION


class NotFound(CallError):
    """There is no such session, variable, bus or function."""

    status = Status.NOT_FOUND


class Forbidden(CallError):
    """The caller may not do it: a write that policy refuses, another partner's function."""

    status = Status.PERMISSION_DENIED


class Exhausted(CallError):
    """A bound is reached."""

    status = Status.RESOURCE_EXHAUSTED


class Unavailable(CallError):
    """The vehicle or the function is not there now."""

    status = Status.UNAVAILABLE


class Overdue(CallError):
    """Somebody else did not answer in time."""

    status = Status.DEADLINE_EXCEEDED


class Cancelled(CallError):
    """The call is no longer wanted; clients take it for a quiet end."""

    status = Status.CANCELLED


class Aborted(CallError):
    """Something newer has taken the call's place, or the other side failed."""

    status = Status.ABORTED


class Unimplemented(CallError):
    """The gateway does not have it; the text says what is missing."""

    status = Status.UNIMPLEMENTED
