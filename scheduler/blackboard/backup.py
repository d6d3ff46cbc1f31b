"""A board kept, and brought back.

A backup is one SQLite file: the database as it was at one moment, with others at work or not, looked through
by SQLite before it gets its name. What was handed in lies below `artifacts/`, is never changed once it is
there, and is copied by any tool that copies files: after the database, so that no row misses its file. A
PostgreSQL server has tools of its own; here stands how to call them.

The rule: nothing is replaced by what has not been looked through, and what is replaced is kept.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from scheduler.blackboard.alone import lock_beside
from scheduler.blackboard.database import dump_command, restore_command, sqlite_path
from scheduler.blackboard.errors import BoardBroken, BoardBusy, BoardUnavailable
from scheduler.blackboard.faults import sqlite_fault
from scheduler.blackboard.schema import LATEST, OURS
from scheduler.blackboard.sqlite import connect_to, copy_database, problem_in
from shared import clock
from shared.files import sync_directory

BUSY_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class ByServer:
    """The board is in PostgreSQL: this is what the operator calls instead. It asks for the password."""

    command: str


@dataclass(frozen=True, slots=True)
class Restored:
    """The board is what it was."""

    path: Path
    replaced: Path | None
    """what was there before, kept; None: nothing was"""


def backup(url: str, target: Path, *, busy_seconds: float = BUSY_SECONDS) -> Path | ByServer:
    """The board at `url` into the file `target`, 0600; one that is there is replaced. Raises BoardError."""
    source = sqlite_path(url)
    if source is None:
        return ByServer(dump_command(url, str(target)))
    target = target.absolute()
    with _told(source):
        if not source.exists():
            raise BoardUnavailable(f"there is no board at {source}")
        if target.exists() and (not target.is_file() or target.samefile(source)):
            raise BoardUnavailable(f"{target} cannot be the backup: it is the board, or no file")
        with closing(connect_to(source, busy_seconds)) as connection:
            _check_ours(connection, source)
        copy_database(source, target, busy_seconds)
    return target


def restore(
    file: Path, url: str, *, lock: Path, now: float, busy_seconds: float = BUSY_SECONDS
) -> Restored | ByServer:
    """The board at `url` becomes what is in `file`. `lock`: of the daemon's state; no daemon must run.

    What is there now stays beside it, named after the time. Nobody may have it open. Raises BoardError.
    """
    target = sqlite_path(url)
    if target is None:
        return ByServer(restore_command(url, str(file)))
    with _told(file):
        check(file)
    with ExitStack() as held, _told(target):
        for each in (lock, lock_beside(target)):  # a daemon may keep its state anywhere else
            held.enter_context(_no_daemon(each))
        new = target.with_name(f"{target.name}.restored")
        copy_database(file, new, busy_seconds)
        held.callback(new.unlink, missing_ok=True)
        replaced = None
        if target.exists():
            replaced = target.with_name(f"{target.name}.replaced-{_stamp(now)}")
            _fold(target)
            for suffix in ("-wal", "-shm", ""):  # the first two only of a file that is past folding
                beside = target.with_name(target.name + suffix)
                if beside.exists():
                    beside.rename(replaced.with_name(replaced.name + suffix))
        new.rename(target)
        sync_directory(target.parent)
    return Restored(target, replaced)


def check(file: Path) -> None:
    """Whether `file` is a board, whole, and not newer than we are. Raises BoardError or sqlite3.Error."""
    if not file.is_file():
        raise BoardUnavailable(f"there is no file {file}")
    with closing(sqlite3.connect(f"file:{quote(str(file.absolute()))}?mode=ro", uri=True)) as connection:
        _check_ours(connection, file)
        if problem := problem_in(connection):
            raise BoardBroken(f"{file} is damaged: {problem}")


def _check_ours(connection: sqlite3.Connection, file: Path) -> None:
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not names >= OURS:
        raise BoardUnavailable(f"{file} is no board")
    (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    if version > LATEST:
        raise BoardUnavailable(f"{file} was made by a newer Clawpace: its schema is {version}")


def _fold(target: Path) -> None:
    """All of it in one file, with nobody else in it."""
    try:
        with closing(connect_to(target, busy_seconds=0.0)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise BoardBusy(f"{target} is in use: whoever has it open must stop first") from error
        # Damaged: that is why somebody restores. It is kept as it is.


@contextmanager
def _no_daemon(lock: Path) -> Iterator[None]:
    """Nor does one start meanwhile."""
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:  # there never was one
        yield
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BoardBusy("the scheduler is running on this board: stop it first") from error
    else:
        yield
    finally:
        os.close(fd)


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """What may go wrong with a file, in the board's words."""
    try:
        yield
    except OSError as error:
        raise BoardUnavailable(f"{error.filename or file} cannot be used: {error.strerror}") from error
    except sqlite3.Error as error:
        raise sqlite_fault(error, str(file)) from error


def _stamp(now: float) -> str:
    return clock.rfc3339(now).replace(":", "").replace(".", "")
