"""openOBD.v1.config: which buses a session uses, and whether OpenXC clients may write on them meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from bridge.gateway.connections import Pins
from bridge.gateway.core import Call, Core
from bridge.gateway.errors import Exhausted, InvalidCall, NotFound
from bridge.gateway.sessions import BY_SESSION
from bridge.gateway.streams import ContextStream
from bridge.limits import BUS_NAME_LIMIT, SESSION_BUSES_LIMIT
from bridge.openobd.messages import BusConfiguration, Configuration, EmptyMessage, kept
from bridge.openobd.services import configServicer

_log = logging.getLogger(__name__)

_OTHER_BUSES = {"kline_bus": "K-line", "doip_bus": "DoIP"}


class ConfigService(configServicer):
    """Calls of the holder of an active session."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def configureBus(self, request: object, call: Call) -> EmptyMessage:
        """Replace the session's buses by those that the caller sends."""
        context = self._core.context(call, BY_SESSION)
        session = self._core.sessions.of(context)
        configuration: list[BusConfiguration] = []
        buses: dict[str, int] = {}

        def receive(bus: BusConfiguration) -> None:
            nonlocal buses
            if len(configuration) >= SESSION_BUSES_LIMIT:
                raise Exhausted(f"{SESSION_BUSES_LIMIT} buses are the most in one configuration")
            configuration.append(kept(bus))
            buses = can_buses(configuration, session.connection.buses, self._core.vehicle.buses)

        async with ContextStream[EmptyMessage](call, session, context) as stream:
            await stream.run(receive)
        self._core.sessions.of(context)  # it may have ended meanwhile
        session.buses = buses
        session.configuration = configuration
        session.channels.clear()
        for told in list(session.reconfigured):
            told()
        self._core.sessions.note_changed(session)
        for bus in configuration:
            if kind := _OTHER_BUSES.get(bus.WhichOneof("BusDefinition")):
                _log.warning("session %s configures %s, which this gateway does not speak yet", session.id, kind)
        return EmptyMessage()

    async def getConfiguration(self, request: EmptyMessage, call: Call) -> Configuration:
        """The session's buses, and the channels that were opened on them so far."""
        session = self._core.session(call)
        return Configuration(buses=session.configuration, channels=session.channels.values())

    async def muteLocals(self, request: EmptyMessage, call: Call) -> EmptyMessage:
        """OpenXC clients may not write on the session's buses."""
        return self._mute(call, True)

    async def unmuteLocals(self, request: EmptyMessage, call: Call) -> EmptyMessage:
        """OpenXC clients may write on the session's buses, as far as the bridge allows it."""
        return self._mute(call, False)

    def _mute(self, call: Call, muted: bool) -> EmptyMessage:
        session = self._core.session(call)
        session.muted = muted
        self._core.sessions.note_changed(session)
        return EmptyMessage()


def can_buses(
    configuration: Sequence[BusConfiguration], pins: Mapping[Pins, int], existing: Mapping[int, object]
) -> dict[str, int]:
    """The CAN buses of a configuration: bus name -> OpenXC's bus number.

    Args:
        configuration: as it was sent.
        pins: what the connection's pins lead to.
        existing: the bridge's buses, by number.

    Raises:
        InvalidCall: a name or the pins twice, a bus without a name or without a definition.
        NotFound: no bus at those pins.
    """
    found: dict[str, int] = {}
    names: set[str] = set()
    used: set[Pins] = set()
    for bus in configuration:
        if not 0 < len(bus.bus_name) <= BUS_NAME_LIMIT:
            raise InvalidCall(f"a bus needs a name of 1 to {BUS_NAME_LIMIT} characters")
        if bus.bus_name in names:
            raise InvalidCall(f"the bus {bus.bus_name!r} is there twice")
        names.add(bus.bus_name)
        kind = bus.WhichOneof("BusDefinition")
        if kind is None:
            raise InvalidCall(f"the bus {bus.bus_name!r} has no definition")
        if kind != "can_bus":
            continue
        its_pins = Pins(bus.can_bus.pin_plus, bus.can_bus.pin_min)
        if its_pins in used:
            raise InvalidCall(f"the pins of {bus.bus_name!r} are used twice")
        used.add(its_pins)
        number = pins.get(its_pins)
        if number not in existing or number is None:
            known = ", ".join(f"{each.plus}/{each.minus}" for each, bus in pins.items() if bus in existing) or "none"
            raise NotFound(
                f"there is no CAN bus at pins {its_pins.plus}/{its_pins.minus} of {bus.bus_name!r}; there are {known}"
            )
        found[bus.bus_name] = number
    return found
