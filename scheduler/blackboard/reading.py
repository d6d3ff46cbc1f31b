"""What the board is asked, one function per question. Each takes the connection of one consistent look."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, bindparam, func, select

from scheduler.blackboard import claimable
from scheduler.blackboard.queries import Page, TaskQuery, Thread, page_of
from scheduler.blackboard.rows import (
    ATTEMPT_FIELDS,
    STATUS,
    TASK_FIELDS,
    attempt_of,
    comment_of,
    decision_of,
    event_of,
    observation_of,
    output_of,
    task_of,
)
from scheduler.blackboard.tables import (
    attempts,
    comments,
    decisions,
    dependencies,
    events,
    observations,
    outputs,
    tasks,
)
from scheduler.core.errors import Code, Refused
from scheduler.core.records import Attempt, Event, Output
from scheduler.core.states import Status
from scheduler.core.task import Task, number_of, task_id


class Loaded(NamedTuple):
    """A task, and which version of it this is."""

    task: Task
    version: int


# What `task_of` reads; at the end, what only the statements need.
TASK_COLUMNS: Final = (*(tasks.c[name] for name in TASK_FIELDS), tasks.c.dependency_count, tasks.c.version)
ATTEMPT_COLUMNS: Final = tuple(attempts.c[name] for name in ATTEMPT_FIELDS)

_TASK: Final = select(*TASK_COLUMNS).where(tasks.c.number == bindparam("number"))
# Not plain FOR UPDATE: that would keep out those who only point to the task, with a dependency or an event.
_TASK_HELD: Final = _TASK.with_for_update(key_share=True)
_DEPENDS_ON: Final = (
    select(dependencies.c.depends_on)
    .where(dependencies.c.task == bindparam("number"))
    .order_by(dependencies.c.depends_on)
)
_DEPENDENCIES: Final = (
    select(dependencies.c.task, dependencies.c.depends_on)
    .where(dependencies.c.task.in_(bindparam("numbers", expanding=True)))
    .order_by(dependencies.c.task, dependencies.c.depends_on)
)
_UNMET: Final = (
    select(tasks.c.number)
    .join(dependencies, dependencies.c.depends_on == tasks.c.number)
    .where(dependencies.c.task == bindparam("number"), tasks.c.status != Status.DONE.value)
    .order_by(tasks.c.number)
)
_ATTEMPT: Final = select(*ATTEMPT_COLUMNS).where(
    attempts.c.task == bindparam("number"), attempts.c.epoch == bindparam("epoch")
)
_COUNTS: Final = (
    select(tasks.c.status, func.count()).where(tasks.c.archived_at.is_(None)).group_by(tasks.c.status)
)
_EVENT_COLUMNS: Final = tuple(column for column in events.c if column.name != "number")
_EVENTS_AFTER: Final = (
    select(events.c.number, *_EVENT_COLUMNS)
    .where(events.c.number > bindparam("number"))
    .order_by(events.c.number)
    .limit(bindparam("most"))
)
_LAST_EVENT: Final = select(func.max(events.c.number))


def load(connection: Connection, task: str, *, hold: bool = False) -> Loaded:
    """`hold`: nobody else changes it until the transaction ends. Raises Refused (`not_found`)."""
    number = number_of(task)
    row = connection.execute(_TASK_HELD if hold else _TASK, {"number": number}).first()
    if row is None:
        raise Refused(Code.NOT_FOUND, f"there is no task {task}")
    return loaded(connection, row)


def loaded(connection: Connection, row: Sequence[Any]) -> Loaded:
    """A row of TASK_COLUMNS, whole."""
    *_, dependency_count, version = row
    depends_on = connection.execute(_DEPENDS_ON, {"number": row[0]}).scalars() if dependency_count else ()
    return Loaded(task_of(row, depends_on), version)


def tasks_of(connection: Connection, rows: Sequence[Sequence[Any]]) -> tuple[Task, ...]:
    """Rows of TASK_COLUMNS, whole, in their order."""
    depends_on: defaultdict[int, list[int]] = defaultdict(list)
    if numbers := [row[0] for row in rows if row[-2]]:
        for number, other in connection.execute(_DEPENDENCIES, {"numbers": numbers}):
            depends_on[number].append(other)
    return tuple(task_of(row, depends_on.get(row[0], ())) for row in rows)


def page(connection: Connection, query: TaskQuery) -> Page:
    """Raises Refused (`invalid`)."""
    after = query.after()
    statement = select(*TASK_COLUMNS).where(tasks.c.number > after)
    for condition in _conditions(query):
        statement = statement.where(condition)
    rows = connection.execute(statement.order_by(tasks.c.number).limit(query.limit + 1)).all()
    return page_of(tasks_of(connection, rows), query.limit)


def _conditions(query: TaskQuery) -> Iterable[Any]:
    if query.statuses:
        yield tasks.c.status.in_([status.value for status in query.statuses])
    if query.assignee is not None:
        yield tasks.c.assignee == query.assignee
    if not query.archived:
        yield tasks.c.archived_at.is_(None)
    if query.claimable_at is not None:
        yield claimable.by_somebody(query.claimable_at)


def thread(connection: Connection, task: str) -> Thread:
    """Raises Refused (`not_found`)."""
    number = load(connection, task).task.number

    def beside(statement: Select[Any]) -> Sequence[Any]:
        return connection.execute(statement, {"number": number}).all()

    return Thread(
        outputs=outputs_of(connection, number),
        comments=tuple(map(comment_of, beside(_COMMENTS))),
        observations=tuple(map(observation_of, beside(_OBSERVATIONS))),
        decisions=tuple(map(decision_of, beside(_DECISIONS))),
        attempts=tuple(map(attempt_of, beside(_ATTEMPTS))),
        events=tuple(map(event_of, beside(_EVENTS))),
    )


def _in_order(table: Any) -> Select[Any]:
    columns = [column for column in table.c if column.name != "number"]
    return select(*columns).order_by(table.c.number)


def _beside(table: Any) -> Select[Any]:
    return _in_order(table).where(table.c.task == bindparam("number"))


_ALL_OUTPUTS: Final = _in_order(outputs)
_OUTPUTS: Final = _beside(outputs)
_OUTPUTS_OF_EPOCH: Final = _OUTPUTS.where(outputs.c.epoch == bindparam("epoch"))
_COMMENTS: Final = _beside(comments)
_OBSERVATIONS: Final = _beside(observations)
_DECISIONS: Final = _beside(decisions)
_EVENTS: Final = _beside(events)
_ATTEMPTS: Final = (
    select(*ATTEMPT_COLUMNS).where(attempts.c.task == bindparam("number")).order_by(attempts.c.epoch)
)


def outputs_of(connection: Connection, number: int, epoch: int | None = None) -> tuple[Output, ...]:
    """All of them without an `epoch`. The oldest first."""
    statement = _OUTPUTS if epoch is None else _OUTPUTS_OF_EPOCH
    return tuple(map(output_of, connection.execute(statement, {"number": number, "epoch": epoch})))


def all_outputs(connection: Connection) -> tuple[Output, ...]:
    return tuple(map(output_of, connection.execute(_ALL_OUTPUTS)))


def attempt(connection: Connection, number: int, epoch: int) -> Attempt | None:
    row = connection.execute(_ATTEMPT, {"number": number, "epoch": epoch}).first()
    return None if row is None else attempt_of(row)


def present_attempt(connection: Connection, task: Task) -> Attempt | None:
    """The one of its present epoch; a task that nobody has claimed has none."""
    return attempt(connection, task.number, task.epoch) if task.epoch else None


def unmet(connection: Connection, task: Task) -> tuple[str, ...]:
    """What it waits for: the dependencies that are not done."""
    if not task.depends_on:
        return ()
    return tuple(map(task_id, connection.execute(_UNMET, {"number": task.number}).scalars()))


def counts(connection: Connection) -> Mapping[Status, int]:
    """How many of each state are not archived."""
    found = {STATUS[status]: count for status, count in connection.execute(_COUNTS)}
    return {status: found.get(status, 0) for status in Status}


def events_after(connection: Connection, number: int, limit: int) -> Sequence[tuple[int, Event]]:
    rows = connection.execute(_EVENTS_AFTER, {"number": number, "most": limit})
    return [(row[0], event_of(row[1:])) for row in rows]


def last_event(connection: Connection) -> int:
    """0: nothing has happened yet."""
    return connection.execute(_LAST_EVENT).scalar() or 0
