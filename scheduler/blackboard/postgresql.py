"""The board in PostgreSQL, where one machine is not enough.

DESIGN. A write holds the rows that it changes (FOR NO KEY UPDATE), and nothing else waits for it. Each read
is one REPEATABLE READ transaction, so that several statements see one moment. The server is asked for what we
promise: a commit is on its disk (`synchronous_commit`), and nobody waits without end (`lock_timeout`,
`statement_timeout`); a client that vanished in the middle of a transaction lets go of its rows after a while.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Self

import structlog
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError

from scheduler.blackboard.database import dump_command, without_password
from scheduler.blackboard.errors import BoardUnavailable
from scheduler.blackboard.faults import translated

STATEMENT_SECONDS: Final = 60
"""No statement of ours takes a second; a migration of a large board may."""
IDLE_SECONDS: Final = 60
"""Between two statements of one transaction."""

# Of no meaning, but ours: advisory locks are one number space per database.
_MIGRATION_LOCK: Final = 0x636C6177_01
_EVENT_LOCK: Final = 0x636C6177_02

_TABLES: Final = text("SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = current_schema()")
_SIZE: Final = text("SELECT pg_database_size(current_database())")
_LOCK: Final = text("SELECT pg_advisory_xact_lock(:lock)")

_log = structlog.get_logger()


class Postgresql:
    """One database. Owner of the pool of connections to it."""

    def __init__(self, engine: Engine, url: str, pool_size: int) -> None:
        self._engine = engine
        self._url = url
        self._pool_size = pool_size
        self._reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._shown = without_password(url)

    @classmethod
    def open(cls, url: str, *, pool_size: int, max_overflow: int, busy_seconds: float) -> Self:
        """Connects to nothing yet. Raises BoardUnavailable for an address that is none."""
        shown = without_password(url)
        try:
            address = make_url(url).set(drivername="postgresql+psycopg")
        except (ArgumentError, ValueError) as error:
            raise BoardUnavailable(f"{shown} is no address of a database") from error
        defaults = {"application_name": "clawpace", "connect_timeout": max(2, round(busy_seconds))}
        engine = create_engine(
            address,
            pool_size=pool_size,
            max_overflow=max_overflow,
            pool_timeout=busy_seconds,
            pool_pre_ping=True,  # a server that was restarted meanwhile costs nobody an error
            hide_parameters=True,
            connect_args={name: value for name, value in defaults.items() if name not in address.query},
        )

        @event.listens_for(engine, "connect")
        def _set(connection: Any, _record: object) -> None:
            with connection.cursor() as cursor:
                cursor.execute(
                    f"SET lock_timeout = {round(busy_seconds * 1000)};"
                    f"SET statement_timeout = '{STATEMENT_SECONDS}s';"
                    f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s';"
                    # Stronger than `on` is somebody's decision and stays.
                    "SELECT set_config('synchronous_commit', 'on', false)"
                    " WHERE current_setting('synchronous_commit') IN ('off', 'local')"
                )
            connection.commit()

        return cls(engine, url, pool_size)

    @property
    def shown(self) -> str:
        return self._shown

    @property
    def most_writers(self) -> int:
        return self._pool_size

    @property
    def together_for(self) -> None:
        return None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with translated(self._shown), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        with translated(self._shown), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        with self.writing() as connection:
            connection.execute(_LOCK, {"lock": _MIGRATION_LOCK})
            yield connection

    def table_names(self, connection: Connection) -> frozenset[str]:
        return frozenset(connection.execute(_TABLES).scalars())

    def keep_order(self, connection: Connection) -> None:
        connection.execute(_LOCK, {"lock": _EVENT_LOCK})

    def save_copy(self, revision: str) -> None:
        """Nothing that we could do better than the server's own tools."""
        hint = f"to keep a copy first: {dump_command(self._url, 'FILE')}"
        _log.warning("schema_migrates", to=revision, hint=hint)

    def size_bytes(self) -> int:
        with self.reading() as connection:
            size: int = connection.execute(_SIZE).scalar_one()
            return size

    def close(self) -> None:
        self._engine.dispose()

    def __repr__(self) -> str:
        return f"<Postgresql {self._shown}>"
