"""A remote vehicle for a test: a real gateway over the simulated vehicle, and a wire to it that can be cut."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

import msgspec

from bridge.backoff import Backoff
from bridge.buses.bus import Bus, BusState
from bridge.buses.openobd import OpenObdBus
from bridge.buses.openobd_making import make_openobd_bus
from bridge.buses.spec import parse_bus_spec
from bridge.buses.virtual import VirtualBus
from bridge.config import OpenObdSettings
from bridge.frames import Frame, FrameBatch
from bridge.gateway.server import Gateway
from bridge.gateway.states import State
from bridge.openobd.messages import ServiceResult
from tests.contract.harness import Listener, Peer
from tests.gateway.bench import Bench

SOON = 20.0  #: seconds; far beyond what anything here takes, so that only a hang meets it


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that tells nobody."""
    async with asyncio.timeout(SOON):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class Wire:
    """A TCP connection's way to a server, which can be cut and mended."""

    def __init__(self) -> None:
        self.port = 0
        self.target = 0  #: the server's port on loopback
        self.held = False  #: nothing gets through, and nobody is told
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._carrying: set[asyncio.Task[None]] = set()

    async def mend(self) -> None:
        """Take connections, on the same port as before."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """End all connections, and take no more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.jolt()
        if self._carrying:
            await asyncio.wait(self._carrying)

    def jolt(self) -> None:
        """End all connections; new ones are taken."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(far_writer)
        await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                if not self.held:
                    writer.write(data)
                    await writer.drain()
        writer.close()


class Ear:
    """Hears the remote vehicle's wire itself."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self._news = asyncio.Event()

    def frames_received(self, bus: Bus, batch: FrameBatch) -> None:
        self.frames.extend(batch)
        self._news.set()

    def bus_state_changed(self, bus: Bus, state: BusState, reason: str) -> None:
        """It never does."""

    def of(self, identifier: int) -> list[bytes]:
        """The data of all frames of an id."""
        return [frame.data for frame in self.frames if frame.id == identifier]

    async def hears(self, identifier: int, count: int = 1) -> list[bytes]:
        """The first frames of an id."""
        async with asyncio.timeout(SOON):
            while len(self.of(identifier)) < count:
                self._news.clear()
                await self._news.wait()
        return self.of(identifier)[:count]


class Remote:
    """The vehicle, the gateway before it, the wire to that, and what reaches either."""

    def __init__(self, **settings) -> None:
        self._settings = settings
        self.wire = Wire()
        self.ear = Ear()
        self.results: list[ServiceResult] = []  #: that sessions were finished with
        self.over: list[tuple[str, State]] = []  #: sessions that the gateway has lost by its restarts
        self._buses: list[Bus] = []

    async def __aenter__(self) -> Remote:
        await self.wire.mend()
        self.bench = Bench(advertise=f"127.0.0.1:{self.wire.port}", **self._settings)
        await self.bench.__aenter__()
        listener = VirtualBus(1, "an ear", self.bench.segment)
        self.car = VirtualBus(1, "somebody else in the vehicle", self.bench.segment)
        for bus, ear in ((listener, self.ear), (self.car, Ear())):
            await bus.open(ear)
            self._buses.append(bus)
        self._gateway_is_up()
        return self

    async def __aexit__(self, *_: object) -> None:
        for bus in reversed(self._buses):
            await bus.close()
        await self.bench.__aexit__()
        await self.wire.cut()

    def _gateway_is_up(self) -> None:
        self.wire.target = self.bench.gateway.endpoint.port
        sessions = self.bench.gateway.core.sessions
        finish = sessions.finish

        def note(context, result) -> None:
            self.results.append(result)
            finish(context, result)

        sessions.finish = note

    def bus(self, spec: str = "openobd:ticket/1", *, named=frozenset(), loopback=False, **settings) -> OpenObdBus:
        """A bus of this vehicle, not yet open; it is closed with the test."""
        values = {
            "host": "127.0.0.1",
            "port": self.wire.port,
            "client_id": "bench-client",
            "client_secret": "bench-secret",
        }
        bus = make_openobd_bus(
            1, parse_bus_spec(spec), OpenObdSettings(**values | settings), named=named, loopback=loopback
        )
        bus.backoff = Backoff(0.05, 0.2, random.random)
        self._buses.append(bus)
        return bus

    @property
    def sessions(self) -> list[tuple[str, State]]:
        """Id and state of all sessions that this gateway knows."""
        found = self.bench.gateway.core.sessions.list("bench-client")
        return [(session.id, session.state) for session in found]

    @property
    def states(self) -> list[State]:
        """The states of all sessions that this gateway knows."""
        return [state for _, state in self.sessions]

    def note_tokens(self) -> set[str]:
        """All tokens that the gateway gives from now on."""
        tokens = self.bench.gateway.core.tokens
        make, made = tokens._make, set()

        def note() -> str:
            token = make()
            made.add(token)
            return token

        tokens._make = note
        return made

    async def heard_by_gateway(self, *ids: int) -> None:
        """Wait until callers of the gateway hear raw frames of these ids."""
        bus = self.bench.buses[1]
        await until(lambda: sorted(identifier for identifier, _ in bus.raw_channels.heard_ids) == sorted(ids))

    async def end_gateway(self) -> None:
        """Kill the gateway; the vehicle stays."""
        await self.bench.gateway.stop()

    async def begin_gateway(self, **changes: str) -> None:
        """Another one in its place, which knows nothing of the sessions before."""
        core = self.bench.gateway.core
        self.bench.gateway = Gateway(msgspec.structs.replace(core.settings, **changes), core.vehicle, {})
        await self.bench.gateway.start()
        self._gateway_is_up()


async def opened(bus: OpenObdBus) -> Listener:
    listener = Listener()
    await bus.open(listener)
    return listener


async def lost_and_found(listener: Listener, times: int = 1) -> None:
    await listener.until(lambda: listener.states == [BusState.GONE, BusState.UP] * times)


async def until_up(listener: Listener) -> None:
    await listener.until(lambda: listener.states[-1:] == [BusState.UP])


async def until_gone(listener: Listener) -> None:
    """Wait for a loss that nothing mends by itself."""
    await listener.until(lambda: listener.states[-1:] == [BusState.GONE])


def engine(bus: OpenObdBus) -> Peer:
    return Peer(bus, 0x7E0, 0x7E8)


async def ask(peer: Peer, payload: str) -> str:
    peer.channel.send(bytes.fromhex(payload))
    return (await peer.payload()).hex().upper()
