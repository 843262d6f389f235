"""openOBD.v1.can on the simulated vehicle: ISO-TP and raw frames, each write by permission."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from grpc import aio

from bridge.buses.bus import BusState, IsotpLayout, Padding
from bridge.buses.virtual import VirtualBus
from bridge.frames import Frame, FrameBatch
from bridge.limits import SESSION_HEARERS_LIMIT
from bridge.openobd import messages
from bridge.openobd.messages import (
    BusConfiguration,
    CanBitRate,
    CanBus,
    CanProtocol,
    EmptyMessage,
    IsotpChannel,
    IsotpMessage,
    KeepAlive,
    RawChannel,
    RawFrame,
    Result,
    ServiceResult,
    Tp20Channel,
    Tp20Message,
)
from bridge.policy import Write
from tests.contract.harness import Listener

from ..bench import SOON, Caller

VIN = b"0XCBRDGE0R0000042"
ENGINE = IsotpChannel(bus_name="hs", request_id=0x7E0, response_id=0x7E8)


def hs(plus: int = 6, minus: int = 14, name: str = "hs") -> BusConfiguration:
    return BusConfiguration(
        bus_name=name,
        can_bus=CanBus(
            pin_plus=plus,
            pin_min=minus,
            can_protocol=CanProtocol.CAN_PROTOCOL_ISOTP,
            can_bit_rate=CanBitRate.CAN_BIT_RATE_500,
        ),
    )


async def configure(caller: Caller, *buses: BusConfiguration) -> None:
    async def sent() -> AsyncIterator[BusConfiguration]:
        for bus in buses:
            yield bus

    await caller.config.configureBus(sent(), metadata=caller.metadata)


class Talk:
    """One stream of a caller's."""

    def __init__(self, call: aio.StreamStreamCall, make: type, channel: object) -> None:
        self.call = call
        self.make = make
        self.channel = channel

    async def send(self, payload: str, channel: object = None) -> None:
        await self.call.write(self.make(channel=channel or self.channel, payload=payload))

    async def hear(self) -> str:
        async with asyncio.timeout(SOON):
            message = await self.call.read()
        assert message is not aio.EOF, await self.call.code()
        return message.payload

    async def ask(self, payload: str) -> str:
        await self.send(payload)
        return await self.hear()

    async def end(self) -> tuple[grpc.StatusCode, str]:
        """How the gateway ended it."""
        async with asyncio.timeout(SOON):
            try:
                while await self.call.read() is not aio.EOF:
                    pass
            except aio.AioRpcError:
                pass
            return await self.call.code(), await self.call.details()


async def isotp(caller: Caller, channel: IsotpChannel = ENGINE) -> Talk:
    talk = Talk(caller.can.openIsotpStream(metadata=caller.metadata), IsotpMessage, channel)
    await talk.send("")
    return talk


async def raw(caller: Caller, channel: RawChannel) -> Talk:
    talk = Talk(caller.can.openRawStream(metadata=caller.metadata), RawFrame, channel)
    await talk.send("")
    return talk


async def opened(caller: Caller, count: int = 1) -> None:
    """Wait until the gateway has opened so many channels."""
    async with asyncio.timeout(SOON):
        while len((await configuration(caller)).channels) < count:
            pass


async def configuration(caller: Caller) -> messages.Configuration:
    return await caller.config.getConfiguration(EmptyMessage(), metadata=caller.metadata)


@pytest.fixture
async def driver(caller) -> Caller:
    """A caller whose session has the car's bus as hs."""
    await configure(caller, hs())
    return caller


@pytest.fixture
async def node(bench):
    """Another node on the car's wire: the bus and what it hears."""
    bus, listener = VirtualBus(1, "another node", bench.segment), Listener()
    await bus.open(listener)
    yield bus, listener
    await bus.close()


# ISO-TP


async def test_requests_are_answered(driver) -> None:
    talk = await isotp(driver)
    assert await talk.ask("0902") == ("490201" + VIN.hex()).upper()
    assert (await talk.ask("22f190")).startswith("62F190")  # either case is taken
    assert await talk.ask("2FFFFF") == "7F2F11"


async def test_the_longest_payloads_pass_both_ways(driver) -> None:
    talk = await isotp(driver)
    answer = await talk.ask("22FD01")
    assert len(answer) == 2 * 4095
    assert answer.startswith("62FD01030A11")
    # A request of 4095 bytes reaches the ECU whole, which finds it too long.
    assert await talk.ask("3E" + "00" * 4094) == "7F3E13"


async def test_pending_and_busy_responses_are_handed_on(driver) -> None:
    talk = await isotp(driver)
    assert await talk.ask("22FD10") == "7F2278"
    assert await talk.ask("22F190") == "7F2221"
    assert (await talk.hear()).startswith("62FD10")


async def test_opening_a_channel_puts_nothing_on_the_bus(driver, node) -> None:
    _, listener = node
    await isotp(driver)
    await opened(driver)
    assert not [frame for frame in listener.frames if frame.id == 0x7E0]


async def test_a_functional_request_is_answered_and_its_ecu_gets_flow_control(driver, node) -> None:
    _, listener = node
    talk = await isotp(driver, IsotpChannel(bus_name="hs", request_id=0x7DF, response_id=0x7E9))
    assert (await talk.ask("0904")).startswith("490401")
    sent = [(frame.id, frame.data[0] >> 4) for frame in listener.frames if frame.id in (0x7DF, 0x7E0, 0x7E1)]
    assert sent == [(0x7DF, 0), (0x7E1, 3)]


async def test_29_bit_ids(driver) -> None:
    talk = await isotp(driver, IsotpChannel(bus_name="hs", request_id=0x18DA10F1, response_id=0x18DAF110))
    assert (await talk.ask("22F190")).startswith("62F190")


async def test_extended_addressing_and_padding(driver, node) -> None:
    bus, listener = node
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    ecu = bus.open_isotp(
        0x6F1,
        0x612,
        extended=False,
        receiver=heard.put_nowait,
        failure=heard.put_nowait,
        layout=IsotpLayout(0xF1, 0x12, Padding.UNPADDED),
    )
    channel = IsotpChannel(
        bus_name="hs",
        request_id=0x612,
        response_id=0x6F1,
        extended_request_address=0x12,
        extended_response_address=0xF1,
        padding=messages.Padding.PADDING_DISABLED,
    )
    talk = await isotp(driver, channel)
    await talk.send("22F190")
    async with asyncio.timeout(SOON):
        assert await heard.get() == bytes.fromhex("22F190")
    assert [frame.data.hex() for frame in listener.frames if frame.id == 0x612] == ["120322f190"]
    ecu.send(b"\x62\xf1\x90" + VIN)
    assert await talk.hear() == ("62f190" + VIN.hex()).upper()


async def test_an_asked_for_sign_of_life_follows_requests(driver, node, monkeypatch) -> None:
    monkeypatch.setattr("bridge.gateway.channels.TESTER_PRESENT_PERIOD", 0.02)
    _, listener = node
    channel = IsotpChannel(bus_name="hs", request_id=0x7E0, response_id=0x7E8, keep_alive=KeepAlive.KEEP_ALIVE_ENABLED)
    talk = await isotp(driver, channel)
    await opened(driver)
    assert await talk.ask("1003") == "500300320" + "1F4"
    await listener.until(
        lambda: sum(frame.id == 0x7E0 and frame.data[:3] == b"\x02\x3e\x80" for frame in listener.frames) >= 3
    )
    assert (await talk.ask("22F186")) == "62F18603"  # nothing was heard in between, and the session lasts


async def test_two_sessions_share_a_pair_of_ids(bench, driver, join) -> None:
    other = await join(bench)
    await other.active_session()
    await configure(other, hs())
    first, second = await isotp(driver), await isotp(other)
    await opened(other)
    assert await first.ask("3E00") == "7E00"
    assert await second.hear() == "7E00"  # as on any bus


# Raw frames


async def test_raw_frames_both_ways(driver, node) -> None:
    bus, listener = node
    talk = await raw(driver, RawChannel(bus_name="hs", request_id=0x123, response_id=0x321))
    await opened(driver)
    bus.send(FrameBatch.of([Frame(id=0x320, data=b"\x01"), Frame(id=0x321, data=b"\xab\xcd")]))
    assert await talk.hear() == "ABCD"
    await talk.send("0102030405060708")
    await listener.until(lambda: any(frame.id == 0x123 for frame in listener.frames))
    assert next(frame for frame in listener.frames if frame.id == 0x123).data == bytes(range(1, 9))


async def test_several_channels_on_one_raw_stream(driver, node) -> None:
    bus, _ = node
    one = RawChannel(bus_name="hs", response_id=0x100)
    other = RawChannel(bus_name="hs", response_id=0x18FF0011)
    talk = await raw(driver, one)
    await talk.send("", other)
    await opened(driver, 2)
    bus.send(FrameBatch.of([Frame(id=0x18FF0011, data=b"\x01", extended=True), Frame(id=0x100, data=b"\x02")]))
    async with asyncio.timeout(SOON):
        heard = [await talk.call.read(), await talk.call.read()]
    assert [(message.channel.response_id, message.payload) for message in heard] == [(0x18FF0011, "01"), (0x100, "02")]


# What is refused


@pytest.mark.parametrize(
    ("channel", "payload", "status", "says"),
    [
        (IsotpChannel(bus_name="ls", request_id=1, response_id=2), "", "NOT_FOUND", "no CAN bus 'ls'"),
        (IsotpChannel(bus_name="hs", request_id=0x7E0, response_id=0x7E0), "", "INVALID_ARGUMENT", "two ids"),
        (IsotpChannel(bus_name="hs", request_id=1 << 30, response_id=1), "", "INVALID_ARGUMENT", "arbitration id"),
        (
            IsotpChannel(bus_name="hs", request_id=1, response_id=2, extended_request_address=256),
            "",
            "INVALID_ARGUMENT",
            "one byte",
        ),
        (ENGINE, "0x10", "INVALID_ARGUMENT", "pairs of hexadecimal digits"),
        (ENGINE, "100", "INVALID_ARGUMENT", "pairs of hexadecimal digits"),
        (ENGINE, "00" * 4096, "INVALID_ARGUMENT", "at most 4095 bytes"),
    ],
)
async def test_nonsense_ends_an_isotp_stream(driver, channel, payload, status, says) -> None:
    talk = await isotp(driver, channel)
    if payload:
        await talk.send(payload)
    code, details = await talk.end()
    assert (code.name, says in details) == (status, True), details


@pytest.mark.parametrize(
    ("channel", "payload", "says"),
    [
        (RawChannel(bus_name="hs"), "", "needs a request_id"),
        (RawChannel(bus_name="hs", response_id=1), "00", "no request_id"),
        (RawChannel(bus_name="hs", request_id=1 << 29), "", "no arbitration id"),
        (RawChannel(bus_name="hs", request_id=1), "00" * 9, "no frame has 9 bytes"),
    ],
)
async def test_nonsense_ends_a_raw_stream(driver, channel, payload, says) -> None:
    talk = await raw(driver, channel)
    if payload:
        await talk.send(payload)
    code, details = await talk.end()
    assert (code, says in details) == (grpc.StatusCode.INVALID_ARGUMENT, True), details


async def test_writing_is_a_permission(open_bench, join) -> None:
    bench = await open_bench(grants=Write.READ_DIAGNOSTIC)
    caller = await join(bench)
    await caller.active_session()
    await configure(caller, hs())
    talk = await isotp(caller)
    assert await talk.ask("3E00") == "7E00"
    await talk.send("1101")
    code, details = await talk.end()
    assert (code, "--allow-write diagnostics" in details) == (grpc.StatusCode.PERMISSION_DENIED, True), details
    frames = await raw(caller, RawChannel(bus_name="hs", request_id=0x123, response_id=0x124))
    await frames.send("00")
    assert (await frames.end())[0] is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("channel", "payload"),
    [
        (IsotpChannel(request_id=0x7DF, response_id=0x128), "0100"),  # flow control would go to 0x120
        (IsotpChannel(request_id=0x18DB33F1, response_id=0x128), "0100"),
        (IsotpChannel(request_id=0x123, response_id=0x7E8), "22F190"),
        (IsotpChannel(request_id=0x7E0, response_id=0x7E8, extended_request_address=0x02), "22" + "F1" * 0x102),
        (IsotpChannel(request_id=0x726, response_id=0x72E, extended_request_address=0x02), "22" + "F1" * 0x100),
        (IsotpChannel(request_id=0x726, response_id=0x72E), "032EF19041"),
        (IsotpChannel(request_id=0x726, response_id=0x72E), "22F190F18CF1042EF190"),
    ],
)
@pytest.mark.parametrize("padding", messages.Padding.values())
async def test_reading_is_not_stretched(open_bench, join, channel, payload, padding) -> None:
    """By no addressing or padding does a stream put on the bus what may change the vehicle."""
    bench = await open_bench(grants=Write.READ_DIAGNOSTIC)
    caller = await join(bench)
    await caller.active_session()
    await configure(caller, hs())
    channel.bus_name, channel.padding = "hs", padding
    call = caller.can.openIsotpStream(metadata=caller.metadata)
    talk = Talk(call, IsotpMessage, channel)
    await talk.send(payload)
    code, details = await talk.end()
    assert (code, "--allow-write diagnostics" in details) == (grpc.StatusCode.PERMISSION_DENIED, True), details
    assert bench.buses[1].frames_sent == 0


async def test_a_session_hears_an_id_so_many_times(bench, driver, join) -> None:
    """Each time takes as long again, and others would have to wait for it."""
    talks = [
        await raw(driver, RawChannel(bus_name="hs", response_id=0x7E8, request_id=number))
        for number in range(SESSION_HEARERS_LIMIT)
    ]
    await opened(driver, SESSION_HEARERS_LIMIT)
    code, details = await (await isotp(driver)).end()
    assert (code, "hear 0x7e8 already" in details) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True), details
    other = await join(bench)
    await other.active_session()
    await configure(other, hs())
    assert await (await isotp(other)).ask("3E00") == "7E00"
    for sending in range(SESSION_HEARERS_LIMIT + 1):  # who only sends takes nobody's time
        await talks[0].send("00", RawChannel(bus_name="hs", request_id=sending))
    talks[-1].call.cancel()
    async with asyncio.timeout(SOON):
        while bench.gateway.core.sessions.open[0].streams == SESSION_HEARERS_LIMIT:
            await configuration(driver)
    assert await (await isotp(driver)).ask("3E00") == "7E00"


async def test_what_the_protocol_does_not_know_of_a_channel_is_not_kept(bench, driver) -> None:
    """It may be of any size."""
    channel = ENGINE.SerializeToString() + bytes.fromhex("c23e04") + b"????"  # field 1000
    call = driver.channel.stream_stream("/openOBD.v1.can/openIsotpStream")(metadata=driver.metadata)
    await call.write(bytes([0x0A, len(channel)]) + channel)
    await opened(driver)
    [session] = bench.gateway.core.sessions.open
    assert list(session.channels) == [messages.ConfiguredChannel(isotp_channel=ENGINE).SerializeToString()]


async def test_only_an_active_session_may(bench, join) -> None:
    caller = await join(bench)
    await caller.start_session()
    talk = Talk(caller.can.openIsotpStream(metadata=caller.metadata), IsotpMessage, ENGINE)
    assert (await talk.end())[0] is grpc.StatusCode.UNAUTHENTICATED
    assert (await Talk(caller.can.openRawStream(), RawFrame, None).end())[0] is grpc.StatusCode.UNAUTHENTICATED


async def test_tp20_says_what_is_missing(driver) -> None:
    call = driver.can.openTp20Stream(metadata=driver.metadata)
    code, details = await Talk(call, Tp20Message, Tp20Channel()).end()
    assert (code, "TP 2.0" in details) == (grpc.StatusCode.UNIMPLEMENTED, True)


# Ends


async def test_streams_end_with_the_session(driver, bench) -> None:
    talk = await isotp(driver)
    await opened(driver)
    await driver.session.finish(ServiceResult(result=[Result.RESULT_SUCCESS]), metadata=driver.metadata)
    assert (await talk.end())[0] is grpc.StatusCode.OK
    assert not bench.buses[1].channels.heard_ids


async def test_streams_end_with_an_interruption(driver, bench) -> None:
    talk = await isotp(driver)
    await opened(driver)
    session = bench.gateway.core.sessions.open[0]
    bench.gateway.core.sessions.interrupt("bench-client", session.id)
    code, details = await talk.end()
    assert (code, "interrupted" in details) == (grpc.StatusCode.FAILED_PRECONDITION, True)


async def test_a_lost_bus_ends_its_streams(driver, bench) -> None:
    talk = await isotp(driver)
    await opened(driver)
    bench.bus_state_changed(bench.buses[2], BusState.GONE, "pulled")
    assert await talk.ask("3E00") == "7E00"
    bench.bus_state_changed(bench.buses[1], BusState.GONE, "pulled")
    code, details = await talk.end()
    assert (code, details) == (grpc.StatusCode.UNAVAILABLE, "bus 1 is gone")


async def test_a_client_that_leaves_leaves_nothing(driver, bench) -> None:
    talk = await isotp(driver)
    await opened(driver)
    await talk.call.done_writing()
    assert (await talk.end())[0] is grpc.StatusCode.OK
    cancelled = await isotp(driver)
    await cancelled.ask("3E00")
    cancelled.call.cancel()
    async with asyncio.timeout(SOON):
        while bench.gateway.core.sessions.open[0].streams:
            await configuration(driver)
    assert not bench.buses[1].channels.heard_ids
    assert not bench.gateway.core.bus_watchers


async def test_a_stream_on_a_bus_that_the_session_no_longer_has_ends(bench, caller) -> None:
    await configure(caller, hs(), hs(3, 11, "ms"))
    leaving, staying = await isotp(caller), await raw(caller, RawChannel(bus_name="ms", response_id=0x123))
    assert await leaving.ask("3E00") == "7E00"
    await opened(caller, 2)
    await configure(caller, hs(3, 11, "ms"))
    code, details = await leaving.end()
    assert (code, details) == (grpc.StatusCode.FAILED_PRECONDITION, "the session was configured without bus 1")
    assert bench.muted == {2}
    listed = (await configuration(caller)).channels
    assert [channel.raw_channel.response_id for channel in listed] == [0x123]
    staying.call.cancel()


async def test_what_no_frame_to_all_ecus_takes_makes_no_sense(caller) -> None:
    await configure(caller, hs())
    talk = await isotp(caller, IsotpChannel(bus_name="hs", request_id=0x7DF, response_id=0x7E8))
    await talk.send("22F190F18CF195F197")
    code, details = await talk.end()
    assert (code, details) == (grpc.StatusCode.INVALID_ARGUMENT, "one frame takes at most 7 bytes to all ECUs, not 9")


async def test_a_refusal_that_repeats_what_was_sent_is_cut(caller) -> None:
    talk = await isotp(caller, IsotpChannel(bus_name="x" * 60000, request_id=0x7E0, response_id=0x7E8))
    code, details = await talk.end()
    assert (code, details[-3:]) == (grpc.StatusCode.NOT_FOUND, "...")
    assert details.startswith("the session has no CAN bus 'xxx")
