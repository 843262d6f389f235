"""The other side of the bus: can-utils, and ip, as a developer types them."""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon.harness import SOON

REQUIRED = os.environ.get("OPENXC_BRIDGE_VCAN") == "required"

SIOCGIFFLAGS, IFF_UP = 0x8913, 1


def need(*programs: str) -> None:
    """Skip without these programs; fail where they must be there."""
    for program in programs:
        if shutil.which(program) is None:
            reason = f"there is no {program}: apt-get install can-utils iproute2"
            pytest.fail(reason) if REQUIRED else pytest.skip(reason)


def run(*words: object, given: str | None = None) -> str:
    """Run a program to its end; what it printed."""
    arguments = [str(word) for word in words]
    done = subprocess.run(arguments, input=given, capture_output=True, text=True, timeout=SOON, check=False)
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr}"
    return done.stdout


def cansend(interface: str, *frames: str) -> None:
    """Send frames as cansend writes them: 123#DEADBEEF, 12345678#, 123##1<data>, 123#R."""
    for frame in frames:
        run("cansend", interface, frame)


def ip(words: str) -> None:
    run("ip", *words.split())


def is_up(interface: str) -> bool:
    with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as sock:
        found = fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16sH14x", interface.encode(), 0))
    return bool(struct.unpack("16sH14x", found)[1] & IFF_UP)


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that nothing tells of."""
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, f"{what} never came"
        time.sleep(0.02)


def receivers(interface: str) -> int:
    """How many sockets take every frame of an interface."""
    lines = Path("/proc/net/can/rcvlist_all").read_text().splitlines()
    return sum(line.split()[:1] == [interface] for line in lines)


class Printer:
    """A process that prints lines."""

    def __init__(self, *words: object, cwd: Path | None = None) -> None:
        self._process = subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, cwd=cwd)
        self._buffer = b""

    def __enter__(self) -> Printer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def says_something(self, within: float) -> bool:
        """Whether more of what it prints can be read."""
        return bool(select.select([self._process.stdout], [], [], within)[0])

    def lines(self, count: int) -> list[str]:
        """The next lines."""
        assert self._process.stdout is not None
        while (there := self._buffer.count(b"\n")) < count:
            assert self.says_something(SOON), f"{self._process.args[0]} is silent after {there} lines"
            self._buffer += os.read(self._process.stdout.fileno(), 1 << 16)
        *lines, self._buffer = self._buffer.split(b"\n", count)
        return [line.decode() for line in lines]


class Candump(Printer):
    """`candump -L` on interfaces, which hears everything once the object is made."""

    def __init__(self, *interfaces: str) -> None:
        before = {interface: receivers(interface) for interface in interfaces}
        # It reads frame by frame, so its socket must hold what comes at once.
        super().__init__("candump", "-L", "-r", 8 << 20, *interfaces)
        for interface, count in before.items():
            until(lambda interface=interface, count=count: receivers(interface) > count, f"candump on {interface}")

    def lines(self, count: int) -> list[str]:
        """The next lines, without their time."""
        return [timeless(line) for line in super().lines(count)]


def timeless(line: str) -> str:
    """A log line's interface and frame, without what only some kernels set.

    The digit after ## holds BRS (1), ESI (2) and FDF (4). The last says that it is a CAN FD frame,
    which both # do already; Linux sets it from 5.14 on.
    """
    _, interface, frame = line.split()[:3]
    identifier, fd, rest = frame.partition("##")
    return f"{interface} {identifier}##{int(rest[0], 16) & 3:X}{rest[1:]}" if fd else f"{interface} {frame}"
