"""SocketCanBus on CAN interfaces of this machine's kernel: the bus contract, and what only a kernel shows.

Tests that make, take down or remove interfaces of their own need root.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import select
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.buses import can_socket, socketcan
from bridge.buses.bus import Bus, BusState
from bridge.buses.can_link import find_link
from bridge.buses.frame_bus import FrameBus
from bridge.buses.socketcan import SocketCanBus
from bridge.errors import BusError
from bridge.frames import RECORD_SIZE, Frame, FrameBatch, FrameFlags
from tests.contract.adapters import AdapterContract
from tests.contract.bus import BusContract
from tests.contract.harness import PATIENCE, Listener, essence, room_for_a_burst

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make and change interfaces")

UNDER_WAY = 50  #: frames at once; even a socket of test_what_nobody_reads_is_counted has room for them
BURST = 10_000  #: frames at once where there is room for a burst: more than a second of a saturated bus of 1 Mbit/s

TWINS = {"python": (can_socket.receive_frames, can_socket.send_frames)}
try:
    from bridge.codec import _codec

    TWINS["c"] = _codec.receive_frames, _codec.send_frames
except ImportError:
    _codec = None

needs_c = pytest.mark.skipif(_codec is None, reason="the C extension is not built")


class Twin:
    """What reads and writes sockets: in Python, or as `twin` says."""

    twin = "python"

    @pytest.fixture(autouse=True)
    def _twin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        receive, send = TWINS[self.twin]
        monkeypatch.setattr(socketcan, "receive_frames", receive)
        monkeypatch.setattr(socketcan, "send_frames", send)


class TestPython(Twin, BusContract):
    window = 500 if room_for_a_burst() else 200  # between two sockets the kernel holds 1000 (netdev_max_backlog)
    burst = 4095 if room_for_a_burst() else 500

    def new_wire(self) -> object:
        return "vcan0"

    def make(self, number: int, loopback: bool = False) -> FrameBus:
        return SocketCanBus(number, f"socketcan {number}", str(self.wire), loopback=loopback)


@needs_c
class TestC(TestPython):
    twin = "c"


@needs_root
class TestPythonGoesAndComesBack(Twin, AdapterContract):
    """The vehicle is at the other end of a wire of two interfaces: taking this one down leaves that one up."""

    @pytest.fixture(autouse=True)
    def _wired(self, _wire) -> Iterator[None]:
        self.near, self.far = "vxcan94", "vxcan93"
        ip("link", "add", "dev", self.near, "type", "vxcan", "peer", "name", self.far)
        self.plug_in()
        ip("link", "set", self.far, "up")
        yield
        ip("link", "del", self.near)

    def new_wire(self) -> object:
        return None

    def make(self, number: int, loopback: bool = False) -> FrameBus:
        name = self.near if number == 1 else self.far
        return SocketCanBus(number, f"socketcan:{name}", name, loopback=loopback)

    def unplug(self) -> None:
        ip("link", "set", self.near, "down")

    def plug_in(self) -> None:
        ip("link", "set", self.near, "up")

    def disturb(self, passive: bool) -> None:
        with can_socket.open_can_socket(self.far, own=False, ids=None) as can:
            data = b"\0\x10" if passive else b"\0\x40"  # CAN_ERR_CRTL_RX_PASSIVE, CAN_ERR_CRTL_ACTIVE
            put(can, Frame(0x04, data.ljust(8, b"\0"), flags=FrameFlags.ERROR))


@needs_c
class TestCGoesAndComesBack(TestPythonGoesAndComesBack):
    twin = "c"


class Reasons(Listener):
    """Keeps the reasons of the states, too."""

    def __init__(self) -> None:
        super().__init__()
        self.reasons: list[str] = []

    def bus_state_changed(self, bus: Bus, state: BusState, reason: str) -> None:
        self.reasons.append(reason)
        super().bus_state_changed(bus, state, reason)


class Counter(Listener):
    """Counts frames without looking at them."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def frames_received(self, bus: Bus, batch: FrameBatch) -> None:
        self.count += len(batch)
        super().frames_received(bus, FrameBatch())


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=PATIENCE)


@pytest.fixture
def interface() -> Iterator[str]:
    """A virtual CAN interface of the test's own, up."""
    name = "vcan97"
    ip("link", "add", "dev", name, "type", "vcan")
    ip("link", "set", name, "up")
    yield name
    if name in [other for _, other in socket.if_nameindex()]:
        ip("link", "del", name)


@pytest.fixture
def other() -> Iterator[socket.socket]:
    """Another program's socket on vcan0."""
    with can_socket.open_can_socket("vcan0", own=False, ids=None) as can:
        yield can


@pytest.fixture
async def opened() -> Callable[..., object]:
    buses: list[SocketCanBus] = []

    async def open_bus(channel: str = "vcan0", listener: Listener | None = None) -> tuple[SocketCanBus, Reasons]:
        bus, hears = SocketCanBus(1, f"socketcan:{channel}", channel), listener or Reasons()
        await bus.open(hears)
        buses.append(bus)
        return bus, hears

    yield open_bus
    for bus in buses:
        await bus.close()


def put(can: socket.socket, *frames: Frame) -> None:
    """Send frames, so few at once as the kernel has room for. When it returns, all sockets that want them have them."""
    with can_socket.open_can_socket(can.getsockname()[0], own=False, ids=None) as witness:
        for start in range(0, len(frames), UNDER_WAY):
            batch = FrameBatch.of(frames[start : start + UNDER_WAY])
            assert can_socket.send_frames(can.fileno(), batch.buffer) == len(batch)
            take(witness, len(batch))


def take(can: socket.socket, count: int) -> list[Frame]:
    """The next frames of a socket, error frames behind the others."""
    frames = errors = b""
    while len(frames) + len(errors) < count * RECORD_SIZE:
        assert select.select([can], [], [], PATIENCE)[0], f"{count} frames never came"
        found = can_socket.receive_frames(can.fileno(), 1, count)
        frames += found[0]
        errors += found[1]
    return [*FrameBatch(frames + errors)]


FRAMES = [
    Frame(1, b"abc"),
    Frame(0x7FF, b""),
    Frame(0x1FFFFFFF, bytes(8), extended=True),
    Frame(2, bytes(5), flags=FrameFlags.REMOTE),
    Frame(3, bytes(range(64)), fd=True, flags=FrameFlags.BITRATE_SWITCH),
    Frame(4, bytes(range(12)), fd=True, extended=True, flags=FrameFlags.ERROR_STATE_INDICATOR),
    Frame(0x44, b"\1\2\3\4\5\6\7\x08", flags=FrameFlags.ERROR),
]


@needs_c
def test_both_twins_give_the_same_bytes(other: socket.socket) -> None:
    """Timestamps included: the kernel takes one for all who hear a frame."""
    with (
        can_socket.open_can_socket("vcan0", own=False, ids=None) as second,
        can_socket.open_can_socket("vcan0", own=False, ids=None) as witness,
    ):
        for _, send in TWINS.values():
            batch = FrameBatch.of(FRAMES)
            with can_socket.open_can_socket("vcan0", own=True, ids=None) as sender:
                assert send(sender.fileno(), batch.buffer) == len(batch)
                take(witness, len(batch))
                own = _codec.receive_frames(sender.fileno(), 1, 100)
            heard = _codec.receive_frames(other.fileno(), 9, 100)
            assert heard == can_socket.receive_frames(second.fileno(), 9, 100)
            assert [essence(frame) for frame in FrameBatch(heard[0] + heard[1])] == [essence(f) for f in FRAMES]
            assert {f.flags & FrameFlags.OWN for f in FrameBatch(own[0] + own[1])} == {FrameFlags.OWN}
            assert all(frame.timestamp > 1.6e9 for frame in FrameBatch(heard[0] + heard[1]))


class TestReading:
    @pytest.mark.skipif(not room_for_a_burst(BURST), reason="the system grants no receive buffer for it")
    @pytest.mark.skipif(_codec is None, reason="only the C extension is as fast as another program")
    async def test_no_frame_of_a_busy_bus_is_lost(self, opened) -> None:
        """Another program sends as fast as it can."""
        bus, heard = await opened(listener=Counter())
        script = (
            "from bridge.buses import can_socket, socketcan\n"
            "from bridge.frames import Frame, FrameBatch\n"
            "can = can_socket.open_can_socket('vcan0', own=False, ids=frozenset())\n"
            f"for start in range(0, {BURST}, 20):\n"
            "    batch = FrameBatch.of(Frame(id=i & 0x7ff, data=bytes(8)) for i in range(start, start + 20))\n"
            "    assert can_socket.send_frames(can.fileno(), batch.buffer) == 20\n"
        )
        sender = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
        await heard.until(lambda: heard.count + bus.frames_dropped >= BURST)
        assert await asyncio.wait_for(sender.wait(), PATIENCE) == 0
        assert (heard.count, bus.frames_dropped) == (BURST, 0)

    @pytest.mark.skipif(not room_for_a_burst(BURST), reason="the system grants no receive buffer for it")
    @needs_root
    async def test_a_full_bus_does_not_hold_up_another(self, opened, interface) -> None:
        order: list[tuple[str, int]] = []

        class Order(Listener):
            def frames_received(self, bus: Bus, batch: FrameBatch) -> None:
                order.append((bus.name, len(batch)))
                super().frames_received(bus, FrameBatch())

        both = Order()
        await opened("vcan0", both)
        await opened(interface, both)
        for channel, count in (("vcan0", BURST), (interface, 1)):
            with can_socket.open_can_socket(channel, own=False, ids=frozenset()) as can:
                put(can, *[Frame(id=1)] * count)
        await both.until(lambda: sum(count for _, count in order) == BURST + 1)
        assert [name for name, _ in order].index(f"socketcan:{interface}") <= 1

    async def test_what_nobody_reads_is_counted(self, opened, other, monkeypatch, caplog) -> None:
        monkeypatch.setattr(can_socket, "RECEIVE_BUFFER", 32 * 1024)
        bus, heard = await opened(listener=Counter())
        put(other, *[Frame(id=1)] * 1000)  # the loop has no turn meanwhile
        await heard.until(lambda: heard.count > 0)
        put(other, Frame(id=2))  # the kernel tells the count along with a later frame
        await heard.until(lambda: heard.count + bus.frames_dropped >= 1001)
        assert heard.count + bus.frames_dropped == 1001
        assert bus.frames_dropped > 500
        assert "frames lost so far, not read in time" in caplog.text


class TestErrorFrames:
    async def test_they_change_the_state_and_are_no_frames(self, opened, other) -> None:
        _, heard = await opened()
        for count, (error_class, data) in enumerate(
            [(0x04, b"\0\x10"), (0x04, b"\0\x08"), (0x40, b""), (0x100, b"")], 1
        ):
            put(other, Frame(error_class, data.ljust(8, b"\0"), flags=FrameFlags.ERROR))
            await heard.until(lambda: len(heard.states) == count)  # noqa: B023
        assert heard.states == [BusState.ERROR_PASSIVE, BusState.UP, BusState.BUS_OFF, BusState.UP]
        put(other, Frame(0x123))
        assert [frame.id for frame in await heard.heard(1)] == [0x123]

    async def test_a_flood_of_them_neither_fills_the_log_nor_costs_frames(self, opened, other, caplog) -> None:
        _, heard = await opened()
        with caplog.at_level(logging.WARNING):
            put(other, *[Frame(0x88, b"\0\0\x04\x0a\0\0\0\0", flags=FrameFlags.ERROR)] * 300, Frame(1))
            await heard.heard(1)
        assert 1 <= len(caplog.messages) <= 3
        assert "stuff error in the data field" in caplog.text

    async def test_they_come_though_no_id_is_wanted(self, opened, other) -> None:
        bus, heard = await opened()
        bus.want_ids(frozenset())
        put(other, Frame(1), Frame(0x40, bytes(8), flags=FrameFlags.ERROR))
        await heard.until(lambda: heard.states == [BusState.BUS_OFF])
        assert heard.frames == []


class TestFilters:
    """What reaches the socket; the contract says what must reach the listener."""

    async def test_the_kernel_leaves_out_what_nobody_wants(self, opened, other) -> None:
        bus, heard = await opened()
        bus.want_ids(frozenset({(0x10, False), (0x10, True), (0x1ABCDEF0, True)}))
        sent = [
            Frame(0x10),
            Frame(0x11),
            Frame(0x10, extended=True),
            Frame(0x1ABCDEF0, extended=True),
            Frame(0x6F0),
            Frame(0x10, flags=FrameFlags.REMOTE),
            Frame(0x10, bytes(64), fd=True),
        ]
        put(other, *sent)
        await heard.heard(4)
        bus.want_ids(None)
        put(other, *sent)
        await heard.heard(11)
        assert [essence(f) for f in heard.frames] == [essence(sent[i]) for i in (0, 2, 3, 6, *range(7))]
        assert bus.frames_received == 11

    @pytest.mark.parametrize(("count", "heard"), [(0, 0), (512, 512), (513, 530)])
    def test_so_many_ids_as_the_kernel_takes(self, other, count: int, heard: int) -> None:
        ids = frozenset((identifier, False) for identifier in range(count))
        with can_socket.open_can_socket("vcan0", own=False, ids=ids) as can:
            found = 0
            for start in range(0, 530, 10):
                put(other, *[Frame(id=identifier) for identifier in range(start, start + 10)])
                found += len(FrameBatch(can_socket.receive_frames(can.fileno(), 1, 100)[0]))
            assert found == heard

    async def test_changing_them_loses_and_doubles_nothing(self, opened, other) -> None:
        bus, heard = await opened()
        for number in range(200):
            bus.want_ids(frozenset({(1, False), (number + 2, False)}) if number % 3 else None)
            put(other, Frame(1, bytes([number])))
        await heard.until(lambda: any(frame.data == bytes([199]) for frame in heard.frames))
        assert [frame.data[0] for frame in heard.frames] == list(range(200))


@needs_root
class TestTheInterface:
    async def test_down_and_up(self, opened, interface) -> None:
        bus, heard = await opened(interface)
        ip("link", "set", interface, "down")
        await heard.until(lambda: heard.states == [BusState.GONE])
        assert heard.reasons == [f"socketcan: {interface} is down; bring it up with: sudo ip link set {interface} up"]
        with pytest.raises(BusError, match="gone"):
            bus.send(FrameBatch.of([Frame(1)]))
        ip("link", "set", interface, "up")
        await heard.until(lambda: heard.states == [BusState.GONE, BusState.UP])
        await self.both_ways(bus, heard, interface)

    async def test_down_and_up_before_anybody_looks(self, opened, interface) -> None:
        bus, heard = await opened(interface)
        ip("link", "set", interface, "down")
        ip("link", "set", interface, "up")
        await heard.until(lambda: heard.states == [BusState.GONE, BusState.UP])
        await self.both_ways(bus, heard, interface)

    async def test_removed_and_added_again(self, opened, interface) -> None:
        bus, heard = await opened(interface)
        bus.want_ids(frozenset({(0x22, False)}))
        for _ in range(3):
            heard.states.clear()
            ip("link", "del", interface)
            await heard.until(lambda: heard.states == [BusState.GONE])
            ip("link", "add", "dev", interface, "type", "vcan")
            ip("link", "set", interface, "up")
            await heard.until(lambda: heard.states == [BusState.GONE, BusState.UP])
            await self.both_ways(bus, heard, interface)

    async def test_a_write_notices_first(self, opened, interface) -> None:
        bus, heard = await opened(interface)
        ip("link", "set", interface, "down")
        with pytest.raises(BusError, match="gone"):
            bus.send(FrameBatch.of([Frame(1)]))
        assert heard.states == [BusState.GONE]
        assert (bus.frames_sent, bus.frames_unsent) == (0, 1)

    async def both_ways(self, bus: SocketCanBus, heard: Listener, channel: str) -> None:
        heard.frames.clear()
        with can_socket.open_can_socket(channel, own=False, ids=None) as can:
            put(can, Frame(0x22, b"in"))
            assert [frame.data for frame in await heard.heard(1)] == [b"in"]
            bus.send(FrameBatch.of([Frame(0x23, b"out")]))
            assert [frame.data for frame in take(can, 1)] == [b"out"]

    async def test_one_that_takes_no_can_fd(self, opened, interface) -> None:
        ip("link", "set", interface, "down")
        ip("link", "set", interface, "mtu", "16", "up")
        bus, _ = await opened(interface)
        with pytest.raises(BusError, match=f"{interface} is set to classic CAN"):
            bus.send(FrameBatch.of([Frame(1, fd=True)]))
        bus.send(FrameBatch.of([Frame(1)]))
        assert (bus.frames_sent, bus.frames_unsent) == (1, 0)


@pytest.fixture
def slow() -> Iterator[tuple[str, str]]:
    """Two ends of one wire; the first sends 100 frames a second, and has room for 30 that wait."""
    near, far = "vxcan96", "vxcan95"
    module = Path(f"/usr/lib/uml/modules/{platform.release()}/kernel/net/sched/sch_tbf.ko")
    if module.exists():  # User-Mode Linux does not find its modules by itself
        subprocess.run(["insmod", str(module)], check=False, capture_output=True, timeout=PATIENCE)
    ip("link", "add", "dev", near, "type", "vxcan", "peer", "name", far)
    try:
        for name in (near, far):
            ip("link", "set", name, "up")
        shape = f"qdisc add dev {near} root tbf rate 12800bit burst 64 limit 480"
        done = subprocess.run(["tc", *shape.split()], check=False, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode:
            pytest.skip(f"this kernel cannot slow an interface down: {done.stderr.strip()}")
        yield near, far
    finally:
        ip("link", "del", near)


@needs_root
@pytest.mark.skipif(shutil.which("tc", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None, reason="no tc")
class TestASlowInterface:
    """Its queue is full at times, which the kernel says by ENOBUFS and by no event."""

    async def test_what_it_does_not_take_at_once_leaves_in_order(self, opened, slow) -> None:
        bus, _ = await opened(slow[0])
        _, heard = await opened(slow[1])
        sent = [Frame(i, i.to_bytes(8, "big")) for i in range(80)]
        bus.send(FrameBatch.of(sent[:60]))
        assert 0 < bus.frames_sent < 60
        bus.send(FrameBatch.of(sent[60:]))
        await heard.heard(80)
        assert [essence(frame) for frame in heard.frames] == [essence(frame) for frame in sent]
        assert (bus.frames_sent, bus.frames_unsent) == (80, 0)

    async def test_closing_gives_it_half_a_second(self, opened, slow, monkeypatch) -> None:
        monkeypatch.setattr(socketcan, "WRITE_TIMEOUT", 0.1)
        bus, _ = await opened(slow[0])
        bus.send(FrameBatch.of([Frame(i, bytes(8)) for i in range(1000)]))
        await bus.close()
        assert bus.frames_sent + bus.frames_unsent == 1000
        assert bus.frames_unsent > 500


class TestWhatIsSaidAboutMistakes:
    async def said(self, channel: str, *bitrates: int) -> str:
        bus = SocketCanBus(1, "x", channel, *bitrates)
        with pytest.raises(BusError) as caught:
            await bus.open(Listener())
        assert bus.state is BusState.CLOSED
        assert "\n" not in str(caught.value)
        return str(caught.value)

    async def test_no_such_interface(self) -> None:
        said = await self.said("can9")
        assert said.startswith("socketcan: there is no interface can9; the CAN interfaces here are ")
        assert "vcan0" in said
        assert "lo" not in said.partition(" are ")[2].split(", ")

    async def test_no_such_virtual_interface(self) -> None:
        assert await self.said("vcan9") == (
            "socketcan: there is no interface vcan9; make it with: "
            "sudo ip link add dev vcan9 type vcan && sudo ip link set vcan9 up"
        )

    @pytest.mark.parametrize("name", ["a-name-that-no-interface-has", "ä" * 8, ".", "x/y"])
    async def test_impossible_names(self, name: str) -> None:
        assert f"there is no interface {name}" in await self.said(name)

    async def test_no_can_interface(self) -> None:
        assert (await self.said("lo")).startswith("socketcan: lo is no CAN interface; the CAN interfaces here are ")

    @needs_root
    async def test_one_that_is_down(self, interface) -> None:
        ip("link", "set", interface, "down")
        assert await self.said(interface) == (
            f"socketcan: {interface} is down; bring it up with: sudo ip link set {interface} up"
        )

    async def test_a_bitrate_of_a_virtual_interface(self) -> None:
        assert await self.said("vcan0", 500000) == (
            "socketcan: vcan0 is a virtual interface and has no bitrate to set; write socketcan:vcan0"
        )
        assert find_link("vcan0").up
