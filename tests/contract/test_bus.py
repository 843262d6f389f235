"""The contracts of buses, on every kind that needs no CAN of the kernel's. SocketCAN's are in tests/vcan."""

from __future__ import annotations

import errno
import os
import socket
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import can
import pytest
from can.interfaces import BACKENDS
from can.interfaces.virtual import VirtualBus as VirtualBackend

from bridge.buses.frame_bus import FrameBus
from bridge.buses.python_can import PythonCanBus
from bridge.buses.slcan import SlcanBus
from bridge.buses.slcan_adapter import ChannelSettings
from bridge.buses.virtual import Segment, VirtualBus
from bridge.frames import Frame, FrameBatch, FrameFlags
from tests.buses.slcan_adapter import SlcanAdapter, Wire
from tests.contract.adapters import AdapterContract
from tests.contract.bus import BusContract
from tests.contract.harness import PATIENCE, Endpoints, essence, room_for_a_burst

SOON = 0.01  #: seconds between two looks for what a test changes


class TestVirtual(BusContract):
    def new_wire(self) -> object:
        return Segment()

    def make(self, number: int, loopback: bool = False) -> FrameBus:
        return VirtualBus(number, f"virtual {number}", self.wire, loopback)


class TestPythonCanVirtual(BusContract):
    def new_wire(self) -> object:
        return uuid.uuid4().hex

    def make(self, number: int, loopback: bool = False) -> FrameBus:
        return PythonCanBus(number, f"virtual:{number}", "virtual", self.wire, loopback=loopback)


class LooseBus(VirtualBackend):
    """python-can's virtual interface, as an adapter that can be pulled out."""

    unplugged: ClassVar[set[str]] = set()
    opened: ClassVar[dict[str, LooseBus]] = {}

    def __init__(self, channel: str, **options: Any) -> None:
        self._check(channel)
        super().__init__(channel, **options)
        self.opened[channel] = self

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        found = super()._recv_internal(timeout)
        self._check(self.channel_id)
        return found

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        self._check(self.channel_id)
        super().send(msg, timeout)

    @classmethod
    def unplug(cls, channel: str) -> None:
        cls.unplugged.add(channel)
        cls.opened[channel].queue.put(can.Message())  # wakes its reader

    def _check(self, channel: str) -> None:
        if channel in self.unplugged:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))


class TestALoosePythonCanAdapter(AdapterContract):
    tells_errors = False  # python-can has no word for it that all its interfaces keep

    @pytest.fixture(autouse=True)
    def _known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(BACKENDS, "loose", (__name__, "LooseBus"))
        monkeypatch.setattr("can.util.VALID_INTERFACES", can.VALID_INTERFACES | {"loose"})

    def new_wire(self) -> object:
        return uuid.uuid4().hex

    def make(self, number: int, loopback: bool = False) -> FrameBus:
        interface = "loose" if number == 1 else "virtual"
        bus = PythonCanBus(number, f"{interface}:{self.wire}", interface, self.wire, loopback=loopback)
        bus.reopen_delay = SOON
        return bus

    def unplug(self) -> None:
        LooseBus.unplug(self.wire)

    def plug_in(self) -> None:
        LooseBus.unplugged.remove(self.wire)


class SlcanEndpoints(Endpoints):
    """Each endpoint has an adapter of its own, behind a pseudo-terminal; the adapters share a CAN bus."""

    @pytest.fixture(autouse=True)
    async def _plugged(self, _wire, tmp_path: Path) -> AsyncIterator[None]:
        self.adapters: dict[int, SlcanAdapter] = {}
        self.directory = tmp_path
        yield
        self.wire.close()

    def new_wire(self) -> object:
        return Wire()

    def make(self, number: int, loopback: bool = False) -> FrameBus:
        if number not in self.adapters:
            self.adapters[number] = SlcanAdapter(self.wire)
            self.port(number).symlink_to(self.adapters[number].path)
        settings = ChannelSettings(500_000, data_bitrate=2_000_000)
        bus = SlcanBus(number, f"slcan:{number}", str(self.port(number)), settings, loopback=loopback)
        bus.answer_timeout = PATIENCE
        bus.reopen_period = bus.status_period = SOON
        return bus

    def port(self, number: int) -> Path:
        """A name that stays, as those in /dev/serial/by-id."""
        return self.directory / f"usb-{number}"


class TestALooseSlcanAdapter(SlcanEndpoints, AdapterContract):
    def unplug(self) -> None:
        self.adapters[1].unplug()
        self.port(1).unlink()

    def plug_in(self) -> None:
        self.adapters[1].plug_in()
        self.port(1).symlink_to(self.adapters[1].path)

    def disturb(self, passive: bool) -> None:
        self.adapters[1].status = 0x24 if passive else 0


class TestSlcan(SlcanEndpoints, BusContract):
    async def test_fd_frames_of_every_length(self, opened) -> None:
        """No line says the error state indicator: an adapter sets its own."""
        sender, _ = await opened(1)
        _, heard = await opened(2)
        frames = [
            Frame(id=0x123, data=bytes(range(n)), fd=True, flags=flags, extended=extended)
            for n in (0, 1, 8, 12, 16, 20, 24, 32, 48, 64)
            for flags in (FrameFlags.NONE, FrameFlags.BITRATE_SWITCH)
            for extended in (False, True)
        ]
        sender.send(FrameBatch.of(frames))
        assert [essence(f) for f in await heard.heard(len(frames))] == [essence(f) for f in frames]


GROUP = "239.74.163.2"


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def why_no_multicast() -> str | None:
    """A reason to skip, found by trying."""
    try:
        with can.Bus(interface="udp_multicast", channel=GROUP, port=free_udp_port()) as bus:
            bus.send(can.Message(arbitration_id=1))
            return None if bus.recv(1.0) else "multicast datagrams do not come back on this machine"
    except (can.CanError, OSError) as error:
        return f"no multicast on this machine: {error}"


NO_MULTICAST = why_no_multicast()


@pytest.mark.skipif(NO_MULTICAST is not None, reason=str(NO_MULTICAST))
class TestUdpMulticast(BusContract):
    window = 100  # a socket's usual buffer takes some 250 datagrams, and UDP waits for nobody
    burst = 4095 if room_for_a_burst() else 500

    def new_wire(self) -> object:
        return free_udp_port()

    def make(self, number: int, loopback: bool = False) -> FrameBus:
        return PythonCanBus(
            number,
            f"udp_multicast:{number}",
            "udp_multicast",
            GROUP,
            loopback=loopback,
            port=self.wire,
            hop_limit=0,
        )
