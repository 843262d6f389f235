"""Apps that connect over TCP: the default, and what OpenXC's Android and network clients speak.

Must not know what clients say. There is no authentication here: other hosts than this one are
served only where the user insists.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from functools import partial
from typing import Unpack

from bridge.clients.client import Client
from bridge.clients.listener import Connection, Listener, ListenerOptions, ListenError
from bridge.in_thread import in_thread

_BACKLOG = 128

# A peer that vanished without a word is found out within 30 + 3 * 10 = 60 s. TCP_USER_TIMEOUT is left alone on
# purpose: it would also cut off an app that is merely paused, in a debugger for instance.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}

_Address = tuple[socket.AddressFamily, str]


class TcpListener(Listener):
    """Listens on every address of `host`. `insecure` permits others than loopback ones."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        insecure: bool = False,
        **options: Unpack[ListenerOptions],
    ) -> None:
        super().__init__(**options)
        self._host = host
        self._port = port
        self._insecure = insecure
        self._servers: list[asyncio.Server] = []

    @property
    def url(self) -> str:
        """As in --listen, with the port that is really used."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"tcp://{host}:{self._port}"

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        addresses = await self._resolve()
        self._refuse_strangers(addresses)
        sockets = self._bind(addresses)
        for sock in sockets:
            self._servers.append(await loop.create_server(lambda: Connection(self), sock=sock, backlog=_BACKLOG))

    async def _resolve(self) -> list[_Address]:
        try:
            found = self._look_up(socket.AI_NUMERICHOST)
        except UnicodeError as error:  # an empty label, or one that is too long
            raise ListenError(f"{self.url}: that is no host name: check --listen") from error
        except OSError:
            try:  # a name may take long to look up
                found = await in_thread(partial(self._look_up, socket.AI_PASSIVE))
            except OSError as error:
                raise ListenError(f"{self.url}: the host is not known ({error.strerror}): check --listen") from error
        return found

    def _look_up(self, flags: int) -> list[_Address]:
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM, flags=flags)
        return list({(family, str(address[0])): None for family, _, _, _, address in found})

    def _refuse_strangers(self, addresses: list[_Address]) -> None:
        if self._insecure or all(ipaddress.ip_address(host.split("%")[0]).is_loopback for _, host in addresses):
            return
        raise ListenError(
            f"{self.url} would let anyone on the network at the vehicle, without a password: "
            f"use a loopback address, or insist with --listen '{self.url}?insecure'"
        )

    def _bind(self, addresses: list[_Address]) -> list[socket.socket]:
        """A bound socket per address, all on one port. An address that this machine lacks is no harm beside others."""
        sockets: list[socket.socket] = []
        missing: OSError | None = None
        try:
            for family, host in addresses:
                try:
                    sockets.append(_bound_socket(family, host, self._port))
                except OSError as error:
                    if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                        raise
                    missing = error
                    continue
                self._port = sockets[-1].getsockname()[1]
            if not sockets and missing is not None:
                raise missing
        except OSError as error:
            for sock in sockets:
                sock.close()
            raise self._reason(error) from error
        return sockets

    def _reason(self, error: OSError) -> ListenError:
        if error.errno == errno.EADDRINUSE:
            return ListenError(
                f"{self.url} is in use; another openxc-bridge may be running: choose another port with --listen"
            )
        if error.errno == errno.EACCES:
            return ListenError(f"{self.url} is not permitted: choose a port above 1023 with --listen")
        if error.errno == errno.EADDRNOTAVAIL:
            return ListenError(f"{self.url} is no address of this machine: choose another host with --listen")
        return ListenError(f"{self.url} cannot be opened ({error.strerror or error}): choose another with --listen")

    def _stop(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    def _peer_name(self, transport: asyncio.BaseTransport) -> str:
        host, port = transport.get_extra_info("peername", ("?", 0))[:2]
        return f"tcp {host}:{port}"

    def admit(self, transport: asyncio.Transport) -> Client | None:
        """Set the options of the new connection before it becomes a client."""
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):  # not every system has all of them
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        return super().admit(transport)


def _bound_socket(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    """A socket bound and already listening: two may bind the same port, only one may listen."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
