"""openOBD.v1.userInterface: a script shows controls, one at a time, and gets the user's answers."""

from __future__ import annotations

import asyncio
import logging

from bridge.gateway.core import Call, Core
from bridge.gateway.errors import CallError, Cancelled, WrongState
from bridge.gateway.sessions import BY_SESSION, Session
from bridge.gateway.streams import ContextStream
from bridge.gateway.user_interface.controls import check, display_time
from bridge.gateway.user_interface.interface import UserInterface
from bridge.openobd.messages import Control
from bridge.openobd.services import userInterfaceServicer

_log = logging.getLogger(__name__)


class UserInterfaceService(userInterfaceServicer):
    """Calls of the holder of an active session."""

    def __init__(self, core: Core, interface: UserInterface) -> None:
        self._core = core
        self._interface = interface
        self._displays: dict[Session, _Display] = {}  # the newest of each session

    async def openControlStream(self, request: object, call: Call) -> None:
        """Each control replaces the one before, and a new stream takes the old one's place."""
        context = self._core.context(call, BY_SESSION)
        if not context.user_interface:
            raise WrongState(
                "this function context may only communicate with the vehicle: the one that it was started in is "
                "active, and has the user interface"
            )
        session = self._core.sessions.of(context)
        async with ContextStream[Control](call, session, context) as stream:
            display = _Display(self._interface, session.id, stream)
            if before := self._displays.get(session):
                before.end()
            self._displays[session] = display
            try:
                await stream.run(display.show)
            finally:
                if self._displays.get(session) is display:  # a later one may be over already
                    del self._displays[session]
                await display.clear()


class _Display:
    """What one stream has on the user interface."""

    def __init__(self, interface: UserInterface, session_id: str, stream: ContextStream[Control]) -> None:
        self._interface = interface
        self._session_id = session_id
        self._stream = stream
        self._showing: asyncio.Task[None] | None = None

    def show(self, control: Control) -> None:
        """Show a control in place of the present one, which is not answered then.

        Raises:
            InvalidCall: nobody could answer it.
        """
        check(control)
        if self._showing is not None:
            self._showing.cancel()
        self._showing = asyncio.get_running_loop().create_task(self._show(control))

    def end(self) -> None:
        """A newer stream takes over."""
        if self._showing is not None:
            self._showing.cancel()
        self._stream.end(Cancelled("a newer stream of the session has the user interface"))

    async def clear(self) -> None:
        """Show nothing any more."""
        if self._showing is not None:
            self._showing.cancel()
            await asyncio.wait((self._showing,))

    async def _show(self, control: Control) -> None:
        try:
            reply = await self._interface.show(self._session_id, control)
            await asyncio.sleep(display_time(control))
            self._stream.put(reply)
        except CallError as error:
            self._stream.end(error)
        except Exception:
            _log.exception("a control could not be shown")
            self._stream.end(CallError("the gateway failed; its log says more"))
