"""openOBD.v1.connectionMonitor: whether the vehicle's buses are there, and how soon its ECUs answer."""

from __future__ import annotations

from bridge.gateway.core import Call, Core
from bridge.gateway.repeating import Repeating
from bridge.gateway.sessions import BY_SESSION, Session
from bridge.gateway.streams import ContextStream
from bridge.limits import CONNECTOR_INFORMATION_PERIOD
from bridge.openobd.messages import ConnectorInformation, EmptyMessage
from bridge.openobd.services import connectionMonitorServicer


class ConnectionMonitorService(connectionMonitorServicer):
    """Calls of the holder of an active session."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def getConnectorInformation(self, request: EmptyMessage, call: Call) -> ConnectorInformation:
        """How it is now."""
        return self._information(self._core.session(call))

    async def openConnectorInformationStream(self, request: EmptyMessage, call: Call) -> None:
        """How it is now, and each second from then on."""
        context = self._core.context(call, BY_SESSION)
        session = self._core.sessions.of(context)
        async with ContextStream[ConnectorInformation](call, session, context) as stream:

            def tell() -> None:
                stream.put(self._information(session))

            with Repeating(tell, CONNECTOR_INFORMATION_PERIOD, first=0.0):
                await stream.run()

    def _information(self, session: Session) -> ConnectorInformation:
        report = self._core.connection_report(session)
        return ConnectorInformation(
            connected=report.connected,
            connected_since=int(1000 * (report.since or 0.0)),
            latency=round(1000 * (report.latency or 0.0)),
            healthy=report.healthy,
        )
