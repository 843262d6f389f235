"""An opened python-can bus with the thread that reads it and the thread that writes it.

python-can's interfaces block: in recv() by design, in send() where a driver likes to (a serial
port with a full buffer, a device that was unplugged). Two threads keep that away from the event
loop. This module must not know the event loop; what it calls back, it calls on its threads.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import queue
import socket
import stat
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import can

from bridge.buses.can_errors import adapter_is_gone, explain, is_full
from bridge.buses.can_messages import OWN, messages_of, record_of
from bridge.buses.can_socket import widen_receive_buffer
from bridge.errors import BusError
from bridge.frames import FrameBatch
from bridge.limits import READ_ERRORS_LIMIT, READ_TIMEOUT, WRITE_QUEUE_FRAMES, WRITE_RETRY_DELAY, WRITE_TIMEOUT

OptionValue = bool | int | float | str

_UNIX_TIME = 1e9  # timestamps below it count from an adapter's start or the computer's
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CanParameters:
    """What is to be opened. Where a field is None or an option absent, python-can's configuration decides."""

    interface: str
    channel: str | None
    bitrate: int | None
    loopback: bool
    options: Mapping[str, OptionValue]


class DeviceLock:
    """Keeps a serial adapter for this program, as programs that open it exclusively do (flock).

    Taken before the adapter is opened: python-can's serial interfaces talk to it at once, whoever
    is using it. A channel that is no terminal has nothing to lock.

    Raises:
        BusError: another program has it.
    """

    def __init__(self, parameters: CanParameters) -> None:
        self._fd = -1
        channel = parameters.channel
        try:
            if channel is None or not stat.S_ISCHR(os.stat(channel).st_mode):  # noqa: PTH116 (it may be no path at all)
                return
            self._fd = os.open(channel, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise BusError(explain(parameters.interface, channel, OSError(errno.EBUSY, str(error)))) from error
        except (OSError, ValueError):
            self.release()  # the interface itself says better what is wrong with its channel

    def release(self) -> None:
        """Let others have it. Twice is fine."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def open_can_bus(parameters: CanParameters) -> can.BusABC:
    """can.Bus() of the parameters. Blocks, seconds with some serial adapters.

    Raises:
        BusError: one line that says what is missing and how to get it.
    """
    interface, channel = parameters.interface, parameters.channel
    arguments: dict[str, object] = dict(parameters.options)
    if parameters.bitrate is not None:
        arguments["bitrate"] = parameters.bitrate
    if parameters.loopback and interface != "udp_multicast":
        arguments.setdefault("receive_own_messages", True)
    logger = logging.getLogger("can")
    if logger.level == logging.NOTSET:
        # Its errors are raised as well, and its warnings are of libraries that nobody asked for.
        logger.setLevel(logging.CRITICAL)
    try:
        bus = can.Bus(channel=channel, interface=interface, **arguments)  # type: ignore[arg-type]
        if interface == "udp_multicast":
            with socket.socket(fileno=os.dup(bus.fileno())) as copy:
                widen_receive_buffer(copy)
    except Exception as error:  # a driver raises what it likes
        raise BusError(explain(interface, channel, error)) from error
    return bus


class _SentFrames:
    """Tells the own frames among those that were sent on this computer.

    Kvaser's driver and others mark whatever a program of this computer sent, and python-can hands
    on no more than that; so a frame is the bridge's own where it has just sent such a one, too.
    """

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque(maxlen=WRITE_QUEUE_FRAMES)
        self._lock = threading.Lock()

    def note(self, message: can.Message) -> None:
        with self._lock:
            self._frames.append(record_of(message, 0, 0.0))

    def recognise(self, message: can.Message) -> bool:
        frame = record_of(message, 0, 0.0)
        with self._lock:
            if frame not in self._frames:
                return False
            self._frames.remove(frame)
            return True


class CanAdapter:
    """One opened bus and its two threads.

    Args:
        bus: opened by open_can_bus().
        parameters: how.
        number: the bus number of the records.
        lock: held until it is shut down.
        received: gets one record at a time, on the reader's thread.
        lost: told once, on the reader's thread, that the adapter is gone, and why.
        refused: told about each frame that could not be sent, and why, on the writer's thread.
    """

    def __init__(
        self,
        bus: can.BusABC,
        parameters: CanParameters,
        number: int,
        lock: DeviceLock,
        *,
        received: Callable[[bytes], None],
        lost: Callable[[CanAdapter, str], None],
        refused: Callable[[str], None],
    ) -> None:
        self.frames_sent = 0  # written by the writer's thread only
        self._bus = bus
        self._parameters = parameters
        self._number = number
        self._lock = lock
        self._received = received
        self._lost = lost
        self._refused = refused
        # A multicast socket hears itself, and python-can cannot tell those frames apart. Its
        # datagrams carry the sender's channel, so ours gets a name that nobody else has.
        self._tag = f"openxc-bridge-{uuid.uuid4().hex[:12]}" if parameters.interface == "udp_multicast" else None
        self._sent = _SentFrames()
        self._first: can.Message | None = None
        self._stopping = threading.Event()
        self._outgoing: queue.SimpleQueue[FrameBatch | None] = queue.SimpleQueue()
        self._waiting = 0
        self._waiting_lock = threading.Lock()
        name = f"{parameters.interface}:{parameters.channel}"
        self._reader = threading.Thread(target=self._read, name=f"read {name}", daemon=True)
        self._writer = threading.Thread(target=self._write, name=f"write {name}", daemon=True)

    def probe(self) -> None:
        """Read once: an interface that is down opens well and fails at its first read. May block.

        Raises:
            BusError: the adapter is not usable; it is shut down.
        """
        try:
            self._first = self._bus.recv(0)
        except Exception as error:  # a driver raises what it likes
            if adapter_is_gone(error):
                self._shut_down()
                raise BusError(self._explain(error)) from error

    def start(self) -> None:
        """Begin to read and write."""
        if self._first is not None:
            self._take(self._first)
        self._reader.start()
        self._writer.start()

    def write(self, batch: FrameBatch) -> None:
        """Queue frames for the adapter.

        Raises:
            BusError: too many wait already; then none of these is taken.
        """
        with self._waiting_lock:
            if self._waiting + len(batch) > WRITE_QUEUE_FRAMES:
                raise BusError(f"{self._waiting} frames wait already for {self._reader.name.removeprefix('read ')}")
            self._waiting += len(batch)
        self._outgoing.put(batch)

    def stop(self) -> None:
        """Send what waits, as long as that goes on, and end both threads. Blocks for 1.5 s at most."""
        self._outgoing.put(None)
        if self._writer.ident is not None:
            self._writer.join(WRITE_TIMEOUT)
        self._stopping.set()
        for thread in (self._writer, self._reader):
            if thread.ident is not None:
                thread.join(WRITE_TIMEOUT)
                if thread.is_alive():
                    _log.warning("python-can does not let go of a thread: %s", thread.name)
        self._shut_down()

    def _shut_down(self) -> None:
        self._stopping.set()
        try:
            self._bus.shutdown()
        except Exception as error:  # a driver whose device is unplugged cannot close it either
            _log.debug("shutting down %s: %s", self._parameters.interface, error)
        self._lock.release()

    def _explain(self, error: BaseException) -> str:
        return explain(self._parameters.interface, self._parameters.channel, error)

    # The reader's thread.

    def _read(self) -> None:
        errors = 0
        while not self._stopping.is_set():
            try:
                message = self._bus.recv(READ_TIMEOUT)
                if message is not None:
                    self._take(message)
                errors = 0
            except Exception as error:  # a driver raises what it likes
                errors += 1
                if self._stopping.is_set():
                    return
                if adapter_is_gone(error) or errors >= READ_ERRORS_LIMIT:
                    self._stopping.set()
                    self._lost(self, self._explain(error))
                    return
                _log.debug("%s: an unreadable frame: %s", self._parameters.interface, error)

    def _take(self, message: can.Message) -> None:
        if self._tag is not None:
            own = message.channel == self._tag
            if own and not self._parameters.loopback:
                return
        else:
            own = self._parameters.loopback and not message.is_rx and self._sent.recognise(message)
        timestamp = message.timestamp if message.timestamp > _UNIX_TIME else time.time()
        self._received(record_of(message, self._number, timestamp, OWN if own else 0))

    # The writer's thread.

    def _write(self) -> None:
        while (batch := self._outgoing.get()) is not None:
            for message in messages_of(batch, self._tag):
                self._write_one(message)
                with self._waiting_lock:
                    self._waiting -= 1

    def _write_one(self, message: can.Message) -> None:
        deadline = time.monotonic() + WRITE_TIMEOUT
        if self._parameters.loopback:
            self._sent.note(message)
        while True:
            if self._stopping.is_set():
                self._refused("the bus was closed or lost before they were sent")
                return
            try:
                self._bus.send(message, timeout=WRITE_TIMEOUT)
            except Exception as error:  # a driver raises what it likes
                if is_full(error) and time.monotonic() < deadline:
                    self._stopping.wait(WRITE_RETRY_DELAY)
                    continue
                self._refused(self._explain(error))
                return
            self.frames_sent += 1
            return
