"""openOBD.v1.terminal15: whether the ignition is on, from a signal that the configuration names."""

from __future__ import annotations

from bridge.gateway.core import Call, Core
from bridge.gateway.repeating import Repeating
from bridge.gateway.sessions import BY_SESSION
from bridge.gateway.streams import ContextStream
from bridge.limits import TERMINAL15_PERIOD
from bridge.openobd.messages import EmptyMessage, Terminal15Message, Terminal15State
from bridge.openobd.services import terminal15Servicer


class Terminal15Service(terminal15Servicer):
    """Calls of the holder of an active session."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def openTerminal15Stream(self, request: EmptyMessage, call: Call) -> None:
        """The present state, then each change."""
        context = self._core.context(call, BY_SESSION)
        async with ContextStream[Terminal15Message](call, self._core.sessions.of(context), context) as stream:
            told: Terminal15State | None = None

            def look() -> None:
                nonlocal told
                state = self._state()
                if state != told:
                    told = state
                    stream.put(Terminal15Message(state=state))

            with Repeating(look, TERMINAL15_PERIOD, first=0.0):
                await stream.run()

    def _state(self) -> Terminal15State:
        """On where no signal is configured; undefined until the signal has been heard."""
        name = self._core.settings.terminal15
        if name is None:
            return Terminal15State.STATE_ON
        value = self._core.vehicle.signal(name)
        if value is None:
            return Terminal15State.STATE_UNDEFINED
        on = any(
            value == each and isinstance(value, bool) == isinstance(each, bool)
            for each in self._core.settings.terminal15_on
        )
        return Terminal15State.STATE_ON if on else Terminal15State.STATE_OFF
