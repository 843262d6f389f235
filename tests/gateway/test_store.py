"""The state's file: what it keeps, who may read it, and what is said where it cannot be used."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.errors import ConfigurationError
from bridge.gateway.errors import Unavailable
from bridge.gateway.sessions import Record
from bridge.gateway.states import State
from bridge.gateway.store import MEMORY, Store
from bridge.limits import SESSIONS_LISTED

Open = Callable[[], Store]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.state"


@pytest.fixture
def opened(path: Path) -> Iterator[Open]:
    """Open the file, again and again; each time closes the one before."""
    stores: list[Store] = []

    def open_again() -> Store:
        for store in stores:
            store.close()
        stores.append(Store(str(path)))
        return stores[-1]

    yield open_again
    for store in stores:
        store.close()


def record(number: int, state: State = State.ACTIVE) -> Record:
    return Record(f"session {number}", "partner", 1.5e9 + number, state)


def refused(path: Path) -> str:
    with pytest.raises(ConfigurationError) as error:
        Store(str(path))
    text = str(error.value)
    assert text.startswith(f"gateway.state: {path}")
    assert "\n" not in text
    assert "name another file" in text
    assert "Errno" not in text
    return text


def test_records_outlive_the_process_in_their_last_state(opened: Open) -> None:
    store = opened()
    for each in (record(2), record(1), record(2, State.FINISHED)):
        store.put(each)
    assert opened().records() == [record(1), record(2, State.FINISHED)]


def test_the_oldest_records_go(opened: Open) -> None:
    store = opened()
    for number in range(2 * SESSIONS_LISTED + 3):
        store.put(record(number))
    kept = opened().records()
    assert len(kept) == 2 * SESSIONS_LISTED
    assert kept[0] == record(3)


def test_function_ids_and_the_key_outlive_the_process(opened: Open) -> None:
    store = opened()
    key = store.signing_key()
    store.keep_function_id("oil", "partner")
    store.keep_function_id("brakes", "partner")
    store.keep_function_id("lights", "another")
    store = opened()
    assert store.signing_key() == key
    assert len(key) == 32
    assert [store.owner(each) for each in ("oil", "lights", "nothing")] == ["partner", "another", None]
    assert [store.count_function_ids(each) for each in ("partner", "another", "nobody")] == [2, 1, 0]


def test_every_new_store_has_a_key_of_its_own(tmp_path: Path) -> None:
    keys = set()
    for path in (MEMORY, MEMORY, str(tmp_path / "one"), str(tmp_path / "two")):
        store = Store(path)
        keys.add(store.signing_key())
        store.close()
    assert len(keys) == 4


def test_the_key_never_reaches_a_log(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    store = opened()
    store.keep_function_id("oil", "partner")
    with pytest.raises(Unavailable):
        store.keep_function_id("oil", "partner")
    assert caplog.text
    assert store.signing_key().hex() not in caplog.text
    assert repr(store.signing_key()) not in caplog.text


def test_only_its_owner_reads_the_file_and_what_lies_beside_it(opened: Open, path: Path) -> None:
    before = os.umask(0)
    try:
        opened().put(record(1))
        files = list(path.parent.iterdir())
        assert path in files
        assert {each.stat().st_mode & 0o777 for each in files} == {0o600}
    finally:
        os.umask(before)


def test_a_copy_that_others_could_read_is_closed_to_them(opened: Open, path: Path) -> None:
    opened().close()
    path.chmod(0o644)
    opened()
    assert path.stat().st_mode & 0o777 == 0o600


def test_one_process_holds_the_file(opened: Open, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened().put(record(1))
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *path, **options: connect(*path, **options, timeout=0))
    assert "another process has it open" in refused(path)
    opened()


def test_a_process_that_only_reads_holds_it_too(opened: Open, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened().put(record(1))
    opened()
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *path, **options: connect(*path, **options, timeout=0))
    assert "another process has it open" in refused(path)


def test_the_file_of_another_version_is_left_alone(opened: Open, path: Path) -> None:
    opened().close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    before = path.read_bytes()
    assert "another version" in refused(path)
    assert path.read_bytes() == before


def test_another_programs_database_is_left_alone(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE precious (value TEXT)")
    database.close()
    path.chmod(0o644)
    before = path.read_bytes()
    assert "another program" in refused(path)
    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    path.write_text("[gateway]\n" * 1000)
    refused(path)
    assert path.read_text() == "[gateway]\n" * 1000


@pytest.mark.parametrize("where", [".", "nothing/here", "/proc/openxc-bridge"])
def test_what_cannot_be_written_is_said_in_one_line(tmp_path: Path, where: str) -> None:
    refused(tmp_path / where)


def test_a_session_goes_on_where_it_cannot_be_kept(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    store = opened()
    store._database.execute("PRAGMA query_only = ON")
    store.put(record(1))
    with pytest.raises(Unavailable):
        store.keep_function_id("oil", "partner")
    assert [each.levelname for each in caplog.records] == ["WARNING", "WARNING"]
    assert "session 1" in caplog.text
