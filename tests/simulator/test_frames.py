from __future__ import annotations

import itertools
import json
from collections import Counter
from decimal import Decimal

import pytest

from bridge.codec.reference import Translator
from bridge.frames import Frame, FrameBatch, FrameFlags
from bridge.openxc.messages import PayloadFormat
from bridge.profile import loading
from bridge.profile.plan import ByteOrder, Field, Message, Plan, PlanBus, RawType, Signal, State
from bridge.simulator.frames import SENDINGS, Sender, VehicleFrames
from bridge.simulator.vehicle import Vehicle

OFFICIAL = {
    "steering_wheel_angle",
    "torque_at_transmission",
    "engine_speed",
    "vehicle_speed",
    "accelerator_pedal_position",
    "parking_brake_status",
    "brake_pedal_status",
    "transmission_gear_position",
    "odometer",
    "ignition_status",
    "fuel_level",
    "fuel_consumed_since_restart",
    "door_status",
    "headlamp_status",
    "high_beam_status",
    "windshield_wiper_status",
    "latitude",
    "longitude",
    "button_event",
    "turn_signal_status",
    "lateral_acceleration",
    "longitudinal_acceleration",
}
OURS = {"turn_signal_left", "turn_signal_right", "door_lock_status"}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return loading.load("demo")


@pytest.fixture
def frames(plan, parked) -> VehicleFrames:
    return VehicleFrames(plan, parked.values(0.0).keys(), 0.0)


def independent(signal: Signal, data: bytes) -> int | float | str:
    """A signal's value by way of a text of bits, as one does it on paper."""
    start, size = signal.field.start, signal.field.size
    if signal.field.byte_order is ByteOrder.BIG:
        bits = "".join(f"{byte:08b}" for byte in data)[start : start + size]
    else:
        bits = "".join(f"{byte:08b}"[::-1] for byte in data)[start : start + size][::-1]
    raw = int(bits, 2)
    if signal.field.raw_type is RawType.SIGNED and bits[0] == "1":
        raw -= 2**size
    names = [state.name for state in signal.states if raw in state.values]
    return names[0] if names else float(raw * signal.factor + signal.offset)


def resolution(signal: Signal) -> float:
    return float(signal.factor) * 0.51


# The demo profile


def test_the_demo_profile_has_no_faults(plan):
    assert plan.name == "demo"
    assert plan.warnings == ()
    (bus,) = plan.buses
    assert (bus.number, bus.name, bus.speed, bus.passthrough, bus.raw_writable) == (1, "hs", 500_000, False, True)


def test_every_field_of_the_demo_profile_is_its_own(plan):
    for message in plan.messages:
        taken: Counter[int] = Counter()
        for signal in message.signals:
            field = signal.field
            bits = range(field.start, field.start + field.size)
            little = field.byte_order is ByteOrder.LITTLE
            taken.update(8 * (bit // 8) + 7 - bit % 8 if little else bit for bit in bits)
        assert max(taken.values()) == 1, message.name
        assert max(taken) < 64, message.name


def test_every_message_of_the_demo_profile_has_its_sending(plan, frames):
    assert {message.name for message in plan.messages} == set(SENDINGS)
    assert len(frames.messages) == len(plan.messages)


def test_the_vehicle_knows_every_signal_of_the_demo_profile(plan, parked):
    keys = {signal.key for message in plan.messages for signal in message.signals}
    assert keys <= parked.values(0.0).keys()


def test_every_value_of_a_drive_fits_the_demo_profile(plan, drive):
    numbers = [signal for message in plan.messages for signal in message.signals if not signal.states]
    for signal in numbers:
        values = [float(sample[signal.key]) for sample in drive.samples]
        span = 2**signal.field.size - 1
        low = -(2 ** (signal.field.size - 1)) if signal.field.raw_type is RawType.SIGNED else 0
        assert low * float(signal.factor) + float(signal.offset) <= min(values), signal.key
        assert max(values) <= (low + span) * float(signal.factor) + float(signal.offset), signal.key


def test_writable_signals_are_alone_in_their_messages_or_exclude_each_other(plan):
    """A simple write leaves the other bits of its frame zero, which must not say anything else."""
    writable = {
        message.name: {signal.key for signal in message.signals if signal.writable} for message in plan.messages
    }
    shared = {name: keys for name, keys in writable.items() if len(keys) > 1}
    assert shared == {"TurnSignals": {"turn_signal_left", "turn_signal_right"}}
    for message in plan.messages:
        assert writable[message.name] in (set(), {signal.key for signal in message.signals})


# Round trips


def test_frames_say_what_the_vehicle_is(plan, drive):
    """Every 7th second of the drive, by a decoding of our own."""
    frames = VehicleFrames(plan, drive.samples[0].keys(), 0.0)
    by_id = {message.id: message for message in plan.messages}
    for number in range(0, len(drive.samples), 70):
        sample = drive.samples[number]
        batch = list(frames.due(10.0 * number + 5, sample))
        assert len(batch) == len(by_id)
        for frame in batch:
            assert len(frame.data) == 8
            for signal in by_id[frame.id].signals:
                want, got = sample[signal.key], independent(signal, frame.data)
                if isinstance(want, str):
                    assert got == want
                else:
                    assert got == pytest.approx(float(want), abs=resolution(signal)), signal.key


def test_the_codec_publishes_the_official_signals_at_a_modest_rate(plan):
    vehicle, now, seconds = Vehicle(seed=3), 0.0, 90
    frames = VehicleFrames(plan, vehicle.values(0.0).keys(), 0.0)
    translator = Translator(plan)
    translator.want(frozenset((PayloadFormat.JSON,)))
    names: Counter[str] = Counter()
    count = 0
    for turn in range(seconds * 100):
        now = turn / 100
        vehicle.advance(now)
        stamped = [
            Frame(frame.id, frame.data, frame.bus, timestamp=1e9 + now)
            for frame in frames.due(now, vehicle.values(now))
        ]
        count += len(stamped)
        records = translator.translate(FrameBatch.of(stamped)).json.split(b"\0")
        names.update(json.loads(record)["name"] for record in records if record)
    assert set(names) == OFFICIAL | OURS
    assert 300 < count / seconds < 500
    assert 80 < sum(names.values()) / seconds < 150
    for name in ("vehicle_speed", "engine_speed", "steering_wheel_angle", "odometer"):
        assert 7 < names[name] / seconds <= 10.1
    assert 1.5 < names["fuel_level"] / seconds <= 2.1
    assert names["latitude"] == pytest.approx(seconds, abs=2)
    assert names["brake_pedal_status"] > seconds


# When


def times(frames: VehicleFrames, values, message_id: int, seconds: float) -> list[float]:
    return [
        turn / 100
        for turn in range(round(seconds * 100))
        if any(frame.id == message_id for frame in frames.due(turn / 100, values))
    ]


@pytest.mark.parametrize(("message_id", "count"), [(0x0C9, 100), (0x3E9, 50), (0x1F5, 25), (0x3D1, 10), (0x465, 1)])
def test_messages_come_at_their_period(frames, parked, message_id, count):
    sent = times(frames, parked.values(0.0), message_id, 1.0)
    assert len(sent) == pytest.approx(count, abs=1)


def test_the_period_does_not_drift(frames, parked):
    sent = times(frames, parked.values(0.0), 0x3D1, 30.0)
    assert len(sent) == 300
    assert sent[-1] - sent[0] == pytest.approx(29.9)


def test_the_load_is_modest_and_spread(frames, parked):
    values = parked.values(0.0)
    frames.due(0.0, values)
    sizes = [len(frames.due(turn / 100, values)) for turn in range(1, 1001)]
    assert sum(sizes) / 10 == pytest.approx(frames.rate, rel=0.02)
    assert max(sizes) < 13


def test_what_was_missed_is_not_made_up_for(frames, parked):
    values = parked.values(0.0)
    frames.due(0.0, values)
    assert len(frames.due(100.0, values)) == len(frames.messages)
    assert not frames.due(100.001, values)


def test_a_switch_is_sent_when_it_changes_and_then_at_its_period(frames, parked):
    values = parked.values(0.0)
    frames.due(1.0, values)
    changed = values | {"headlamp_status": True}
    lamps = [frame for frame in frames.due(1.005, changed) if frame.id == 0x3A1]
    assert [frame.data[0] for frame in lamps] == [0x80]
    later = [turn for turn in range(1, 60) if any(f.id == 0x3A1 for f in frames.due(1.005 + turn / 100, changed))]
    assert later == [20, 40]


def test_a_measured_value_waits_for_its_turn(frames, parked):
    values = parked.values(0.0)
    frames.due(1.0, values)
    assert not frames.due(1.005, values | {"fuel_level": 3.0})


def test_a_silenced_control_unit_sends_nothing(frames, parked):
    values = parked.values(0.0)
    ids = {frame.id for frame in frames.due(1.0, values, (Sender.ENGINE, Sender.TRANSMISSION))}
    assert ids == {message.id for message in frames.messages} - {0x0C9, 0x3D1, 0x1F5}


def test_a_button_press_is_one_frame_each(plan):
    vehicle = Vehicle(seed=3)
    frames = VehicleFrames(plan, vehicle.values(0.0).keys(), 0.0)
    sent = []
    for turn in range(12_000):
        vehicle.advance(turn / 100)
        sent += [f.data[0] for f in frames.due(turn / 100, vehicle.values(turn / 100)) if f.id == 0x2D0 and f.data[0]]
    assert sent
    assert all(before != now for before, now in itertools.pairwise(sent))


# Commands


@pytest.mark.parametrize(
    ("identifier", "data", "expected"),
    [
        (0x3A1, "80", [("headlamp_status", True)]),
        (0x3A1, "0000000000000000", [("headlamp_status", False)]),
        (0x3A4, "4000000000000000", [("turn_signal_left", False), ("turn_signal_right", True)]),
        (0x3A5, "", [("door_lock_status", False)]),
        (0x3E9, "ffff", []),
        (0x123, "80", []),
    ],
)
def test_reads_what_others_want(frames, identifier, data, expected):
    batch = FrameBatch.of([Frame(identifier, bytes.fromhex(data))])
    assert list(frames.commands(batch)) == expected


@pytest.mark.parametrize("flag", [FrameFlags.OWN, FrameFlags.REMOTE, FrameFlags.ERROR])
def test_obeys_nothing_that_is_no_data_of_others(frames, flag):
    assert not list(frames.commands(FrameBatch.of([Frame(0x3A1, b"\x80", flags=flag)])))


# Other profiles


def test_any_profile_will_do():
    speed = Signal("vehicle_speed", "Speed", Field(0, 16), factor=Decimal("0.01"))
    absent = Signal("tire_pressure", "Pressure", Field(16, 8))
    tiny = Signal("engine_speed", "Tacho", Field(24, 2))
    gear = Signal("transmission_gear_position", "Gear", Field(32, 8), states=(State("reverse", (9,)),))
    plan = Plan(
        buses=(PlanBus(2, "body"), PlanBus(3, "other")),
        messages=(
            Message(2, 0x18FF0001, "Mixed", signals=(speed, absent, tiny, gear)),
            Message(2, 0x200, "Unknown", signals=(absent,)),
            Message(3, 0x300, "Elsewhere", signals=(speed,)),
        ),
    )
    values = {"vehicle_speed": 12.34, "engine_speed": 800.0, "transmission_gear_position": "first"}
    frames = VehicleFrames(plan, values.keys(), 0.0, number=7)
    (frame,) = frames.due(0.0, values)
    assert (frame.bus, frame.id, frame.extended) == (7, 0x18FF0001, True)
    assert frame.data == (1234).to_bytes(2, "big") + bytes(6)  # what does not fit stays zero


def test_a_plan_without_buses_sends_nothing():
    frames = VehicleFrames(Plan(), {"vehicle_speed"}, 0.0)
    assert frames.messages == ()
    assert not frames.due(0.0, {"vehicle_speed": 1.0})
