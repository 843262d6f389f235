"""Somebody at the bridge's terminal: a pseudo-terminal, what appears on it, and keys."""

from __future__ import annotations

import asyncio
import os
import pty


class Person:
    """`descriptor` is the terminal's, for the bridge; the person has the other end."""

    def __init__(self) -> None:
        self._master, self.descriptor = pty.openpty()
        os.set_blocking(self._master, False)
        self.seen = ""  #: all that has appeared, with what was typed
        self._taken = 0

    def close(self) -> None:
        for descriptor in (self._master, self.descriptor):
            os.close(descriptor)

    def hang_up(self) -> None:
        """Close the window."""
        os.close(self._master)
        self._master = os.open(os.devnull, os.O_RDWR)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    async def sees(self, text: str) -> str:
        """Wait for a text; what has appeared since the last time, up to its end."""
        loop = asyncio.get_running_loop()
        news = asyncio.Event()
        loop.add_reader(self._master, news.set)
        try:
            async with asyncio.timeout(20):
                while text not in self.seen[self._taken :]:
                    await news.wait()
                    news.clear()
                    self.read()
        finally:
            loop.remove_reader(self._master)
        start, self._taken = self._taken, self.seen.index(text, self._taken) + len(text)
        return self.seen[start : self._taken].replace("\r\n", "\n")

    def read(self) -> None:
        """Look at what is there."""
        try:
            while data := os.read(self._master, 65536):
                self.seen += data.decode()
        except BlockingIOError:
            pass
