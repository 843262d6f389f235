"""Runs where vcan0 and vcan1 are: the obvious bridge and ours, one interface and one TCP client each.

    python -m benchmarks.vcan_contest RUNS SECONDS

The program is the source of the frames and both clients. It keeps a window of frames under way, so
that no frame is lost and each server gets the next ones as soon as it has room. All share one
processor; what a server itself uses is its process's user and system time. Prints JSON for
`socketcan`, which has started it.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import socket
import struct
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks import payload
from benchmarks.servers import TICK, Server, bridge_arguments, deadline, serving
from bridge.codec import IMPLEMENTATION

WINDOW = 192  #: frames under way; a CAN socket's buffer holds some 270 where nobody asked for more
BURST = 64  #: frames in one system call
FEWEST, MOST = 1_000, 1_000_000  #: frames of a run
RECORDS_PER_FRAME = len(payload.SIGNALS)

_FRAME = struct.Struct("=IB3x8s")  # struct can_frame of linux/can.h


class _IoVector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("vectors", ctypes.POINTER(_IoVector)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (("header", _Header), ("length", ctypes.c_uint))


class Source:
    """Sends the benchmark's frames on an interface, a burst in one system call."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
        self._socket.bind((interface,))
        frames = payload.frames(payload.FRAMES)
        self._frames = ctypes.create_string_buffer(
            b"".join(_FRAME.pack(frame.id, len(frame.data), frame.data) for frame in frames)
        )
        self._vectors = (_IoVector * len(frames))()
        self._messages = (_Message * len(frames))()
        for number in range(len(frames)):
            self._vectors[number].base = ctypes.addressof(self._frames) + number * _FRAME.size
            self._vectors[number].length = _FRAME.size
            self._messages[number].header.vectors = ctypes.pointer(self._vectors[number])
            self._messages[number].header.vector_count = 1
        self._next = 0
        self._send = ctypes.CDLL(None, use_errno=True).sendmmsg

    def burst(self, count: int) -> int:
        """Send some frames; how many were sent."""
        count = min(count, BURST, len(self._messages) - self._next)
        first = ctypes.byref(self._messages, self._next * ctypes.sizeof(_Message))
        sent: int = self._send(self._socket.fileno(), first, count, 0)
        if sent < 0:
            raise OSError(ctypes.get_errno(), "sendmmsg")
        self._next = (self._next + sent) % len(self._messages)
        return sent


class Contestant:
    """A server, its interface and its client."""

    def __init__(self, server: Server, interface: str) -> None:
        self.server = server
        self._source = Source(interface)
        self._client = socket.create_connection(("127.0.0.1", server.port))
        self._client.setblocking(False)
        self._buffer = bytearray(1 << 20)
        self._wait_until_it_hears()
        self.frames = FEWEST
        self.run()

    def _wait_until_it_hears(self) -> None:
        """Send frames until one arrives, and take them all."""
        until = deadline()
        while not self._read(0.2):
            self._source.burst(1)
            if time.monotonic() > until:
                raise TimeoutError("no frame has reached the client")
        while self._read(0.5):
            pass

    def calibrate(self, seconds: float) -> None:
        """Find how many frames make a run of about that time."""
        while (took := self.frames / self.run()[0]) < seconds / 2 and self.frames < MOST:
            self.frames = int(min(MOST, max(self.frames * seconds / took * 0.8, 2 * self.frames)))

    def run(self) -> tuple[float, float]:
        """Frames per second, and the server's CPU time per frame in microseconds.

        Raises:
            TimeoutError: frames were lost.
        """
        cpu, began = self.server.cpu_seconds(), time.perf_counter()
        to_send, to_come = self.frames, self.frames * RECORDS_PER_FRAME
        while to_come > 0:
            room = WINDOW - (to_come // RECORDS_PER_FRAME - to_send)
            if to_send and room >= BURST:
                to_send -= self._source.burst(min(to_send, room))
                continue
            records = self._read(10)
            if not records:
                raise TimeoutError(f"{to_come / RECORDS_PER_FRAME:.0f} frames did not arrive")
            to_come -= records
        rate = self.frames / (time.perf_counter() - began)
        # The kernel counts in ticks: what is too short to be seen is taken for one.
        used = max(self.server.cpu_seconds() - cpu, TICK)
        return rate, 1e6 * used / self.frames

    def _read(self, seconds: float) -> int:
        """Wait for records; how many have ended in what came."""
        if not select.select([self._client], [], [], seconds)[0]:
            return 0
        size = self._client.recv_into(self._buffer)
        if not size:
            raise ConnectionError("the server has closed the connection")
        return self._buffer.count(0, 0, size)


def main(runs: int, seconds: float) -> None:
    """Let both run in turn, and print what came out."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    # A server that wakes does not interrupt the source's system call: frames gather, as while it is busy.
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with ExitStack() as stack:
        database = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vcan-")), "benchmark.dbc")
        database.write_text(payload.DATABASE)
        obvious = stack.enter_context(serving("-m", "benchmarks.obvious_bridge", str(database), "vcan0"))
        ours = stack.enter_context(serving(*bridge_arguments(["socketcan:vcan1"], "--dbc", str(database))))
        contestants = {"obvious": Contestant(obvious, "vcan0"), "bridge": Contestant(ours, "vcan1")}
        for contestant in contestants.values():
            contestant.calibrate(seconds)
        results: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
        for _ in range(runs):
            for name, contestant in contestants.items():
                results[name].append(contestant.run())
    kernel = f"{os.uname().sysname} {os.uname().release}"
    way = os.environ.get("VCAN_KERNEL", "as it is")
    print(json.dumps({"results": results, "kernel": kernel, "way": way, "implementation": IMPLEMENTATION}))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
