"""Apps that open a serial port: a pseudo-terminal under a stable link, which unmodified apps take for a vehicle.

Must not know what clients say. An app is there exactly while somebody has the terminal's slave
side open; while nobody has, nothing is written, so that an app never reads what is long past.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import termios
import tty
from pathlib import Path
from typing import Unpack

from bridge.clients.fd_transport import FdTransport
from bridge.clients.listener import Connection, Listener, ListenerOptions, ListenError
from bridge.clients.lock import PathLock, remove
from bridge.limits import PTY_POLL_PERIOD

_log = logging.getLogger(__name__)

_SLAVES = "/dev/pts/"


class PtyListener(Listener):
    """A pseudo-terminal that apps find at `link`. One app at a time, as with a real serial port."""

    def __init__(
        self,
        link: str,
        **options: Unpack[ListenerOptions],
    ) -> None:
        super().__init__(**options)
        self._link = Path(link).absolute()
        self._lock: PathLock | None = None
        self._master = -1
        self._slave = ""  # path of the slave side
        self._poll = select.poll()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: FdTransport | None = None
        self._stopped = True

    @property
    def url(self) -> str:
        """As in --listen, with the path made absolute."""
        return f"pty:{self._link}"

    def describe(self) -> str:
        """The link, and the terminal that it leads to."""
        return f"{super().describe()} -> {self._slave}"

    async def _open(self) -> None:
        self._lock = PathLock(self._link, self.url)
        try:
            self._make_pair()
        except OSError as error:
            self._remove()
            reason = error.strerror or error
            raise ListenError(f"{self.url} cannot be made ({reason}): choose another link with --listen") from error
        except ListenError:
            self._remove()
            raise
        self._stopped = False
        self._look()

    def _make_pair(self) -> None:
        """A new terminal, raw and without echo before anybody can find it, and the link to it."""
        self._master, slave = os.openpty()
        try:
            tty.setraw(slave)
            self._slave = os.ttyname(slave)
        finally:
            os.close(slave)  # held open by us, it would look as if an app were there
        os.set_blocking(self._master, False)
        self._poll.register(self._master, select.POLLIN)
        self._place_link()

    def _drop_pair(self) -> None:
        if self._master >= 0:
            self._poll.unregister(self._master)
            os.close(self._master)
            self._master = -1

    def _place_link(self) -> None:
        """Point the link at the slave in one step. What a killed bridge left is replaced, nothing else."""
        if self._link.is_symlink():
            target = str(self._link.readlink())
            if not target.startswith(_SLAVES):
                raise ListenError(f"{self.url} is a link to {target}, and stays as it is: choose another with --listen")
        elif self._link.exists():
            raise ListenError(f"{self.url} is a file of another kind, and stays as it is: choose another with --listen")
        temporary = self._link.with_name(f".{self._link.name}.{os.getpid():x}")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(self._slave)
        temporary.replace(self._link)

    def _look(self) -> None:
        """Is an app there? A terminal without one can only be asked: its hang-up is a state, not an event."""
        self._timer = None
        events = sum(mask for _, mask in self._poll.poll(0))
        # Bytes without an app are those of one that wrote and left between two looks.
        if events & select.POLLHUP and not events & select.POLLIN:
            self._timer = asyncio.get_running_loop().call_later(PTY_POLL_PERIOD, self._look)
            return
        self._transport = FdTransport(self._master, Connection(self), self._app_gone)
        self._transport.start()

    def _app_gone(self) -> None:
        transport, self._transport = self._transport, None
        if self._stopped or transport is None:
            return
        if transport.hung_up:
            self._clean()
        else:
            # We closed the connection, but the app still has the terminal open. Only its end tells the app.
            self._drop_pair()
            try:
                self._make_pair()
            except (OSError, ListenError) as error:
                _log.error("%s is not served any more, until a restart: %s", self.url, error)
                return
        self._look()

    def _clean(self) -> None:
        """Leave the next app nothing of the last one: neither its settings nor what it did not read."""
        try:
            tty.setraw(self._master)  # on Linux, a terminal's settings are the same from either side
            slave = os.open(self._slave, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            try:
                termios.tcflush(slave, termios.TCIFLUSH)
            finally:
                os.close(slave)
        except (OSError, termios.error) as error:
            _log.warning("%s: the next app may read what the last one left (%s)", self.url, error)

    def _stop(self) -> None:
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _remove(self) -> None:
        self._drop_pair()
        if self._lock is None:
            return
        if self._leads_to_us():
            remove(self._link)
        self._lock.release()
        self._lock = None

    def _leads_to_us(self) -> bool:
        try:
            return str(self._link.readlink()) == self._slave
        except OSError:  # not there, or another's file
            return False

    def _peer_name(self, transport: asyncio.BaseTransport) -> str:
        return f"pty {self._link}"
