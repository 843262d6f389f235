"""A long diagnostic response as several records, the way the firmware publishes frame by frame.

Must not know formats or ISO-TP's own framing: it takes a whole response apart.
"""

from __future__ import annotations

from msgspec.structs import replace

from bridge.openxc.messages import DiagnosticResponse
from bridge.openxc.pids import pid_length

HEADER_MAX = 3  #: service and a PID of two bytes, the longest header
_POSITIVE = 0x40  #: what a positive response adds to the request's service, ISO 14229-1


def split(response: DiagnosticResponse, part_size: int) -> list[DiagnosticResponse]:
    """The parts of a positive response whose ISO-TP message is longer than `part_size` bytes.

    Put together, the parts' payloads are that message: service + 0x40, PID, payload. Every part
    has the response's bus, id, mode, PID and timestamp, `total_size` (the message's length) and
    `frame`: 0, 1, ... and -1 for the last. The value, which follows from the payload, is in none.

    A response that fits, is negative, has no payload or is a part itself comes back as it is.
    Where it does not say how many bytes its PID had, that follows from mode and PID (see openxc.pids).

    Raises:
        ValueError: a part could not hold the header (3 bytes).
    """
    if part_size < HEADER_MAX:
        raise ValueError(f"parts of {part_size} bytes; the header alone may have {HEADER_MAX}")
    if not response.success or not response.payload or response.frame is not None:
        return [response]
    whole = _header(response) + response.payload
    if len(whole) <= part_size:
        return [response]
    starts = range(0, len(whole), part_size)
    return [
        replace(
            response,
            payload=whole[start : start + part_size],
            value=None,
            frame=-1 if start == starts[-1] else frame,
            total_size=len(whole),
        )
        for frame, start in enumerate(starts)
    ]


def _header(response: DiagnosticResponse) -> bytes:
    service = bytes(((response.mode + _POSITIVE) & 0xFF,))
    if response.pid is None:
        return service
    length = pid_length(response.mode, response.pid) if response.pid_length is None else response.pid_length
    return service + (response.pid & ((1 << 8 * length) - 1)).to_bytes(length, "big")
