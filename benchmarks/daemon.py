"""The daemon by itself: how soon its first record is there, and its memory."""

from __future__ import annotations

import contextlib
import select
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import payload
from benchmarks.measuring import Effort, Figure, Report, within
from benchmarks.servers import TIMEOUT, Server, bridge_arguments, serving

CLIENTS = 10
MEGABYTE = 1e6
START = "start to the first record at a client"


def measure(effort: Effort) -> Report:
    """Starts with the simulated vehicle and with a database, in turn; then the memory."""
    with tempfile.TemporaryDirectory(prefix="daemon-") as folder:
        database, log = Path(folder, "benchmark.dbc"), Path(folder, "benchmark.log")
        database.write_text(payload.DATABASE)
        log.write_text(
            "".join(
                f"({1.7e9 + number / 1000:.6f}) can0 {frame.id:03X}#{frame.data.hex()}\n"
                for number, frame in enumerate(payload.frames())
            )
        )
        simulated = bridge_arguments(["simulated"])
        recorded = bridge_arguments([f"replay:{log}?loop"], "--dbc", str(database))
        starts: dict[str, list[float]] = {"simulated vehicle": [], "database and recording": []}
        for _ in range(effort.runs):
            starts["simulated vehicle"].append(seconds_to_first_record(simulated))
            starts["database and recording"].append(seconds_to_first_record(recorded))
        memory = [
            resident(arguments, 0.5 if effort.quick else 2.0)
            for _ in range(1 if effort.quick else 5)
            for arguments in (simulated, recorded)
        ]
    rows = [within(f"{START}, {what}", Figure(tuple(runs)), 0.5, "s") for what, runs in starts.items()]
    for what, runs in zip(starts, (memory[::2], memory[1::2]), strict=True):
        rows.append(within(f"resident memory with {CLIENTS} clients, {what}", Figure(tuple(runs)), 80, "MB"))
    return Report(rows)


def seconds_to_first_record(arguments: Sequence[str]) -> float:
    """From before the process is made until a client has a whole record."""
    began = time.monotonic()
    with serving(*arguments) as server, _client(server) as client:
        received = b""
        while b"\0" not in received:
            received += client.recv(4096)
        return time.monotonic() - began


def resident(arguments: Sequence[str], seconds: float) -> float:
    """Megabytes of a daemon whose clients have read all they could for some time."""
    with serving(*arguments) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(_client(server)) for _ in range(CLIENTS)]
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            for client in select.select(clients, [], [], left)[0]:
                client.recv(65536)
        return server.resident() / MEGABYTE


def _client(server: Server) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port))
    client.settimeout(TIMEOUT)
    return client
