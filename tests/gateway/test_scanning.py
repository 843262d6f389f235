"""What the gateway finds out by itself, on a wire with ECUs that the tests make up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from bridge.buses.bus import Bus, BusState, IsotpChannel
from bridge.buses.virtual import Segment, VirtualBus
from bridge.config import ConnectionSettings, EcuSettings, VehicleSettings
from bridge.diagnostics.addressing import is_extended
from bridge.errors import BusError
from bridge.gateway.connections import Connection, Connections
from bridge.gateway.errors import Unavailable
from bridge.gateway.scanning import Scanner
from bridge.gateway.vehicle import Vehicle
from bridge.policy import BusRules, Write, WriteRefusedError

from .bench import SOON

VIN = "0XCBRDGE0R0000042"
OBD_VIN = bytes.fromhex("490201") + VIN.encode()
UDS_VIN = bytes.fromhex("62F190") + VIN.encode()


class Wire:
    """One bus of a vehicle: the bridge's end, and ECUs at the other."""

    def __init__(self, number: int) -> None:
        segment = Segment()
        self.bus = VirtualBus(number, f"wire {number}", segment)
        self.far = VirtualBus(number, "the ECUs", segment)
        self.asked: list[tuple[int, bytes]] = []  #: (request id, payload)

    async def open(self) -> None:
        await self.bus.open(self)
        await self.far.open(self)

    async def close(self) -> None:
        await self.bus.close()
        await self.far.close()

    def frames_received(self, bus: Bus, batch: object) -> None:
        """Nobody looks at frames."""

    def bus_state_changed(self, bus: Bus, state: BusState, reason: str) -> None:
        """Nobody looks at states."""

    def ecu(
        self,
        request_id: int,
        response_id: int,
        answers: dict[str, list[str]],
        *,
        hears: tuple[int, ...] = (),
        after: Callable[[], None] = lambda: None,
    ) -> None:
        """An ECU: payloads that begin so are answered with these, in this order, also on functional ids."""

        def receive(heard_id: int, payload: bytes) -> None:
            self.asked.append((heard_id, payload))
            for begin, replies in answers.items():
                if payload.hex().startswith(begin):
                    after()
                    for reply in replies:
                        channel.send(bytes.fromhex(reply))

        def hear(heard_id: int) -> IsotpChannel:
            return self.far.open_isotp(
                response_id,
                heard_id,
                extended=is_extended(heard_id),
                receiver=partial(receive, heard_id),
                failure=pytest.fail,
            )

        channel = hear(request_id)
        for heard_id in hears:
            hear(heard_id)

    @property
    def requests(self) -> list[str]:
        return [payload.hex() for _, payload in self.asked]


class Car:
    """Two wires, and a scanner that looks at them."""

    def __init__(self, grants: Write = Write.READ_DIAGNOSTIC) -> None:
        self.wires = {1: Wire(1), 2: Wire(2)}
        self.samples: list[tuple[int, float]] = []
        self.rules = {1: BusRules(1, True), 2: BusRules(2, True)}
        vehicle = Vehicle(
            {number: wire.bus for number, wire in self.wires.items()},
            grants,
            lambda bus: self.rules[bus],
            lambda bus, muted: None,
            {}.get,
        )
        self.scanner = Scanner(vehicle, lambda bus, seconds: self.samples.append((bus, seconds)))

    def connection(self, **settings: object) -> Connection:
        return Connections([ConnectionSettings(**settings)]).first

    async def __aenter__(self) -> Car:
        for wire in self.wires.values():
            await wire.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.scanner.close()
        for wire in self.wires.values():
            await wire.close()


@pytest.fixture
async def car():
    async with Car() as car:
        yield car


@pytest.fixture
def quick(monkeypatch):
    """Silence is known sooner."""
    monkeypatch.setattr("bridge.gateway.scanning.ASK_TIMEOUT", 0.05)
    monkeypatch.setattr("bridge.gateway.scanning.SCAN_WINDOW", 0.05)


# The VIN


async def test_a_configured_vin_is_not_asked_for(car) -> None:
    car.wires[1].ecu(0x7E0, 0x7E8, {})
    connection = car.connection(vehicle=VehicleSettings(vin="CONFIGURED"))
    assert car.scanner.known_vin(connection) == "CONFIGURED"
    assert await car.scanner.vin(connection) == "CONFIGURED"
    assert car.wires[1].asked == []


async def test_the_vin_is_read_once_and_kept_while_the_bus_stays(car) -> None:
    car.wires[1].ecu(0x7E0, 0x7E8, {"0902": [OBD_VIN.hex()]})
    connection = car.connection()
    assert car.scanner.known_vin(connection) == ""
    assert await car.scanner.vin(connection) == VIN
    assert await car.scanner.vin(connection) == VIN == car.scanner.known_vin(connection)
    assert car.wires[1].requests == ["0902"]
    assert car.wires[2].requests == []
    car.scanner.bus_lost(2)
    assert car.scanner.known_vin(connection) == ""
    assert await car.scanner.vin(connection) == VIN
    assert car.wires[1].requests == ["0902", "0902"]


async def test_the_bus_of_another_vehicle_is_nobody_else_s_loss(car) -> None:
    car.wires[1].ecu(0x7E0, 0x7E8, {"0902": [OBD_VIN.hex()]})
    connection = car.connection(pins={"6/14": 1})
    await car.scanner.vin(connection)
    car.scanner.bus_lost(2)
    assert car.scanner.known_vin(connection) == VIN


async def test_all_who_ask_at_the_same_time_share_one_reading(car) -> None:
    car.wires[1].ecu(0x7E0, 0x7E8, {"0902": [OBD_VIN.hex()]})
    connection = car.connection()
    assert await asyncio.gather(*(car.scanner.vin(connection) for _ in range(20))) == [VIN] * 20
    assert car.wires[1].requests == ["0902"]


async def test_one_who_leaves_takes_nobody_s_reading_away(car) -> None:
    car.wires[1].ecu(0x7E0, 0x7E8, {"0902": [OBD_VIN.hex()]})
    connection = car.connection()
    first, second = (asyncio.ensure_future(car.scanner.vin(connection)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == VIN


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ({"0902": ["7f0912"], "22f190": [UDS_VIN.hex()]}, ["0902", "22f190"]),
        ({"22f190": [UDS_VIN.hex()]}, ["0902", "22f190"]),
        ({"0902": ["490201" + "ff" * 17], "22f190": [UDS_VIN.hex()]}, ["0902", "22f190"]),
        ({"0902": ["7f0978", OBD_VIN.hex()]}, ["0902"]),
        ({"0902": ["4100be1fa813", "7f2231", OBD_VIN.hex()]}, ["0902"]),  # the first two are for somebody else
    ],
    ids=["negative", "silent", "nonsense", "pending", "others"],
)
async def test_uds_is_asked_where_obd_does_not_tell(car, quick, answers, asked) -> None:
    car.wires[1].ecu(0x7E0, 0x7E8, answers)
    assert await car.scanner.vin(car.connection()) == VIN
    assert car.wires[1].requests == asked


async def test_an_ecu_that_asks_for_patience_gets_it(car, quick) -> None:
    wire = car.wires[1]
    loop = asyncio.get_running_loop()

    def receive(payload: bytes) -> None:
        channel.send(bytes.fromhex("7f0978"))
        loop.call_later(0.3, channel.send, OBD_VIN)  # six times what is granted without

    channel = wire.far.open_isotp(0x7E8, 0x7E0, extended=False, receiver=receive, failure=pytest.fail)
    assert await car.scanner.vin(car.connection()) == VIN


async def test_a_vehicle_with_29_bits_on_its_second_bus(car, quick) -> None:
    car.wires[2].ecu(0x18DA10F1, 0x18DAF110, {"0902": [OBD_VIN.hex()]})
    assert await car.scanner.vin(car.connection()) == VIN
    assert len(car.samples) == 1
    bus, seconds = car.samples[0]
    assert bus == 2
    assert 0 <= seconds < SOON


async def test_a_car_that_does_not_tell_is_asked_again_the_next_time(car, quick) -> None:
    connection = car.connection()
    assert await car.scanner.vin(connection) == ""
    car.wires[1].ecu(0x7E0, 0x7E8, {"0902": [OBD_VIN.hex()]})
    assert await car.scanner.vin(connection) == VIN


async def test_a_vin_that_may_not_be_asked_for_is_not(caplog) -> None:
    async with Car(Write.NONE) as car:
        car.wires[1].ecu(0x7E0, 0x7E8, {"0902": [OBD_VIN.hex()]})
        assert await car.scanner.vin(car.connection()) == ""
        assert car.wires[1].asked == []
    assert "--allow-write read-diagnostics" in caplog.text


async def test_a_loss_while_it_is_read_leaves_nothing_behind(car) -> None:
    connection = car.connection()
    lose = lambda: car.scanner.bus_lost(1)  # noqa: E731
    car.wires[1].ecu(0x7E0, 0x7E8, {"0902": [OBD_VIN.hex()]}, after=lose)
    assert await car.scanner.vin(connection) == VIN
    assert car.scanner.known_vin(connection) == ""


# ECUs


def ids(ecus: tuple[EcuSettings, ...]) -> list[tuple[int, int, int]]:
    return [(ecu.bus, ecu.request_id, ecu.response_id) for ecu in ecus]


async def test_configured_ecus_are_not_looked_for(car) -> None:
    ecus = (EcuSettings(request_id=0x6F1, response_id=0x612),)
    assert await car.scanner.ecus(car.connection(ecu=ecus)) == ecus
    assert car.wires[1].asked == []


async def test_whoever_answers_anything_is_an_ecu(car, quick) -> None:
    one, two = car.wires[1], car.wires[2]
    one.ecu(0x7E0, 0x7E8, {"0100": ["4100be1fa813"]}, hears=(0x7DF,))
    one.ecu(0x7E1, 0x7E9, {"3e00": ["7e00"]}, hears=(0x7DF,))  # UDS only
    one.ecu(0x7E5, 0x7ED, {"3e00": ["7f3e11"]})  # hears no functional request, and refuses
    one.ecu(0x7E7, 0x7EF, {})  # silent
    two.ecu(0x18DA10F1, 0x18DAF110, {"0100": ["410098180001"]}, hears=(0x18DB33F1,))
    two.ecu(0x18DA1FF1, 0x18DAF11F, {"3e00": ["7e00"]}, hears=(0x18DB33F1,))
    assert ids(await car.scanner.ecus(car.connection())) == [
        (1, 0x7E0, 0x7E8),
        (1, 0x7E1, 0x7E9),
        (1, 0x7E5, 0x7ED),
        (2, 0x18DA10F1, 0x18DAF110),
        (2, 0x18DA1FF1, 0x18DAF11F),
    ]
    assert {payload.hex() for _, payload in one.asked + two.asked} == {"0100", "3e00"}
    assert (0x7E0, b"\x3e\x00") not in one.asked  # it had answered already


async def test_all_who_scan_at_the_same_time_share_one_scan_and_the_next_looks_again(car, quick) -> None:
    car.wires[1].ecu(0x7E0, 0x7E8, {"3e00": ["7e00"]})
    connection = car.connection()
    results = await asyncio.gather(*(car.scanner.ecus(connection) for _ in range(20)))
    assert {len(result) for result in results} == {1}
    assert car.wires[1].requests == ["3e00"]
    await car.scanner.ecus(connection)
    assert car.wires[1].requests == ["3e00", "3e00"]


async def test_a_bus_that_may_not_be_asked_is_left_out(car, quick, caplog) -> None:
    car.wires[1].ecu(0x7E0, 0x7E8, {"3e00": ["7e00"]})
    car.wires[2].ecu(0x7E0, 0x7E8, {"3e00": ["7e00"]})
    car.rules[1] = BusRules(1, False)
    assert ids(await car.scanner.ecus(car.connection())) == [(2, 0x7E0, 0x7E8)]
    assert car.wires[1].asked == []
    assert "a bus is left out of a vehicle's ECUs: bus 1 takes no diagnostic requests" in caplog.text
    car.rules[2] = BusRules(2, False)
    with pytest.raises(WriteRefusedError, match="raw_writable"):
        await car.scanner.ecus(car.connection())


async def test_a_bus_that_is_down_is_left_out(car, quick) -> None:
    car.wires[2].ecu(0x7E0, 0x7E8, {"3e00": ["7e00"]})
    car.wires[1].bus.state = BusState.BUS_OFF
    assert ids(await car.scanner.ecus(car.connection())) == [(2, 0x7E0, 0x7E8)]
    car.wires[2].bus.state = BusState.GONE
    with pytest.raises(Unavailable):
        await car.scanner.ecus(car.connection())


async def test_a_bus_that_fails_meanwhile_is_an_error_only_where_no_other_answers(car, quick, monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BusError("the adapter has gone")

    monkeypatch.setattr(car.wires[1].bus, "open_isotp", fail)
    assert await car.scanner.ecus(car.connection()) == ()
    with pytest.raises(BusError, match="the adapter has gone"):
        await car.scanner.ecus(car.connection(pins={"6/14": 1}))
    assert await car.scanner.vin(car.connection(pins={"6/14": 1})) == ""


async def test_a_scan_that_is_under_way_ends_with_the_gateway(car) -> None:
    connection = car.connection()
    scan = asyncio.ensure_future(car.scanner.ecus(connection))
    vin = asyncio.ensure_future(car.scanner.vin(connection))
    await asyncio.sleep(0)
    async with asyncio.timeout(SOON):
        await car.scanner.close()
        await asyncio.wait((scan, vin))
    assert scan.cancelled()
    assert vin.cancelled()
    assert not car.wires[1].bus.channels.heard_ids
