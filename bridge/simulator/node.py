"""The simulated vehicle on a bus: its frames by a timer, its ECUs on their addresses.

Works on any bus of frames, in-process or real. It must not know the bridge that may listen on the
other end, nor how the bus carries frames.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable
from functools import partial

from bridge.buses.bus import Bus, BusState, IsotpChannel
from bridge.errors import BusError
from bridge.frames import FrameBatch, FrameFlags
from bridge.limits import SINGLE_FRAME_LIMIT
from bridge.profile.plan import Plan
from bridge.seldom import SeldomLog
from bridge.simulator.ecus import FUNCTIONAL_ID, FUNCTIONAL_ID_EXTENDED, Ecu, make_ecus
from bridge.simulator.frames import Sender, VehicleFrames
from bridge.simulator.vehicle import Vehicle

_log = logging.getLogger(__name__)

TURN = 0.01  #: s between two looks at what is due; the shortest period of a message

_NOT_DATA = FrameFlags.REMOTE | FrameFlags.ERROR | FrameFlags.OWN
_FUNCTIONAL = {FUNCTIONAL_ID: False, FUNCTIONAL_ID_EXTENDED: True}


class SimulatedVehicle:
    """A vehicle that drives and ECUs that answer, from start() to stop().

    Without start() nothing moves by itself: `tick` and the listener's methods may be called by hand.
    """

    def __init__(
        self,
        bus: Bus,
        plan: Plan,
        *,
        seed: int = 0,
        latency: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a vehicle.

        Args:
            bus: the vehicle's own end of a connection, not yet open; start() opens it, stop() closes it.
            plan: says how values lie in frames, usually the demo profile. Its first bus counts.
            seed: another one is another drive.
            latency: seconds from a request to its answer, of every ECU; None: each has its own.
            clock: monotonic seconds, the vehicle's idea of time.
        """
        self.bus = bus
        self._plan = plan
        self._seed = seed
        self._latency = latency
        self._clock = clock
        self._channels: list[IsotpChannel] = []
        self._answers: dict[int, asyncio.TimerHandle] = {}
        self._numbers = itertools.count()
        self._task: asyncio.Task[None] | None = None
        self._failures = SeldomLog(_log, clock)  # a bus that takes nothing refuses every frame
        self._begin()

    def _begin(self) -> None:
        now = self._clock()
        self.vehicle = Vehicle(self._seed, now)
        self.ecus = make_ecus(self.vehicle, self._seed, self._latency)
        known = self.vehicle.values(now).keys()
        self.frames = VehicleFrames(self._plan, known, now, self.bus.number)

    async def start(self) -> None:
        """Open the bus, put the ECUs on their addresses and drive off.

        Raises:
            BusError: the bus cannot be opened; nothing is left open then.
        """
        if self._task is not None:
            raise BusError(f"the vehicle on {self.bus.name} drives already")
        self._begin()
        await self.bus.open(self)
        try:
            for ecu in self.ecus:
                self._connect(ecu)
        except BusError:
            await self.stop()
            raise
        self._task = asyncio.get_running_loop().create_task(self._drive(), name=f"vehicle on {self.bus.name}")

    async def stop(self) -> None:
        """End the drive and close the bus. Calling it twice is fine."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        for handle in self._answers.values():
            handle.cancel()
        self._answers.clear()
        for channel in self._channels:
            channel.close()
        self._channels.clear()
        await self.bus.close()

    def tick(self, now: float) -> None:
        """Drive on to a moment and send what is due."""
        self.vehicle.advance(now)
        silent = [Sender(ecu.description.name) for ecu in self.ecus if not ecu.transmits(now)]
        batch = self.frames.due(now, self.vehicle.values(now), silent)
        if not batch:
            return
        try:
            self.bus.send(batch)
        except BusError as error:
            self._failures.warning("the simulated vehicle could not send: %s", error)

    async def _drive(self) -> None:
        """A tick every TURN on the loop's grid, so that late turns don't add up."""
        loop = asyncio.get_running_loop()
        following = loop.time()
        while True:
            self.tick(self._clock())
            following = max(following + TURN, loop.time())
            await asyncio.sleep(following - loop.time())

    # Listening (BusListener)

    def frames_received(self, bus: Bus, batch: FrameBatch) -> None:
        """Obey frames of writable signals, and answer functional requests."""
        now = self._clock()
        for key, value in self.frames.commands(batch):
            self.vehicle.command(key, value, now)
        for _, identifier, _, flags, length, data in batch.records():
            if identifier in _FUNCTIONAL and not flags & _NOT_DATA:
                self._functional_frame(bool(flags & FrameFlags.EXTENDED), identifier, data[:length])

    def bus_state_changed(self, bus: Bus, state: BusState, reason: str) -> None:
        """Say so; the vehicle drives on and sends when the bus takes frames again."""
        level = logging.INFO if state is BusState.UP else logging.WARNING
        _log.log(level, "the simulated vehicle's bus %s is %s: %s", bus.name, state.value, reason)

    # Diagnostics

    def _connect(self, ecu: Ecu) -> None:
        """Open an ECU's physical addresses, 11 and 29 bits."""
        description = ecu.description
        for response_id, request_id, extended in (
            (description.response_id, description.request_id, False),
            (description.response_id_extended, description.request_id_extended, True),
        ):
            index = len(self._channels)
            channel = self.bus.open_isotp(
                response_id,
                request_id,
                extended=extended,
                receiver=partial(self._request, ecu, index, False),
                failure=partial(_log.debug, "%s ECU: %s", description.name),
            )
            self._channels.append(channel)

    def _functional_frame(self, extended: bool, identifier: int, data: bytes) -> None:
        """Functional requests are single frames: read here, so that nobody ever sends flow control for one."""
        if _FUNCTIONAL[identifier] is not extended or not data:
            return
        length = data[0]  # the upper four bits of a single frame are zero
        if not 1 <= length <= SINGLE_FRAME_LIMIT or len(data) <= length:
            return
        payload = data[1 : 1 + length]
        for number, ecu in enumerate(self.ecus):
            self._request(ecu, 2 * number + extended, True, payload)

    def _request(self, ecu: Ecu, index: int, functional: bool, payload: bytes) -> None:
        """Ask an ECU, and send what it says on a channel when it says so."""
        if index >= len(self._channels):
            return
        now = self._clock()
        self.vehicle.advance(now)
        loop = asyncio.get_running_loop()
        for answer in ecu.request(payload, now, functional):
            number = next(self._numbers)
            channel = self._channels[index]
            self._answers[number] = loop.call_later(answer.delay, self._answer, number, channel, answer.payload)

    def _answer(self, number: int, channel: IsotpChannel, payload: bytes) -> None:
        del self._answers[number]
        try:
            channel.send(payload)
        except BusError as error:
            self._failures.warning("the simulated vehicle could not send: %s", error)
