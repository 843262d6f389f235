"""The slcan bus and Linux's own slcan driver on one CAN bus, each behind an adapter of its own."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import socket
import struct
import subprocess

import pytest

from bridge.buses.slcan import SlcanBus
from bridge.buses.slcan_adapter import ChannelSettings
from bridge.frames import Frame, FrameBatch, FrameFlags
from tests.buses.slcan_adapter import SlcanAdapter, Wire
from tests.contract.harness import PATIENCE, Listener, Peer

TIOCSETD, SIOCGIFNAME = 0x5423, 0x8910
N_SLCAN = 17  # linux/tty.h
CAN_FRAME = struct.Struct("=IBxxx8s")
COUNT = 2000
UNDER_WAY = 100  # frames at once; a socket that may not grow (net.core.rmem_max) holds some 500, then loses the rest


def ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)


@pytest.fixture
async def wire():
    wire = Wire()
    yield wire
    wire.close()


@pytest.fixture
async def interface(wire):
    """A raw socket on slcan0, which the kernel has made of a serial port."""
    adapter = SlcanAdapter(wire)
    adapter.auto_poll = True  # the kernel does not switch it on
    terminal = os.open(adapter.path, os.O_RDWR | os.O_NOCTTY)
    try:
        fcntl.ioctl(terminal, TIOCSETD, struct.pack("i", N_SLCAN))
        name = fcntl.ioctl(terminal, SIOCGIFNAME, bytes(16)).rstrip(b"\0").decode()
    except OSError as error:
        os.close(terminal)
        pytest.skip(f"this kernel does not make a CAN interface of a serial port: {error}")
    if name not in [known for _, known in socket.if_nameindex()]:
        os.close(terminal)
        pytest.skip(f"the kernel makes {name} in the first network namespace only, and this is another")
    # While it comes up the driver waits for its port to be read, which is this loop's task.
    await asyncio.to_thread(ip, f"link set {name} type can bitrate 500000")
    await asyncio.to_thread(ip, f"link set {name} up txqueuelen {COUNT}")
    with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as sock:
        sock.bind((name,))
        sock.setblocking(False)
        await adapter.until(lambda: adapter.is_open)
        assert adapter.bitrate == b"S6"
        yield sock
    await asyncio.to_thread(ip, f"link set {name} down")
    os.close(terminal)


@pytest.fixture
async def bus(wire, interface):
    bus = SlcanBus(1, "slcan", SlcanAdapter(wire).path, ChannelSettings(500_000))
    bus.answer_timeout = PATIENCE
    listener = Listener()
    await bus.open(listener)
    yield bus, listener
    await bus.close()


def frames_of_all_kinds() -> list[Frame]:
    source = random.Random(1)
    frames = []
    for number in range(COUNT):
        extended = number % 2 == 1
        remote = number % 7 == 0
        size = number % 9
        frames.append(
            Frame(
                id=source.randrange(1 << (29 if extended else 11)),
                extended=extended,
                data=bytes(size) if remote else source.randbytes(size),
                flags=FrameFlags.REMOTE if remote else FrameFlags.NONE,
            )
        )
    return frames


def packed(frame: Frame) -> bytes:
    identifier = frame.id | (socket.CAN_EFF_FLAG if frame.extended else 0)
    if frame.flags & FrameFlags.REMOTE:
        identifier |= socket.CAN_RTR_FLAG
    return CAN_FRAME.pack(identifier, len(frame.data), frame.data)


async def test_frames_to_the_kernel(bus, interface) -> None:
    sender, _ = bus
    frames = frames_of_all_kinds()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE):
        for start in range(0, COUNT, UNDER_WAY):
            part = frames[start : start + UNDER_WAY]
            sender.send(FrameBatch.of(part))
            assert [await loop.sock_recv(interface, 16) for _ in part] == [packed(frame) for frame in part]
    assert sender.frames_sent == COUNT
    assert sender.frames_unsent == 0


async def test_frames_from_the_kernel(bus, interface) -> None:
    _, listener = bus
    frames = frames_of_all_kinds()
    loop = asyncio.get_running_loop()
    for start in range(0, COUNT, UNDER_WAY):
        for frame in frames[start : start + UNDER_WAY]:
            await loop.sock_sendall(interface, packed(frame))
        await listener.heard(start + UNDER_WAY)
    assert [packed(frame) for frame in listener.frames] == [packed(frame) for frame in frames]


async def test_a_payload_to_the_kernel_and_back(bus, interface) -> None:
    """Single frames, with the kernel's socket as the ECU."""
    tester, _ = bus
    peer = Peer(tester, 0x7E0, 0x7E8)
    peer.channel.send(b"\x01\x0c")
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE):
        identifier, _, data = CAN_FRAME.unpack(await loop.sock_recv(interface, 16))
        assert (identifier, data[:3]) == (0x7E0, b"\x02\x01\x0c")
        await loop.sock_sendall(interface, CAN_FRAME.pack(0x7E8, 5, b"\x04\x41\x0c\x0f\xa0\0\0\0"))
    assert await peer.payload() == b"\x41\x0c\x0f\xa0"
