"""Writing is a permission: what each listener grants against what each bus allows, seen on the bus."""

import itertools
import random
import re
import time

import pytest
from msgspec.structs import replace

from bridge import config
from bridge.app import Bridge
from bridge.buses.virtual import VirtualBus
from bridge.limits import LOG_ONCE_PERIOD
from bridge.openxc.messages import (
    CanMessage,
    CommandResponse,
    DiagnosticAction,
    DiagnosticCommand,
    DiagnosticRequest,
    FrameFormat,
    PredefinedObd2Command,
    SimpleMessage,
)

from .harness import App

MARKER = 0x6FF  #: the id of frames that tests send last
PROFILE_REQUEST = 0x7E5  #: where the functional profile itself sends requests
OPEN, CLOSED = 1, 2  #: buses: raw_writable or not


def request(identifier, mode, pid=None, *, bus, payload=b""):
    return DiagnosticCommand(
        name="diagnostic_request",
        action=DiagnosticAction.ADD,
        request=DiagnosticRequest(bus=bus, id=identifier, mode=mode, pid=pid, payload=payload),
    )


#: What one may try to write, without a bus: kind -> (message, (id, data) on the bus).
WRITES = {
    "raw": (CanMessage(id=0x123, data=bytes.fromhex("c0ffee")), (0x123, "c0ffee")),
    "raw diagnostic": (CanMessage(id=0x7E0, data=bytes.fromhex("02010c")), (0x7E0, "02010c")),
    "reading": (request(0x7E0, 0x22, 0xF190, bus=None), (0x7E0, "0322f19000000000")),
    "changing": (request(0x7E0, 0x11, bus=None, payload=b"\1"), (0x7E0, "0211010000000000")),
    "reading nobody": (request(0x0C0, 0x22, 0xF190, bus=None), (0x0C0, "0322f19000000000")),
}

#: Which of them pass on a bus that is raw_writable, by the words of --allow-write.
PASSES = {
    "none": [],
    "signals": ["signal"],
    "read-diagnostics": ["reading"],
    "diagnostics": ["reading", "changing", "reading nobody"],
    "raw": ["raw"],
    "all": ["signal", "raw", "raw diagnostic", "reading", "changing", "reading nobody"],
    "signals,raw": ["signal", "raw"],
    "raw,read-diagnostics": ["raw", "raw diagnostic", "reading"],
}


@pytest.fixture(scope="module")
def daemon(start_shared, tmp_path_factory):
    """A listener per kind of grant: half of them say it in the URL, the others in the configuration."""
    file = tmp_path_factory.mktemp("writing") / "bridge.toml"
    text = (
        'profile = "functional"\n[[bus]]\nspec = "virtual"\n'
        '[[bus]]\nspec = "virtual"\nraw_writable = false\nbypass_filter = true\n'
    )
    for number, words in enumerate(PASSES):
        if number % 2:
            text += f'[[listen]]\nurl = "tcp://127.0.0.1:0?allow-write={words}"\n'
        else:
            text += f'[[listen]]\nurl = "tcp://127.0.0.1:0"\nallow_write = "{words}"\n'
    file.write_text(text)
    daemon = start_shared("-f", file)
    daemon.url_of = dict(zip(PASSES, daemon.urls, strict=True))
    return daemon


class Observer:
    """An app that may write everything, and sees what reaches the buses."""

    def __init__(self, app):
        self.app = app
        self._markers = itertools.count()

    async def seen(self):
        """(bus, id, data) of all frames on the buses up to now."""
        data = next(self._markers).to_bytes(4, "big")
        self.app.send(CanMessage(bus=OPEN, id=MARKER, data=data))
        records = await self.app.until(
            lambda record: isinstance(record, CanMessage) and (record.id, record.data) == (MARKER, data)
        )
        return [
            (record.bus, record.id, record.data.hex())
            for record in records[:-1]
            if isinstance(record, CanMessage) and record.id != PROFILE_REQUEST
        ]


@pytest.fixture
async def observer(daemon, join):
    observer = Observer(await join(daemon.url_of["all"]))
    assert (await observer.app.ask("version")).status
    return observer


async def attempt(app, message):
    """Write, and wait until the bridge has dealt with it; the answer of a command."""
    app.send(message)
    answer = await app.answer() if isinstance(message, DiagnosticCommand) else None
    assert (await app.ask("version")).status
    return answer


@pytest.mark.parametrize("words", PASSES)
@pytest.mark.parametrize("bus", [OPEN, CLOSED])
@pytest.mark.parametrize("kind", WRITES)
async def test_each_kind_of_write_against_each_grant_and_bus(daemon, join, observer, words, bus, kind):
    message, frame = WRITES[kind]
    if isinstance(message, DiagnosticCommand):
        message = replace(message, request=replace(message.request, bus=bus))
    else:
        message = replace(message, bus=bus)
    passes = kind in PASSES[words] and bus == OPEN
    answer = await attempt(await join(daemon.url_of[words]), message)
    assert await observer.seen() == ([(bus, *frame)] if passes else [])
    if answer is not None:
        assert answer.status is passes
        assert ("--allow-write" in answer.message or "raw_writable" in answer.message) is not passes


@pytest.mark.parametrize("words", PASSES)
async def test_signals_need_their_grant_and_to_be_writable(daemon, join, observer, words):
    app = await join(daemon.url_of[words])
    await attempt(app, SimpleMessage(name="writable_number", value=100))
    await attempt(app, SimpleMessage(name="signal1", value=1))  # not writable
    await attempt(app, SimpleMessage(name="no_such_signal", value=1))
    # (100 + 100) / 0.5 = 400
    expected = [(OPEN, 0x50, "0190000000000000")] if "signal" in PASSES[words] else []
    assert await observer.seen() == expected


async def test_a_signal_write_comes_back_as_the_signal(observer):
    observer.app.send(SimpleMessage(name="writable_state", value="run"))
    await observer.app.find(lambda record: record == SimpleMessage(name="writable_state", value="run"))


@pytest.mark.parametrize("words", ["none", "raw", "signals"])
async def test_commands_that_make_requests_need_to_read(daemon, join, observer, words):
    app = await join(daemon.url_of[words])
    for command in ("get_vin", PredefinedObd2Command(name="predefined_obd2", enabled=True)):
        answer = await app.ask(command)
        assert not answer.status
        assert "--allow-write read-diagnostics" in answer.message
    assert await observer.seen() == []


# Nothing gets past

SMUGGLED = {
    "a reset": (0x7E0, "0211010000000000", False),
    "a session": (0x7E0, "0210030000000000", False),
    "a write": (0x7E0, "052ef1900102", False),
    "the first frame of a write": (0x7E0, "10142ef190010203", False),
    "the first frame of a download": (0x7E3, "100b340044000000", False),
    "a first frame with a 32-bit length": (0x7E0, "1000000010002e01", False),
    "a consecutive frame": (0x7E0, "2101020304050607", False),
    "flow control": (0x7E0, "3000000000000000", False),
    "to all": (0x7DF, "0210020000000000", False),
    "to a maker's own id": (0x726, "0211010000000000", False),
    "to an ECU's response id": (0x7E8, "0211010000000000", False),
    "extended addressing, maybe": (0x726, "04032ef190000000", False),
    "29 bits": (0x18DA10F1, "0211010000000000", True),
    "29 bits, another priority": (0x0CDA10F1, "0211010000000000", True),
    "29 bits to all": (0x18DB33F1, "0210020000000000", True),
    "29 bits, mixed addressing": (0x18CE10F1, "0211010000000000", True),
    "no length": (0x7E0, "0000000000000000", False),
    "nothing": (0x7E0, "", False),
}


@pytest.mark.parametrize(("identifier", "data", "extended"), SMUGGLED.values(), ids=SMUGGLED)
async def test_no_raw_frame_smuggles_a_request(daemon, join, observer, identifier, data, extended):
    """The app may write raw frames and read, but not change."""
    frame_format = FrameFormat.EXTENDED if extended else None
    app = await join(daemon.url_of["raw,read-diagnostics"])
    frame = CanMessage(bus=OPEN, id=identifier, data=bytes.fromhex(data), frame_format=frame_format)
    await attempt(app, frame)
    assert await observer.seen() == []
    observer.app.send(frame)  # as a check of the check: it does come back where it is allowed
    assert await observer.seen() == [(OPEN, identifier, data)]


class Spy:
    """The listener of another end of a virtual bus: all that reaches the bus, but for the profile's own request."""

    def __init__(self):
        self.frames = []

    def frames_received(self, bus, batch):
        own = PROFILE_REQUEST, b"\x03\x22\x00\x2a"
        self.frames += [frame for frame in batch if (frame.id, frame.data[:4]) != own]

    def bus_state_changed(self, bus, state, reason):
        pass


async def spied(bridge):
    """Watch a bridge's first bus from its other end."""
    spy = Spy()
    await VirtualBus(1, "spy", bridge.buses[1]._segment).open(spy)
    return spy


async def test_by_default_nothing_but_reading_reaches_any_id(start_inside, join):
    """The whole standard id space and a sample of the extended one, every service, every kind of write."""
    bridge = await start_inside(profile="functional", bus=[{"spec": "virtual"}], allow_write="read-diagnostics")
    spy = await spied(bridge)
    app = await join(bridge.listeners[0].url)
    chance = random.Random(7)
    extended = [chance.randrange(0x800, 1 << 29) for _ in range(1500)]
    extended += [0x18DA00F1 | ecu << 8 for ecu in range(256)] + [0x18DB33F1]
    changing = [service for service in range(1, 256) if service not in {*range(1, 11), 0x19, 0x22, 0x3E}]
    refused = 0
    for identifier in [*range(0x800), *extended]:
        for data in ("0211010000000000", "0322f19000000000"):
            app.send(CanMessage(bus=1, id=identifier, data=bytes.fromhex(data)))
        app.send(request(identifier, chance.choice(changing), bus=1))
        refused += 1
    for service in changing:
        app.send(request(0x7E0, service, bus=1))
        refused += 1
    signals = {"writable_number": 1, "writable_state": "run", "signal1": 1, "turn_signal_status": "left", "none": 1}
    for name, value in signals.items():
        app.send(SimpleMessage(name=name, value=value))
    for _ in range(refused):
        answer = await app.answer()
        assert not answer.status
        assert "--allow-write" in answer.message
    assert (await app.ask("version")).status
    assert spy.frames == []
    assert bridge.interface.writes_refused == refused + 2 * (0x800 + len(extended)) + len(signals)

    # Reading does reach it, only on ids of diagnostics, and where it cannot be taken for anything else.
    reads = [*range(0x6F0, 0x7F8), 0x18DA10F1, 0x18DB33F1]
    legislated = {0x7DF, *range(0x7E0, 0x7E8), 0x18DA10F1, 0x18DB33F1}
    diagnostic = {identifier for identifier in reads if identifier >= 0x700}
    for identifier in reads:
        assert (await app.ask(request(identifier, 0x01, 0x0C, bus=1))).status is (identifier in legislated)
        assert (await app.ask(request(identifier, 0x22, 0xF190, bus=1))).status is (identifier in diagnostic)
    assert (await app.ask("version")).status
    sent = {(frame.id, frame.data.rstrip(b"\0")) for frame in spy.frames}
    assert sent <= {(identifier, b"\x02\x01\x0c") for identifier in legislated} | {
        (identifier, b"\x03\x22\xf1\x90") for identifier in diagnostic
    }
    assert {data for _, data in sent} == {b"\x02\x01\x0c", b"\x03\x22\xf1\x90"}


async def test_a_bus_that_is_not_raw_writable_takes_only_writable_signals(start_inside, join):
    bridge = await start_inside(
        profile="functional", bus=[{"spec": "virtual", "raw_writable": False}], allow_write="all"
    )
    spy = await spied(bridge)
    app = await join(bridge.listeners[0].url)
    for identifier in range(0x800):
        app.send(CanMessage(bus=1, id=identifier, data=bytes.fromhex("02010c0000000000")))
        app.send(request(identifier, 0x01, 0x0C, bus=1))
    for _ in range(0x800):
        assert "raw_writable" in (await app.answer()).message
    app.send(SimpleMessage(name="signal1", value=1))
    await attempt(app, SimpleMessage(name="writable_number", value=0))
    assert [(frame.id, frame.data.hex()) for frame in spy.frames] == [(0x50, "00c8000000000000")]


# Defaults, and what is said about refusals


async def test_a_recording_may_only_be_read(start, join, tmp_path):
    log = tmp_path / "short.log"
    log.write_text("(1.0) can0 0A0#00\n")
    daemon = start("--profile", "functional", "--bus", f"replay:{log}?wait")
    assert "may write: read-diagnostics" in daemon.printed
    app = await join(daemon.url)
    assert (await app.ask(request(0x7E0, 0x22, 0xF190, bus=1))).status
    for refused in (request(0x7E0, 0x11, bus=1), request(0x123, 0x22, bus=1)):
        answer = await app.ask(refused)
        assert not answer.status
        assert "--allow-write diagnostics" in answer.message
    app.send(SimpleMessage(name="writable_number", value=1))
    assert (await app.ask("version")).status
    assert "write refused" in daemon.errors


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        (["simulated"], "all"),
        (["virtual"], "all"),
        (["simulated", "virtual"], "all"),
        (["simulated", "replay:nowhere.log"], "read-diagnostics"),
        (["udp_multicast:239.0.0.1"], "read-diagnostics"),
        (["virtual", "socketcan:can0"], "read-diagnostics"),
    ],
)
async def test_defaults_by_bus(specs, words):
    settings = config.load(flags={"bus": [{"spec": spec} for spec in specs]})
    assert f"may write: {words}\n" in Bridge(settings).describe()


async def test_a_flood_of_refused_writes_is_logged_once_a_second(start, join):
    daemon = start("--profile", "functional", "--allow-write", "none")
    app = await join(daemon.url)
    app.send(CanMessage(id=0x123, data=b"\1"))
    assert (await app.ask("version")).status  # the first is logged at once
    assert daemon.errors.count("write refused") == 1
    began = time.monotonic()
    sent = 0
    lines = []
    while len(lines) < 2:
        app.send(*[CanMessage(id=0x123, data=b"\1")] * 50)
        sent += 50
        assert (await app.ask("version")).status
        lines = re.findall(r".*write refused.*", daemon.errors)
    seconds = time.monotonic() - began
    assert seconds >= LOG_ONCE_PERIOD - 0.1
    silent = int(re.search(r"\((\d+) more of the kind before\)", lines[1])[1])
    assert sent - 50 <= silent < sent
    assert "--allow-write raw" in lines[1]


async def test_an_app_hears_why_its_command_is_refused(daemon):
    async with await App.connect(daemon.url_of["signals"]) as app:
        answer = await app.ask(request(0x7E0, 0x22, 0xF190, bus=1))
        assert answer == CommandResponse(
            command_response="diagnostic_request",
            status=False,
            message="this listener does not allow it; the bridge needs --allow-write read-diagnostics",
        )
