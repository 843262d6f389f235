import itertools
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.openxc import json_format, protobuf_format
from bridge.openxc.messages import (
    CanMessage,
    CommandResponse,
    PayloadFormat,
    PayloadFormatCommand,
    SimpleCommand,
    SimpleMessage,
)
from bridge.openxc.stream import RESYNC_LIMIT, OutgoingStreamDecoder, StreamDecoder
from tests.openxc import strategies

JSON, PROTOBUF = PayloadFormat.JSON, PayloadFormat.PROTOBUF
VERSION = SimpleCommand(name="version")
JSON_VERSION = b'{"command":"version"}\0'
PROTOBUF_VERSION = b"\x06\x08\x04*\x02\x08\x01"
FORMATS = st.sampled_from([None, JSON, PROTOBUF])


def in_pieces(decoder, stream, cuts):
    """Feed the stream cut at these places."""
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    messages = []
    for start, end in itertools.pairwise(places):
        messages += decoder.feed(stream[start:end])
    return messages


def state(decoder):
    return decoder.payload_format, decoder.records, decoder.invalid, decoder.oversized, decoder.buffered


@pytest.mark.parametrize(
    ("stream", "messages", "invalid"),
    [
        (b"\0\0\0", [], 0),
        (b"{", [], 0),
        (JSON_VERSION[:-1], [], 0),
        (b"junk\0" + JSON_VERSION, [VERSION], 1),
        (b"prime\0" + JSON_VERSION, [VERSION], 1),
        (b"junk" + JSON_VERSION, [VERSION], 0),
        (b"\r\n" + JSON_VERSION, [VERSION], 0),
        (b'{"command":"version"}\r\n\0\r\n', [VERSION], 0),
        (b"\r\n\0" + JSON_VERSION, [VERSION], 0),
        (JSON_VERSION * 3, [VERSION] * 3, 0),
        (b'[1,2]\0"text"\x0017\0' + JSON_VERSION, [VERSION], 3),
        (b'{"unknown":1}\0' + JSON_VERSION, [VERSION], 1),
        (b"{broken json}\0" + JSON_VERSION, [VERSION], 1),
        (b'{"bus":"x","id":1,"data":"0x"}\0' + JSON_VERSION, [VERSION], 1),
        (JSON_VERSION + PROTOBUF_VERSION + b"\0" + JSON_VERSION, [VERSION] * 2, 1),
    ],
)
@pytest.mark.parametrize("payload_format", [None, JSON])
def test_json(stream, messages, invalid, payload_format):
    decoder = StreamDecoder(payload_format)
    assert decoder.feed(stream) == messages
    assert (decoder.records, decoder.invalid, decoder.oversized) == (len(messages), invalid, 0)


@pytest.mark.parametrize(
    ("stream", "messages", "invalid"),
    [
        (PROTOBUF_VERSION * 3, [VERSION] * 3, 0),
        (PROTOBUF_VERSION + b"\0" + PROTOBUF_VERSION, [VERSION] * 2, 0),
        (PROTOBUF_VERSION + b"\xff\xff\xff\xff\xff\xff" + PROTOBUF_VERSION, [VERSION] * 2, 1),
        (PROTOBUF_VERSION + b"junk" + PROTOBUF_VERSION, [VERSION] * 2, 1),
        (PROTOBUF_VERSION + b"\x01" + PROTOBUF_VERSION, [VERSION] * 2, 1),
        (PROTOBUF_VERSION + b"\x04\x08\xff\xff\xff" + PROTOBUF_VERSION, [VERSION] * 2, 1),
        (PROTOBUF_VERSION + b"\x02\x08\x00" + PROTOBUF_VERSION, [VERSION] * 2, 1),
        (PROTOBUF_VERSION + PROTOBUF_VERSION[1:] + PROTOBUF_VERSION, [VERSION] * 2, 2),
        (PROTOBUF_VERSION + JSON_VERSION + PROTOBUF_VERSION, [VERSION] * 2, 1),
    ],
)
@pytest.mark.parametrize("payload_format", [None, PROTOBUF])
def test_protobuf(stream, messages, invalid, payload_format):
    decoder = StreamDecoder(payload_format)
    assert decoder.feed(stream) == messages
    assert (decoder.records, decoder.invalid, decoder.oversized) == (len(messages), invalid, 0)


def test_a_length_that_is_believed_holds_records_up_but_loses_none():
    decoder = StreamDecoder()
    assert decoder.feed(PROTOBUF_VERSION + b"\xff" + PROTOBUF_VERSION) == [VERSION]
    assert decoder.feed(PROTOBUF_VERSION * 200) == [VERSION] * 201
    assert decoder.invalid == 1


@pytest.mark.parametrize(
    ("stream", "payload_format"),
    [
        (b"", None),
        (b"\0\r\n \0", None),
        (b"{", None),
        (b"\x80", None),
        (b"\x06", None),
        (b"\x06\x08", PROTOBUF),
        (b"\n\x08", PROTOBUF),
        (b"\n", None),
        (b"\n\n", None),
        (b"\n{", None),
        (b"\0\0\x06\x08", PROTOBUF),
        (b"\x80\x01\x08", PROTOBUF),
        (b'{"', JSON),
        (b"\x80\x01\x09", JSON),
        (b"\x01\x08", JSON),
        (b"\xff\xff\xff", JSON),
        (b"junk", JSON),
    ],
)
def test_detection(stream, payload_format):
    decoder = StreamDecoder()
    decoder.feed(stream)
    assert decoder.payload_format is payload_format


def test_the_format_stays():
    decoder = StreamDecoder()
    decoder.feed(JSON_VERSION)
    assert decoder.feed(PROTOBUF_VERSION) == []
    assert decoder.payload_format is JSON


SWITCH = PayloadFormatCommand(name="payload_format", format=PROTOBUF)
JSON_SWITCH = json_format.encode(SWITCH)


@pytest.mark.parametrize("following", [JSON_VERSION, PROTOBUF_VERSION])
@pytest.mark.parametrize(
    ("payload_format", "command"),
    [
        (None, JSON_SWITCH),
        (JSON, JSON_SWITCH),
        (None, protobuf_format.encode(SWITCH)),
        (PROTOBUF, protobuf_format.encode(SWITCH)),
    ],
)
def test_after_a_format_command_either_may_follow(payload_format, command, following):
    decoder = StreamDecoder(payload_format)
    assert decoder.feed(command + following * 2) == [SWITCH, VERSION, VERSION]
    assert decoder.invalid == 0


def test_a_format_command_that_fails_changes_nothing():
    decoder = StreamDecoder()
    decoder.feed(b'{"command":"payload_format","format":"other"}\0')
    assert decoder.payload_format is JSON


def test_a_client_of_the_bridge_follows_the_answer():
    answer = CommandResponse(command_response="payload_format", status=True)
    refusal = CommandResponse(command_response="payload_format", status=False)
    value = SimpleMessage(name="a", value=1.5)
    decoder = OutgoingStreamDecoder()
    stream = json_format.encode(value) + json_format.encode(refusal) + json_format.encode(value)
    stream += json_format.encode(answer) + protobuf_format.encode(value) * 2
    assert decoder.feed(stream) == [value, refusal, value, answer, value, value]
    assert decoder.payload_format is PROTOBUF


def test_a_record_as_long_as_the_limit():
    decoder = StreamDecoder(limit=len(JSON_VERSION) - 1)
    assert decoder.feed(JSON_VERSION + b" " + JSON_VERSION + JSON_VERSION) == [VERSION, VERSION]
    assert decoder.oversized == 1


@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
def test_an_oversized_record_is_dropped_and_counted_once(size):
    decoder = StreamDecoder(JSON, limit=1000)
    for _ in range(100_000 // size):
        assert decoder.feed(b"x" * size) == []
        assert decoder.buffered <= 1000
    assert decoder.feed(b'"}\0' + JSON_VERSION) == [VERSION]
    assert (decoder.oversized, decoder.invalid) == (1, 0)


def test_a_protobuf_length_above_the_limit_is_not_believed():
    decoder = StreamDecoder(PROTOBUF, limit=1000)
    assert decoder.feed(b"\xe9\x07\x08\x04" + PROTOBUF_VERSION) == [VERSION]
    assert decoder.invalid == 1


def test_a_long_protobuf_record():
    message = SimpleMessage(name="a" * 5000, value=True)
    decoder = StreamDecoder()
    assert decoder.feed(protobuf_format.encode(message) * 2) == [message] * 2


def test_after_garbage_a_long_record_is_believed_when_enough_was_read():
    message = SimpleMessage(name="a" * RESYNC_LIMIT, value=True)
    record = protobuf_format.encode(message)
    decoder = StreamDecoder(PROTOBUF)
    assert decoder.feed(b"\xff\xff" + record + PROTOBUF_VERSION) == [VERSION]
    assert decoder.feed(PROTOBUF_VERSION * 10 + record) == [*[VERSION] * 10, message]


def test_hostile_lengths_cost_no_quadratic_time():
    # Every five bytes declare a record of 65,408 bytes whose fields parse for as long as they go on.
    decoder = StreamDecoder(PROTOBUF)
    decoder.feed(b"\x80\xff\x03\x08\x10" * 40_000)
    assert decoder.records == 0


json_pieces = st.one_of(
    strategies.incoming.map(json_format.encode),
    strategies.outgoing.map(json_format.encode),
    strategies.incoming.map(protobuf_format.encode),
    st.binary(max_size=20),
    st.sampled_from(
        [b"\0", b"\r\n", b"{", b"}", b"{broken}\0", b"prime", b"\x06\x08", b"\n", b"\xff\xff\x03\x08", JSON_SWITCH]
    ),
    st.integers(0, 300).map(lambda size: b"x" * size),
    st.integers(0, 300).map(lambda size: json.dumps({"name": "x" * size}).encode() + b"\0"),
)


@given(
    st.sampled_from([StreamDecoder, OutgoingStreamDecoder]),
    FORMATS,
    st.lists(json_pieces, max_size=8).map(b"".join),
    st.lists(st.integers(0, 2000), max_size=12),
    st.sampled_from([20, 200, 65536]),
)
@example(StreamDecoder, None, b"\n\x08\x04*\x06\x08\x04\x1a\x02\x08\x02", [1, 2, 3], 200)
@example(StreamDecoder, None, JSON_SWITCH + PROTOBUF_VERSION + JSON_SWITCH, [40, 50], 200)
def test_no_split_changes_what_is_parsed(decoder_class, payload_format, stream, cuts, limit):
    whole = decoder_class(payload_format, limit=limit)
    pieces = decoder_class(payload_format, limit=limit)
    single = decoder_class(payload_format, limit=limit)
    messages = whole.feed(stream)
    assert in_pieces(pieces, stream, cuts) == messages
    assert in_pieces(single, stream, range(len(stream))) == messages
    assert state(pieces) == state(whole) == state(single)
    assert whole.buffered <= limit + 5


@given(
    st.lists(strategies.incoming, max_size=6),
    st.sampled_from([json_format, protobuf_format]),
    st.lists(st.integers(0, 2000)),
)
def test_everything_that_is_sent_arrives(messages, form, cuts):
    decoder = StreamDecoder()
    stream = b"".join(form.encode(message) for message in messages)
    # A change of format on the way is announced by nobody but the command; the sender here goes on as before.
    assert in_pieces(decoder, stream, cuts) == messages
    assert (decoder.records, decoder.invalid, decoder.oversized) == (len(messages), 0, 0)


@given(st.lists(st.binary(max_size=60)))
def test_no_bytes_raise(chunks):
    for decoder_class in (StreamDecoder, OutgoingStreamDecoder):
        for payload_format in (None, JSON, PROTOBUF):
            decoder = decoder_class(payload_format, limit=50)
            for chunk in chunks:
                decoder.feed(chunk)


def test_a_split_in_every_place():
    raw = CanMessage(id=66, data=b"\x12\x34", bus=1)
    stream = b"prime\0" + JSON_VERSION + b"\r\n" + json_format.encode(raw) + JSON_SWITCH
    stream += protobuf_format.encode(raw) + b"\xff\x01" + PROTOBUF_VERSION
    for cut in range(len(stream) + 1):
        decoder = StreamDecoder()
        assert decoder.feed(stream[:cut]) + decoder.feed(stream[cut:]) == [VERSION, raw, SWITCH, raw, VERSION]
        assert decoder.invalid == 2
