"""An app at the other end of a serial cable or a Bluetooth serial port.

Must not know what clients say. There is one client as long as the device is there, because a
serial line does not tell whether anybody listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import termios
from typing import Unpack

import serial

from bridge.clients.fd_transport import FdTransport
from bridge.clients.listener import Connection, Listener, ListenerOptions, ListenError
from bridge.limits import BUS_REOPEN_DELAY
from bridge.serial_port import open_serial_port

_log = logging.getLogger(__name__)

DEFAULT_BAUDRATE = 230400  #: what OpenXC apps open their serial port with


class SerialListener(Listener):
    """Serves one serial device, with RTS/CTS unless the cable lacks it, and again whenever it comes back."""

    def __init__(
        self,
        device: str,
        baudrate: int = DEFAULT_BAUDRATE,
        *,
        rtscts: bool = True,
        reopen_delay: float = BUS_REOPEN_DELAY,
        **options: Unpack[ListenerOptions],
    ) -> None:
        super().__init__(**options)
        self._device = device
        self._baudrate = baudrate
        self._rtscts = rtscts
        self._reopen_delay = reopen_delay
        self._port: serial.Serial | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = True

    @property
    def url(self) -> str:
        """As in --listen."""
        return f"serial:{self._device}@{self._baudrate}"

    async def _open(self) -> None:
        self._start()
        self._stopped = False

    def _start(self) -> None:
        self._port = self._open_port()
        FdTransport(self._port.fileno(), Connection(self), self._gone).start()

    def _open_port(self) -> serial.Serial:
        try:
            return open_serial_port(self._device, self._baudrate, rtscts=self._rtscts)
        except (OSError, ValueError, termios.error) as error:
            raise self._reason(error) from error

    def _reason(self, error: Exception) -> ListenError:
        code = getattr(error, "errno", None)
        if code == errno.ENOENT:
            text = "is not there: plug the device in, or name another with --listen"
        elif code in {errno.EACCES, errno.EPERM}:
            text = "is not permitted: become a member of the device's group (often dialout), or start as one"
        elif code in {errno.EBUSY, errno.EAGAIN}:
            text = "is in use; another program has the device open: end it, or name another with --listen"
        else:
            text = f"cannot be opened as a serial port ({error}): name another with --listen"
        return ListenError(f"{self.url} {text}")

    def _gone(self) -> None:
        self._close_port()
        if not self._stopped:
            _log.warning("%s has gone; looking for it each %g s", self.url, self._reopen_delay)
            self._look_later()

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._reopen_delay, self._look)

    def _look(self) -> None:
        self._timer = None
        try:
            self._start()
        except ListenError as error:
            _log.debug("%s", error)
            self._look_later()
        else:
            _log.info("%s is back", self.url)

    def _close_port(self) -> None:
        if self._port is None:
            return
        with contextlib.suppress(termios.error):  # a device that is gone
            # Otherwise the kernel's close would wait, half a minute, for a peer that holds CTS.
            termios.tcflush(self._port.fileno(), termios.TCIOFLUSH)
        self._port.close()
        self._port = None

    def _stop(self) -> None:
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _remove(self) -> None:
        self._close_port()

    def _peer_name(self, transport: asyncio.BaseTransport) -> str:
        return f"serial {self._device}"
