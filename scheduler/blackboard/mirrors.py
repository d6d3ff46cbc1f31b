"""What task sources show and were told, written down: one row for each card, issue or line there.

The rule: a row is written together with the change of its task, in one transaction, and only by whoever has
seen the row as it is; whoever has not is refused (`stale_claim`). So there is no task of an item without its
row, no row without its task, and no second task for one item.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, text

from scheduler.blackboard import changing, reading, saving
from scheduler.blackboard import mirror_rows as rows
from scheduler.blackboard.rows import storable
from scheduler.blackboard.store import Store
from scheduler.blackboard.tables import tasks
from scheduler.core.change import Change
from scheduler.core.exchange.intake import again
from scheduler.core.exchange.mirror import Mirror
from scheduler.core.records import Attempt
from scheduler.core.task import Draft, Source, Task

_TAKEN: Final = select(tasks.c.number).where(
    tasks.c.source == bindparam("its_source"), tasks.c.external_id == bindparam("its_id")
)
_REMEMBER: Final = text(
    "INSERT INTO agents (agent, digest) VALUES (:agent, :digest) "
    "ON CONFLICT (agent) DO UPDATE SET digest = excluded.digest"
)

Work = Callable[[Task, Attempt | None], tuple[Change | None, Mirror]]
"""What becomes of a task and of the row, decided on the task as it is."""


def create(store: Store, before: Mirror | None, row: Mirror, draft: Draft, *, now: float) -> Task:
    """The task and its row. Where the item has had a task before, this is its next one."""
    return store.transactions.write(_create, store, before, row, draft=draft, now=now)


def _create(
    connection: Connection, store: Store, before: Mirror | None, row: Mirror, *, draft: Draft, now: float
) -> Task:
    rows.check(connection, before, row)
    if before is None:  # first, because whoever comes second is told so by the row
        rows.put(connection, None, row)
        before = row
    times = 1
    while _taken(connection, row.source, again(row.external_id, times)):
        times += 1
    task = changing.create(
        connection,
        store.database,
        replace(draft, external_id=again(row.external_id, times)),
        high_risk=store.high_risk,
        who=row.source.value,
        now=now,
    )
    rows.put(connection, before, replace(row, task=task.id))
    return task


def _taken(connection: Connection, source: Source, external_id: str) -> bool:
    return connection.execute(_TAKEN, {"its_source": source.value, "its_id": external_id}).first() is not None


def revise(store: Store, before: Mirror, row: Mirror, says: Mapping[str, Any], *, now: float) -> None:
    """What the task says now, none or some of its fields, and what the row knows of it."""
    store.transactions.write(_revise, store, before, row, says=says, now=now)


def _revise(
    connection: Connection, store: Store, before: Mirror, row: Mirror, *, says: Mapping[str, Any], now: float
) -> None:
    rows.check(connection, before, row)
    assert row.task is not None
    if says:
        changing.revise(
            connection,
            store.database,
            row.task,
            says,
            high_risk=store.high_risk,
            who=row.source.value,
            now=now,
        )
    rows.put(connection, before, row)


def change(store: Store, before: Mirror | None, row: Mirror, work: Work) -> Mirror:
    """What `work` makes of the task of `row` and of the row; the row, as it is now."""
    return store.transactions.write(_change, store, before, row, work)


def _change(connection: Connection, store: Store, before: Mirror | None, row: Mirror, work: Work) -> Mirror:
    rows.check(connection, before, row)
    assert row.task is not None
    loaded = reading.load(connection, row.task, hold=True)
    held = reading.present_attempt(connection, loaded.task)
    made, row = work(loaded.task, held)
    if made is not None:
        saving.save(connection, store.database, loaded, held, made)
    rows.put(connection, before, row)
    return row


def put(store: Store, before: Mirror | None, row: Mirror) -> None:
    """The row alone."""
    store.transactions.write(_put, before, row)


def _put(connection: Connection, before: Mirror | None, row: Mirror) -> None:
    rows.check(connection, before, row)
    rows.put(connection, before, row)


def forget(store: Store, row: Mirror) -> None:
    """There is no such row any more."""
    store.transactions.write(_forget, row)


def _forget(connection: Connection, row: Mirror) -> None:
    rows.check(connection, row, row)
    rows.remove(connection, row)


def remember_digest(store: Store, agent: str, digest: str) -> None:
    """Of what `agent` has to do."""
    store.transactions.write(
        lambda connection: connection.execute(_REMEMBER, storable({"agent": agent, "digest": digest}))
    )
