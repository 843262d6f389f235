"""openOBD.v1.logging: what scripts say, as lines of the bridge's own log.

Scripts are strangers: a line is a line whatever it holds, has a bounded length, and there are only
so many in a time. What is left out is counted, and said.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from bridge.gateway.allowance import Allowance
from bridge.gateway.contexts import Context
from bridge.gateway.core import Call, Core
from bridge.gateway.sessions import BY_SESSION, Session
from bridge.gateway.states import State
from bridge.gateway.streams import ContextStream
from bridge.limits import (
    LAST_WORDS_GRACE,
    SCRIPT_LOG_BURST,
    SCRIPT_LOG_LENGTH,
    SCRIPT_LOG_RATE,
    SCRIPTS_LOG_BURST,
    SCRIPTS_LOG_RATE,
)
from bridge.openobd.messages import EmptyMessage, LogLevel, LogMessage
from bridge.openobd.services import loggingServicer
from bridge.visible import one_line

_log = logging.getLogger("openobd.script")

_LEVELS = {
    LogLevel.LOG_LEVEL_DEBUG: logging.DEBUG,
    LogLevel.LOG_LEVEL_INFO: logging.INFO,
    LogLevel.LOG_LEVEL_WARNING: logging.WARNING,
    LogLevel.LOG_LEVEL_ERROR: logging.ERROR,
}


class LoggingService(loggingServicer):
    """Calls of the holder of an active session."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._all = Allowance(SCRIPTS_LOG_RATE, SCRIPTS_LOG_BURST)
        self._scripts: dict[Session, _Script] = {}

    async def openLogStream(self, request: object, call: Call) -> EmptyMessage:
        """Each message becomes a line, until the caller or the session has done."""
        context = self._core.context(call, BY_SESSION)
        session = self._core.sessions.of(context)
        async with _LogStream(call, session, context) as stream:
            script = self._script(session)
            try:
                await stream.run(script.say)
            finally:
                script.pause()
        return EmptyMessage()

    def _script(self, session: Session) -> _Script:
        """What all log streams of a session have in common, until the session is over."""
        script = self._scripts.get(session)
        if script is None:
            script = self._scripts[session] = _Script(session.id, self._all, self._core.clock)

            def forget(_: Context) -> None:
                del self._scripts[session]

            session.root.when_ended(forget)
        return script


class _LogStream(ContextStream[EmptyMessage]):
    """What a script says last comes at the same time as the end of its session, and often after it."""

    def _context_ended(self, context: Context) -> None:
        if context.state is State.FINISHED:
            asyncio.get_running_loop().call_later(LAST_WORDS_GRACE, self.end)
        else:
            super()._context_ended(context)


class _Script:
    """One session's lines."""

    def __init__(self, session_id: str, everybodys: Allowance, clock: Callable[[], float]) -> None:
        self._name = session_id[:8]
        self._everybodys = everybodys
        self._own = Allowance(SCRIPT_LOG_RATE, SCRIPT_LOG_BURST)
        self._clock = clock
        self._left_out = 0

    def say(self, message: LogMessage) -> None:
        """Log a message."""
        level = _LEVELS.get(message.level, logging.INFO)
        if not _log.isEnabledFor(level):
            return
        now = self._clock()
        if not (self._own.take(now) and self._everybodys.take(now)):
            self._left_out += 1
            return
        self._tell_left_out()
        _log.log(level, "session %s: %s", self._name, one_line(message.content, SCRIPT_LOG_LENGTH))

    def pause(self) -> None:
        """A stream ends: say what was left out, where even for that there is room."""
        if self._left_out and self._everybodys.take(self._clock()):
            self._tell_left_out()

    def _tell_left_out(self) -> None:
        if self._left_out:
            _log.warning("session %s: %d lines left out, because there were too many", self._name, self._left_out)
            self._left_out = 0
