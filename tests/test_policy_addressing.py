"""What only reads under one kind of ISO-TP addressing must not change anything under another.

ECUs on one id are modelled here, with normal addressing and with each address of extended (or
mixed) addressing. They hear every frame that channels with the right to read could put on the bus,
whatever their layouts and payloads, and say which services they were asked for.

Source: ISO 15765-2 (protocol control information; normal, extended and mixed addressing).
"""

import itertools
import random

import pytest

from bridge.policy import READING_SERVICES, BusRules, Write, WriteRefusedError, check_channel, check_payload

BUS = BusRules(1, raw_writable=True)
FLOW_CONTROL = bytes.fromhex("300000")

#: Ids that ECUs may take for requests: with normal addressing for certain, and others.
LEGISLATED = ((0x7DF, False), (0x7E0, False), (0x18DB33F1, True), (0x18DA10F1, True))
DOUBTFUL = ((0x726, False), (0x7E8, False), (0x18DA10F2, True), (0x14CD10F1, True))
#: Address bytes: all that are control information to somebody, and some that are not.
LAYOUTS = (None, *range(0x42), 0x5F, 0xF1, 0xFF)


class Ecu:
    """One receiver of an id. It is easy to please: no time-outs, no padding expected, any length of a first frame."""

    def __init__(self, address: int | None) -> None:
        self.start = 0 if address is None else 1
        self.address = b"" if address is None else bytes([address])
        self.waiting = bytearray()
        self.length = 0
        self.next = 0

    def hear(self, frame: bytes) -> int | None:
        """The service of a request that is complete now."""
        if not frame.startswith(self.address) or len(frame) <= self.start:
            return None
        kind, low, rest = frame[self.start] >> 4, frame[self.start] & 0xF, frame[self.start + 1 :]
        if kind == 0:
            self.length = 0
            return rest[0] if 0 < low <= len(rest) else None
        if kind == 1 and rest:
            self.length, self.waiting, self.next = low << 8 | rest[0], bytearray(rest[1:]), 1
        elif kind == 2 and self.length and low == self.next:
            self.waiting += rest
            self.next = (self.next + 1) % 16
        if self.length and len(self.waiting) >= self.length:
            self.length = 0
            return self.waiting[0]
        return None


def frames(payload: bytes, address: int | None, *, padded: bool = True) -> list[bytes]:
    """What a channel sends for a payload, to whom flow control answers at once."""
    head = b"" if address is None else bytes([address])
    room = 8 - len(head)
    if len(payload) < room:
        cut = [bytes([len(payload)]) + payload]
    else:
        size = 0x1000 | len(payload)
        cut = [size.to_bytes(2, "big") + payload[: room - 2]]
        rest = payload[room - 2 :]
        for number, start in enumerate(range(0, len(rest), room - 1), 1):
            cut.append(bytes([0x20 | number % 16]) + rest[start : start + room - 1])
    return [(head + one).ljust(8 if padded else 0, b"\0") for one in cut]


def may_open(identifier: int, extended: bool, address: int | None) -> bool:
    try:
        check_channel(Write.READ_DIAGNOSTIC, BUS, identifier, extended, address=address)
    except WriteRefusedError:
        return False
    return True


def may_send(identifier: int, extended: bool, address: int | None, payload: bytes) -> bool:
    try:
        check_payload(Write.READ_DIAGNOSTIC, BUS, identifier, extended, payload, address=address)
    except WriteRefusedError:
        return False
    return True


def addresses(identifier: tuple[int, bool]) -> list[int | None]:
    """Which ECUs there may be on an id."""
    return [None] if identifier in LEGISLATED else [None, *range(0x100)]


def hostile_payloads(service: int) -> list[bytes]:
    """Payloads of a service whose further bytes are requests to write, at every place and in every length's frames."""
    write = bytes.fromhex("2ef19041")
    made = [bytes([service, *write[:count]]) for count in range(5)]
    made += [bytes([service, length]) + write for length in range(8)]
    for length in (7, 8, 0x101, 0x106, 0x110, 0x121):
        made.append((bytes([service]) + write * 100)[:length])
        made.append((bytes([service, 0, 0, 0, 0, 0]) + bytes([4, *write, 0, 0]) * 100)[:length])
    return made


PAYLOADS = [hostile_payloads(service) for service in range(0x100)]


@pytest.mark.parametrize("identifier", [*LEGISLATED, *DOUBTFUL], ids=lambda one: hex(one[0]))
def test_a_channel_that_reads_has_no_ecu_do_anything_else(identifier) -> None:
    ecus = addresses(identifier)
    seen = 0
    for address in LAYOUTS:
        if not may_open(*identifier, address):
            assert not may_send(*identifier, address, b"\x3e\x80")
            continue
        for service in range(0x100):
            for payload in PAYLOADS[service]:
                if not may_send(*identifier, address, payload):
                    continue
                sent = [*frames(payload, address), (_head(address) + FLOW_CONTROL).ljust(8, b"\0")]
                for padded in (sent, [one.rstrip(b"\0") for one in sent]):
                    for first in {None, *(one[0] for one in padded if one)} & set(ecus):
                        ecu = Ecu(first)
                        done = {ecu.hear(frame) for frame in padded} - {None}
                        assert done <= READING_SERVICES, (address, payload.hex(), first)
                        seen += bool(done)
    assert seen > 20


def _head(address: int | None) -> bytes:
    return b"" if address is None else bytes([address])


@pytest.mark.parametrize("identifier", [*LEGISLATED, *DOUBTFUL], ids=lambda one: hex(one[0]))
def test_nor_do_several_channels_together(identifier) -> None:
    """Frames of many channels in any order, as many as it takes to put a long request together out of their pieces."""
    chance = random.Random(identifier[0])
    layouts = [one for one in LAYOUTS if may_open(*identifier, one)]
    ecus = {address: Ecu(address) for address in addresses(identifier)}
    heard = 0
    for _ in range(5_000):
        address = chance.choice([None, chance.choice(layouts)])
        service = chance.choice((0x22, 0x19, 0x3E, *range(1, 11)))
        length = chance.choice((1, 2, 3, 4, 5, 6, 7, *(chance.randrange(0x100, 0x130) for _ in range(7))))
        payload = bytes([service, *(chance.choice((0x2E, 0x11, 4, 0x21, 0x22, 0x10)) for _ in range(length - 1))])
        if not may_send(*identifier, address, payload):
            continue
        sent = frames(payload, address, padded=chance.random() < 0.5)
        for frame in itertools.chain(sent[: chance.randrange(1, 4)], [_head(address) + FLOW_CONTROL]):
            for one in {None, frame[0]} & ecus.keys():
                service = ecus[one].hear(frame)
                assert service is None or service in READING_SERVICES, (address, payload.hex(), one)
                heard += service is not None
    assert heard > 500


def test_what_is_meant_to_be_read_is_read() -> None:
    """The doubts cost nobody what diagnostics really ask for."""
    for identifier in LEGISLATED:
        for payload in ("01", "010c0d", "03", "0902", "22f190", "22" + "f190" * 100, "3e80", "1902ff"):
            assert may_send(*identifier, None, bytes.fromhex(payload))
    for identifier in DOUBTFUL:
        for payload in ("22f190", "22f190f18cf187", "3e00", "1902ff", "1906123456ff"):
            assert may_send(*identifier, None, bytes.fromhex(payload))
            for address in (0x40, 0xF1, 0xFF):
                assert may_send(*identifier, address, bytes.fromhex(payload))
        assert may_send(*identifier, 0x5F, bytes.fromhex("22" + "f190" * 100))


def test_no_channel_has_an_address_byte_that_is_also_control_information() -> None:
    """03 30 00 00 is flow control to the address 03, or a request to control outputs (ISO 14230-3)."""
    for identifier in DOUBTFUL:
        assert [address for address in range(0x100) if may_open(*identifier, address)] == list(range(0x40, 0x100))
