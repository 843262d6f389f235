"""Clients over a transport that takes what the test says, and a clock that the test moves."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from bridge.clients.client import Client
from bridge.clients.queue import OutputQueue
from bridge.openxc.messages import PayloadFormat


class FakeTransport(asyncio.Transport):
    """An operating system that takes bytes only when told to, and otherwise keeps asyncio's rules."""

    def __init__(self, room: float = float("inf")) -> None:
        super().__init__()
        self.room = room
        self.client: Client
        self.writes: list[bytes] = []  # what was handed over, write by write
        self.buffer = bytearray()
        self.read = bytearray()  # what the peer has got
        self.high = 0
        self.paused = False
        self.closed = False
        self.aborted = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        self.high = high

    def get_write_buffer_size(self) -> int:
        return len(self.buffer)

    def is_closing(self) -> bool:
        return self.closed

    def write(self, data) -> None:
        assert not self.closed
        self.writes.append(bytes(data))
        self.buffer += data
        self._give()
        if len(self.buffer) > self.high and not self.paused:
            self.paused = True
            self.client.writing_paused()

    def _give(self) -> None:
        size = int(min(self.room, len(self.buffer)))
        self.read += self.buffer[:size]
        del self.buffer[:size]
        self.room -= size

    def take(self, size: float = float("inf")) -> None:
        """The peer reads that many bytes more."""
        self.room += size
        while True:
            self._give()
            if not self.paused or len(self.buffer) > self.high // 4:
                return
            self.paused = False
            self.client.writing_resumed()

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True
        self.buffer.clear()


class FakeClock:
    """Time that stands still until advance()."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[FakeTimer] = []

    def __call__(self) -> float:
        return self.now

    def call_later(self, delay, callback):
        timer = FakeTimer(self.now + delay, callback)
        self.timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [timer for timer in self.pending if timer.when <= end]:
            timer = min(due, key=lambda timer: timer.when)
            self.now = max(self.now, timer.when)
            timer.cancel()
            timer.callback()
        self.now = end

    @property
    def pending(self):
        return [timer for timer in self.timers if not timer.cancelled]


class FakeTimer:
    def __init__(self, when, callback) -> None:
        self.when = when
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def new_client():
    """Make a client and its transport; `room` is how much the peer takes, `limit` the queue's bound."""
    ids = itertools.count(1)

    def make(room=float("inf"), *, limit=1000, responses=100, payload_format=PayloadFormat.JSON):
        transport = FakeTransport(room)
        client = Client(
            next(ids), "test", transport, payload_format=payload_format, queue=OutputQueue(limit, responses)
        )
        transport.client = client
        transport.high = 100
        return client, transport

    return make
