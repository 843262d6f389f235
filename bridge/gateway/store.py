"""What outlives a restart of the gateway, in SQLite: the list of sessions, and whose function ids are.

With it the key that signs function ids. No token is ever stored. Must not know what the records mean.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
from pathlib import Path

from bridge.errors import ConfigurationError
from bridge.gateway.errors import Unavailable
from bridge.gateway.sessions import Record
from bridge.gateway.states import State
from bridge.limits import SESSIONS_LISTED

_log = logging.getLogger(__name__)

MEMORY = ":memory:"
_KEY_SIZE = 32  # bytes, as long as the digests that the key signs with
_VERSION = 1
_SCHEMA = (
    "CREATE TABLE session (id TEXT PRIMARY KEY, partner TEXT NOT NULL, created_at REAL NOT NULL, state TEXT NOT NULL)",
    "CREATE TABLE function (id TEXT PRIMARY KEY, partner TEXT NOT NULL)",
    "CREATE INDEX function_partner ON function (partner)",
    "CREATE TABLE signing_key (value BLOB NOT NULL)",
)


class Store:
    """One SQLite file, readable by its owner only, or memory."""

    def __init__(self, path: str = MEMORY) -> None:
        """Open or create it. No other process may have it open.

        Raises:
            ConfigurationError: the file cannot be used; the text says why.
        """
        self._path = path
        try:
            if path != MEMORY:
                Path(path).touch(mode=0o600)
            self._database = sqlite3.connect(path, isolation_level=None)
            try:
                self._prepare()
                if path != MEMORY:
                    Path(path).chmod(0o600)  # it may have been copied here
            except BaseException:
                self._database.close()
                raise
        except (OSError, sqlite3.Error) as error:
            why = getattr(error, "strerror", None) or error
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                why = "another process has it open, such as another bridge"
            raise ConfigurationError(f"gateway.state: {path}: {why}; name another file, or leave it out") from None

    def _prepare(self) -> None:
        # Writing must not wait for the disk, since everything waits for this thread: a loss of power may cost the
        # last changes, but not the file. A lock that is kept needs no shared memory beside the file.
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version != _VERSION and (version or self._database.execute("SELECT * FROM sqlite_master").fetchone()):
            raise ConfigurationError(
                f"gateway.state: {self._path} was written by another version of the bridge, or by another program; "
                "name another file"
            )
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        if not version:
            with self._database:
                self._database.execute("BEGIN")
                for statement in _SCHEMA:
                    self._database.execute(statement)
                self._database.execute("INSERT INTO signing_key VALUES (?)", (secrets.token_bytes(_KEY_SIZE),))
                self._database.execute(f"PRAGMA user_version = {_VERSION}")
        self._key: bytes = self._database.execute("SELECT value FROM signing_key").fetchone()[0]

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    # Sessions

    def put(self, record: Record) -> None:
        """Keep a record in place of an older one with its id; the oldest go where there are too many.

        Where that fails the session goes on, and the log says that it will not be listed after a restart.
        """
        try:
            self._put(record)
        except sqlite3.Error as error:
            _log.warning("session %s cannot be kept in %s: %s", record.id, self._path, error)

    def _put(self, record: Record) -> None:
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

    # Function ids

    def signing_key(self) -> bytes:
        """The key that signs function ids."""
        return self._key

    def keep_function_id(self, function_id: str, partner: str) -> None:
        """Remember whose an id is.

        Raises:
            Unavailable: the file cannot be written.
        """
        try:
            self._database.execute("INSERT INTO function VALUES (?, ?)", (function_id, partner))
        except sqlite3.Error as error:
            _log.warning("function ids cannot be kept in %s: %s", self._path, error)
            raise Unavailable("the gateway cannot keep function ids now") from None

    def owner(self, function_id: str) -> str | None:
        """Whose an id is; None where nobody has had it signed."""
        row = self._database.execute("SELECT partner FROM function WHERE id = ?", (function_id,)).fetchone()
        return None if row is None else row[0]

    def count_function_ids(self, partner: str) -> int:
        """How many ids a partner has."""
        row = self._database.execute("SELECT count(*) FROM function WHERE partner = ?", (partner,)).fetchone()
        count: int = row[0]
        return count
