"""Claims: of one task, or of the one whose turn it is. Each is the work of its caller's transaction."""

import secrets
from typing import Final

from sqlalchemy import Connection, bindparam, select

from scheduler.blackboard import reading, saving
from scheduler.blackboard.claimable import abandoned, by_agent, free
from scheduler.blackboard.database import Database
from scheduler.blackboard.queries import Claimed
from scheduler.blackboard.reading import Loaded
from scheduler.blackboard.tables import tasks
from scheduler.core import holding
from scheduler.core.claims import ClaimToken, hash_of
from scheduler.core.errors import Code, Refused
from scheduler.core.task import agent_name

_candidate: Final = select(*reading.TASK_COLUMNS).where(
    by_agent(bindparam("agent"), bindparam("as_reviewer"))
)
# Whoever comes second takes the next one instead of waiting for the first.
_NEXT_FREE: Final = (
    _candidate.where(free(bindparam("now")))
    .order_by(tasks.c.priority, tasks.c.pending_since, tasks.c.number)
    .limit(1)
    .with_for_update(of=tasks, key_share=True, skip_locked=True)
)
_NEXT_ABANDONED: Final = (
    _candidate.where(abandoned(bindparam("now")))
    .order_by(tasks.c.lease_until, tasks.c.number)
    .limit(1)
    .with_for_update(of=tasks, key_share=True, skip_locked=True)
)


def claim(
    connection: Connection,
    database: Database,
    task_id: str,
    agent: str,
    lease_seconds: float | None,
    *,
    secret: str | None,
    now: float,
) -> Claimed:
    before = reading.load(connection, task_id, hold=True)
    return _claim(connection, database, before, agent, lease_seconds, secret=secret, now=now)


def claim_next(
    connection: Connection,
    database: Database,
    agent: str,
    lease_seconds: float | None,
    *,
    secret: str | None,
    now: float,
) -> Claimed:
    """What is free; after that, what somebody else held under a lease that has ended."""
    wanted = {"agent": agent_name(agent), "as_reviewer": f"agent:{agent}", "now": now}
    for candidate in (_NEXT_FREE, _NEXT_ABANDONED):
        row = connection.execute(candidate, wanted).first()
        if row is not None:
            before = reading.loaded(connection, row)
            return _claim(connection, database, before, agent, lease_seconds, secret=secret, now=now)
    raise Refused(Code.NOTHING_CLAIMABLE, f"there is nothing that {agent} can claim")


def _claim(
    connection: Connection,
    database: Database,
    before: Loaded,
    agent: str,
    lease_seconds: float | None,
    *,
    secret: str | None,
    now: float,
) -> Claimed:
    task, secret = before.task, secret or secrets.token_urlsafe(24)
    held = reading.present_attempt(connection, task) if task.held else None
    change = holding.claim(
        task,
        reading.unmet(connection, task),
        agent=agent,
        claim_hash=hash_of(secret),
        lease_seconds=lease_seconds,
        now=now,
        previous=held,
    )
    saving.save(connection, database, before, held, change)
    return Claimed(change.task, ClaimToken(task.id, change.task.epoch, secret))
