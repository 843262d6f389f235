"""Layout: the bytes of a diagnostic request, and which bytes answer it.

`[mode][PID, none or 1 or 2 bytes][payload]`; a positive response echoes mode + 0x40 and the PID, a
negative one is `7F [mode] [code]`. It must not know ids, buses or time.

In some services the PID is a sub-function, whose bit 7 asks an ECU not to answer positively. One that
has said 0x78, responsePending, answers all the same, with that bit clear (ISO 14229-1).

The PID has as many bytes as its mode says (openxc.pids); a profile's `pid_length` says it for what
does not fit that.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.diagnostics.addressing import is_functional
from bridge.diagnostics.errors import RequestRefused
from bridge.limits import PAYLOAD_LIMIT, SINGLE_FRAME_LIMIT
from bridge.openxc.messages import DiagnosticRequest
from bridge.openxc.pids import pid_length

RESPONSE_PENDING = 0x78  #: requestCorrectlyReceived-ResponsePending (ISO 14229-1): the answer comes later
_NEGATIVE = 0x7F
_POSITIVE_OFFSET = 0x40
_SUPPRESS_POSITIVE = 0x80  # suppressPosRspMsgIndicationBit, in a sub-function
_SERVICES_WITH_SUB_FUNCTION = frozenset({0x10, 0x11, 0x19, 0x27, 0x28, 0x29, 0x2C, 0x31, 0x3E, 0x83, 0x85, 0x86, 0x87})


@dataclass(frozen=True, slots=True)
class Positive:
    """A positive response: the bytes after mode and PID."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Negative:
    """A negative response: the code (ISO 14229-1, annex A), never 0."""

    code: int


Answer = Positive | Negative


@dataclass(frozen=True, slots=True)
class Layout:
    """One request as bytes."""

    mode: int
    payload: bytes  #: the whole ISO-TP payload to send
    echoes: tuple[bytes, ...]  #: how a positive response may begin, all of one length; none: the mode cannot have one

    def classify(self, payload: bytes) -> Answer | None:
        """What a received ISO-TP payload is to this request; None: nothing, it answers something else."""
        if payload[:1] == bytes((_NEGATIVE,)):
            if len(payload) < 3 or payload[1] != self.mode or not payload[2]:
                return None
            return Negative(payload[2])
        if not payload.startswith(self.echoes):
            return None
        return Positive(payload[len(self.echoes[0]) :])


def lay_out(request: DiagnosticRequest, length: int | None = None) -> Layout:
    """Make a request's bytes; `length` is the number of PID bytes where pid_length() does not fit.

    Raises RequestRefused where mode or PID are impossible, and for a payload too long for ISO-TP
    or, in a functional request, for a single frame.
    """
    if not 1 <= request.mode <= 0xFF:
        raise RequestRefused(f"mode {request.mode:#x} is not one of 0x1 to 0xff")
    pid = b""
    if request.pid is not None:
        if not 0 <= request.pid <= 0xFFFF:
            raise RequestRefused(f"PID {request.pid:#x} is not one of 0x0 to 0xffff")
        length = pid_length(request.mode, request.pid) if length is None else length
        if length not in (1, 2):
            raise RequestRefused(f"a PID has 1 or 2 bytes, not {length}")
        if request.pid >> 8 * length:
            raise RequestRefused(
                f"PID {request.pid:#x} does not fit the one byte that it has in mode {request.mode:#x}"
            )
        pid = request.pid.to_bytes(length, "big")
    payload = bytes((request.mode,)) + pid + request.payload
    limit = SINGLE_FRAME_LIMIT if is_functional(request.id) else PAYLOAD_LIMIT
    if len(payload) > limit:
        raise RequestRefused(f"request of {len(payload)} bytes; at most {limit} can be sent to id {request.id:#x}")
    return Layout(request.mode, payload, _echoes(request.mode, pid))


def _echoes(mode: int, pid: bytes) -> tuple[bytes, ...]:
    """How a positive response to mode and PID may begin."""
    positive = mode + _POSITIVE_OFFSET
    # 0x7F would be a negative response, and services from 0xC0 up have no positive one left.
    if positive == _NEGATIVE or positive > 0xFF:
        return ()
    echo = bytes((positive,)) + pid
    if mode in _SERVICES_WITH_SUB_FUNCTION and pid and pid[0] & _SUPPRESS_POSITIVE:
        return (echo, bytes((positive, pid[0] & ~_SUPPRESS_POSITIVE)) + pid[1:])
    return (echo,)
