"""Whatever a tester sends, an ECU answers well-formed or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.limits import PAYLOAD_LIMIT
from bridge.simulator.ecus import ENGINE, SLOW, SLOW_WORK, TRANSMISSION, Ecu, make_ecus
from bridge.simulator.services import P2, SILENT_WHEN_FUNCTIONAL, Answer, Nrc
from bridge.simulator.uds import SERVICES
from bridge.simulator.vehicle import Vehicle

services = st.one_of(st.sampled_from([*SERVICES, *range(0x0B)]), st.integers(0, 255))
payloads = st.one_of(
    st.binary(max_size=16),
    st.builds(lambda sid, sub, rest: bytes((sid, sub)) + rest, services, st.integers(0, 255), st.binary(max_size=6)),
    st.sampled_from(
        [
            bytes.fromhex(text)
            for text in ("1003", "1001", "2701", "270212345678", "22fd10", "31010302", "22fd01", "1103")
        ]
    ),
)


def check(request: bytes, answers: list, functional: bool) -> None:
    *pending, final = answers
    assert all(answer.payload == bytes((0x7F, request[0], Nrc.RESPONSE_PENDING)) for answer in pending)
    delays = [answer.delay for answer in answers]
    assert delays == sorted(delays)
    assert delays[0] > 0
    assert 1 <= len(final.payload) <= PAYLOAD_LIMIT
    if final.payload[0] == 0x7F:
        assert len(final.payload) == 3
        assert final.payload[1] == request[0]
        code = Nrc(final.payload[2])
        assert code is not Nrc.RESPONSE_PENDING
        assert not (functional and code in SILENT_WHEN_FUNCTIONAL)
    else:
        assert final.payload[0] == request[0] + 0x40


@pytest.fixture(scope="module")
def vehicle() -> Vehicle:
    vehicle = Vehicle(seed=1)
    for now in range(1, 31):
        vehicle.advance(float(now))
    return vehicle


@given(
    requests=st.lists(st.tuples(payloads, st.floats(0, 6), st.booleans()), max_size=12), which=st.sampled_from([0, 1])
)
@settings(max_examples=400, deadline=None)
def test_any_requests(vehicle, requests, which):
    ecu, now = make_ecus(vehicle)[which], 30.0
    for payload, pause, functional in requests:
        now += pause
        if answers := ecu.request(payload, now, functional):
            check(payload, answers, functional)
        ecu.transmits(now)


@given(st.binary(min_size=1, max_size=PAYLOAD_LIMIT))
@settings(max_examples=50, deadline=None)
def test_long_requests(vehicle, payload):
    ecu = make_ecus(vehicle)[0]
    ecu.request(bytes.fromhex("1003"), 30.0)
    if answers := ecu.request(payload, 30.0):
        check(payload, answers, False)


def test_every_service_is_silent_or_positive_when_its_refusal_is(vehicle):
    """Every first byte, physically and functionally: the physical answer tells what the functional one must be."""
    for service in range(256):
        physical = Ecu(ENGINE, vehicle).request(bytes((service,)), 30.0)
        functional = Ecu(ENGINE, vehicle).request(bytes((service,)), 30.0, functional=True)
        silent = bool(physical) and physical[-1].payload[-1] in SILENT_WHEN_FUNCTIONAL
        assert functional == ([] if silent and physical[-1].payload[0] == 0x7F else physical)


@pytest.mark.parametrize(
    ("description", "ids"),
    [
        (ENGINE, (0x7E0, 0x7E8, 0x18DA10F1, 0x18DAF110)),
        (TRANSMISSION, (0x7E1, 0x7E9, 0x18DA18F1, 0x18DAF118)),
    ],
)
def test_addresses(description, ids):
    assert ids == (
        description.request_id,
        description.response_id,
        description.request_id_extended,
        description.response_id_extended,
    )


def test_the_ecus_know_different_things(vehicle):
    engine, transmission = make_ecus(vehicle)
    assert engine.request(bytes.fromhex("22f18c"), 30.0) != transmission.request(bytes.fromhex("22f18c"), 30.0)
    assert engine.request(bytes.fromhex("22f190"), 30.0)[0].payload == (
        transmission.request(bytes.fromhex("22f190"), 30.0)[0].payload
    )


def test_each_ecu_takes_its_time_unless_it_is_told_another(vehicle):
    def delays(latency: float | None) -> list[float]:
        requests = ("3e00", "22")  # a positive and a negative answer
        return [
            answer.delay
            for ecu in make_ecus(vehicle, latency=latency)
            for request in requests
            for answer in ecu.request(bytes.fromhex(request), 30.0)
        ]

    assert delays(None) == [ENGINE.latency] * 2 + [TRANSMISSION.latency] * 2
    assert delays(0.0) == [0.0] * 4
    assert delays(0.02) == [0.02] * 4


@pytest.mark.parametrize("latency", [0.0, 0.004])
def test_work_takes_as_long_whatever_the_latency(vehicle, latency):
    engine = make_ecus(vehicle, latency=latency)[0]
    pending, final = engine.request(bytes((0x22,)) + SLOW.to_bytes(2, "big"), 30.0)
    assert pending == Answer(latency, b"\x7f\x22\x78")
    assert final.delay == pytest.approx(latency + SLOW_WORK)


def test_an_ecu_that_is_slower_than_p2_asks_for_patience_in_time(vehicle):
    engine = make_ecus(vehicle, latency=0.2)[0]
    assert engine.request(b"\x3e\x00", 30.0) == [Answer(P2, b"\x7f\x3e\x78"), Answer(0.2, b"\x7e\x00")]
