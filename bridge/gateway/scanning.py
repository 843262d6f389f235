"""What the gateway finds out about a vehicle by itself: its VIN, and which ECUs it has.

Its requests only read, pass policy like everybody's, and run once for all who want the same at the
same time. Must not know sessions or calls.

Sources: SAE J1979 (mode 01 PID 00, mode 09 PID 02), ISO 14229-1 (TesterPresent, data identifier
F190), ISO 15765-4 (addresses).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, Generic, TypeVar

from bridge.buses.bus import Bus, BusState, IsotpChannel
from bridge.config import EcuSettings
from bridge.diagnostics.addressing import (
    FUNCTIONAL_EXTENDED_ID,
    FUNCTIONAL_ID,
    channels,
    is_extended,
    response_ids,
)
from bridge.diagnostics.vin import parse_vin
from bridge.errors import BusError
from bridge.gateway.connections import Connection
from bridge.gateway.errors import Unavailable
from bridge.gateway.vehicle import Vehicle
from bridge.limits import ASK_TIMEOUT, DIAGNOSTIC_PENDING_TIMEOUT, SCAN_WINDOW
from bridge.policy import WriteRefusedError, check_payload
from bridge.seldom import SeldomLog

_log = logging.getLogger(__name__)

_UP = (BusState.UP, BusState.ERROR_PASSIVE)
_ENGINE_IDS = (0x7E0, 0x18DA10F1)  # a vehicle has 11-bit or 29-bit identifiers
_PHYSICAL_IDS = range(0x7E0, 0x7E8)
_FUNCTIONAL_IDS = (FUNCTIONAL_ID, FUNCTIONAL_EXTENDED_ID)
_SUPPORTED_PIDS = b"\x01\x00"
_TESTER_PRESENT = b"\x3e\x00"
_VIN_REQUESTS = {b"\x09\x02": b"\x49\x02", b"\x22\xf1\x90": b"\x62\xf1\x90"}  # with how a positive response begins
_NEGATIVE = 0x7F
_RESPONSE_PENDING = 0x78

Result = TypeVar("Result")


class Scanner:
    """Asks vehicles for what nobody has configured."""

    def __init__(self, vehicle: Vehicle, answered: Callable[[int, float], None]) -> None:
        """`answered` gets a bus number and the seconds that an ECU took to answer."""
        self._vehicle = vehicle
        self._answered = answered
        self._vins: dict[Connection, str] = {}  # read, and still true
        self._losses = 0
        self._reading = _Shared[str]()
        self._scanning = _Shared[tuple[EcuSettings, ...]]()
        self._refusals = SeldomLog(_log)

    def known_vin(self, connection: Connection) -> str:
        """The VIN that is configured, or that was read since the vehicle's buses came; "" where neither is."""
        return connection.settings.vehicle.vin or self._vins.get(connection, "")

    async def vin(self, connection: Connection) -> str:
        """The VIN, read from the car where it is not known; "" where the car does not tell it, or may not be asked."""
        return self.known_vin(connection) or await self._reading.run(connection, partial(self._read_vin, connection))

    async def ecus(self, connection: Connection) -> tuple[EcuSettings, ...]:
        """The ECUs that are configured, else those that answer now, in the order of their buses and ids.

        Raises:
            WriteRefusedError: policy forbids the requests on every bus.
            Unavailable: none of the buses is up.
        """
        return connection.settings.ecu or await self._scanning.run(connection, partial(self._scan, connection))

    def bus_lost(self, bus: int) -> None:
        """It may be another vehicle when the bus comes again."""
        self._losses += 1
        for connection in [one for one in self._vins if bus in one.buses.values()]:
            del self._vins[connection]

    async def close(self) -> None:
        """Ask no more."""
        await self._reading.close()
        await self._scanning.close()

    def _buses(self, connection: Connection) -> Iterator[Bus]:
        """The connection's buses that are up."""
        for number in sorted(set(connection.buses.values())):
            bus = self._vehicle.buses.get(number)
            if bus is not None and bus.state in _UP:
                yield bus

    # The VIN

    async def _read_vin(self, connection: Connection) -> str:
        losses = self._losses
        for bus in self._buses(connection):
            for request_id in _ENGINE_IDS:
                for request, positive in _VIN_REQUESTS.items():
                    answer = await self._ask(bus, request_id, request, positive)
                    vin = parse_vin(answer) if answer is not None else None
                    if vin is not None:
                        if self._losses == losses:
                            self._vins[connection] = vin
                        return vin
        return ""

    async def _ask(self, bus: Bus, request_id: int, request: bytes, positive: bytes) -> bytes | None:
        """What follows `positive` in the answer to a request; None where there is no such answer."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes | None] = loop.create_future()
        asked_at: float | None = loop.time()

        def settle(result: bytes | None) -> None:
            if not answer.done():
                answer.set_result(result)

        def receive(message: bytes) -> None:
            nonlocal asked_at
            refused = len(message) == 3 and message[:2] == bytes((_NEGATIVE, request[0]))
            if not (refused or message.startswith(positive)):
                return  # the answer to somebody else
            if asked_at is not None:
                self._answered(bus.number, loop.time() - asked_at)
                asked_at = None
            if refused and message[2] == _RESPONSE_PENDING:
                deadline.reschedule(latest)
            else:
                settle(None if refused else message[len(positive) :])

        try:
            with ExitStack() as opened:
                async with asyncio.timeout(ASK_TIMEOUT) as deadline:
                    latest = loop.time() + DIAGNOSTIC_PENDING_TIMEOUT
                    send = self._open(
                        bus, request_id, response_ids(request_id)[0], opened, receive=receive, failed=settle
                    )
                    send(request)
                    return await answer
        except (TimeoutError, BusError):
            return None
        except WriteRefusedError as error:
            self._refusals.warning("the VIN is not read on bus %d: %s", bus.number, error)
            return None

    # The ECUs

    async def _scan(self, connection: Connection) -> tuple[EcuSettings, ...]:
        buses = list(self._buses(connection))
        results = await asyncio.gather(*(self._scan_bus(bus) for bus in buses), return_exceptions=True)
        found: list[EcuSettings] = []
        failures: list[BaseException] = []
        for result in results:
            if isinstance(result, BaseException):
                failures.append(result)
            else:
                found += result
        unexpected = [one for one in failures if not isinstance(one, BusError | WriteRefusedError)]
        if unexpected or (failures and len(failures) == len(results)):
            raise (unexpected or failures)[0]
        if not results:
            raise Unavailable("none of the vehicle's buses is up")
        for failure in failures:
            self._refusals.warning("a bus is left out of a vehicle's ECUs: %s", failure)
        return tuple(found)

    async def _scan_bus(self, bus: Bus) -> list[EcuSettings]:
        """Ask everybody, then those that have said nothing one by one. Any answer is an ECU, a negative one too."""
        answers: set[tuple[bool, int, int]] = set()  # (29 bits, request id, response id)
        senders: dict[int, Callable[[bytes], None]] = {}
        with ExitStack() as opened:
            for functional_id in _FUNCTIONAL_IDS:
                for address in channels(bus.number, functional_id):
                    key = (address.extended, address.request_id, address.response_id or 0)
                    senders[address.request_id] = self._open(
                        bus, address.request_id, address.response_id, opened, receive=partial(_note, answers, key)
                    )
            for functional_id in _FUNCTIONAL_IDS:
                senders[functional_id](_SUPPORTED_PIDS)
            await asyncio.sleep(SCAN_WINDOW)
            heard = {request_id for _, request_id, _ in answers}
            for request_id in (*_FUNCTIONAL_IDS, *(one for one in _PHYSICAL_IDS if one not in heard)):
                senders[request_id](_TESTER_PRESENT)
            await asyncio.sleep(SCAN_WINDOW)
        return [
            EcuSettings(bus=bus.number, request_id=request, response_id=response)
            for _, request, response in sorted(answers)
        ]

    def _open(
        self,
        bus: Bus,
        request_id: int,
        response_id: int | None,
        opened: ExitStack,
        *,
        receive: Callable[[bytes], None],
        failed: Callable[[None], None] = lambda _: None,
    ) -> Callable[[bytes], None]:
        """A channel that is closed with `opened`: what sends on it, by permission."""
        extended = is_extended(request_id)

        def failure(reason: str) -> None:
            _log.debug("0x%x on bus %d: %s", request_id, bus.number, reason)
            failed(None)

        channel: IsotpChannel = bus.open_isotp(
            request_id, response_id, extended=extended, receiver=receive, failure=failure
        )
        opened.callback(channel.close)

        def send(payload: bytes) -> None:
            check_payload(self._vehicle.grants, self._vehicle.rules(bus.number), request_id, extended, payload)
            channel.send(payload)

        return send


def _note(answers: set[tuple[bool, int, int]], key: tuple[bool, int, int], payload: bytes) -> None:
    answers.add(key)


class _Shared(Generic[Result]):
    """Work on connections that all who want it at the same time share; it goes on when one of them leaves."""

    def __init__(self) -> None:
        self._running: dict[Connection, asyncio.Task[Result]] = {}

    async def run(self, connection: Connection, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """What the work gives, or raises; it is begun where it is not under way."""
        task = self._running.get(connection)
        if task is None:
            task = self._running[connection] = asyncio.get_running_loop().create_task(work())
            task.add_done_callback(partial(self._done, connection))
        return await asyncio.shield(task)

    def _done(self, connection: Connection, task: asyncio.Task[Result]) -> None:
        del self._running[connection]
        if not task.cancelled():
            task.exception()  # whoever still waits hears of it; if nobody does, nobody needs to

    async def close(self) -> None:
        """End what is under way."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
