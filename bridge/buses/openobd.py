"""A remote openOBD session as a bus: a car anywhere, reached through openOBD's cloud or another bridge.

    Partner, HandedOver ──SessionInfo──▶ RemoteSession ──channel, token──▶ streams of
    RemoteIsotpChannels (payloads), RemoteHearing and RemoteSending (raw frames), ConnectorMonitor

A connection that is lost is come back to with growing patience, to the same session where it still
holds. Until then the bus is gone: what was under way has failed, and nothing is ever sent again by
itself. Must not know profiles, clients or permissions.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence

from bridge.backoff import Backoff
from bridge.buses.bus import (
    NORMAL_LAYOUT,
    BusListener,
    BusState,
    ChannelFailure,
    ChannelProgress,
    IsotpChannel,
    IsotpLayout,
    PayloadReceiver,
)
from bridge.buses.delivery import DeliveringBus
from bridge.buses.frame_bus import check_sendable
from bridge.buses.openobd_calls import Security
from bridge.buses.openobd_isotp import RemoteIsotpChannels
from bridge.buses.openobd_monitor import ConnectorMonitor
from bridge.buses.openobd_origin import Origin
from bridge.buses.openobd_raw import RemoteHearing, RemoteSending
from bridge.buses.openobd_session import RemoteSession, SessionOver
from bridge.buses.openobd_stream import RemoteStream
from bridge.errors import BusError, RemoteSessionError
from bridge.frames import ERROR, EXTENDED, FD, OWN, REMOTE, STANDARD_ID_MAX, FrameBatch, pack
from bridge.limits import (
    RECONNECT_LEAST,
    RECONNECT_MOST,
    REMOTE_DELAY_LEAST,
    REMOTE_FRAMES_WAITING,
    REMOTE_SILENCE_TIMEOUT,
    WAITING_LIMIT,
)
from bridge.openobd.messages import (
    BusConfiguration,
    CanBus,
    CanProtocol,
    ConnectorInformation,
    EmptyMessage,
    IsotpMessage,
    RawFrame,
    Result,
    ServiceResult,
)
from bridge.openobd.messages import IsotpChannel as IsotpChannelName
from bridge.openobd.services import canStub, connectionMonitorStub
from bridge.seldom import SeldomLog

_log = logging.getLogger(__name__)

NOT_EVERYTHING = "no raw frames, for openOBD hears only ids that are named, as in ?raw=0x123,0x456"


class OpenObdBus(DeliveringBus):
    """A CAN bus of a remote vehicle.

    Args:
        number: OpenXC's bus number.
        name: what the user called it.
        origin: where its sessions come from.
        security: when connections are encrypted.
        can: the bus as the session configures it: pins, bit rate, protocol.
        named: ids that are heard when everything is wanted.
        result: what a session is finished with.
        loopback: hear the own frames too, flagged OWN, when they have left.
    """

    def __init__(
        self,
        number: int,
        name: str,
        origin: Origin,
        security: Security,
        can: CanBus,
        *,
        named: frozenset[int] = frozenset(),
        result: ServiceResult | None = None,
        loopback: bool = False,
    ) -> None:
        super().__init__(number, name)
        self.loopback = loopback
        self.result = result or ServiceResult(result=[Result.RESULT_SUCCESS])
        self.latency: float | None = None  #: seconds to the vehicle and back, as the session says; None: it does not
        self.silence_timeout = REMOTE_SILENCE_TIMEOUT
        self.backoff = Backoff(RECONNECT_LEAST, RECONNECT_MOST, random.random)
        self._named = named
        self._speaks_isotp = can.can_protocol != CanProtocol.CAN_PROTOCOL_FRAMES
        bus_name = f"can-{can.pin_plus}-{can.pin_min}"
        configuration = [BusConfiguration(bus_name=bus_name, can_bus=can)]
        self._session = RemoteSession(origin, security, configuration, self._lost)
        self._isotp = RemoteIsotpChannels(bus_name, self._open_isotp_stream, self._confirm)
        self._hearing = RemoteHearing(bus_name, self._open_raw_stream, self._heard, name)
        self._sending = RemoteSending(bus_name, self._open_raw_stream, self._sent, self._unsent)
        self._monitor: ConnectorMonitor | None = None
        self._healthy = True
        self._reconnecting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()  # of streams that are open, or end
        self._losses = SeldomLog(_log)

    @property
    def delay(self) -> float:
        """See Bus.delay."""
        return REMOTE_DELAY_LEAST + 2 * self._session.round_trip + (self.latency or 0.0)

    async def open(self, listener: BusListener) -> None:
        """Start a session and configure the bus.

        Raises:
            RemoteSessionError: one line that says what is wrong; nothing is left of the session.
        """
        self._attach(listener)
        try:
            await self._session.start()
        except BaseException:
            self._detach()
            raise
        self.state = BusState.UP
        if not self._named:
            _log.info("%s: %s", self.name, NOT_EVERYTHING)
        self._begin()

    async def close(self) -> None:
        """Finish the session, or have it interrupted where that cannot be."""
        reconnecting, self._reconnecting = self._reconnecting, None
        if reconnecting is not None:
            reconnecting.cancel()
            await asyncio.wait((reconnecting,))
        if self.state is BusState.UP:
            await self._sending.finish()
        self._end("the bus was closed")
        self._isotp.close_all()
        await self._session.finish(self.result)
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._detach()

    def send(self, batch: FrameBatch) -> None:
        """Send raw frames, in order for each id.

        Raises:
            BusError: the vehicle is gone, too many frames wait, or openOBD cannot carry one of them.
        """
        self._require_up()
        check_sendable(batch)
        records = list(batch.records())
        for _, identifier, _, flags, length, _ in records:
            _check_carried(identifier, flags, length)
        self._sending.check_room(len(records))
        for _, identifier, _, _, length, data in records:
            self._sending.send(identifier, data[:length])

    def open_isotp(
        self,
        request_id: int,
        response_id: int | None,
        *,
        extended: bool,
        receiver: PayloadReceiver,
        failure: ChannelFailure,
        progress: ChannelProgress | None = None,
        layout: IsotpLayout = NORMAL_LAYOUT,
    ) -> IsotpChannel:
        """See Bus.open_isotp. Parts of a payload are not seen from here, so `progress` is never called.

        The channels outlive a lost connection; what was under way on them has failed then.
        """
        if not self._speaks_isotp:
            raise BusError(f"{self.name} is configured for raw frames, it has no diagnostics; leave ?frames out")
        return self._isotp.open(
            request_id, response_id, extended=extended, receiver=receiver, failure=failure, layout=layout
        )

    # The session comes and goes.

    def _begin(self) -> None:
        """A session has been set up."""
        self._needed_ids_changed()
        self._hearing.start()
        monitor = connectionMonitorStub(self._session.channel)
        stream = monitor.openConnectorInformationStream(EmptyMessage(), metadata=self._session.metadata)
        self._monitor = ConnectorMonitor(stream, self._tasks, self._told, self._fell_silent, self.silence_timeout)

    def _end(self, reason: str) -> None:
        """No stream of the session is of use any more."""
        if self._monitor is not None:
            self._monitor.stop()
            self._monitor = None
        self._hearing.stop()
        self._sending.stop(reason)

    def _lost(self, reason: str) -> None:
        """The session's connection has gone, or the session itself."""
        if self._reconnecting is not None:
            return
        reason = f"the remote session is lost: {reason}"
        self.backoff.lost(time.monotonic())
        self._change_state(BusState.GONE, reason)
        self._end(reason)
        self._isotp.lost(reason)
        self._reconnecting = asyncio.get_running_loop().create_task(self._reconnect())

    def _fell_silent(self) -> None:
        self._lost(f"nothing was heard of it for {self.silence_timeout:g} s")

    async def _reconnect(self) -> None:
        told = ""
        while True:
            await asyncio.sleep(self.backoff.wait(time.monotonic()))
            before = self._session.id
            try:
                await self._session.restore()
                break
            except SessionOver as error:
                _log.warning("%s stays gone: %s", self.name, error)
                return
            except RemoteSessionError as error:
                if str(error) != told:
                    told = str(error)
                    _log.warning("%s is tried again: %s", self.name, error)
        self.backoff.connected(time.monotonic())
        self._reconnecting = None
        self._begin()
        resumed = self._session.id == before
        self._change_state(BusState.UP, f"{'the' if resumed else 'another'} remote session goes on")

    def _told(self, information: ConnectorInformation) -> None:
        """The connector tells how it is."""
        self.latency = information.latency / 1000
        if not information.connected and self.state is BusState.UP:
            reason = "the connector has lost the vehicle"
            self._change_state(BusState.GONE, reason)
            self._sending.stop(reason)
            self._isotp.lost(reason)
        elif information.connected and self.state is BusState.GONE:
            self._change_state(BusState.UP, "the connector has the vehicle again")
        if self._healthy and information.connected and not information.healthy:
            _log.warning(
                "%s: the connector calls its connection bad, answers take %d ms", self.name, information.latency
            )
        self._healthy = information.healthy or not information.connected

    # Frames

    def _needed_ids_changed(self) -> None:
        """Have those ids heard that somebody hears."""
        wanted = self._wanted_ids
        if wanted is None:
            wanted = frozenset((identifier, identifier > STANDARD_ID_MAX) for identifier in self._named)
        heard = wanted | self.raw_channels.heard_ids
        self._hearing.want(frozenset(identifier for identifier, extended in heard if _has_name(identifier, extended)))

    def _heard(self, identifier: int, data: bytes) -> None:
        flags = EXTENDED if identifier > STANDARD_ID_MAX else 0
        self._put(pack(time.time(), identifier, self.number, flags, data))

    def _put(self, record: bytes) -> None:
        if self._queue.put(record):
            asyncio.get_running_loop().call_soon(self._drain)

    def _sent(self, frame: RawFrame) -> None:
        self.frames_sent += 1
        if self.loopback:
            identifier = frame.channel.request_id
            flags = OWN | (EXTENDED if identifier > STANDARD_ID_MAX else 0)
            self._put(pack(time.time(), identifier, self.number, flags, bytes.fromhex(frame.payload)))

    def _unsent(self, count: int, reason: str) -> None:
        self.frames_unsent += count
        self._losses.warning("%s: %d frames were not sent: %s", self.name, count, reason)

    # Streams

    def _open_isotp_stream(
        self, heard: Callable[[IsotpMessage], None], ended: Callable[[str], None]
    ) -> RemoteStream[IsotpMessage]:
        self._require_up()
        call = canStub(self._session.channel).openIsotpStream(metadata=self._session.metadata)
        return RemoteStream(call, limit=WAITING_LIMIT, tasks=self._tasks, heard=heard, ended=ended)

    def _confirm(self, channels: Sequence[IsotpChannelName], then: Callable[[], None]) -> None:
        task = asyncio.get_running_loop().create_task(self._wait_until_open(channels))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda done: None if done.cancelled() else then())

    async def _wait_until_open(self, channels: Sequence[IsotpChannelName]) -> None:
        try:
            await self._session.wait_until_open(channels)
        except RemoteSessionError as error:
            _log.debug("%s: %s", self.name, error)  # what is lost with the connection is told elsewhere

    def _open_raw_stream(
        self, heard: Callable[[RawFrame], None], ended: Callable[[str], None], written: Callable[[RawFrame], None]
    ) -> RemoteStream[RawFrame]:
        call = canStub(self._session.channel).openRawStream(metadata=self._session.metadata)
        return RemoteStream(
            call, limit=2 * REMOTE_FRAMES_WAITING, tasks=self._tasks, heard=heard, ended=ended, written=written
        )


def _has_name(identifier: int, extended: bool) -> bool:
    """Whether openOBD can name an id: the number alone tells whether it has 11 bits or 29."""
    return extended == (identifier > STANDARD_ID_MAX)


def _check_carried(identifier: int, flags: int, length: int) -> None:
    """Refuse a frame that openOBD has no form for.

    Raises:
        BusError
    """
    if flags & (REMOTE | ERROR | FD):
        raise BusError("openOBD carries classic data frames only, no remote, error or CAN FD frames")
    if not length:
        raise BusError("openOBD cannot carry a frame without data")
    if not _has_name(identifier, bool(flags & EXTENDED)):
        raise BusError(f"openOBD takes 0x{identifier:x} for an id of 11 bits, it cannot name one of 29")
