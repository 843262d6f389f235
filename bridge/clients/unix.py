"""Apps of this machine that connect over a Unix socket: no port to clash, and file permissions guard it.

Must not know what clients say.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
from pathlib import Path
from typing import Unpack

from bridge.clients.listener import Connection, Listener, ListenerOptions, ListenError
from bridge.clients.lock import PathLock, remove

_BACKLOG = 128
_PATH_LIMIT = 107  # what apps can connect to: sun_path less its NUL


class UnixListener(Listener):
    """Listens on a socket at `path` with those permissions; one that a killed bridge left is replaced."""

    def __init__(
        self,
        path: str,
        mode: int = 0o600,
        **options: Unpack[ListenerOptions],
    ) -> None:
        super().__init__(**options)
        self._path = Path(path).absolute()
        self._mode = mode
        self._server: asyncio.Server | None = None
        self._lock: PathLock | None = None
        self._identity: tuple[int, int] | None = None  # device and inode of our socket

    @property
    def url(self) -> str:
        """As in --listen, with the path made absolute."""
        return f"unix:{self._path}"

    async def _open(self) -> None:
        if len(os.fsencode(self._path)) > _PATH_LIMIT:
            raise ListenError(f"{self.url} is too long for a socket: choose a path of {_PATH_LIMIT} bytes at most")
        self._lock = PathLock(self._path, self.url)  # so that a second bridge need not connect to find out
        try:
            sock = self._bind()
        except ListenError:
            self._unlock()
            raise
        loop = asyncio.get_running_loop()
        # Serving starts when close() knows of the server: who is cancelled meanwhile leaves no socket.
        self._server = await loop.create_unix_server(lambda: Connection(self), sock=sock, start_serving=False)
        await self._server.start_serving()

    def _bind(self) -> socket.socket:
        self._refuse_if_taken()
        # Bound under another name and renamed, so that a stale socket is replaced in one step, and nobody connects
        # before the permissions are set. The name is short, for the same limit holds for it.
        temporary = self._path.with_name(f".oxb{os.getpid():x}")
        if temporary.is_socket():
            temporary.unlink()  # of a bridge killed in this very place
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(str(temporary))
            try:
                temporary.chmod(self._mode)
                sock.listen(_BACKLOG)
                made = temporary.stat()
                temporary.rename(self._path)
            except OSError:
                temporary.unlink()
                raise
        except OSError as error:
            sock.close()
            reason = error.strerror or error
            raise ListenError(f"{self.url} cannot be made ({reason}): choose another path with --listen") from error
        self._identity = (made.st_dev, made.st_ino)
        return sock

    def _refuse_if_taken(self) -> None:
        try:
            mode = self._path.lstat().st_mode
        except FileNotFoundError:
            return
        except OSError as error:
            raise ListenError(f"{self.url} cannot be looked at ({error.strerror}): choose another path") from error
        if not stat.S_ISSOCK(mode):
            raise ListenError(f"{self.url} is no socket, and stays as it is: choose another path with --listen")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            try:
                probe.connect(str(self._path))
            except ConnectionRefusedError:
                return  # stale: nobody listens there any more
            except OSError:
                # Busy (EAGAIN) or not permitted: somebody's in any case, so not ours to replace.
                probe.close()
        raise ListenError(
            f"{self.url} is in use; another openxc-bridge may be running: choose another path with --listen"
        )

    def _stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        self._server = None
        if self._is_ours():
            remove(self._path)
        self._unlock()

    def _is_ours(self) -> bool:
        try:
            found = self._path.lstat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _peer_name(self, transport: asyncio.BaseTransport) -> str:
        sock = transport.get_extra_info("socket")
        if sock is None or not hasattr(socket, "SO_PEERCRED"):
            return f"unix {self._path}"
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, uid, _ = struct.unpack("3i", credentials)
        return f"unix, process {pid} of user {uid}"
