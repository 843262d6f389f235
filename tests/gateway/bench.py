"""A gateway on loopback over the simulated vehicle, and openOBD callers of it: real gRPC on both sides."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

from grpc import aio

from bridge.buses.bus import Bus, BusState
from bridge.buses.virtual import Segment, VirtualBus
from bridge.config import GatewaySettings
from bridge.frames import FrameBatch
from bridge.gateway.server import Gateway
from bridge.gateway.vehicle import SignalValue, Vehicle
from bridge.openobd import services
from bridge.openobd.messages import Authenticate, EmptyMessage, SessionInfo, TicketId
from bridge.policy import BusRules, Write
from bridge.profile import loading
from bridge.simulator.node import SimulatedVehicle

SOON = 20.0  #: seconds; far beyond what anything here takes, so that only a hang meets it

Metadata = tuple[tuple[str, str], ...]


def bearer(token: str) -> Metadata:
    """The metadata of a call with a token."""
    return (("authorization", f"Bearer {token}"),)


async def refusal(call: Awaitable[Any]) -> aio.AioRpcError:
    """The error with which a call ends."""
    try:
        answer = await asyncio.wait_for(call, SOON)
    except aio.AioRpcError as error:
        return error
    raise AssertionError(f"the call was not refused: {answer}")


class Bench:
    """One gateway. Bus 1 has the simulated vehicle; bus 2 is a wire with nobody on it."""

    def __init__(self, grants: Write = Write.ALL, **settings: Any) -> None:
        self.segment = Segment()
        self.buses: dict[int, Bus] = {
            1: VirtualBus(1, "the car", self.segment),
            2: VirtualBus(2, "an empty wire", Segment()),
        }
        self.car = SimulatedVehicle(VirtualBus(1, "the simulated vehicle", self.segment), loading.load("demo"), seed=1)
        self.muted: set[int] = set()
        self.signals: dict[str, SignalValue] = {}
        vehicle = Vehicle(self.buses, grants, lambda bus: BusRules(bus, True), self._mute, self.signals.get)
        self.gateway = Gateway(GatewaySettings(**{"listen": "127.0.0.1:0"} | settings), vehicle, {})

    def _mute(self, bus: int, muted: bool) -> None:
        (self.muted.add if muted else self.muted.discard)(bus)

    def frames_received(self, bus: Bus, batch: FrameBatch) -> None:
        """What OpenXC's side hears, which is not looked at here."""

    def bus_state_changed(self, bus: Bus, state: BusState, reason: str) -> None:
        """As the bridge does."""
        self.gateway.bus_state_changed(bus.number, state)

    async def __aenter__(self) -> Bench:
        for bus in self.buses.values():
            await bus.open(self)
        await self.car.start()
        await self.gateway.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.gateway.stop()
        await self.car.stop()
        for bus in self.buses.values():
            await bus.close()

    @property
    def address(self) -> str:
        """HOST:PORT of the gateway."""
        return str(self.gateway.endpoint)

    def caller(self, options: Mapping[str, Any] | None = None) -> Caller:
        """Somebody with a connection of their own."""
        return Caller(aio.insecure_channel(self.address, options=list((options or {}).items())))


class Caller:
    """A client of all services, on one channel. `async with` it."""

    def __init__(self, channel: aio.Channel) -> None:
        self.channel = channel
        self.token = ""  #: that calls are made with
        for name in dir(services):
            if name.endswith("Stub"):
                setattr(self, name.removesuffix("Stub"), getattr(services, name)(channel))

    def __getattr__(self, name: str) -> Any:  # the stubs, for whoever checks types
        raise AttributeError(name)

    async def __aenter__(self) -> Caller:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()

    @property
    def metadata(self) -> Metadata:
        """For a call with the present token."""
        return bearer(self.token)

    async def log_in(self, client_id: str = "bench-client", client_secret: str = "bench-secret") -> str:
        """Take a controller token, and use it from now on."""
        request = Authenticate(client_id=client_id, client_secret=client_secret, cluster_id="001")
        self.token = (await self.sessionController.getSessionControllerToken(request)).value
        return self.token

    async def start_session(self, ticket: str = "1") -> SessionInfo:
        """Log in and start a session; its authentication token is used from now on."""
        await self.log_in()
        info = await self.sessionController.startSessionOnTicket(TicketId(value=ticket), metadata=self.metadata)
        self.token = info.authentication_token
        return info

    async def active_session(self, ticket: str = "1") -> SessionInfo:
        """Start a session and claim it; its session token is used from now on."""
        info = await self.start_session(ticket)
        self.token = (await self.session.authenticate(EmptyMessage(), metadata=self.metadata)).value
        return info
