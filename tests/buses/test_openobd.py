"""A remote vehicle as a bus, against a real gateway: from the first login to the last finish."""

from __future__ import annotations

import asyncio
import base64
import logging

import pytest

from bridge.buses.bus import BusState, IsotpLayout, Padding
from bridge.buses.openobd import OpenObdBus
from bridge.config import ConnectionSettings
from bridge.errors import BusError, RemoteSessionError
from bridge.frames import Frame, FrameBatch, FrameFlags
from bridge.gateway.services.session import SessionService
from bridge.gateway.services.session_controller import SessionControllerService
from bridge.gateway.states import State
from bridge.openobd.messages import Result, UserFeedback
from bridge.policy import Write
from bridge.simulator.ecus import LONGEST, SLOW, pattern
from tests.contract.harness import Listener, Peer

from .remote import SOON, ask, engine, lost_and_found, opened, until, until_gone

SILENT = 0x555  #: an id that nobody sends


async def refused(bus: OpenObdBus) -> str:
    """The line with which a bus does not open."""
    with pytest.raises(RemoteSessionError) as error:
        await bus.open(Listener())
    assert bus.state is BusState.CLOSED
    line = str(error.value)
    assert "\n" not in line
    return line


class TestLife:
    async def test_a_session_on_a_ticket_is_finished_at_the_end(self, remote) -> None:
        bus = remote.bus(user_feedback="assistance-requested", result="needs-completion", description="try again")
        await opened(bus)
        assert (bus.state, remote.states) == (BusState.UP, [State.ACTIVE])
        assert await ask(engine(bus), "22F190") == "62F190" + b"0XCBRDGE0R0000042".hex().upper()
        await bus.close()
        assert (bus.state, remote.states) == (BusState.CLOSED, [State.FINISHED])
        (result,) = remote.results
        assert list(result.result) == [Result.RESULT_NEEDS_COMPLETION]
        assert (result.user_feedback, result.description) == (
            UserFeedback.USER_FEEDBACK_ASSISTANCE_REQUESTED,
            "try again",
        )

    async def test_a_session_on_a_connector_and_a_bus_at_other_pins(self, remote) -> None:
        bus = remote.bus("openobd:connector/J-ReX-7@250000?pins=3/11")
        await opened(bus)
        (session,) = remote.bench.gateway.core.sessions.open
        assert session.ticket == ""
        assert list(session.buses.values()) == [2]
        await bus.close()
        assert remote.states == [State.FINISHED]

    async def test_a_session_that_was_handed_over(self, remote, join_gateway) -> None:
        info = await (await join_gateway(remote)).start_session()
        bus = remote.bus("openobd:session", session_info=base64.b64encode(info.SerializeToString()).decode())
        await opened(bus)
        assert remote.sessions == [(info.id, State.ACTIVE)]
        await bus.close()
        assert remote.sessions == [(info.id, State.FINISHED)]

    async def test_closing_twice_opening_twice_and_opening_again(self, remote) -> None:
        bus = remote.bus()
        await bus.close()
        await opened(bus)
        with pytest.raises(BusError, match="open already"):
            await bus.open(Listener())
        await bus.close()
        await bus.close()
        assert remote.states == [State.FINISHED]
        await opened(bus)
        assert await ask(engine(bus), "3E00") == "7E00"
        assert remote.states == [State.FINISHED, State.ACTIVE]

    async def test_nothing_is_left_behind(self, remote) -> None:
        bus = remote.bus(named=frozenset({0x100}))
        await opened(bus)
        engine(bus).channel.send(b"\x3e\x00")
        bus.send(FrameBatch.of([Frame(id=0x321, data=b"x")]))
        await bus.close()
        code = {"bridge/buses/openobd", "bridge/buses/delivery"}
        left = [task for task in asyncio.all_tasks() if any(part in repr(task) for part in code)]
        assert left == []

    async def test_tokens_are_never_logged(self, remote, caplog) -> None:
        caplog.set_level(logging.DEBUG)
        tokens = remote.note_tokens()
        bus = remote.bus()
        listener = await opened(bus)
        remote.wire.jolt()
        await lost_and_found(listener)
        await remote.end_gateway()
        await until_gone(listener)
        await bus.close()
        assert len(tokens) >= 3
        assert not [token for token in [*tokens, "bench-secret"] if token in caplog.text]


class TestRefusals:
    async def test_wrong_credentials(self, remote) -> None:
        line = await refused(remote.bus(client_secret="wrong"))
        assert line.startswith(f"openOBD at 127.0.0.1:{remote.wire.port} refuses the login; check OPENOBD_PARTNER_")
        assert remote.states == []

    async def test_an_unknown_ticket(self, open_remote) -> None:
        remote = await open_remote(connection=(ConnectionSettings(connector="one", tickets=("7",)),))
        assert await refused(remote.bus()) == "no session on ticket 1: there is no such ticket"
        assert await refused(remote.bus("openobd:connector/two")) == (
            "no session on connector two: there is no such connector"
        )
        assert remote.states == []

    async def test_nobody_there(self, remote) -> None:
        await remote.wire.cut()
        line = await refused(remote.bus())
        assert line.startswith(f"openOBD cannot be reached at 127.0.0.1:{remote.wire.port} (")
        assert line.endswith("Connection refused); check OPENOBD_GRPC_HOST and OPENOBD_GRPC_PORT")

    async def test_what_was_started_and_cannot_be_used_is_finished(self, remote) -> None:
        line = await refused(remote.bus("openobd:ticket/1?pins=1/9"))
        assert line.startswith("the session's bus is not configured: there is no CAN bus at pins 1/9")
        assert remote.states == [State.FINISHED]
        assert list(remote.results[0].result) == [Result.RESULT_FAILURE_COMMUNICATION_ERROR]
        assert remote.results[0].description == line

    async def test_a_session_handed_over_twice(self, remote, join_gateway) -> None:
        info = await (await join_gateway(remote)).active_session()
        bus = remote.bus("openobd:session", session_info=base64.b64encode(info.SerializeToString()).decode())
        assert (await refused(bus)).startswith("the session cannot be claimed: the token is unknown")

    @pytest.mark.parametrize(
        ("service", "method"),
        [(SessionControllerService, "startSessionOnTicket"), (SessionService, "authenticate")],
    )
    async def test_who_gives_up_meanwhile_leaves_no_session(self, remote, monkeypatch, service, method) -> None:
        """Ctrl-C while the cloud is still at it."""
        began, go_on = asyncio.Event(), asyncio.Event()
        original = getattr(service, method)

        async def slowly(self, request, call):
            began.set()
            await go_on.wait()
            return await original(self, request, call)

        monkeypatch.setattr(service, method, slowly)
        await remote.end_gateway()
        await remote.begin_gateway()
        opening = asyncio.ensure_future(remote.bus().open(Listener()))
        await asyncio.wait_for(began.wait(), SOON)
        opening.cancel()
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert len(remote.states) == 1
        assert remote.states[0].final

    async def test_a_session_that_cannot_be_finished_is_interrupted(self, remote, monkeypatch) -> None:
        async def never(self, request, call):
            await asyncio.Event().wait()

        monkeypatch.setattr(SessionService, "finish", never)
        await remote.end_gateway()
        await remote.begin_gateway()
        bus = remote.bus()
        await opened(bus)
        began = asyncio.get_running_loop().time()
        await bus.close()
        assert asyncio.get_running_loop().time() - began < 1.4
        assert remote.states == [State.INTERRUPTED]


class TestIsotp:
    async def test_long_and_negative_and_pending_answers(self, remote) -> None:
        bus = remote.bus()
        await opened(bus)
        peer = engine(bus)
        longest = await ask(peer, f"22{LONGEST:04X}")
        assert bytes.fromhex(longest)[3:] == pattern(4092)
        assert await ask(peer, "22FFFF") == "7F2231"
        assert await ask(peer, f"22{SLOW:04X}") == "7F2278"
        assert (await peer.payload())[3:] == pattern(8)
        peer.channel.send(bytes.fromhex("2E0100") + pattern(4092))
        assert await peer.payload() == bytes.fromhex("7F2E7F")  # not in this session

    @pytest.mark.parametrize("size", [0, 4096])
    async def test_lengths_that_there_are_not(self, remote, size) -> None:
        bus = remote.bus()
        await opened(bus)
        with pytest.raises(BusError, match=f"{size} bytes to 0x7e0; its channel takes 1 to 4095"):
            engine(bus).channel.send(bytes(size))

    async def test_a_functional_request_is_answered_once_by_each(self, remote) -> None:
        bus = remote.bus()
        await opened(bus)
        everybody = Peer(bus, 0x7DF, None)
        peers = [Peer(bus, 0x7E0 + number, 0x7E8 + number) for number in range(8)]
        for _ in range(3):
            everybody.channel.send(bytes.fromhex("0902"))
            for peer in peers[:2]:
                assert await peer.payload() == b"\x49\x02\x01" + b"0XCBRDGE0R0000042"
        # Physical requests use the same streams, and see no answer twice either.
        assert await ask(peers[0], "010D") == await ask(peers[0], "010D")
        assert await ask(peers[1], "3E00") == "7E00"
        assert all(peer.payloads.empty() for peer in peers)
        assert remote.ear.of(0x7DF) == [bytes.fromhex("0209020000000000")] * 3

    async def test_29_bits_with_all_that_listen(self, remote) -> None:
        bus = remote.bus()
        await opened(bus)
        everybody = Peer(bus, 0x18DB33F1, None, extended=True)
        peers = {
            address: Peer(bus, 0x18DA00F1 | address << 8, 0x18DAF100 | address, extended=True)
            for address in range(0x20)
        }
        everybody.channel.send(bytes.fromhex("0100"))
        for address in (0x10, 0x18):
            assert (await peers[address].payload()).hex().startswith("4100")
        session = remote.bench.gateway.core.sessions.open[0]
        assert session.streams <= 20
        assert remote.ear.of(0x18DB33F1) == [bytes.fromhex("0201000000000000")]

    async def test_opening_puts_nothing_on_the_bus(self, remote) -> None:
        bus = remote.bus(named=frozenset({SILENT}))
        await opened(bus)
        peer = Peer(bus, 0x7E7, 0x7EF)
        everybody = Peer(bus, 0x7DF, None)
        everybody.channel.send(bytes.fromhex("3E80"))
        await remote.ear.hears(0x7DF)
        assert remote.ear.of(0x7E7) == []
        assert peer.failures.empty()

    async def test_the_layout_reaches_the_vehicle(self, remote) -> None:
        bus = remote.bus()
        await opened(bus)
        answers: list[bytes] = []
        channel = bus.open_isotp(
            0x6F1,
            0x612,
            extended=False,
            receiver=answers.append,
            failure=pytest.fail,
            layout=IsotpLayout(0x12, 0xF1, Padding.UNPADDED),
        )
        channel.send(bytes.fromhex("3E00"))
        assert await remote.ear.hears(0x6F1) == [bytes.fromhex("12023E00")]
        remote.car.send(FrameBatch.of([Frame(id=0x612, data=bytes.fromhex("F1027E00"))]))
        await until(lambda: answers)
        assert answers == [bytes.fromhex("7E00")]

    async def test_a_write_that_the_gateway_refuses_fails_with_its_reason(self, open_remote) -> None:
        remote = await open_remote(grants=Write.READ_DIAGNOSTIC)
        bus = remote.bus()
        await opened(bus)
        peer = engine(bus)
        assert await ask(peer, "3E00") == "7E00"
        peer.channel.send(bytes.fromhex("2EF1980102"))
        assert "--allow-write diagnostics" in await peer.failure()
        assert await ask(peer, "3E00") == "7E00"

    async def test_a_bus_for_raw_frames_has_no_diagnostics(self, remote) -> None:
        bus = remote.bus("openobd:ticket/1?frames")
        await opened(bus)
        with pytest.raises(BusError, match=r"leave \?frames out"):
            engine(bus)


class TestFrames:
    async def test_named_ids_are_heard_and_no_others(self, remote) -> None:
        bus = remote.bus("openobd:ticket/1?raw=0x555,0x18FEF100")
        listener = await opened(bus)
        await remote.heard_by_gateway(0x555, 0x18FEF100)
        remote.car.send(
            FrameBatch.of(
                [
                    Frame(id=0x556, data=b"no"),
                    Frame(id=0x555, data=b"yes"),
                    Frame(id=0x18FEF100, data=bytes(8), extended=True),
                    Frame(id=0x555, data=b""),
                ]
            )
        )
        frames = await listener.heard(2)
        assert [(frame.id, frame.extended, frame.data, frame.bus) for frame in frames[:2]] == [
            (0x555, False, b"yes", 1),
            (0x18FEF100, True, bytes(8), 1),
        ]
        assert frames[0].timestamp > 1.7e9
        assert bus.frames_received == len(frames)

    async def test_wanted_ids_are_heard_from_then_on(self, remote) -> None:
        bus = remote.bus()
        bus.want_ids(frozenset({(0x555, False), (0x5, True)}))
        listener = await opened(bus)
        await remote.heard_by_gateway(0x555)
        remote.car.send(FrameBatch.of([Frame(id=0x555, data=b"1"), Frame(id=0x556, data=b"2")]))
        await listener.heard(1)
        bus.want_ids(frozenset({(0x556, False)}))
        await remote.heard_by_gateway(0x556)
        remote.car.send(FrameBatch.of([Frame(id=0x555, data=b"3"), Frame(id=0x556, data=b"4")]))
        await listener.heard(2)
        assert [(frame.id, frame.data) for frame in listener.frames] == [(0x555, b"1"), (0x556, b"4")]

    async def test_a_raw_channel_hears_its_id(self, remote) -> None:
        bus = remote.bus()
        listener = await opened(bus)
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        channel = bus.open_raw(0x556, extended=False, receiver=heard.put_nowait)
        await remote.heard_by_gateway(0x556)
        for number in range(100):
            remote.car.send(FrameBatch.of([Frame(id=0x556, data=bytes([number]))]))
        async with asyncio.timeout(SOON):
            assert [await heard.get() for _ in range(100)] == [bytes([number]) for number in range(100)]
        assert len(listener.frames) == 100
        channel.close()
        await remote.heard_by_gateway()

    async def test_many_ids_share_streams(self, remote) -> None:
        ids = range(0x500, 0x500 + 200)
        bus = remote.bus(named=frozenset(ids))
        listener = await opened(bus)
        await remote.heard_by_gateway(*ids)
        assert remote.bench.gateway.core.sessions.open[0].streams < 20
        remote.car.send(FrameBatch.of(Frame(id=identifier, data=identifier.to_bytes(2, "big")) for identifier in ids))
        frames = await listener.heard(200)
        assert sorted((frame.id, frame.data) for frame in frames) == [
            (identifier, identifier.to_bytes(2, "big")) for identifier in ids
        ]

    async def test_frames_are_heard_again_after_a_loss(self, remote) -> None:
        bus = remote.bus(named=frozenset({0x555}))
        listener = await opened(bus)
        await remote.heard_by_gateway(0x555)
        remote.wire.jolt()
        await lost_and_found(listener)
        await remote.heard_by_gateway(0x555)
        remote.car.send(FrameBatch.of([Frame(id=0x555, data=b"x")]))
        await listener.heard(1)

    async def test_frames_are_sent_in_order_and_once(self, remote) -> None:
        bus = remote.bus(loopback=True)
        listener = await opened(bus)
        frames = [Frame(id=0x321, data=number.to_bytes(2, "big")) for number in range(500)]
        bus.send(FrameBatch.of([*frames, Frame(id=0x18FEF100, data=bytes(8), extended=True)]))
        assert await remote.ear.hears(0x321, 500) == [frame.data for frame in frames]
        await remote.ear.hears(0x18FEF100)
        await listener.heard(501)
        assert {frame.flags & FrameFlags.OWN for frame in listener.frames} == {FrameFlags.OWN}
        assert (bus.frames_sent, bus.frames_unsent) == (501, 0)
        await bus.close()
        assert len(remote.ear.of(0x321)) == 500

    async def test_what_was_sent_before_closing_arrives(self, remote) -> None:
        bus = remote.bus()
        await opened(bus)
        bus.send(FrameBatch.of(Frame(id=0x321, data=bytes([number])) for number in range(100)))
        await bus.close()
        assert len(await remote.ear.hears(0x321, 100)) == 100
        assert bus.frames_sent == 100

    async def test_more_ids_than_streams_and_channels(self, remote) -> None:
        bus = remote.bus()
        await opened(bus)
        ids = range(0x10000, 0x10000 + 600)
        for start in (0, 300):
            bus.send(
                FrameBatch.of(Frame(id=identifier, data=b"x", extended=True) for identifier in ids[start : start + 300])
            )
        for identifier in ids:
            await remote.ear.hears(identifier)
        assert len([frame for frame in remote.ear.frames if frame.id in ids and frame.data == b"x"]) == 600

    @pytest.mark.parametrize(
        ("frame", "why"),
        [
            (Frame(id=0x123, data=bytes(12), fd=True), "classic data frames only"),
            (Frame(id=0x123, flags=FrameFlags.REMOTE), "classic data frames only"),
            (Frame(id=0x123), "a frame without data"),
            (Frame(id=0x123, data=b"x", extended=True), "cannot name one of 29"),
        ],
    )
    async def test_what_openobd_has_no_form_for_is_refused_with_the_whole_batch(self, remote, frame, why) -> None:
        bus = remote.bus()
        await opened(bus)
        with pytest.raises(BusError, match=why):
            bus.send(FrameBatch.of([Frame(id=0x321, data=b"x"), frame]))
        bus.send(FrameBatch.of([Frame(id=0x321, data=b"y")]))
        assert await remote.ear.hears(0x321) == [b"y"]

    async def test_a_flood_is_refused_and_not_kept(self, remote) -> None:
        bus = remote.bus()
        await opened(bus)
        batch = FrameBatch.of(Frame(id=0x321, data=b"x") for _ in range(1024))
        bus.send(batch)
        with pytest.raises(BusError, match="wait already"):
            bus.send(batch)

    async def test_that_not_everything_is_heard_is_said_once(self, remote, caplog) -> None:
        caplog.set_level(logging.INFO)
        bus = remote.bus()
        bus.want_ids(None)
        listener = await opened(bus)
        remote.wire.jolt()
        await lost_and_found(listener)
        assert caplog.text.count("openOBD hears only ids that are named, as in ?raw=0x123,0x456") == 1
        await remote.heard_by_gateway()
