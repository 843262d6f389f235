"""The bridge from outside: a daemon as a process or in the test's loop, and an app that talks to it."""

from __future__ import annotations

import asyncio
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bridge.openxc import json_format, protobuf_format
from bridge.openxc.messages import (
    CommandResponse,
    DiagnosticAction,
    DiagnosticCommand,
    DiagnosticRequest,
    Outgoing,
    PayloadFormat,
    SimpleCommand,
)
from bridge.openxc.stream import OutgoingStreamDecoder

SOON = 20.0  #: seconds; far beyond what anything here takes, so that only a hang meets it
PROJECT = Path(__file__).parents[2]
DATA = PROJECT.parent / "shared" / "data"  #: recordings of real cars, which lie beside the project

_ENCODERS = {PayloadFormat.JSON: json_format.encode, PayloadFormat.PROTOBUF: protobuf_format.encode}
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Daemon:
    """`openxc-bridge run` as a process of its own, serving once the object is made."""

    def __init__(self, folder: Path, *arguments: str, stdin: int = subprocess.DEVNULL, log: int | None = None) -> None:
        """`log` is a descriptor for its stderr, in place of what `errors` reads."""
        self.began = time.monotonic()
        self._stderr = folder / f"stderr-{time.monotonic_ns()}"
        # python-can's own settings, and the bridge's, of whoever runs the tests must not count.
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("OPENXC_", "CAN_"))}
        with self._stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bridge", "run", *arguments],
                cwd=PROJECT,
                env=environment,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr if log is None else log,
            )
        self.printed = self._read_until_ready()

    def _read_until_ready(self) -> str:
        """What it prints when it serves; its last line says what to try."""
        assert self.process.stdout is not None
        printed = b""
        deadline = time.monotonic() + SOON
        while not re.search(rb"^try: .*\n", printed, re.MULTILINE):
            readable, _, _ = select.select([self.process.stdout], [], [], deadline - time.monotonic())
            chunk = os.read(self.process.stdout.fileno(), 65536) if readable else b""
            if not chunk:
                self.kill()
                raise AssertionError(f"the daemon did not start: {self.errors}")
            printed += chunk
        return printed.decode()

    @property
    def urls(self) -> list[str]:
        """Where it listens, in the order of its settings."""
        return re.findall(r"apps connect to (\S+)", self.printed)

    @property
    def url(self) -> str:
        return self.urls[0]

    @property
    def errors(self) -> str:
        """What it wrote to stderr so far."""
        return self._stderr.read_text()

    @property
    def memory(self) -> int:
        """Its resident memory in bytes."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * _PAGE

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    @contextmanager
    def halted(self) -> Iterator[None]:
        """Stop its clock: what is done in here reaches it at one moment."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Ask it to end; its exit status and how many seconds it took."""
        began = time.monotonic()
        if self.running:
            self.process.send_signal(number)
        try:
            status = self.process.wait(SOON)
        finally:
            self.kill()
        return status, time.monotonic() - began

    def kill(self) -> None:
        """End it at once; harmless when it has ended."""
        if self.running:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def simulating(bus: str) -> Iterator[subprocess.Popen[bytes]]:
    """`openxc-bridge simulate` on a bus as a process of its own, driving."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge", "simulate", "--bus", bus],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        printed = b""
        while b"try: " not in printed:
            assert select.select([process.stdout], [], [], SOON)[0]
            piece = os.read(process.stdout.fileno(), 65536)
            assert piece, process.stderr.read().decode()
            printed += piece
        yield process
    finally:
        process.kill()
        process.communicate()


class App:
    """An app's side of one connection: sends messages, and reads records as they come."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, payload_format: PayloadFormat | None = None
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.payload_format = payload_format or PayloadFormat.JSON  #: that it sends in
        self.decoder = OutgoingStreamDecoder(payload_format)
        self.waiting: list[Outgoing] = []  #: decoded, not yet taken

    @classmethod
    async def connect(cls, url: str, payload_format: PayloadFormat | None = None) -> App:
        """Connect to a listener; without a payload format the first bytes tell it."""
        kind, _, where = url.partition(":")
        if kind == "unix":
            return cls(*await asyncio.open_unix_connection(where), payload_format)
        host, port = address(url)
        return cls(*await asyncio.open_connection(host, port), payload_format)

    @classmethod
    async def adopt(cls, sock: socket.socket, payload_format: PayloadFormat | None = None) -> App:
        """An app on a socket that is connected already."""
        sock.setblocking(False)
        return cls(*await asyncio.open_connection(sock=sock), payload_format)

    async def __aenter__(self) -> App:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def send(self, *messages: object) -> None:
        """Send messages, or bytes as they are."""
        encode = _ENCODERS[self.payload_format]
        for message in messages:
            self.writer.write(message if isinstance(message, bytes) else encode(message))

    async def read(self) -> bytes:
        """The next bytes, b"" at the end, and with them records to wait."""
        async with asyncio.timeout(SOON):
            data = await self.reader.read(1 << 18)
        self.waiting += self.decoder.feed(data)
        return data

    async def record(self) -> Outgoing:
        """The next record."""
        while not self.waiting:
            if not await self.read():
                raise EOFError("the bridge has closed the connection")
        return self.waiting.pop(0)

    async def records(self, count: int) -> list[Outgoing]:
        """The next records."""
        while len(self.waiting) < count:
            if not await self.read():
                raise EOFError(f"the bridge has closed the connection after {len(self.waiting)} records")
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        return taken

    async def until(self, wanted: Callable[[Outgoing], bool]) -> list[Outgoing]:
        """The records up to the first that is wanted; it comes last."""
        taken: list[Outgoing] = []
        async with asyncio.timeout(SOON):
            while not taken or not wanted(taken[-1]):
                taken.append(await self.record())
        return taken

    async def find(self, wanted: Callable[[Outgoing], bool]) -> Outgoing:
        """The first record that is wanted."""
        return (await self.until(wanted))[-1]

    async def answer(self) -> CommandResponse:
        """The next answer to a command, whatever data comes before it."""
        found = await self.find(lambda record: isinstance(record, CommandResponse))
        assert isinstance(found, CommandResponse)
        return found

    async def ask(self, message: object) -> CommandResponse:
        """Send a command, or one by its name, and take its answer."""
        self.send(SimpleCommand(name=message) if isinstance(message, str) else message)
        return await self.answer()

    async def request(self, identifier: int, mode: int, pid: int | None = None, **fields: object) -> CommandResponse:
        """Add a diagnostic request."""
        action = fields.pop("action", DiagnosticAction.ADD)
        request = DiagnosticRequest(id=identifier, mode=mode, pid=pid, **fields)
        return await self.ask(DiagnosticCommand(name="diagnostic_request", action=action, request=request))

    async def to_the_end(self) -> list[Outgoing]:
        """All records until the bridge closes the connection."""
        try:
            while await self.read():
                pass
        except ConnectionError:
            pass
        return self.waiting

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


def address(url: str) -> tuple[str, int]:
    """Host and port of a tcp URL."""
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    return host.strip("[]"), int(port)


def connect(url: str, receive_buffer: int | None = None) -> socket.socket:
    """A plain blocking connection, for an app that does not read or leaves in anger."""
    kind, _, where = url.partition(":")
    sock = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET, socket.SOCK_STREAM)
    sock.settimeout(SOON)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.connect(where if kind == "unix" else address(url))
    return sock


def leave_in_anger(sock: socket.socket) -> None:
    """Reset the connection."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@dataclass(frozen=True)
class Counted:
    """A recording whose every frame carries its own number, and the profile that publishes the number."""

    log: Path
    profile: Path
    frames: int

    def expected(self) -> bytes:
        """All that one pass publishes, in JSON."""
        return b"".join(b'{"name":"counter","value":%d}\0' % number for number in range(self.frames))


def counted(folder: Path, frames: int) -> Counted:
    """Make such a recording."""
    recording = Counted(folder / "counted.log", folder / "counted.json", frames)
    recording.log.write_text(
        "".join(f"({1.7e9 + number / 5000:.6f}) can0 0A0#{number:016X}\n" for number in range(frames))
    )
    recording.profile.write_text(
        '{"name": "counted", "buses": {"hs": {"controller": 1, "speed": 500000, "raw_writable": true}},'
        ' "messages": {"0x0a0": {"bus": "hs", "signals":'
        ' {"counter": {"bit_position": 32, "bit_size": 32}}}}}'
    )
    return recording
