"""Any bus that python-can has an interface for.

It lives on the event loop and leaves all that blocks to threads (can_adapter). An adapter that
goes away is reopened until it is back. This module must not know single interfaces.

Loopback asks the interface to hand back what was sent; udp_multicast, which always does, is told
apart by the adapter. The state is UP or GONE: python-can has no common way to report error states.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from bridge.buses.bus import BusListener, BusState
from bridge.buses.can_adapter import CanAdapter, CanParameters, DeviceLock, OptionValue, open_can_bus
from bridge.buses.frame_bus import FrameBus, check_sendable
from bridge.errors import BusError
from bridge.frames import FrameBatch
from bridge.in_thread import in_thread
from bridge.limits import BUS_REOPEN_DELAY
from bridge.seldom import SeldomLog

_log = logging.getLogger(__name__)


class PythonCanBus(FrameBus):
    """A bus behind one of python-can's interfaces.

    Args:
        number: OpenXC's bus number.
        name: what the user called it.
        interface: python-can's name of the interface.
        channel: python-can's channel; None leaves it to python-can's configuration (can.conf,
            CAN_CHANNEL), as an absent bitrate or option is left to it too.
        bitrate: bit/s.
        loopback: hear the own frames too, flagged OWN, where the interface is able to.
        options: further arguments of the interface, such as fd=True.
    """

    reopen_delay = BUS_REOPEN_DELAY  #: seconds between attempts to get a lost adapter back

    def __init__(
        self,
        number: int,
        name: str,
        interface: str,
        channel: str | None = None,
        bitrate: int | None = None,
        /,
        *,
        loopback: bool = False,
        **options: OptionValue,
    ) -> None:
        super().__init__(number, name)
        self.loopback = loopback
        self._parameters = CanParameters(interface, channel, bitrate, loopback, options)
        self._adapter: CanAdapter | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sent_before = 0  # by adapters that are gone
        self._refusals = SeldomLog(_log)

    @property
    def frames_sent(self) -> int:
        """Frames that the adapter took."""
        return self._sent_before + (self._adapter.frames_sent if self._adapter is not None else 0)

    @frames_sent.setter
    def frames_sent(self, value: int) -> None:
        self._sent_before = value

    async def open(self, listener: BusListener) -> None:
        """Open the interface, in a thread.

        Raises:
            BusError: one line that says what is missing and how to get it.
        """
        self._attach(listener)
        self._loop = asyncio.get_running_loop()
        try:
            adapter = await self._connect()
        except BaseException:
            self._detach()
            raise
        self._adapter = adapter
        self.state = BusState.UP
        adapter.start()

    async def close(self) -> None:
        """Close the interface; frames that wait are sent first where that takes less than half a second."""
        if self._reopening is not None:
            self._reopening.cancel()
            await asyncio.wait([self._reopening])
            self._reopening = None
        await self._drop_adapter()
        self._detach()

    def send(self, batch: FrameBatch) -> None:
        """Queue frames for the adapter's writer.

        What the adapter refuses later is counted in frames_unsent and logged once a second.

        Raises:
            BusError: the bus is closed or gone, the queue is full, or no CAN frame looks like that.
        """
        self._require_up()
        check_sendable(batch)
        if batch and self._adapter is not None:
            self._adapter.write(batch)

    async def _connect(self) -> CanAdapter:
        """Open a bus; nothing is left open if that fails or is cancelled."""

        def connect() -> CanAdapter:
            lock = DeviceLock(self._parameters)
            try:
                bus = open_can_bus(self._parameters)
            except BaseException:
                lock.release()
                raise
            adapter = CanAdapter(
                bus,
                self._parameters,
                self.number,
                lock,
                received=self._received,
                lost=self._lost,
                refused=self._refused,
            )
            adapter.probe()
            return adapter

        return await in_thread(connect, discard=CanAdapter.stop)

    async def _drop_adapter(self) -> None:
        adapter = self._adapter
        if adapter is not None:
            await in_thread(adapter.stop)
            self._sent_before += adapter.frames_sent
            self._adapter = None

    async def _reopen(self) -> None:
        await self._drop_adapter()
        while True:
            await asyncio.sleep(self.reopen_delay)
            try:
                adapter = await self._connect()
            except BusError as error:
                _log.debug("%s is not back yet: %s", self.name, error)
            else:
                # Its threads start last: none of their calls may come before the state they change.
                self._adapter = adapter
                self._change_state(BusState.UP, f"{self.name} is back")
                adapter.start()
                return

    # What the adapter's threads call.

    def _received(self, record: bytes) -> None:
        if self._queue.put(record):
            self._on_loop(self._drain_gathered)

    def _lost(self, adapter: CanAdapter, reason: str) -> None:
        self._on_loop(lambda: self._adapter_lost(adapter, reason))

    def _refused(self, reason: str) -> None:
        self._on_loop(lambda: self._count_refusal(reason))

    def _on_loop(self, callback: Callable[[], None]) -> None:
        # The loop may be closed already where a driver did not let go of its thread in time.
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(callback)

    # The same, on the loop.

    def _adapter_lost(self, adapter: CanAdapter, reason: str) -> None:
        if adapter is not self._adapter:
            return
        self._change_state(BusState.GONE, reason)
        self._reopening = asyncio.get_running_loop().create_task(self._reopen())

    def _count_refusal(self, reason: str) -> None:
        self.frames_unsent += 1
        self._refusals.warning("%s: %d frames could not be sent so far: %s", self.name, self.frames_unsent, reason)
