"""The bridge's own terminal: its descriptor, what is written to it, and the lines that are typed.

Opened anew, so that not waiting for it holds for nobody else who has it. All of it happens on the
event loop, so nothing is left waiting for a key when the bridge ends. Must not know controls.
"""

from __future__ import annotations

import asyncio
import os
import termios
from contextlib import suppress

from bridge.errors import ConfigurationError
from bridge.gateway.errors import WrongState
from bridge.limits import ANSWER_LIMIT

_GONE = "the bridge's terminal has gone"
_LINE_ENDS = b"\r\n"


class Terminal:
    """A terminal, used by one at a time."""

    def __init__(self, descriptor: int = 0) -> None:
        """`descriptor` is open on it.

        Raises:
            ConfigurationError: it is no terminal.
        """
        try:
            self._path = os.ttyname(descriptor)
        except OSError:
            raise ConfigurationError(
                'gateway.ui: "terminal" needs a terminal for its input; start the bridge in one, or use --ui auto'
            ) from None
        self._descriptor: int | None = None
        self._typed = b""

    def open(self) -> None:
        """Open it on the event loop.

        Raises:
            ConfigurationError: it cannot be opened.
        """
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigurationError(f"gateway.ui: {self._path}: {error.strerror}; use --ui auto") from None

    def close(self) -> None:
        """Close it. Twice is fine."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    async def write(self, text: str) -> None:
        """Show a text; waits where the terminal has been stopped.

        Raises:
            WrongState: the terminal has gone.
        """
        rest = text.encode()
        while rest:
            try:
                rest = rest[os.write(self._open(), rest) :]
            except BlockingIOError:
                await self._ready(writing=True)
            except OSError:
                raise WrongState(_GONE) from None

    def write_now(self, text: str) -> None:
        """Show what the terminal takes at once."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.write(self._descriptor, text.encode())

    def begin_question(self) -> None:
        """Forget what was typed before: it is no answer to what is asked now.

        Raises:
            WrongState: the terminal has gone, or is in other hands: whoever reads it then is stopped.
        """
        descriptor = self._open()
        self._typed = b""
        with suppress(OSError):  # it is not the one that controls this process, so that nobody would be stopped
            if os.tcgetpgrp(descriptor) != os.getpgrp():
                raise WrongState("the bridge is in the background of its terminal; bring it to the front with fg")
        with suppress(termios.error):
            termios.tcflush(descriptor, termios.TCIFLUSH)

    async def read_line(self) -> str | None:
        """The next line that is typed; None for an end of input (Ctrl-D).

        Raises:
            WrongState: the terminal has gone.
        """
        while not any(end in self._typed for end in _LINE_ENDS) and len(self._typed) < ANSWER_LIMIT:
            try:
                typed = os.read(self._open(), ANSWER_LIMIT)
            except BlockingIOError:
                await self._ready(writing=False)
                continue
            except OSError:
                raise WrongState(_GONE) from None
            if not typed:
                return None
            self._typed = self._typed + typed
        line, self._typed = self._typed.splitlines()[0], b""
        return line.decode(errors="replace")

    async def _ready(self, *, writing: bool) -> None:
        """Wait until the descriptor can be used."""
        loop = asyncio.get_running_loop()
        descriptor = self._open()
        usable = asyncio.Event()
        (loop.add_writer if writing else loop.add_reader)(descriptor, usable.set)
        try:
            await usable.wait()
        finally:
            (loop.remove_writer if writing else loop.remove_reader)(descriptor)

    def _open(self) -> int:
        if self._descriptor is None:
            raise WrongState(_GONE)
        return self._descriptor
