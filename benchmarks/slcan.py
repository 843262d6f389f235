"""slcan: frames of a serial CAN adapter, over a pseudo-terminal, until the bridge has them as batches.

The adapter is a process of its own that answers every command and then writes lines as fast as the
terminal takes them. The clock runs from its start to the last frame.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import select
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

import can

from benchmarks import payload
from benchmarks.measuring import Effort, Report, Run, contest, faster, longer
from bridge.app import make_bus
from bridge.buses.bus import Bus, BusState
from bridge.buses.spec import parse_bus_spec
from bridge.codec import IMPLEMENTATION
from bridge.frames import FrameBatch
from bridge.profile.plan import PlanBus

BITRATE = 500_000
FEWEST, MOST = 2_000, 500_000  #: frames of a run
TIMEOUT = 60.0  #: seconds; a run that takes longer has lost frames
WRITE_SIZE = 64 * 1024
READ_SIZE = 64 * 1024

_fork = multiprocessing.get_context("fork")


def lines(count: int) -> bytes:
    """So many frames as an adapter writes them, each followed by a carriage return."""
    texts = [f"t{frame.id:03X}8{frame.data.hex().upper()}\r".encode() for frame in payload.frames()]
    whole, rest = divmod(count, len(texts))
    return b"".join(texts) * whole + b"".join(texts[:rest])


# The adapter


@dataclass(frozen=True)
class Adapter:
    """The terminal to open, and what starts the frames."""

    path: str
    start: Callable[[], None]


@contextmanager
def adapter(feed: bytes) -> Iterator[Adapter]:
    """A process that plays an adapter."""
    master, slave = os.openpty()
    tty.setraw(slave)
    ours, theirs = _fork.Pipe()
    process = _fork.Process(target=_play, args=(master, theirs, feed), daemon=True)
    process.start()
    os.close(master)
    try:
        yield Adapter(os.ttyname(slave), lambda: ours.send(None))
    finally:
        process.kill()
        process.join()
        os.close(slave)
        ours.close()


def _play(master: int, pipe: Connection, feed: bytes) -> None:
    os.set_blocking(master, False)
    waiting = memoryview(b"")
    command = bytearray()
    while True:
        readable, writable, _ = select.select([master, pipe], [master] if waiting else [], [])
        if pipe in readable:
            pipe.recv()
            waiting = memoryview(feed)
        if master in readable:
            for byte in os.read(master, 4096):
                command.append(byte)
                if byte == 0x0D:
                    os.write(master, _answer(bytes(command)))
                    command.clear()
        if writable:
            with contextlib.suppress(BlockingIOError):
                waiting = waiting[os.write(master, waiting[:WRITE_SIZE]) :]


def _answer(command: bytes) -> bytes:
    """LAWICEL's answer: the version, the serial number, the status flags, or that all is well."""
    return {b"V": b"V1013\r", b"N": b"N0001\r", b"F": b"F00\r"}.get(command[:1], b"\r")


# The contestants


class _Counter:
    """Hears a bus of ours until so many frames have come."""

    def __init__(self, wanted: int) -> None:
        self._missing = wanted
        self.complete = asyncio.Event()

    def frames_received(self, bus: Bus, batch: FrameBatch) -> None:
        self._missing -= len(batch)
        if self._missing <= 0:
            self.complete.set()

    def bus_state_changed(self, bus: Bus, state: BusState, reason: str) -> None:
        """The adapter does not change."""


def bridge_seconds(count: int) -> float:
    """How long the bridge's own bus takes."""
    with adapter(lines(count)) as device:
        return asyncio.run(_bridge_seconds(device, count))


async def _bridge_seconds(device: Adapter, count: int) -> float:
    spec = parse_bus_spec(f"slcan:{device.path}@{BITRATE}")
    bus = make_bus(spec, PlanBus(1, spec.text))
    counter = _Counter(count)
    await bus.open(counter)
    try:
        began = time.perf_counter()
        device.start()
        async with asyncio.timeout(TIMEOUT):
            await counter.complete.wait()
        return time.perf_counter() - began
    finally:
        await bus.close()


def python_can_seconds(count: int) -> float:
    """How long python-can takes."""
    with (
        adapter(lines(count)) as device,
        can.Bus(interface="slcan", channel=device.path, bitrate=BITRATE, sleep_after_open=0) as bus,
    ):
        began = time.perf_counter()
        device.start()
        for _ in range(count):
            if bus.recv(TIMEOUT) is None:
                raise TimeoutError("python-can lost a frame")
        return time.perf_counter() - began


def terminal_seconds(count: int) -> float:
    """How long reading the bytes takes, with nothing made of them."""
    with adapter(lines(count)) as device:
        descriptor = os.open(device.path, os.O_RDWR | os.O_NOCTTY)
        began = time.perf_counter()
        device.start()
        missing = len(lines(count))
        while missing:
            missing -= len(os.read(descriptor, READ_SIZE))
        duration = time.perf_counter() - began
        os.close(descriptor)
        return duration


def _run(seconds_for: Callable[[int], float], seconds: float) -> Run:
    """Runs of about that time."""
    count = FEWEST
    while (took := seconds_for(count)) < seconds / 2 and count < MOST:
        count = int(min(MOST, max(count * seconds / took * 0.8, 2 * count)))
    return lambda: count / seconds_for(count)


def measure(effort: Effort) -> Report:
    """The bridge beside python-can, and beside the terminal itself."""
    seconds = 0.2 if effort.quick else 0.5
    figures = contest(
        {
            "bridge": _run(bridge_seconds, seconds),
            "python-can": _run(python_can_seconds, seconds),
            "terminal": _run(terminal_seconds, seconds),
        },
        effort.runs,
    )
    work = f"slcan lines over a pty → batches ({IMPLEMENTATION} codec)"
    return Report(
        [
            faster(work, figures["bridge"], "python-can's slcan", figures["python-can"], 100),
            longer(work, figures["bridge"], "os.read of the same bytes", figures["terminal"]),
        ]
    )
