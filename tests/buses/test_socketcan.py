"""SocketCanBus on a machine without CAN: its socket is half of a pair, its interface what the test says.

What only a kernel with CAN can show is in tests/vcan.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.buses import can_socket, socketcan
from bridge.buses.bus import BusState
from bridge.buses.can_link import CanLink
from bridge.buses.socketcan import SocketCanBus
from bridge.errors import BusError
from bridge.frames import RECORD_SIZE, Frame, FrameBatch, FrameFlags
from bridge.limits import WRITE_QUEUE_FRAMES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="SocketCAN is Linux's")

PATIENCE = 20.0
DOWN = "socketcan: can7 is down; bring it up at the vehicle's bitrate, such as: "
DOWN += "sudo ip link set can7 up type can bitrate 500000"

TWINS = [can_socket]
try:
    from bridge.codec import _codec

    TWINS.append(_codec)
except ImportError:
    _codec = None


def pair() -> tuple[socket.socket, socket.socket]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    near.setblocking(False)
    far.setblocking(False)
    return near, far


class Kernel:
    """Stands in for the interface can7 and the sockets on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.link: CanLink | None = CanLink(index=7, up=True, mtu=16)
        self.others: list[socket.socket] = []  # the far ends of the sockets that were opened
        self.filters: list[can_socket.Ids | None] = []
        self.read_errors: list[OSError] = []
        self.bitrates: list[tuple[str, int, int | None]] = []
        self.reader = can_socket.receive_frames
        self._near_news, self._news = pair()
        monkeypatch.setattr(socketcan, "find_link", self.find_link)
        monkeypatch.setattr(socketcan, "watch_links", self._near_news.dup)
        monkeypatch.setattr(socketcan, "receive_frames", self.receive_frames)
        monkeypatch.setattr(socketcan, "set_bitrate", self.set_bitrate)
        monkeypatch.setattr(can_socket, "open_can_socket", self.open_can_socket)
        monkeypatch.setattr(can_socket, "set_filters", lambda can, ids: self.filters.append(ids))

    def find_link(self, name: str) -> CanLink:
        if self.link is None:
            raise BusError(f"socketcan: there is no interface {name}")
        return self.link

    def open_can_socket(self, name: str, *, own: bool, ids: can_socket.Ids | None) -> socket.socket:
        near, far = pair()
        self.others.append(far)
        self.filters.append(ids)
        return near

    def receive_frames(self, fd: int, bus: int, limit: int) -> tuple[bytes, bytes, int | None]:
        if self.read_errors:
            raise self.read_errors.pop(0)
        return self.reader(fd, bus, limit)

    async def set_bitrate(self, name: str, bitrate: int, data_bitrate: int | None) -> None:
        self.bitrates.append((name, bitrate, data_bitrate))

    def change(self, link: CanLink | None) -> None:
        self.link = link
        self._news.send(b"news")

    def put(self, *messages: bytes) -> None:
        for message in messages:
            self.others[-1].send(message)

    def take(self) -> list[int]:
        """The first byte of the id of each frame that was sent and not taken yet."""
        taken = []
        while True:
            try:
                taken.append(int.from_bytes(self.others[-1].recv(72)[:4], "little"))
            except BlockingIOError:
                return taken

    def close(self) -> None:
        for end in (self._near_news, self._news, *self.others):
            end.close()


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    stand_in = Kernel(monkeypatch)
    yield stand_in
    stand_in.close()


@pytest.fixture
async def bus(kernel: Kernel, listener):
    opened = SocketCanBus(3, "socketcan:can7", "can7")
    await opened.open(listener)
    yield opened
    await opened.close()


def classic(identifier: int, data: bytes = b"") -> bytes:
    return identifier.to_bytes(4, "little") + bytes([len(data), 0, 0, 0]) + data.ljust(8, b"\0")


def error(error_class: int, *data: int) -> bytes:
    return classic(error_class | 0x20000000, bytes(data).ljust(8, b"\0"))


def frames(*identifiers: int) -> FrameBatch:
    return FrameBatch.of(Frame(id=identifier) for identifier in identifiers)


async def until(condition) -> None:
    """Wait for what the bus does by its own timers."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what the bus does in its timers makes no event
            await asyncio.sleep(0)


class TestTwins:
    """The C and the Python of receive_frames and send_frames."""

    @pytest.mark.parametrize("twin", TWINS)
    def test_a_record_of_each_kind(self, twin) -> None:
        near, far = pair()
        fd_frame = (0x92345678).to_bytes(4, "little") + bytes([12, 3, 0, 0]) + bytes(range(64))
        far.send(classic(0x123, b"abc")[:-1] + b"\xff")  # behind the data may be anything
        far.send((0xC0000001).to_bytes(4, "little") + bytes([5, 0, 0, 0]) + b"\xff" * 8)
        far.send(fd_frame)
        far.send(error(0x40, 1, 2))
        far.send(bytes(20))  # no CAN frame
        far.send(classic(0x1)[:4] + bytes([9]) + bytes(11))  # no length either
        received, errors, dropped = twin.receive_frames(near.fileno(), 5, 100)
        assert [*FrameBatch(received)] == [
            Frame(0x123, b"abc", bus=5),
            Frame(1, bytes(5), bus=5, extended=True, flags=FrameFlags.REMOTE | FrameFlags.EXTENDED),
            Frame(
                0x12345678,
                bytes(range(12)),
                bus=5,
                extended=True,
                fd=True,
                flags=FrameFlags.FD
                | FrameFlags.EXTENDED
                | FrameFlags.BITRATE_SWITCH
                | FrameFlags.ERROR_STATE_INDICATOR,
            ),
        ]
        assert [*FrameBatch(errors)] == [Frame(0x40, b"\1\2" + bytes(6), bus=5, flags=FrameFlags.ERROR)]
        assert received[16 + 3 : RECORD_SIZE] == bytes(61)
        assert dropped is None
        near.close()
        far.close()

    @pytest.mark.parametrize("twin", TWINS)
    def test_no_more_than_the_limit_is_taken_and_nothing_is_no_error(self, twin) -> None:
        near, far = pair()
        for identifier in range(5):
            far.send(classic(identifier))
        taken = [len(twin.receive_frames(near.fileno(), 1, 2)[0]) // RECORD_SIZE for _ in range(4)]
        assert taken == [2, 2, 1, 0]
        near.close()
        far.close()

    @pytest.mark.parametrize("twin", TWINS)
    def test_errors_of_the_system_are_raised(self, twin) -> None:
        near, far = pair()
        far.close()
        with pytest.raises(OSError) as caught:
            twin.send_frames(near.fileno(), frames(1).buffer)
        assert caught.value.errno in (errno.ECONNREFUSED, errno.ENOTCONN)
        near.close()
        for call in (lambda: twin.receive_frames(10**6, 1, 1), lambda: twin.send_frames(10**6, frames(1).buffer)):
            with pytest.raises(OSError):
                call()

    @pytest.mark.parametrize("twin", TWINS)
    def test_what_is_no_frame_is_not_sent(self, twin) -> None:
        near, far = pair()
        good = frames(1).buffer
        too_long = bytearray(good)
        too_long[14] = 9
        for records in (good[:-1], good + bytes(too_long), bytes(13) + bytes([2, 65]) + bytes(65)):
            with pytest.raises(ValueError, match="no records"):
                twin.send_frames(near.fileno(), records)
        with pytest.raises(BlockingIOError):
            far.recv(72)
        assert twin.send_frames(near.fileno(), b"") == 0
        near.close()
        far.close()

    @pytest.mark.parametrize("twin", TWINS)
    def test_a_full_queue_ends_sending_without_an_error(self, twin) -> None:
        near, far = pair()
        sent = twin.send_frames(near.fileno(), frames(*range(1500)).buffer)
        assert 0 < sent < 1500
        assert twin.send_frames(near.fileno(), frames(1).buffer) == 0
        heard = [int.from_bytes(far.recv(72)[:4], "little") for _ in range(sent)]
        assert heard == list(range(sent))
        near.close()
        far.close()

    @pytest.mark.skipif(_codec is None, reason="the C extension is not built")
    @given(
        st.lists(
            st.one_of(
                st.binary(min_size=16, max_size=16),
                st.binary(min_size=72, max_size=72),
                st.binary(min_size=1, max_size=90),
            ),
            max_size=8,
        )
    )
    def test_both_make_the_same_records_of_anything(self, messages: list[bytes]) -> None:
        results = []
        for twin in TWINS:
            near, far = pair()
            for message in messages:
                far.send(message)
            results.append(twin.receive_frames(near.fileno(), 1, 100))
            near.close()
            far.close()
        assert results[0] == results[1]

    @pytest.mark.skipif(_codec is None, reason="the C extension is not built")
    @given(
        st.lists(
            st.builds(
                lambda head, flags, data: head + bytes([1, flags, len(data), 0]) + data.ljust(64, b"\0"),
                st.binary(min_size=12, max_size=12),
                st.integers(0, 255),
                st.binary(max_size=8) | st.binary(max_size=64),
            ),
            max_size=8,
        )
    )
    def test_both_send_the_same_of_anything(self, records: list[bytes]) -> None:
        results: list[object] = []
        for twin in TWINS:
            near, far = pair()
            try:
                sent = twin.send_frames(near.fileno(), b"".join(records))
                results.append([far.recv(100) for _ in range(sent)])
            except ValueError as error:
                results.append(str(error))
            near.close()
            far.close()
        assert results[0] == results[1]


class TestReading:
    async def test_frames_reach_the_listener(self, bus, kernel, listener) -> None:
        kernel.put(classic(0x10, b"ab"), classic(0x11))
        assert [(f.id, f.data, f.bus) for f in await listener.heard(2)] == [(0x10, b"ab", 3), (0x11, b"", 3)]
        assert bus.frames_received == 2

    async def test_lost_frames_are_counted_by_differences(self, bus, kernel, listener, caplog) -> None:
        counters = iter([0xFFFFFFFE, 0xFFFFFFFE, None, 3])

        def reader(fd: int, number: int, limit: int) -> tuple[bytes, bytes, int | None]:
            records, errors, _ = can_socket.receive_frames(fd, number, limit)
            return records, errors, next(counters)

        kernel.reader = reader
        dropped = []
        for count in range(1, 5):
            kernel.put(classic(count))
            await listener.heard(count)
            dropped.append(bus.frames_dropped)
        assert dropped == [0xFFFFFFFE, 0xFFFFFFFE, 0xFFFFFFFE, 0x100000003]
        assert len(caplog.messages) == 1


class TestErrorFrames:
    async def test_the_state_follows_the_controller(self, bus, kernel, listener) -> None:
        passive, active, bus_off, restarted = (
            error(4, 0, 0x10),
            error(4, 0, 0x40),
            error(0x40),
            error(0x100),
        )
        for count, message in enumerate((passive, active, bus_off, restarted), 1):
            kernel.put(message)
            await listener.until(lambda: len(listener.states) == count)  # noqa: B023
        assert [state for state, _ in listener.states] == [
            BusState.ERROR_PASSIVE,
            BusState.UP,
            BusState.BUS_OFF,
            BusState.UP,
        ]
        assert "sudo ip link set can7 type can restart" in listener.states[2][1]
        assert listener.frames == []
        assert bus.frames_received == 0

    async def test_bus_off_takes_no_frames_and_error_passive_does(self, bus, kernel, listener) -> None:
        kernel.put(error(4, 0, 0x20))
        await listener.until(lambda: len(listener.states) == 1)
        bus.send(frames(1))
        kernel.put(error(0x40))
        await listener.until(lambda: len(listener.states) == 2)
        with pytest.raises(BusError, match="bus-off"):
            bus.send(frames(2))
        assert kernel.take() == [1]

    async def test_a_flood_of_errors_is_one_line(self, bus, kernel, listener, caplog) -> None:
        with caplog.at_level(logging.WARNING):
            for _ in range(5):
                kernel.put(*[error(0x20)] * 8)
                kernel.put(classic(1))
                await listener.heard(len(listener.frames) + 1)
        assert bus.state is BusState.UP
        assert [line for line in caplog.messages if "acknowledgement" in line] == [
            "socketcan:can7: no acknowledgement: nobody else on the bus, another bitrate, or a broken wire"
        ]


class TestWriting:
    async def test_what_the_kernel_does_not_take_waits_its_turn(self, bus, kernel) -> None:
        bus.send(frames(*range(2000)))
        assert 0 < bus.frames_sent < 2000
        bus.send(frames(*range(2000, 2047)))
        heard = []

        def all_heard() -> bool:
            heard.extend(kernel.take())
            return len(heard) == 2047

        await until(all_heard)
        assert heard == list(range(2047))
        await until(lambda: bus.frames_sent == 2047)
        assert bus.frames_unsent == 0

    async def test_what_waits_too_long_is_dropped_and_counted(self, bus, kernel, monkeypatch, caplog) -> None:
        monkeypatch.setattr(socketcan, "WRITE_TIMEOUT", 0.01)
        bus.send(frames(*range(2000)))
        await until(lambda: bus.frames_sent + bus.frames_unsent == 2000)
        assert bus.frames_unsent > 0
        assert len([line for line in caplog.messages if "the interface does not take them" in line]) == 1
        before = kernel.take()
        assert before == list(range(len(before)))
        bus.send(frames(2001))
        assert kernel.take() == [2001]

    async def test_only_so_many_may_wait(self, bus, kernel) -> None:
        bus.send(frames(*[1] * WRITE_QUEUE_FRAMES))
        with pytest.raises(BusError, match="wait already for socketcan:can7"):
            bus.send(frames(*[2] * WRITE_QUEUE_FRAMES))

    async def test_a_frame_that_the_kernel_refuses_does_not_hold_up_the_others(self, bus, kernel, monkeypatch) -> None:
        def refusing(fd: int, records: bytes) -> int:
            if FrameBatch(records[:RECORD_SIZE]) == frames(2):
                raise OSError(errno.EINVAL, "Invalid argument")
            return can_socket.send_frames(fd, records[:RECORD_SIZE])

        monkeypatch.setattr(socketcan, "send_frames", refusing)
        bus.send(frames(1, 2, 3))
        await until(lambda: bus.frames_sent == 2)
        assert bus.frames_unsent == 1
        assert kernel.take() == [1, 3]

    async def test_closing_waits_for_what_leaves(self, kernel, listener) -> None:
        bus = SocketCanBus(1, "x", "can7")
        await bus.open(listener)
        bus.send(frames(*range(700)))
        heard: list[int] = []
        closing = asyncio.create_task(bus.close())
        async with asyncio.timeout(PATIENCE):
            while not closing.done():
                heard += kernel.take()
                await asyncio.sleep(0)
        assert heard + kernel.take() == list(range(700))
        assert bus.frames_sent == 700

    async def test_closing_does_not_wait_for_what_does_not(self, kernel, listener, monkeypatch) -> None:
        monkeypatch.setattr(socketcan, "WRITE_TIMEOUT", 0.01)
        bus = SocketCanBus(1, "x", "can7")
        await bus.open(listener)
        bus.send(frames(*range(2000)))
        await bus.close()
        assert bus.frames_sent + bus.frames_unsent == 2000
        assert bus.frames_unsent > 0

    async def test_classic_can_takes_no_fd_frame(self, bus, kernel) -> None:
        with pytest.raises(BusError, match="can7 is set to classic CAN and takes no CAN FD frame"):
            bus.send(FrameBatch.of([Frame(id=1), Frame(id=2, fd=True)]))
        assert kernel.take() == []


class TestTheInterface:
    async def test_one_that_is_down_is_told_how_to_come_up(self, kernel, listener) -> None:
        kernel.link = CanLink(7, up=False, mtu=16)
        bus = SocketCanBus(1, "x", "can7")
        with pytest.raises(BusError) as caught:
            await bus.open(listener)
        assert str(caught.value) == DOWN
        assert bus.state is BusState.CLOSED
        kernel.link = CanLink(7, up=True, mtu=16)
        await bus.open(listener)
        await bus.close()

    async def test_it_goes_down_and_comes_up_by_news_alone(self, bus, kernel, listener) -> None:
        kernel.change(CanLink(7, up=False, mtu=16))
        await listener.until(lambda: len(listener.states) == 1)
        assert listener.states == [(BusState.GONE, DOWN)]
        with pytest.raises(BusError, match="gone"):
            bus.send(frames(1))
        kernel.change(CanLink(7, up=True, mtu=16))
        await listener.until(lambda: len(listener.states) == 2)
        assert listener.states[1] == (BusState.UP, "can7 is back")
        kernel.put(classic(0x22))
        assert [f.id for f in await listener.heard(1)] == [0x22]

    async def test_it_is_replaced_by_another_of_the_same_name(self, bus, kernel, listener) -> None:
        kernel.change(CanLink(8, up=True, mtu=16))
        await listener.until(lambda: len(listener.states) == 2)
        assert [state for state, _ in listener.states] == [BusState.GONE, BusState.UP]

    async def test_an_error_without_news_is_enough(self, bus, kernel, listener) -> None:
        """It went down and came up again before anybody looked: all that is left of it is the error."""
        kernel.read_errors.append(OSError(errno.ENETDOWN, "Network is down"))
        kernel.put(classic(1))
        await listener.until(lambda: len(listener.states) == 2)
        assert listener.states == [(BusState.GONE, DOWN), (BusState.UP, "can7 is back")]

    async def test_it_comes_back_though_the_news_got_lost(self, bus, kernel, listener) -> None:
        kernel.change(None)
        await listener.until(lambda: len(listener.states) == 1)
        kernel.link = CanLink(9, up=True, mtu=16)
        await listener.until(lambda: len(listener.states) == 2)
        assert bus.state is BusState.UP

    async def test_a_write_finds_it_gone(self, bus, kernel, listener, monkeypatch) -> None:
        def gone(fd: int, records: bytes) -> int:
            raise OSError(errno.ENXIO, "No such device or address")

        kernel.link = None
        monkeypatch.setattr(socketcan, "send_frames", gone)
        with pytest.raises(BusError, match="gone"):
            bus.send(frames(1, 2))
        assert listener.states == [(BusState.GONE, "socketcan: can7: No such device or address")]
        assert bus.frames_unsent == 2

    async def test_frames_that_wait_are_lost_with_it(self, bus, kernel, listener) -> None:
        bus.send(frames(*range(2000)))
        kernel.change(None)
        await listener.until(lambda: listener.states)
        assert bus.frames_sent + bus.frames_unsent == 2000

    async def test_isotp_channels_outlive_it(self, bus, kernel, listener) -> None:
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        bus.open_isotp(0x7E0, 0x7E8, extended=False, receiver=heard.put_nowait, failure=pytest.fail)
        kernel.change(None)
        await listener.until(lambda: len(listener.states) == 1)
        kernel.change(CanLink(9, up=True, mtu=72))
        await listener.until(lambda: len(listener.states) == 2)
        kernel.put(classic(0x7E8, b"\x02ok"))
        assert await asyncio.wait_for(heard.get(), PATIENCE) == b"ok"

    async def test_it_is_closed_while_it_is_gone(self, kernel, listener) -> None:
        bus = SocketCanBus(1, "x", "can7")
        await bus.open(listener)
        kernel.change(None)
        await listener.until(lambda: listener.states)
        await bus.close()
        assert bus.state is BusState.CLOSED
        assert len(kernel.others) == 1


class TestBitrate:
    async def test_it_is_set_before_the_interface_is_used(self, kernel, listener) -> None:
        bus = SocketCanBus(1, "x", "can7", 500000, 2000000)
        await bus.open(listener)
        await bus.close()
        assert kernel.bitrates == [("can7", 500000, 2000000)]

    async def test_an_interface_stays_as_it_is_unless_asked(self, bus, kernel) -> None:
        assert kernel.bitrates == []

    async def test_an_adapter_that_was_plugged_in_again_gets_it_again(self, kernel, listener) -> None:
        bus = SocketCanBus(1, "x", "can7", 500000)
        await bus.open(listener)
        kernel.change(None)
        await listener.until(lambda: len(listener.states) == 1)
        kernel.change(CanLink(8, up=False, mtu=16))
        await until(lambda: len(kernel.bitrates) == 2)
        kernel.change(CanLink(8, up=True, mtu=16))
        await listener.until(lambda: len(listener.states) == 2)
        assert bus.state is BusState.UP
        kernel.change(CanLink(8, up=False, mtu=16))  # somebody took it down
        await listener.until(lambda: len(listener.states) == 3)
        kernel.change(CanLink(8, up=True, mtu=16))
        await listener.until(lambda: len(listener.states) == 4)
        await bus.close()
        assert kernel.bitrates == [("can7", 500000, None)] * 2

    async def test_closing_ends_the_setting_up(self, kernel, listener, monkeypatch) -> None:
        started, never = asyncio.Event(), asyncio.Event()

        async def endless(name: str, bitrate: int, data_bitrate: int | None) -> None:
            started.set()
            await never.wait()

        bus = SocketCanBus(1, "x", "can7", 500000)
        await bus.open(listener)
        monkeypatch.setattr(socketcan, "set_bitrate", endless)
        kernel.change(CanLink(8, up=False, mtu=16))
        await listener.until(lambda: listener.states)
        kernel.change(CanLink(8, up=False, mtu=16))
        await asyncio.wait_for(started.wait(), PATIENCE)
        tasks = len(asyncio.all_tasks())
        await bus.close()
        assert len(asyncio.all_tasks()) == tasks - 1


class TestFilters:
    async def test_they_are_what_is_wanted_and_what_channels_hear(self, bus, kernel) -> None:
        assert kernel.filters == [None]
        bus.want_ids(frozenset({(0x10, False)}))
        assert kernel.filters[-1] == {(0x10, False)}

        def open_channel():
            return bus.open_isotp(0x7E0, 0x7E8, extended=False, receiver=pytest.fail, failure=pytest.fail)

        first, second = open_channel(), open_channel()
        assert kernel.filters[1:] == [{(0x10, False)}, {(0x10, False), (0x7E8, False)}]
        first.close()
        assert len(kernel.filters) == 3
        second.close()
        assert kernel.filters[-1] == {(0x10, False)}
        raw = bus.open_raw(0x20, extended=True, receiver=pytest.fail)
        assert kernel.filters[-1] == {(0x10, False), (0x20, True)}
        raw.close()
        assert kernel.filters[-1] == {(0x10, False)}
        bus.want_ids(None)
        assert kernel.filters[-1] is None

    async def test_they_outlive_the_interface(self, bus, kernel, listener) -> None:
        bus.want_ids(frozenset())
        kernel.change(CanLink(8, up=True, mtu=16))
        await listener.until(lambda: len(listener.states) == 2)
        assert kernel.filters == [None, frozenset(), frozenset()]

    async def test_an_interface_that_has_just_gone_takes_none(self, bus, kernel, listener, monkeypatch) -> None:
        def gone(can: socket.socket, ids: can_socket.Ids | None) -> None:
            raise OSError(errno.ENODEV, "No such device")

        monkeypatch.setattr(can_socket, "set_filters", gone)
        bus.want_ids(frozenset({(1, False)}))
        await listener.until(lambda: len(listener.states) == 2)
        assert [state for state, _ in listener.states] == [BusState.GONE, BusState.UP]
        assert kernel.filters == [None, {(1, False)}]
