"""The server: who reaches it and how, what it takes, and what it never tells."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from grpc import aio

from bridge.config import GatewaySettings, PartnerSettings
from bridge.errors import ConfigurationError
from bridge.gateway import server, tokens
from bridge.gateway.core import BENCH_PARTNER
from bridge.limits import GRPC_MESSAGE_LIMIT, PARTNER_SESSIONS_LIMIT, SESSION_STREAMS_LIMIT
from bridge.openobd.messages import (
    Authenticate,
    EmptyMessage,
    FunctionCall,
    LogMessage,
    Result,
    ServiceResult,
    SessionId,
    SessionInfo,
    TicketId,
)

from .bench import SOON, Bench, Caller, bearer
from .http2 import Connection
from .refusals import refusal, refused

SUCCESS = ServiceResult(result=[Result.RESULT_SUCCESS])


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority, tmp_path_factory) -> Path:
    """A certificate for loopback and its key, and files that are of no use."""
    folder = tmp_path_factory.mktemp("tls")
    mine, other = authority.issue_cert("127.0.0.1", "localhost"), authority.issue_cert("127.0.0.1")
    (folder / "certificate.pem").write_bytes(b"".join(blob.bytes() for blob in mine.cert_chain_pems))
    (folder / "key.pem").write_bytes(mine.private_key_pem.bytes())
    (folder / "other-key.pem").write_bytes(other.private_key_pem.bytes())
    (folder / "text.pem").write_text("just some text\n")
    (folder / "empty.pem").write_text("")
    (folder / "cut.pem").write_bytes(mine.private_key_pem.bytes()[:100])
    secret = serialization.load_pem_private_key(mine.private_key_pem.bytes(), None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"a passphrase"),
    )
    (folder / "encrypted.pem").write_bytes(secret)
    return folder


def tls(files: Path) -> dict[str, str]:
    return {"certificate": str(files / "certificate.pem"), "key": str(files / "key.pem")}


def mistake(**settings: object) -> str:
    """The one line with which a gateway with these settings does not even begin."""
    with pytest.raises(ConfigurationError) as error:
        Bench(**settings)
    assert "\n" not in str(error.value)
    return str(error.value)


async def log_in(channel: aio.Channel) -> str:
    async with Caller(channel) as caller, asyncio.timeout(SOON):
        return await caller.log_in()


def own_addresses() -> list[str]:
    """This machine's addresses besides loopback, as far as its routes tell."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return []
        return [probe.getsockname()[0]]


def reachable() -> list[tuple[str, str]]:
    """Where a gateway listens, and addresses at which it is called then."""
    hosts = ["127.0.0.1", "127.0.0.2", *own_addresses()]
    pairs = [("127.0.0.1:0", "127.0.0.1"), ("localhost:0", "127.0.0.1"), *(("0.0.0.0:0", host) for host in hosts)]
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return pairs
    return [*pairs, ("[::1]:0", "[::1]"), *(("[::]:0", host) for host in ("[::1]", *hosts))]


# Listening


async def test_a_free_port_is_taken_and_told(bench) -> None:
    assert bench.gateway.endpoint.port > 0
    assert f"OPENOBD_GRPC_HOST=127.0.0.1 OPENOBD_GRPC_PORT={bench.gateway.endpoint.port}" in "\n".join(
        bench.gateway.describe()
    )


@pytest.mark.parametrize("settings", [{}, {"tls": True}], ids=["clear", "tls"])
async def test_a_port_in_use_is_one_line(bench, files, settings) -> None:
    second = Bench(listen=bench.address, **(tls(files) if settings else {}))
    with pytest.raises(ConfigurationError) as error:
        await second.gateway.start()
    await second.gateway.stop()
    assert str(error.value).startswith(f"the gateway cannot listen on {bench.address}: the port is in use")
    assert "\n" not in str(error.value)


async def test_an_address_of_another_machine_is_one_line() -> None:
    bench = Bench(listen="192.0.2.1:50051", insecure=True)
    with pytest.raises(ConfigurationError, match="the address is not this machine's"):
        await bench.gateway.start()
    await bench.gateway.stop()


async def test_stopping_twice_is_fine_and_frees_the_port() -> None:
    async with Bench() as bench:
        await bench.gateway.stop()
        async with Bench(listen=bench.address):
            pass


async def test_a_stop_is_quick_whatever_is_under_way(bench, caller) -> None:
    streams = [caller.session.openSessionTokenStream(EmptyMessage(), metadata=caller.metadata) for _ in range(20)]
    monitor = caller.connectionMonitor.openConnectorInformationStream(EmptyMessage(), metadata=caller.metadata)
    await monitor.read()
    scan = caller.vehicleInfo.getEcuList(EmptyMessage(), metadata=caller.metadata)
    await asyncio.sleep(0)
    async with asyncio.timeout(1.0):
        await bench.gateway.stop()
    with pytest.raises((aio.AioRpcError, asyncio.CancelledError)):
        await scan
    for stream in streams:
        stream.cancel()


# In the clear, and TLS


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "bench.example:0", *own_addresses()])
async def test_beyond_loopback_nothing_is_served_in_the_clear(listen) -> None:
    said = mistake(listen=listen)
    assert said.startswith("gateway.listen: other machines reach")
    assert "gateway.insecure = true" in said
    assert "gateway.certificate" in said


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.0.0.2:0", "localhost:0"])
async def test_this_machine_is_served_in_the_clear_without_a_word(listen, caplog) -> None:
    async with Bench(listen=listen) as bench:
        await log_in(aio.insecure_channel(bench.address))
    assert not [record for record in caplog.records if record.name.startswith("bridge.")]


async def test_insecure_is_allowed_where_it_is_said_and_warned_about(caplog) -> None:
    async with Bench(listen="0.0.0.0:0", insecure=True) as bench:
        await log_in(aio.insecure_channel(f"127.0.0.1:{bench.gateway.endpoint.port}"))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "in the clear on 0.0.0.0:" in record.getMessage()


async def test_tls_beyond_loopback_needs_no_word(files, authority, caplog) -> None:
    own = PartnerSettings(client_id="own", client_secret="a secret of its own")
    async with (
        Bench(listen="0.0.0.0:0", **tls(files), partner=(own,)) as bench,
        Caller(secure_channel(authority, f"127.0.0.1:{bench.gateway.endpoint.port}")) as caller,
    ):
        assert await caller.log_in(own.client_id, own.client_secret)
    assert not [record for record in caplog.records if record.name.startswith("bridge.")]


def secure_channel(authority: trustme.CA, address: str) -> aio.Channel:
    return aio.secure_channel(address, grpc.ssl_channel_credentials(authority.cert_pem.bytes()))


async def test_tls_is_for_those_who_know_the_authority(files, authority) -> None:
    async with Bench(**tls(files)) as bench:
        described = "\n".join(bench.gateway.describe())
        assert "(TLS)" in described
        assert "TLS to port 443 only" in described
        assert await log_in(secure_channel(authority, bench.address))
        for channel in (
            aio.insecure_channel(bench.address),
            secure_channel(trustme.CA(), bench.address),
            aio.secure_channel(bench.address, grpc.ssl_channel_credentials()),
        ):
            assert await refused(log_in(channel)) is grpc.StatusCode.UNAVAILABLE
        assert await log_in(secure_channel(authority, bench.address))


@pytest.mark.parametrize(
    ("certificate", "key", "says"),
    [
        ("certificate.pem", None, "gateway.key is missing"),
        (None, "key.pem", "gateway.certificate is missing"),
        ("nowhere.pem", "key.pem", "gateway.certificate: {tmp}/nowhere.pem: No such file"),
        ("certificate.pem", "nowhere.pem", "gateway.key: {tmp}/nowhere.pem: No such file"),
        ("certificate.pem", ".", "gateway.key: {tmp}: Is a directory"),
        ("certificate.pem", "other-key.pem", "gateway.key: {tmp}/other-key.pem is not the key of"),
        ("certificate.pem", "certificate.pem", "not a certificate and its key in PEM"),
        ("certificate.pem", "text.pem", "not a certificate and its key in PEM"),
        ("certificate.pem", "cut.pem", "not a certificate and its key in PEM"),
        ("certificate.pem", "encrypted.pem", "without a passphrase"),
        ("text.pem", "key.pem", "not a certificate and its key in PEM"),
        ("empty.pem", "key.pem", "not a certificate and its key in PEM"),
    ],
)
def test_files_of_no_use_are_found_at_the_start(files, certificate, key, says) -> None:
    paths = {name: str(files / file) for name, file in (("certificate", certificate), ("key", key)) if file is not None}
    assert says.replace("{tmp}", str(files)) in mistake(**paths)


# What callers are told to reach


@pytest.mark.parametrize(("listen", "host"), reachable())
async def test_a_session_s_endpoint_is_one_that_its_caller_reaches(listen, host) -> None:
    async with Bench(listen=listen, insecure=True) as bench:
        port = bench.gateway.endpoint.port
        async with Caller(aio.insecure_channel(f"{host}:{port}")) as caller, asyncio.timeout(SOON):
            info = await caller.start_session()
        assert info.grpc_port == port
        endpoint = f"[{info.grpc_endpoint}]" if ":" in info.grpc_endpoint else info.grpc_endpoint
        async with Caller(aio.insecure_channel(f"{endpoint}:{info.grpc_port}")) as other, asyncio.timeout(SOON):
            await other.session.authenticate(EmptyMessage(), metadata=bearer(info.authentication_token))


async def test_what_is_advertised_goes_into_the_lines_to_paste(files) -> None:
    bench = Bench(advertise="bench.example:443", **tls(files))
    described = "\n".join(bench.gateway.describe())
    await bench.gateway.stop()
    assert "openOBD scripts connect to bench.example:443 (TLS)" in described
    assert "OPENOBD_GRPC_HOST=bench.example OPENOBD_GRPC_PORT=443" in described
    assert "only" not in described


@pytest.mark.parametrize("advertise", ["bench.example:0", "0.0.0.0:443", "[::]:443", "443", ""])
def test_what_nobody_reaches_is_not_advertised(advertise) -> None:
    assert mistake(advertise=advertise).startswith("gateway.advertise: ")


@pytest.mark.parametrize("listen", ["50051", ":50051", ""])
def test_a_port_needs_its_host(listen) -> None:
    assert "is no HOST:PORT, such as 127.0.0.1:50051" in mistake(listen=listen)


async def test_what_is_advertised_goes_before_what_was_called(open_bench, join) -> None:
    bench = await open_bench(advertise="bench.example:443")
    info = await (await join(bench)).start_session()
    assert (info.grpc_endpoint, info.grpc_port) == ("bench.example", 443)


# Bounds


async def test_a_message_that_is_too_long_is_refused_and_the_connection_lives(bench, caller) -> None:
    within, beyond = TicketId(value="9" * (GRPC_MESSAGE_LIMIT - 100)), TicketId(value="9" * GRPC_MESSAGE_LIMIT)
    metadata = bearer(await caller.log_in())
    stream = caller.connectionMonitor.openConnectorInformationStream(EmptyMessage(), metadata=caller.metadata)
    assert await refused(caller.sessionController.startSessionOnTicket(beyond, metadata=metadata)) is (
        grpc.StatusCode.RESOURCE_EXHAUSTED
    )
    await caller.sessionController.startSessionOnTicket(within, metadata=metadata)
    stream.cancel()


async def test_a_message_of_a_stream_that_is_too_long_ends_that_stream_only(caller) -> None:
    other = caller.connectionMonitor.openConnectorInformationStream(EmptyMessage(), metadata=caller.metadata)
    await other.read()

    async def sent() -> AsyncIterator[LogMessage]:
        yield LogMessage(content="x" * GRPC_MESSAGE_LIMIT)

    assert await refused(caller.logging.openLogStream(sent(), metadata=caller.metadata)) is (
        grpc.StatusCode.RESOURCE_EXHAUSTED
    )
    assert (await other.read()).connected
    other.cancel()


async def test_wrong_credentials_are_told_without_the_secret_and_seldom(bench, join, caplog) -> None:
    caller = await join(bench)
    for number in range(20):
        request = Authenticate(client_id="bench-client", client_secret=f"guess {number}", cluster_id="001")
        status = await refused(caller.sessionController.getSessionControllerToken(request))
        assert status is grpc.StatusCode.UNAUTHENTICATED
    [line] = [record.getMessage() for record in caplog.records if record.name.startswith("bridge.")]
    assert line.startswith("wrong credentials from ipv4:127.0.0.1:")
    assert await caller.log_in()


def test_the_secret_that_everybody_knows_is_none_beyond_loopback(files) -> None:
    everywhere = {"listen": "0.0.0.0:0", **tls(files)}
    own = PartnerSettings(client_id="own", client_secret="a secret of its own")
    assert "write a [[gateway.partner]]" in mistake(**everywhere)
    assert "write a [[gateway.partner]]" in mistake(**everywhere, partner=(own, BENCH_PARTNER))
    Bench(**everywhere, partner=(own,))
    Bench(listen="0.0.0.0:0", insecure=True)


def test_the_environment_s_partner_takes_the_first_one_s_place_and_nobody_else_s() -> None:
    own, other = (PartnerSettings(client_id=name, client_secret=f"{name}'s") for name in ("own", "other"))
    settings = GatewaySettings(partner=(own, other))
    assert server.partners_from({}, settings) == (own, other)
    assert server.partners_from({}, GatewaySettings()) == (BENCH_PARTNER,)
    named = server.partners_from({"OPENOBD_PARTNER_CLIENT_ID": "named"}, settings)
    assert named == (PartnerSettings(client_id="named", client_secret="own's"), other)
    with pytest.raises(ConfigurationError, match=r"there is a \[\[gateway.partner]] 'other' already"):
        server.partners_from({"OPENOBD_PARTNER_CLIENT_ID": "other"}, settings)


async def test_a_partner_has_a_bounded_number_of_sessions(open_bench, join) -> None:
    bench = await open_bench(partner=tuple(PartnerSettings(client_id=one, client_secret=one) for one in ("one", "two")))
    caller = await join(bench)
    metadata = bearer(await caller.log_in("one", "one"))
    start = caller.sessionController.startSessionOnTicket
    infos = [await start(TicketId(value="1"), metadata=metadata) for _ in range(PARTNER_SESSIONS_LIMIT)]
    error = await refusal(start(TicketId(value="1"), metadata=metadata))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "finish or interrupt" in error.details()
    await start(TicketId(value="1"), metadata=bearer(await caller.log_in("two", "two")))
    await caller.sessionController.interruptSession(SessionId(value=infos[0].id), metadata=metadata)
    await start(TicketId(value="1"), metadata=metadata)


async def test_a_session_has_a_bounded_number_of_streams(bench, caller, join) -> None:
    def stream():
        return caller.connectionMonitor.openConnectorInformationStream(EmptyMessage(), metadata=caller.metadata)

    streams = [stream() for _ in range(SESSION_STREAMS_LIMIT)]
    for each in streams:
        await each.read()
    assert await refused(stream().read()) is grpc.StatusCode.RESOURCE_EXHAUSTED
    other = await join(bench)
    await other.active_session()
    await other.connectionMonitor.openConnectorInformationStream(EmptyMessage(), metadata=other.metadata).read()
    streams.pop().cancel()
    async with asyncio.timeout(SOON):
        while bench.gateway.core.sessions.open[0].streams == SESSION_STREAMS_LIMIT:
            await caller.connectionMonitor.getConnectorInformation(EmptyMessage(), metadata=caller.metadata)
    assert (await stream().read()).connected
    for each in streams:
        each.cancel()


async def test_pings_without_a_call_are_answered_however_many(bench) -> None:
    connection = await Connection.open(bench.address)
    async with asyncio.timeout(SOON):
        for number in range(200):
            assert await connection.ping(number.to_bytes(8, "big")), connection.farewell
    await connection.close()


def serve_with(monkeypatch, **changed: int) -> None:
    """Serve with other options of gRPC's from now on; each must be there already."""
    options = dict(server._OPTIONS)
    for name, value in changed.items():
        [key] = [key for key in options if key.endswith(f".{name}")]
        options[key] = value
    monkeypatch.setattr(server, "_OPTIONS", list(options.items()))


async def test_a_connection_whose_other_side_is_gone_is_given_up(open_bench, monkeypatch) -> None:
    """It says nothing, and does not answer pings. Its streams would keep a session, and its buses, for hours."""
    serve_with(monkeypatch, keepalive_time_ms=50, keepalive_timeout_ms=50, ping_timeout_ms=50)
    bench = await open_bench()
    connection = await Connection.open(bench.address)
    async with asyncio.timeout(SOON):
        await connection.wait_for_end()
    await connection.close()


async def test_connections_are_bounded(open_bench, join, monkeypatch) -> None:
    serve_with(monkeypatch, max_allowed_incoming_connections=2)
    bench = await open_bench()
    first, second, third = [await Connection.open(bench.address) for _ in range(3)]
    async with asyncio.timeout(SOON):
        assert await first.ping(b"the one ")
        assert await second.ping(b"the next")
        assert not await third.ping(b"too many")
        await first.close()
        while True:  # until the gateway has noticed
            another = await Connection.open(bench.address)
            if await another.ping(b"in place"):
                break
            await another.close()
    for each in (second, third, another):
        await each.close()


async def test_they_would_not_be_without_the_server_s_options() -> None:
    """So that the test above shows something."""
    server = aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    connection = await Connection.open(f"127.0.0.1:{port}")
    async with asyncio.timeout(SOON):
        answered = 0
        while await connection.ping(answered.to_bytes(8, "big")):
            answered += 1
    assert answered < 10
    assert connection.farewell == b"too_many_pings"
    await connection.close()
    await server.stop(None)


# What is never told


@pytest.fixture
def issued(monkeypatch) -> Iterator[list[str]]:
    """Every token that is made."""
    made: list[str] = []
    make = tokens.secrets.token_urlsafe

    def note(size: int) -> str:
        made.append(make(size))
        return made[-1]

    monkeypatch.setattr(tokens.secrets, "token_urlsafe", note)
    return made


async def test_neither_token_nor_secret_is_ever_logged(open_bench, join, issued, caplog, capfd, monkeypatch) -> None:
    caplog.set_level(logging.DEBUG)
    bench = await open_bench(session_token_refresh=0.02, session_token_life=20.0)
    caller = await join(bench)
    info = await caller.active_session()
    stream = caller.session.openSessionTokenStream(EmptyMessage(), metadata=caller.metadata)
    for _ in range(3):
        caller.token = (await stream.read()).value
    core = bench.gateway.core
    inner = await caller.function.startFunctionContext(EmptyMessage(), metadata=caller.metadata)
    monitor = caller.function.monitorFunctionContext(inner, metadata=bearer(inner.monitor_token))
    assert (await monitor.read()).monitor_token
    called = FunctionCall(id="nobody's", session_info=SessionInfo(authentication_token=inner.authentication_token))
    credentials = Authenticate(client_id="bench-client", client_secret="bench-secret", cluster_id="001")
    broker_token = (await caller.functionBroker.getFunctionBrokerToken(credentials)).value
    assert await refused(caller.functionBroker.runFunction(called, metadata=bearer(broker_token))) is (
        grpc.StatusCode.UNAVAILABLE
    )
    await caller.session.authenticate(EmptyMessage(), metadata=bearer(inner.authentication_token))
    await caller.vehicleInfo.getVehicleDetails(EmptyMessage(), metadata=caller.metadata)
    wrong = Authenticate(client_id="bench-client", client_secret="bench-secret-", cluster_id="001")
    assert await refused(caller.sessionController.getSessionControllerToken(wrong)) is grpc.StatusCode.UNAUTHENTICATED
    for call in (
        caller.session.authenticate,
        caller.ticketInfo.getTicketDetails,
        caller.sessionController.getSessionList,
    ):
        with pytest.raises(aio.AioRpcError) as error:
            await call(EmptyMessage(), metadata=bearer(info.authentication_token))
        assert info.authentication_token not in error.value.details()

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(core.sessions, "finish", fail)
        assert await refused(caller.session.finish(SUCCESS, metadata=caller.metadata)) is grpc.StatusCode.INTERNAL
    await caller.session.finish(SUCCESS, metadata=caller.metadata)  # the inner context, and then the session
    async with asyncio.timeout(SOON):
        while not (await monitor.read()).finished:
            pass
    await caller.session.finish(SUCCESS, metadata=caller.metadata)
    await caller.log_in()
    await caller.sessionController.getSession(SessionId(value=info.id), metadata=caller.metadata)
    await bench.gateway.stop()
    logged = caplog.text + "".join(capfd.readouterr())
    assert "ZeroDivisionError" in logged
    assert len(issued) >= 10
    assert inner.monitor_token in issued
    assert broker_token in issued
    assert not [token for token in issued if token in logged]
    assert "bench-secret" not in logged
