"""The outbox as the store needs it: how much waits, and what was told long ago."""

from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select

from scheduler.blackboard.tables import outbox

_COUNT: Final = select(func.count()).select_from(outbox).where(outbox.c.done_at.is_(None))
_PRUNE: Final = delete(outbox).where(outbox.c.done_at < bindparam("before"))


def count(connection: Connection) -> int:
    """How many are pending."""
    found: int = connection.execute(_COUNT).scalar_one()
    return found


def prune(connection: Connection, before: float) -> int:
    """Those that were told before `before`; how many that were."""
    return connection.execute(_PRUNE, {"before": before}).rowcount
