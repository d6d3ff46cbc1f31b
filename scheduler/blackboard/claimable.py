"""Which tasks can be claimed, as conditions: what `core.holding.claim` says of one task, said of all.

The rule: a row that is found here is one that the core does not refuse; the machine that drives the board and
its model side by side holds the two together. The states come from the core's table.
"""

from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    and_,
    bindparam,
    exists,
    false,
    or_,
    select,
)

from scheduler.blackboard.tables import dependencies, tasks
from scheduler.core.states import Move, Status, sources
from scheduler.core.task import Approval

_dependency: Final = tasks.alias("dependency")


def in_states(states: frozenset[Status]) -> ColumnElement[bool]:
    """Not IN: with one state left of it, the index also gives the order."""
    return or_(false(), *(tasks.c.status == state.value for state in sorted(states)))


def free(now: BindParameter[float]) -> ColumnElement[bool]:
    """Waiting for nothing but somebody who claims it."""
    return and_(
        in_states(sources(Move.CLAIM)),
        tasks.c.archived_at.is_(None),
        tasks.c.approval != Approval.REQUIRED.value,
        or_(tasks.c.not_before.is_(None), tasks.c.not_before <= now),
        or_(
            tasks.c.dependency_count == 0,
            ~exists(
                select(dependencies.c.task)
                .join(_dependency, _dependency.c.number == dependencies.c.depends_on)
                .where(dependencies.c.task == tasks.c.number, _dependency.c.status != Status.DONE.value)
            ),
        ),
    )


def abandoned(now: BindParameter[float]) -> ColumnElement[bool]:
    """Held under a lease that has ended, with an attempt left: nobody has seen it yet."""
    return and_(
        in_states(sources(Move.EXPIRE)),
        tasks.c.archived_at.is_(None),
        tasks.c.lease_until <= now,
        tasks.c.attempt < tasks.c.max_attempts,
    )


def by_agent(agent: BindParameter[str], as_reviewer: BindParameter[str]) -> ColumnElement[bool]:
    """Nobody else's, and not what this agent is to review."""
    return and_(
        or_(tasks.c.assignee.is_(None), tasks.c.assignee == agent),
        tasks.c.review != as_reviewer,
    )


def by_somebody(now: float) -> ColumnElement[bool]:
    """By its assignee, or by anybody if it has none."""
    at: BindParameter[Any] = bindparam("claimable_at", now)
    return or_(free(at), abandoned(at))
