"""A board is kept while others write on it, and brought back; nothing that was there is lost by that."""

import fcntl
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from scheduler.blackboard.alone import alone_on
from scheduler.blackboard.backup import ByServer, Restored, backup, restore
from scheduler.blackboard.errors import BoardBroken, BoardBusy, BoardUnavailable
from scheduler.core.records import Notice
from scheduler.core.task import Draft
from tests.integration.scheduler.boards import opened, sqlite_url

pytestmark = [pytest.mark.integration, pytest.mark.needs("minutes")]

NOW = 1_700_000_000.0


def titles(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [title for (title,) in connection.execute("SELECT title FROM tasks ORDER BY number")]


def make(directory: Path, *cards: str) -> str:
    with opened(sqlite_url(directory), directory) as store:
        for title in cards:
            store.create(Draft(title), who="me", now=1.0)
    return sqlite_url(directory)


def bring_back(directory: Path, file: Path) -> Restored | ByServer:
    return restore(file, sqlite_url(directory), lock=directory / "scheduler.lock", now=NOW, busy_seconds=0.2)


def test_a_backup_is_one_whole_file_of_its_owners(tmp_path: Path) -> None:
    with opened(sqlite_url(tmp_path), tmp_path) as store:
        store.create(Draft("one"), who="me", now=1.0)
        assert backup(sqlite_url(tmp_path), tmp_path / "kept.db") == tmp_path / "kept.db"
        store.create(Draft("two"), who="me", now=1.0)
    assert titles(tmp_path / "kept.db") == ["one"]
    assert stat.S_IMODE((tmp_path / "kept.db").stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"kept.db", "state"}


def test_a_backup_is_of_one_moment_whoever_writes_meanwhile(tmp_path: Path) -> None:
    with opened(sqlite_url(tmp_path), tmp_path) as store:
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                made = store.create(Draft("one"), who="me", now=1.0)
                store.tell([Notice("coo", made.id, "made", 1.0)])

        writer = threading.Thread(target=write)
        writer.start()
        try:
            kept = [backup(sqlite_url(tmp_path), tmp_path / f"{number}.db") for number in range(5)]
        finally:
            stop.set()
            writer.join()
    for each in kept:
        assert isinstance(each, Path)
        with closing(sqlite3.connect(each)) as connection:
            (made, told, number) = connection.execute(
                "SELECT (SELECT count(*) FROM tasks), (SELECT count(*) FROM outbox), value FROM counters"
                " WHERE name = 'task'"
            ).fetchone()
        assert made == number
        assert told in {made, made - 1}


def test_a_backup_takes_the_place_of_an_older_one_but_never_of_the_board(tmp_path: Path) -> None:
    url = make(tmp_path, "one")
    (tmp_path / "kept.db").write_text("old")
    backup(url, tmp_path / "kept.db")
    assert titles(tmp_path / "kept.db") == ["one"]
    for wrong in (tmp_path / "state" / "blackboard.db", tmp_path):
        with pytest.raises(BoardUnavailable, match="cannot be the backup"):
            backup(url, wrong)
    with pytest.raises(BoardUnavailable):
        backup(url, tmp_path / "kept.db" / "below")
    with pytest.raises(BoardUnavailable, match="there is no board"):
        backup(f"sqlite:///{tmp_path}/nothing.db", tmp_path / "kept.db")
    assert titles(tmp_path / "kept.db") == ["one"]


def test_what_is_replaced_by_a_backup_is_kept_beside_it(tmp_path: Path) -> None:
    url = make(tmp_path, "one")
    backup(url, tmp_path / "kept.db")
    make(tmp_path, "two")
    restored = bring_back(tmp_path, tmp_path / "kept.db")
    assert isinstance(restored, Restored)
    assert restored.replaced == tmp_path / "state" / "blackboard.db.replaced-2023-11-14T221320000Z"
    assert titles(restored.replaced) == ["one", "two"]
    assert titles(restored.path) == ["one"]
    assert stat.S_IMODE(restored.path.stat().st_mode) == 0o600
    make(tmp_path, "three")
    assert titles(restored.path) == ["one", "three"]


def test_a_board_is_brought_back_where_there_is_none(tmp_path: Path) -> None:
    backup(make(tmp_path / "old", "one"), tmp_path / "kept.db")
    restored = bring_back(tmp_path / "new", tmp_path / "kept.db")
    assert restored == Restored(tmp_path / "new" / "state" / "blackboard.db", None)
    assert titles(restored.path) == ["one"]


def test_a_damaged_board_is_replaced_as_it_is_with_what_lies_beside_it(tmp_path: Path) -> None:
    backup(make(tmp_path, "one"), tmp_path / "kept.db")
    board = tmp_path / "state" / "blackboard.db"
    board.write_bytes(b"rubbish " * 1000)
    board.with_name("blackboard.db-wal").write_bytes(b"rubbish too")
    restored = bring_back(tmp_path, tmp_path / "kept.db")
    assert isinstance(restored, Restored)
    assert restored.replaced is not None
    assert restored.replaced.read_bytes() == b"rubbish " * 1000
    assert not board.with_name("blackboard.db-wal").exists()
    assert titles(board) == ["one"]


def test_nothing_is_replaced_by_what_is_no_whole_board(tmp_path: Path) -> None:
    url = make(tmp_path, *(f"task {number}" for number in range(200)))
    kept = tmp_path / "kept.db"
    backup(url, kept)
    whole = kept.read_bytes()
    before = titles(tmp_path / "state" / "blackboard.db")

    def refused(expected: type[Exception], content: bytes) -> None:
        kept.write_bytes(content)
        with pytest.raises(expected):
            bring_back(tmp_path, kept)
        assert titles(tmp_path / "state" / "blackboard.db") == before

    refused(BoardBroken, b"no database at all, nor anything like it" * 100)
    refused(BoardBroken, whole[:8192] + b"\xff" * 4096 + whole[12288:])
    refused(BoardBroken, whole[: len(whole) // 2])
    refused(BoardUnavailable, b"")
    kept.unlink()
    with pytest.raises(BoardUnavailable, match="there is no file"):
        bring_back(tmp_path, kept)
    with closing(sqlite3.connect(kept)) as connection:
        connection.execute("CREATE TABLE something_else (id)")
    with pytest.raises(BoardUnavailable, match="is no board"):
        bring_back(tmp_path, kept)


def test_a_backup_of_a_newer_release_is_not_brought_back(tmp_path: Path) -> None:
    kept = tmp_path / "kept.db"
    backup(make(tmp_path, "one"), kept)
    with closing(sqlite3.connect(kept, isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(BoardUnavailable, match="newer Clawpace"):
        bring_back(tmp_path, kept)


def test_nothing_is_replaced_under_a_scheduler_that_runs_or_anybody_else(tmp_path: Path) -> None:
    backup(make(tmp_path, "one"), tmp_path / "kept.db")
    with (tmp_path / "scheduler.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BoardBusy, match="scheduler is running"):
            bring_back(tmp_path, tmp_path / "kept.db")
    with (  # whose state lies elsewhere
        alone_on(sqlite_url(tmp_path), "the board"),
        pytest.raises(BoardBusy, match="scheduler is running"),
    ):
        bring_back(tmp_path, tmp_path / "kept.db")
    with opened(sqlite_url(tmp_path), tmp_path) as store:
        store.create(Draft("two"), who="me", now=1.0)
        with pytest.raises(BoardBusy, match="in use"):
            bring_back(tmp_path, tmp_path / "kept.db")
    assert titles(tmp_path / "state" / "blackboard.db") == ["one", "two"]
    bring_back(tmp_path, tmp_path / "kept.db")
    assert titles(tmp_path / "state" / "blackboard.db") == ["one"]


def test_postgresql_has_tools_of_its_own(tmp_path: Path) -> None:
    url = "postgresql+psycopg://board:hunter2@db.example:5433/team?sslmode=require"
    assert backup(url, tmp_path / "a b.dump") == ByServer(
        f"pg_dump --format=custom '--file={tmp_path}/a b.dump' postgresql://board@db.example:5433/team"
    )
    assert restore(Path("kept.dump"), url, lock=tmp_path / "lock", now=NOW) == ByServer(
        "pg_restore --clean --if-exists --dbname=postgresql://board@db.example:5433/team kept.dump"
    )
