"""The openOBD gateway: ISO-TP requests in sequence on one stream, beside grpc.aio that only echoes.

Client and server are processes of their own. The gateway's vehicle is the simulated one, whose ECUs
answer without a delay here, so that the figure is the bridge's.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from grpc import aio

from benchmarks.measuring import Effort, Figure, Report, Row, longer
from benchmarks.servers import bridge_arguments, serving
from bridge.openobd.messages import (
    Authenticate,
    BusConfiguration,
    CanBitRate,
    CanBus,
    CanProtocol,
    EmptyMessage,
    IsotpChannel,
    IsotpMessage,
    TicketId,
)
from bridge.openobd.services import canStub, configStub, sessionControllerStub, sessionStub

WANTED_ROUND_TRIPS = 1000.0  #: a second
BUS_NAME = "hs"
ENGINE = IsotpChannel(bus_name=BUS_NAME, request_id=0x7E0, response_id=0x7E8)
SINGLE_FRAMES = ("3E00", "7E00")
MULTI_FRAME = "22F190"  #: the VIN: a first frame, flow control and two consecutive frames
WARM_UP = 50  #: round trips before the clock runs
MILLISECOND = 1e-3

_CONFIGURATION = BusConfiguration(
    bus_name=BUS_NAME,
    can_bus=CanBus(
        pin_plus=6,
        pin_min=14,
        can_protocol=CanProtocol.CAN_PROTOCOL_ISOTP,
        can_bit_rate=CanBitRate.CAN_BIT_RATE_500,
    ),
)
Metadata = tuple[tuple[str, str], ...]


def measure(effort: Effort) -> Report:
    """The gateway and the echo in turn."""
    seconds = 10 * effort.run_seconds
    rates: dict[str, list[float]] = {"gateway": [], "long": [], "echo": []}
    latencies: list[float] = []
    with tempfile.TemporaryDirectory(prefix="gateway-") as folder:
        # Apps are given no TCP listener, so the one address that is printed is the gateway's.
        settings = Path(folder, "bridge.toml")
        settings.write_text(
            f'[[listen]]\nurl = "unix:{folder}/apps"\n[gateway]\nlisten = "127.0.0.1:0"\n', encoding="utf-8"
        )
        bridge = bridge_arguments(["simulated?latency=0"], "-f", str(settings), listen=())
        for _ in range(effort.runs):
            with serving(*bridge) as server:
                rate, times = asyncio.run(_round_trips(f"127.0.0.1:{server.port}", seconds, SINGLE_FRAMES[0], True))
                rates["gateway"].append(rate)
                latencies.append(statistics.quantiles(times, n=100)[98] / MILLISECOND)
                rates["long"].append(
                    asyncio.run(_round_trips(f"127.0.0.1:{server.port}", seconds, MULTI_FRAME, True))[0]
                )
            with serving("-m", "benchmarks.pingpong") as server:
                rate, _ = asyncio.run(_round_trips(f"127.0.0.1:{server.port}", seconds, SINGLE_FRAMES[0], False))
                rates["echo"].append(rate)
    figures = {name: Figure(tuple(runs)) for name, runs in rates.items()}
    work = "ISO-TP requests through the gateway, in sequence on one stream, simulated vehicle"
    return Report(
        [
            Row(
                work,
                figures["gateway"].text("round trips/s"),
                wanted=f"≥ {WANTED_ROUND_TRIPS:,.0f} round trips/s",
                reached=figures["gateway"].median >= WANTED_ROUND_TRIPS,
            ),
            longer(work, figures["gateway"], "bare grpc.aio ping-pong", figures["echo"], unit="round trips/s"),
            Row(f"{work}: p99", Figure(tuple(latencies)).text("ms")),
            Row(f"{work}, answers of 20 bytes (4 frames more)", figures["long"].text("round trips/s")),
        ]
    )


async def _round_trips(address: str, seconds: float, request: str, session: bool) -> tuple[float, list[float]]:
    """Round trips a second, and the seconds that each took."""
    async with aio.insecure_channel(address) as channel:
        metadata = await _session(channel) if session else ()
        stream = canStub(channel).openIsotpStream(metadata=metadata)
        message = IsotpMessage(channel=ENGINE, payload=request)
        times = []
        for number in range(10_000_000):
            began = time.perf_counter()
            await stream.write(message)
            answer = await stream.read()
            ended = time.perf_counter()
            if answer is aio.EOF or answer.payload[:2] not in (SINGLE_FRAMES[1][:2], "62", SINGLE_FRAMES[0][:2]):
                raise RuntimeError(f"{request} was answered with {answer}")
            if number == WARM_UP:
                start = ended
            elif number > WARM_UP:
                times.append(ended - began)
                if ended - start >= seconds:
                    break
        stream.cancel()
        return len(times) / (ended - start), times


async def _session(channel: aio.Channel) -> Metadata:
    """The metadata of a claimed session that has the car's bus."""
    controller = sessionControllerStub(channel)
    credentials = Authenticate(client_id="bench-client", client_secret="bench-secret", cluster_id="001")
    token = (await controller.getSessionControllerToken(credentials)).value
    info = await controller.startSessionOnTicket(TicketId(value="1"), metadata=_bearer(token))
    claimed = await sessionStub(channel).authenticate(EmptyMessage(), metadata=_bearer(info.authentication_token))
    metadata = _bearer(claimed.value)
    await configStub(channel).configureBus(iter([_CONFIGURATION]), metadata=metadata)
    return metadata


def _bearer(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)
