"""PythonCanBus against real interfaces where there are some, and against one that breaks on demand."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import queue
import select
import threading
import tty
import uuid

import can
import pytest

from bridge.buses import can_adapter
from bridge.buses.bus import BusState
from bridge.buses.python_can import PythonCanBus
from bridge.errors import BusError
from bridge.frames import Frame, FrameBatch, FrameFlags

PATIENCE = 20.0


class FakeAdapter(can.BusABC):
    """An interface whose reads and sends do what the test wants."""

    def __init__(self) -> None:
        super().__init__(channel="fake")
        self.incoming: queue.Queue[can.Message | Exception] = queue.Queue()
        self.sent: list[can.Message] = []
        self.failures: list[Exception] = []
        self.free = threading.Event()
        self.free.set()
        self.closed = False

    def _recv_internal(self, timeout):
        try:
            item = self.incoming.get(timeout=timeout) if timeout else self.incoming.get_nowait()
        except queue.Empty:
            return None, True
        if isinstance(item, Exception):
            raise item
        return item, True

    def send(self, msg, timeout=None) -> None:
        self.free.wait(PATIENCE)
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append(msg)

    def shutdown(self) -> None:
        super().shutdown()
        self.closed = True
        self.free.set()


class Workshop:
    """Stands in for can.Bus(): hands out fake adapters, or fails."""

    def __init__(self) -> None:
        self.made: list[FakeAdapter] = []
        self.arguments: list[dict[str, object]] = []
        self.failures: list[Exception] = []
        self.prepared: list[can.Message | Exception] = []

    def __call__(self, **arguments: object) -> FakeAdapter:
        self.arguments.append(arguments)
        if self.failures:
            raise self.failures.pop(0)
        adapter = FakeAdapter()
        for item in self.prepared:
            adapter.incoming.put(item)
        self.made.append(adapter)
        return adapter


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    stand_in = Workshop()
    monkeypatch.setattr(can_adapter.can, "Bus", stand_in)
    return stand_in


@pytest.fixture
async def fake(workshop: Workshop, listener):
    """An open bus, its adapter and its listener."""
    bus = PythonCanBus(4, "fake", "virtual", "fake")
    bus.reopen_delay = 0.001
    await bus.open(listener)
    yield bus, workshop.made[0], listener
    await bus.close()


def message(identifier: int, **fields: object) -> can.Message:
    return can.Message(arbitration_id=identifier, is_extended_id=False, **fields)


async def until(condition) -> None:
    """Wait for what another thread does."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - a fake adapter's thread knows no events of the loop
            await asyncio.sleep(0.001)


class TestOpening:
    async def test_an_unknown_interface_lists_near_matches(self, listener) -> None:
        with pytest.raises(BusError, match="no interface 'sockecan'; did you mean socketcan"):
            await PythonCanBus(1, "x", "sockecan", "can0").open(listener)

    async def test_a_missing_device(self, listener, tmp_path) -> None:
        bus = PythonCanBus(1, "x", "slcan", str(tmp_path / "ttyACM9"), 500000)
        with pytest.raises(BusError, match="ttyACM9: there is no such device"):
            await bus.open(listener)
        assert bus.state is BusState.CLOSED
        await bus.close()

    async def test_a_missing_channel(self, listener, monkeypatch) -> None:
        monkeypatch.delenv("CAN_CHANNEL", raising=False)
        with pytest.raises(BusError, match="write slcan:CHANNEL"):
            await PythonCanBus(1, "x", "slcan").open(listener)

    async def test_python_cans_configuration_fills_what_is_not_said(self, new_listener, monkeypatch) -> None:
        monkeypatch.setenv("CAN_CHANNEL", channel := uuid.uuid4().hex)
        bus, listener = PythonCanBus(1, "x", "virtual"), new_listener()
        await bus.open(listener)
        with can.Bus(interface="virtual", channel=channel, ignore_config=True) as other:
            other.send(message(0x111))
            assert [f.id for f in await listener.heard(1)] == [0x111]
        await bus.close()

    async def test_what_is_said_wins_over_python_cans_configuration(self, new_listener, monkeypatch) -> None:
        monkeypatch.setenv("CAN_CHANNEL", "elsewhere")
        monkeypatch.setenv("CAN_INTERFACE", "socketcan")
        channel = uuid.uuid4().hex
        bus, listener = PythonCanBus(1, "x", "virtual", channel), new_listener()
        await bus.open(listener)
        with can.Bus(interface="virtual", channel=channel, ignore_config=True) as other:
            other.send(message(0x111))
            await listener.heard(1)
        await bus.close()

    async def test_arguments_are_passed_on_only_where_they_are_given(self, workshop, listener) -> None:
        for bus in (
            PythonCanBus(1, "x", "pcan"),
            PythonCanBus(1, "x", "pcan", "PCAN_USBBUS1", 250000, loopback=True, fd=True, data_bitrate=2000000),
        ):
            await bus.open(listener)
            await bus.close()
        assert workshop.arguments == [
            {"interface": "pcan", "channel": None},
            {
                "interface": "pcan",
                "channel": "PCAN_USBBUS1",
                "bitrate": 250000,
                "receive_own_messages": True,
                "fd": True,
                "data_bitrate": 2000000,
            },
        ]

    async def test_an_interface_that_is_gone_fails_at_its_first_read(self, workshop, listener) -> None:
        workshop.prepared = [OSError(errno.EIO, "Input/output error")]
        with pytest.raises(BusError, match=r"virtual:fake: .*Input/output error"):
            await PythonCanBus(1, "x", "virtual", "fake").open(listener)
        assert workshop.made[0].closed

    async def test_a_frame_that_is_there_already_is_not_lost(self, workshop, listener) -> None:
        workshop.prepared = [message(1), message(2)]
        bus = PythonCanBus(1, "x", "virtual", "fake")
        await bus.open(listener)
        assert [f.id for f in await listener.heard(2)] == [1, 2]
        await bus.close()

    async def test_an_opening_that_is_cancelled_leaves_nothing_open(self, workshop, listener, monkeypatch) -> None:
        hold = threading.Event()

        def slow(parameters):
            hold.wait(PATIENCE)
            return workshop()

        monkeypatch.setattr("bridge.buses.python_can.open_can_bus", slow)
        bus = PythonCanBus(1, "x", "virtual", "fake")
        task = asyncio.create_task(bus.open(listener))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert bus.state is BusState.CLOSED
        hold.set()
        await until(lambda: workshop.made and workshop.made[0].closed)


class TestReading:
    async def test_timestamps_that_are_no_unix_time_are_replaced(self, fake) -> None:
        _, adapter, listener = fake
        adapter.incoming.put(message(1, timestamp=12.5))
        adapter.incoming.put(message(2, timestamp=1.7e9))
        first, second = await listener.heard(2)
        assert first.timestamp > 1.7e9
        assert second.timestamp == 1.7e9
        assert first.bus == 4

    async def test_a_frame_of_another_program_here_is_not_the_own_one(self, workshop, listener) -> None:
        """Some drivers mark frames of any local program as sent from here."""
        bus = PythonCanBus(1, "fake", "virtual", "fake", loopback=True)
        await bus.open(listener)
        bus.send(FrameBatch.of([Frame(id=1, data=b"mine"), Frame(id=1, data=b"mine"), Frame(id=3)]))
        await until(lambda: bus.frames_sent == 3)
        for identifier, data, here in (
            (1, b"mine", False),
            (2, b"", False),
            (1, b"mine", False),
            (1, b"mine", False),
            (3, b"", True),
            (3, b"", False),
        ):
            workshop.made[0].incoming.put(message(identifier, data=data, is_rx=here))
        frames = await listener.heard(6)
        assert [bool(f.flags & FrameFlags.OWN) for f in frames] == [True, False, True, False, False, True]
        await bus.close()

    async def test_error_frames_are_flagged(self, fake) -> None:
        _, adapter, listener = fake
        adapter.incoming.put(can.Message(arbitration_id=4, is_error_frame=True, data=bytes(8)))
        (frame,) = await listener.heard(1)
        assert frame.flags & FrameFlags.ERROR

    async def test_one_unreadable_frame_is_not_the_end(self, fake) -> None:
        bus, adapter, listener = fake
        for identifier in range(20):
            adapter.incoming.put(can.CanOperationError("could not unpack received message"))
            adapter.incoming.put(message(identifier))
        await listener.heard(20)
        assert bus.state is BusState.UP

    async def test_nothing_but_unreadable_frames_is(self, fake) -> None:
        _, adapter, listener = fake
        for _ in range(can_adapter.READ_ERRORS_LIMIT):
            adapter.incoming.put(can.CanOperationError("garbage"))
        await listener.until(lambda: listener.states)
        assert listener.states[0][0] is BusState.GONE


class TestALostAdapter:
    async def test_it_is_reopened_and_works_again(self, fake, workshop) -> None:
        bus, adapter, listener = fake
        bus.send(FrameBatch.of([Frame(id=1)]))
        await until(lambda: bus.frames_sent == 1)
        workshop.failures = [OSError(errno.ENOENT, "No such file")] * 3
        adapter.incoming.put(OSError(errno.EIO, "Input/output error"))
        await listener.until(lambda: listener.states)
        assert listener.states == [(BusState.GONE, "virtual:fake: [Errno 5] Input/output error")]
        with pytest.raises(BusError, match="gone"):
            bus.send(FrameBatch.of([Frame(id=2)]))
        await listener.until(lambda: len(listener.states) == 2)
        assert listener.states[1] == (BusState.UP, "fake is back")
        assert adapter.closed
        workshop.made[1].incoming.put(message(0x55))
        assert [f.id for f in await listener.heard(1)] == [0x55]
        bus.send(FrameBatch.of([Frame(id=3)]))
        await until(lambda: bus.frames_sent == 2)
        assert [m.arbitration_id for m in workshop.made[1].sent] == [3]

    async def test_closing_ends_the_attempts(self, workshop, listener) -> None:
        bus = PythonCanBus(1, "fake", "virtual", "fake")
        bus.reopen_delay = 0.001
        await bus.open(listener)
        workshop.failures = [OSError(errno.ENODEV, "No such device")] * 10**6
        workshop.made[0].incoming.put(OSError(errno.ENODEV, "No such device"))
        await until(lambda: len(workshop.arguments) > 3)
        await bus.close()
        attempts = len(workshop.arguments)
        assert bus.state is BusState.CLOSED
        await asyncio.sleep(0.01)
        assert len(workshop.arguments) == attempts


class TestSending:
    async def test_a_refused_frame_is_counted_and_logged_once(self, fake, caplog) -> None:
        bus, adapter, _ = fake
        adapter.failures = [can.CanOperationError("cannot send FD message") for _ in range(5)]
        with caplog.at_level(logging.WARNING):
            bus.send(FrameBatch.of(Frame(id=i) for i in range(8)))
            await until(lambda: bus.frames_sent == 3 and bus.frames_unsent == 5)
        assert [m.arbitration_id for m in adapter.sent] == [5, 6, 7]
        assert len(caplog.messages) == 1
        assert "cannot send FD message" in caplog.messages[0]

    async def test_a_full_adapter_is_tried_again(self, fake) -> None:
        bus, adapter, _ = fake
        adapter.failures = [
            can.CanOperationError("Failed to transmit: No buffer space available", errno.ENOBUFS),
            can.CanOperationError("Transmit buffer full"),
            can.CanTimeoutError("timed out"),
        ]
        bus.send(FrameBatch.of([Frame(id=1), Frame(id=2)]))
        await until(lambda: bus.frames_sent == 2)
        assert [m.arbitration_id for m in adapter.sent] == [1, 2]
        assert bus.frames_unsent == 0

    async def test_an_adapter_that_blocks_holds_up_nobody(self, fake) -> None:
        bus, adapter, listener = fake
        adapter.free.clear()
        bus.send(FrameBatch.of(Frame(id=1) for _ in range(can_adapter.WRITE_QUEUE_FRAMES)))
        with pytest.raises(BusError, match="wait already"):
            bus.send(FrameBatch.of([Frame(id=2)]))
        adapter.incoming.put(message(3))
        await listener.heard(1)
        adapter.free.set()
        await until(lambda: bus.frames_sent == can_adapter.WRITE_QUEUE_FRAMES)
        bus.send(FrameBatch.of([Frame(id=2)]))

    async def test_closing_sends_what_waits(self, workshop, listener) -> None:
        bus = PythonCanBus(1, "fake", "virtual", "fake")
        await bus.open(listener)
        bus.send(FrameBatch.of(Frame(id=i & 0x7FF) for i in range(3000)))
        await bus.close()
        assert len(workshop.made[0].sent) == 3000

    async def test_closing_gives_up_an_adapter_that_blocks(self, workshop, listener, monkeypatch, caplog) -> None:
        monkeypatch.setattr(can_adapter, "WRITE_TIMEOUT", 0.01)
        bus = PythonCanBus(1, "fake", "virtual", "fake")
        await bus.open(listener)
        adapter = workshop.made[0]
        adapter.free.clear()
        bus.send(FrameBatch.of([Frame(id=1), Frame(id=2)]))
        await asyncio.wait_for(bus.close(), PATIENCE)
        assert bus.state is BusState.CLOSED
        assert adapter.closed
        assert "does not let go of a thread: write virtual:fake" in caplog.text


async def test_a_serial_adapter_belongs_to_one_bridge(listener):
    """The second is refused before it says anything to the adapter."""
    adapter, device_fd = os.openpty()
    tty.setraw(device_fd)
    device = os.ttyname(device_fd)
    try:
        first = PythonCanBus(1, "first", "slcan", device, sleep_after_open=0)
        await first.open(listener)
        os.read(adapter, 1000)
        second = PythonCanBus(1, "second", "slcan", device, sleep_after_open=0)
        with pytest.raises(BusError, match="in use by another program"):
            await second.open(listener)
        assert not select.select([adapter], [], [], 0)[0]
        await first.close()
        await second.open(listener)
        await second.close()
    finally:
        os.close(adapter)
        os.close(device_fd)
