"""Writing what the core has decided, one function per thing. Each is part of its caller's transaction.

The rule: a task is only overwritten by whoever has seen it as it is. Its version is part of the condition, so
where a lock was forgotten somewhere, no row matches and the transaction begins anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    Connection,
    Insert,
    Update,
    bindparam,
    delete,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from scheduler.blackboard.database import Database
from scheduler.blackboard.faults import Collision
from scheduler.blackboard.reading import Loaded
from scheduler.blackboard.rows import ATTEMPT_FIELDS, TASK_FIELDS, Values, all_of, changed, storable
from scheduler.blackboard.tables import (
    attempts,
    comments,
    counters,
    decisions,
    dependencies,
    events,
    observations,
    outputs,
    tasks,
)
from scheduler.core.change import Change
from scheduler.core.errors import Code, Refused
from scheduler.core.records import Attempt, Comment, Decision, Event, Notice, Observation, Output, Record
from scheduler.core.states import Status
from scheduler.core.task import Task, number_of, task_id

if TYPE_CHECKING:  # of no use to one command of the command line, and 20 classes to make
    from scheduler.core.commands import Explain

_COUNT: Final = (
    update(counters)
    .where(counters.c.name == bindparam("counter"))
    .values(value=counters.c.value + 1)
    .returning(counters.c.value)
)
_INSERT_TASK: Final = insert(tasks)
_INSERT_ATTEMPT: Final = insert(attempts)
_INSERT_DEPENDENCY: Final = insert(dependencies)
_DELETE_DEPENDENCIES: Final = delete(dependencies).where(dependencies.c.task == bindparam("number"))
_EXISTING: Final = select(tasks.c.number).where(tasks.c.number.in_(bindparam("numbers", expanding=True)))
_EXPLAIN: Final = (
    update(tasks)
    .where(
        tasks.c.number == bindparam("its_number"),
        # Not `in_`: lists cannot be part of a statement that is executed for many rows at once.
        or_(tasks.c.status == Status.PENDING.value, tasks.c.status == Status.BLOCKED.value),
    )
    .values(
        waiting_because=bindparam("because"),
        expected_start_at=bindparam("expected_at"),
        version=tasks.c.version + 1,
    )
)
_ARCHIVED: Final = (
    update(attempts)
    .where(
        attempts.c.task == bindparam("its_task"),
        attempts.c.epoch == bindparam("its_epoch"),
        attempts.c.archived_at.is_(None),
    )
    .values(archived_at=bindparam("now"))
)
_INSERTS: Final[Mapping[type, Insert | Any]] = {
    Output: insert(outputs),
    Comment: insert(comments),
    Observation: insert(observations),
    Decision: insert(decisions),
    # The same cause again is no news.
    Notice: text(
        'INSERT INTO outbox (cause, "to", text, at, urgent, card) '
        "VALUES (:cause, :to, :text, :at, :urgent, :card) ON CONFLICT (cause) DO NOTHING"
    ),
    # Last: from the first event on, others wait.
    Event: insert(events),
}


def next_number(connection: Connection) -> int:
    """For a new task. Gone for good only with the transaction, so there are no gaps."""
    return _counted(connection, "task")


def _counted(connection: Connection, counter: str) -> int:
    value: int = connection.execute(_COUNT, {"counter": counter}).scalar_one()
    return value


def add_task(connection: Connection, task: Task) -> None:
    """Raises Refused where a dependency is unknown, or somebody has brought the task before."""
    check_known(connection, task.depends_on)
    if task.review_of is not None:
        check_known(connection, (task.review_of,))
    row = all_of(task)
    try:
        connection.execute(_INSERT_TASK, row | {"version": 1, "dependency_count": len(task.depends_on)})
    except IntegrityError as error:
        if task.external_id is None:
            raise
        raise Refused(Code.INVALID, f"{task.source} {task.external_id!r} is on the board already") from error
    _add_dependencies(connection, task)


def check_known(connection: Connection, wanted: Sequence[str]) -> None:
    """Raises Refused (`not_found`)."""
    if not wanted:
        return
    numbers = [number_of(each) for each in wanted]
    found = set(connection.execute(_EXISTING, {"numbers": numbers}).scalars())
    for number in numbers:
        if number not in found:
            raise Refused(Code.NOT_FOUND, f"there is no task {task_id(number)}")


def check_acyclic(connection: Connection, task: Task) -> None:
    """Whether it would wait for itself. Raises Refused (`invalid`)."""
    # One at a time: two that close a circle together would each see half of it.
    _counted(connection, "dependencies")
    numbers = [number_of(each) for each in task.depends_on]
    if connection.execute(_IN_A_CIRCLE, {"numbers": numbers, "number": task.number}).first() is not None:
        raise Refused(Code.INVALID, f"{task.id} would wait for itself, through what it depends on")


def _in_a_circle() -> Any:
    start = select(tasks.c.number).where(tasks.c.number.in_(bindparam("numbers", expanding=True)))
    reached = start.cte("reached", recursive=True)
    reached = reached.union(
        select(dependencies.c.depends_on).join(reached, dependencies.c.task == reached.c.number)
    )
    return select(literal(1)).select_from(reached).where(reached.c.number == bindparam("number"))


_IN_A_CIRCLE: Final = _in_a_circle()


def save(
    connection: Connection, database: Database, before: Loaded, held: Attempt | None, change: Change
) -> None:
    """Everything that `change` says, of a task and its attempt as they were loaded. Raises Collision."""
    _save_task(connection, before, change.task)
    for attempt in (change.ended, change.attempt):
        if attempt is not None:
            _save_attempt(connection, held, attempt)
    add_records(connection, database, change.records)


def _save_task(connection: Connection, before: Loaded, task: Task) -> None:
    values = changed(before.task, task, TASK_FIELDS)
    rewired = task.depends_on != before.task.depends_on
    if rewired:
        values["dependency_count"] = len(task.depends_on)
    if not values:
        return
    condition = {
        "its_number": before.task.number,
        "its_version": before.version,
        "its_status": before.task.status.value,
        "its_epoch": before.task.epoch,
    }
    if connection.execute(_update_task(tuple(values)), values | condition).rowcount != 1:
        raise Collision(f"{before.task.id} was changed meanwhile")
    if rewired:
        connection.execute(_DELETE_DEPENDENCIES, {"number": task.number})
        _add_dependencies(connection, task)


def _add_dependencies(connection: Connection, task: Task) -> None:
    rows = [{"task": task.number, "depends_on": number_of(each)} for each in task.depends_on]
    if rows:
        connection.execute(_INSERT_DEPENDENCY, rows)


# One statement per set of columns; there are as many sets as verbs.
@lru_cache(maxsize=256)
def _update_task(names: tuple[str, ...]) -> Update:
    return (
        update(tasks)
        .where(
            tasks.c.number == bindparam("its_number"),
            tasks.c.version == bindparam("its_version"),
            tasks.c.status == bindparam("its_status"),
            tasks.c.epoch == bindparam("its_epoch"),
        )
        .values({name: bindparam(name) for name in names} | {"version": tasks.c.version + 1})
    )


def _save_attempt(connection: Connection, held: Attempt | None, attempt: Attempt) -> None:
    if held is None or attempt.epoch != held.epoch:
        connection.execute(_INSERT_ATTEMPT, all_of(attempt))
        return
    values = changed(held, attempt, ATTEMPT_FIELDS)
    if values:
        condition = {"its_task": number_of(held.task), "its_epoch": held.epoch}
        connection.execute(_update_attempt(tuple(values)), values | condition)


@lru_cache(maxsize=256)
def _update_attempt(names: tuple[str, ...]) -> Update:
    return (
        update(attempts)
        .where(attempts.c.task == bindparam("its_task"), attempts.c.epoch == bindparam("its_epoch"))
        .values({name: bindparam(name) for name in names})
    )


def add_records(connection: Connection, database: Database, records: Iterable[Record]) -> None:
    """What stands beside tasks, in its order."""
    rows: dict[type, list[Values]] = {}
    for record in records:
        rows.setdefault(type(record), []).append(all_of(record))
    for kind, statement in _INSERTS.items():
        if kind in rows:
            if kind is Event:
                database.keep_order(connection)
            connection.execute(statement, rows[kind] if len(rows[kind]) > 1 else rows[kind][0])


def explain(connection: Connection, explanations: "Sequence[Explain]") -> None:
    """Those that wait no more are left as they are."""
    rows = [
        storable({"its_number": each.number, "because": each.because, "expected_at": each.expected_start_at})
        for each in sorted(explanations, key=attrgetter("number"))  # two at once lock in the same order
    ]
    connection.execute(_EXPLAIN, rows)


def archived(connection: Connection, number: int, epoch: int, now: float) -> None:
    """The first time counts."""
    connection.execute(_ARCHIVED, {"its_task": number, "its_epoch": epoch, "now": now})
