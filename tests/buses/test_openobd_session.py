"""Servers that are not as they should be: real ones, with services of the test's own."""

from __future__ import annotations

import asyncio

import pytest
from grpc import aio

from bridge.buses.bus import BusState
from bridge.buses.openobd import OpenObdBus
from bridge.buses.openobd_making import make_openobd_bus
from bridge.buses.spec import parse_bus_spec
from bridge.config import OpenObdSettings
from bridge.errors import RemoteSessionError
from bridge.openobd import services
from bridge.openobd.messages import EmptyMessage, SessionControllerToken, SessionInfo, SessionToken
from tests.contract.harness import Listener

from .remote import SOON


class Cloud:
    """A server whose answers a test may change, and that notes which calls it had."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.info = SessionInfo(id="7f3a", grpc_endpoint="127.0.0.1", authentication_token="first")
        self.token = "second"
        self.information = True  #: it has the connectionMonitor
        self.ends: asyncio.Event = asyncio.Event()  #: of the token stream

    async def start(self) -> None:
        cloud = self

        class Controller(services.sessionControllerServicer):
            async def getSessionControllerToken(self, request, call):  # noqa: N802
                return SessionControllerToken(value="controller")

            async def startSessionOnTicket(self, request, call):  # noqa: N802
                cloud.calls.append("start")
                return cloud.info

            async def interruptSession(self, request, call):  # noqa: N802
                cloud.calls.append(f"interrupt {request.value}")
                return SessionInfo()

        class Session(services.sessionServicer):
            async def authenticate(self, request, call):
                cloud.calls.append("authenticate")
                return SessionToken(value=cloud.token)

            async def openSessionTokenStream(self, request, call):  # noqa: N802
                await cloud.ends.wait()

            async def finish(self, request, call):
                cloud.calls.append("finish")
                return EmptyMessage()

        class Config(services.configServicer):
            async def configureBus(self, request, call):  # noqa: N802
                return EmptyMessage()

        self._server = aio.server()
        self.port = self.info.grpc_port = self._server.add_insecure_port("127.0.0.1:0")
        services.add_sessionControllerServicer_to_server(Controller(), self._server)
        services.add_sessionServicer_to_server(Session(), self._server)
        services.add_configServicer_to_server(Config(), self._server)
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(None)

    def bus(self) -> OpenObdBus:
        settings = OpenObdSettings(host="127.0.0.1", port=self.port, client_id="x", client_secret="y")
        return make_openobd_bus(1, parse_bus_spec("openobd:ticket/1"), settings)


@pytest.fixture
async def cloud():
    cloud = Cloud()
    await cloud.start()
    yield cloud
    await cloud.stop()


async def test_connector_information_may_be_missing(cloud) -> None:
    bus, listener = cloud.bus(), Listener()
    bus.silence_timeout = 0.01
    async with asyncio.timeout(SOON):
        await bus.open(listener)
        await asyncio.sleep(0.1)  # many times the silence that it could be taken for
        assert (bus.state, bus.latency, listener.states) == (BusState.UP, None, [])
        await bus.close()
    assert cloud.calls == ["start", "authenticate", "finish"]


@pytest.mark.parametrize("host", ["", "two words", "unix:/tmp/x", "user@host", "a/b", "x" * 300])
async def test_a_session_elsewhere_than_on_a_host(cloud, host) -> None:
    cloud.info.grpc_endpoint = host
    with pytest.raises(RemoteSessionError, match="endpoint is no host name and port"):
        await cloud.bus().open(Listener())
    assert cloud.calls == ["start", "interrupt 7f3a"]


async def test_a_session_where_tokens_would_be_told_in_the_clear(cloud) -> None:
    cloud.info.grpc_endpoint = "203.0.113.1"
    with pytest.raises(RemoteSessionError, match=r"203\.0\.113\.1.* in the clear"):
        await cloud.bus().open(Listener())
    assert cloud.calls == ["start", "interrupt 7f3a"]


@pytest.mark.parametrize("token", ["", "two\nlines", "\x00", "ümläut"])
async def test_a_token_that_is_none(cloud, token) -> None:
    cloud.token = token
    with pytest.raises(RemoteSessionError) as error:
        await cloud.bus().open(Listener())
    assert str(error.value).isprintable()
    assert cloud.calls[-1].startswith(("interrupt", "finish"))


async def test_a_token_stream_that_ends_costs_no_session(cloud) -> None:
    """Sessions may cost money: the same one is resumed as long as its token holds, again and again."""
    bus, listener = cloud.bus(), Listener()
    cloud.ends.set()
    async with asyncio.timeout(SOON):
        await bus.open(listener)
        await listener.until(lambda: listener.states.count(BusState.UP) >= 3)
        await bus.close()
    assert cloud.calls == ["start", "authenticate", "finish"]
