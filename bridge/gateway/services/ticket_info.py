"""openOBD.v1.ticketInfo: the ticket that a session was started on."""

from __future__ import annotations

from bridge.gateway.core import Call, Core
from bridge.openobd.messages import EmptyMessage, TicketDetails
from bridge.openobd.services import ticketInfoServicer

_NUMBER_LIMIT = 1 << 32  # the field is a uint32
_DIGITS_LIMIT = len(str(_NUMBER_LIMIT))


class TicketInfoService(ticketInfoServicer):
    """Calls of the holder of an active session."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def getTicketDetails(self, request: EmptyMessage, call: Call) -> TicketDetails:
        """The ticket as it was given: as a number where it is one (else 0), and as a text."""
        session = self._core.session(call)
        return TicketDetails(number=ticket_number(session.ticket), id=session.ticket)


def ticket_number(ticket: str) -> int:
    """The number that a ticket's text is; 0 where it is none that fits."""
    if not (ticket.isascii() and ticket.isdecimal() and len(ticket) <= _DIGITS_LIMIT):
        return 0
    number = int(ticket)
    return number if number < _NUMBER_LIMIT else 0
