"""The board's file: whose it is, what is ours and of which release, and who has to wait for whom."""

import errno
import fcntl
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from scheduler.blackboard import schema
from scheduler.blackboard.errors import BoardBroken, BoardBusy, BoardUnavailable
from scheduler.blackboard.queries import Received
from scheduler.blackboard.store import Store
from scheduler.blackboard.tables import metadata
from scheduler.core.change import Change
from scheduler.core.records import Attempt, Output
from scheduler.core.states import Status
from scheduler.core.task import Draft, Task
from tests.integration.scheduler.boards import opened, sqlite_url

pytestmark = [pytest.mark.integration, pytest.mark.needs("minutes")]

SHORTLY = 0.2
CARD = Draft("a task")


def path_of(directory: Path) -> Path:
    return directory / "state" / "blackboard.db"


def board_of(directory: Path, **options: Any) -> AbstractContextManager[Store]:
    return opened(sqlite_url(directory), directory, **options)


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def by_hand(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


# -- whose it is ------------------------------------------------------------------------------------------


def test_the_file_and_what_lies_beside_it_are_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with board_of(tmp_path / "a" / "b") as store:
            made = store.create(CARD, who="me", now=1.0)
            store.claim(made.id, agent="coder", now=2.0, lease_seconds=None)
            received = store.receive(b"text")
            store.hand_in(made.id, received, name="a.md", final=True, now=3.0, author="coder")
            state = path_of(tmp_path / "a" / "b")
            files = {each.name: rights(each) for each in state.parent.iterdir()}
            assert files.keys() >= {"blackboard.db", "blackboard.db-wal", "blackboard.db-shm"}
            assert set(files.values()) == {0o600}
            for directory in (tmp_path / "a", tmp_path / "a" / "b", state.parent):
                assert rights(directory) == 0o700
            for path in store.artifacts.rglob("*"):
                assert rights(path) == (0o700 if path.is_dir() else 0o600)
    finally:
        os.umask(before)


def test_every_commit_is_synced_and_references_are_kept(tmp_path: Path) -> None:
    with board_of(tmp_path) as store, store.database.writing() as connection:
        told = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert told == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_who_reads_cannot_write(tmp_path: Path) -> None:
    with (
        board_of(tmp_path) as store,
        pytest.raises(BoardUnavailable, match="readonly"),
        store.database.reading() as connection,
    ):
        connection.exec_driver_sql("DELETE FROM counters")


def test_a_board_is_one_file_when_everybody_has_left(tmp_path: Path) -> None:
    with board_of(tmp_path) as store:
        store.create(CARD, who="me", now=1.0)
        store.counts()
    assert not path_of(tmp_path).with_name("blackboard.db-wal").exists()


def test_what_a_killed_process_was_handed_is_taken_away_a_day_later(tmp_path: Path) -> None:
    with board_of(tmp_path) as store:
        left, arriving = store.receive(b"half a fi"), store.receive(b"the other half")
        _, output = hand_in(store, store.receive(b"whole"))
    long_ago = left.path.stat().st_mtime - 90_000
    for each in (left.path, store.output_file(output)):
        os.utime(each, (long_ago, long_ago))
    with board_of(tmp_path) as store:
        assert not left.path.exists()
        assert arriving.path.read_bytes() == b"the other half"
        assert store.output_file(output).read_bytes() == b"whole"


def hand_in(store: Store, received: Received) -> tuple[Change, Output]:
    made = store.create(CARD, who="me", now=1.0)
    claimed = store.claim(made.id, agent="coder", now=2.0, lease_seconds=60.0)
    return store.hand_in(made.id, received, name="a.md", final=False, now=3.0, token=claimed.token)


def test_a_relative_path_is_relative_to_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with opened("sqlite:///here/100%#?.db", tmp_path) as store:
        monkeypatch.chdir("/")
        store.create(CARD, who="me", now=1.0)
    assert (tmp_path / "here" / "100%#?.db").is_file()


# -- what is ours, and of which release -------------------------------------------------------------------


def test_nothing_is_made_where_none_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(BoardUnavailable, match="blackboard init"), board_of(tmp_path, create=False):
        pass
    assert list(tmp_path.iterdir()) == []
    path_of(tmp_path).parent.mkdir()
    path_of(tmp_path).touch()
    with pytest.raises(BoardUnavailable, match="blackboard init"), board_of(tmp_path, create=False):
        pass


def test_an_empty_file_becomes_a_board(tmp_path: Path) -> None:
    path_of(tmp_path).parent.mkdir()
    path_of(tmp_path).touch()
    with board_of(tmp_path) as store:
        assert store.create(CARD, who="me", now=1.0).id == "T-0001"


def test_a_board_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    with board_of(tmp_path):
        pass
    with by_hand(path_of(tmp_path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(BoardUnavailable, match="made by a newer Clawpace"), board_of(tmp_path):
        pass


@pytest.mark.parametrize("table", ["customers (id INTEGER)", "alembic_version (version_num TEXT)"])
def test_the_database_of_something_else_is_left_alone(tmp_path: Path, table: str) -> None:
    path_of(tmp_path).parent.mkdir()
    with by_hand(path_of(tmp_path)) as connection:
        connection.execute(f"CREATE TABLE {table}")
        before = connection.execute("SELECT sql FROM sqlite_master").fetchall()
        with pytest.raises(BoardUnavailable, match="belongs to something else"), board_of(tmp_path):
            pass
        assert connection.execute("SELECT sql FROM sqlite_master").fetchall() == before


def test_two_processes_that_start_at_once_make_one_board(tmp_path: Path) -> None:
    begin = threading.Barrier(8)
    failed: list[BaseException] = []

    def start() -> None:
        begin.wait()
        try:
            with board_of(tmp_path) as store:
                store.create(CARD, who="me", now=1.0)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with board_of(tmp_path) as store:
        assert store.counts()[Status.PENDING] == 8


def test_migrations_make_what_the_statements_are_made_from(tmp_path: Path) -> None:
    with board_of(tmp_path):
        pass
    engine = create_engine(sqlite_url(tmp_path))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        (states,) = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'tasks'").one()
    engine.dispose()
    for status in Status:
        assert f"'{status}'" in states.partition("ck_tasks_status")[2]
    migrations = ScriptDirectory(str(Path(schema.__file__).parent / "migrations"))
    assert migrations.get_current_head() == schema.LATEST


def test_a_state_that_the_core_does_not_know_is_not_kept(tmp_path: Path) -> None:
    with board_of(tmp_path) as store:
        store.create(CARD, who="me", now=1.0)
    with by_hand(path_of(tmp_path)) as connection, pytest.raises(sqlite3.IntegrityError, match="status"):
        connection.execute("UPDATE tasks SET status = 'lost'")


def test_an_older_board_is_copied_before_it_is_migrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with board_of(tmp_path) as store:
        store.create(CARD, who="me", now=1.0)
    monkeypatch.setattr(schema, "LATEST", "0003")
    migrated: list[object] = []
    monkeypatch.setattr(schema, "_migrate", migrated.append)
    with board_of(tmp_path) as store:
        assert store.task("T-0001").title == "a task"
    copy = path_of(tmp_path).with_name("blackboard.db.before-0003")
    assert len(migrated) == 1
    assert rights(copy) == 0o600
    with by_hand(copy) as connection:
        assert connection.execute("SELECT title FROM tasks").fetchall() == [("a task",)]


def test_a_migration_that_fails_leaves_no_half_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate = schema._migrate

    def fails(connection: Any) -> None:
        migrate(connection)
        raise OSError(errno.EIO, "in the middle")

    with monkeypatch.context() as patched:
        patched.setattr(schema, "_migrate", fails)
        with pytest.raises(OSError, match="in the middle"), board_of(tmp_path):
            pass
    with by_hand(path_of(tmp_path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    with board_of(tmp_path) as store:
        store.create(CARD, who="me", now=1.0)


# -- what is no board, and who waits ----------------------------------------------------------------------


def test_a_file_that_is_no_database_is_broken(tmp_path: Path) -> None:
    path_of(tmp_path).parent.mkdir()
    path_of(tmp_path).write_bytes(b"this is no database, but long enough to be read as one" * 100)
    with pytest.raises(BoardBroken, match="not a database"), board_of(tmp_path):
        pass


def test_a_damaged_board_is_told_and_not_written_any_more(tmp_path: Path) -> None:
    with board_of(tmp_path) as store:
        for _ in range(300):
            store.create(CARD, who="me", now=1.0)
    intact = path_of(tmp_path).read_bytes()
    half = len(intact) // 2
    path_of(tmp_path).write_bytes(intact[:half] + b"\xff" * half)
    with board_of(tmp_path) as store:
        with pytest.raises(BoardBroken):
            store.create(CARD, who="me", now=1.0)
        path_of(tmp_path).write_bytes(intact)
        for question in (store.check, lambda: store.set_pause("coder", None, who="me", now=1.0)):
            with pytest.raises(BoardBroken):
                question()


def test_what_is_in_the_way_of_the_file_is_told(tmp_path: Path) -> None:
    path_of(tmp_path).mkdir(parents=True)
    with pytest.raises(BoardUnavailable, match="unable to open"), board_of(tmp_path):
        pass
    (tmp_path / "file").touch()
    inside = f"sqlite:///{tmp_path}/file/blackboard.db"
    with pytest.raises(BoardUnavailable, match="cannot be used"), opened(inside, tmp_path):
        pass


@pytest.mark.parametrize("url", ["", "sqlite://", "sqlite:///", "mysql://u:hunter2@h/d", "postgres://h/d"])
def test_an_address_that_is_none_is_refused_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(BoardUnavailable, match="is no address") as told, opened(url, tmp_path):
        pass
    assert "hunter2" not in str(told.value)


def test_whoever_waits_too_long_for_another_process_is_told_that_the_board_is_busy(tmp_path: Path) -> None:
    with board_of(tmp_path, busy_seconds=SHORTLY) as store, by_hand(path_of(tmp_path)) as other:
        store.create(CARD, who="me", now=1.0)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BoardBusy, match="locked"):
            store.create(CARD, who="me", now=1.0)
        assert store.task("T-0001").title == "a task", "readers wait for nobody"
        other.execute("ROLLBACK")
        assert store.create(CARD, who="me", now=1.0).id == "T-0002"


def test_whoever_waits_too_long_for_a_thread_of_this_process_is_told_so_too(tmp_path: Path) -> None:
    outcomes: list[type[BaseException] | None] = []

    def write(store: Store) -> None:
        try:
            store.create(CARD, who="me", now=1.0)
        except BoardBusy:
            outcomes.append(BoardBusy)

    with board_of(tmp_path, busy_seconds=SHORTLY) as store:
        made = store.create(CARD, who="me", now=1.0)

        def verb(task: Task, _: Attempt | None) -> Change:
            other = threading.Thread(target=write, args=[store])
            other.start()
            other.join()
            return Change(task)

        store.change(made.id, verb, now=2.0)
    assert outcomes == [BoardBusy]


def test_a_migration_that_another_process_makes_is_waited_for(tmp_path: Path) -> None:
    lock = path_of(tmp_path).with_name("blackboard.db.migrating")
    lock.parent.mkdir()
    with lock.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BoardBusy, match="being migrated"), board_of(tmp_path, busy_seconds=SHORTLY):
            pass


def test_a_row_that_changed_behind_our_back_is_not_overwritten(tmp_path: Path) -> None:
    with board_of(tmp_path) as store:
        made = store.create(CARD, who="me", now=1.0)
        with by_hand(path_of(tmp_path)) as connection:
            # As if no row had matched: what a forgotten lock would look like.
            connection.execute("CREATE TRIGGER t BEFORE UPDATE ON tasks BEGIN SELECT RAISE(IGNORE); END")
        with pytest.raises(BoardBusy, match="others were faster"):
            store.claim(made.id, agent="coder", now=2.0, lease_seconds=1.0)
        assert (store.task(made.id), store.attempt(made.id, 1)) == (made, None)
