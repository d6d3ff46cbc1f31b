"""What the drivers raise, in the board's words: the one place where foreign errors are told apart.

Only `orig`, what the driver itself says, goes into a message: SQLAlchemy's own text holds the statement.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from scheduler.blackboard.errors import BoardBroken, BoardBusy, BoardUnavailable
from scheduler.core.errors import Code, Refused


class Collision(Exception):  # noqa: N818 - no error yet: the transaction is tried again
    """Somebody else's transaction came first; this one left nothing behind."""


# SQLite's extended codes begin with the name of their primary one: SQLITE_IOERR_FSYNC.
_SQLITE: Final = {
    "SQLITE_BUSY": BoardBusy,
    "SQLITE_LOCKED": BoardBusy,
    "SQLITE_FULL": BoardUnavailable,
    "SQLITE_READONLY": BoardUnavailable,
    "SQLITE_CANTOPEN": BoardUnavailable,
    "SQLITE_PERM": BoardUnavailable,
    "SQLITE_AUTH": BoardUnavailable,
    "SQLITE_NOMEM": BoardUnavailable,
    "SQLITE_PROTOCOL": BoardBusy,  # the locking protocol gave up, as on a network file system
    "SQLITE_IOERR": BoardBroken,
    "SQLITE_CORRUPT": BoardBroken,
    "SQLITE_NOTADB": BoardBroken,
}

# PostgreSQL's SQLSTATEs, or their class; https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRESQL: Final[dict[str, type[Exception]]] = {
    "40001": Collision,  # serialization_failure
    "40P01": Collision,  # deadlock_detected
    "55P03": BoardBusy,  # lock_not_available: lock_timeout
    "57014": BoardBusy,  # query_canceled: statement_timeout
    "25P03": BoardBusy,  # idle_in_transaction_session_timeout
    "53300": BoardBusy,  # too_many_connections
    "25006": BoardUnavailable,  # read_only_sql_transaction: a standby
    "42501": BoardUnavailable,  # insufficient_privilege
    "58030": BoardBroken,  # io_error
    "XX001": BoardBroken,  # data_corrupted
    "XX002": BoardBroken,  # index_corrupted
    "08": BoardUnavailable,  # connection
    "28": BoardUnavailable,  # authorization
    "3D": BoardUnavailable,  # no such database
    "53": BoardUnavailable,  # out of disk or memory
    "57": BoardUnavailable,  # shut down by somebody
}


@contextmanager
def translated(shown: str) -> Iterator[None]:
    """Runs a block in which only our own errors leave; `shown` is the database's address for people."""
    try:
        yield
    except PoolTimeoutError as error:
        raise BoardBusy(f"{shown} is busy: all connections are in use") from error
    except DBAPIError as error:
        raise _told(error, shown) from error
    except OverflowError as error:  # sqlite3, of a number beyond 64 bits
        raise Refused(Code.INVALID, "the board cannot keep so large a number") from error


def sqlite_fault(error: sqlite3.Error, shown: str) -> Exception:
    """The same for somebody who talks to SQLite itself; what is a fault of ours stays as it is."""
    kind = _sqlite_kind(error)
    return error if kind is None else _made(kind, shown, error)


def _told(error: DBAPIError, shown: str) -> Exception:
    kind = _kind(error)
    if kind is None or error.orig is None:
        return error
    return _made(kind, shown, error.orig)


def _made(kind: type[Exception], shown: str, error: BaseException) -> Exception:
    said = str(error).strip().partition("\n")[0] or "no reason given"
    return kind(f"{shown} {'is busy' if kind is BoardBusy else 'cannot be used'}: {said}")


def _kind(error: DBAPIError) -> type[Exception] | None:
    """None: it is a fault of ours, and stays as it is."""
    if isinstance(error.orig, sqlite3.Error):
        return _sqlite_kind(error.orig)
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return _POSTGRESQL.get(state) or _POSTGRESQL.get(state[:2])
    # Without a code: it never got as far as the server, or the server went away.
    return BoardUnavailable if _is_about_the_connection(error) else None


def _sqlite_kind(error: sqlite3.Error) -> type[Exception] | None:
    name = getattr(error, "sqlite_errorname", "")
    return next((kind for begin, kind in _SQLITE.items() if name.startswith(begin)), None)


def _is_about_the_connection(error: DBAPIError) -> bool:
    return (
        error.connection_invalidated or error.statement is None or type(error).__name__ == "OperationalError"
    )
