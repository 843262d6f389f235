"""openOBD.v1.vehicleInfo: what is configured, and what the simulated vehicle answers."""

from __future__ import annotations

import asyncio

import grpc

from bridge.buses.bus import BusState
from bridge.config import ConnectionSettings, EcuSettings, VehicleSettings
from bridge.openobd.messages import CanBitRate, CanProtocol, EmptyMessage
from bridge.policy import Write

from ..bench import Bench, Caller
from ..refusals import refusal, refused
from .test_can import ENGINE, IsotpMessage, configure, hs

VIN = "0XCBRDGE0R0000042"


async def details(caller: Caller):
    return await caller.vehicleInfo.getVehicleDetails(EmptyMessage(), metadata=caller.metadata)


async def ecus(caller: Caller):
    found = await caller.vehicleInfo.getEcuList(EmptyMessage(), metadata=caller.metadata)
    return [ecu.isotp_ecu for ecu in found.ecus]


async def test_the_vin_is_read_from_the_car_and_counts_for_the_latency(bench, caller) -> None:
    found = await details(caller)
    assert (found.name, found.tecdoc_id, found.vin) == ("", 0, VIN)
    assert bench.gateway.core.known_vin(bench.gateway.core.connections.first) == VIN
    information = await caller.connectionMonitor.getConnectorInformation(EmptyMessage(), metadata=caller.metadata)
    assert information.latency >= 4


async def test_a_vin_goes_with_its_bus(bench, caller) -> None:
    await details(caller)
    bench.bus_state_changed(bench.buses[1], BusState.GONE, "for a test")
    assert bench.gateway.core.known_vin(bench.gateway.core.connections.first) == ""
    assert (await details(caller)).vin == VIN


async def test_what_is_configured_is_told(open_bench, join) -> None:
    connection = ConnectionSettings(
        connector="J-1",
        pins={"3/11": 2, "6/14": 1},
        vehicle=VehicleSettings(name="Bench 1.0", tecdoc_id=4711, vin="W0L00000000000000"),
        ecu=(
            EcuSettings(request_id=0x7E0, response_id=0x7E8),
            EcuSettings(
                request_id=0x6F1, response_id=0x612, bus=2, extended_request_address=0, extended_response_address=0xF1
            ),
        ),
    )
    bench = await open_bench(connection=(connection,))
    caller = await join(bench)
    await caller.active_session()
    found = await details(caller)
    assert (found.name, found.tecdoc_id, found.vin) == ("Bench 1.0", 4711, "W0L00000000000000")
    one, two = await ecus(caller)
    assert (one.request_id, one.response_id) == (0x7E0, 0x7E8)
    assert (one.can_bus.pin_plus, one.can_bus.pin_min) == (6, 14)
    assert not one.HasField("extended_request_address")
    assert (two.request_id, two.response_id) == (0x6F1, 0x612)
    assert (two.can_bus.pin_plus, two.can_bus.pin_min) == (3, 11)
    assert two.HasField("extended_request_address")
    assert (two.extended_request_address, two.extended_response_address) == (0, 0xF1)


async def test_the_car_s_ecus_are_found_and_can_be_used_as_they_are(bench, caller) -> None:
    found = await ecus(caller)
    assert [(ecu.request_id, ecu.response_id) for ecu in found] == [
        (0x7E0, 0x7E8),
        (0x7E1, 0x7E9),
        (0x18DA10F1, 0x18DAF110),
        (0x18DA18F1, 0x18DAF118),
    ]
    for ecu in found:
        assert (ecu.can_bus.pin_plus, ecu.can_bus.pin_min) == (6, 14)
        assert ecu.can_bus.can_protocol == CanProtocol.CAN_PROTOCOL_ISOTP
        assert ecu.can_bus.can_bit_rate == CanBitRate.CAN_BIT_RATE_500
    await configure(caller, hs(found[0].can_bus.pin_plus, found[0].can_bus.pin_min))
    stream = caller.can.openIsotpStream(metadata=caller.metadata)
    await stream.write(IsotpMessage(channel=ENGINE, payload="3E00"))
    assert (await stream.read()).payload == "7E00"
    stream.cancel()


async def test_a_session_s_own_requests_go_on_during_a_scan(bench, caller) -> None:
    await configure(caller, hs())
    stream = caller.can.openIsotpStream(metadata=caller.metadata)
    scan = asyncio.ensure_future(ecus(caller))
    answers = 0
    while not scan.done():
        await stream.write(IsotpMessage(channel=ENGINE, payload="22F187"))
        while not (await stream.read()).payload.startswith("62F187"):
            pass
        answers += 1
    assert answers > 1
    assert len(await scan) == 4
    stream.cancel()


async def test_a_gateway_that_may_not_write_tells_what_it_knows(join) -> None:
    async with Bench(Write.NONE) as bench:
        caller = await join(bench)
        await caller.active_session()
        assert (await details(caller)).vin == ""
        error = await refusal(ecus(caller))
        assert error.code() is grpc.StatusCode.PERMISSION_DENIED
        assert "--allow-write" in error.details()


async def test_a_vehicle_that_is_not_there_has_no_ecus(bench, caller) -> None:
    for bus in bench.buses.values():
        bus.state = BusState.GONE
    assert await refused(ecus(caller)) is grpc.StatusCode.UNAVAILABLE


async def test_it_takes_the_session_token(bench, join) -> None:
    caller = await join(bench)
    await caller.start_session()
    assert await refused(details(caller)) is grpc.StatusCode.UNAUTHENTICATED
    assert await refused(ecus(caller)) is grpc.StatusCode.UNAUTHENTICATED
