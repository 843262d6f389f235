"""What holds for every JSON record; the examples are in test_json_format."""

import json

from hypothesis import given
from hypothesis import strategies as st

from bridge.openxc.json_format import decode, decode_outgoing, encode
from bridge.openxc.messages import InvalidRecord
from tests.openxc import strategies

json_common = st.fixed_dictionaries({}, optional={"timestamp": st.floats(0, 1e10), "extras": strategies.extras})


def with_common(message, common):
    return type(message)(**{**{name: getattr(message, name) for name in message.__struct_fields__}, **common})


def same(one, other):
    """Equal, and no boolean taken for a number."""
    kinds = [
        [isinstance(getattr(m, "value", None), bool), isinstance(getattr(m, "event", None), bool)] for m in (one, other)
    ]
    return one == other and kinds[0] == kinds[1]


@given(strategies.incoming, json_common)
def test_an_app_says_what_is_heard(message, common):
    message = with_common(message, common)
    assert same(decode(encode(message)), message)


@given(st.one_of(strategies.outgoing, strategies.can_messages(fd=True)), json_common)
def test_a_vehicle_interface_says_what_is_heard(message, common):
    message = with_common(message, common)
    assert same(decode_outgoing(encode(message)), message)


@given(st.one_of(strategies.incoming, strategies.outgoing), json_common)
def test_a_record_is_plain_ascii_with_one_nul(message, common):
    record = encode(with_common(message, common))
    assert record[-1] == 0
    assert all(0x20 <= byte < 0x7F for byte in record[:-1])


KEYS = """
    command name value event id message_id data bus request diagnostic_request action mode pid payload frequency
    frame_format format fd enabled bypass unix_time host port server success command_response status message
    timestamp extras decoded_type multiple_responses frame total_size negative_response_code
"""
keys = st.sampled_from(KEYS.split())
odd_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["0x7e0", "0xb'12'", "add", "standard", "passthrough", "diagnostic_request", "rtc_configuration"]),
)
objects = st.dictionaries(keys, st.one_of(odd_values, st.dictionaries(keys, odd_values, max_size=6)), max_size=8)


@given(st.one_of(st.binary(), st.binary().map(lambda data: b"{" + data), objects.map(lambda o: json.dumps(o).encode())))
def test_nothing_but_the_documented_error(record):
    for read in (decode, decode_outgoing):
        try:
            message = read(record)
        except InvalidRecord as error:
            assert str(error).isascii()
        else:
            assert encode(message)
