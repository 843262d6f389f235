"""openOBD.v1.can: ISO-TP payloads and raw frames on a session's CAN buses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.gateway.channels import Conversation, IsotpConversation, RawConversation
from bridge.gateway.core import Call, Core
from bridge.gateway.errors import Unimplemented
from bridge.gateway.sessions import BY_SESSION
from bridge.gateway.streams import ContextStream
from bridge.openobd.services import canServicer


class CanService(canServicer):
    """Calls of the holder of an active session."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def openIsotpStream(self, request: object, call: Call) -> None:
        """Whole payloads both ways, segmented by the gateway (ISO 15765-2)."""
        await self._converse(call, IsotpConversation)

    async def openRawStream(self, request: object, call: Call) -> None:
        """Frames both ways, of the ids that the channels name."""
        await self._converse(call, RawConversation)

    async def openTp20Stream(self, request: object, call: Call) -> None:
        """Not there yet."""
        self._core.context(call, BY_SESSION)
        raise Unimplemented("this gateway speaks no TP 2.0 yet: its channel set-up and timing are missing")

    async def _converse(self, call: Call, kind: Callable[..., Conversation[Any]]) -> None:
        context = self._core.context(call, BY_SESSION)
        session = self._core.sessions.of(context)
        async with ContextStream[Any](call, session, context) as stream:
            conversation = kind(self._core.vehicle, session, self._core.hearers, stream.put, self._core.note_latency)

            def bus_lost(bus: int, reason: str) -> None:
                if error := conversation.lost(bus, reason):
                    stream.end(error)

            def reconfigured() -> None:
                if error := conversation.reconfigured():
                    stream.end(error)

            self._core.bus_watchers.add(bus_lost)
            session.reconfigured.add(reconfigured)
            try:
                await stream.run(conversation.receive)
            finally:
                self._core.bus_watchers.discard(bus_lost)
                session.reconfigured.discard(reconfigured)
                conversation.close()
