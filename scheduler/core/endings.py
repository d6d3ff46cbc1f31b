"""An attempt that came to nothing: the next one after a pause, or none."""

from typing import Final

from scheduler.core.change import FRESH, Change, event, moved, over
from scheduler.core.claims import expired
from scheduler.core.errors import Code, Refused
from scheduler.core.halting import fail
from scheduler.core.notices import CREATOR, notices
from scheduler.core.records import Attempt
from scheduler.core.states import Move, after
from scheduler.core.task import Task

SCHEDULER: Final = "scheduler"
"""Who did it, in the events, where it was neither a person nor an agent."""

BACKOFF_SECONDS: Final = (60.0, 300.0, 900.0)


def backoff(times: int) -> float:
    """Seconds to wait after the `times`-th failure in a row: 1, 5, then 15 minutes."""
    return BACKOFF_SECONDS[min(max(times, 1), len(BACKOFF_SECONDS)) - 1]


def give_up(task: Task, attempt: Attempt | None, move: Move, *, why: str, who: str, now: float) -> Change:
    """The attempt is spent: the next one after a pause, or `failed` when there is none left."""
    if task.attempt >= task.max_attempts:
        after(task.status, move)
        reason = f"{task.attempt} of {task.max_attempts} attempts, the last: {why}"
        told = notices(task, (CREATOR,), "failed", f"failed: {reason}", now)
        return fail(task, attempt, reason=reason, who=who, now=now).also(*told)
    back = moved(
        task,
        move,
        now,
        **{**FRESH, "not_before": now + backoff(task.attempt), "pending_since": now, "requeues": 0},
    )
    happened = event(task, back, who, str(move), now, reason=why)
    return Change(back, (happened,), over(attempt, str(move), now))


def requeue(task: Task, attempt: Attempt | None, move: Move, *, why: str, who: str, now: float) -> Change:
    """The world was in the way, not the agent: the attempt is given back, with a pause that grows."""
    times = task.requeues + 1
    back = moved(
        task,
        move,
        now,
        **{
            **FRESH,
            "attempt": max(0, task.attempt - 1),
            "requeues": times,
            "not_before": now + backoff(times),
            "pending_since": now,
        },
    )
    happened = event(task, back, who, "requeue", now, reason=why)
    return Change(back, (happened,), over(attempt, "requeued", now))


def expire(task: Task, attempt: Attempt | None, *, now: float) -> Change:
    """The lease of a claim by hand has ended."""
    if not expired(task, now):
        raise Refused(Code.ILLEGAL_TRANSITION, f"the lease on {task.id} has not ended")
    if task.attempt >= task.max_attempts:
        return give_up(task, attempt, Move.EXPIRE, why="the lease ended", who=SCHEDULER, now=now)
    free = moved(task, Move.EXPIRE, now, **{**FRESH, "pending_since": now})
    happened = event(task, free, SCHEDULER, "expire", now, claimant=task.claimant)
    return Change(free, (happened,), over(attempt, "expired", now))
