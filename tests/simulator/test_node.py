"""The simulated vehicle on an in-process bus. Answers are awaited, not slept for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import pytest

from bridge.buses.bus import Bus, BusState
from bridge.buses.virtual import Segment, VirtualBus
from bridge.errors import BusError
from bridge.frames import Frame, FrameBatch, FrameFlags
from bridge.profile import loading
from bridge.simulator.ecus import LONGEST, VIN, pattern
from bridge.simulator.node import SimulatedVehicle


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Listener:
    """The other end of the segment."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.heard = asyncio.Event()

    def frames_received(self, bus: Bus, batch: FrameBatch) -> None:
        self.frames.extend(batch)
        self.heard.set()

    def bus_state_changed(self, bus: Bus, state: BusState, reason: str) -> None:
        pass


class Wired:
    """A vehicle that has started, and a bus to talk to it."""

    def __init__(self, clock: Callable[[], float] | None = None, latency: float | None = None) -> None:
        segment = Segment()
        self.clock = Clock()
        self.vehicle_bus = VirtualBus(1, "vehicle", segment)
        self.vehicle = SimulatedVehicle(
            self.vehicle_bus, loading.load("demo"), seed=1, latency=latency, clock=clock or self.clock
        )
        self.bus = VirtualBus(2, "tester", segment)
        self.listener = Listener()

    async def drive(self, seconds: float) -> list[Frame]:
        """Let the vehicle's clock go on; the frames of that time."""
        self.listener.frames.clear()
        for _ in range(round(seconds * 100)):
            self.clock.now += 0.01
            self.vehicle.tick(self.clock.now)
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        return list(self.listener.frames)

    async def ask(self, request_id: int, response_id: int, payload: str, *, extended: bool = False, count: int = 1):
        received: asyncio.Queue[bytes | str] = asyncio.Queue()
        channel = self.bus.open_isotp(
            request_id, response_id, extended=extended, receiver=received.put_nowait, failure=received.put_nowait
        )
        channel.send(bytes.fromhex(payload))
        answers = [await asyncio.wait_for(received.get(), 5) for _ in range(count)]
        channel.close()
        return answers[0] if count == 1 else answers


@pytest.fixture
async def wired():
    wired = Wired()
    await wired.bus.open(wired.listener)
    await wired.vehicle.start()
    yield wired
    await wired.vehicle.stop()
    await wired.bus.close()


# Frames


async def test_sends_all_its_messages(wired):
    frames = await wired.drive(2.1)
    assert {frame.id for frame in frames} == {message.id for message in wired.vehicle.frames.messages}
    assert {(frame.bus, len(frame.data)) for frame in frames} == {(2, 8)}
    assert len(frames) / 2.1 == pytest.approx(wired.vehicle.frames.rate, rel=0.05)


async def test_drives_by_its_clock(wired):
    frames = await wired.drive(30.0)
    assert wired.vehicle.vehicle.time == pytest.approx(30)
    speed = [frame for frame in frames if frame.id == 0x3E9][-1]
    assert int.from_bytes(speed.data[:2], "big") / 100 == pytest.approx(wired.vehicle.vehicle.speed * 3.6, abs=0.2)
    assert wired.vehicle.vehicle.speed > 5


async def test_drives_by_itself_from_the_start():
    wired = Wired(time.monotonic)
    await wired.bus.open(wired.listener)
    await wired.vehicle.start()
    for _ in range(5):
        wired.listener.heard.clear()
        await asyncio.wait_for(wired.listener.heard.wait(), 5)
    assert wired.vehicle.vehicle.time > 0
    await wired.vehicle.stop()
    await wired.bus.close()


@pytest.mark.parametrize(
    ("identifier", "bit", "key"),
    [
        (0x3A1, 0x80, "headlamp_status"),
        (0x3A2, 0x80, "high_beam_status"),
        (0x3A3, 0x80, "windshield_wiper_status"),
        (0x3A4, 0x80, "turn_signal_left"),
        (0x3A4, 0x40, "turn_signal_right"),
    ],
)
async def test_does_what_a_frame_says_and_tells_so(wired, identifier, bit, key):
    def said(frames):
        return [frame.data[0] for frame in frames if frame.id == identifier]

    assert set(said(await wired.drive(1.0))) == {0}
    wired.bus.send(FrameBatch.of([Frame(identifier, bytes((bit,)) + bytes(7))]))
    await asyncio.sleep(0)
    assert wired.vehicle.vehicle.values(wired.clock.now)[key] is True
    assert said(await wired.drive(0.01)) == [bit]  # at once
    assert set(said(await wired.drive(9.0))) == {bit}
    assert said(await wired.drive(2.0))[-1] == 0


async def test_a_silenced_ecu_sends_no_messages(wired):
    await wired.ask(0x7E0, 0x7E8, "1003")
    await wired.ask(0x7E0, 0x7E8, "280301")
    sent: list[FrameBatch] = []
    wired.vehicle_bus.send = sent.append
    wired.clock.now += 0.5
    wired.vehicle.tick(wired.clock.now)
    ids = {frame.id for batch in sent for frame in batch}
    assert 0x0C9 not in ids
    assert 0x1F5 in ids


# Diagnostics


async def test_answers_single_frames(wired):
    assert await wired.ask(0x7E0, 0x7E8, "0101") == bytes.fromhex("410181076500")
    assert await wired.ask(0x7E1, 0x7E9, "0101") == bytes.fromhex("410181076500")


async def test_answers_in_many_frames(wired):
    assert await wired.ask(0x7E0, 0x7E8, "0902") == b"\x49\x02\x01" + VIN.encode()
    longest = await wired.ask(0x7E0, 0x7E8, f"22{LONGEST:04x}")
    assert longest == b"\x62" + LONGEST.to_bytes(2, "big") + pattern(4092)


async def test_takes_requests_of_many_frames(wired):
    request = "22" + "f1901111222233334444555566667777"
    assert await wired.ask(0x7E0, 0x7E8, request) == b"\x62\xf1\x90" + VIN.encode()


async def test_answers_on_29_bits_as_well(wired):
    assert await wired.ask(0x18DA10F1, 0x18DAF110, "0902", extended=True) == b"\x49\x02\x01" + VIN.encode()
    assert await wired.ask(0x18DA18F1, 0x18DAF118, "0101", extended=True) == bytes.fromhex("410181076500")


async def test_asks_for_patience(wired):
    pending, final = await wired.ask(0x7E0, 0x7E8, "31010302", count=2)
    assert pending == bytes.fromhex("7f3178")
    assert final == bytes.fromhex("71010302000b")


async def test_answers_without_latency_come_in_their_order():
    wired = Wired(latency=0.0)
    await wired.bus.open(wired.listener)
    await wired.vehicle.start()
    assert {ecu.description.latency for ecu in wired.vehicle.ecus} == {0.0}
    assert await wired.ask(0x7E1, 0x7E9, "0101") == bytes.fromhex("410181076500")
    assert await wired.ask(0x7E0, 0x7E8, "0902") == b"\x49\x02\x01" + VIN.encode()
    assert await wired.ask(0x7E0, 0x7E8, "31010302", count=2) == [
        bytes.fromhex("7f3178"),
        bytes.fromhex("71010302000b"),
    ]
    await wired.vehicle.stop()
    assert not wired.vehicle._answers
    await wired.bus.close()


@pytest.mark.parametrize(
    ("functional", "extended", "pairs"),
    [
        (0x7DF, False, ((0x7E0, 0x7E8), (0x7E1, 0x7E9))),
        (0x18DB33F1, True, ((0x18DA10F1, 0x18DAF110), (0x18DA18F1, 0x18DAF118))),
    ],
)
async def test_everybody_answers_a_functional_request(wired, functional, extended, pairs):
    received: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
    for request_id, response_id in pairs:
        wired.bus.open_isotp(
            request_id,
            response_id,
            extended=extended,
            receiver=lambda payload, source=response_id: received.put_nowait((source, payload)),
            failure=pytest.fail,
        )
    channel = wired.bus.open_isotp(functional, None, extended=extended, receiver=pytest.fail, failure=pytest.fail)
    channel.send(bytes.fromhex("0902"))
    answers = dict([await asyncio.wait_for(received.get(), 5) for _ in pairs])
    assert answers == {response_id: b"\x49\x02\x01" + VIN.encode() for _, response_id in pairs}


def requests_seen(vehicle: SimulatedVehicle, monkeypatch) -> list[tuple[str, bytes, bool]]:
    seen = []
    for ecu in vehicle.ecus:

        def request(payload, now, functional=False, ecu=ecu):
            seen.append((ecu.description.name, payload, functional))
            return []

        monkeypatch.setattr(ecu, "request", request)
    return seen


@pytest.mark.parametrize(
    "frame",
    [
        Frame(0x7DF, bytes.fromhex("1014220102030405")),  # a first frame: never flow control for it
        Frame(0x7DF, bytes.fromhex("2101020304050607")),
        Frame(0x7DF, bytes.fromhex("300000")),
        Frame(0x7DF, bytes.fromhex("00")),
        Frame(0x7DF, bytes.fromhex("0801020304050607")),
        Frame(0x7DF, bytes.fromhex("0301")),
        Frame(0x7DF, b""),
        Frame(0x7DF, bytes.fromhex("0101"), extended=True),
        Frame(0x7DF, bytes.fromhex("0103"), flags=FrameFlags.OWN),
        Frame(0x7DF, bytes.fromhex("0103"), flags=FrameFlags.REMOTE),
        Frame(0x7E0, bytes.fromhex("0103")),
    ],
)
async def test_what_is_no_functional_request(wired, monkeypatch, frame):
    seen = requests_seen(wired.vehicle, monkeypatch)
    sent: list[FrameBatch] = []
    monkeypatch.setattr(wired.vehicle_bus, "send", sent.append)
    wired.vehicle.frames_received(wired.vehicle_bus, FrameBatch.of([frame]))
    assert seen == []
    assert sent == []


async def test_a_functional_request_may_be_padded(wired, monkeypatch):
    seen = requests_seen(wired.vehicle, monkeypatch)
    wired.vehicle.frames_received(wired.vehicle_bus, FrameBatch.of([Frame(0x7DF, bytes.fromhex("02010caaaaaaaaaa"))]))
    assert seen == [(name, b"\x01\x0c", True) for name in ("engine", "transmission")]


# Life


async def test_stops_and_leaves_nothing(wired):
    tasks = asyncio.all_tasks()
    wired.vehicle._request(wired.vehicle.ecus[0], 0, False, b"\x3e\x00")  # the answer is still to come
    (answer,) = wired.vehicle._answers.values()
    await wired.vehicle.stop()
    await wired.vehicle.stop()
    assert answer.cancelled()
    assert wired.vehicle_bus.state is BusState.CLOSED
    assert len(asyncio.all_tasks()) == len(tasks) - 1
    wired.vehicle._request(wired.vehicle.ecus[0], 0, False, b"\x3e\x00")
    assert not wired.vehicle._answers


async def test_starts_anew_after_a_stop(wired):
    await wired.vehicle.stop()
    wired.clock.now += 1000
    await wired.vehicle.start()
    assert wired.vehicle.vehicle.time == 0
    assert await wired.drive(0.1)


async def test_starts_only_once(wired):
    with pytest.raises(BusError, match="already"):
        await wired.vehicle.start()


async def test_a_bus_that_does_not_open_is_an_error():
    wired = Wired()
    await wired.vehicle_bus.open(wired.listener)
    with pytest.raises(BusError):
        await wired.vehicle.start()
    await wired.vehicle_bus.close()


async def test_addresses_that_cannot_be_opened_leave_nothing_open(monkeypatch):
    wired = Wired()

    def refuse(*args, **options):
        raise BusError("no channels here")

    monkeypatch.setattr(wired.vehicle_bus, "open_isotp", refuse)
    with pytest.raises(BusError, match="no channels"):
        await wired.vehicle.start()
    assert wired.vehicle_bus.state is BusState.CLOSED


async def test_a_bus_that_takes_nothing_is_said_once_a_second(wired, monkeypatch, caplog):
    def refuse(batch):
        raise BusError("the bus is off")

    monkeypatch.setattr(wired.vehicle_bus, "send", refuse)
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            wired.clock.now += 0.02
            wired.vehicle.tick(wired.clock.now)
    said = "the simulated vehicle could not send: the bus is off"
    assert [record.message for record in caplog.records] == [said, f"{said} (50 more of the kind before)"]


async def test_says_when_its_bus_changes(wired, caplog):
    with caplog.at_level(logging.INFO):
        wired.vehicle.bus_state_changed(wired.vehicle_bus, BusState.GONE, "unplugged")
        wired.vehicle.bus_state_changed(wired.vehicle_bus, BusState.UP, "back again")
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "gone: unplugged" in caplog.text
