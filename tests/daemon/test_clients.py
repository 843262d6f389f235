"""Many apps at once: each gets its own answers and all of the data, and none can harm another."""

import asyncio
import gc
import socket
import time

import pytest

from bridge.buses.virtual import VirtualBus
from bridge.clients.client import Client
from bridge.frames import Frame, FrameBatch
from bridge.interface import Peer
from bridge.limits import CLIENT_QUEUE_LIMIT
from bridge.openxc import json_format
from bridge.openxc.messages import (
    CanMessage,
    CommandResponse,
    DiagnosticAction,
    DiagnosticCommand,
    DiagnosticRequest,
    PayloadFormat,
    PayloadFormatCommand,
    SimpleCommand,
    SimpleMessage,
)
from bridge.openxc.protobuf_wire import BETWEEN_FORMATS
from tests.descriptors import descriptors

from .harness import SOON, connect, counted, leave_in_anger

MEGABYTE = 1024 * 1024


def counter(record):
    return isinstance(record, SimpleMessage) and record.name == "counter"


class Silent:
    """The listener of a bus of which only sending is of interest."""

    def frames_received(self, bus, batch):
        pass

    def bus_state_changed(self, bus, state, reason):
        pass


async def beside(bridge, number=1):
    """Another end of one of the bridge's virtual buses."""
    bus = VirtualBus(1, "beside", bridge.buses[number]._segment)
    await bus.open(Silent())
    return bus


# Many at once


async def read_exactly(app, size):
    """So many bytes, undecoded."""
    async with asyncio.timeout(3 * SOON):
        return await app.reader.readexactly(size)


async def lost_records(daemon, app):
    """How many apps that have gone lost records, once the log says that one did."""
    async with asyncio.timeout(SOON):
        while not (count := daemon.errors.count("records lost because it did not read")):
            assert (await app.ask("version")).status
    return count


async def test_a_hundred_apps_of_which_one_never_reads(start, tmp_path, join):
    recording = counted(tmp_path, 20_000)
    file = tmp_path / "bridge.toml"
    unix = tmp_path / "socket"
    file.write_text(
        f'profile = "{recording.profile}"\n[[bus]]\nspec = "replay:{recording.log}?speed=max&wait"\n'
        f'[[listen]]\nurl = "tcp://127.0.0.1:0"\n[[listen]]\nurl = "unix:{unix}"\n'
        "[limits]\nclient_queue = 65536\n"
    )
    daemon = start("-f", file)
    with daemon.halted():  # so that all of them are there from the first frame on
        stuck = connect(daemon.urls[1])
        sockets = [connect(daemon.urls[number % 2]) for number in range(99)]
    apps = [await join(sock) for sock in sockets]
    expected = recording.expected()
    received = await asyncio.gather(*(read_exactly(app, len(expected)) for app in apps))
    assert all(data == expected for data in received)
    stuck.close()
    assert await lost_records(daemon, apps[0]) == 1
    assert "does not read fast enough" in daemon.errors


async def test_a_recording_at_full_speed_waits_for_a_slow_app(start, join, tmp_path):
    recording = counted(tmp_path, 40_000)
    file = tmp_path / "bridge.toml"
    file.write_text(
        f'profile = "{recording.profile}"\n[[bus]]\nspec = "replay:{recording.log}?speed=max&wait"\n'
        f'[[listen]]\nurl = "unix:{tmp_path}/socket"\n[limits]\nclient_queue = 65536\n'
    )
    app = await join(start("-f", file).url)
    expected = recording.expected()
    received = bytearray()
    while len(received) < len(expected):
        received += await read_exactly(app, min(8192, len(expected) - len(received)))
        await asyncio.sleep(0.003)  # its own work
    assert received == expected


async def test_a_live_bus_waits_for_nobody_and_everybody_gets_it(start, join, tmp_path):
    """Frames that one app writes come back to all, as fast as they come; one of these never reads."""
    unix = f"unix:{tmp_path}/socket"
    daemon = start("--profile", "functional", "--listen", "tcp://127.0.0.1:0", "--listen", unix)
    stuck = connect(unix)
    apps = [await join(daemon.url) for _ in range(10)]
    for app in apps:
        assert (await app.ask("version")).status
    count = 40_000
    frames = b"".join(b'{"bus":1,"id":291,"data":"0x%016x"}\0' % number for number in range(count))

    async def read_frames(app):
        data, last = bytearray(), b'"0x%016x"}\0' % (count - 1)
        while last not in data[-100:]:
            piece = await app.reader.read(1 << 18)
            assert piece
            data += piece
        return b"".join(record + b"\0" for record in data.split(b"\0") if b'"id":291,' in record)

    apps[0].send(frames)
    async with asyncio.timeout(3 * SOON):
        received = await asyncio.gather(*map(read_frames, apps))
    assert all(data == frames for data in received)
    stuck.close()
    assert await lost_records(daemon, apps[0]) == 1


async def test_memory_is_bounded_whatever_is_not_read(start, tmp_path, join):
    recording = counted(tmp_path, 5000)
    daemon = start("--profile", recording.profile, "--bus", f"replay:{recording.log}?speed=max&wait&loop")
    stuck_count = 20
    with daemon.halted():
        stuck = [connect(daemon.url, receive_buffer=4096) for _ in range(stuck_count)]
        app = await join(connect(daemon.url))
    one_pass = recording.expected()

    async def passes(count):
        for _ in range(count):
            assert await read_exactly(app, len(one_pass)) == one_pass

    before = daemon.memory
    # Past this, the sockets' buffers are full, and so are the queues.
    await passes(1 + 6 * MEGABYTE // len(one_pass))
    filled = daemon.memory
    await passes(1 + 6 * MEGABYTE // len(one_pass))
    assert daemon.memory - filled < 2 * MEGABYTE
    assert filled - before < stuck_count * CLIENT_QUEUE_LIMIT + 16 * MEGABYTE
    for sock in stuck:
        sock.close()


# Coming and going


def alive(kind):
    gc.collect()
    return sum(1 for thing in gc.get_objects() if type(thing) is kind)


async def settled(condition):
    """Give the loop turns until something holds."""
    async with asyncio.timeout(SOON):
        while not condition():  # noqa: ASYNC110 - nothing tells when
            await asyncio.sleep(0)


RECURRING = DiagnosticCommand(
    name="diagnostic_request",
    action=DiagnosticAction.ADD,
    request=DiagnosticRequest(id=0x7E0, mode=1, pid=0x0C, frequency=10.0),
)


def requests_of_apps(bridge):
    """Those that the profile does not make itself."""
    return [(owner, request) for owner, request in bridge.interface._manager.requests() if owner is not None]


async def test_apps_that_come_and_go_leave_nothing_behind(start_inside, join):
    bridge = await start_inside(bus=[{"spec": "simulated", "passthrough": True, "bypass_filter": True}])
    url = bridge.listeners[0].url
    vehicle = await beside(bridge)
    standing = await join(url)
    assert (await standing.ask("version")).status
    profile_channels = set(bridge._channels)

    async def visit(number):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        request = DiagnosticRequest(id=0x600 + number % 64, mode=0x22, pid=number // 64, frequency=10.0)
        if number % 4 == 0:
            command = DiagnosticCommand(name="diagnostic_request", action=DiagnosticAction.ADD, request=request)
            writer.write(json_format.encode(command))
        elif number % 4 == 1:
            writer.write(b'{"command":"version"}\0{"half a reco')
        elif number % 4 == 2:
            writer.write(b'{"command":"payload_format","format":"protobuf"}\0')
        if number % 4 < 3:
            async with asyncio.timeout(SOON):
                await reader.readuntil(b'"status":true}\0')
        sock = writer.get_extra_info("socket")
        if number % 8 < 4:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()
        await asyncio.sleep(0)

    async def visits(numbers):
        for start in range(0, len(numbers), 50):
            await asyncio.gather(*map(visit, numbers[start : start + 50]))
            vehicle.send(FrameBatch.of([Frame(id=0x6AA, data=start.to_bytes(4, "big"))]))
        await settled(lambda: not requests_of_apps(bridge) and len(bridge._hub) == 1)

    await visits(range(100))  # whatever is made once is made now
    tasks, files = len(asyncio.all_tasks()), descriptors()
    await visits(range(100, 1100))

    await settled(lambda: len(asyncio.all_tasks()) <= tasks)
    assert descriptors() == files
    await settled(lambda: (alive(Client), alive(Peer)) == (1, 1))
    assert len(bridge._apps) == len(bridge._by_peer) == len(bridge.listeners[0].clients) == 1
    assert set(bridge._channels) == bridge.interface._open == profile_channels

    seen = []
    async with asyncio.timeout(SOON):
        while len(seen) < 22:
            record = await standing.record()
            if isinstance(record, CanMessage) and record.id == 0x6AA:
                seen.append(int.from_bytes(record.data, "big"))
    assert seen == [*range(0, 100, 50), *range(0, 1000, 50)]
    await standing.close()
    await vehicle.close()


async def test_a_request_ends_with_the_app_that_made_it_and_no_other(start_inside, join):
    bridge = await start_inside(bus=[{"spec": "simulated"}])
    url = bridge.listeners[0].url
    one, other = await join(url), await join(url)
    assert (await one.ask(RECURRING)).status
    assert (await other.request(0x7E0, 1, 0x0D, frequency=10.0)).status
    await one.close()
    await settled(lambda: len(bridge._hub) == 1)
    ((owner, request),) = requests_of_apps(bridge)
    assert owner is next(iter(bridge._by_peer))
    assert request.pid == 0x0D
    await other.find(lambda record: getattr(record, "pid", None) == 0x0D)
    await other.close()
    await settled(lambda: not requests_of_apps(bridge))


# Answers


@pytest.fixture(scope="module")
def functional(start_shared):
    """A daemon whose bus gives back what is written."""
    return start_shared("--profile", "functional")


async def test_an_answer_goes_to_the_app_that_asked(functional, join):
    one, other = await join(functional.url), await join(functional.url)
    assert (await one.ask("version")).command_response == "version"
    answer = await other.ask("platform")
    assert answer.command_response == "platform"
    assert (await one.ask("device_id")).command_response == "device_id"


async def test_data_goes_to_all(functional, join):
    frame = CanMessage(bus=1, id=0x123, data=bytes.fromhex("0badcafe"))
    one, other = await join(functional.url), await join(functional.url)
    await asyncio.gather(one.ask("version"), other.ask("version"))
    one.send(frame)
    for app in (one, other):
        await app.find(lambda record: record == frame)


async def test_each_app_has_its_own_payload_format_from_its_first_bytes_on(functional, join):
    frame = CanMessage(bus=1, id=0x124, data=b"\1\2\3")
    one = await join(functional.url, PayloadFormat.JSON)
    other = await join(functional.url, PayloadFormat.PROTOBUF)
    for app in (one, other):
        answer = await app.ask("version")
        assert answer.status and "functional_tests" in answer.message
    other.send(frame)
    for app in (one, other):
        await app.find(lambda record: record == frame)
        assert app.decoder.invalid == 0


async def test_an_app_that_turns_out_to_want_protobuf_gets_empty_records_in_between(start, join):
    """openxc-python throws away what follows the JSON that it has read already."""
    daemon = start("--bus", "virtual")
    app = await join(daemon.url, PayloadFormat.PROTOBUF)
    app.send(SimpleCommand(name="version"))
    data = b""
    while not data.strip(b"\0"):
        data += await app.read()
    assert data.startswith(BETWEEN_FORMATS)
    assert (await app.answer()).status
    assert app.decoder.invalid == 0
    app.send(SimpleCommand(name="version"))
    assert (await app.read())[0] != 0


async def test_payload_formats_switch_between_two_records(start, tmp_path, join):
    """What came before the answer is in the old format, what comes after in the new, and nothing is lost."""
    recording = counted(tmp_path, 2000)
    daemon = start("--profile", recording.profile, "--bus", f"replay:{recording.log}?wait&loop")
    app = await join(daemon.url)
    numbers = [record.value for record in await app.records(100)]
    for payload_format in [PayloadFormat.PROTOBUF, PayloadFormat.JSON] * 5:
        app.send(PayloadFormatCommand(name="payload_format", format=payload_format))
        records = await app.until(lambda record: isinstance(record, CommandResponse))
        assert records[-1] == CommandResponse(command_response="payload_format", status=True)
        app.payload_format = payload_format
        numbers += [record.value for record in records[:-1]]
        numbers += [record.value for record in await app.records(100)]
        assert app.decoder.payload_format is payload_format
    assert app.decoder.invalid == 0
    assert numbers == [number % recording.frames for number in range(len(numbers))]


async def test_answers_come_in_time_under_load(start, tmp_path, join):
    recording = counted(tmp_path, 5000)
    daemon = start("--profile", recording.profile, "--bus", f"replay:{recording.log}?speed=max&wait&loop")
    apps = [await join(daemon.url) for _ in range(10)]

    async def keep_reading(app):
        while await app.reader.read(1 << 18):
            pass

    readers = [asyncio.create_task(keep_reading(app)) for app in apps[1:]]
    slowest = 0.0
    for _ in range(50):
        began = time.monotonic()
        apps[0].send(b'{"command":"version"}\0')
        tail = b""
        while b'"command_response":"version"' not in tail:
            tail = tail[-100:] + await apps[0].reader.read(1 << 18)
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 0.5
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)


async def test_an_app_too_many_is_turned_away_and_harms_nobody(start_inside, join):
    bridge = await start_inside(bus=[{"spec": "virtual"}], limits={"clients": 3})
    apps = [await join(bridge.listeners[0].url) for _ in range(3)]
    for app in apps:
        assert (await app.ask("version")).status
    late = await join(bridge.listeners[0].url)
    assert await late.to_the_end() == []
    assert (await apps[0].ask("version")).status
    await apps.pop().close()
    await settled(lambda: len(bridge._hub) == 2)
    apps.append(await join(bridge.listeners[0].url))
    assert (await apps[-1].ask("version")).status


async def test_an_app_that_resets_its_connection_is_gone(functional, join):
    sock = connect(functional.url)
    sock.sendall(b'{"command":"version"}\0')
    leave_in_anger(sock)
    app = await join(functional.url)
    assert (await app.ask("version")).status
