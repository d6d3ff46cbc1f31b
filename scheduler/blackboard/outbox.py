"""The outbox: what somebody has yet to be told, and what they were told.

The rule: a row is crossed off when its news has been taken, or when nobody will take it, and then `error`
says why. Until then the row says how often it was tried, and when it will be next.
"""

from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, select, update

from scheduler.blackboard.rows import notice_of
from scheduler.blackboard.store import Store
from scheduler.blackboard.tables import outbox
from scheduler.core.notices import Unsent

_NOTICE: Final = (
    outbox.c["to"],
    outbox.c.cause,
    outbox.c.text,
    outbox.c.at,
    outbox.c.urgent,
    outbox.c.card,
)
"""The columns that `notice_of` reads."""
_ADDRESSEES: Final = select(outbox.c["to"]).where(outbox.c.done_at.is_(None)).distinct()
_UNSENT: Final = (
    select(outbox.c.number, outbox.c.tries, outbox.c.next_try_at, *_NOTICE)
    .where(outbox.c.done_at.is_(None), outbox.c["to"].in_(bindparam("names", expanding=True)))
    .order_by(outbox.c.urgent.desc(), outbox.c.number)
    .limit(bindparam("most"))
)
_THESE: Final = (outbox.c.number.in_(bindparam("numbers", expanding=True)), outbox.c.done_at.is_(None))
_CROSS_OFF: Final = (
    update(outbox)
    .where(*_THESE)
    .values(done_at=bindparam("now"), error=bindparam("why"), tries=outbox.c.tries + 1, next_try_at=None)
)
_PUT_OFF: Final = (
    update(outbox)
    .where(*_THESE)
    .values(next_try_at=bindparam("until"), error=bindparam("why"), tries=outbox.c.tries + 1)
)
_CAUSES: Final = (
    select(outbox.c.cause, outbox.c.at)
    .where(outbox.c.cause.startswith(bindparam("beginning"), autoescape=False))
    .order_by(outbox.c.number)
)


def addressees(store: Store) -> frozenset[str]:
    """For whom something waits, by the names in the notices."""
    return store.transactions.read(_addressees)


def unsent(store: Store, names: Collection[str], limit: int) -> Sequence[Unsent]:
    """What waits for them: urgent ones first, then the oldest."""
    return store.transactions.read(_unsent, names, limit)


def cross_off(store: Store, numbers: Sequence[int], *, now: float, error: str = "") -> None:
    """They were told; with an `error`, nobody there will ever take it."""
    store.transactions.write(_cross_off, numbers, now, error)


def put_off(store: Store, numbers: Sequence[int], *, until: float, error: str) -> None:
    """It did not work, and is tried again at `until`."""
    store.transactions.write(_put_off, numbers, until, error)


def causes(store: Store, beginning: str) -> Sequence[tuple[str, float]]:
    """Every cause with this beginning (plain letters), told or not, and when it was; in order."""
    return store.transactions.read(_causes, beginning)


def _addressees(connection: Connection) -> frozenset[str]:
    return frozenset(connection.execute(_ADDRESSEES).scalars())


def _unsent(connection: Connection, names: Collection[str], limit: int) -> Sequence[Unsent]:
    rows = connection.execute(_UNSENT, {"names": sorted(names), "most": limit})
    return [Unsent(row[0], notice_of(row[3:]), tries=row[1], next_try_at=row[2]) for row in rows]


def _cross_off(connection: Connection, numbers: Sequence[int], now: float, error: str) -> None:
    connection.execute(_CROSS_OFF, {"numbers": list(numbers), "now": now, "why": error})


def _put_off(connection: Connection, numbers: Sequence[int], until: float, error: str) -> None:
    connection.execute(_PUT_OFF, {"numbers": list(numbers), "until": until, "why": error})


def _causes(connection: Connection, beginning: str) -> Sequence[tuple[str, float]]:
    rows = connection.execute(_CAUSES, {"beginning": beginning})
    return [(cause, at) for cause, at in rows]
