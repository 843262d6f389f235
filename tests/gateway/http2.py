"""HTTP/2 by hand, as far as a connection that pings or is silent needs it (RFC 9113)."""

from __future__ import annotations

import asyncio
from contextlib import suppress

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS, _PING, _GOAWAY = 4, 6, 7
_ACK = 1


class Connection:
    """A connection without any call on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.farewell: bytes | None = None  #: the debug data with which the server has closed it

    @classmethod
    async def open(cls, address: str) -> Connection:
        host, _, port = address.rpartition(":")
        connection = cls(*await asyncio.open_connection(host, int(port)))
        connection._writer.write(_PREFACE)
        connection._send(_SETTINGS, 0, b"")
        return connection

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):  # the server was first
            await self._writer.wait_closed()

    async def ping(self, content: bytes) -> bool:
        """Whether it is answered; otherwise the server says farewell."""
        self._send(_PING, 0, content)
        try:
            while True:
                head = await self._reader.readexactly(9)
                body = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
                kind, flags = head[3], head[4]
                if kind == _SETTINGS and not flags & _ACK:
                    self._send(_SETTINGS, _ACK, b"")
                elif kind == _PING and flags & _ACK and body == content:
                    return True
                elif kind == _GOAWAY:
                    self.farewell = body[8:]
        except (asyncio.IncompleteReadError, ConnectionError):
            return False

    async def wait_for_end(self) -> None:
        """Say nothing until the server closes the connection."""
        with suppress(ConnectionError):
            while await self._reader.read(4096):
                pass

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._writer.write(len(body).to_bytes(3, "big") + bytes((kind, flags)) + bytes(4) + body)
