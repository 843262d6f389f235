"""Raw-frame writes in plain form, in both twins; json_format is their meaning."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bridge.codec.raw_writes import can_writes as python_can_writes
from bridge.openxc import json_format
from bridge.openxc.messages import CanMessage, FrameFormat, InvalidRecord
from bridge.openxc.stream import CAN_WRITE_LIMIT, StreamDecoder
from tests.openxc import strategies

from .extension import extension, needs_extension, on_both_twins

PLAIN = [
    ('{"bus":1,"id":2015,"data":"0x02010c"}', (2015, b"\x02\x01\x0c", 1, None, False)),
    ('{"id": 1, "data": ""}', (1, b"", 0, None, False)),
    ('{"data":"0X","id":0}', (0, b"", 0, None, False)),
    ('{"data":"00","id":536870911,"bus":0}', (0x1FFFFFFF, b"\0", 0, None, False)),
    ('{"id":1,"data":"aBCd","format":"standard"}', (1, b"\xab\xcd", 0, False, False)),
    ('{"id":2047,"data":"0x00","frame_format":"standard","bus":255}', (0x7FF, b"\0", 255, False, False)),
    ('{"frame_format": "extended","id":1, "data":"0x00"}', (1, b"\0", 0, True, False)),
    ('{"id":1,"data":"0x000102030405060708","fd":false}', (1, bytes(range(8)), 0, None, False)),
    ('{"id":1,"data":"%s","fd": true}' % ("ab" * 64), (1, b"\xab" * 64, 0, None, True)),
    ('{"id":1,"data":"0x%s","fd":true,"bus":3,"format":"extended"}' % ("ab" * 64), (1, b"\xab" * 64, 3, True, True)),
]

OTHER = [
    "",
    "{}",
    '{"id":1}',
    '{"data":"00"}',
    '{"id":1,"data":"00"',
    '{"id":1,"data":"00",}',
    '{"id":1,"data":"00"}}',
    '{"id":1,"data":"00"} ',
    ' {"id":1,"data":"00"}',
    '{ "id":1,"data":"00"}',
    '{"id":1,"data":"00" }',
    '{"id" :1,"data":"00"}',
    '{"id":  1,"data":"00"}',
    '{"id":1 ,"data":"00"}',
    '{"id":1,  "data":"00"}',
    '{"id":1,\t"data":"00"}',
    '{"ID":1,"data":"00"}',
    '{"id":1,"id":1,"data":"00"}',
    '{"id":1,"data":"00","format":"standard","frame_format":"extended"}',
    '{"id":1,"data":"00","format":"Standard"}',
    '{"id":1,"data":"00","format":null}',
    '{"id":1,"data":"0"}',
    '{"id":1,"data":"0x123"}',
    '{"id":1,"data":"0x0x00"}',
    '{"id":1,"data":"0xb\'00\'"}',
    '{"id":1,"data":" 00"}',
    '{"id":1,"data":"0g"}',
    '{"id":1,"data":"00","data":"11"}',
    '{"id":1,"data":"%s"}' % ("00" * 65),
    '{"id":1,"data":00}',
    '{"id":01,"data":"00"}',
    '{"id":-1,"data":"00"}',
    '{"id":+1,"data":"00"}',
    '{"id":1.0,"data":"00"}',
    '{"id":1e3,"data":"00"}',
    '{"id":"1","data":"00"}',
    '{"id":,"data":"00"}',
    '{"id":536870912,"data":"00"}',
    '{"id":1000000000,"data":"00"}',
    '{"id":4294967297,"data":"00"}',
    '{"id":2048,"data":"00","format":"standard"}',
    '{"id":1,"data":"00","bus":256}',
    '{"id":1,"data":"00","bus":00}',
    '{"id":1,"data":"00","fd":1}',
    '{"id":1,"data":"00","fd":True}',
    '{"id":1,"data":"00","timestamp":1}',
    '{"id":1,"data":"00","name":"x"}',
    '{"command":"version"}',
    "junk",
]

documents = st.dictionaries(
    st.sampled_from(["id", "bus", "data", "format", "frame_format", "fd", "ID", "name", "timestamp"]),
    st.one_of(
        st.integers(-1, 300),
        st.integers(0, 2**33),
        st.binary(max_size=10).map(bytes.hex),
        st.binary(max_size=66).map(lambda data: f"0x{data.hex()}"),
        st.sampled_from(["standard", "extended", "Extended", True, False, None, 1.0, "1", "0x1", "0x123", ""]),
    ),
)


@st.composite
def writes(draw):
    """Objects with the right keys and mostly possible values."""
    fields = {
        "id": draw(strategies.ids | st.integers(0, 2**30)),
        "data": draw(st.sampled_from(["", "0x", "0X"])) + draw(st.binary(max_size=66)).hex(),
    }
    if draw(st.booleans()):
        fields["bus"] = draw(st.integers(0, 260))
    if draw(st.booleans()):
        fields[draw(st.sampled_from(["format", "frame_format"]))] = draw(st.sampled_from(["standard", "extended"]))
    if draw(st.booleans()):
        fields["fd"] = draw(st.booleans())
    return dict(draw(st.permutations(sorted(fields.items()))))


@st.composite
def mutated(draw, records):
    record = bytearray(draw(records))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(record)))
        record[place : place + draw(st.integers(0, 2))] = draw(
            st.sampled_from([b"", b" ", b"0", b"9", b'"', b",", b":", b"{", b"}", b"\0", b"x", b"e", b"\xff"])
        )
    return bytes(record)


separators = st.sampled_from([(",", ":"), (", ", ": "), (",", ": "), (" ,", ":")])
texts = st.builds(
    lambda fields, separators: json.dumps(fields, separators=separators).encode() + b"\0",
    documents | writes(),
    separators,
)
records = st.one_of(
    texts,
    mutated(texts),
    strategies.can_messages(fd=True).map(json_format.encode),
    st.sampled_from([text.encode() + b"\0" for text, _ in PLAIN] + [text.encode() + b"\0" for text in OTHER]),
    st.binary(max_size=20),
)


class TestPython:
    can_writes = staticmethod(python_can_writes)

    @pytest.mark.parametrize(("text", "write"), PLAIN)
    def test_plain_records(self, text, write):
        record = text.encode() + b"\0"
        assert len(record) <= CAN_WRITE_LIMIT
        assert self.can_writes(record, 0) == ([write], len(record))
        assert self.can_writes(b"\0{" + bytearray(record) * 3 + b"{", 2) == ([write] * 3, 2 + 3 * len(record))

    @pytest.mark.parametrize("text", OTHER)
    def test_it_stops_in_front_of_any_other_record(self, text):
        record = b'{"id":1,"data":"0x00"}\0'
        for data in (text.encode() + b"\0", text.encode() + b"\0" + record, text.encode()):
            assert self.can_writes(data, 0) == ([], 0)
            assert self.can_writes(record + data, 0)[1] == len(record)
            assert self.can_writes(data, len(data)) == ([], len(data))

    @pytest.mark.parametrize("position", [-1, 4, 2**40])
    def test_a_position_that_is_not_there(self, position):
        with pytest.raises(ValueError):
            self.can_writes(b"abc", position)

    @on_both_twins
    @given(st.lists(records, max_size=5).map(b"".join), st.integers(0, 100))
    def test_what_it_takes_means_what_the_general_way_says(self, data, position):
        assume(position <= len(data))
        taken, end = self.can_writes(data, position)
        assert position <= end <= len(data)
        whole = data[position:end].split(b"\0")
        assert whole.pop() == b""
        formats = {None: None, False: FrameFormat.STANDARD, True: FrameFormat.EXTENDED}
        assert [json_format.decode(record) for record in whole] == [
            CanMessage(id=number, data=data, bus=bus or None, frame_format=formats[extended], fd=fd)
            for number, data, bus, extended, fd in taken
        ]

    @on_both_twins
    @given(writes(), st.sampled_from([(",", ":"), (", ", ": ")]))
    def test_what_encoders_write_is_plain_unless_it_makes_no_sense(self, fields, separators):
        record = json.dumps(fields, separators=separators).encode() + b"\0"
        try:
            json_format.decode(record)
            plain = len(fields["data"].removeprefix("0x").removeprefix("0X")) <= 128
        except InvalidRecord:
            plain = False
        assert self.can_writes(record, 0)[1] == (len(record) if plain else 0)

    @on_both_twins
    @given(
        st.lists(
            records | st.sampled_from([b'{"command":"payload_format","format":"protobuf"}\0', b"x" * 300]), max_size=8
        ).map(b"".join),
        st.lists(st.integers(0, 2000), max_size=12),
        st.sampled_from([20, CAN_WRITE_LIMIT, 65536]),
    )
    @example(b'{"id":1,"data":"00"}\0' * 3 + b"x" * 300 + b'{"id":1,"data":"00"}\0' * 2, [5, 70, 362], CAN_WRITE_LIMIT)
    def test_a_stream_reads_the_same_with_and_without(self, stream, cuts, limit):
        plain, fast = StreamDecoder(limit=limit), StreamDecoder(limit=limit, can_writes=self.can_writes)
        places = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
        for start, end in itertools.pairwise(places):
            assert fast.feed(stream[start:end]) == plain.feed(stream[start:end])
            assert (fast.payload_format, fast.records, fast.invalid, fast.oversized, fast.buffered) == (
                plain.payload_format,
                plain.records,
                plain.invalid,
                plain.oversized,
                plain.buffered,
            )

    def test_a_stream_takes_plain_records_this_way(self):
        taken = []

        def watched(data, position):
            writes, end = self.can_writes(data, position)
            taken.extend(writes)
            return writes, end

        decoder = StreamDecoder(can_writes=watched)
        assert decoder.feed(b'{"id":1,"data":"0x00"}\0{"id":2,"da') == [CanMessage(id=1, data=b"\0")]
        assert decoder.feed(b'ta":"0x00"}\0') == [CanMessage(id=2, data=b"\0")]
        assert [write[0] for write in taken] == [1, 2]


@needs_extension
class TestC(TestPython):
    if extension is not None:
        can_writes = staticmethod(extension.can_writes)

    @given(st.lists(records, max_size=5).map(b"".join), st.integers(-1, 200))
    def test_any_input_gives_what_the_python_twin_gives(self, data, position):
        try:
            expected = python_can_writes(data, position)
        except ValueError as error:
            with pytest.raises(ValueError, match=str(error)):
                self.can_writes(data, position)
        else:
            assert self.can_writes(data, position) == expected
            assert self.can_writes(bytearray(data), position) == expected

    @given(st.binary(max_size=500))
    def test_garbage(self, data):
        assert self.can_writes(data, 0) == ([], 0)
        assert self.can_writes(b"{" + data, 0) == python_can_writes(b"{" + data, 0)

    def test_a_buffer_can_grow_again_afterwards(self):
        data = bytearray(b'{"id":1,"data":"0x00"}\0')
        self.can_writes(data, 0)
        data += b"x"
        del data[:5]

    @pytest.mark.parametrize("arguments", [(), (b"",), ("text", 0), (b"", "0"), (b"", 0.0), (b"", 0, 0)])
    def test_wrong_types(self, arguments):
        with pytest.raises(TypeError):
            self.can_writes(*arguments)
