import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.openxc import openxc_pb2 as pb
from bridge.openxc.protobuf_wire import (
    can_record,
    double,
    evented,
    framed,
    simple_boolean,
    simple_number,
    simple_prefix,
    simple_record,
    simple_string,
    varint,
)
from tests.openxc.strategies import floats, values

any_names = st.text(max_size=300)


def runtime_framed(message):
    """As google.protobuf's own delimited form has it."""
    data = message.SerializeToString()
    return _runtime_varint(len(data)) + data


def _runtime_varint(number):
    return pb.VehicleMessage(timestamp=number).SerializeToString()[1:] if number else b"\0"


def runtime_simple(name, value, event=None):
    message = pb.VehicleMessage(type=pb.VehicleMessage.SIMPLE)
    message.simple_message.name = name
    fill(message.simple_message.value, value)
    if event is not None:
        fill(message.simple_message.event, event)
    return runtime_framed(message)


def fill(field, value):
    if isinstance(value, bool):
        field.type, field.boolean_value = pb.DynamicField.BOOL, value
    elif isinstance(value, str):
        field.type, field.string_value = pb.DynamicField.STRING, value
    else:
        field.type, field.numeric_value = pb.DynamicField.NUM, value + 0.0


@given(st.integers(0, 2**64 - 1))
def test_varint(number):
    assert varint(number) == _runtime_varint(number)


@given(any_names, st.one_of(floats, st.just(0.0), st.integers(-(2**60), 2**60)))
def test_numbers(name, value):
    assert simple_number(simple_prefix(name), value) == simple_record(name, value) == runtime_simple(name, value)


def test_zero_has_one_form():
    prefix = simple_prefix("a")
    assert simple_number(prefix, -0.0) == simple_number(prefix, 0.0) == simple_number(prefix, 0)


@given(any_names, st.text(max_size=300))
def test_texts(name, value):
    assert simple_string(simple_prefix(name), value) == simple_record(name, value) == runtime_simple(name, value)


@given(any_names, st.booleans())
def test_booleans(name, value):
    assert simple_boolean(simple_prefix(name), value) == simple_record(name, value) == runtime_simple(name, value)


@given(any_names, values, values)
def test_evented(name, value, event):
    record = evented(simple_prefix(name), value, event)
    assert record == simple_record(name, value, event) == runtime_simple(name, value, event)


@given(st.integers(0, 2**31 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=64), st.booleans())
def test_raw_frames(bus, identifier, data, extended):
    message = pb.VehicleMessage(type=pb.VehicleMessage.CAN)
    message.can_message.SetInParent()
    message.can_message.bus = bus
    message.can_message.id = identifier
    message.can_message.data = data
    if extended:
        message.can_message.frame_format = pb.CanMessage.EXTENDED
    assert can_record(bus, identifier, data, extended) == runtime_framed(message)


@given(st.binary(max_size=300))
def test_framed(data):
    assert framed(data) == _runtime_varint(len(data)) + data


def test_record_of_openxc_python():
    assert simple_record("a", 20.0) == b"\x14\x08\x02\x1a\x10\n\x01a\x12\x0b\x08\x02\x19\x00\x00\x00\x00\x00\x004@"
    assert can_record(1, 66, b"\x12\x34", False) == b"\x0c\x08\x01\x12\x08\x08\x01\x10B\x1a\x02\x124"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
def test_numbers_that_are_not_sent(value):
    with pytest.raises(ValueError):
        double(value)
    with pytest.raises(ValueError):
        simple_record("a", value)


@pytest.mark.parametrize(("name", "value"), [("\ud800", 1), ("a", "\ud800")])
def test_texts_without_utf8(name, value):
    with pytest.raises(ValueError):
        simple_record(name, value)
