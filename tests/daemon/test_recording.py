"""A real car's recording through the daemon: every app gets every record, and each is what cantools says."""

import asyncio
import math
import re
from collections import Counter

import cantools
import pytest

from bridge.openxc.messages import CanMessage, CommandResponse, PassthroughCommand, PayloadFormat, SimpleMessage

from .harness import App, connect

FRAMES = 6158
KNOWN_FRAMES = 1249


class Drive:
    """What the recording says, computed without any code of the bridge."""

    def __init__(self, log, dbc):
        database = cantools.database.load_file(dbc)
        uses = Counter(signal.name for message in database.messages for signal in message.signals)
        known = {message.frame_id: message for message in database.messages}
        self.frames = []  # id, data
        self.signals = []  # of each frame: (name, value) in the order of publishing
        for line in log.read_text().splitlines():
            identifier, data = re.fullmatch(r"\(\d+\.\d+\) \w+ ([0-9A-F]+)#([0-9A-F]*)", line.strip()).groups()
            frame = int(identifier, 16), bytes.fromhex(data)
            self.frames.append(frame)
            message = known.get(frame[0])
            if message is None:
                self.signals.append([])
                continue
            values = message.decode(frame[1], decode_choices=True)
            named = {
                (name if uses[name] == 1 else f"{message.name}.{name}"): value
                if isinstance(value, int | float)
                else str(value)
                for name, value in values.items()
            }
            self.signals.append(sorted(named.items()))

    def records(self, *, raw):
        """(kind, content) of every record in its order."""
        for frame, signals in zip(self.frames, self.signals, strict=True):
            yield from (("signal", signal) for signal in signals)
            if raw:
                yield "raw", frame


@pytest.fixture(scope="module")
def said(drive):
    return Drive(*drive)


def bus_of(drive):
    return f"replay:{drive[0]}?speed=max&wait"


def same(record, kind, content):
    """Whether a record is what the recording says there."""
    if kind == "raw":
        return isinstance(record, CanMessage) and (record.bus, record.id, record.data) == (1, *content)
    name, value = content
    if not isinstance(record, SimpleMessage) or record.name != name or record.event is not None:
        return False
    if isinstance(value, str) or isinstance(record.value, str | bool):
        return record.value == value
    # The bridge's numbers are the exact decimals, cantools computes in doubles.
    return math.isclose(record.value, value, rel_tol=1e-12, abs_tol=1e-12)


async def check(app, said, *, raw=False):
    """The app gets the whole recording and nothing else."""
    expected = list(said.records(raw=raw))
    records = await app.records(len(expected))
    for number, (record, wanted) in enumerate(zip(records, expected, strict=True)):
        assert same(record, *wanted), f"record {number}: {record} where {wanted} should be"
    assert isinstance(await app.ask("version"), CommandResponse)
    assert not app.waiting
    assert app.decoder.invalid == 0


def test_the_recording_is_the_one_that_is_meant(said):
    assert len(said.frames) == FRAMES
    assert sum(1 for signals in said.signals if signals) == KNOWN_FRAMES


async def test_one_app_gets_every_signal(start, drive, said):
    daemon = start("--dbc", drive[1], "--bus", bus_of(drive))
    async with await App.connect(daemon.url) as app:
        await check(app, said)


async def test_apps_get_every_signal_side_by_side_in_their_own_formats(start, drive, said):
    protobuf = "tcp://127.0.0.1:0?payload-format=protobuf"
    daemon = start("--dbc", drive[1], "--bus", bus_of(drive), "--listen", "tcp://127.0.0.1:0", "--listen", protobuf)
    formats = [PayloadFormat.JSON] * 4 + [PayloadFormat.PROTOBUF]
    with daemon.halted():
        sockets = [connect(daemon.urls[payload_format is PayloadFormat.PROTOBUF]) for payload_format in formats]
    apps = [await App.adopt(sock, name) for sock, name in zip(sockets, formats, strict=True)]
    await asyncio.gather(*(check(app, said) for app in apps))
    await asyncio.gather(*(app.close() for app in apps))


async def test_every_raw_frame_with_passthrough_in_the_configuration(start, drive, said, tmp_path):
    file = tmp_path / "car.toml"
    file.write_text(
        f'dbc = "{drive[1]}"\n[[bus]]\nspec = "{bus_of(drive)}"\npassthrough = true\n'
        '[[listen]]\nurl = "tcp://127.0.0.1:0"\n'
    )
    daemon = start("-f", file)
    assert "raw frames on" in daemon.printed
    async with await App.connect(daemon.url) as app:
        await check(app, said, raw=True)


async def test_an_app_that_asks_for_raw_frames_as_it_connects_misses_none(start, drive, said):
    daemon = start("--dbc", drive[1], "--bus", bus_of(drive))
    sock = connect(daemon.url)
    sock.sendall(b'{"command":"passthrough","bus":1,"enabled":true}\0')
    async with await App.adopt(sock) as app:
        assert await app.answer() == CommandResponse(command_response="passthrough", status=True)
        await check(app, said, raw=True)
        assert (await app.ask(PassthroughCommand(name="passthrough", bus=1, enabled=False))).status


async def test_an_app_has_time_for_more_than_one_command_before_the_recording_begins(start_inside, join, drive, said):
    bridge = await start_inside(dbc=str(drive[1]), bus=[{"spec": bus_of(drive)}])
    app = await join(bridge.listeners[0].url)
    for command in ("version", "device_id", "platform"):
        assert (await app.ask(command)).status
    assert (await app.ask(PassthroughCommand(name="passthrough", bus=1, enabled=True))).status
    await check(app, said, raw=True)


async def test_the_passthrough_profile_with_a_database(start, drive, said):
    daemon = start("--profile", "passthrough", "--dbc", drive[1], "--bus", bus_of(drive))
    async with await App.connect(daemon.url) as app:
        await check(app, said, raw=True)
