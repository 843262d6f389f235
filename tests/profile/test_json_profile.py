"""What a firmware profile means: buses, messages, signals, mappings, commands and diagnostics."""

from decimal import Decimal

import pytest

from bridge.openxc.messages import DecodedType, DiagnosticRequest
from bridge.profile import decoders
from bridge.profile.errors import ProfileError
from bridge.profile.plan import BuiltinDecoder, ByteOrder, Field, Multiplex, PlanBus, RawType, State

from .cars import HS, NUMBER, WRITABLE, car, diagnostic, message

# What a profile means


def test_empty_profile(build):
    plan = build({})
    assert (plan.name, plan.buses, plan.messages, plan.diagnostics, plan.commands) == ("generic", (), (), (), ())
    assert plan.predefined_obd2 is False
    assert plan.warnings == ()


def test_bus_defaults(build):
    assert build(car()).buses == (PlanBus(1, "hs", 500000, raw_writable=False),)


def test_bus_keys(build):
    bus = {
        "controller": 2,
        "speed": 125000,
        "raw_can_mode": "filtered",
        "raw_writable": True,
        "max_message_frequency": 2.5,
        "force_send_changed": False,
        "loopback": True,
    }
    assert build({"buses": {"ms": bus}}).buses == (PlanBus(2, "ms", 125000, True, False, True, 2.5, True, False),)


@pytest.mark.parametrize(
    ("mode", "passthrough", "bypass"),
    [("off", False, False), ("filtered", True, False), ("unfiltered", True, True)],
)
def test_raw_can_modes(build, mode, passthrough, bypass):
    for profile in (
        car() | {"raw_can_mode": mode, "max_message_frequency": 3},
        {"buses": {"hs": HS["hs"] | {"raw_can_mode": mode, "max_message_frequency": 3}}, "raw_can_mode": "filtered"},
    ):
        bus = build(profile).buses[0]
        assert (bus.passthrough, bus.bypass_filter, bus.max_message_frequency) == (passthrough, bypass, 3.0)


def test_buses_are_sorted_by_number(build):
    buses = {"b": {"controller": 2, "speed": 1}, "a": {"controller": 1, "speed": 1}}
    assert [bus.number for bus in build({"buses": buses}).buses] == [1, 2]


def test_bus_without_controller_is_left_out_with_its_messages(build):
    plan = build(
        {
            "buses": {"hs": {"speed": 500000}, "ms": {"controller": None, "speed": 1}},
            "messages": {"1": {"bus": "hs"}, "2": {"bus": "hs", "handlers": ["c_plus_plus"]}},
            "diagnostic_messages": [{"bus": "hs", "id": 1, "mode": 1, "frequency": 1}],
        }
    )
    assert (plan.buses, plan.messages, plan.diagnostics) == ((), (), ())
    assert plan.warnings == (
        "car.json: diagnostic message 1: bus hs is disabled: the request is never sent",
        'car.json: bus hs: no "controller": the bus and its messages (2) are left out',
        'car.json: bus ms: no "controller": the bus and its messages (0) are left out',
    )


def test_message_defaults(build):
    plan = build(car(messages={"0x49": {"bus": "hs"}}))
    (message,) = plan.messages
    assert (message.bus, message.id, message.name, message.extended) == (1, 0x49, "0x49", None)
    assert (message.length, message.fd, message.signals, message.handlers) == (8, False, (), ())
    assert (message.max_frequency, message.force_send_changed) == (0.0, True)


def test_bus_gives_the_defaults_of_raw_output(build):
    bus = HS["hs"] | {"max_message_frequency": 4, "force_send_changed": False}
    messages = {"1": {"bus": "hs"}, "2": {"bus": "hs", "max_frequency": 0, "force_send_changed": True}}
    first, second = build({"buses": {"hs": bus}, "messages": messages}).messages
    assert (first.max_frequency, first.force_send_changed) == (4.0, False)
    assert (second.max_frequency, second.force_send_changed) == (0.0, True)


@pytest.mark.parametrize(
    ("key", "identifier", "extended"),
    [
        ("0x7FF", 0x7FF, None),
        ("73", 73, None),
        ("0", 0, None),
        ("0x800", 0x800, True),
        ("0X1FFFFFFF", 0x1FFFFFFF, True),
    ],
)
def test_ids(build, key, identifier, extended):
    (message,) = build(car(messages={key: {"bus": "hs"}})).messages
    assert (message.id, message.extended) == (identifier, extended)


@pytest.mark.parametrize(("word", "extended"), [("standard", False), ("extended", True)])
def test_frame_formats(build, word, extended):
    assert build(message(frame_format=word)).messages[0].extended is extended


def test_both_formats_of_one_id_are_two_messages(build):
    plan = build(
        car(
            messages={
                "0x49": {"bus": "hs", "frame_format": "standard"},
                "0x00000049": {"bus": "hs", "frame_format": "extended"},
            }
        )
    )
    assert [(message.id, message.extended) for message in plan.messages] == [(0x49, False), (0x49, True)]


@pytest.mark.parametrize(
    ("keys", "length", "fd"),
    [
        ({"length": 3}, 3, False),
        ({"fd": True}, 64, True),
        ({"fd": True, "length": 4}, 4, True),
        ({"length": 12}, 12, True),
    ],
)
def test_lengths(build, keys, length, fd):
    (built,) = build(message(**keys)).messages
    assert (built.length, built.fd) == (length, fd)


def test_handlers(build):
    plan = build(message(handlers=["handleGpsMessage", "math:sin"], handler="handleButtonEventMessage"))
    assert plan.messages[0].handlers[0] is decoders.handle_gps
    assert plan.messages[0].handlers[2] is decoders.handle_button_event
    assert plan.warnings == ('car.json: message 0x49: "handler" is deprecated; write "handlers", a list',)


def test_disabled_parts_are_left_out_unread(build):
    broken = {"bit_position": 1000, "decoder": "c_plus_plus", "enabled": False}
    plan = build(
        car(
            messages={
                "1": {"bus": "hs", "enabled": False, "handlers": ["c_plus_plus"], "signals": {"S": broken}},
                "2": {"bus": "hs", "signals": {"S": broken, "T": NUMBER}},
            },
            commands=[{"name": "c", "handler": "c_plus_plus", "enabled": False}],
            diagnostic_messages=[{"bus": "hs", "enabled": False}],
        )
    )
    assert [[signal.key for signal in message.signals] for message in plan.messages] == [["T"]]
    assert (plan.commands, plan.diagnostics) == ((), ())


# Signals


def test_signal_defaults(build_signal):
    signal = build_signal()
    assert (signal.name, signal.key, signal.field) == ("S", "S", Field(0, 8))
    assert (signal.factor, signal.offset, signal.minimum, signal.maximum, signal.unit) == (1, 0, 0, 0, "")
    assert (signal.decoder, signal.encoder, signal.states) == (BuiltinDecoder.NUMBER, None, ())
    assert (signal.max_frequency, signal.send_same, signal.force_send_changed, signal.writable) == (
        0,
        True,
        False,
        False,
    )
    assert signal.multiplex == ()


def test_signal_keys(build):
    text = """{"buses": {"hs": {"controller": 1, "speed": 1}}, "messages": {"0x49": {"bus": "hs", "signals": {"S": {
        "generic_name": "speed", "bit_position": 2, "bit_size": 4, "factor": 1001.0, "offset": -30000.000,
        "min_value": -1.5, "max_value": 255, "unit": "km/h", "max_frequency": 10, "send_same": false,
        "force_send_changed": true, "writable": true, "decoder": "booleanDecoder", "encoder": "numberEncoder"
    }}}}}"""
    (signal,) = build(text).messages[0].signals
    assert (signal.name, signal.key, signal.field) == ("speed", "S", Field(2, 4))
    assert (str(signal.factor), str(signal.offset)) == ("1001.0", "-30000.000")
    assert (signal.minimum, signal.maximum, signal.unit) == (-1.5, 255.0, "km/h")
    assert (signal.max_frequency, signal.send_same, signal.force_send_changed, signal.writable) == (
        10,
        False,
        True,
        True,
    )
    assert (signal.decoder, signal.encoder) == (BuiltinDecoder.BOOLEAN, decoders.encode_number)


def test_signals_are_sorted_by_published_name(build):
    signals = {"A": NUMBER | {"generic_name": "z"}, "B": NUMBER, "C": NUMBER | {"generic_name": "a"}}
    assert [signal.name for signal in build(message(signals=signals)).messages[0].signals] == ["B", "a", "z"]


def test_message_gives_the_defaults_of_clocks(build):
    signals = {"A": NUMBER, "B": NUMBER | {"max_frequency": 0, "force_send_changed": False}}
    plan = build(message(signals=signals, max_signal_frequency=5, force_send_changed_signals=True))
    assert [(signal.max_frequency, signal.force_send_changed) for signal in plan.messages[0].signals] == [
        (5.0, True),
        (0.0, False),
    ]


def test_states(build_signal):
    signal = build_signal(states={"off": [0, 7, 0], "on": [-1]})
    assert signal.states == (State("off", (0, 7)), State("on", (-1,)))
    assert signal.decoder is BuiltinDecoder.STATE


@pytest.mark.parametrize(
    ("keys", "decoder"),
    [
        ({"ignore": True}, BuiltinDecoder.IGNORE),
        ({"ignore": True, "decoder": "booleanDecoder"}, BuiltinDecoder.IGNORE),
        ({"ignore": True, "states": {"a": [1]}}, BuiltinDecoder.IGNORE),
        ({"decoder": "ignoreDecoder"}, BuiltinDecoder.IGNORE),
        ({"decoder": "choiceDecoder", "states": {"a": [1]}}, BuiltinDecoder.CHOICE),
        ({"decoder": "booleanDecoder", "states": {"a": [1]}}, BuiltinDecoder.BOOLEAN),
        ({"decoder": "openxc::signals::handlers::doorStatusDecoder"}, decoders.decode_door_status),
    ],
)
def test_decoders(build_signal, keys, decoder):
    assert build_signal(**keys).decoder is decoder


def test_state_decoder_without_states_is_warned_of(build):
    plan = build(message(signals={"S": NUMBER | {"decoder": "stateDecoder"}}))
    assert plan.warnings == (
        'car.json: message 0x49, signal S: "decoder" is stateDecoder without "states": nothing is published',
    )


def test_size_zero_is_a_signal(build_signal):
    assert build_signal(bit_size=0).field.size == 0


@pytest.mark.parametrize(
    ("keys", "field"),
    [
        ({"bit_position": 52, "bit_size": 12}, Field(52, 12)),
        ({"bit_position": 8, "bit_size": 16, "bit_numbering_inverted": True}, Field(0, 16)),
        ({"bit_position": 8, "bit_size": 16, "byte_order": "little"}, Field(8, 16, ByteOrder.LITTLE)),
        (
            {"bit_position": 8, "bit_size": 16, "byte_order": "little", "bit_numbering_inverted": True, "signed": True},
            Field(8, 16, ByteOrder.LITTLE, RawType.SIGNED),
        ),
        ({"bit_position": 0, "bit_size": 32, "float": True}, Field(0, 32, ByteOrder.BIG, RawType.FLOAT)),
    ],
)
def test_fields(build_signal, keys, field):
    assert build_signal(**keys).field == field


def test_numbering_cascades(build):
    profile = message(
        bit_numbering_inverted=False, signals={"A": NUMBER, "B": NUMBER | {"bit_numbering_inverted": True}}
    )
    profile["messages"]["0x50"] = {"bus": "hs", "signals": {"A": NUMBER | {"bit_position": 8}}}
    first, second = build(profile | {"bit_numbering_inverted": True}).messages
    assert [signal.field.start for signal in first.signals] == [0, 0]
    assert (
        build(message(signals={"A": NUMBER | {"bit_position": 15, "bit_size": 1}})).messages[0].signals[0].field.start
        == 15
    )
    assert second.signals[0].field.start == 8


def test_multiplexers_nest(build):
    plan = build(
        message(
            signals={
                "Outer": {"bit_position": 0, "bit_size": 4},
                "Inner": {"bit_position": 4, "bit_size": 4, "multiplexer": {"signal": "Outer", "values": [1, 2]}},
                "Value": {"bit_position": 8, "bit_size": 8, "multiplexer": {"signal": "Inner", "values": [3]}},
            }
        )
    )
    outer = Multiplex(Field(0, 4), frozenset((1, 2)))
    assert {signal.key: signal.multiplex for signal in plan.messages[0].signals} == {
        "Outer": (),
        "Inner": (outer,),
        "Value": (outer, Multiplex(Field(4, 4), frozenset((3,)))),
    }


# Mappings


MAPPED = {"messages": {"0x49": {"signals": {"S": {"bit_position": 8, "bit_size": 16}}}}}


def test_mapping_gives_bus_and_numbering(build):
    profile = car(mappings=[{"mapping": "maps/a.json", "bus": "hs", "bit_numbering_inverted": True}])
    (mapped,) = build(profile, maps__a_dot_json=MAPPED).messages
    assert (mapped.bus, mapped.signals[0].field.start) == (1, 0)


def test_disabled_mapping(build):
    profile = car(mappings=[{"mapping": "a.json", "bus": "hs", "enabled": False}])
    parts = {
        "messages": {"1": {}, "2": {"enabled": True}},
        "commands": [{"name": "c", "handler": "none"}],
        "diagnostic_messages": [{"id": 1, "mode": 1, "frequency": 1}],
        "loopers": ["loop"],
    }
    plan = build(profile, a_dot_json=parts)
    assert [message.id for message in plan.messages] == [2]
    assert (plan.commands, plan.diagnostics, plan.warnings) == ((), (), ())


def test_one_id_defined_twice_merges(build):
    first = {
        "name": "a",
        "handlers": ["handleGpsMessage"],
        "signals": {"S": NUMBER | {"states": {"x": [1]}}, "T": NUMBER},
    }
    second = {
        "bus": "hs",
        "name": "b",
        "handlers": ["handleButtonEventMessage"],
        "signals": {"S": {"unit": "m", "states": {"y": [1]}}},
    }
    profile = car(mappings=[{"mapping": "a.json", "bus": "hs"}], messages={"73": second})
    (merged,) = build(profile, a_dot_json={"messages": {"0x49": first}}).messages
    assert merged.name == "b"
    assert merged.handlers == (decoders.handle_gps, decoders.handle_button_event)
    assert [(signal.key, signal.unit, signal.states) for signal in merged.signals] == [
        ("S", "m", (State("y", (1,)),)),
        ("T", "", ()),
    ]


def test_parents(build):
    parent = car(messages={"0x49": {"bus": "hs", "signals": {"S": NUMBER, "T": NUMBER}}}, name="base")
    profile = {"parents": ["base.json"], "messages": {"0x49": {"signals": {"S": {"enabled": False}}}}}
    plan = build(profile, base_dot_json=parent)
    assert plan.name == "base"
    assert [signal.key for signal in plan.messages[0].signals] == ["T"]


def test_errors_name_the_file_that_wrote_the_key(build):
    parent = message(signals={"S": NUMBER | {"factor": 0}})
    with pytest.raises(ProfileError, match=r'^base.json: message 0x49, signal S: "factor" must not be 0$'):
        build({"parents": ["base.json"], "messages": {"0x49": {"name": "x"}}}, base_dot_json=parent)


XML = """<?xml version="1.0" encoding="UTF-8"?>
<NetworkDB><Node><TxMessage><ID>0x1A0</ID><Name>BrakeInfo</Name>
  <Signal><Name>S</Name><Bitposition>8</Bitposition><Bitsize>16</Bitsize><Factor>0.10</Factor><Offset>-5</Offset>
    <Minimum>-5</Minimum><Maximum>100.5</Maximum></Signal>
</TxMessage></Node></NetworkDB>"""


def backed(**mapping):
    return car(mappings=[{"mapping": "maps/a.json", "bus": "hs", "database": "db.xml", **mapping}])


def test_database_backed_mapping(build):
    mapped = {"messages": {"0x1a0": {"signals": {"S": {"generic_name": "brake", "max_value": 90}}}}}
    (built,) = build(backed(), maps__a_dot_json=mapped, db_dot_xml=XML).messages
    (signal,) = built.signals
    assert (built.name, signal.name, signal.field) == ("BrakeInfo", "brake", Field(0, 16))
    assert (str(signal.factor), signal.offset, signal.minimum, signal.maximum) == ("0.10", Decimal(-5), -5.0, 90.0)


def test_database_backed_mapping_without_inverted_numbers(build):
    mapped = {"messages": {"0x1a0": {"signals": {"S": {}}}}}
    plan = build(backed(bit_numbering_inverted=False), maps__a_dot_json=mapped, db_dot_xml=XML)
    assert plan.messages[0].signals[0].field == Field(8, 16)


def test_what_the_database_lacks_is_warned_of(build):
    mapped = {"messages": {"1": {"signals": {"S": NUMBER}}, "0x1A0": {"signals": {"T": NUMBER}}}}
    plan = build(backed(), maps__a_dot_json=mapped, db_dot_xml=XML)
    assert plan.warnings == (
        "maps/a.json: message 1: db.xml has no such message",
        'maps/a.json: message 0x1A0: db.xml has no signal "T" in this message',
    )


# Commands, diagnostics, and the rest


def test_commands(build):
    plan = build(
        car(commands=[{"name": "turn", "handler": "handleTurnSignalCommand"}, {"name": "sine", "handler": "math:sin"}])
    )
    assert [(command.name, command.forced) for command in plan.commands] == [("turn", True), ("sine", False)]
    assert plan.commands[0].handler("turn", "left", None) == [("turn_signal_left", True)]


def test_diagnostic_request(build):
    profile = diagnostic(id="0x7df", pid=0xF190, pid_length=2, name="vin", multiple_responses=True, frequency=0.5)
    (recurring,) = build(profile).diagnostics
    assert recurring.request == DiagnosticRequest(
        id=0x7DF, mode=34, bus=1, pid=0xF190, multiple_responses=True, frequency=0.5, name="vin"
    )
    assert (recurring.decoder, recurring.pid_length) == (None, 2)


@pytest.mark.parametrize(
    ("keys", "decoded_type"),
    [
        ({}, None),
        ({"mode": 1}, DecodedType.NONE),
        ({"mode": 1, "decoder": "handleObd2Pid"}, DecodedType.OBD2),
        ({"decoder": "passthroughDecoder"}, DecodedType.NONE),
    ],
)
def test_diagnostic_decoders(build, keys, decoded_type):
    (recurring,) = build(diagnostic(**keys)).diagnostics
    assert (recurring.request.decoded_type, recurring.decoder) == (decoded_type, None)


def test_diagnostic_decoder_in_python(build):
    (recurring,) = build(diagnostic(decoder="math:hypot", mode=1)).diagnostics
    assert recurring.decoder.__name__ == "hypot"
    assert recurring.request.decoded_type is None


def test_pid_zero_is_a_pid(build):
    assert build(diagnostic(mode=1, pid=0)).diagnostics[0].request.pid == 0
    assert build(diagnostic(mode=1)).diagnostics[0].request.pid is None


def test_requests_on_a_bus_that_is_not_raw_writable_are_left_out(build):
    plan = build(diagnostic(name="rpm") | {"buses": HS})
    assert plan.diagnostics == ()
    assert plan.warnings == ("car.json: diagnostic message rpm: bus hs is not raw_writable: the request is never sent",)


def test_predefined_obd2(build):
    plan = build({"buses": WRITABLE, "predefined_obd2": True})
    assert (plan.predefined_obd2, plan.warnings) == (True, ())
    plan = build(car(predefined_obd2=True))
    assert plan.warnings == ('car.json: "predefined_obd2" asks on bus 1, which is missing or not raw_writable',)


def test_what_only_the_firmware_can_do_is_warned_of(build):
    plan = build(
        diagnostic(callback="cb")
        | {"initializers": ["init"], "loopers": ["a", "b"], "extra_sources": ["x.cpp"], "nmae": "x"}
    )
    assert [warning.split(" (")[0] for warning in plan.warnings] == [
        'car.json: unknown key "nmae" is ignored; did you mean "name"?',
        'car.json: "initializers" are C++ and are not used',
        'car.json: "loopers" are C++ and are not used',
        'car.json: "extra_sources" are C++ and are not used',
        'car.json: diagnostic message 1: "callback" is C++ and is not called: cb',
    ]


def test_warnings_do_not_make_plans_differ(build):
    assert build(car(unknown=1)) == build(car())
