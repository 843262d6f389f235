"""What outlives a restart of the gateway, in SQLite: the list of sessions.

No token is ever stored. Must not know what the records mean.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from bridge.errors import ConfigurationError
from bridge.gateway.sessions import Record
from bridge.gateway.states import State
from bridge.limits import SESSIONS_LISTED

MEMORY = ":memory:"
_VERSION = 1
_SCHEMA = """
CREATE TABLE session (id TEXT PRIMARY KEY, partner TEXT NOT NULL, created_at REAL NOT NULL, state TEXT NOT NULL);
"""


class Store:
    """One SQLite file, readable by its owner only, or memory."""

    def __init__(self, path: str = MEMORY) -> None:
        """Open or create it.

        Raises:
            ConfigurationError: the file cannot be used; the text says why.
        """
        self._path = path
        try:
            if path != MEMORY:
                Path(path).touch(mode=0o600)
            self._database = sqlite3.connect(path, isolation_level=None)
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(f"gateway.state: {path}: {error}; name another file, or leave it out") from None

    def _prepare(self) -> None:
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version == _VERSION:
            return
        if version:
            raise ConfigurationError(
                f"gateway.state: {self._path} was written by another version of the bridge; name another file"
            )
        self._database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def put(self, record: Record) -> None:
        """Keep a record in place of an older one with its id; the oldest go where there are too many."""
        self._database.execute(
            "INSERT INTO session VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state",
            (record.id, record.partner, record.created_at, record.state.value),
        )
        self._database.execute(
            "DELETE FROM session WHERE id IN (SELECT id FROM session ORDER BY created_at DESC LIMIT -1 OFFSET ?)",
            (2 * SESSIONS_LISTED,),
        )

    def records(self) -> list[Record]:
        """All records, oldest first."""
        rows = self._database.execute("SELECT id, partner, created_at, state FROM session ORDER BY created_at")
        return [Record(session, partner, created_at, State(state)) for session, partner, created_at, state in rows]
