"""Diagnostics against the simulated vehicle's ECUs, through the socket."""

import asyncio
import time

import pytest

from bridge.openxc import protobuf_format
from bridge.openxc.messages import (
    CommandResponse,
    DiagnosticAction,
    DiagnosticResponse,
    PayloadFormat,
    PredefinedObd2Command,
    SimpleMessage,
)
from bridge.simulator.ecus import LOG, LOG_LENGTH, LONGEST, LONGEST_LENGTH, SLOW, SLOW_WORK, VIN, pattern
from bridge.simulator.security import security_key

from .far_away import gateway_port, start_gateway, start_remote

ENGINE, TRANSMISSION, FUNCTIONAL = 0x7E0, 0x7E1, 0x7DF
ENGINE_EXTENDED, FUNCTIONAL_EXTENDED = 0x18DA10F1, 0x18DB33F1


@pytest.fixture(scope="module", params=["here", "far away"])
def daemon(start_shared, tmp_path_factory, request):
    """With the vehicle at its own bus, and with the vehicle behind another daemon's gateway."""
    if request.param == "here":
        return start_shared("--bus", "simulated")
    folder = tmp_path_factory.mktemp("far_away")
    gateway = start_gateway(start_shared, folder)
    return start_remote(start_shared, folder, gateway_port(gateway))


@pytest.fixture
async def app(daemon, join):
    return await join(daemon.url)


def answers(record, mode, pid, ids):
    return isinstance(record, DiagnosticResponse) and (record.mode, record.pid) == (mode, pid) and record.id in ids


async def ask(app, identifier, mode, pid=None, **fields):
    """Add a one-off request and take its response."""
    status = await app.request(identifier, mode, pid, bus=1, **fields)
    assert status == CommandResponse(command_response="diagnostic_request", status=True)
    response = await app.find(lambda record: answers(record, mode, pid, (identifier,)))
    assert response.bus == 1
    assert response.frame is None and response.total_size is None
    return response


async def ask_all(app, identifier, mode, pid, ids, **fields):
    """Add a one-off request to a functional id and take a response of each of these."""
    assert (await app.request(identifier, mode, pid, bus=1, **fields)).status
    found = {}
    while set(found) != set(ids):
        response = await app.find(lambda record: answers(record, mode, pid, ids))
        assert response.id not in found
        found[response.id] = response
    return found


# OBD-II


@pytest.mark.parametrize(
    ("pid", "low", "high"),
    [
        (0x04, 0, 100),  # engine load, %
        (0x05, -40, 130),  # coolant, °C
        (0x0B, 20, 110),  # manifold pressure, kPa
        (0x0C, 0, 7000),  # engine speed, 1/min
        (0x0D, 0, 150),  # speed, km/h
        (0x0F, -40, 80),  # intake air, °C
        (0x11, 0, 100),  # throttle, %
        (0x2F, 40, 90),  # fuel, %
        (0x33, 98, 98),  # barometric pressure, kPa
        (0x5C, -40, 150),  # oil, °C
    ],
)
async def test_values_of_the_engine_are_decoded(app, pid, low, high):
    response = await ask(app, ENGINE, 1, pid)
    assert response.success
    assert response.payload is None
    assert low <= response.value <= high


async def test_the_engine_says_what_the_signals_say(app):
    barometer = await ask(app, ENGINE, 1, 0x33)
    assert barometer.value == 98
    fuel = await app.find(lambda record: isinstance(record, SimpleMessage) and record.name == "fuel_level")
    response = await ask(app, ENGINE, 1, 0x2F)
    assert response.value == pytest.approx(fuel.value, abs=1)


async def test_pid_0_is_asked_for_as_any_other(app):
    response = await ask(app, ENGINE, 1, 0, decoded_type=None)
    bitmap = response.payload or response.value.to_bytes(4, "big")
    supported = {1 + bit for bit in range(32) if int.from_bytes(bitmap, "big") >> (31 - bit) & 1}
    assert {0x04, 0x05, 0x0C, 0x0D, 0x20} <= supported
    assert 0x02 not in supported


async def test_a_functional_request_is_answered_by_both(app):
    found = await ask_all(app, FUNCTIONAL, 1, 0x0C, (0x7E8, 0x7E9))
    assert all(response.success for response in found.values())
    assert found[0x7E8].value == pytest.approx(found[0x7E9].value, abs=500)


async def test_a_long_response_to_a_functional_request_comes_from_both(app):
    found = await ask_all(app, FUNCTIONAL, 9, 2, (0x7E8, 0x7E9))
    assert {response.payload for response in found.values()} == {b"\x01" + VIN.encode()}


async def test_named_requests_give_simple_messages(app):
    assert (await app.request(ENGINE, 1, 0x33, name="air_pressure")).status
    record = await app.find(lambda record: isinstance(record, SimpleMessage) and record.name == "air_pressure")
    assert record == SimpleMessage(name="air_pressure", value=98)


async def test_trouble_codes(app):
    response = await ask(app, ENGINE, 3)
    assert response.payload == bytes.fromhex("010420")  # one code: P0420
    response = await ask(app, ENGINE, 0x19, payload=bytes.fromhex("0208"))
    assert bytes.fromhex("042000") in response.payload


# Multi-frame, either way


async def test_the_vin_is_a_response_of_many_frames(app):
    response = await ask(app, ENGINE, 9, 2)
    assert response.payload == b"\x01" + VIN.encode()
    response = await ask(app, TRANSMISSION, 0x22, 0xF190)
    assert response.payload == VIN.encode()


async def test_get_vin(app):
    answer = await app.ask("get_vin")
    assert answer == CommandResponse(command_response="get_vin", status=True, message=VIN)


async def test_two_apps_ask_for_the_vin_at_once(daemon, join):
    apps = [await join(daemon.url) for _ in range(2)]
    for answer in await asyncio.gather(*(app.ask("get_vin") for app in apps)):
        assert answer.message == VIN


LONG = {LOG: LOG_LENGTH, LONGEST: LONGEST_LENGTH}


@pytest.mark.parametrize(("did", "length"), LONG.items())
async def test_long_data_comes_whole(app, did, length):
    response = await ask(app, ENGINE, 0x22, did)
    assert response.success
    assert response.payload == pattern(length)


async def collect_parts(app, did):
    """Ask the engine for long data; the records that it comes in."""
    assert (await app.request(ENGINE, 0x22, did)).status
    parts = await app.until(lambda record: answers(record, 0x22, did, (ENGINE,)) and record.frame == -1)
    return [record for record in parts if answers(record, 0x22, did, (ENGINE,))]


def check_parts(parts, did, length):
    """Put together, they are the whole ISO-TP message, with its own idea of the data identifier."""
    assert b"".join(part.payload for part in parts) == b"\x62" + did.to_bytes(2, "big") + pattern(length)
    assert [part.frame for part in parts] == [*range(len(parts) - 1), -1]
    assert {part.total_size for part in parts} == {length + 3}
    assert all(part.success and part.bus == 1 for part in parts)


@pytest.mark.parametrize(("did", "length"), LONG.items())
async def test_long_data_comes_in_records_of_200_bytes_at_most_over_protobuf(daemon, join, did, length):
    app = await join(daemon.url, PayloadFormat.PROTOBUF)
    assert (await app.ask("version")).status
    parts = await collect_parts(app, did)
    check_parts(parts, did, length)
    assert all(len(protobuf_format.encode(part)) <= 200 for part in parts)


async def test_long_data_comes_frame_by_frame_where_the_configuration_says_so(start_inside, join):
    bridge = await start_inside(bus=[{"spec": "simulated"}], diagnostics={"responses": "frames"})
    app = await join(bridge.listeners[0].url)
    parts = await collect_parts(app, LOG)
    check_parts(parts, LOG, LOG_LENGTH)
    assert len(parts) == -(-(LOG_LENGTH + 3) // 7)


@pytest.mark.parametrize("identifier", [ENGINE, ENGINE_EXTENDED])
async def test_long_data_is_written_and_read_back(app, identifier):
    """Extended session, unlocked ECU, then a request of many frames."""
    session = await ask(app, identifier, 0x10, payload=b"\x03")
    assert session.success and session.payload[0] == 3
    seed = (await ask(app, identifier, 0x27, payload=b"\x01")).payload[1:]
    assert len(seed) == 4
    if any(seed):  # zeros where it is unlocked already
        assert (await ask(app, identifier, 0x27, payload=b"\x02" + security_key(seed))).success
    note = f"written through {identifier:x}, in more than one frame".encode()
    assert (await ask(app, identifier, 0x2E, 0xD110, payload=note)).success
    assert (await ask(app, identifier, 0x22, 0xD110)).payload == note
    assert (await ask(app, identifier, 0x10, payload=b"\x01")).success
    refused = await ask(app, identifier, 0x2E, 0xD110, payload=note)
    assert refused.negative_response_code == 0x7F  # not in this session


# Negative, pending, nobody


async def test_a_negative_response_says_why_and_what_was_asked(app):
    response = await ask(app, ENGINE, 0x22, 0x1234)
    assert not response.success
    assert response.negative_response_code == 0x31
    assert response.pid == 0x1234
    assert response.payload is None and response.value is None


async def test_a_pending_response_is_waited_for(app):
    began = time.monotonic()
    response = await ask(app, ENGINE, 0x22, SLOW)
    assert time.monotonic() - began >= SLOW_WORK - 0.01
    assert response.success
    assert response.payload == pattern(8)


async def test_a_request_that_nobody_answers_is_given_up(app):
    assert (await app.request(0x7E3, 1, 0x0C)).status
    assert (await app.request(0x7E3, 1, 0x0D)).status
    await ask(app, ENGINE, 1, 0x0C)  # meanwhile others are answered
    answer = await app.ask("version")
    assert answer.status


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"identifier": ENGINE, "mode": 1, "pid": 0x1FF}, "PID"),
        ({"identifier": ENGINE, "mode": 1, "pid": 0x0C, "frequency": 11.0}, "10 Hz"),
        ({"identifier": ENGINE, "mode": 1, "pid": 0x0C, "bus": 2}, "bus"),
        ({"identifier": FUNCTIONAL, "mode": 0x22, "pid": 0xF190, "payload": bytes(5)}, "bytes"),
        ({"identifier": ENGINE, "mode": 0x36, "payload": bytes(4095)}, "4095"),
        ({"identifier": ENGINE, "mode": 1, "pid": 0x0C, "action": DiagnosticAction.CANCEL}, "no recurring"),
    ],
)
async def test_an_impossible_request_is_refused_with_a_reason(app, fields, why):
    answer = await app.request(**fields)
    assert not answer.status
    assert why in answer.message


# 29 bits


async def test_an_ecu_by_its_29_bit_address(app):
    response = await ask(app, ENGINE_EXTENDED, 9, 2)
    assert response.payload == b"\x01" + VIN.encode()


async def test_all_ecus_by_the_29_bit_functional_address(app):
    found = await ask_all(app, FUNCTIONAL_EXTENDED, 1, 0x0C, (0x18DAF110, 0x18DAF118))
    assert all(response.success for response in found.values())


# Recurring


async def test_ten_times_a_second_until_cancelled(app):
    def wanted(record):
        return answers(record, 1, 0x1F, (ENGINE,))

    assert (await app.request(ENGINE, 1, 0x1F, frequency=10.0)).status
    await app.find(wanted)
    began = time.monotonic()
    for _ in range(10):
        await app.find(wanted)
    assert time.monotonic() - began == pytest.approx(1.0, abs=0.2)
    assert (await app.request(ENGINE, 1, 0x1F, action=DiagnosticAction.CANCEL)).status
    # Another one goes on, and in all its time the cancelled one does not come back.
    assert (await app.request(ENGINE, 1, 0x42, frequency=10.0)).status
    seen = []
    for _ in range(3):
        seen += await app.until(lambda record: answers(record, 1, 0x42, (ENGINE,)))
    assert sum(map(wanted, seen)) <= 1  # it may have been in flight
    assert not (await app.request(ENGINE, 1, 0x1F, action=DiagnosticAction.CANCEL)).status


async def test_the_second_recurring_request_of_a_key_is_refused_and_the_first_goes_on(daemon, join):
    one, other = await join(daemon.url), await join(daemon.url)
    assert (await one.request(TRANSMISSION, 1, 0x0D, frequency=10.0)).status
    refused = await other.request(TRANSMISSION, 1, 0x0D, frequency=5.0)
    assert not refused.status and "exists" in refused.message
    for app in (one, other):  # data is for all
        await app.find(lambda record: answers(record, 1, 0x0D, (TRANSMISSION,)))


async def test_one_offs_pass_between_the_turns_of_a_recurring_request(app):
    assert (await app.request(ENGINE, 1, 0x0C, frequency=10.0)).status
    for _ in range(10):
        assert (await ask(app, ENGINE, 1, 0x33)).value == 98


async def test_the_requests_of_an_app_that_has_gone_are_made_no_more(daemon, join):
    """Its key is free again, which is what another app can see."""
    one, other = await join(daemon.url), await join(daemon.url)
    assert (await one.request(ENGINE, 1, 0x46, frequency=10.0)).status
    assert not (await other.request(ENGINE, 1, 0x46, frequency=10.0)).status
    await one.close()
    async with asyncio.timeout(10):
        while not (await other.request(ENGINE, 1, 0x46, frequency=10.0)).status:
            pass
    assert (await other.request(ENGINE, 1, 0x46, action=DiagnosticAction.CANCEL)).status


# Predefined OBD-II requests

NAMED = {
    "engine_load": (0, 100),
    "engine_coolant_temperature": (-40, 130),
    "intake_manifold_pressure": (20, 110),
    "intake_air_temperature": (-40, 80),
    "throttle_position": (0, 100),
    "barometric_pressure": (98, 98),
    "engine_oil_temperature": (-40, 150),
}


async def named_values(app, names):
    """Wait until each of these was published, with a value that can be."""
    missing = dict(names)
    while missing:
        record = await app.find(lambda record: isinstance(record, SimpleMessage) and record.name in missing)
        low, high = missing.pop(record.name)
        assert low <= record.value <= high, record


async def test_predefined_requests_give_named_values(start, join):
    """On command, and in a profile that says so."""
    app, other = [
        await join(start("--profile", profile, "--bus", "simulated").url) for profile in ("passthrough", "obd2")
    ]
    assert (await app.ask(PredefinedObd2Command(name="predefined_obd2", enabled=True))).status
    await asyncio.gather(named_values(app, NAMED), named_values(other, NAMED))

    assert (await app.ask(PredefinedObd2Command(name="predefined_obd2", enabled=False))).status
    assert not (await app.request(FUNCTIONAL, 1, 0x04, action=DiagnosticAction.CANCEL)).status  # none is left
    assert (await app.request(ENGINE, 1, 0x42, name="voltage", frequency=5.0)).status
    seen = []
    for _ in range(5):
        seen += await app.until(lambda record: isinstance(record, SimpleMessage) and record.name == "voltage")
    assert not [record for record in seen if isinstance(record, SimpleMessage) and record.name in NAMED]
