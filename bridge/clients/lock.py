"""A path held by one bridge at a time, however the last one ended.

Must not know what is at the path.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from pathlib import Path

from bridge.clients.listener import ListenError

_log = logging.getLogger(__name__)


class PathLock:
    """A locked file beside the path, whose lock dies with its process, so that kill -9 leaves nothing locked.

    Raises ListenError, naming `url`, where another bridge holds it or the file cannot be made.
    """

    def __init__(self, path: Path, url: str) -> None:
        if not path.name:
            raise ListenError(f"{url} is a directory: choose another path with --listen")
        self._file = path.with_name(f".{path.name}.lock")
        self._fd = -1
        while self._fd < 0:
            self._fd = self._attempt(url)

    def _attempt(self, url: str) -> int:
        """The locked descriptor, or -1 if the file was replaced meanwhile."""
        try:
            fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise ListenError(f"{url} cannot be made ({error.strerror}): choose another path with --listen") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._is_current(fd):
                return fd
        except OSError as error:
            os.close(fd)
            if error.errno != errno.EWOULDBLOCK:
                raise ListenError(f"{url} cannot be locked ({error.strerror}): choose another path") from error
            raise ListenError(
                f"{url} is in use; another openxc-bridge may be running: choose another path with --listen"
            ) from error
        os.close(fd)  # its last holder removed the file between our open and our lock
        return -1

    def _is_current(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), self._file.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let another bridge have the path."""
        remove(self._file)
        os.close(self._fd)


def remove(path: Path) -> None:
    """Remove what is ours; in a folder that has become read-only it stays, and ending must not fail for that."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("%s stays behind: %s", path, error.strerror)
