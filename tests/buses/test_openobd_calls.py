"""Whom a remote session talks to, how, and what is said when that goes wrong."""

from __future__ import annotations

import asyncio
import socket

import grpc
import pytest
import trustme
from grpc import aio

from bridge.buses.openobd_calls import CallFailed, Security, call, reach
from bridge.errors import RemoteSessionError
from bridge.openobd.endpoint import Endpoint
from bridge.openobd.messages import EmptyMessage
from bridge.openobd.services import sessionStub
from tests.contract.harness import Listener

from .remote import SOON, Remote

HERE = Endpoint("127.0.0.1", 50051)
THERE = Endpoint("grpc.example.com", 50051)


@pytest.mark.parametrize(
    ("security", "endpoint"),
    [
        (Security(), HERE),
        (Security(), Endpoint("localhost", 50051)),
        (Security(), Endpoint("::1", 50051)),
        (Security(), Endpoint("grpc.example.com", 443)),
        (Security(tls=True), THERE),
        (Security(authority=b"PEM"), THERE),
        (Security(insecure=True), THERE),
    ],
)
def test_whom_secrets_may_be_told(security, endpoint) -> None:
    security.check(endpoint)


@pytest.mark.parametrize(
    ("security", "endpoint"),
    [
        (Security(), THERE),
        (Security(tls=False), Endpoint("grpc.example.com", 443)),
        (Security(tls=False, authority=b"PEM"), THERE),
    ],
)
def test_whom_they_may_not(security, endpoint) -> None:
    with pytest.raises(RemoteSessionError, match=r"in the clear.*openobd\.tls = true"):
        security.check(endpoint)


@pytest.mark.parametrize(
    ("details", "line"),
    [
        ("there is no such ticket", "no session: there is no such ticket"),
        ("", "no session: UNAVAILABLE"),
        (None, "no session: UNAVAILABLE"),
        ("two\nlines \x1b[2J", r"no session: two\nlines \x1b[2J"),
        ("failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.0.1:5: refused", None),
        ("x" * 10_000, None),
    ],
)
def test_a_servers_words_are_one_line(details, line) -> None:
    text = str(CallFailed("no session", grpc.StatusCode.UNAVAILABLE, details))
    assert line is None or text == line
    assert text.isprintable()
    assert len(text) < 400
    assert "last error" not in text


async def test_a_call_has_an_end(monkeypatch) -> None:
    """Somebody takes the connection and then says nothing."""
    monkeypatch.setattr("bridge.buses.openobd_calls.REMOTE_CONNECT_TIMEOUT", 0.1)
    silent = socket.create_server(("127.0.0.1", 0))
    endpoint = Endpoint(*silent.getsockname())
    async with Security().channel(endpoint) as channel:
        with pytest.raises(RemoteSessionError, match=r"does not answer within 0\.1 s"):
            await reach(channel, endpoint)
        with pytest.raises(CallFailed) as error:
            await call(sessionStub(channel).authenticate, EmptyMessage(), "no", "token", 0.1)
        assert error.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    silent.close()


async def test_each_channel_connects_anew() -> None:
    """After a refused connection gRPC would wait for a second before it tries again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = Endpoint(*taken.getsockname())
    for _ in range(3):
        async with Security().channel(endpoint) as channel:
            await reach(channel, endpoint)
            with pytest.raises(CallFailed, match="refused"):
                await call(sessionStub(channel).authenticate, EmptyMessage(), "no", "token")
    server = aio.server()
    server.add_insecure_port(str(endpoint))
    await server.start()
    began = asyncio.get_running_loop().time()
    async with Security().channel(endpoint) as channel:
        await reach(channel, endpoint)
        assert channel.get_state() is grpc.ChannelConnectivity.READY
    assert asyncio.get_running_loop().time() - began < 0.8
    await server.stop(None)


class TestTls:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    async def remote(self, authority, tmp_path):
        certificate = authority.issue_cert("127.0.0.1")
        certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(tmp_path / "certificate.pem", append=True)
        async with Remote(certificate=str(tmp_path / "certificate.pem"), key=str(tmp_path / "key.pem")) as remote:
            yield remote

    async def test_with_the_right_authority_all_of_it_is_encrypted(self, remote, authority, tmp_path) -> None:
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        bus = remote.bus(ca=str(tmp_path / "ca.pem"))
        async with asyncio.timeout(SOON):
            await bus.open(Listener())
            await bus.close()

    async def test_with_another_one_nothing_is_told(self, remote, tmp_path) -> None:
        trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
        with pytest.raises(RemoteSessionError, match=r"is not trusted \(.+\); .* openobd\.ca"):
            await remote.bus(ca=str(tmp_path / "other.pem")).open(Listener())
        with pytest.raises(RemoteSessionError, match="cannot be reached at"):  # in the clear
            await remote.bus().open(Listener())
        assert remote.states == []
