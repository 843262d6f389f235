"""What the contracts of buses are tested with: endpoints on a wire, listeners and the halves of channels."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from bridge.buses.bus import NORMAL_LAYOUT, Bus, BusState, IsotpLayout
from bridge.buses.can_socket import widen_receive_buffer
from bridge.buses.frame_bus import FrameBus
from bridge.frames import Frame, FrameBatch

FRAME_SPACE = 800  #: bytes of a socket's buffer that a kernel reckons for a frame at most; some do with half
PATIENCE = 20.0  #: seconds until a test gives up waiting; no test waits so long when all is well


class Listener:
    """Keeps what a bus says, and lets a test wait for it."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.longest_batch = 0
        self.states: list[BusState] = []
        self._news = asyncio.Event()

    def frames_received(self, bus: Bus, batch: FrameBatch) -> None:
        self.longest_batch = max(self.longest_batch, len(batch))
        self.frames.extend(batch)
        self._news.set()

    def bus_state_changed(self, bus: Bus, state: BusState, reason: str) -> None:
        self.states.append(state)
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def heard(self, count: int) -> list[Frame]:
        await self.until(lambda: len(self.frames) >= count)
        return self.frames


class Peer:
    """An ISO-TP channel's other half in a test: what came, what failed."""

    def __init__(
        self,
        bus: Bus,
        request_id: int,
        response_id: int | None,
        extended: bool = False,
        layout: IsotpLayout = NORMAL_LAYOUT,
    ) -> None:
        self.payloads: asyncio.Queue[bytes] = asyncio.Queue()
        self.failures: asyncio.Queue[str] = asyncio.Queue()
        self.parts = 0
        self.channel = bus.open_isotp(
            request_id,
            response_id,
            extended=extended,
            receiver=self.payloads.put_nowait,
            failure=self.failures.put_nowait,
            progress=self._progress,
            layout=layout,
        )

    def _progress(self) -> None:
        self.parts += 1

    async def payload(self) -> bytes:
        return await asyncio.wait_for(self.payloads.get(), PATIENCE)

    async def failure(self) -> str:
        return await asyncio.wait_for(self.failures.get(), PATIENCE)


class Raw:
    """A raw channel in a test: what came."""

    def __init__(self, bus: Bus, identifier: int, extended: bool = False) -> None:
        self.heard: list[bytes] = []
        self._news = asyncio.Event()
        self.channel = bus.open_raw(identifier, extended=extended, receiver=self._hear)

    def _hear(self, data: bytes) -> None:
        self.heard.append(data)
        self._news.set()

    async def data(self, count: int) -> list[bytes]:
        async with asyncio.timeout(PATIENCE):
            while len(self.heard) < count:
                self._news.clear()
                await self._news.wait()
        return self.heard


def essence(frame: Frame) -> tuple[int, bytes, int]:
    """What must survive the wire."""
    return frame.id, frame.data, frame.all_flags()


class Endpoints:
    """What a contract is tested on. `make` gives an endpoint of the test's wire."""

    window = 5000  #: frames that may be on the way at once without loss
    burst = 4095  #: bytes of the longest ISO-TP payload whose frames the wire has room for
    wire: object  #: shared by the endpoints of one test

    def new_wire(self) -> object:
        raise NotImplementedError

    def make(self, number: int, loopback: bool = False) -> FrameBus:
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _wire(self) -> None:
        self.wire = self.new_wire()

    @pytest.fixture
    async def opened(self) -> AsyncIterator[Callable[..., object]]:
        """Opens endpoints, and closes them after the test."""
        buses: list[Bus] = []

        async def open_endpoint(
            number: int, loopback: bool = False, listener: Listener | None = None
        ) -> tuple[Bus, Listener]:
            bus, hears = self.make(number, loopback), listener or Listener()
            await bus.open(hears)
            buses.append(bus)
            return bus, hears

        yield open_endpoint
        for bus in buses:
            await bus.close()


def room_for_a_burst(frames: int = 1300) -> bool:
    """Whether a socket's receive buffer can be made to hold so many frames; the longest payload has half as many."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        widen_receive_buffer(probe)  # root of a user namespace may no more than others
        return probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= frames * FRAME_SPACE
