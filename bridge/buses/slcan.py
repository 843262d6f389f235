"""A bus behind an slcan adapter: a serial port, mostly in USB, that speaks LAWICEL's protocol.

The port's descriptor is on the event loop; a chunk of lines becomes a batch in one call. An adapter
that goes away is opened again when it is back. This module must not know how lines are written
(bridge.codec.slcan) nor how a channel is opened (slcan_opening).

The state is ERROR_PASSIVE while the adapter says so, where it has status flags. The adapter says of
lost frames only that there were some; they are logged and not counted.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import termios
import time
from collections.abc import Callable
from functools import partial

import serial

from bridge.buses.bus import BusListener, BusState
from bridge.buses.frame_bus import FrameBus, check_sendable
from bridge.buses.serial_line import SerialLine, ignore
from bridge.buses.slcan_adapter import (
    LOSSES,
    VOID_LINE,
    AdapterClock,
    ChannelSettings,
    OutgoingLines,
    StatusFlags,
)
from bridge.buses.slcan_opening import OpenedChannel, Opening
from bridge.codec import slcan_lines
from bridge.errors import BusError
from bridge.frames import FD, FLAGS_COLUMN, OWN, RECORD, RECORD_SIZE, FrameBatch
from bridge.in_thread import in_thread
from bridge.limits import (
    SLCAN_ANSWER_TIMEOUT,
    SLCAN_REOPEN_PERIOD,
    SLCAN_START_TIMEOUT,
    SLCAN_STATUS_PERIOD,
    WRITE_QUEUE_FRAMES,
    WRITE_TIMEOUT,
)
from bridge.seldom import SeldomLog
from bridge.serial_port import open_serial_port

_log = logging.getLogger(__name__)

DEFAULT_BAUDRATE = 115200  #: of the serial line; most USB adapters ignore it

_DONE = frozenset([b"", b"z", b"Z"])  # what adapters say of a frame that they took


class SlcanBus(FrameBus):
    """A bus behind one slcan adapter.

    Args:
        number: OpenXC's bus number.
        name: what the user called it.
        device: path of the serial port.
        settings: how its channel is opened.
        baudrate: of the serial line, bit/s.
        loopback: hear the own frames too, flagged OWN, when the port has taken them.
        clock: Unix seconds.
    """

    answer_timeout = SLCAN_ANSWER_TIMEOUT  #: seconds for each answer while it is opened
    start_timeout = SLCAN_START_TIMEOUT  #: seconds for the first of them
    reopen_period = SLCAN_REOPEN_PERIOD  #: seconds between two looks for a lost adapter
    status_period = SLCAN_STATUS_PERIOD  #: seconds between two questions for the status flags

    def __init__(
        self,
        number: int,
        name: str,
        device: str,
        settings: ChannelSettings,
        /,
        *,
        baudrate: int = DEFAULT_BAUDRATE,
        loopback: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(number, name)
        self.loopback = loopback
        self.version = ""  #: what the adapter says of itself; empty before it is opened and where it does not
        self.serial_number = ""
        self.lines_invalid = 0  #: lines of the adapter that made no sense
        self._device = device
        self._settings = settings
        self._baudrate = baudrate
        self._now = clock
        self._line: SerialLine | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._clock = AdapterClock(stamps=False)
        self._unread = b""  # the beginning of a line
        self._outgoing = OutgoingLines()
        self._all_sent = asyncio.Event()
        self._expiry: asyncio.TimerHandle | None = None  # while the port is full
        self._unanswered = 0  # frames that the adapter has neither taken nor refused
        self._refusals = SeldomLog(_log)
        self._noises = SeldomLog(_log)
        self._overruns = SeldomLog(_log)

    async def open(self, listener: BusListener) -> None:
        """Open the port and the adapter's channel.

        Raises:
            BusError: one line that says what is missing and how to get it.
        """
        self._attach(listener)
        try:
            line, channel = await self._connect()
        except BaseException:
            self._detach()
            raise
        self._use(line, channel)
        self.state = BusState.UP
        self._received(channel.unread)

    async def close(self) -> None:
        """Close the channel and the port; frames that wait are sent first where that takes less than half a second."""
        if self._reopening is not None:
            self._reopening.cancel()
            await asyncio.wait([self._reopening])
            self._reopening = None
        line = self._line
        if line is not None:
            self.state = BusState.CLOSED  # from now on it takes no frames and hears none
            self._stop_polling()
            self._stop_expiring()
            line.received = ignore
            line.lost = self._give_up_waiting
            await self._finish_sending(line)
            self._line = None
            await self._hang_up(line)
        self._detach()

    def send(self, batch: FrameBatch) -> None:
        """Write frames to the adapter, or queue what its port does not take just now.

        A frame that is lost later, or refused by the adapter, is counted in frames_unsent.

        Raises:
            BusError: the bus is closed, gone or only listens, the queue is full, or the adapter has
                no line for such a frame.
        """
        self._require_up()
        check_sendable(batch)
        if not batch or self._line is None:
            return
        if self._settings.listen_only:
            raise BusError(f"{self.name} only listens")
        if self._settings.data_bitrate is None and any(flags & FD for flags in batch.buffer[FLAGS_COLUMN]):
            raise BusError(f"{self.name} was opened for classic CAN; CAN FD is asked for with ?dbitrate=2000000")
        try:
            lines = slcan_lines(batch.buffer)
        except ValueError as error:
            # What is left after the checks above.
            raise BusError(f"{self.name} has no line for an error frame, nor for a remote frame in CAN FD") from error
        if self._outgoing.frames + len(batch) > WRITE_QUEUE_FRAMES:
            raise BusError(f"{self._outgoing.frames} frames wait already for {self.name}")
        self._put(lines, batch.buffer)

    # Opening, losing and finding the adapter.

    async def _connect(self) -> tuple[SerialLine, OpenedChannel]:
        """An open channel; nothing is left open if that fails or is cancelled."""
        try:
            port = await in_thread(partial(open_serial_port, self._device, self._baudrate), serial.Serial.close)
        except (OSError, ValueError, termios.error) as error:
            raise BusError(f"{self.name}: {_explain(self._device, error)}") from error
        line = SerialLine(port)
        line.start()
        opening = Opening(
            line,
            self._device,
            self._settings,
            answer_timeout=self.answer_timeout,
            start_timeout=self.start_timeout,
        )
        try:
            return line, await opening.run()
        except BaseException:
            await self._hang_up(line)
            raise

    def _use(self, line: SerialLine, channel: OpenedChannel) -> None:
        self.version, self.serial_number = channel.version, channel.serial_number
        _log.info("%s: %s", self.name, _described(channel))
        self._clock = AdapterClock(channel.stamps)
        self._unread = b""
        self._unanswered = 0
        self._line = line
        line.received = self._received
        line.lost = self._lost
        if channel.status:
            self._poll_later()

    def _lost(self, reason: str) -> None:
        line, self._line = self._line, None
        self._stop_polling()
        if line is not None:
            line.close()
        self._give_up_waiting("the adapter has gone")
        self._change_state(BusState.GONE, f"{self._device} was unplugged or has restarted ({reason})")
        self._reopening = asyncio.get_running_loop().create_task(self._reopen())

    async def _reopen(self) -> None:
        while True:
            await asyncio.sleep(self.reopen_period)
            if not os.path.exists(self._device):  # noqa: ASYNC240, PTH110 - cheap, and no wait for a disk
                continue
            try:
                line, channel = await self._connect()
            except BusError as error:
                _log.debug("%s is not back yet: %s", self.name, error)
            else:
                self._use(line, channel)
                self._change_state(BusState.UP, f"{self.name} is back")
                if self._line is line:  # whoever was told may have written, and so found it lost again
                    self._received(channel.unread)
                return

    async def _finish_sending(self, line: SerialLine) -> None:
        self._all_sent.clear()
        if not self._outgoing:
            return
        try:
            await asyncio.wait_for(self._all_sent.wait(), WRITE_TIMEOUT)
        except TimeoutError:
            line.discard_output()  # wherever in a line that cuts it off
            line.write(VOID_LINE)
            self._give_up_waiting("the bus was closed")

    async def _hang_up(self, line: SerialLine) -> None:
        line.received = line.lost = ignore
        line.when_writable(None)
        try:
            if line.write(b"C\r") < 2:  # a full port; what is in it is not worth a channel that stays open
                line.discard_output()
                line.write(VOID_LINE + b"C\r")
            await line.drained(WRITE_TIMEOUT)
        finally:
            line.close()

    # What the adapter says.

    def _received(self, data: bytes) -> None:
        if self._unread:
            data = self._unread + data
        records, answers, consumed, invalid = self._clock.read(data, self.number, self._now())
        self._unread = data[consumed:]
        if answers:
            self._answered(answers)
        if invalid:
            self.lines_invalid += invalid
            self._noises.warning(
                "%s: %d lines made no sense so far; is the serial speed right (?baudrate=%d)?",
                self.name,
                self.lines_invalid,
                self._baudrate,
            )
        if records:
            self._deliver(FrameBatch(records))

    def _answered(self, answers: list[bytes]) -> None:
        for answer in answers:
            if answer in _DONE:
                self._unanswered = max(0, self._unanswered - 1)
            elif answer == b"\a":
                self._refused()
            elif answer[:1] == b"F":
                self._told_status(answer[1:])

    def _refused(self) -> None:
        if self._unanswered:  # else it is late for something else
            self._unanswered -= 1
            self._count_unsent(1, "the adapter refuses them; its buffer is full, or nobody on the bus acknowledges")

    def _told_status(self, digits: bytes) -> None:
        try:
            status = StatusFlags(int(digits, 16))
        except ValueError:
            return  # an answer to something else
        if status & LOSSES:
            self._overruns.warning("%s: the adapter's buffer overran, frames of the vehicle were lost", self.name)
        if status & StatusFlags.ERROR_PASSIVE:
            self._change_state(BusState.ERROR_PASSIVE, "it is error passive: check wiring, termination and bit rate")
        else:
            self._change_state(BusState.UP, "it is error active again")

    # What is said to the adapter.

    def _put(self, lines: bytes, records: bytes = b"") -> None:
        self._outgoing.put(lines, asyncio.get_running_loop().time(), records)
        if self._expiry is None:  # else the port is full
            self._write()

    def _write(self) -> None:
        line = self._line
        while line is not None and self._outgoing:
            size = line.write(self._outgoing.next())
            if not size:
                self._give_up_late()
                break
            if sent := self._outgoing.took(size, asyncio.get_running_loop().time()):
                self._count_sent(sent)
        self._stop_expiring()
        if line is not None:
            line.when_writable(self._write if self._outgoing else None)
        if not self._outgoing:
            self._all_sent.set()
        elif (since := self._outgoing.waiting_since) is not None and self.state is not BusState.CLOSED:
            self._expiry = asyncio.get_running_loop().call_at(since + WRITE_TIMEOUT, self._write)

    def _give_up_late(self) -> None:
        """A port that takes bytes again after long does not get frames of long ago."""
        if self.state is BusState.CLOSED:
            return  # close() grants all of them as long again
        if late := self._outgoing.expire(asyncio.get_running_loop().time() - WRITE_TIMEOUT):
            self._count_unsent(late, "the adapter takes nothing")

    def _stop_expiring(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _count_sent(self, records: bytes) -> None:
        count = len(records) // RECORD_SIZE
        self.frames_sent += count
        self._unanswered += count
        if self.loopback and self._queue.put(_as_own(records, self.number, self._now())):
            asyncio.get_running_loop().call_soon(self._drain)

    def _count_unsent(self, count: int, reason: str) -> None:
        self.frames_unsent += count
        self._refusals.warning("%s: %d frames could not be sent so far: %s", self.name, self.frames_unsent, reason)

    def _give_up_waiting(self, reason: str) -> None:
        self._stop_expiring()
        if lost := self._outgoing.clear():
            self._count_unsent(lost, reason)
        self._all_sent.set()

    def _poll_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.status_period, self._poll)

    def _poll(self) -> None:
        if not self._outgoing:  # else it would only come later, and be asked twice
            self._put(b"F\r")
        if self._line is not None:
            self._poll_later()

    def _stop_polling(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _as_own(records: bytes, number: int, now: float) -> bytes:
    return b"".join(
        RECORD.pack(now, identifier, number, flags | OWN, length, data)
        for _, identifier, _, flags, length, data in RECORD.iter_unpack(records)
    )


def _described(channel: OpenedChannel) -> str:
    """What the adapter says of itself, for the log."""
    version = f"adapter version {channel.version}" if channel.version else "an adapter that does not tell its version"
    number = f", serial number {channel.serial_number}" if channel.serial_number else ""
    return f"{version}{number}, {'with' if channel.stamps else 'without'} timestamps"


def _explain(device: str, error: Exception) -> str:
    """Why the port cannot be opened, and what to do."""
    code = getattr(error, "errno", None)
    if code == errno.ENOENT:
        return "there is no such device; is the adapter plugged in? Those that are: ls /dev/serial/by-id/"
    if code in (errno.EACCES, errno.EPERM):
        return "permission denied; run this and log in again: sudo usermod -aG dialout $USER"
    if code in (errno.EBUSY, errno.EAGAIN):
        return "the device is in use by another program"
    # pyserial reports what is no terminal without a number.
    if code in (errno.EISDIR, errno.ENXIO, errno.ENOTTY) or isinstance(error.__context__, termios.error):
        return f"{device} is not a serial port"
    return " ".join(str(error).split())
