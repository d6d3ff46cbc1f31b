"""The board at one moment, as a tick has to know it: few statements, whatever the board holds."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Connection, Integer, Select, and_, func, select, type_coerce, union

from scheduler.blackboard import agents, reading
from scheduler.blackboard.claimable import in_states
from scheduler.blackboard.rows import STATUS, attempt_of
from scheduler.blackboard.tables import attempts, dependencies, tasks
from scheduler.core.records import Run
from scheduler.core.snapshot import BoardSnapshot, Dependency, Waiting
from scheduler.core.states import HELD, Status
from scheduler.core.task import BlockedBy, Task, number_of

UNARCHIVED: Final = 20
"""Sessions that one tick archives, at most."""

_MAY_RUN: Final = HELD | {Status.REVIEW}
# Ten thousand rows in every tick: plain columns that nothing converts on their way. A pending task always has
# its `pending_since`; in front of the other ones' stands what every task has.
_WAITING: Final = (
    tasks.c.number,
    tasks.c.priority,
    tasks.c.assignee,
    tasks.c.not_before,
    tasks.c.dependency_count,
    type_coerce(tasks.c.dependencies_met, Integer),
    type_coerce(tasks.c.dependency_notified, Integer),
    tasks.c.waiting_because,
    tasks.c.expected_start_at,
)
_PENDING: Final = (
    select(tasks.c.pending_since, *_WAITING)
    .where(tasks.c.archived_at.is_(None), tasks.c.status == Status.PENDING.value)
    .order_by(tasks.c.priority, tasks.c.pending_since, tasks.c.number)
)
_BLOCKED: Final = select(func.coalesce(tasks.c.pending_since, tasks.c.created_at), *_WAITING).where(
    tasks.c.archived_at.is_(None),
    tasks.c.status == Status.BLOCKED.value,
    tasks.c.blocked_by == BlockedBy.DEPENDENCY.value,
)
_HELD: Final = select(*reading.TASK_COLUMNS).where(in_states(_MAY_RUN)).order_by(tasks.c.number)

_waiter: Final = tasks.alias("waiter")
_UNMET: Final = (
    select(dependencies.c.task, tasks.c.number, tasks.c.status, tasks.c.assignee)
    .join(tasks, tasks.c.number == dependencies.c.depends_on)
    .join(_waiter, _waiter.c.number == dependencies.c.task)
    .where(
        tasks.c.status != Status.DONE.value,
        _waiter.c.status.in_([Status.PENDING.value, Status.BLOCKED.value]),
    )
    .order_by(dependencies.c.task, tasks.c.number)
)
# UNION and not OR: each half has an index of its own, and the attempts of years are in this table.
_ATTEMPTS: Final = union(
    select(*reading.ATTEMPT_COLUMNS).where(attempts.c.run.in_([Run.INTENDED.value, Run.STARTED.value])),
    select(*reading.ATTEMPT_COLUMNS)
    .join(tasks, and_(tasks.c.number == attempts.c.task, tasks.c.epoch == attempts.c.epoch))
    .where(in_states(_MAY_RUN)),
)
_UNARCHIVED: Final = (
    select(*reading.ATTEMPT_COLUMNS)
    .where(attempts.c.run == Run.ENDED.value, attempts.c.archived_at.is_(None))
    .order_by(attempts.c.ended_at, attempts.c.task, attempts.c.epoch)
    .limit(UNARCHIVED)
)
_judged: Final = tasks.alias("judged")
_REVIEWS: Final = (
    select(*reading.TASK_COLUMNS)
    .join(_judged, _judged.c.number == tasks.c.review_of)
    .where(_judged.c.status == Status.REVIEW.value)
    .order_by(tasks.c.number)
)


def snapshot(connection: Connection) -> BoardSnapshot:
    """One look; `connection` sees one moment however long it takes."""
    held = _tasks(connection, _HELD)
    return BoardSnapshot(
        held=held,
        waiting=_waiting(connection),
        unmet=_unmet(connection),
        attempts=tuple(
            sorted(map(attempt_of, connection.execute(_ATTEMPTS)), key=attrgetter("claimed_at", "run_id"))
        ),
        reviews={
            number_of(review.review_of): review
            for review in _tasks(connection, _REVIEWS)
            if review.review_of is not None
        },
        agents=agents.records(connection),
        unarchived=tuple(map(attempt_of, connection.execute(_UNARCHIVED))),
    )


def _tasks(connection: Connection, statement: Select[Any]) -> tuple[Task, ...]:
    return reading.tasks_of(connection, connection.execute(statement).all())


def _waiting(connection: Connection) -> tuple[Waiting, ...]:
    pending = _rows(Status.PENDING, connection.execute(_PENDING))
    blocked = _rows(Status.BLOCKED, connection.execute(_BLOCKED))
    if blocked:
        pending = sorted([*pending, *blocked], key=attrgetter("priority", "pending_since", "number"))
    return tuple(pending)


def _rows(status: Status, rows: Iterable[Any]) -> list[Waiting]:
    return [
        Waiting(number, status, priority, agent, since, not_before, count > 0, met > 0, told > 0, why, start)
        for since, number, priority, agent, not_before, count, met, told, why, start in rows
    ]


def _unmet(connection: Connection) -> Mapping[int, tuple[Dependency, ...]]:
    found: defaultdict[int, list[Dependency]] = defaultdict(list)
    for waiter, number, status, assignee in connection.execute(_UNMET):
        found[waiter].append(Dependency(number, STATUS[status], assignee))
    return {waiter: tuple(each) for waiter, each in found.items()}
