"""A remote vehicle whose connection is lost: what is mended, what is said, and that nothing is sent twice."""

from __future__ import annotations

import asyncio
import base64
import itertools
from contextlib import suppress

import pytest

from bridge.backoff import Backoff
from bridge.buses.bus import BusState
from bridge.errors import BusError
from bridge.frames import Frame, FrameBatch
from bridge.gateway.states import State
from tests.contract.harness import Peer

from .remote import Wire, ask, engine, lost_and_found, opened, until, until_gone, until_up

NEVER = Backoff(1e6, 1e6, lambda: 1.0)
NOBODY = 0x7E5  #: a request id that no ECU answers


class TestLosses:
    async def test_a_cut_connection_is_mended_and_the_session_goes_on(self, remote) -> None:
        bus = remote.bus()
        listener = await opened(bus)
        before = remote.sessions
        peer = engine(bus)
        assert await ask(peer, "3E00") == "7E00"
        await remote.wire.cut()
        await until_gone(listener)
        await remote.wire.mend()
        await until_up(listener)
        assert await ask(peer, "3E00") == "7E00"
        assert remote.sessions == before
        assert listener.states == [BusState.GONE, BusState.UP]

    async def test_a_jolt_is_all_it_takes_and_all_it_costs(self, remote) -> None:
        bus = remote.bus()
        listener = await opened(bus)
        peer = engine(bus)
        for count in range(1, 6):
            remote.wire.jolt()
            await lost_and_found(listener, count)
            assert await ask(peer, "3E00") == "7E00"
        assert remote.states == [State.ACTIVE]

    async def test_another_session_after_a_restart_of_the_gateway(self, remote) -> None:
        bus = remote.bus()
        listener = await opened(bus)
        peer = engine(bus)
        first = remote.sessions
        await remote.end_gateway()
        await until_gone(listener)
        await remote.begin_gateway()
        began = asyncio.get_running_loop().time()
        await until_up(listener)
        assert await ask(peer, "22F190") == "62F190" + b"0XCBRDGE0R0000042".hex().upper()
        assert asyncio.get_running_loop().time() - began < 5
        assert remote.sessions != first
        assert remote.states == [State.ACTIVE]
        assert listener.states == [BusState.GONE, BusState.UP]

    async def test_another_session_after_one_was_interrupted(self, remote) -> None:
        bus = remote.bus()
        listener = await opened(bus)
        (session,) = remote.sessions
        remote.bench.gateway.core.sessions.interrupt("bench-client", session[0])
        await lost_and_found(listener)
        assert remote.states == [State.INTERRUPTED, State.ACTIVE]

    async def test_what_is_under_way_fails_at_once_and_is_sent_once(self, remote) -> None:
        bus = remote.bus()
        listener = await opened(bus)
        peer = Peer(bus, NOBODY, NOBODY + 8)
        peer.channel.send(bytes.fromhex("2E0100AA"))
        assert await remote.ear.hears(NOBODY)
        await remote.end_gateway()
        assert "\n" not in await peer.failure()
        with pytest.raises(BusError, match="gone"):
            peer.channel.send(bytes.fromhex("2E0100AB"))
        with pytest.raises(BusError, match="gone"):
            bus.send(FrameBatch.of([Frame(id=0x123, data=b"x")]))
        await remote.begin_gateway()
        await until_up(listener)
        assert await ask(engine(bus), "3E00") == "7E00"
        peer.channel.send(bytes.fromhex("2E0100AC"))
        await remote.ear.hears(NOBODY, 2)
        sent = [data[1:5].hex().upper() for data in remote.ear.of(NOBODY)]
        assert sent == ["2E0100AA", "2E0100AC"]

    async def test_fifty_losses_under_a_stream_of_writes(self, remote) -> None:
        """Cut or killed, in the middle of everything: what arrives arrives once, and in order."""
        bus = remote.bus()
        listener = await opened(bus)
        peer = Peer(bus, NOBODY, NOBODY + 8)
        sent: list[int] = []

        async def write() -> None:
            for number in itertools.count():
                with suppress(BusError):
                    peer.channel.send(bytes.fromhex("2E01") + number.to_bytes(4, "big"))
                    sent.append(number)
                await asyncio.sleep(0.001)

        writing = asyncio.ensure_future(write())
        for count in range(1, 51):
            before = len(remote.ear.of(NOBODY))
            await until(lambda: len(remote.ear.of(NOBODY)) > before)  # noqa: B023
            if count % 2:
                remote.wire.jolt()
            else:
                await remote.end_gateway()
                await remote.begin_gateway()
            await lost_and_found(listener, count)
        writing.cancel()
        assert await ask(engine(bus), "3E00") == "7E00"
        arrived = [int.from_bytes(data[3:7], "big") for data in remote.ear.of(NOBODY)]
        assert arrived == sorted(set(arrived))
        assert set(arrived) <= set(sent)
        assert len(arrived) > 50

    async def test_a_session_that_was_handed_over_is_resumed_but_not_replaced(
        self, remote, join_gateway, caplog
    ) -> None:
        info = await (await join_gateway(remote)).start_session()
        bus = remote.bus("openobd:session", session_info=base64.b64encode(info.SerializeToString()).decode())
        listener = await opened(bus)
        remote.wire.jolt()
        await lost_and_found(listener)
        assert remote.sessions == [(info.id, State.ACTIVE)]
        await remote.end_gateway()
        await until_gone(listener)
        await remote.begin_gateway()
        await until(lambda: "stays gone" in caplog.text)
        assert "one that was handed over cannot be started again" in caplog.text
        assert bus.state is BusState.GONE
        await bus.close()

    async def test_closing_while_it_is_gone_finishes_the_session_all_the_same(self, remote) -> None:
        bus = remote.bus()
        bus.backoff = NEVER
        listener = await opened(bus)
        remote.wire.jolt()
        await until_gone(listener)
        await bus.close()
        assert remote.states == [State.FINISHED]

    async def test_closing_while_there_is_no_gateway_takes_no_time(self, remote) -> None:
        bus = remote.bus()
        listener = await opened(bus)
        await remote.wire.cut()
        await until_gone(listener)
        began = asyncio.get_running_loop().time()
        await bus.close()
        assert asyncio.get_running_loop().time() - began < 1.4
        await remote.wire.mend()

    async def test_a_connection_that_falls_silent_is_lost(self, remote) -> None:
        bus = remote.bus()
        bus.silence_timeout = 1.5
        listener = await opened(bus)
        await until(lambda: bus.latency is not None)
        before = remote.sessions
        remote.wire.held = True
        await until_gone(listener)
        remote.wire.held = False
        remote.wire.jolt()
        await lost_and_found(listener)
        assert remote.sessions == before
        assert await ask(engine(bus), "3E00") == "7E00"

    async def test_a_vehicle_that_the_connector_loses_is_gone_until_it_is_back(self, remote) -> None:
        bus = remote.bus()
        listener = await opened(bus)
        peer = engine(bus)
        assert await ask(peer, "3E00") == "7E00"
        near = remote.bench.buses[1]
        await until(lambda: bus.latency)  # of the request before, as the connector tells each second
        assert 0.2 < bus.delay < 2
        near.state = BusState.GONE
        remote.bench.bus_state_changed(near, near.state, "unplugged")
        await until_gone(listener)
        with pytest.raises(BusError, match="gone"):
            peer.channel.send(b"\x3e\x00")
        near.state = BusState.UP
        remote.bench.bus_state_changed(near, near.state, "back")
        await lost_and_found(listener)
        assert await ask(peer, "3E00") == "7E00"
        assert remote.states == [State.ACTIVE]

    async def test_rotated_tokens_drop_no_stream(self, open_remote) -> None:
        """The session lives many times as long as any of its tokens, and so does each stream."""
        remote = await open_remote(session_token_refresh=0.1, session_token_life=0.3)
        bus = remote.bus(named=frozenset({0x321}))
        listener = await opened(bus)
        peer = engine(bus)
        assert await ask(peer, "3E00") == "7E00"
        streams = remote.bench.gateway.core.sessions.open[0].streams
        end = asyncio.get_running_loop().time() + 2
        rounds = 0
        while asyncio.get_running_loop().time() < end:
            assert await ask(peer, "3E00") == "7E00"
            remote.car.send(FrameBatch.of([Frame(id=0x321, data=bytes([rounds & 0xFF]))]))
            rounds += 1
            await listener.heard(rounds)
        assert [frame.data[0] for frame in listener.frames] == [number & 0xFF for number in range(rounds)]
        assert listener.states == []
        assert peer.failures.empty()
        assert remote.bench.gateway.core.sessions.open[0].streams == streams
        late = Peer(bus, 0x7E1, 0x7E9)
        assert await ask(late, "3E00") == "7E00"
        remote.wire.jolt()
        await lost_and_found(listener)
        assert remote.states == [State.ACTIVE]

    async def test_a_session_whose_endpoint_stays_away_is_given_up_when_its_token_has_run_out(
        self, remote, monkeypatch
    ) -> None:
        """Other than the account's, the session's endpoint is the cloud's to choose, and may be no more."""
        monkeypatch.setattr("bridge.buses.openobd_session.SESSION_TOKEN_LIFE", 0.0)
        account = Wire()
        await account.mend()
        account.target = remote.wire.target
        bus = remote.bus(port=account.port)
        listener = await opened(bus)
        await remote.wire.cut()  # sessions were behind it, for good
        await until_gone(listener)
        await remote.end_gateway()
        await remote.begin_gateway(advertise=f"127.0.0.1:{account.port}")
        account.target = remote.wire.target
        await until_up(listener)
        assert await ask(engine(bus), "3E00") == "7E00"
        await bus.close()
        await account.cut()
