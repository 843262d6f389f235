"""openOBD.v1.kline: not there yet, and says what is missing."""

from __future__ import annotations

from bridge.gateway.core import Call, Core
from bridge.gateway.errors import Unimplemented
from bridge.gateway.sessions import BY_SESSION
from bridge.openobd.services import klineServicer


class KlineService(klineServicer):
    """Calls of the holder of an active session."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def openKlineStream(self, request: object, call: Call) -> None:
        """Refused, for whoever would be served."""
        self._core.context(call, BY_SESSION)
        raise Unimplemented("this gateway speaks no K-line yet: its initialisation and timing (ISO 14230) are missing")
