"""When the board last saw anybody get on with anything."""

from typing import Final

from sqlalchemy import Connection, select

from scheduler.blackboard.store import Store
from scheduler.blackboard.tables import events

# Not claims and starts: where every run fails at once, there are plenty of those. Nor signs of life: what of
# them is progress stands in the tasks' own `progress_at`.
_PROGRESS: Final = ("first_write", "output", "submit", "accept", "checked")
# From the end of the table, which is read no further than to the first that fits.
_LAST: Final = (
    select(events.c.at).where(events.c.what.in_(_PROGRESS)).order_by(events.c.number.desc()).limit(1)
)


def last_progress(store: Store) -> float | None:
    """Unix seconds; None: never."""
    return store.transactions.read(_last)


def _last(connection: Connection) -> float | None:
    return connection.execute(_LAST).scalar_one_or_none()
