"""What the board counts of the team, for `core.figures`: five statements, whatever it holds."""

from typing import Final

from sqlalchemy import Connection, bindparam, func, select

from scheduler.blackboard import agents
from scheduler.blackboard.claimable import in_states
from scheduler.blackboard.rows import STATUS
from scheduler.blackboard.store import Store
from scheduler.blackboard.tables import attempts, tasks
from scheduler.core.figures import BoardFacts, Holding, Load, Pile, Reason
from scheduler.core.records import Run
from scheduler.core.states import HELD, OPEN, Status
from scheduler.core.task import task_id


def facts(store: Store, *, since: float, now: float) -> BoardFacts:
    """At one moment. `since`: which runs are counted, by when they were begun."""
    return store.transactions.read(_facts, since, now)


# Who holds a task is whose it is; else it is its assignee's.
_WHOSE: Final = func.coalesce(tasks.c.claimant, tasks.c.assignee)
_PILES: Final = (
    select(
        _WHOSE,
        tasks.c.status,
        func.count(),
        func.min(func.coalesce(tasks.c.pending_since, tasks.c.created_at)),
    )
    .where(in_states(OPEN), tasks.c.archived_at.is_(None))
    .group_by(_WHOSE, tasks.c.status)
)
_HOLDINGS: Final = (
    select(tasks.c.claimant, tasks.c.number, tasks.c.suspect_at)
    .where(in_states(HELD), tasks.c.claimant.is_not(None))
    .order_by(tasks.c.number)
)
_BEGUN: Final = func.coalesce(attempts.c.started_at, attempts.c.claimed_at)
_LOADS: Final = (
    select(
        attempts.c.agent,
        func.count(),
        func.sum(func.coalesce(attempts.c.ended_at, bindparam("now")) - _BEGUN),
    )
    .where(attempts.c.claimed_at >= bindparam("since"), attempts.c.run != Run.NONE.value)
    .group_by(attempts.c.agent)
)
_REASONS: Final = (
    select(tasks.c.assignee, tasks.c.waiting_because, func.count())
    .where(
        tasks.c.status == Status.PENDING.value,
        tasks.c.assignee.is_not(None),
        tasks.c.archived_at.is_(None),
    )
    .group_by(tasks.c.assignee, tasks.c.waiting_because)
)


def _facts(connection: Connection, since: float, now: float) -> BoardFacts:
    time = {"since": since, "now": now}
    records = agents.records(connection)
    return BoardFacts(
        piles=tuple(
            Pile(agent, STATUS[status], count, oldest)
            for agent, status, count, oldest in connection.execute(_PILES)
        ),
        holdings=tuple(
            Holding(agent, task_id(number), suspect is not None)
            for agent, number, suspect in connection.execute(_HOLDINGS)
        ),
        loads=tuple(
            Load(agent, runs, max(0.0, seconds)) for agent, runs, seconds in connection.execute(_LOADS, time)
        ),
        reasons=tuple(
            Reason(agent, because, count) for agent, because, count in connection.execute(_REASONS)
        ),
        paused_until={
            name: record.paused_until for name, record in records.items() if record.paused_until is not None
        },
    )
