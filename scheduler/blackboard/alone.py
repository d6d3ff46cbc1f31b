"""One daemon on one board, wherever each keeps its state.

The lock of the state directory keeps two apart that share it; this one, two that share only a database. Both
would plan alike, but a run's ticket is a file of the one that claimed it: the other would draw a new key, and
the agent's would be worth nothing.

PostgreSQL lets go of the lock when it is restarted, and does not give it back. Who has a board in production
starts one daemon; this tells a mistake, at the moment when it is made.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from scheduler.blackboard.database import sqlite_path
from scheduler.blackboard.errors import BoardUnavailable

_PRIVATE: Final = 0o600
_LOCK: Final = 0x636C6177_03
"""Of no meaning, but ours: beside those in `postgresql`."""


@contextmanager
def alone_on(url: str, shown: str) -> Iterator[None]:
    """Raises BoardUnavailable where another daemon is on the board at `url`."""
    path = sqlite_path(url)
    with _on_file(path) if path is not None else _on_server(url, shown):
        yield


def lock_beside(path: Path) -> Path:
    """What the daemon on the database `path` holds."""
    return path.with_name(f"{path.name}.daemon")


@contextmanager
def _on_file(path: Path) -> Iterator[None]:
    lock = lock_beside(path)
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _PRIVATE)
    except OSError as error:
        raise BoardUnavailable(
            f"cannot lock the board {path}: {(error.strerror or str(error)).lower()}"
        ) from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            who = f"process {holder}" if holder.isdigit() else "another scheduler"
            raise BoardUnavailable(
                f"the board {path} is in use by {who}; one scheduler works on one board"
            ) from error
        with suppress(OSError):  # a full disk
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
        yield
    finally:
        os.close(fd)


@contextmanager
def _on_server(url: str, shown: str) -> Iterator[None]:
    import psycopg  # noqa: PLC0415 - only where the board is in PostgreSQL
    from sqlalchemy import make_url  # noqa: PLC0415 - likewise

    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        connection = psycopg.connect(address, autocommit=True, application_name="clawpace-scheduler")
    except psycopg.Error as error:
        why = str(error).strip().partition("\n")[0]
        raise BoardUnavailable(f"{shown} cannot be used: {why}") from error
    with connection:
        found = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
        if found != (True,):
            raise BoardUnavailable(
                f"{shown} is in use by another scheduler; one scheduler works on one board"
            )
        yield
