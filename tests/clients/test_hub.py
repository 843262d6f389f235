"""The hub: one object for all clients, one write per client and turn, and nobody who holds up others for ever."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from bridge.clients.hub import FLUSH_DELAY_LIMIT, FLUSH_SIZE, Hub
from bridge.clients.listener import ClientPlaces
from bridge.clients.unix import UnixListener
from bridge.limits import CLIENT_QUEUE_LIMIT, CLIENT_STALL_TIMEOUT, READ_PERIOD, TRANSPORT_BUFFER_LIMIT
from bridge.openxc.messages import PayloadFormat
from tests.descriptors import descriptors

JSON = PayloadFormat.JSON
PROTOBUF = PayloadFormat.PROTOBUF
SOON = 20.0
CHUNK = b"x" * 40_000


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
async def hub(clock):
    return Hub(clock=clock, call_later=clock.call_later)


async def test_formats_are_those_that_somebody_listens_in(hub, new_client):
    assert hub.formats == frozenset()
    first, _ = new_client()
    second, _ = new_client(payload_format=PROTOBUF)
    hub.add(first)
    assert hub.formats == {JSON}
    hub.add(second)
    assert hub.formats == {JSON, PROTOBUF}
    hub.set_format(first, PROTOBUF)
    assert hub.formats == {PROTOBUF}
    hub.remove(first)
    hub.remove(second)
    hub.remove(second)
    assert hub.formats == frozenset()
    assert len(hub) == 0


async def test_all_clients_of_a_format_share_one_object(hub, new_client, monkeypatch):
    seen = []
    for payload_format in (JSON, JSON, PROTOBUF):
        client, transport = new_client(payload_format=payload_format)
        hub.add(client)
        monkeypatch.setattr(transport, "write", seen.append)
    chunk, other = b"one\0", b"\3one"
    hub.publish({JSON: chunk, PROTOBUF: other}, 1)
    await turns()
    assert [id(data) for data in seen] == [id(chunk), id(chunk), id(other)]


async def test_what_is_published_in_one_turn_leaves_in_one_write(hub, new_client):
    client, transport = new_client()
    hub.add(client)
    for number in range(5):
        hub.publish({JSON: b"%d\0" % number, PROTOBUF: b"unheard"}, 1)
    assert transport.writes == []
    await asyncio.sleep(0)
    assert transport.writes == [b"0\0001\0002\0003\0004\0"]
    assert client.records_sent == 5


async def test_much_is_written_without_waiting_for_the_turns_end(hub, new_client):
    client, transport = new_client()
    hub.add(client)
    hub.publish({JSON: b"x" * FLUSH_SIZE}, 1)
    assert len(transport.read) == FLUSH_SIZE


def slowly(transport, clock, monkeypatch, cost):
    """Let each write to a transport take so many seconds."""
    write = transport.write

    def slow_write(data):
        clock.now += cost
        write(data)

    monkeypatch.setattr(transport, "write", slow_write)


async def test_after_a_costly_flush_the_next_one_waits_and_otherwise_it_does_not(hub, new_client, clock, monkeypatch):
    client, transport = new_client()
    hub.add(client)
    slowly(transport, clock, monkeypatch, 0.0004)
    hub.publish({JSON: b"1"}, 1)
    await turns()
    assert transport.read == b"1"
    hub.publish({JSON: b"2"}, 1)
    hub.publish({JSON: b"3"}, 1)
    await turns()
    assert transport.read == b"1"
    clock.advance(0.0035)
    assert transport.read == b"1"
    clock.advance(0.0002)
    assert transport.writes == [b"1", b"23"]
    clock.advance(FLUSH_DELAY_LIMIT)
    hub.publish({JSON: b"4"}, 1)
    await asyncio.sleep(0)
    assert transport.read == b"1234"
    assert not clock.pending


async def test_a_few_clients_of_a_gathering_bus_get_each_batch_at_once(hub, new_client, clock, monkeypatch):
    client, transport = new_client()
    hub.add(client)
    slowly(transport, clock, monkeypatch, 0.00015)  # some ten clients
    for number in range(10):
        clock.advance(READ_PERIOD)
        hub.publish({JSON: b"%d" % number}, 1)
        await turns()
        assert len(transport.writes) == number + 1
    assert not clock.timers


async def test_a_wait_that_has_just_begun_is_kept(hub, new_client, clock, monkeypatch):
    client, transport = new_client()
    hub.add(client)
    slowly(transport, clock, monkeypatch, 0.00006)
    hub.publish({JSON: b"0"}, 1)
    await turns()
    clock.advance(0.0001)  # the next frame of a bus that does not gather
    hub.publish({JSON: b"1"}, 1)
    await turns()
    assert transport.read == b"0"
    clock.advance(0.0005)
    assert transport.read == b"01"


async def test_what_is_published_in_the_turn_in_which_a_wait_ends_leaves_with_the_rest(new_client, monkeypatch):
    now = 1000.0
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "time", lambda: now)
    hub = Hub()
    client, transport = new_client()
    hub.add(client)
    write = transport.write

    def slow_write(data):
        nonlocal now
        now += 0.0004
        write(data)

    monkeypatch.setattr(transport, "write", slow_write)
    hub.publish({JSON: b"1"}, 1)
    await turns()
    hub.publish({JSON: b"2"}, 1)
    loop.call_at(now + 0.004, hub.publish, {JSON: b"3"}, 1)  # due later than the wait's end, and both are past
    now += 0.005
    await turns()
    assert transport.writes == [b"1", b"23"]


async def test_many_clients_take_a_tenth_of_the_time_as_long_as_nobody_waits_too_long(
    hub, new_client, clock, monkeypatch
):
    client, transport = new_client()
    hub.add(client)
    slowly(transport, clock, monkeypatch, 0.0005)
    began = clock.now
    for _ in range(1000):
        hub.publish({JSON: b"x"}, 1)
        await turns()
        clock.advance(READ_PERIOD)
    assert 0.08 < len(transport.writes) * 0.0005 / (clock.now - began) < 0.13


async def test_so_many_clients_that_a_flush_takes_long_leave_half_of_the_time_to_others(
    hub, new_client, clock, monkeypatch
):
    client, transport = new_client()
    hub.add(client)
    slowly(transport, clock, monkeypatch, 2 * FLUSH_DELAY_LIMIT)
    hub.publish({JSON: b"0"}, 1)
    await turns()
    hub.publish({JSON: b"1"}, 1)
    await turns()
    (timer,) = clock.pending
    assert timer.when - clock.now == pytest.approx(2 * FLUSH_DELAY_LIMIT)


async def test_a_client_hears_what_is_published_after_it_came(hub, new_client):
    first, first_transport = new_client()
    second, second_transport = new_client()
    hub.add(first)
    hub.publish({JSON: b"1"}, 1)
    hub.add(second)
    hub.publish({JSON: b"2"}, 1)
    await turns()
    assert first_transport.read == b"12"
    assert second_transport.read == b"2"


async def test_a_response_comes_after_what_was_published_before_it(hub, new_client):
    first, first_transport = new_client()
    second, second_transport = new_client()
    hub.add(first)
    hub.add(second)
    hub.publish({JSON: b"1"}, 1)
    first.send_response(b"R")
    assert first_transport.read == b"1R"
    assert second_transport.read == b""  # nobody else pays for it
    hub.publish({JSON: b"2"}, 1)
    first.send_response(b"S")
    hub.publish({JSON: b"3"}, 1)
    await turns()
    assert first_transport.read == b"1R2S3"
    assert second_transport.read == b"123"
    assert first.records_sent == second.records_sent == 3


async def test_a_change_of_format_cuts_between_two_batches(hub, new_client):
    client, transport = new_client()
    hub.add(client)
    hub.publish({JSON: b"json1 ", PROTOBUF: b"proto1 "}, 1)
    hub.set_format(client, PROTOBUF)
    hub.set_format(client, PROTOBUF)
    hub.publish({JSON: b"json2 ", PROTOBUF: b"proto2 "}, 1)
    await turns()
    assert client.payload_format is PROTOBUF
    assert transport.read == b"json1 proto2 "


async def test_what_waits_for_somebody_who_left_is_forgotten(hub, new_client):
    client, transport = new_client()
    hub.add(client)
    hub.publish({JSON: b"1"}, 1)
    hub.remove(client)
    await turns()
    assert transport.writes == []


# drained()


async def test_drained_returns_at_once_where_nothing_waits_but_gives_the_loop_a_turn(hub, new_client):
    client, transport = new_client()
    hub.add(client)
    hub.publish({JSON: b"1"}, 1)
    ran = []
    asyncio.get_running_loop().call_soon(ran.append, 1)
    await hub.drained()
    assert transport.read == b"1"
    assert ran


async def test_drained_waits_for_the_slowest(hub, new_client, clock):
    slow, slow_transport = new_client(room=0)
    slower, slower_transport = new_client(room=0)
    for client in (slow, slower):
        hub.add(client)
    for _ in range(3):
        hub.publish({JSON: b"x" * 101}, 1)
        hub.flush()
    waiting = [asyncio.ensure_future(hub.drained()) for _ in range(2)]
    await turns()
    slow_transport.take()
    await turns()
    assert not any(task.done() for task in waiting)
    slower_transport.take()
    await asyncio.wait_for(asyncio.gather(*waiting), SOON)
    assert not clock.pending


async def test_a_client_that_goes_is_not_waited_for(hub, new_client):
    client, _ = new_client(room=0)
    hub.add(client)
    for _ in range(3):
        hub.publish({JSON: b"x" * 101}, 1)
        hub.flush()
    waiting = asyncio.ensure_future(hub.drained())
    await turns()
    assert not waiting.done()
    hub.remove(client)
    await asyncio.wait_for(waiting, SOON)


async def test_a_stalled_client_is_waited_for_no_longer_until_it_reads_again(hub, new_client, clock):
    client, transport = new_client(room=0, limit=1_000_000)
    hub.add(client)
    for _ in range(3):
        hub.publish({JSON: CHUNK}, 1)
        hub.flush()
    waiting = asyncio.ensure_future(hub.drained())
    await turns()
    clock.advance(CLIENT_STALL_TIMEOUT * 0.9)
    await turns()
    assert not waiting.done()
    clock.advance(CLIENT_STALL_TIMEOUT * 0.2)
    await asyncio.wait_for(waiting, SOON)
    assert not clock.pending

    # While it is stalled, nobody waits.
    hub.publish({JSON: CHUNK}, 1)
    await asyncio.wait_for(hub.drained(), SOON)

    # It reads a little, and has again as long as any other.
    transport.take(len(CHUNK))
    assert client.backlogged
    waiting = asyncio.ensure_future(hub.drained())
    await turns()
    clock.advance(CLIENT_STALL_TIMEOUT * 0.9)
    await turns()
    assert not waiting.done()
    transport.take()
    await asyncio.wait_for(waiting, SOON)


async def test_a_slow_client_is_waited_for_as_long_as_it_takes_anything(hub, new_client, clock):
    client, transport = new_client(room=0)
    hub.add(client)
    for _ in range(5):
        hub.publish({JSON: b"x" * 101}, 1)
        hub.flush()
    waiting = asyncio.ensure_future(hub.drained())
    await turns()
    for _ in range(20):
        transport.take(2)  # too little for the transport to resume
        clock.advance(CLIENT_STALL_TIMEOUT * 0.8)
        await turns()
        assert not waiting.done()
    clock.advance(2 * CLIENT_STALL_TIMEOUT)
    await asyncio.wait_for(waiting, SOON)


async def test_a_drained_that_is_cancelled_leaves_no_timer(hub, new_client, clock):
    client, _ = new_client(room=0)
    hub.add(client)
    for _ in range(3):
        hub.publish({JSON: b"x" * 101}, 1)
        hub.flush()
    waiting = asyncio.ensure_future(hub.drained())
    await turns()
    assert len(clock.pending) == 1
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    assert not clock.pending


# Over real sockets.


class Feeder:
    """Puts clients of a listener into a hub."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.changed = asyncio.Event()

    def client_connected(self, client) -> None:
        self.hub.add(client)
        self.changed.set()

    def client_data(self, client, data) -> None:
        client.send_response(data)

    def client_gone(self, client) -> None:
        self.hub.remove(client)
        self.changed.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(SOON):
            while len(self.hub) != count:
                self.changed.clear()
                await self.changed.wait()


async def connect(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, str(path))
    return sock


class Reader(asyncio.Protocol):
    def __init__(self) -> None:
        self.data = bytearray()
        self.wanted = -1
        self.done = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.data += data
        if len(self.data) == self.wanted:
            self.done.set_result(None)


async def test_99_of_100_clients_get_all_in_order_while_one_never_reads(tmp_path):
    loop = asyncio.get_running_loop()
    hub = Hub()
    feeder = Feeder(hub)
    listener = UnixListener(str(tmp_path / "s"))
    await listener.open(feeder)
    stuck = await connect(tmp_path / "s")
    await feeder.until(1)
    (stuck_client,) = hub.clients
    readers = [await loop.create_unix_connection(Reader, str(tmp_path / "s")) for _ in range(99)]
    await feeder.until(100)

    chunks = [b"".join(b"%08d\0" % (batch * 100 + number) for number in range(100)) for batch in range(2000)]
    total = sum(map(len, chunks))
    for _, reader in readers:
        reader.wanted = total
    for chunk in chunks:
        hub.publish({JSON: chunk}, 100)
        await asyncio.sleep(0)
        assert stuck_client.waiting <= CLIENT_QUEUE_LIMIT + 2 * TRANSPORT_BUFFER_LIMIT
    await asyncio.wait_for(asyncio.gather(*(reader.done for _, reader in readers)), SOON)

    expected = b"".join(chunks)
    assert all(reader.data == expected for _, reader in readers)
    assert sum(client.records_dropped for client in hub.clients) == stuck_client.records_dropped > 0
    for transport, _ in readers:
        transport.close()
    stuck.close()
    await feeder.until(0)
    await listener.close()


async def test_a_source_that_waits_for_its_clients_loses_nothing_and_is_not_held_up(tmp_path):
    loop = asyncio.get_running_loop()
    hub = Hub(stall_timeout=0.2)
    feeder = Feeder(hub)
    listener = UnixListener(str(tmp_path / "s"))
    await listener.open(feeder)
    stuck = await connect(tmp_path / "s")
    readers = [await loop.create_unix_connection(Reader, str(tmp_path / "s")) for _ in range(5)]
    await feeder.until(6)
    chunk = b"x" * 200_000
    for _, reader in readers:
        reader.wanted = 100 * len(chunk)

    async def play() -> None:
        for _ in range(100):
            hub.publish({JSON: chunk}, 100)
            await hub.drained()

    await asyncio.wait_for(play(), SOON)
    await asyncio.wait_for(asyncio.gather(*(reader.done for _, reader in readers)), SOON)
    assert sorted(client.records_dropped > 0 for client in hub.clients) == [False] * 5 + [True]
    stuck.close()
    for transport, _ in readers:
        transport.close()
    await feeder.until(0)
    await listener.close()


async def test_a_thousand_apps_that_come_and_go_leave_nothing_and_nobody_misses_a_record(tmp_path):
    loop = asyncio.get_running_loop()
    hub = Hub()
    feeder = Feeder(hub)
    places = ClientPlaces()
    listener = UnixListener(str(tmp_path / "s"), places=places)
    await listener.open(feeder)
    transport, standing = await loop.create_unix_connection(Reader, str(tmp_path / "s"))
    await feeder.until(1)
    before = descriptors()
    tasks = len(asyncio.all_tasks())
    sent = bytearray()
    for number in range(1000):
        sock = await connect(tmp_path / "s")
        hub.publish({JSON: b"%d\0" % number}, 1)
        sent += b"%d\0" % number
        if number % 2:
            sock.send(b"hello")
        sock.close()
        await asyncio.sleep(0)  # connecting alone gives the loop no turn
    standing.wanted = len(sent)
    await asyncio.wait_for(standing.done, SOON)
    assert standing.data == sent
    await feeder.until(1)
    assert descriptors() == before
    assert len(asyncio.all_tasks()) <= tasks  # then, asyncio was still accepting the standing one
    assert places.taken == 1
    transport.close()
    await feeder.until(0)
    await listener.close()
