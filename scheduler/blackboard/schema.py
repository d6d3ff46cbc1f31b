"""Opening a board: is it ours, is it the one we know, and if it is older, making it so.

The rule: opening reads two small tables and nothing else. Alembic is imported only where something is to be
migrated. A migration is one transaction under a lock: another process that starts meanwhile waits for it,
looks again and finds nothing left to do.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, text

from scheduler.blackboard.database import Database
from scheduler.blackboard.errors import BoardUnavailable

LATEST: Final = "0002"
"""Revisions are four digits, so the later is the larger one."""

_REVISION: Final = text("SELECT version_num FROM alembic_version")
OURS: Final = frozenset({"alembic_version", "tasks", "events", "counters"})


def prepare(database: Database, *, create: bool) -> None:
    """Makes sure that the board is one of LATEST. Raises BoardError."""
    with database.reading() as connection:
        if revision(database, connection) == LATEST:
            return
    with database.migrating() as connection:
        found = revision(database, connection)
        if found == LATEST:
            return
        if found is None and not create:
            raise BoardUnavailable(f"{database.shown} is empty: `blackboard init` makes a board of it")
        if found is not None:
            database.save_copy(LATEST)
        _migrate(connection)


def revision(database: Database, connection: Connection) -> str | None:
    """Of the board that is there; None: nothing is there. Raises BoardUnavailable for what is not ours."""
    names = database.table_names(connection)
    if not names:
        return None
    if not names >= OURS:
        others = ", ".join(sorted(names)[:3])
        raise BoardUnavailable(
            f"{database.shown} belongs to something else (it has the tables {others}): "
            "give the board a database of its own"
        )
    found: str | None = connection.execute(_REVISION).scalar()
    if found is None or found > LATEST:
        raise BoardUnavailable(
            f"{database.shown} was made by a newer Clawpace: its schema is {found}, this one knows {LATEST}"
        )
    return found


def _migrate(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - 0.2 s that a migrated board need not spend
    from alembic.config import Config  # noqa: PLC0415 - likewise

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, LATEST)
