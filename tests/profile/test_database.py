import math
from decimal import Decimal
from pathlib import PurePath

import cantools.database
import pytest
from cantools.database.can import Database, Message, Signal
from cantools.database.conversion import BaseConversion
from hypothesis import assume, given
from hypothesis import strategies as st

from bridge.profile.database import build_plan
from bridge.profile.errors import ProfileError
from bridge.profile.plan import BuiltinDecoder, ByteOrder, Field, Multiplex, PlanBus, RawType, State

CAR = PurePath("car.dbc")

DBC = """VERSION ""
BU_: ECU
BO_ 291 ENGINE: 8 ECU
 SG_ SPEED : 7|16@0+ (0.01,-40) [0|250] "km/h" ECU
 SG_ GEAR : 16|4@1- (1,0) [0|0] "" ECU
 SG_ COUNTER : 63|2@0+ (1,0) [0|3] "" ECU
BO_ 2566869265 FAR: 64 ECU
 SG_ COUNTER : 480|32@1- (1,0) [0|0] "" ECU
BO_ 5 MUX: 8 ECU
 SG_ M M : 0|4@1+ (1,0) [0|0] "" ECU
 SG_ A m0 : 8|8@1+ (1,0) [0|0] "" ECU
 SG_ N m1M : 4|4@1+ (1,0) [0|0] "" ECU
 SG_ B m2 : 8|8@1+ (1,0) [0|0] "" ECU
 SG_ C m3 : 16|8@1+ (1,0) [0|0] "" ECU
BA_DEF_ BO_ "VFrameFormat" ENUM "StandardCAN","ExtendedCAN","StandardCAN_FD","ExtendedCAN_FD";
BA_DEF_DEF_ "VFrameFormat" "StandardCAN";
BA_ "VFrameFormat" BO_ 2566869265 3;
VAL_ 291 GEAR 0 "neutral" 1 "first" 2 "first" -1 "reverse" ;
SIG_VALTYPE_ 2566869265 COUNTER : 1;
SG_MUL_VAL_ 5 A M 0-0;
SG_MUL_VAL_ 5 N M 1-1;
SG_MUL_VAL_ 5 B N 2-2, 4-5;
SG_MUL_VAL_ 5 C N 3-3;
"""


def signals(plan):
    return {signal.name: signal for message in plan.messages for signal in message.signals}


def test_dbc():
    plan = build_plan(DBC, CAR)
    assert plan.name == "car"
    assert plan.buses == (PlanBus(1, "car", bypass_filter=True),)
    assert [(message.id, message.name, message.extended, message.length, message.fd) for message in plan.messages] == [
        (5, "MUX", False, 8, False),
        (291, "ENGINE", False, 8, False),
        (0x18FF5111, "FAR", True, 64, True),
    ]
    assert plan.warnings == ()
    assert not any(signal.writable for signal in signals(plan).values())


def test_scaling_unit_and_range():
    speed = signals(build_plan(DBC, CAR))["SPEED"]
    assert (speed.factor, speed.offset, speed.unit, speed.minimum, speed.maximum) == (
        Decimal("0.01"),
        -40,
        "km/h",
        0.0,
        250.0,
    )
    assert (speed.field, speed.decoder) == (Field(0, 16), BuiltinDecoder.NUMBER)


def test_value_tables_are_raw():
    gear = signals(build_plan(DBC, CAR))["GEAR"]
    assert gear.states == (State("neutral", (0,)), State("first", (1, 2)), State("reverse", (-1,)))
    assert gear.decoder is BuiltinDecoder.CHOICE
    assert gear.field == Field(16, 4, ByteOrder.LITTLE, RawType.SIGNED)


def test_names_of_several_messages():
    names = signals(build_plan(DBC, CAR))
    assert names["ENGINE.COUNTER"].key == names["FAR.COUNTER"].key == "COUNTER"
    assert names["FAR.COUNTER"].field == Field(480, 32, ByteOrder.LITTLE, RawType.FLOAT)
    assert "COUNTER" not in names


def test_signals_are_sorted_by_published_name():
    for message in build_plan(DBC, CAR).messages:
        assert list(message.signals) == sorted(message.signals, key=lambda signal: signal.name)


def test_nested_multiplexing():
    names = signals(build_plan(DBC, CAR))
    outer = Field(0, 4, ByteOrder.LITTLE)
    inner = Field(4, 4, ByteOrder.LITTLE)
    assert names["M"].multiplex == ()
    assert names["A"].multiplex == (Multiplex(outer, frozenset((0,))),)
    assert names["B"].multiplex == (Multiplex(outer, frozenset((1,))), Multiplex(inner, frozenset((2, 4, 5))))


def test_bus_number():
    plan = build_plan(DBC, CAR, bus=3)
    assert [bus.number for bus in plan.buses] == [3]
    assert {message.bus for message in plan.messages} == {3}


def test_kcd_with_several_buses():
    bus = '<Bus name="{}" baudrate="{}"><Message id="0x10" name="M" length="8"><Signal name="S" offset="0" length="8"/>'
    text = '<NetworkDefinition xmlns="http://kayak.2codeornot2code.org/1.0"><Document/>'
    for name, speed in (("Comfort", 125000), ("Motor", 500000)):
        text += bus.format(name, speed) + "</Message></Bus>"
    plan = build_plan(text + "</NetworkDefinition>", PurePath("car.KCD"))
    assert [(bus.number, bus.name, bus.speed) for bus in plan.buses] == [(1, "Comfort", 125000), (2, "Motor", 500000)]
    assert [(message.bus, message.signals[0].name) for message in plan.messages] == [
        (1, "Comfort.M.S"),
        (2, "Motor.M.S"),
    ]


@pytest.mark.parametrize(
    ("text", "file", "error"),
    [
        ("x", "car.txt", r'^car.txt: ".txt" is no database\'s suffix; known are .dbc, .kcd, .sym, .arxml$'),
        ("no database", "car.dbc", "^car.dbc: no DBC database: "),
        ("no database", "car.kcd", "^car.kcd: no KCD database: "),
        ("no database", "car.sym", "^car.sym: no SYM database: "),
        ("no database", "car.arxml", "^car.arxml: no ARXML database: "),
        ('VERSION ""', "car.dbc", "^car.dbc: the database has no messages$"),
        (
            DBC.replace("16|4@1-", "62|4@1-"),
            "car.dbc",
            r"^car.dbc: message ENGINE: signal GEAR: bits 62 to 65 lie beyond the 8 data bytes",
        ),
        (DBC.replace("(0.01,-40)", "(0,-40)"), "car.dbc", "^car.dbc: message ENGINE: signal SPEED: factor 0"),
        (DBC.replace("BO_ 5 MUX", "BO_ 291 MUX"), "car.dbc", "has the id of ENGINE, 0x123|no DBC"),
        (
            DBC.replace("BO_ 2566869265 FAR", "BO_ 2566869265 ENGINE"),
            "car.dbc",
            "ENGINE: is there several times, each with a signal COUNTER",
        ),
    ],
)
def test_refused(text, file, error):
    with pytest.raises(ProfileError, match=error):
        build_plan(text, PurePath(file))


@pytest.fixture
def no_cantools(monkeypatch):
    """What cantools would expand for minutes must not reach it."""
    monkeypatch.setattr(cantools.database, "load_string", lambda *_, **__: pytest.fail("cantools was asked"))


@pytest.mark.parametrize(
    "ranges",
    ["0-8388607", "0-65536", "0 -8388607", "0-40000, 50000-90000", "-70000-5", "1-1,\n\t5+99999", "0-" + "9" * 99],
)
def test_multiplexer_values_that_are_too_many_are_refused_at_once(no_cantools, ranges):
    text = DBC.replace("A M 0-0;", f"A M {ranges};")
    with pytest.raises(ProfileError, match=r"^car.dbc: signal A of message 5: .* more than 65536 multiplexer values$"):
        build_plan(text, CAR)


def test_multiplexer_values_that_are_too_many_together(no_cantools):
    text = DBC + "".join(f"SG_MUL_VAL_ 5 S{number} M 0-65535;\n" for number in range(17))
    with pytest.raises(
        ProfileError, match=r"^car.dbc: signal S15 of message 5: .* more than 1048576 multiplexer values$"
    ):
        build_plan(text, CAR)


def test_many_multiplexer_values_that_are_not_too_many():
    (condition,) = signals(build_plan(DBC.replace("A M 0-0;", "A M 0-255, 1000-1100;"), CAR))["A"].multiplex
    assert condition.values == {*range(256), *range(1000, 1101)}


@pytest.mark.parametrize("comment", ['CM_ "SG_MUL_VAL_ 5 A M 0-8388607;";\n', "// SG_MUL_VAL_ 5 A M 0-8388607;\n"])
def test_multiplexer_values_in_a_comment_are_none(comment):
    assert "A" in signals(build_plan(DBC + comment, CAR))


def test_what_no_frame_carries_is_left_out():
    wide = DBC.replace("480|32@1-", "0|72@1-").replace("SIG_VALTYPE_ 2566869265 COUNTER : 1;", "")
    plan = build_plan(wide.replace("BO_ 5 MUX: 8", "BO_ 5 MUX: 100"), CAR)
    assert plan.warnings == (
        "car.dbc: message MUX: has 100 bytes, more than a frame, and is left out",
        "car.dbc: message FAR: signal COUNTER: a 72 bits number is left out",
    )
    assert [message.name for message in plan.messages] == ["ENGINE", "FAR"]


def test_lengths_that_can_fd_lacks_are_rounded_up():
    plan = build_plan('BO_ 1 M: 9 Vector__XXX\n SG_ S : 64|8@1+ (1,0) [0|0] "" Vector__XXX\n', CAR)
    assert (plan.messages[0].length, plan.messages[0].fd) == (12, True)


@st.composite
def _signal_and_data(draw):
    length = draw(st.sampled_from((1, 2, 8, 12, 64)))
    size = draw(st.integers(1, min(64, 8 * length)))
    is_float = draw(st.booleans()) and 8 * length >= 32
    if is_float:
        size = draw(st.sampled_from([bits for bits in (32, 64) if bits <= 8 * length]))
    start = draw(st.integers(0, 8 * length - size))
    order = draw(st.sampled_from(("big_endian", "little_endian")))
    if order == "big_endian":
        start = 8 * (start // 8) + 7 - start % 8
    factor = draw(st.decimals("-1000", "1000", places=3).filter(bool))
    conversion = BaseConversion.factory(
        scale=float(factor), offset=float(draw(st.integers(-99, 99))), is_float=is_float
    )
    signal = Signal("S", start, size, order, draw(st.booleans()), conversion=conversion)
    return signal, draw(st.binary(min_size=length, max_size=length))


@given(_signal_and_data())
def test_fields_equal_cantools(extract, signal_and_data):
    signal, data = signal_and_data
    message = Message(1, "M", len(data), [signal], is_fd=len(data) > 8)
    text = Database([message]).as_dbc_string()
    oracle = cantools.database.load_string(text, "dbc").messages[0]
    expected = oracle.decode(data)["S"]
    assume(math.isfinite(expected))
    (built,) = signals(build_plan(text, CAR)).values()
    raw = extract(built.field, data)
    assert raw * float(built.factor) + float(built.offset) == pytest.approx(expected, rel=1e-12, abs=1e-9)
    assert (float(built.factor), float(built.offset)) == (oracle.signals[0].scale, oracle.signals[0].offset)


def present(signal, data, extract):
    return all(extract(condition.selector, data) in condition.values for condition in signal.multiplex)


@pytest.mark.parametrize("first", [0x00, 0x21, 0x31, 0x41, 0x51])
def test_multiplexed_signals_equal_cantools(extract, first):
    data = bytes((first, 2, 3, 4, 5, 6, 7, 8))
    names = cantools.database.load_string(DBC, "dbc").get_message_by_name("MUX").decode(data)
    (message,) = [message for message in build_plan(DBC, CAR).messages if message.name == "MUX"]
    assert {
        signal.name: extract(signal.field, data) for signal in message.signals if present(signal, data, extract)
    } == names


def test_a_real_cars_frames_equal_cantools(honda, extract):
    text = honda.read_text()
    database = cantools.database.load_string(text, "dbc")
    plan = build_plan(text, PurePath("honda.dbc"))
    assert len(plan.messages) == len(database.messages)
    for message in plan.messages:
        oracle = database.get_message_by_frame_id(message.id)
        for data in (bytes(range(0, 160, 20)), b"\xff" * 8, b"\x80\x7f" * 4):
            decoded = oracle.decode(data[: message.length], decode_choices=False)
            assert len(message.signals) == len(decoded)
            for signal in message.signals:
                value = extract(signal.field, data) * signal.factor + signal.offset
                assert float(value) == pytest.approx(decoded[signal.key])


SYM = """FormatVersion=6.0 // Do not edit this line!
Title="Car"
{ENUMS}
Enum=Gear(0="Neutral", 1="First")
{SENDRECEIVE}
[Engine]
ID=123h
Len=8
Mux=A 0,8 0
Var=Speed unsigned 8,16 /u:km/h /f:0.01
Var=Gear unsigned 24,4 /e:Gear
[Engine]
Len=8
Mux=B 0,8 1
Var=Temp signed 8,8 -m /u:C
"""


def test_sym():
    names = signals(build_plan(SYM, PurePath("car.sym")))
    selector = Field(0, 8, ByteOrder.LITTLE)
    assert names["Speed"].field == Field(8, 16, ByteOrder.LITTLE)
    assert (names["Speed"].factor, names["Speed"].unit) == (Decimal("0.01"), "km/h")
    assert names["Gear"].states == (State("Neutral", (0,)), State("First", (1,)))
    assert names["Gear"].multiplex == (Multiplex(selector, frozenset((0,))),)
    assert names["Temp"].field == Field(8, 8, ByteOrder.BIG, RawType.SIGNED)
    assert names["Temp"].multiplex == (Multiplex(selector, frozenset((1,))),)
