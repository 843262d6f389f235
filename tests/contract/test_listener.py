"""What every listener promises, whatever carries its clients: one suite, subclassed per kind."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import logging
import os
import random
import socket
import struct
import tty
from pathlib import Path

import pytest

from bridge.clients.client import Client
from bridge.clients.hub import Hub
from bridge.clients.listener import ClientPlaces, Listener, ListenError
from bridge.clients.pty import PtyListener
from bridge.clients.queue import RESPONSES_LIMIT
from bridge.clients.serial import SerialListener
from bridge.clients.tcp import TcpListener
from bridge.clients.unix import UnixListener
from bridge.limits import CLIENT_QUEUE_LIMIT, TRANSPORT_BUFFER_LIMIT
from bridge.openxc.messages import PayloadFormat
from tests.descriptors import descriptors

SOON = 20.0  #: seconds; far beyond what anything here takes, so that only a hang meets it


class Recorder:
    """A ClientHandler that keeps what it hears, and hands clients to a hub."""

    def __init__(self, hub: Hub | None = None) -> None:
        self.hub = hub
        self.clients: list[Client] = []
        self.gone: list[Client] = []
        self.received: dict[int, bytearray] = {}
        self.answer = b""  #: sent for every piece of data
        self.fault: Exception | None = None
        self._changed = asyncio.Event()

    def client_connected(self, client: Client) -> None:
        self.clients.append(client)
        self.received[client.id] = bytearray()
        if self.hub is not None:
            self.hub.add(client)
        self._changed.set()

    def client_data(self, client: Client, data: bytes) -> None:
        if self.fault is not None:
            raise self.fault
        assert client not in self.gone
        self.received[client.id] += data
        if self.answer:
            client.send_response(self.answer)
        self._changed.set()

    def client_gone(self, client: Client) -> None:
        self.gone.append(client)
        if self.hub is not None:
            self.hub.remove(client)
        self._changed.set()

    async def until(self, condition) -> None:
        async with asyncio.timeout(SOON):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def next_client(self, count: int = 1) -> Client:
        await self.until(lambda: len(self.clients) >= count)
        return self.clients[count - 1]

    async def has_gone(self, client: Client) -> None:
        await self.until(lambda: client in self.gone)

    async def heard(self, client: Client, data: bytes) -> None:
        await self.until(lambda: len(self.received[client.id]) >= len(data))
        assert bytes(self.received[client.id]) == data


class Peer:
    """The app's side: a descriptor read and written without blocking."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd

    async def _ready(self, add, remove) -> None:
        future = asyncio.get_running_loop().create_future()
        add(self.fd, lambda: future.done() or future.set_result(None))
        try:
            await asyncio.wait_for(future, SOON)
        finally:
            remove(self.fd)

    async def write(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        while data:
            try:
                data = data[os.write(self.fd, data) :]
            except BlockingIOError:
                await self._ready(loop.add_writer, loop.remove_writer)

    async def read(self, size: int = 65536) -> bytes:
        """Some bytes, b"" at the end of the connection."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return os.read(self.fd, size)
            except BlockingIOError:
                await self._ready(loop.add_reader, loop.remove_reader)
            except OSError:  # EIO of a terminal, ECONNRESET of a socket
                return b""

    async def read_exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = await self.read(size - len(data))
            assert piece, "the connection ended early"
            data += piece
        return bytes(data)

    async def read_until(self, end: bytes) -> bytes:
        data = bytearray()
        while not data.endswith(end):
            piece = await self.read()
            assert piece, "the connection ended early"
            data += piece
        return bytes(data)

    async def read_to_end(self) -> bytes:
        data = bytearray()
        while piece := await self.read():
            data += piece
        return bytes(data)

    def leave(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class SocketPeer(Peer):
    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock.detach())

    def leave_abruptly(self) -> None:
        with socket.socket(fileno=self.fd) as sock:
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST instead of FIN
        self.fd = -1


class TerminalPeer(Peer):
    def leave_abruptly(self) -> None:
        self.leave()


def record(number: int) -> bytes:
    return b'{"name":"signal","value":%d}\0' % number


def numbers(data: bytes) -> list[int]:
    """The numbers of whole records; anything else fails."""
    assert data.endswith(b"\0")
    found = []
    for line in data[:-1].split(b"\0"):
        assert line.startswith(b'{"name":"signal","value":') and line.endswith(b"}"), line
        found.append(int(line[25:-1]))
    return found


class ListenerContract(abc.ABC):
    @abc.abstractmethod
    def make(self, tmp_path: Path, **options) -> Listener:
        """A listener, not yet open."""

    @abc.abstractmethod
    def second(self, listener: Listener, tmp_path: Path) -> Listener:
        """Another one for the same place."""

    @abc.abstractmethod
    async def connect(self, listener: Listener, tmp_path: Path) -> SocketPeer | TerminalPeer:
        """An app."""

    def forget(self) -> None:
        """Close what the fixture itself holds."""
        return

    @pytest.fixture
    async def bench(self, tmp_path):
        hub = Hub()
        recorder = Recorder(hub)
        listener = self.make(tmp_path)
        await listener.open(recorder)
        bench = Bench(self, tmp_path, hub, recorder, listener)
        yield bench
        for peer in bench.peers:
            peer.leave()
        await listener.close()
        self.forget()

    async def test_a_client_has_what_its_listener_gives_it(self, tmp_path):
        grants = object()
        recorder = Recorder()
        listener = self.make(tmp_path, grants=grants, payload_format=PayloadFormat.PROTOBUF)
        await listener.open(recorder)
        peer = await self.connect(listener, tmp_path)
        client = await recorder.next_client()
        assert client.grants is grants
        assert client.payload_format is PayloadFormat.PROTOBUF
        assert client.peer
        assert listener.url in listener.describe()
        assert "protobuf" in listener.describe()
        peer.leave()
        await listener.close()
        self.forget()

    async def test_bytes_of_an_app_come_in_order_at_any_split(self, bench):
        peer, client = await bench.app()
        chance = random.Random(1)
        sent = bytes(chance.randrange(256) for _ in range(40_000))
        rest = sent
        while rest:
            size = chance.choice((1, 2, 7, 300, 5000))
            await peer.write(rest[:size])
            rest = rest[size:]
        await bench.recorder.heard(client, sent)
        assert client.bytes_received == len(sent)

    async def test_bytes_to_an_app_come_in_order_at_any_split(self, bench):
        peer, client = await bench.app()
        chance = random.Random(2)
        sent = bytearray()
        reading = asyncio.ensure_future(peer.read_exactly(300_000))
        while len(sent) < 300_000:
            chunk = chance.randbytes(min(chance.choice((1, 3, 500, 100_000)), 300_000 - len(sent)))
            client.send_data(chunk, 1)
            sent += chunk
        assert await asyncio.wait_for(reading, SOON) == bytes(sent)
        assert client.bytes_sent == len(sent)
        assert client.records_dropped == 0

    async def test_data_goes_to_all_and_responses_to_the_asker_in_order(self, bench):
        peer, client = await bench.app()
        async with bench.other_app() as (other_peer, other):
            bench.hub.publish({PayloadFormat.JSON: record(1)}, 1)
            client.send_response(b"answer\0")
            bench.hub.publish({PayloadFormat.JSON: record(2)}, 1)
            other.send_response(b"other\0")
            assert await peer.read_until(record(2)) == record(1) + b"answer\0" + record(2)
            assert await other_peer.read_until(b"other\0") == record(1) + record(2) + b"other\0"

    async def test_a_response_is_there_at_once(self, bench):
        peer, _ = await bench.app()
        bench.recorder.answer = b"answer\0"
        for _ in range(3):
            await peer.write(b"x")
            assert await peer.read_until(b"\0") == b"answer\0"

    async def test_an_app_that_stops_reading_loses_whole_records_and_counts_them(self, bench):
        peer, client = await bench.app()
        sent = 0
        while client.records_dropped < 20_000:
            chunk = b"".join(record(number) for number in range(sent, sent + 500))
            bench.hub.publish({PayloadFormat.JSON: chunk}, 500)
            sent += 500
            await asyncio.sleep(0)
            assert client.waiting <= CLIENT_QUEUE_LIMIT + 2 * TRANSPORT_BUFFER_LIMIT
        client.send_response(b"end\0")
        data = await asyncio.wait_for(peer.read_until(b"end\0"), SOON)
        got = numbers(data.removesuffix(b"end\0"))
        assert got == sorted(set(got))
        assert got[0] == 0
        assert got[-1] == sent - 1
        assert len(got) + client.records_dropped == sent
        assert client.records_sent == len(got)
        missing = set(range(sent)).difference(got)
        assert client.bytes_dropped == sum(len(record(number)) for number in missing)
        # And from here on nothing is lost.
        bench.hub.publish({PayloadFormat.JSON: record(sent)}, 1)
        assert await peer.read_until(b"\0") == record(sent)

    async def test_responses_survive_a_flood_of_data(self, bench):
        peer, client = await bench.app()
        flood = record(7) * 1000
        sent = 0
        while client.records_dropped == 0:
            client.send_data(flood, 1000)
            client.send_response(b"answer %d\0" % sent)
            sent += 1
        for _ in range(100):
            client.send_data(flood, 1000)
        client.send_response(b"end\0")
        data = await asyncio.wait_for(peer.read_until(b"end\0"), SOON)
        answers = [line for line in data.split(b"\0") if line.startswith(b"answer")]
        assert answers == [b"answer %d" % number for number in range(sent)]

    async def test_an_app_that_asks_without_reading_is_cut_off(self, bench):
        peer, client = await bench.app()
        answer = b"x" * 4095 + b"\0"
        sent = 0
        while not client.closing:
            client.send_response(answer)
            sent += 1
            assert client.waiting <= RESPONSES_LIMIT + 2 * TRANSPORT_BUFFER_LIMIT
            assert sent < 10_000
        await bench.recorder.has_gone(client)
        peer.leave()

    async def test_an_app_that_goes_abruptly_is_gone_once_and_leaves_nothing(self, bench):
        before = descriptors()
        peer, client = await bench.app()
        client.send_data(record(1) * 20_000, 20_000)
        peer.leave_abruptly()
        await bench.recorder.until(lambda: bench.recorder.gone)
        client.send_data(record(2), 1)
        client.send_response(b"late\0")
        client.close()
        client.abort()
        await asyncio.sleep(0)
        assert bench.recorder.gone == [client]
        assert bench.hub.clients == ()
        assert client.waiting == 0
        assert descriptors() <= before + 1  # a serial port is opened again at once

    async def test_an_app_that_comes_back_is_a_new_client_and_reads_only_new_data(self, bench):
        for round_ in range(5):
            peer, client = await bench.app()
            assert len(bench.recorder.clients) == round_ + 1
            await peer.write(b"hello %d" % round_)
            await bench.recorder.heard(client, b"hello %d" % round_)
            client.send_data(record(round_), 1)
            assert await peer.read_until(b"\0") == record(round_)
            client.send_data(b"stale" * 2000, 1)
            peer.leave()
            await bench.recorder.has_gone(client)
        assert len({client.id for client in bench.recorder.clients}) == len(bench.recorder.clients)

    async def test_a_second_listener_is_refused_in_one_line(self, bench, tmp_path):
        peer, client = await bench.app()
        before = descriptors()
        second = self.second(bench.listener, tmp_path)
        with pytest.raises(ListenError) as refusal:
            await second.open(Recorder())
        assert str(refusal.value).startswith(second.url)
        assert "in use" in str(refusal.value)
        assert "\n" not in str(refusal.value)
        await second.close()
        assert descriptors() == before
        client.send_data(record(1), 1)
        assert await peer.read_until(b"\0") == record(1)

    async def test_closing_ends_the_apps_and_frees_all(self, tmp_path):
        listener = self.make(tmp_path)
        before = descriptors()
        tasks = len(asyncio.all_tasks())
        names = set(tmp_path.iterdir())
        recorder = Recorder()
        await listener.open(recorder)
        peer = await self.connect(listener, tmp_path)
        client = await recorder.next_client()
        await listener.close()
        await listener.close()
        assert recorder.gone == [client]
        assert await peer.read_to_end() == b""
        peer.leave()
        self.forget()
        assert descriptors() <= before
        assert len(asyncio.all_tasks()) == tasks
        assert set(tmp_path.iterdir()) <= names

    async def test_closing_gives_a_reading_app_what_waits_for_it(self, bench):
        peer, client = await bench.app()
        sent = b"".join(record(number) for number in range(20_000))
        half = len(sent) // 2 // len(record(10_000)) * len(record(10_000))
        client.send_data(sent[:half], 1)
        client.send_data(sent[half:], 1)
        reading = asyncio.ensure_future(peer.read_exactly(len(sent) // 2))
        closing = asyncio.ensure_future(bench.listener.close())
        assert await reading == sent[: len(sent) // 2]
        rest = await peer.read_to_end()
        await closing
        # A terminal's end discards what its kernel buffer still holds.
        assert sent[len(sent) // 2 :].startswith(rest)
        assert bench.recorder.gone == [client]

    async def test_closing_does_not_wait_long_for_an_app_that_reads_nothing(self, bench):
        _, client = await bench.app()
        while client.records_dropped == 0:
            client.send_data(record(1) * 1000, 1000)
        await asyncio.wait_for(bench.listener.close(), 1.5)
        assert bench.recorder.gone == [client]

    async def test_beyond_the_limit_an_app_is_turned_away(self, tmp_path, caplog):
        places = ClientPlaces(limit=1)
        assert places.take("somebody")
        recorder = Recorder()
        listener = self.make(tmp_path, places=places)
        await listener.open(recorder)
        peer = await self.connect(listener, tmp_path)
        assert await peer.read_to_end() == b""
        assert recorder.clients == []
        assert places.refused >= 1
        assert len([entry for entry in caplog.records if "refused" in entry.message]) == 1
        peer.leave()
        places.give_back()
        second = await self.connect(listener, tmp_path)
        client = await recorder.next_client()
        assert places.taken == 1
        second.leave()
        await recorder.has_gone(client)
        await listener.close()
        assert places.taken == 0
        self.forget()

    async def test_a_fault_in_handling_one_app_ends_that_app_only(self, bench, caplog):
        async with bench.other_app() as (other_peer, other):
            peer, client = await bench.app()
            bench.recorder.fault = RuntimeError("a bug")
            with caplog.at_level(logging.CRITICAL, "asyncio"):
                await peer.write(b"x")
                await bench.recorder.has_gone(client)
            bench.recorder.fault = None
            other.send_data(record(1), 1)
            assert await other_peer.read_until(b"\0") == record(1)


class Bench:
    """An open listener and the apps of one test."""

    def __init__(self, contract, tmp_path, hub, recorder, listener) -> None:
        self.contract = contract
        self.tmp_path = tmp_path
        self.hub = hub
        self.recorder = recorder
        self.listener = listener
        self.peers = []

    async def app(self):
        peer = await self.contract.connect(self.listener, self.tmp_path)
        self.peers.append(peer)
        # One at a time; a serial port has its client before anybody is at the other end.
        return peer, await self.recorder.next_client(len(self.recorder.gone) + 1)

    @contextlib.asynccontextmanager
    async def other_app(self):
        """An app of the same hub, through another listener."""
        recorder = Recorder(self.hub)
        listener = UnixListener(str(self.tmp_path / "other.sock"))
        await listener.open(recorder)
        peer = await connect_unix(self.tmp_path / "other.sock")
        yield peer, await recorder.next_client()
        peer.leave()
        await listener.close()


async def connect_unix(path: Path) -> SocketPeer:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, str(path))
    return SocketPeer(sock)


class TestTcp(ListenerContract):
    def make(self, tmp_path, **options):
        return TcpListener("127.0.0.1", 0, **options)

    def second(self, listener, tmp_path):
        return TcpListener("127.0.0.1", port_of(listener))

    async def connect(self, listener, tmp_path):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port_of(listener)))
        return SocketPeer(sock)


def port_of(listener: Listener) -> int:
    return int(listener.url.rpartition(":")[2])


class TestUnix(ListenerContract):
    def make(self, tmp_path, **options):
        return UnixListener(str(tmp_path / "app.sock"), **options)

    def second(self, listener, tmp_path):
        return self.make(tmp_path)

    async def connect(self, listener, tmp_path):
        return await connect_unix(tmp_path / "app.sock")


class TestPty(ListenerContract):
    def make(self, tmp_path, **options):
        return PtyListener(str(tmp_path / "vehicle"), **options)

    def second(self, listener, tmp_path):
        return self.make(tmp_path)

    async def connect(self, listener, tmp_path):
        return TerminalPeer(os.open(tmp_path / "vehicle", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))


class TestSerial(ListenerContract):
    """The device is the slave side of a pseudo-terminal; the app at the cable's other end has its master."""

    master = -1

    def plug(self, tmp_path: Path) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        name = os.ttyname(slave)
        os.close(slave)
        device = tmp_path / "ttyUSB0"
        device.unlink(missing_ok=True)
        device.symlink_to(name)

    def make(self, tmp_path, **options):
        self.plug(tmp_path)
        return SerialListener(str(tmp_path / "ttyUSB0"), reopen_delay=0.01, **options)

    def second(self, listener, tmp_path):
        return SerialListener(str(tmp_path / "ttyUSB0"))

    async def connect(self, listener, tmp_path):
        if self.master < 0:
            self.plug(tmp_path)
        peer = TerminalPeer(self.master)
        self.master = -1
        return peer

    def forget(self) -> None:
        if self.master >= 0:
            os.close(self.master)
            self.master = -1
