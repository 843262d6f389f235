import json
from decimal import Decimal

import pytest

from bridge.errors import ConfigurationError
from bridge.openxc.messages import DecodedType, DiagnosticRequest
from bridge.profile import decoders
from bridge.profile.errors import ProfileError
from bridge.profile.plan import BuiltinDecoder, ByteOrder, Field, Multiplex, PlanBus, RawType, State

HS = {"hs": {"controller": 1, "speed": 500000}}
WRITABLE = {"hs": {"controller": 1, "speed": 500000, "raw_writable": True}}
NUMBER = {"bit_position": 0, "bit_size": 8}


def car(**keys):
    return {"buses": HS, **keys}


def message(**keys):
    return car(messages={"0x49": {"bus": "hs", **keys}})


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


def diagnostic(**keys):
    request = {"bus": "hs", "id": 2016, "mode": 34, "frequency": 1} | keys
    return {"buses": WRITABLE, "diagnostic_messages": [request]}


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


# Faults


SIGNAL_FAULTS = [
    ({"bit_postion": 1}, 'unknown key "bit_postion"; did you mean "bit_position"?'),
    ({"send_frequency": 1}, '"send_frequency" is an old name; write "max_frequency"'),
    ({"handler": "x"}, '"handler" is an old name; write "decoder"'),
    ({"write_handler": "x"}, '"write_handler" is an old name; write "encoder"'),
    ({"bit_position": None}, 'missing "bit_position"'),
    ({"bit_size": None}, 'missing "bit_size"'),
    ({"bit_position": -1}, '"bit_position" must be an integer from 0 to 511, not -1'),
    ({"bit_position": 1.0}, '"bit_position" must be an integer from 0 to 511, not 1.0'),
    ({"bit_position": True}, '"bit_position" must be an integer from 0 to 511, not true'),
    ({"bit_position": 10**50}, '"bit_position" must be an integer from 0 to 511, not a huge number'),
    ({"bit_size": 65}, '"bit_size" must be an integer from 0 to 64, not 65'),
    ({"bit_position": 57}, '"bit_position", "bit_size": bits 57 to 64 lie beyond the 8 data bytes (bits 0 to 63)'),
    ({"bit_position": 57, "byte_order": "little"}, '"bit_position", "bit_size": bits 57 to 64 lie beyond'),
    ({"bit_numbering_inverted": True, "bit_size": 16}, '"bit_position", "bit_size": 16 bits that end at bit 0'),
    ({"float": True}, '"bit_position", "bit_size": a float of 8 bits'),
    ({"factor": 0}, '"factor" must not be 0'),
    ({"factor": "1"}, '"factor" must be a number, not "1"'),
    ({"factor": True}, '"factor" must be a number, not true'),
    ({"offset": 10**40}, '"offset" must be a number from 1e-30 to 1e30'),
    ({"states": []}, '"states" must be an object, in braces, not []'),
    ({"states": {"on": 1}}, 'states: "on" must be a list of integers, not 1'),
    ({"states": {"on": [1.5]}}, 'states: "on" must be a list of integers, not ["1.5"]'),
    ({"states": {"on": [True]}}, 'states: "on" must be a list of integers, not [true]'),
    ({"states": {"on": []}}, 'states: "on" must be a list of integers, not []'),
    ({"max_frequency": -1}, '"max_frequency" must be a number not below 0, not -1'),
    ({"send_same": "no"}, '"send_same" must be true or false, not "no"'),
    ({"generic_name": ""}, '"generic_name" must be a text, not ""'),
    ({"byte_order": "intel"}, '"byte_order" must be one of big, little, not "intel"'),
    ({"decoder": "handleMine"}, '"decoder": "handleMine" is a C++ function; replace it by a built-in one ('),
    ({"encoder": "mine"}, '"encoder": "mine" is a C++ function; replace it by a built-in one ('),
    ({"multiplexer": 1}, '"multiplexer" must be an object, in braces, not 1'),
    ({"multiplexer": {}}, 'multiplexer: missing "signal"'),
    ({"multiplexer": {"signal": "S", "values": [1]}}, 'multiplexer: "signal": "S" selects itself'),
    ({"multiplexer": {"signal": "T", "values": [1]}}, 'multiplexer: "signal": this message has no signal "T"'),
    ({"multiplexer": {"signl": "T"}}, 'multiplexer: unknown key "signl"; did you mean "signal"?'),
]


@pytest.mark.parametrize(("keys", "error"), SIGNAL_FAULTS, ids=[str(fault[0])[:40] for fault in SIGNAL_FAULTS])
def test_signal_faults(build, keys, error):
    text = json.dumps(message(signals={"S": NUMBER | keys}))
    with pytest.raises(ProfileError) as caught:
        build(text)
    start = f"car.json: message 0x49, signal S{', ' if error.startswith(('states:', 'multiplexer:')) else ': '}"
    assert str(caught.value).startswith(start + error)
    assert isinstance(caught.value, ConfigurationError)


OTHER_FAULTS = [
    ({"name": 1}, 'car.json: "name" must be a text, not 1'),
    ({"buses": {"hs": {"controller": 1}}}, 'car.json: bus hs: missing "speed"'),
    (
        {"buses": {"hs": {"controller": 0, "speed": 1}}},
        'car.json: bus hs: "controller" must be an integer from 1 to 255',
    ),
    ({"buses": {"hs": {"sped": 1}}}, 'car.json: bus hs: unknown key "sped"; did you mean "speed"?'),
    ({"buses": {"hs": 1}}, "car.json: bus hs must be an object, in braces"),
    ({"buses": {"hs": HS["hs"], "ms": HS["hs"]}}, 'car.json: bus ms: "controller" 1 is already that of bus hs'),
    (
        {"buses": {"hs": HS["hs"] | {"raw_can_mode": "on"}}},
        'car.json: bus hs: "raw_can_mode" must be one of off, filtered',
    ),
    (car(messages=[]), 'car.json: "messages" must be an object, in braces, not []'),
    (car(messages={"x": {"bus": "hs"}}), 'car.json: message x: the id must be text like "0x49" or "73"'),
    (car(messages={"010": {"bus": "hs"}}), "car.json: message 010: the id must be text like"),
    (car(messages={"0x20000000": {"bus": "hs"}}), "car.json: message 0x20000000: the id must be text like"),
    (car(messages={"1": {}}), 'car.json: message 1: missing "bus"'),
    (car(messages={"1": {"bus": "sh"}}), 'car.json: message 1: "bus": the profile has no bus "sh"; its buses: hs'),
    (message(handlers="x"), 'car.json: message 0x49: "handlers" must be a list of texts, not "x"'),
    (message(handlers=["mine"]), 'car.json: message 0x49: "handlers": "mine" is a C++ function; replace it by'),
    (message(send_frequency=1), 'car.json: message 0x49: "send_frequency" is an old name; write "max_frequency"'),
    (message(id=1), 'car.json: message 0x49: unknown key "id"'),
    (
        message(fd=False, length=12),
        'car.json: message 0x49: "length" is 12, but without "fd" a frame has up to 8 bytes',
    ),
    (message(length=13), 'car.json: message 0x49: "length" is 13; CAN FD has 8, 12, 16'),
    (message(length=65), 'car.json: message 0x49: "length" must be an integer from 0 to 64, not 65'),
    (message(length=2, signals={"S": NUMBER | {"bit_position": 16}}), "car.json: message 0x49, signal S: "),
    (car(messages={"0x800": {"bus": "hs", "frame_format": "standard"}}), 'car.json: message 0x800: "frame_format" is'),
    (message(signals={"": NUMBER}), "car.json: message 0x49, signal : a signal needs a name"),
    (car(mappings=[1]), 'car.json: "mappings" must be a list of objects; item 1 is 1'),
    (car(mappings=[{}]), 'car.json: mapping 1: missing "mapping"'),
    (car(mappings=[{"mapping": "a.json", "x": 1}]), 'car.json: mapping 1: unknown key "x"'),
    (car(mappings=[{"mapping": "a.json"}]), "a.json: cannot be read"),
    (car(mappings=[{"mapping": "a.json", "bus": "x"}]), 'car.json: mapping a.json: "bus": the profile has no bus "x"'),
    (car(commands=[{"handler": "x"}]), 'car.json: command 1: missing "name"'),
    (car(commands=[{"name": "c", "handler": "x"}]), 'car.json: command c: "handler": "x" is a C++ function'),
    (car(commands=2 * [{"name": "c", "handler": "math:sin"}]), 'car.json: command c: "name": there is a command of'),
    (diagnostic(frequency=None), 'car.json: diagnostic message 1: missing "frequency"'),
    (diagnostic(frequency=0), 'car.json: diagnostic message 1: "frequency" must be greater than 0'),
    (diagnostic(id=1 << 29), 'car.json: diagnostic message 1: "id" must be a CAN id from 0 to 0x1fffffff'),
    (diagnostic(mode=0), 'car.json: diagnostic message 1: "mode" must be an integer from 1 to 255, not 0'),
    (diagnostic(pid=0x100, pid_length=1), 'car.json: diagnostic message 1: "pid" 0x100 does not fit "pid_length" 1'),
    (diagnostic(handler="x"), 'car.json: diagnostic message 1: "handler" is an old name; write "decoder"'),
    (
        diagnostic(decoder="handleMyDiagRequest"),
        'car.json: diagnostic message 1: "decoder": "handleMyDiagRequest" is a C++',
    ),
]


@pytest.mark.parametrize(("profile", "error"), OTHER_FAULTS, ids=[fault[1][:60] for fault in OTHER_FAULTS])
def test_faults(build, profile, error):
    with pytest.raises(ProfileError) as caught:
        build(profile)
    assert str(caught.value).startswith(error)


def test_multiplexers_in_a_circle(build):
    signals = {
        "A": NUMBER | {"multiplexer": {"signal": "B", "values": [1]}},
        "B": NUMBER | {"multiplexer": {"signal": "A", "values": [1]}},
    }
    with pytest.raises(ProfileError, match="selects itself"):
        build(message(signals=signals))


def test_a_float_selects_nothing(build):
    signals = {
        "F": {"bit_position": 0, "bit_size": 32, "float": True},
        "V": NUMBER | {"multiplexer": {"signal": "F", "values": [1]}},
    }
    with pytest.raises(ProfileError, match='"F" is a float, which selects nothing'):
        build(message(signals=signals))


def test_errors_are_one_printable_line(build):
    with pytest.raises(ProfileError) as caught:
        build(car(messages={"1": {"bus": "hs", "a\nb\x1b[31m": 1}}))
    assert str(caught.value) == 'car.json: message 1: unknown key "a\\nb\\x1b[31m"'
