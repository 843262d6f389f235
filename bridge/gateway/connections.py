"""The vehicles that sessions are started on: which ticket or connector means which.

Must not know buses beyond their numbers, nor what a session does on them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bridge.config import ConnectionSettings
from bridge.gateway.errors import NotFound


@dataclass(frozen=True, slots=True)
class Pins:
    """Two pins of the diagnostic connector (ISO 15031-3)."""

    plus: int  #: CAN-H
    minus: int  #: CAN-L


@dataclass(frozen=True, eq=False, slots=True)
class Connection:
    """One vehicle and how its buses are wired. Compared by identity."""

    settings: ConnectionSettings
    buses: dict[Pins, int]  #: to OpenXC's bus numbers


class Connections:
    """All connections: the configured ones, else the bench vehicle whatever is asked for."""

    def __init__(self, settings: Iterable[ConnectionSettings]) -> None:
        configured = list(settings) or [ConnectionSettings()]
        self._connections = [Connection(one, _pins(one.pins)) for one in configured]

    @property
    def first(self) -> Connection:
        """What examples are printed for."""
        return self._connections[0]

    def by_ticket(self, number: str) -> Connection:
        """The connection that a ticket number means.

        Raises:
            NotFound: none.
        """
        for one in self._connections:
            if number and (one.settings.tickets is None or number in one.settings.tickets):
                return one
        raise NotFound("there is no such ticket" if number else "the ticket number is missing")

    def by_connector(self, connector: str) -> Connection:
        """The connection with a connector id.

        Raises:
            NotFound: none.
        """
        for one in self._connections:
            if connector and one.settings.connector in (None, connector):
                return one
        raise NotFound("there is no such connector" if connector else "the connector id is missing")


def _pins(pins: dict[str, int]) -> dict[Pins, int]:
    parsed = {}
    for text, bus in pins.items():
        plus, _, minus = text.partition("/")
        parsed[Pins(int(plus), int(minus))] = bus
    return parsed
