"""From an ECU's answer to the message that apps get.

It must not know how the answer came. Source: the OpenXC message format: a positive response to a
request with a name is a simple message of that name, every other one a diagnostic response with
either a value or the payload (both where the request asked not to decode).
"""

from __future__ import annotations

import math

from bridge.diagnostics import obd2
from bridge.diagnostics.addressing import reported_id
from bridge.diagnostics.layout import Answer, Negative
from bridge.openxc.messages import DecodedType, DiagnosticRequest, DiagnosticResponse, SimpleMessage, Value
from bridge.profile.plan import DiagnosticDecoder

_ALL_PIDS_ASKED = 0xFF  #: OpenXC decodes mode 1 below this PID only


class DecoderError(Exception):
    """A profile's decoder raised; the text says what."""


def response_message(
    request: DiagnosticRequest, bus: int, response_id: int, answer: Answer
) -> SimpleMessage | DiagnosticResponse:
    """The message for an answer of the ECU at `response_id`, decoded as the request asks.

    A named request whose payload holds no number (too short for its formula, or longer than 64
    bits) gets the full form with the payload rather than a wrong value.
    """
    if isinstance(answer, Negative):
        return _full_form(request, bus, response_id, code=answer.code)
    decodes = _decodes_obd2(request)
    if decodes:
        value = obd2.decode(request.mode, request.pid, answer.payload)
    elif request.name or request.decoded_type is DecodedType.NONE:
        value = obd2.integer(answer.payload) if answer.payload or request.name else None
    else:
        value = None
    if request.name and value is not None:
        return SimpleMessage(name=request.name, value=value)
    payload = None if decodes and value is not None else answer.payload
    return _full_form(request, bus, response_id, payload=payload, value=value)


def decoded_message(
    request: DiagnosticRequest, bus: int, response_id: int, payload: bytes, decoder: DiagnosticDecoder
) -> SimpleMessage | DiagnosticResponse | None:
    """The message for a positive answer that a profile's decoder decodes; None where it says so.

    A decoded text or an unreasonable number (NaN, infinite, beyond 64 bits) cannot be the value of a
    diagnostic response: that has the payload instead. Raises DecoderError when the decoder does.
    """
    try:
        value = decoder(request, payload)
    except Exception as error:  # it is the user's code: whatever it raises, the other requests go on
        raise DecoderError(f"{type(error).__name__}: {error}".replace("\n", " ")) from error
    if value is None:
        return None
    if _is_sound(value):
        if request.name:
            return SimpleMessage(name=request.name, value=value)
        if not isinstance(value, str):
            value = int(value) if isinstance(value, bool) else value
            return _full_form(request, bus, response_id, value=value)
    return _full_form(request, bus, response_id, payload=payload)


def _decodes_obd2(request: DiagnosticRequest) -> bool:
    if request.decoded_type is not None:
        return request.decoded_type is DecodedType.OBD2
    return request.mode == obd2.CURRENT_DATA and request.pid is not None and request.pid < _ALL_PIDS_ASKED


def _is_sound(value: Value) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str) or (isinstance(value, int) and -(1 << 63) <= value < 1 << 64)


def _full_form(
    request: DiagnosticRequest,
    bus: int,
    response_id: int,
    *,
    payload: bytes | None = None,
    value: int | float | None = None,
    code: int | None = None,
) -> DiagnosticResponse:
    return DiagnosticResponse(
        bus=bus,
        id=reported_id(request.id, response_id),
        mode=request.mode,
        success=code is None,
        pid=request.pid,
        negative_response_code=code,
        payload=payload or None,
        value=value,
    )
