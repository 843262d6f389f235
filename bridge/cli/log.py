"""The daemon's log on stderr, which holds up nobody: a terminal may be halted, a pipe's reader may hang.

Must not know who logs what.
"""

from __future__ import annotations

import logging
import os
import select
import stat
import sys
import threading
from collections import deque

from bridge.limits import LOG_FLUSH_TIMEOUT, LOG_LINES_LIMIT

_STDERR = 2
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def log_to_stderr(level: str) -> None:
    """Set the log up; stdout is for what a verb prints."""
    logging.basicConfig(level=level.upper(), handlers=[PatientHandler(_STDERR)], format=_FORMAT)


class PatientHandler(logging.Handler):
    """Writes to a descriptor from a thread of its own, and drops and counts lines while nobody reads them.

    A file has nobody to wait for: there each line is written at once. The descriptor is written to as it
    is: a stream of Python's that a thread hangs in would keep the interpreter from ending.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        self._lines: deque[bytes] = deque()  # the first is being written
        self._dropped = 0
        self._at_once = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Have a line written when its turn comes, or drop it."""
        try:
            line = f"{self.format(record)}\n".encode(self._encoding, "backslashreplace")
        except Exception:
            self.handleError(record)
            return
        if self._at_once:
            self._write(line)
            return
        with self._changed:
            self._tell_drops()
            if len(self._lines) < LOG_LINES_LIMIT:
                self._append(line)
            else:
                self._dropped += 1

    def flush(self) -> None:
        """Wait until all is written, as far as that takes no longer than a moment."""
        with self._changed:
            self._tell_drops()
            self._changed.wait_for(lambda: not self._lines, LOG_FLUSH_TIMEOUT)

    def _tell_drops(self) -> None:
        """Say how many lines are missing where they are missing, as soon as there is room to."""
        if self._dropped and len(self._lines) < LOG_LINES_LIMIT:
            text = "%d lines of the log are missing here: nobody read them"
            record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, (self._dropped,), None)
            self._dropped = 0
            self._append(f"{self.format(record)}\n".encode(self._encoding))

    def _append(self, line: bytes) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_on, name="writes the log", daemon=True)
            self._thread.start()
        self._lines.append(line)
        self._changed.notify_all()

    def _write_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
                line = self._lines[0]
            self._write(line)
            with self._changed:
                self._lines.popleft()
                self._changed.notify_all()

    def _write(self, line: bytes) -> None:
        while line:
            try:
                line = line[os.write(self._descriptor, line) :]
            except BlockingIOError:  # whoever shares it made it non-blocking
                room = select.poll()
                room.register(self._descriptor, select.POLLOUT)
                room.poll()
            except OSError:  # the terminal is gone, or the disk is full: there is nobody to tell
                return
