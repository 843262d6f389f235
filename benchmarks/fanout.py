"""How much a fan-out costs and how late records arrive, from outside: python benchmarks/fanout.py

Three processes. The source writes frames at their bus's true pace into a descriptor, one frame at
a time as far as its timers allow. The daemon is the real Bridge (app.py) with one bus per
descriptor. The readers hold all the clients, as apps that read all they can. A frame carries the
time at which it was sent; all clients get the same bytes, so the position in one client's
stream says which frame a byte belongs to in every client's.

CPU is what the kernel accounts to the daemon's process, in percent of one core; latency goes from
just before the source's write to just after the client's read, of every frame at every client.
Source and readers take the other core: where a third program runs, the maximum says little.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import multiprocessing
import os
import re
import resource
import select
import socket
import tempfile
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bridge.app import Bridge
from bridge.buses.bus import BusListener, BusState
from bridge.buses.frame_bus import FrameBus
from bridge.buses.gathering import GatheringReader
from bridge.clients.client import Client
from bridge.config import BusSettings, LimitSettings, ListenerSettings, Settings
from bridge.frames import RECORD_SIZE, FrameBatch, pack
from bridge.limits import BATCH_FRAMES_LIMIT

SATURATED = 9009.0  #: frames/s of a 1 Mbit/s bus: 8 data bytes take 111 bits, stuffing aside
SECONDS = 5.0
WARM_UP = 1.0  #: seconds of frames before the measurement
IDLE = 2.0  #: seconds without a byte after which what is missing counts as lost
RECEIVE_BUFFER = 4 * 1024 * 1024  #: bytes of a bus's descriptor, as the daemon asks of a CAN socket
READ_SIZE = 256 * 1024
SAMPLES = 2_000_000  #: latencies computed at most; beyond, of every n-th frame

IDS = range(100, 120)
RECORDS_PER_FRAME = 4
MESSAGE = """
BO_ {id} M{id}: 8 X
 SG_ sent_{id} : 0|32@1+ (1,0) [0|0] "" X
 SG_ wheel_speed_{id} : 32|16@1+ (0.01,0) [0|0] "" X
 SG_ oil_temperature_{id} : 48|8@1- (1,0) [0|0] "" X
 SG_ fuel_level_{id} : 56|8@1+ (0.392157,0) [0|0] "" X
"""
DATABASE = 'VERSION ""\nBU_: X\n' + "".join(MESSAGE.format(id=identifier) for identifier in IDS)
SENT = re.compile(rb'"sent_\d+","value":(\d+)\}\0')

_SO_SNDBUFFORCE = 32  # linux/socket.h; Python has no name for it
_TICKS = os.sysconf("SC_CLK_TCK")
_fork = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Fanout:
    """One measurement."""

    clients: int
    buses: int
    frames_per_second: float  #: of all buses, as sent
    records_per_second: float  #: to each client
    record_size: float  #: bytes, mean
    cpu: float  #: of the daemon, percent of one core
    p50: float  #: milliseconds from frame to client
    p99: float
    maximum: float
    records_lost: int  #: of all clients
    frames_refused: int  #: that the daemon's descriptors had no room for; their records are lost, too

    HEADER = (
        "| clients | buses | frames/s | CPU % | p50 ms | p99 ms | max ms | records lost |\n"
        "|---:|---:|---:|---:|---:|---:|---:|---:|"
    )

    def row(self) -> str:
        """A line of a Markdown table."""
        return (
            f"| {self.clients:,} | {self.buses} | {self.frames_per_second:,.0f} | {self.cpu:.1f} | {self.p50:.2f} "
            f"| {self.p99:.2f} | {self.maximum:.1f} | {self.records_lost:,} |"
        )


def measure(
    clients: int,
    frames_per_second: float = SATURATED,
    *,
    buses: int = 1,
    seconds: float = SECONDS,
    listen: str = "tcp://127.0.0.1:0",
) -> Fanout:
    """Measure one case; takes some seconds longer than `seconds`.

    Args:
        clients: connections that all read.
        frames_per_second: of each bus.
        buses: how many.
        seconds: the length of the measurement, after a warm-up.
        listen: as --listen, tcp or unix; `unix:` alone takes a temporary path.
    """
    _raise_descriptor_limit(clients)
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        if listen == "unix:":
            listen = f"unix:{directory}/socket"
        pairs = [_descriptor() for _ in range(buses)]
        for pair in pairs:
            for sock in pair:
                stack.callback(sock.close)

        def start(target: Callable[..., None], *arguments: object) -> _Process:
            process = _Process(target, *arguments)
            stack.callback(process.end)
            return process

        daemon = start(_daemon, [ours for ours, _ in pairs], clients, listen, Path(directory))
        readers = start(_readers, daemon.receive(), clients)
        daemon.receive()  # all clients are there
        source = start(_source, [theirs for _, theirs in pairs], frames_per_second, seconds)
        source.receive()  # warm by now
        began, before = time.monotonic(), daemon.cpu_seconds()
        source.receive()
        cpu = (daemon.cpu_seconds() - before) / (time.monotonic() - began)
        sent, refused, duration = source.receive()
        readers.send(sent * RECORDS_PER_FRAME)
        latencies, records, size = readers.receive()
    return Fanout(
        clients=clients,
        buses=buses,
        frames_per_second=sent / duration,
        records_per_second=sent * RECORDS_PER_FRAME / duration,
        record_size=size / max(1, records),
        cpu=cpu * 100,
        p50=latencies[len(latencies) // 2] * 1e3,
        p99=latencies[len(latencies) * 99 // 100] * 1e3,
        maximum=latencies[-1] * 1e3,
        records_lost=(sent + refused) * RECORDS_PER_FRAME * clients - records,
        frames_refused=refused,
    )


class _Process:
    """A child that talks over a pipe."""

    def __init__(self, target: Callable[..., None], *arguments: object) -> None:
        self._pipe, theirs = _fork.Pipe()
        self._process = _fork.Process(target=_run, args=(target, theirs, *arguments), daemon=True)
        self._process.start()
        theirs.close()

    def receive(self) -> Any:
        """What the child says next; EOFError where it failed."""
        return self._pipe.recv()

    def send(self, value: object) -> None:
        self._pipe.send(value)

    def cpu_seconds(self) -> float:
        """User and system time of the whole process so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def end(self) -> None:
        """Ask it to end, and see to it."""
        with contextlib.suppress(BrokenPipeError):
            self._pipe.send(None)
        self._process.join(10)
        self._process.kill()


def _run(target: Callable[..., None], pipe: Connection, *arguments: object) -> None:
    gc.freeze()
    target(pipe, *arguments)


def _descriptor() -> tuple[socket.socket, socket.socket]:
    """A bus's descriptor and the wire's end of it: frames queue in the kernel, and a full queue refuses them."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        theirs.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, RECEIVE_BUFFER)  # beyond wmem_max, for root
    except OSError:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, RECEIVE_BUFFER)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def _raise_descriptor_limit(clients: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = clients + 100
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


# The daemon


class DescriptorBus(FrameBus):
    """A bus behind a descriptor that gives whole frame records, as many as wait, in one read."""

    def __init__(self, number: int, sock: socket.socket) -> None:
        super().__init__(number, f"descriptor {sock.fileno()}")
        self._socket = sock
        self._reader = GatheringReader(sock.fileno(), self._read)

    async def open(self, listener: BusListener) -> None:
        self._attach(listener)
        self._reader.start()
        self.state = BusState.UP

    async def close(self) -> None:
        self._reader.stop()
        self._detach()

    def send(self, batch: FrameBatch) -> None:
        """Nobody writes here."""

    def _read(self) -> bool:
        try:
            records = self._socket.recv(BATCH_FRAMES_LIMIT * RECORD_SIZE)
        except BlockingIOError:
            return False
        if records:
            self._deliver(FrameBatch(records))
        else:
            self._reader.stop()
        return bool(records)


class _CountingBridge(Bridge):
    """The daemon, and whether all clients are there: what was sent before would count as lost."""

    def __init__(self, clients: int, settings: Settings) -> None:
        super().__init__(settings)
        self.all_there = asyncio.Event()
        self._missing = clients

    def client_connected(self, client: Client) -> None:
        super().client_connected(client)
        self._missing -= 1
        if not self._missing:
            self.all_there.set()


def _daemon(pipe: Connection, sockets: Sequence[socket.socket], clients: int, listen: str, directory: Path) -> None:
    logging.basicConfig(level=logging.WARNING)
    database = directory / "fanout.dbc"
    database.write_text(DATABASE)
    asyncio.run(_serve(pipe, sockets, clients, listen, database))


async def _serve(pipe: Connection, sockets: Sequence[socket.socket], clients: int, listen: str, database: Path) -> None:
    bridge = _CountingBridge(
        clients,
        Settings(
            dbc=str(database),
            bus=tuple(BusSettings(spec="virtual") for _ in sockets),
            listen=(ListenerSettings(url=listen),),
            limits=LimitSettings(clients=max(clients, 256)),
        ),
    )
    for number, sock in enumerate(sockets, 1):
        bridge.buses[number] = DescriptorBus(number, sock)
    await bridge.start()
    pipe.send(bridge.listeners[0].url)
    await bridge.all_there.wait()
    pipe.send(None)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(pipe.fileno(), ended.set)
    await ended.wait()
    await bridge.stop()


# The source


def _source(pipe: Connection, sockets: Sequence[socket.socket], frames_per_second: float, seconds: float) -> None:
    period = 1 / frames_per_second
    began = time.monotonic()
    # The buses of a car are not in step.
    due = [began + period * number / len(sockets) for number in range(len(sockets))]
    warm, end = began + WARM_UP, began + WARM_UP + seconds
    state = [0, 0]
    sent = refused = 0
    while (now := time.monotonic()) < end:
        if warm and now >= warm:
            pipe.send(None)
            warm = 0.0
        for index, sock in enumerate(sockets):
            while due[index] <= now:
                due[index] += period
                state[0] += 1
                if _send(sock, state[0]):
                    sent += 1
                else:
                    refused += 1
        time.sleep(max(0.0, min(due) - time.monotonic()))
    pipe.send(None)
    pipe.send((sent, refused, time.monotonic() - began))
    pipe.recv()  # the descriptors stay open until then


def _send(sock: socket.socket, count: int) -> bool:
    """One frame, its time of sending in it: microseconds of the monotonic clock, modulo 2**32."""
    sent = time.monotonic_ns() // 1000 & 0xFFFFFFFF
    data = sent.to_bytes(4, "little") + (count * 7 & 0xFFFFFFFF).to_bytes(4, "little")
    try:
        sock.send(pack(time.time(), IDS[count % len(IDS)], 1, 0, data))
    except BlockingIOError:
        return False
    return True


# The readers


class _Reader:
    """One app: what it read when."""

    def __init__(self, address: str) -> None:
        if address.startswith("unix:"):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.connect(address.removeprefix("unix:"))
        else:
            host, _, port = address.removeprefix("tcp://").rpartition(":")
            self.socket = socket.create_connection((host, int(port)))
        self.socket.setblocking(False)
        self.records = 0
        self.size = 0
        self.times = array("d")
        self.sizes = array("Q")


def _readers(pipe: Connection, address: str, clients: int) -> None:
    readers = [_Reader(address) for _ in range(clients)]
    by_fd = {reader.socket.fileno(): reader for reader in readers}
    epoll = select.epoll()
    for fd in by_fd:
        epoll.register(fd, select.EPOLLIN)
    epoll.register(pipe.fileno(), select.EPOLLIN)
    stream = _read(pipe, epoll, by_fd, readers[0])
    frames = [(int(match[1]), match.end()) for match in SENT.finditer(stream)]
    warm = [frame for frame in frames if frame[0] - frames[0][0] & 0xFFFFFFFF >= WARM_UP * 1e6]
    latencies = _latencies(readers, warm)
    pipe.send((latencies, sum(reader.records for reader in readers), sum(reader.size for reader in readers)))


def _read(pipe: Connection, epoll: select.epoll, by_fd: dict[int, _Reader], first: _Reader) -> bytearray:
    """Read until all is there or nothing comes any more. Returns what the first client got."""
    stream = bytearray()
    buffer = bytearray(READ_SIZE)
    view = memoryview(buffer)
    expected = None
    clock = time.monotonic
    while expected is None or any(reader.records < expected for reader in by_fd.values()):
        events = epoll.poll(IDLE)
        if not events and expected is not None:
            break
        for fd, _ in events:
            reader = by_fd.get(fd)
            if reader is None:
                expected = pipe.recv()
                epoll.unregister(fd)
                continue
            size = reader.socket.recv_into(buffer)
            reader.times.append(clock())
            if not size:
                epoll.unregister(fd)
                continue
            reader.size += size
            reader.sizes.append(reader.size)
            reader.records += buffer.count(0, 0, size)
            if reader is first:
                stream += view[:size]
    return stream


def _latencies(readers: Sequence[_Reader], frames: Sequence[tuple[int, int]]) -> array[float]:
    """Seconds from frame to client, sorted. A frame: when it was sent, where in the stream its first record ends."""
    step = max(1, len(frames) * len(readers) // SAMPLES)
    found = array("d")
    for number, reader in enumerate(readers):
        position = 0
        for sent, end in frames[number % step :: step]:
            position = bisect_left(reader.sizes, end, position)
            if position == len(reader.sizes):
                break
            found.append((int(reader.times[position] * 1e6) - sent & 0xFFFFFFFF) / 1e6)
    return array("d", sorted(found))


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, action="append", help="several; default: 1, 10, 100, 250 and 1,000")
    parser.add_argument("--rate", type=float, default=SATURATED, help="frames/s of each bus")
    parser.add_argument("--buses", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--listen", default="tcp://127.0.0.1:0", help="tcp://127.0.0.1:0 or unix:")
    arguments = parser.parse_args()
    cases = [(clients, arguments.rate, arguments.buses) for clients in arguments.clients or ()] or [
        (1, 10.0, 1),
        (100, 10.0, 1),
        *((clients, SATURATED, 1) for clients in (1, 10, 100, 250, 1000)),
        (10, SATURATED, 10),
    ]
    print(Fanout.HEADER, flush=True)
    for clients, rate, buses in cases:
        seconds = arguments.seconds
        print(measure(clients, rate, buses=buses, seconds=seconds, listen=arguments.listen).row(), flush=True)


if __name__ == "__main__":
    main()
