"""The board in one file.

DESIGN. SQLite has one writer at a time. So has this process: one connection that writes, for whoever leads
those that write together (see `together`), and a few that can only read. A write begins with BEGIN IMMEDIATE:
whoever begins by reading and wants to write later can find the board changed meanwhile and has to start over.
Other processes are waited for by SQLite itself (`busy_timeout`).

What is acknowledged has to outlive a power cut: WAL with `synchronous=FULL` syncs at every commit; NORMAL
would lose the last seconds (measured with a virtual machine that was switched off: 505 of 38,235 rows).

The file is its owner's alone. It is created 0600 before SQLite sees it, because `-wal` and `-shm` get the
rights of the file that they belong to.
"""

import fcntl
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine

from scheduler.blackboard.errors import BoardBroken, BoardBusy, BoardUnavailable
from scheduler.blackboard.faults import translated
from scheduler.blackboard.files import create_private, sync
from shared import clock
from shared.files import sync_directory

READERS: Final = 4
"""Connections that are kept for reading; further ones are opened and closed as they are needed."""
MOST_READERS: Final = 32

WRITERS: Final = 16
"""Threads. More of them take more along under one commit, and more of them have to be woken after it."""

_SETTINGS: Final = (
    "PRAGMA foreign_keys=ON",
    "PRAGMA synchronous=FULL",
    "PRAGMA fullfsync=ON",  # macOS: there, fsync alone leaves it in the disk's own memory
    # The WAL is folded into the file every 16 MB, not 4: a claim writes a dozen pages, mostly the same ones.
    "PRAGMA wal_autocheckpoint=4000",
    "PRAGMA journal_size_limit=67108864",
)
_POLL_SECONDS: Final = 0.02


class Sqlite:
    """One file. Owner of the connections to it; the pools hand them to one thread at a time."""

    def __init__(self, path: Path, busy_seconds: float) -> None:
        self.path = path
        self._busy_seconds = busy_seconds
        opened = path.stat()
        self._identity = opened.st_dev, opened.st_ino
        self._writer = self._engine(self._connect_writer, size=1, overflow=0)
        self._readers = self._engine(self._connect_reader, size=READERS, overflow=MOST_READERS - READERS)

    @classmethod
    def open(cls, path: Path, *, create: bool, busy_seconds: float) -> Self:
        """Raises BoardUnavailable where there is no file and none is wanted or none can be made."""
        try:
            if create:
                create_private(path)
            elif not path.exists():
                raise BoardUnavailable(f"there is no board at {path}: `blackboard init` makes one")
            return cls(path, busy_seconds)
        except OSError as error:
            raise BoardUnavailable(f"{path} cannot be used: {error.strerror}") from error

    @property
    def shown(self) -> str:
        return f"sqlite:///{self.path}"

    @property
    def most_writers(self) -> int:
        # One of them writes; the others wait in their threads to be taken along.
        return WRITERS

    @property
    def together_for(self) -> float:
        return self._busy_seconds

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        self._must_be_there()
        with translated(self.shown), self._readers.begin() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        self._must_be_there()
        with translated(self.shown), self._writer.begin() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        # Beside the transaction: a new file becomes a WAL file before any transaction, and SQLite does not
        # wait for others there.
        with self._locked(), self.writing() as connection:
            yield connection

    def table_names(self, connection: Connection) -> frozenset[str]:
        found = connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        )
        return frozenset(found.scalars())

    def keep_order(self, connection: Connection) -> None:
        """Whoever writes is alone."""

    def save_copy(self, revision: str) -> None:
        target = self.path.with_name(f"{self.path.name}.before-{revision}")
        with translated(self.shown):
            copy_database(self.path, target)

    def size_bytes(self) -> int:
        total = 0
        for suffix in ("", "-wal"):
            try:
                total += self.path.with_name(self.path.name + suffix).stat().st_size
            except FileNotFoundError:
                continue
            except OSError as error:
                raise BoardUnavailable(f"{self.shown} cannot be used: {error.strerror}") from error
        return total

    def close(self) -> None:
        # The writer last: whoever leaves last folds the WAL into the file, and a reader may not.
        self._readers.dispose()
        self._writer.dispose()

    def _must_be_there(self) -> None:
        """Open connections go on writing to a file that was moved or replaced, where nobody will look."""
        try:
            found = self.path.stat()
        except OSError as error:
            raise BoardUnavailable(f"{self.shown} cannot be used: {error.strerror}") from error
        if (found.st_dev, found.st_ino) != self._identity:
            raise BoardBroken(f"{self.shown} cannot be used: another file has taken its place")

    def _engine(self, connect: Callable[[], sqlite3.Connection], *, size: int, overflow: int) -> Engine:
        # No listener for "begin": with any listener, every statement asks for listeners.
        return create_engine(
            "sqlite://",
            creator=connect,
            poolclass=QueuePool,
            pool_size=size,
            max_overflow=overflow,
            pool_timeout=self._busy_seconds,
            pool_reset_on_return="rollback",  # SQLite can refuse a commit and leave its transaction open
            hide_parameters=True,
        )

    def _connect_reader(self) -> sqlite3.Connection:
        connection = connect_to(self.path, self._busy_seconds)
        connection.execute("PRAGMA query_only=ON")
        return connection

    def _connect_writer(self) -> sqlite3.Connection:
        connection = connect_to(self.path, self._busy_seconds)
        try:
            self._use_wal(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        """Once in the life of a file. SQLite does not wait for others here, so we do."""
        deadline = clock.monotonic() + self._busy_seconds
        while True:
            try:
                mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or clock.monotonic() >= deadline:
                    raise
                time.sleep(_POLL_SECONDS)
                continue
            if mode != "wal":
                raise BoardUnavailable(f"{self.shown} cannot be used: its file system keeps no WAL")
            return

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # The file stays: removing it would let two others lock different files.
        lock = self.path.with_name(f"{self.path.name}.migrating")
        try:
            fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise BoardUnavailable(f"{self.shown} cannot be migrated: {error.strerror}") from error
        try:
            self._wait_for(fd)
            yield
        finally:
            os.close(fd)

    def _wait_for(self, fd: int) -> None:
        deadline = clock.monotonic() + self._busy_seconds
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if clock.monotonic() >= deadline:
                    raise BoardBusy(f"{self.shown} is being migrated by another process") from error
                time.sleep(_POLL_SECONDS)
            else:
                return

    def __repr__(self) -> str:
        return f"<Sqlite {self.path}>"


def connect_to(path: Path, busy_seconds: float) -> sqlite3.Connection:
    """A connection to a file that exists. Transactions are begun by hand: the module's own begin too late."""
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw",
        uri=True,
        timeout=busy_seconds,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        for setting in _SETTINGS:
            connection.execute(setting)
    except BaseException:
        connection.close()
        raise
    return connection


def copy_database(source: Path, target: Path, busy_seconds: float = 10.0) -> None:
    """`source` as it is committed now, others at work or not; looked through before it is called `target`."""
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    create_private(unfinished)
    try:
        with (
            closing(connect_to(source, busy_seconds)) as original,
            closing(connect_to(unfinished, busy_seconds)) as copy,
        ):
            original.backup(copy)
            # A copy is one file, wherever it is carried: no WAL beside it.
            copy.execute("PRAGMA journal_mode=DELETE")
            if problem := problem_in(copy):
                raise BoardBroken(f"the copy of {source} is damaged: {problem}")
        sync(unfinished)
        unfinished.replace(target)
        sync_directory(target.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def problem_in(connection: sqlite3.Connection) -> str | None:
    """What SQLite's own check of a whole file says first; None: nothing."""
    said: str = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    return None if said == "ok" else said.partition("\n")[0]
