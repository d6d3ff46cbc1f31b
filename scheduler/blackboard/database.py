"""What the store needs of a database, and which one an address means."""

import re
import shlex
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import URL, Connection, make_url

from scheduler.blackboard.errors import BoardUnavailable

_SQLITE: Final = "sqlite:///"
_PASSWORD: Final = re.compile(r"(?<=://)([^:/@]*):(.*)@", re.DOTALL)


class Database(Protocol):
    """SQLite or PostgreSQL. From any of its blocks only our own errors leave."""

    @property
    def shown(self) -> str:
        """Its address, for people: without the password."""

    @property
    def most_writers(self) -> int:
        """Threads that can be about to write at once, and none of them for nothing."""

    @property
    def together_for(self) -> float | None:
        """Seconds that a write waits in this process for those before it, where there is one writer at a time
        and writes are better committed together; None: the server has room for many.
        """

    def reading(self) -> AbstractContextManager[Connection]:
        """One consistent look, from any thread."""

    def writing(self) -> AbstractContextManager[Connection]:
        """One transaction: committed and on the disk when the block ends, or as if it never was."""

    def migrating(self) -> AbstractContextManager[Connection]:
        """The same, and nobody else migrates meanwhile."""

    def table_names(self, connection: Connection) -> frozenset[str]:
        """The tables that are there, whoever made them."""

    def keep_order(self, connection: Connection) -> None:
        """From here to its end nobody else's transaction takes a number of an event.

        So numbers become visible in their order, and whoever reads on from the last one it saw misses none.
        """

    def save_copy(self, revision: str) -> None:
        """What is there, kept before it is migrated to `revision`."""

    def size_bytes(self) -> int:
        """What the database takes on its disk."""

    def close(self) -> None:
        """Closes all connections."""


def open_database(
    url: str, *, create: bool, pool_size: int, max_overflow: int, busy_seconds: float
) -> Database:
    """Raises BoardUnavailable. The driver of the other database is not even imported."""
    if (path := sqlite_path(url)) is not None:
        from scheduler.blackboard.sqlite import Sqlite  # noqa: PLC0415 - see above

        return Sqlite.open(path, create=create, busy_seconds=busy_seconds)
    if not re.match(r"postgresql(\+psycopg)?://", url):
        raise BoardUnavailable(
            f"{without_password(url)} is no address of a board: sqlite:///PATH or postgresql://…"
        )
    from scheduler.blackboard.postgresql import Postgresql  # noqa: PLC0415 - see above

    return Postgresql.open(url, pool_size=pool_size, max_overflow=max_overflow, busy_seconds=busy_seconds)


def sqlite_path(url: str) -> Path | None:
    """The file that `url` means, from the current directory on; None if it means no file."""
    return (
        Path(url.removeprefix(_SQLITE)).absolute()
        if len(url) > len(_SQLITE) and url.startswith(_SQLITE)
        else None
    )


def without_password(url: str) -> str:
    """As people may see it. Drivers take passwords in the query too."""
    return re.sub(r"\?.*", "?…", _PASSWORD.sub(r"\1:****@", url), flags=re.DOTALL)


def dump_command(url: str, file: str) -> str:
    """How an operator backs up a PostgreSQL board; the password is asked for, or comes from ~/.pgpass."""
    return shlex.join(["pg_dump", "--format=custom", f"--file={file}", _server(url)])


def restore_command(url: str, file: str) -> str:
    """And brings it back."""
    return shlex.join(["pg_restore", "--clean", "--if-exists", f"--dbname={_server(url)}", file])


def _server(url: str) -> str:
    given = make_url(url)
    return URL.create(
        "postgresql", given.username, None, given.host, given.port, given.database
    ).render_as_string()
