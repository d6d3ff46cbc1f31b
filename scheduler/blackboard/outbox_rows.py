"""The outbox as the store needs it: what waits, how much, and what was told long ago."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select, update

from scheduler.blackboard.rows import notice_of
from scheduler.blackboard.tables import outbox
from scheduler.core.records import Notice

NOTICE: Final = (
    outbox.c["to"],
    outbox.c.cause,
    outbox.c.text,
    outbox.c.at,
    outbox.c.urgent,
    outbox.c.card,
)
"""The columns that `notice_of` reads."""
_PENDING: Final = (
    select(outbox.c.number, *NOTICE)
    .where(outbox.c.done_at.is_(None))
    .order_by(outbox.c.number)
    .limit(bindparam("most"))
)
_COUNT: Final = select(func.count()).select_from(outbox).where(outbox.c.done_at.is_(None))
_DONE: Final = (
    update(outbox)
    .where(outbox.c.number == bindparam("its_number"), outbox.c.done_at.is_(None))
    .values(done_at=bindparam("now"))
)
_PRUNE: Final = delete(outbox).where(outbox.c.done_at < bindparam("before"))


def pending(connection: Connection, limit: int) -> Sequence[tuple[int, Notice]]:
    """The oldest first."""
    return [(row[0], notice_of(row[1:])) for row in connection.execute(_PENDING, {"most": limit})]


def count(connection: Connection) -> int:
    """How many are pending."""
    found: int = connection.execute(_COUNT).scalar_one()
    return found


def done(connection: Connection, number: int, now: float) -> None:
    connection.execute(_DONE, {"its_number": number, "now": now})


def prune(connection: Connection, before: float) -> int:
    """Those that were told before `before`; how many that were."""
    return connection.execute(_PRUNE, {"before": before}).rowcount
