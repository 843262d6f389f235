"""The VIN, overheard and asked for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.diagnostics.events import InternalOwner, Publish
from bridge.diagnostics.vin import VinAnswer, VinReader, parse_vin

from .bench import bench, request

VIN = "1FADP3F20EL123456"
ANSWER = b"\x49\x02\x01" + VIN.encode()


class Reader:
    """A bench with the reader on it."""

    def __init__(self, **options):
        self.bench = bench(**options)
        self.reader = VinReader(self.bench.manager)
        self.answers = []

    def run(self, events):
        for event in events:
            if isinstance(event, VinAnswer):
                self.answers.append(event)
                continue
            self.bench.do([event])
            self.answers.extend(self.reader.handle(event))

    def get(self, client="app"):
        self.run(self.reader.get(client, self.bench.now))

    def receive(self, payload):
        self.run(self.bench.manager.received(self.bench.sent[-1][1], payload, self.bench.now))

    def poll_at(self, now):
        self.bench.now = now
        self.run(self.bench.manager.poll(now))

    def overhear(self, *parts):
        for part in parts:
            self.reader.frame(0x40A, bytes((0xC1, part)) + VIN.encode()[6 * part : 6 * part + 6])


def test_asks_the_engine():
    r = Reader()
    r.get()
    assert [(address.bus, address.request_id, payload) for _, address, payload in r.bench.sent] == [
        (1, 0x7E0, b"\x09\x02")
    ]
    assert r.answers == []
    r.receive(ANSWER)
    assert r.answers == [VinAnswer("app", True, VIN)]
    assert not r.bench.open


def test_times_out():
    r = Reader()
    r.get()
    r.poll_at(100.1)
    assert r.answers == [VinAnswer("app", False, "Unable to get VIN - timeout")]


def test_asks_again_each_time():
    r = Reader()
    for _ in range(2):
        r.get()
        r.receive(ANSWER)
    r.get()
    r.poll_at(101)
    assert [answer.status for answer in r.answers] == [True, True, False]


def test_clients_share_a_request():
    r = Reader()
    for client in ("a", "b", "a"):
        r.get(client)
    assert len(r.bench.sent) == 1
    r.receive(ANSWER)
    assert sorted(answer.client for answer in r.answers) == ["a", "a", "b"]


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"\x7f\x09\x12", "Unable to get VIN - negative response 0x12"),
        (b"\x49\x02", "Unable to get VIN - no VIN in the response"),
        (b"\x49\x02\x01" + b"\xff" * 17, "Unable to get VIN - no VIN in the response"),
    ],
)
def test_no_vin_in_the_answer(payload, message):
    r = Reader()
    r.get()
    r.receive(payload)
    assert r.answers == [VinAnswer("app", False, message)]


def test_failed_channel():
    r = Reader()
    r.get()
    r.run(r.bench.manager.channel_failed(r.bench.sent[0][1], "adapter gone", 100.0))
    assert r.answers == [VinAnswer("app", False, "Unable to get VIN - adapter gone")]


@pytest.mark.parametrize("options", [{"buses": (2,)}, {"requests_limit": 0}])
def test_refused(options):
    r = Reader(**options)
    r.get()
    assert [answer.status for answer in r.answers] == [False]
    assert r.answers[0].message.startswith("Unable to get VIN - ")


def test_overheard_is_answered_at_once():
    r = Reader()
    r.overhear(0, 2)
    assert r.reader.overheard is None
    r.overhear(1)
    assert r.reader.overheard == VIN
    r.get()
    assert r.answers == [VinAnswer("app", True, VIN)]
    assert r.bench.sent == []


@pytest.mark.parametrize(
    ("frame_id", "data"),
    [
        (0x40B, b"\xc1\x00XXXXXX"),
        (0x40A, b"\xc0\x00XXXXXX"),
        (0x40A, b"\xc1\x03XXXXXX"),
        (0x40A, b"\xc1\x00"),
        (0x40A, b"\xc1"),
        (0x40A, b""),
    ],
)
def test_other_frames_say_nothing(frame_id, data):
    r = Reader()
    r.overhear(0, 1, 2)
    r.reader.frame(frame_id, data)
    assert r.reader.overheard == VIN


def test_overheard_nonsense_is_not_a_vin():
    r = Reader()
    for part in range(3):
        r.reader.frame(0x40A, bytes((0xC1, part)) + b"\xff" * 6)
    assert r.reader.overheard is None
    r.get()
    assert len(r.bench.sent) == 1


def test_padding_of_the_last_part():
    r = Reader()
    r.overhear(0, 1)
    r.reader.frame(0x40A, b"\xc1\x02" + VIN[12:].encode() + b"\0")
    assert r.reader.overheard == VIN


def test_clients_that_leave():
    r = Reader()
    r.get("a")
    r.get("b")
    r.run(r.reader.forget("a", 100.0))
    assert len(r.bench.manager) == 1
    r.run(r.reader.forget("b", 100.0))
    assert len(r.bench.manager) == 0
    r.run(r.reader.forget("b", 100.0))
    r.get("c")
    r.receive(ANSWER)
    assert r.answers == [VinAnswer("c", True, VIN)]


def test_other_owners_are_not_its_business():
    r = Reader()
    r.bench.add(request(mode=9, pid=2))
    r.get()
    r.receive(ANSWER)
    assert r.answers == []
    r.receive(ANSWER)
    assert r.answers == [VinAnswer("app", True, VIN)]
    owners = [event.owner for event in r.bench.published if isinstance(event, Publish)]
    assert owners == ["app", InternalOwner.VIN]


@pytest.mark.parametrize(
    ("payload", "vin"),
    [
        (b"\x01" + VIN.encode(), VIN),
        (VIN.encode(), VIN),
        (b"\x01\0\0\0" + VIN.encode(), VIN),
        (b"\x01" + VIN.encode() + b"\0\0", VIN),
        (b"\x01" + b"\0" * 5 + b"ZVW30-123456", "ZVW30-123456"),
        (b"\x01" + b"A" * 18, None),
        (b"\x01" + b"\0" * 17, None),
        (b"\x01" + b"A\nB", None),
        (b"", None),
    ],
)
def test_parse(payload, vin):
    assert parse_vin(payload) == vin


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_any_payload_is_a_vin_or_none(payload):
    vin = parse_vin(payload)
    assert vin is None or (1 <= len(vin) <= 17 and vin.isascii() and vin.isprintable())
