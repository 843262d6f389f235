"""Frames between can-utils and apps, through the daemon on vcan0: every kind, byte for byte."""

from __future__ import annotations

import random
import sys

import pytest

from bridge.openxc.messages import CanMessage, FrameFormat
from tests.daemon.harness import PROJECT, connect

from .can_utils import Candump, Printer, cansend, run, timeless

MARKER = "7FE##0"  #: a frame that no traffic of these tests has: cangen makes up any id, but no CAN FD frame


@pytest.fixture(scope="module")
def daemon(start_shared):
    return start_shared("--bus", "socketcan:vcan0", "--allow-write", "all")


@pytest.fixture
async def app(daemon, join):
    app = await join(daemon.url)
    assert (await app.ask("version")).status
    return app


def raw(identifier, data, **fields):
    return CanMessage(bus=1, id=identifier, data=bytes.fromhex(data), **fields)


# From the bus


def test_a_frame_becomes_a_record(daemon):
    with connect(daemon.url) as sock:
        sock.sendall(b'{"command":"version"}\0')
        assert b"command_response" in sock.recv(4096)
        cansend("vcan0", "123#DEADBEEF")
        assert sock.recv(4096) == b'{"bus":1,"id":291,"data":"0xdeadbeef"}\0'


@pytest.mark.parametrize(
    ("sent", "record"),
    [
        ("000#", raw(0, "")),
        ("7FF#0102030405060708", raw(0x7FF, "0102030405060708")),
        ("12345678#C0FFEE", raw(0x12345678, "c0ffee", frame_format=FrameFormat.EXTENDED)),
        ("00000123#01", raw(0x123, "01", frame_format=FrameFormat.EXTENDED)),
        ("1FFFFFFF#", raw(0x1FFFFFFF, "", frame_format=FrameFormat.EXTENDED)),
        ("123##1" + "5A" * 64, raw(0x123, "5a" * 64, fd=True)),
        ("12345678##0" + "A5" * 12, raw(0x12345678, "a5" * 12, frame_format=FrameFormat.EXTENDED, fd=True)),
        ("123##3010203", raw(0x123, "010203", fd=True)),
    ],
)
async def test_every_kind_of_frame_comes_in(app, sent, record):
    cansend("vcan0", sent)
    assert await app.record() == record


async def test_a_remote_frame_is_no_record(app):
    cansend("vcan0", "123#R", "12345678#R8", "124#01")
    assert await app.record() == raw(0x124, "01")


# To the bus


@pytest.mark.parametrize(
    ("written", "line"),
    [
        (raw(0x123, "deadbeef"), "123#DEADBEEF"),
        (raw(0x7FF, ""), "7FF#"),
        (raw(0x42, "0102030405060708"), "042#0102030405060708"),
        (raw(0x18DB33F2, "01"), "18DB33F2#01"),
        (raw(0x123, "01", frame_format=FrameFormat.EXTENDED), "00000123#01"),
        (raw(0x123, "5a" * 64, fd=True), "123##0" + "5A" * 64),
    ],
)
async def test_every_kind_of_frame_goes_out(app, written, line):
    with Candump("vcan0") as candump:
        app.send(written)
        assert candump.lines(1) == [f"vcan0 {line}"]


async def test_what_an_app_writes_others_on_the_bus_hear_in_order(app):
    with Candump("vcan0") as candump:
        app.send(*(raw(0x100, number.to_bytes(8).hex()) for number in range(200)))
        assert candump.lines(200) == [f"vcan0 100#{number:016X}" for number in range(200)]


# As can-utils write it down


@pytest.fixture(scope="module")
def dump(daemon):
    """`openxc-bridge dump` in candump's format; whoever uses it reads all that it prints."""
    words = ("dump", daemon.url, "--format", "candump", "--interface", "vcan%d")
    with Printer(sys.executable, "-m", "bridge", *words, cwd=PROJECT) as process:
        # It says nothing when it is connected, so frames are sent until it prints one.
        while not process.says_something(within=0.1):
            cansend("vcan0", MARKER)
        yield process


def dumped(dump, count):
    """The next lines of the traffic, with their times."""
    lines = []
    while len(lines) < count:
        (line,) = dump.lines(1)
        if line.split()[2] != MARKER:
            lines.append(line)
    return lines


def traffic(source):
    """Frames of all kinds that a record has room for, as log lines."""
    lines = []
    for _ in range(400):
        identifier = source.choice([f"{source.randrange(0x7FE):03X}", f"{source.randrange(1 << 29):08X}"])
        fd = source.random() < 0.3
        size = source.choice([0, 3, 8, 12, 32, 64] if fd else range(9))
        lines.append(f"vcan0 {identifier}{'##0' if fd else '#'}{source.randbytes(size).hex().upper()}")
    return lines


def play(lines, *options):
    log = "".join(f"({1.7e9 + number / 1000:.6f}) {line}\n" for number, line in enumerate(lines))
    run("canplayer", *options, given=log)


def test_the_dump_is_what_candump_logs_and_canplayer_plays_it_again(dump):
    sent = traffic(random.Random(1))
    with Candump("vcan0") as candump:
        play(sent)
        log = dumped(dump, len(sent))
        assert [timeless(line) for line in log] == candump.lines(len(sent)) == sent
    with Candump("vcan0") as candump:
        run("canplayer", given="".join(f"{line}\n" for line in log))
        assert candump.lines(len(sent)) == sent
        assert [timeless(line) for line in dumped(dump, len(sent))] == sent


def test_what_cangen_makes_up_is_dumped_alike(dump):
    with Candump("vcan0") as candump:
        for options in ((), ("-e",)):
            run("cangen", "vcan0", "-g", "1", "-n", "100", *options)
        log = candump.lines(200)
        assert [timeless(line) for line in dumped(dump, 200)] == log
        assert len(set(log)) > 150
