"""Starts sessions, looks at them and ends them; a line for each thing that came of it."""

import logging

from openobd import (
    ConnectionMonitor,
    ConnectorId,
    OpenOBDException,
    OpenOBDSession,
    SessionId,
    SessionTokenHandler,
    TicketId,
)
from vehicle import SUCCESS, controller

logging.disable()  # the library logs the end of an interrupted session's tokens, in the middle of these lines
partner = controller()


def refused(name: str, call, *arguments) -> None:
    try:
        call(*arguments)
    except OpenOBDException as error:
        print(name, error.status)


def listed() -> str:
    return " ".join(f"{name}={partner.get_session(SessionId(value=info.id)).state}" for name, info in infos.items())


infos = {
    "ticket": partner.start_session_on_ticket(TicketId(value="20260701")),
    "connector": partner.start_session_on_connector(ConnectorId(value="J-1")),
    "unused": partner.start_session_on_ticket(TicketId(value="2")),
}
sessions = {name: OpenOBDSession(info) for name, info in infos.items()}
print("started:", listed())
for name in ("ticket", "connector"):
    SessionTokenHandler(sessions[name])
print("claimed:", listed())
refused("second authenticate:", OpenOBDSession(infos["ticket"]).authenticate)
refused("no such session:", partner.get_session, SessionId(value="nonsense"))
ticket = sessions["ticket"].get_ticket_details()
print("ticket:", ticket.number, ticket.id)
monitor = ConnectionMonitor(sessions["connector"])
monitor.stream_handler.receive(timeout=30)
print("interrupted:", partner.interrupt_session(SessionId(value=infos["connector"].id)).state)
try:
    while True:
        monitor.stream_handler.receive(timeout=30)
except OpenOBDException as error:
    print("its stream:", error.status)
refused("its call:", sessions["connector"].get_connector_information)
refused("interrupted again:", partner.interrupt_session, SessionId(value=infos["connector"].id))
sessions["ticket"].finish(SUCCESS)
sessions["unused"].finish(SUCCESS)
refused("finished again:", sessions["ticket"].finish, SUCCESS)
print("ended:", listed())
print("list:", *sorted(each.state for each in partner.get_session_list().sessions))
