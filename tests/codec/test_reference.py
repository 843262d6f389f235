"""What the codec says of frames. Every class runs on each twin: a twin subclasses it and sets Translator."""

import json
import sys
from decimal import Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.codec import reference
from bridge.codec.encoding import extract_field
from bridge.codec.numbers import scaling_of
from bridge.frames import Frame, FrameBatch, FrameFlags
from bridge.openxc import protobuf_format
from bridge.openxc.messages import CanMessage, PayloadFormat, SimpleMessage
from bridge.openxc.stream import OutgoingStreamDecoder
from bridge.profile.plan import BuiltinDecoder, ByteOrder, Field, Message, Multiplex, Plan, PlanBus, RawType

from .plans import BOTH, JSON, batch, frame, plan, signal


class CodecTests:
    """Shared by all classes: a translator of the twin under test."""

    Translator = reference.Translator

    def translator(self, a_plan, formats=JSON):
        made = self.Translator(a_plan)
        made.want(formats)
        return made

    def say(self, a_plan, *frames):
        return self.translator(a_plan).translate(batch(*frames)).json


class TestNumbers(CodecTests):
    @pytest.mark.parametrize(
        ("options", "data", "text"),
        [
            ({}, "2a", b"42"),
            ({"factor": "0.1", "size": 16}, "6636", b"2616.6"),
            ({"factor": "0.5"}, "55", b"42.5"),
            ({"factor": "0.5"}, "54", b"42"),
            ({"factor": "0.25", "size": 16}, "0001", b"0.25"),
            ({"factor": "0.01", "offset": "-40"}, "00", b"-40"),
            ({"factor": "0.01", "offset": "-40"}, "01", b"-39.99"),
            ({"factor": "0.01", "offset": "-0.5"}, "01", b"-0.49"),
            ({"factor": "0.01", "offset": "-0.01"}, "01", b"0"),
            ({"factor": "-1"}, "05", b"-5"),
            ({"start": 2, "size": 4, "factor": "1001", "offset": "-30000"}, "eb", b"-19990"),
            ({"factor": "0.392157"}, "ff", b"100.000035"),
            ({"factor": "0.000000001"}, "01", b"0.000000001"),
            ({"factor": "0.0000000001"}, "01", b"1e-10"),  # ten decimals: in doubles
            ({"factor": "1E+3"}, "02", b"2000"),
            ({"size": 64}, "ff" * 8, b"1.8446744073709552e+19"),
            ({"size": 63}, "ff" * 8, b"9223372036854775807"),
            ({"size": 0}, "ff", b"0"),
        ],
    )
    def test_a_number_is_the_decimal_that_the_profile_says(self, options, data, text):
        assert self.say(plan(signal(**options)), frame(data)) == b'{"name":"test","value":' + text + b"}\0"

    @pytest.mark.parametrize(
        ("field", "data", "text"),
        [
            (Field(0, 16, ByteOrder.LITTLE), "3412", b"4660"),
            (Field(4, 8, ByteOrder.LITTLE), "3412", b"35"),
            (Field(0, 8, raw_type=RawType.SIGNED), "ff", b"-1"),
            (Field(0, 8, ByteOrder.LITTLE, RawType.SIGNED), "80", b"-128"),
            (Field(0, 32, raw_type=RawType.FLOAT), "3fc00000", b"1.5"),
            (Field(0, 32, ByteOrder.LITTLE, RawType.FLOAT), "0000c03f", b"1.5"),
            (Field(0, 64, raw_type=RawType.FLOAT), "3fb999999999999a", b"0.1"),
            (Field(0, 32, raw_type=RawType.FLOAT), "80000000", b"0"),
            (Field(500, 12), "00" * 62 + "0fff", b"4095"),
            (Field(500, 12, ByteOrder.LITTLE), "00" * 62 + "f0ff", b"4095"),
            (Field(60, 8), "00" * 7 + "0ff0", b"255"),
        ],
    )
    def test_a_field_lies_where_it_says(self, field, data, text):
        assert self.say(plan(signal(field=field)), frame(data, fd=True)) == b'{"name":"test","value":' + text + b"}\0"

    @pytest.mark.parametrize("data", ["7fc00000", "7f800000", "ff800000"])
    def test_what_is_no_number_is_not_published(self, data):
        assert self.say(plan(signal(field=Field(0, 32, raw_type=RawType.FLOAT))), frame(data)) == b""

    def test_a_short_frame_reads_as_padded_with_zeros(self):
        assert self.say(plan(signal(size=16)), frame("01")) == b'{"name":"test","value":256}\0'

    @given(
        raw=st.integers(0, 2**32 - 1),
        factor=st.decimals("-1000", "1000", places=4).filter(bool),
        offset=st.decimals("-1000", "1000", places=5),
    )
    def test_exact_numbers_equal_decimal_arithmetic(self, raw, factor, offset):
        text = self.say(plan(signal(size=32, factor=str(factor), offset=str(offset))), frame(f"{raw:08x}"))
        value = text[len(b'{"name":"test","value":') : -2].decode()
        assert Decimal(value) == raw * factor + offset
        assert value == "0" or "." not in value or not value.endswith("0")
        assert not value.endswith(".")

    @pytest.mark.parametrize("decimals", range(10))
    @pytest.mark.parametrize("size", [8, 10, 16, 20, 24, 32, 48, 63])
    def test_no_digit_is_lost_where_a_number_gets_another_one(self, size, decimals):
        near = {10**power + step for power in range(19) for step in (-1, 0, 1)} | {2**size - 1}
        raws = sorted(raw for raw in near if raw < 2**size)
        text = self.say(
            plan(signal(field=Field(0, size, ByteOrder.LITTLE), factor=f"1E-{decimals}")),
            *(frame(raw.to_bytes(8, "little").hex()) for raw in raws),
        )
        expected = [f"{Decimal(raw).scaleb(-decimals).normalize(Context(prec=20)):f}" for raw in raws]
        assert text.decode() == "".join(f'{{"name":"test","value":{number}}}\0' for number in expected)


class TestDecoders(CodecTests):
    def test_booleans(self):
        a_plan = plan(signal(decoder=BuiltinDecoder.BOOLEAN, factor="0.5"))
        assert self.say(a_plan, frame("02"), frame("01"), frame("00")) == (
            b'{"name":"test","value":true}\0{"name":"test","value":true}\0{"name":"test","value":false}\0'
        )

    def test_states_are_named_and_unknown_ones_silent(self):
        a_plan = plan(signal(decoder=BuiltinDecoder.STATE, states={"off": [0], "on": [1, 2], "late": [2]}))
        assert self.say(a_plan, frame("00"), frame("02"), frame("07")) == (
            b'{"name":"test","value":"off"}\0{"name":"test","value":"on"}\0'
        )

    def test_a_state_is_compared_with_the_scaled_value_without_its_fraction(self):
        a_plan = plan(signal(decoder=BuiltinDecoder.STATE, factor="0.5", states={"two": [2]}))
        assert self.say(a_plan, frame("05")) == b'{"name":"test","value":"two"}\0'

    def test_a_choice_is_a_name_by_raw_value_or_the_number(self):
        a_plan = plan(signal(decoder=BuiltinDecoder.CHOICE, factor="0.5", states={"low": [3]}))
        assert (
            self.say(a_plan, frame("03"), frame("04")) == b'{"name":"test","value":"low"}\0{"name":"test","value":2}\0'
        )

    def test_ignored_signals_are_stored_and_silent(self):
        translator = self.translator(
            plan(signal(decoder=BuiltinDecoder.IGNORE), signal("seen", decoder=lambda s, v: v))
        )
        assert translator.translate(batch(frame("2a"))).json == b'{"name":"seen","value":42}\0'
        assert translator.lookup("test").value == 42

    def test_a_python_decoder_is_called_on_every_frame(self):
        calls = []
        a_plan = plan(signal(decoder=lambda state, value: calls.append((state.due, value)), max_frequency=1.0))
        assert self.say(a_plan, frame("01"), frame("02"), frame("03", t=1.0)) == b""
        assert calls == [(True, 1), (False, 2), (True, 3)]

    def test_a_python_decoder_may_publish_more_and_look_others_up(self):
        def decoder(state, value):
            state.publish("evented", "x", True)
            return value + state.lookup("other").value if state.received else None

        a_plan = plan(signal("other", start=8), signal("test", decoder=decoder))
        assert self.say(a_plan, frame("0105"), frame("0105")) == (
            b'{"name":"other","value":5}\0{"name":"evented","value":"x","event":true}\0'
            b'{"name":"other","value":5}\0{"name":"evented","value":"x","event":true}\0{"name":"test","value":6}\0'
        )

    @pytest.mark.parametrize(
        "bad",
        [
            lambda state, value: 1 / 0,
            lambda state, value: float("nan"),
            lambda state, value: [value],
            lambda state, value: "\ud800",
            lambda state, value: 10**5000,
        ],
    )
    def test_a_python_decoder_that_fails_is_counted_and_survived(self, bad):
        translator = self.translator(plan(signal(decoder=bad), signal("well", start=8)))
        assert translator.translate(batch(frame("0007"), frame("0007"))).json == b'{"name":"well","value":7}\0' * 2
        assert list(translator.faults.values()) == [2]

    def test_handlers_come_before_signals_and_see_values(self):
        def handler(context):
            context.publish("seen", context.value("gear"), context.value("test"))

        a_plan = plan(
            signal(size=4),
            signal("gear", start=4, size=4, decoder=BuiltinDecoder.STATE, states={"first": [1]}),
            handlers=(handler,),
        )
        assert self.say(a_plan, frame("71")) == (
            b'{"name":"seen","value":"first","event":7}\0{"name":"gear","value":"first"}\0{"name":"test","value":7}\0'
        )

    @pytest.mark.parametrize("bits", ["7fc00000", "7f800000"])
    def test_what_is_no_number_has_no_state_for_a_handler(self, bits):
        def handler(context):
            context.publish("seen", str(context.value("test")))

        field = Field(0, 32, raw_type=RawType.FLOAT)
        a_plan = plan(signal(field=field, decoder=BuiltinDecoder.STATE, states={"on": [1]}), handlers=(handler,))
        assert self.say(a_plan, frame(bits)) == b'{"name":"seen","value":"None"}\0'

    def test_names_are_escaped_and_never_code(self):
        name = 'it\'s {1/0} "q" \\ \n é %s'
        text = self.say(plan(signal(name, decoder=BuiltinDecoder.NUMBER)), frame("01"))
        assert json.loads(text[:-1]) == {"name": name, "value": 1}
        assert text.isascii()


class TestMultiplexing(CodecTests):
    def test_a_signal_is_there_only_when_its_selectors_say_so(self):
        page = Field(0, 8)
        a_plan = plan(
            signal("a", start=8, multiplex=(Multiplex(page, frozenset({1, 2})),)),
            signal("b", start=8, multiplex=(Multiplex(page, frozenset({2})), Multiplex(Field(16, 8), frozenset({9})))),
            signal("page"),
        )
        assert self.say(a_plan, frame("0105")) == b'{"name":"a","value":5}\0{"name":"page","value":1}\0'
        assert self.say(a_plan, frame("020509")) == (
            b'{"name":"a","value":5}\0{"name":"b","value":5}\0{"name":"page","value":2}\0'
        )
        assert self.say(a_plan, frame("0305")) == b'{"name":"page","value":3}\0'


class TestSendRules(CodecTests):
    def values(self, a_plan, *frames):
        return [json.loads(record)["value"] for record in self.say(a_plan, *frames).split(b"\0")[:-1]]

    def test_a_clock_lets_one_through_a_period(self):
        frames = [frame(f"{n:02x}", t=n / 10) for n in range(21)]
        assert self.values(plan(signal(max_frequency=1.0)), *frames) == [0, 10, 20]

    def test_unix_time_is_no_less_exact(self):
        frames = [frame(f"{n:02x}", t=1398128223.8 + n / 10) for n in range(21)]
        assert self.values(plan(signal(max_frequency=10.0)), *frames) == list(range(21))

    def test_a_clock_that_steps_back_ticks(self):
        frames = [frame("01", t=1000.0), frame("02", t=10.0), frame("03", t=10.5), frame("04", t=11.0)]
        assert self.values(plan(signal(max_frequency=1.0)), *frames) == [1, 2, 4]

    def test_changes_pass_the_clock_where_they_are_forced(self):
        frames = [frame("01"), frame("01", t=0.1), frame("02", t=0.2), frame("02", t=0.3)]
        assert self.values(plan(signal(max_frequency=1.0, force_send_changed=True)), *frames) == [1, 2]

    def test_a_clock_has_nothing_to_force_without_the_rule(self):
        assert self.values(plan(signal(max_frequency=1.0)), frame("01"), frame("02", t=0.2)) == [1]

    def test_the_same_is_not_sent_again(self):
        assert self.values(plan(signal(send_same=False)), frame("00"), frame("00"), frame("01"), frame("01")) == [0, 1]

    def test_not_the_same_and_not_too_often(self):
        a_plan = plan(signal(max_frequency=1.0, send_same=False))
        frames = [frame("01"), frame("02", t=0.5), frame("02", t=1.0), frame("03", t=2.0), frame("03", t=3.0)]
        # At 1.0 the clock ticks, but the value is that of the frame before.
        assert self.values(a_plan, *frames) == [1, 3]

    def test_on_change_and_otherwise_once_a_second(self):
        a_plan = plan(signal(max_frequency=1.0, force_send_changed=True))
        frames = [frame("01", t=n / 2) for n in range(5)] + [frame("02", t=2.1)]
        assert self.values(a_plan, *frames) == [1, 1, 1, 2]

    def test_one_name_is_one_state(self):
        shared = Plan(
            buses=(PlanBus(1, "hs"),),
            messages=tuple(
                Message(bus=1, id=identifier, name=str(identifier), signals=(signal(send_same=False),))
                for identifier in (1, 2)
            ),
        )
        assert self.values(shared, frame("01", id=1), frame("01", id=2), frame("02", id=2)) == [1, 2]

    @pytest.mark.parametrize(
        "options", [{"send_same": False}, {"max_frequency": 1e3, "send_same": False, "force_send_changed": True}]
    )
    def test_a_signal_that_sends_the_same_changes_the_state_of_its_name_too(self, options):
        """Of 5 5 6 5 the second 5 is no change, and the last one is: the other signal said 6 in between."""
        shared = Plan(
            buses=(PlanBus(1, "hs"),),
            messages=(
                Message(bus=1, id=1, name="always", signals=(signal(),)),
                Message(bus=1, id=2, name="changes", signals=(signal(**options),)),
            ),
        )
        frames = [frame(f"{5 + (n == 2):02x}", t=n / 10, id=1 + n % 2) for n in range(4)]
        assert self.values(shared, *frames) == [5, 6, 5]

    def test_a_change_of_formats_forgets_nothing(self):
        translator = self.translator(plan(signal(send_same=False)))
        assert translator.translate(batch(frame("05"))).count == 1
        translator.want(BOTH)
        assert translator.translate(batch(frame("05"))).count == 0
        translator.want(frozenset())
        assert translator.translate(batch(frame("06"))).count == 0
        translator.want(JSON)
        assert translator.translate(batch(frame("06"))).count == 0


class TestLookingUp(CodecTests):
    @pytest.mark.parametrize("formats", [frozenset(), JSON, BOTH])
    @pytest.mark.parametrize("options", [{}, {"decoder": BuiltinDecoder.IGNORE}, {"max_frequency": 1e-3}])
    def test_the_last_value_of_a_name_that_was_asked_for(self, options, formats):
        translator = self.Translator(plan(signal("asked", **options), signal("other", start=8)), ["asked", "nobody"])
        state = translator.lookup("asked")
        assert (translator.lookup("nobody"), state.received) == (None, False)
        translator.want(formats)
        for data in ("0102", "0304"):
            translator.translate(batch(frame(data)))
        assert (state.value, state.received) == (3, True)
        assert not translator.lookup("other").received

    def test_asking_changes_no_record(self):
        translator = self.Translator(plan(signal("asked"), signal("other", start=8)), ["asked"])
        translator.want(JSON)
        said = translator.translate(batch(frame("0102"), frame("0102"))).json
        assert said == b'{"name":"asked","value":1}\0{"name":"other","value":2}\0' * 2


class TestOrder(CodecTests):
    def test_signals_in_the_plans_order_then_the_raw_frame(self):
        a_plan = plan(signal("b"), signal("a", start=8), bus=PlanBus(1, "hs", passthrough=True))
        assert self.say(a_plan, frame("0102")) == (
            b'{"name":"a","value":2}\0{"name":"b","value":1}\0{"bus":1,"id":66,"data":"0x0102"}\0'
        )

    def test_sixteen_signals_in_two_messages_all_come(self):
        messages = tuple(
            Message(
                bus=1,
                id=identifier,
                name="m",
                signals=tuple(signal(f"s{identifier}{n}", start=4 * n, size=4) for n in range(8)),
            )
            for identifier in (1, 2)
        )
        records = self.translator(Plan(buses=(PlanBus(1, "hs"),), messages=messages)).translate(
            batch(frame("01234567", id=1), frame("89abcdef", id=2))
        )
        assert records.count == 16
        assert [json.loads(record)["value"] for record in records.json.split(b"\0")[:-1]] == list(range(16))


class TestRawFrames(CodecTests):
    open_bus = PlanBus(1, "hs", passthrough=True, bypass_filter=True)

    @pytest.mark.parametrize(
        ("raw", "text"),
        [
            (frame("123456789abcdef1", id=42), b'{"bus":1,"id":42,"data":"0x123456789abcdef1"}\0'),
            (frame("", id=0), b'{"bus":1,"id":0,"data":"0x"}\0'),
            (frame("12", id=0x42, extended=True), b'{"bus":1,"id":66,"data":"0x12","frame_format":"extended"}\0'),
            (frame("00" * 64, id=1, fd=True), b'{"bus":1,"id":1,"data":"0x' + b"00" * 64 + b'","fd":true}\0'),
            (frame("", id=1, flags=FrameFlags.REMOTE), b""),
            (frame("0000000000000000", id=4, flags=FrameFlags.ERROR), b""),
        ],
    )
    def test_as_json(self, raw, text):
        assert self.say(Plan(buses=(self.open_bus,)), raw) == text

    def test_only_of_buses_that_pass_them(self):
        a_plan = Plan(buses=(self.open_bus, PlanBus(2, "ms")))
        translator = self.translator(a_plan)
        assert translator.translate(batch(frame("01", bus=2))).json == b""
        translator.set_passthrough(2, True)
        translator.set_filter_bypass(2, True)
        assert translator.translate(batch(frame("01", bus=2))).json == b'{"bus":2,"id":66,"data":"0x01"}\0'
        translator.set_passthrough(2, False)
        assert translator.translate(batch(frame("01", bus=2))).json == b""

    def test_the_acceptance_filter_lets_defined_and_opened_ids_through(self):
        a_plan = plan(bus=PlanBus(1, "hs", passthrough=True), id=0x10)
        translator = self.translator(a_plan)
        frames = batch(frame("01", id=0x10), frame("02", id=0x11), frame("03", id=0x7E8))
        assert translator.translate(frames).json == b'{"bus":1,"id":16,"data":"0x01"}\0'
        translator.open_ids([(1, 0x7E8, False)])
        assert translator.translate(frames).count == 2
        translator.set_filter_bypass(1, True)
        assert translator.translate(frames).count == 3

    def test_a_message_limit_holds_for_the_same_data_only(self):
        a_plan = plan(bus=self.open_bus, max_frequency=10.0)
        frames = [frame("01", t=0), frame("01", t=0.05), frame("02", t=0.06), frame("02", t=2)]
        assert self.translator(a_plan).translate(batch(*frames)).count == 3

    def test_a_message_limit_without_forced_changes(self):
        a_plan = plan(bus=self.open_bus, max_frequency=10.0, force_send_changed=False)
        frames = [frame("01", t=0), frame("02", t=0.05), frame("03", t=2)]
        assert self.translator(a_plan).translate(batch(*frames)).count == 2

    def test_a_bus_limit_holds_for_undefined_ids(self):
        bus = PlanBus(1, "hs", passthrough=True, bypass_filter=True, max_message_frequency=1.0)
        frames = [frame("01", id=1), frame("01", id=2), frame("01", id=1, t=0.5), frame("02", id=2, t=0.5)]
        assert self.translator(Plan(buses=(bus,))).translate(batch(*frames)).count == 3

    def test_memory_for_throttled_ids_is_bounded(self, monkeypatch):
        monkeypatch.setattr(sys.modules[self.Translator.__module__], "RAW_IDS_LIMIT", 3)
        bus = PlanBus(1, "hs", passthrough=True, bypass_filter=True, max_message_frequency=1.0)
        translator = self.translator(Plan(buses=(bus,)))
        frames = batch(*[frame("01", id=identifier) for identifier in range(5)])
        assert translator.translate(frames).count == 5
        assert translator.translate(frames).count == 2

    def test_undefined_ids_use_up_no_memory_of_defined_ones(self, monkeypatch):
        monkeypatch.setattr(sys.modules[self.Translator.__module__], "RAW_IDS_LIMIT", 1)
        bus = PlanBus(1, "hs", passthrough=True, bypass_filter=True, max_message_frequency=1.0)
        translator = self.translator(plan(bus=bus, max_frequency=1.0))
        frames = batch(*[frame("01", id=identifier) for identifier in (1, 2, 0x42, 0x42)])
        assert translator.translate(frames).count == 3
        assert translator.translate(frames).count == 1


class TestFrameFormats(CodecTests):
    def test_a_message_of_open_format_is_found_by_either(self):
        assert self.translator(plan(signal())).translate(batch(frame("01"), frame("01", extended=True))).count == 2

    def test_a_message_that_claims_a_format_gets_it(self):
        a_plan = Plan(
            buses=(PlanBus(1, "hs"),),
            messages=(
                Message(bus=1, id=0x42, name="open", signals=(signal("open"),)),
                Message(bus=1, id=0x42, name="long", extended=True, signals=(signal("long"),)),
            ),
        )
        assert (
            self.say(a_plan, frame("01"), frame("02", extended=True))
            == b'{"name":"open","value":1}\0{"name":"long","value":2}\0'
        )


class TestWatching(CodecTests):
    def test_a_watcher_sees_frames_besides_the_plan(self):
        seen = []
        translator = self.translator(plan(signal()))
        translator.watch(1, 0x42, seen.append)
        translator.watch(1, 0x40A, seen.append)
        assert translator.translate(batch(frame("01"), frame("02", id=0x40A))).count == 1
        assert seen == [b"\x01", b"\x02"]


numbers = st.builds(
    signal,
    name=st.sampled_from(["a", "b", "c", "ä"]),
    field=st.builds(
        Field,
        start=st.integers(0, 40),
        size=st.integers(1, 20),
        byte_order=st.sampled_from(ByteOrder),
        raw_type=st.sampled_from([RawType.UNSIGNED, RawType.SIGNED]),
    ),
    factor=st.decimals("-10", "10", places=3).filter(bool).map(str),
    offset=st.decimals("-100", "100", places=2).map(str),
    decoder=st.sampled_from(
        [BuiltinDecoder.NUMBER, BuiltinDecoder.BOOLEAN, BuiltinDecoder.STATE, BuiltinDecoder.CHOICE]
    ),
    states=st.just({"zero": [0], "some": [1, 2, 3]}),
    max_frequency=st.sampled_from([0.0, 1.0, 10.0]),
    send_same=st.booleans(),
    force_send_changed=st.booleans(),
)
some_frames = st.lists(
    st.builds(
        Frame,
        id=st.sampled_from([0x42, 0x43]),
        data=st.binary(max_size=8),
        timestamp=st.floats(0, 100),
        extended=st.booleans(),
    ),
    max_size=20,
)


class TestBothFormats(CodecTests):
    @given(signals=st.lists(numbers, max_size=5, unique_by=lambda one: one.name), frames=some_frames)
    def test_protobuf_says_what_json_says(self, signals, frames):
        a_plan = plan(*signals, bus=PlanBus(1, "hs", passthrough=True, bypass_filter=True))
        records = self.translator(a_plan, BOTH).translate(FrameBatch.of(frames))
        json_messages = OutgoingStreamDecoder(PayloadFormat.JSON).feed(records.json)
        assert OutgoingStreamDecoder(PayloadFormat.PROTOBUF).feed(records.protobuf) == [
            _as_protobuf(m) for m in json_messages
        ]
        assert records.count == len(json_messages)

    @given(signals=st.lists(numbers, max_size=5, unique_by=lambda one: one.name), frames=some_frames)
    def test_batches_cut_anywhere_say_the_same(self, signals, frames):
        a_plan = plan(*signals)
        whole = self.translator(a_plan).translate(FrameBatch.of(frames))
        single = self.translator(a_plan)
        assert b"".join(single.translate(batch(one)).json for one in frames) == whole.json

    @given(a_signal=numbers, data=st.binary(min_size=8, max_size=8))
    def test_generated_code_reads_as_the_plain_form_does(self, a_signal, data):
        value = scaling_of(a_signal).value(extract_field(a_signal.field, data))
        translator = self.translator(plan(a_signal, signal("z", decoder=lambda state, _: None)))
        translator.translate(batch(Frame(id=0x42, data=data)))
        assert translator.lookup(a_signal.name).value == value


def _as_protobuf(message):
    """A message as protobuf can say it: every number a double, a standard frame format said or not."""
    if isinstance(message, CanMessage):
        return OutgoingStreamDecoder(PayloadFormat.PROTOBUF).feed(protobuf_format.encode(message))[0]
    if isinstance(message, SimpleMessage) and isinstance(message.value, int) and not isinstance(message.value, bool):
        return SimpleMessage(name=message.name, value=float(message.value), event=message.event)
    return message
