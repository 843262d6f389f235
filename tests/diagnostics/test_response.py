"""From an answer to a message."""

import math

import msgspec
import pytest

from bridge.diagnostics.layout import Negative, Positive
from bridge.diagnostics.response import DecoderError, decoded_message, response_message
from bridge.openxc.messages import DecodedType, DiagnosticResponse, SimpleMessage

from .bench import request

NONE, OBD2 = DecodedType.NONE, DecodedType.OBD2


def positive(payload, **fields):
    return response_message(request(**fields), 1, 0x7E8, Positive(payload))


def said(message):
    """The fields that are there, beside those that always are."""
    return {
        field: value
        for field, value in msgspec.structs.asdict(message).items()
        if value is not None and field not in ("bus", "id", "mode")
    }


@pytest.mark.parametrize(
    ("payload", "fields", "expected"),
    [
        # nothing asked: mode 1 is decoded, everything else is raw
        (b"\x1a\xf8", {}, {"success": True, "pid": 12, "value": 1726}),
        (b"\x45", {"pid": 2}, {"success": True, "pid": 2, "value": 0x45}),
        (b"\x45", {"pid": 0xFF}, {"success": True, "pid": 0xFF, "payload": b"\x45"}),
        (b"\x45", {"pid": None}, {"success": True, "payload": b"\x45"}),
        (b"\x45", {"mode": 0x22, "pid": 2}, {"success": True, "pid": 2, "payload": b"\x45"}),
        (b"", {"mode": 0x3E, "pid": 0}, {"success": True, "pid": 0}),
        # too little for the formula: the bytes, not a wrong value
        (b"\x1a", {}, {"success": True, "pid": 12, "payload": b"\x1a"}),
        (b"", {}, {"success": True, "pid": 12}),
        # asked for
        (b"\x45", {"pid": 2, "decoded_type": NONE}, {"success": True, "pid": 2, "value": 0x45, "payload": b"\x45"}),
        (b"", {"decoded_type": NONE}, {"success": True, "pid": 12}),
        (bytes(9), {"decoded_type": NONE}, {"success": True, "pid": 12, "payload": bytes(9)}),
        (b"\xff" * 4, {"mode": 9, "decoded_type": OBD2}, {"success": True, "pid": 12, "value": 0xFFFFFFFF}),
        (b"\x12", {"pid": None, "decoded_type": OBD2}, {"success": True, "value": 0x12}),
        # named
        (b"\x45", {"pid": 2, "name": "mypid"}, {"name": "mypid", "value": 69}),
        (b"\x1a\xf8", {"name": "engine_speed"}, {"name": "engine_speed", "value": 1726}),
        (b"\x1a\xf8", {"name": "raw", "decoded_type": NONE}, {"name": "raw", "value": 0x1AF8}),
        (b"\xff" * 4, {"mode": 0x22, "pid": 1, "name": "n"}, {"name": "n", "value": 0xFFFFFFFF}),
        (b"", {"mode": 0x3E, "pid": 0, "name": "n"}, {"name": "n", "value": 0}),
        (b"\x45", {"pid": 2, "name": ""}, {"success": True, "pid": 2, "value": 69}),
        # named, and no number
        (b"\x1a", {"name": "n"}, {"success": True, "pid": 12, "payload": b"\x1a"}),
        (bytes(9), {"mode": 0x22, "pid": 1, "name": "n"}, {"success": True, "pid": 1, "payload": bytes(9)}),
    ],
)
def test_positive(payload, fields, expected):
    assert said(positive(payload, **fields)) == expected


def test_bus_id_and_mode():
    message = positive(b"\x01")
    assert (message.bus, message.id, message.mode) == (1, 0x7E0, 1)
    assert response_message(request(id=0x7DF), 2, 0x7EA, Positive(b"\x01")).id == 0x7EA


@pytest.mark.parametrize("name", [None, "n"])
def test_negative_keeps_the_full_form(name):
    message = response_message(request(name=name), 1, 0x7E8, Negative(0x11))
    assert said(message) == {"success": False, "pid": 12, "negative_response_code": 0x11}


def decoded(decoder, payload=b"\x45", **fields):
    return decoded_message(request(**fields), 1, 0x7E8, payload, decoder)


@pytest.mark.parametrize(
    ("value", "unnamed"),
    [
        (138, {"value": 138}),
        (1.5, {"value": 1.5}),
        (True, {"value": 1}),
        ("text", {"payload": b"\x45"}),
        (math.nan, {"payload": b"\x45"}),
        (math.inf, {"payload": b"\x45"}),
        (1 << 64, {"payload": b"\x45"}),
        ([], {"payload": b"\x45"}),
    ],
)
def test_profile_decoder(value, unnamed):
    message = decoded(lambda asked, payload: value)
    assert said(message) == {"success": True, "pid": 12, **unnamed}
    message = decoded(lambda asked, payload: value, name="n")
    if "value" in unnamed or isinstance(value, str):
        assert message == SimpleMessage(name="n", value=value)
        assert type(message.value) is type(value)
    else:
        assert isinstance(message, DiagnosticResponse)


def test_profile_decoder_gets_request_and_payload():
    message = decoded(lambda asked, payload: asked.pid * 1000 + payload[0] * 2, pid=2, name="n")
    assert message == SimpleMessage(name="n", value=2138)


def test_profile_decoder_may_say_nothing_or_fail():
    assert decoded(lambda asked, payload: None) is None
    with pytest.raises(DecoderError, match="IndexError: index out of range"):
        decoded(lambda asked, payload: payload[9])
