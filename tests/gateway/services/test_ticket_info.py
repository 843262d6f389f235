"""openOBD.v1.ticketInfo: the ticket that the session was started on."""

from __future__ import annotations

import grpc
import pytest

from bridge.openobd.messages import ConnectorId, EmptyMessage

from ..refusals import refused


async def details(caller):
    return await caller.ticketInfo.getTicketDetails(EmptyMessage(), metadata=caller.metadata)


@pytest.mark.parametrize(
    ("ticket", "number"),
    [
        ("20260701", 20260701),
        ("007", 7),
        ("4294967295", 0xFFFFFFFF),
        ("4294967296", 0),
        ("9" * 5000, 0),
        ("T-1", 0),
        ("١٢", 0),
        ("-1", 0),
    ],
)
async def test_a_ticket_is_a_text_and_maybe_a_number(bench, join, ticket, number) -> None:
    caller = await join(bench)
    await caller.active_session(ticket)
    found = await details(caller)
    assert (found.number, found.id) == (number, ticket)


async def test_a_session_on_a_connector_has_no_ticket(bench, join) -> None:
    caller = await join(bench)
    await caller.log_in()
    start = caller.sessionController.startSessionOnConnector(ConnectorId(value="J-1"), metadata=caller.metadata)
    caller.token = (await start).authentication_token
    assert await refused(details(caller)) is grpc.StatusCode.UNAUTHENTICATED
    caller.token = (await caller.session.authenticate(EmptyMessage(), metadata=caller.metadata)).value
    found = await details(caller)
    assert (found.number, found.id) == (0, "")
