"""A CAN interface of Linux, read and written without a thread: SocketCAN.

The event loop is told by the kernel when there is something to read, and takes a batch with one
call. What the kernel does not take of the frames to send waits here and is tried again. News of
the interface (rtnetlink) say when it goes down, is unplugged or is back. Error frames change the
state and the log, and go no further. This module must not know profiles or clients.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import deque

from bridge.buses import can_socket
from bridge.buses.bus import BusListener, BusState
from bridge.buses.can_bitrate import set_bitrate
from bridge.buses.can_link import CanLink, explain_down, find_link, take_news, watch_links
from bridge.buses.error_frames import decode
from bridge.buses.frame_bus import FrameBus, check_sendable
from bridge.buses.gathering import GatheringReader
from bridge.errors import BusError
from bridge.frames import FLAGS_COLUMN, RECORD_SIZE, FrameBatch, FrameFlags
from bridge.limits import BATCH_FRAMES_LIMIT, LINK_LOOK_DELAY, WRITE_QUEUE_FRAMES, WRITE_RETRY_DELAY, WRITE_TIMEOUT
from bridge.seldom import SeldomLog

try:
    from bridge.codec._codec import receive_frames, send_frames
except ImportError:  # it was installed without a compiler, or this is not Linux
    from bridge.buses.can_socket import receive_frames, send_frames

_GONE = frozenset([errno.ENETDOWN, errno.ENODEV, errno.ENXIO])
_COUNTER_MASK = 0xFFFFFFFF
_WRITE_SIZE = 256 * RECORD_SIZE  # tried at once, for a full interface takes few
_log = logging.getLogger(__name__)


class SocketCanBus(FrameBus):
    """A bus behind a CAN interface of Linux, CAN FD included where the interface has it.

    Args:
        number: OpenXC's bus number.
        name: what the user called it.
        channel: the interface, such as can0.
        bitrate: bit/s to set before it is opened; None leaves the interface as it is.
        data_bitrate: bit/s of CAN FD's data phase, to set along with the bitrate.
        loopback: hear the own frames too, flagged OWN.
    """

    def __init__(
        self,
        number: int,
        name: str,
        channel: str,
        bitrate: int | None = None,
        data_bitrate: int | None = None,
        *,
        loopback: bool = False,
    ) -> None:
        super().__init__(number, name)
        self.loopback = loopback
        self._channel = channel
        self._bitrate = bitrate
        self._data_bitrate = data_bitrate
        self._socket: socket.socket | None = None
        self._reader: GatheringReader | None = None
        self._link: CanLink | None = None  # the interface of the present socket, or of the last one
        self._news: socket.socket | None = None
        self._second_look: asyncio.TimerHandle | None = None  # while the interface is gone
        self._setting_up: asyncio.Task[None] | None = None
        self._drop_counter = 0  # the present socket's, as it was last told
        self._outgoing = _Outgoing()
        self._retry: asyncio.TimerHandle | None = None
        self._all_written = asyncio.Event()
        self._troubles = SeldomLog(_log)
        self._losses = SeldomLog(_log)
        self._refusals = SeldomLog(_log)

    async def open(self, listener: BusListener) -> None:
        """Bind to the interface, its bitrate set before where one is asked for.

        Raises:
            BusError: one line that says what is missing and how to get it.
        """
        self._attach(listener)
        try:
            if self._bitrate is not None:
                find_link(self._channel)
                await set_bitrate(self._channel, self._bitrate, self._data_bitrate)
            self._watch()
            self._connect()
        except BaseException:
            self._disconnect()
            self._stop_watching()
            self._detach()
            raise
        self.state = BusState.UP

    async def close(self) -> None:
        """Let the interface go; frames that wait are sent first where that takes less than half a second."""
        if self._outgoing and self._socket is not None:
            try:
                await asyncio.wait_for(self._all_written.wait(), WRITE_TIMEOUT)
            except TimeoutError:
                _log.debug("%s: closing with frames that the interface does not take", self.name)
        self._stop_watching()
        if self._setting_up is not None:
            self._setting_up.cancel()
            await asyncio.wait([self._setting_up])
            self._setting_up = None
        self._disconnect()
        self._give_up(self._outgoing.clear(), "the bus was closed before they were sent")
        self._detach()

    def send(self, batch: FrameBatch) -> None:
        """Write frames, behind those that wait already.

        What the interface does not take in time is counted in frames_unsent and logged once a second.

        Raises:
            BusError: the bus is closed, gone or bus-off, too many frames wait, or the interface or
                CAN itself has no such frames.
        """
        self._require_up()
        check_sendable(batch)
        self._check_format(batch)
        if len(self._outgoing) + len(batch) > WRITE_QUEUE_FRAMES:
            raise BusError(f"{len(self._outgoing)} frames wait already for {self.name}")
        if not batch:
            return
        waiting = bool(self._outgoing)
        self._outgoing.append(batch.buffer, self._now())
        if not waiting:
            self._write()
            if self.state is BusState.GONE:
                raise BusError(f"{self.name} takes no frames, it is gone")

    def _check_format(self, batch: FrameBatch) -> None:
        if self._link is None or self._link.mtu >= can_socket.MTU_FD:
            return
        if any(flags & FrameFlags.FD for flags in batch.buffer[FLAGS_COLUMN]):
            raise BusError(f"{self._channel} is set to classic CAN and takes no CAN FD frame")

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # The connection.

    def _connect(self) -> None:
        """A socket on the interface. Raises BusError where that cannot be."""
        link = find_link(self._channel)
        if not link.up:
            raise BusError(explain_down(self._channel))
        try:
            can = can_socket.open_can_socket(self._channel, own=self.loopback, ids=self._needed_ids)
        except OSError as error:
            raise BusError(f"socketcan: {self._channel}: {error.strerror}") from error
        self._socket = can
        self._link = link
        self._drop_counter = 0
        self._reader = GatheringReader(can.fileno(), self._read)
        self._reader.start()

    def _disconnect(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._reader is not None:
            self._reader.stop()
            self._reader = None
        can, self._socket = self._socket, None
        if can is not None:
            can.close()

    def _watch(self) -> None:
        try:
            self._news = watch_links()
        except OSError as error:
            raise BusError(f"socketcan: news of {self._channel} are not to be had: {error.strerror}") from error
        asyncio.get_running_loop().add_reader(self._news.fileno(), self._hear_news)

    def _stop_watching(self) -> None:
        if self._second_look is not None:
            self._second_look.cancel()
            self._second_look = None
        news, self._news = self._news, None
        if news is not None:
            asyncio.get_running_loop().remove_reader(news.fileno())
            news.close()

    def _hear_news(self) -> None:
        if self._news is not None:
            take_news(self._news)
            self._look_at_link()

    def _look_at_link(self) -> None:
        """Notice that the interface has gone, or that it is back."""
        if self._news is None:
            return
        try:
            link = find_link(self._channel)
            if self._socket is None:
                self._return(link)
            elif not link.up:
                self._lose(explain_down(self._channel))
            elif link != self._link:
                self._lose(f"socketcan: {self._channel} is another interface now")
        except BusError as error:
            self._lose(str(error))

    def _return(self, link: CanLink) -> None:
        """The interface is there again; it may have to be brought up first."""
        if link.up:
            self._connect()
            self._change_state(BusState.UP, f"{self._channel} is back")
            return
        if self._bitrate is not None and self._link is not None and link.index != self._link.index:
            # An adapter that was plugged in again has lost the bitrate that the user asked for. One
            # that somebody took down stays down.
            self._link = link
            if self._setting_up is not None:
                self._setting_up.cancel()
            self._setting_up = asyncio.get_running_loop().create_task(self._set_up(self._bitrate))
        self._look_again()

    async def _set_up(self, bitrate: int) -> None:
        try:
            await set_bitrate(self._channel, bitrate, self._data_bitrate)
        except BusError as error:
            _log.warning("%s", error)

    def _lose(self, reason: str) -> None:
        """The interface is not there, or not up; without a socket already it is just not back yet."""
        self._look_again()
        if self._socket is not None:
            self._disconnect()
            self._give_up(self._outgoing.clear(), "the interface was lost before they were sent")
            self._all_written.set()
            self._change_state(BusState.GONE, reason)

    def _look_again(self) -> None:
        """It may be back without news: before its loss was noticed, or because news got lost."""
        if self._second_look is not None:
            self._second_look.cancel()
        self._second_look = asyncio.get_running_loop().call_later(LINK_LOOK_DELAY, self._look_at_link)

    def _lose_by_error(self, error: OSError) -> None:
        reason = explain_down(self._channel) if error.errno == errno.ENETDOWN else None
        self._lose(reason or f"socketcan: {self._channel}: {error.strerror}")

    # Reading.

    def _read(self) -> bool:
        """Take one batch; what is left has its turn after the others. Whether there was anything."""
        if self._socket is None:
            return False
        try:
            frames, errors, counter = receive_frames(self._socket.fileno(), self.number, BATCH_FRAMES_LIMIT)
        except OSError as error:
            self._lose_by_error(error)
            return False
        if counter is not None and counter != self._drop_counter:
            self.frames_dropped += (counter - self._drop_counter) & _COUNTER_MASK
            self._drop_counter = counter
            self._losses.warning("%s: %d frames lost so far, not read in time", self.name, self.frames_dropped)
        if frames:
            self._deliver(FrameBatch(frames))
        if errors:
            self._understand(FrameBatch(errors))
        return bool(frames or errors)

    def _understand(self, errors: FrameBatch) -> None:
        for _, error_class, _, _, length, data in errors.records():
            report = decode(error_class, data[:length])
            if self._socket is None:
                return  # whoever heard of the last one has closed the bus
            if report.state is None or report.state is self.state:
                self._troubles.warning("%s: %s", self.name, report.reason)
            elif report.state is BusState.BUS_OFF:
                restart = f"restart it with: sudo ip link set {self._channel} type can restart"
                self._change_state(report.state, f"{report.reason}; {restart}")
            else:
                self._change_state(report.state, report.reason)

    def _needed_ids_changed(self) -> None:
        if self._socket is None:
            return
        try:
            can_socket.set_filters(self._socket, self._needed_ids)
        except OSError as error:  # the interface has gone, and nobody has noticed yet
            self._lose_by_error(error)

    # Writing.

    def _write(self) -> None:
        """Give the kernel what waits. What it has no room for is tried again shortly."""
        self._retry = None
        while self._outgoing and self._socket is not None:
            records = self._outgoing.first()
            try:
                sent = send_frames(self._socket.fileno(), records)
            except OSError as error:
                if error.errno in _GONE:
                    self._lose_by_error(error)
                    return
                self._outgoing.remove(1, self._now())
                self._give_up(1, error.strerror or str(error))
                continue
            self.frames_sent += sent
            if sent:
                self._outgoing.remove(sent, self._now())
            if sent * RECORD_SIZE < len(records):
                # poll() tells of room in the socket, but not of room in the interface's queue.
                self._give_up(self._outgoing.expire(self._now()), "the interface does not take them")
                self._retry = asyncio.get_running_loop().call_later(WRITE_RETRY_DELAY, self._write)
                break
        if self._outgoing:
            self._all_written.clear()
        else:
            self._all_written.set()

    def _give_up(self, count: int, reason: str) -> None:
        if count:
            self.frames_unsent += count
            self._refusals.warning("%s: %d frames could not be sent so far: %s", self.name, self.frames_unsent, reason)


class _Outgoing:
    """Records that wait for the interface, in order, and how long they have waited in vain."""

    def __init__(self) -> None:
        self._chunks: deque[tuple[float, bytes]] = deque()  # when they came, whole records
        self._removed = 0  # bytes of the first chunk
        self._size = 0  # bytes, without those
        self._progress = 0.0  # when the interface last took one

    def __len__(self) -> int:
        return self._size // RECORD_SIZE

    def append(self, records: bytes, now: float) -> None:
        self._chunks.append((now, records))
        self._size += len(records)

    def first(self) -> bytes:
        """Some records from the front, at least one."""
        return self._chunks[0][1][self._removed : self._removed + _WRITE_SIZE]

    def remove(self, count: int, now: float) -> None:
        """Forget some of first(): the interface took them, or never will."""
        self._progress = now
        self._removed += count * RECORD_SIZE
        self._size -= count * RECORD_SIZE
        if self._removed == len(self._chunks[0][1]):
            self._chunks.popleft()
            self._removed = 0

    def expire(self, now: float) -> int:
        """Forget what has waited for WRITE_TIMEOUT while the interface took nothing; how many frames."""
        before = len(self)
        if now - self._progress >= WRITE_TIMEOUT:
            while self._chunks and now - self._chunks[0][0] >= WRITE_TIMEOUT:
                _, records = self._chunks.popleft()
                self._size -= len(records) - self._removed
                self._removed = 0
        return before - len(self)

    def clear(self) -> int:
        """Forget everything; how many frames that was."""
        count = len(self)
        self._chunks.clear()
        self._removed = self._size = 0
        return count
