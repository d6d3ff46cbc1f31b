"""What is asked about task sources and what they were told.

The rule: of ten thousand rows that are quiet, none is read to find that out.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Final

from sqlalchemy import Connection, and_, bindparam, case, func, select

from scheduler.blackboard import reading
from scheduler.blackboard.claimable import in_states
from scheduler.blackboard.mirror_rows import COLUMNS, row_of
from scheduler.blackboard.rows import attempt_of
from scheduler.blackboard.store import Store
from scheduler.blackboard.tables import agents, attempts, dependencies, events, mirrors, tasks
from scheduler.core.exchange.intake import Known
from scheduler.core.exchange.items import Stage
from scheduler.core.exchange.mirror import OVER
from scheduler.core.exchange.sameness import title_key
from scheduler.core.states import OPEN, Status
from scheduler.core.task import Source, Task, number_of, task_id

AT_ONCE: Final = 5_000
"""Ids in one statement: SQLite takes 32,766, PostgreSQL 65,535."""

_of_source: Final = mirrors.c.source == bindparam("its_source")
_ROWS: Final = select(*COLUMNS).where(
    _of_source, mirrors.c.external_id.in_(bindparam("its_ids", expanding=True))
)
_TASKS: Final = select(*reading.TASK_COLUMNS).where(tasks.c.number.in_(bindparam("numbers", expanding=True)))
_BY_ID: Final = select(*reading.TASK_COLUMNS).where(
    tasks.c.source == bindparam("its_source"), tasks.c.external_id.in_(bindparam("its_ids", expanding=True))
)
_ATTEMPTS: Final = (
    select(*reading.ATTEMPT_COLUMNS)
    .join(tasks, and_(tasks.c.number == attempts.c.task, tasks.c.epoch == attempts.c.epoch))
    .where(tasks.c.number.in_(bindparam("numbers", expanding=True)))
)
_OF_TASKS: Final = select(mirrors.c.task, mirrors.c.source, mirrors.c.external_id, mirrors.c.stage).where(
    mirrors.c.task.in_(bindparam("numbers", expanding=True))
)
_OPEN_TITLES: Final = select(tasks.c.number, tasks.c.title, tasks.c.external_id).where(
    in_states(OPEN), tasks.c.archived_at.is_(None), tasks.c.source != bindparam("its_source")
)
_LAST_EVENT: Final = select(func.coalesce(func.max(events.c.number), 0))
_TOUCHED: Final = (
    select(mirrors.c.external_id)
    .join(events, events.c.task == mirrors.c.task)
    .where(_of_source, events.c.number > bindparam("after"))
    .distinct()
)
# What is told already, as far as SQL can say: a row too many is looked at once, and found to be quiet.
_SAID: Final = case(
    (tasks.c.status == Status.PENDING.value, Stage.TODO.value),
    (tasks.c.status == Status.DONE.value, Stage.DONE.value),
    (tasks.c.status == Status.FAILED.value, Stage.BLOCKED.value),
    else_="",
)
_UNSETTLED: Final = (
    select(mirrors.c.external_id)
    .join(tasks, tasks.c.number == mirrors.c.task)
    .where(_of_source, mirrors.c.told != _SAID)
)
_EXPECTED: Final = (
    select(mirrors.c.external_id)
    .join(tasks, tasks.c.number == mirrors.c.task)
    .where(
        tasks.c.assignee == bindparam("agent"),
        in_states(OPEN),
        _of_source,
        mirrors.c.stage == Stage.TODO.value,
    )
)
_UNDER_WAY: Final = (
    select(mirrors.c.external_id)
    .join(tasks, tasks.c.number == mirrors.c.task)
    .where(in_states(OPEN), _of_source, mirrors.c.stage != Stage.TODO.value)
)
_NOT_OURS: Final = select(mirrors.c.external_id).where(mirrors.c.task.is_(None), _of_source)
_OPEN: Final = (
    select(func.count())
    .select_from(mirrors)
    .join(tasks, tasks.c.number == mirrors.c.task)
    .where(in_states(OPEN), _of_source, mirrors.c.stage.not_in([each.value for each in OVER]))
)
_DEPENDANTS: Final = (
    select(*reading.TASK_COLUMNS)
    .join(dependencies, dependencies.c.task == tasks.c.number)
    .where(
        dependencies.c.depends_on == bindparam("number"),
        in_states(frozenset({Status.PENDING, Status.BLOCKED})),
    )
    .order_by(tasks.c.number)
)
_DIGEST: Final = select(agents.c.digest).where(agents.c.agent == bindparam("its_agent"))


def known(store: Store, source: Source, external_ids: Iterable[str]) -> Mapping[str, Known]:
    """What the board has of these; what is missing it has not."""
    return store.transactions.read(_known, source, sorted(set(external_ids)))


def _known(connection: Connection, source: Source, external_ids: Sequence[str]) -> Mapping[str, Known]:
    found: dict[str, Known] = {}
    for begin in range(0, len(external_ids), AT_ONCE):
        found |= _some(connection, source, external_ids[begin : begin + AT_ONCE])
    return found


def _some(connection: Connection, source: Source, external_ids: Sequence[str]) -> Mapping[str, Known]:
    wanted = {"its_source": source.value, "its_ids": list(external_ids)}
    rows = [row_of(each) for each in connection.execute(_ROWS, wanted)]
    by_hand = {
        task.external_id or "": task
        for task in reading.tasks_of(connection, connection.execute(_BY_ID, wanted).all())
    }
    numbers = sorted({number_of(row.task) for row in rows if row.task is not None})
    here = {task.id: task for task in _tasks(connection, numbers)}
    newest = {
        each.task: each for each in map(attempt_of, connection.execute(_ATTEMPTS, {"numbers": numbers}))
    }
    shared = _others(connection, numbers)
    theirs = _theirs(connection, source, here.values())
    found = {
        row.external_id: Known(
            row,
            here.get(row.task or ""),
            newest.get(row.task or ""),
            alone=not (shared.get(row.task or "", frozenset()) - {(row.source, row.external_id)}),
            theirs=theirs,
        )
        for row in rows
    }
    return {each: Known(task=task) for each, task in by_hand.items() if each not in found} | found


def _tasks(connection: Connection, numbers: Collection[int]) -> tuple[Task, ...]:
    return reading.tasks_of(connection, connection.execute(_TASKS, {"numbers": list(numbers)}).all())


def _others(connection: Connection, numbers: Sequence[int]) -> Mapping[str, frozenset[tuple[Source, str]]]:
    """The items of each task that are not over."""
    found: dict[str, frozenset[tuple[Source, str]]] = {}
    for number, source, external_id, stage in connection.execute(_OF_TASKS, {"numbers": list(numbers)}):
        if Stage(stage) not in OVER:
            task = task_id(number)
            found[task] = found.get(task, frozenset()) | {(Source(source), external_id)}
    return found


def _theirs(connection: Connection, source: Source, here: Iterable[Task]) -> frozenset[str]:
    """What these tasks depend on that `source` has too."""
    numbers = sorted({number_of(each) for task in here for each in task.depends_on})
    if not numbers:
        return frozenset()
    rows = connection.execute(_OF_TASKS, {"numbers": numbers})
    return frozenset(task_id(number) for number, of, _, _ in rows if of == source.value)


def one(store: Store, source: Source, external_id: str) -> Known:
    """What the board has of this one, maybe nothing."""
    return known(store, source, [external_id]).get(external_id, Known())


def candidates(
    store: Store, source: Source, titles: Collection[str], external_ids: Collection[str]
) -> Sequence[tuple[Task, frozenset[str]]]:
    """The open tasks that may be about the same as an item of `source` with such a title (`title_key`) or
    such an id; each with its ids in the sources that have it. `source` has none of them yet.
    """
    return store.transactions.read(_candidates, source, titles, external_ids)


def _candidates(
    connection: Connection, source: Source, titles: Collection[str], external_ids: Collection[str]
) -> Sequence[tuple[Task, frozenset[str]]]:
    numbers = [
        number
        for number, title, own in connection.execute(_OPEN_TITLES, {"its_source": source.value})
        if own in external_ids or title_key(title) in titles
    ]
    ids: dict[int, set[str]] = {number: set() for number in numbers}
    here: set[int] = set()
    for number, of, external_id, _ in connection.execute(_OF_TASKS, {"numbers": numbers}):
        ids[number].add(external_id)
        here |= {number} if of == source.value else set()
    return [
        (task, frozenset(ids[task.number] | ({task.external_id} if task.external_id else set())))
        for task in sorted(_tasks(connection, numbers), key=attrgetter("number"))
        if task.number not in here
    ]


def news(store: Store, source: Source, after: int | None) -> tuple[int, tuple[str, ...]]:
    """The last event there is, and the items whose tasks something has happened to since `after`.

    None: all that may have something to be told.
    """
    return store.transactions.read(_news, source, after)


def _news(connection: Connection, source: Source, after: int | None) -> tuple[int, tuple[str, ...]]:
    last: int = connection.execute(_LAST_EVENT).scalar_one()
    if after is None:
        rows = connection.execute(_UNSETTLED, {"its_source": source.value})
    elif after == last:
        return last, ()
    else:
        rows = connection.execute(_TOUCHED, {"its_source": source.value, "after": after})
    return last, tuple(sorted(rows.scalars()))


def expected(store: Store, source: Source, agent: str) -> frozenset[str]:
    """What should be in the list of what `agent` has to do there."""
    return store.transactions.read(
        lambda connection: frozenset(
            connection.execute(_EXPECTED, {"its_source": source.value, "agent": agent}).scalars()
        )
    )


def under_way(store: Store, source: Source) -> Sequence[str]:
    """What should be in the list of what is in progress there, ours or not."""
    wanted = {"its_source": source.value}
    return store.transactions.read(
        lambda connection: sorted(
            {
                *connection.execute(_UNDER_WAY, wanted).scalars(),
                *connection.execute(_NOT_OURS, wanted).scalars(),
            }
        )
    )


def dependants(store: Store, task: str) -> tuple[Task, ...]:
    """What waits for `task`."""
    return store.transactions.read(
        lambda connection: reading.tasks_of(
            connection, connection.execute(_DEPENDANTS, {"number": number_of(task)}).all()
        )
    )


def count_open(store: Store, source: Source) -> int:
    """Items that are open there and here."""
    found: int = store.transactions.read(
        lambda connection: connection.execute(_OPEN, {"its_source": source.value}).scalar_one()
    )
    return found


def digest(store: Store, agent: str) -> str | None:
    """Of what `agent` had to do at the last look; None: there was none."""
    found: str | None = store.transactions.read(
        lambda connection: connection.execute(_DIGEST, {"its_agent": agent}).scalar()
    )
    return found
