"""What keeps a task from going on, and what lets it go on again."""

from dataclasses import replace

from scheduler.core.change import FRESH, Change, await_approval, check_text, event, moved, needs_reason, over
from scheduler.core.errors import Code, Refused
from scheduler.core.records import Attempt, Comment
from scheduler.core.states import CLOSED, Move
from scheduler.core.task import BlockedBy, Task


def block(
    task: Task,
    attempt: Attempt | None,
    *,
    reason: str,
    who: str,
    now: float,
    by: BlockedBy = BlockedBy.HAND,
) -> Change:
    """It waits for a person, or for a dependency. Where its own agent did not say so, the run is to end."""
    needs_reason(reason)
    blocked = moved(task, Move.BLOCK, now, **{**FRESH, "blocked_by": by, "blocked_reason": reason})
    happened = event(task, blocked, who, "block", now, reason=reason)
    change = Change(blocked, (happened,), over(attempt, "blocked", now))
    return change if who == task.claimant else _ending(change, reason)


def fail(task: Task, attempt: Attempt | None, *, reason: str, who: str, now: float) -> Change:
    """It will not be done, unless somebody retries it. Its run is to end, as with `block`."""
    needs_reason(reason)
    failed = moved(task, Move.FAIL, now, **{**FRESH, "blocked_reason": reason})
    happened = event(task, failed, who, "fail", now, reason=reason)
    change = Change(failed, (happened,), over(attempt, "failed", now))
    return change if who == task.claimant else _ending(change, reason)


def stop(task: Task, attempt: Attempt | None, *, who: str, now: float) -> Change:
    """The run is to end, and the task waits for a person."""
    change = block(task, attempt, reason=f"stopped by {who}", who=who, now=now)
    return _ending(change, f"stopped by {who}")  # even if its agent is called so


def cancel(task: Task, attempt: Attempt | None, *, reason: str, who: str, now: float) -> Change:
    """The run is to end, and nothing comes of the task."""
    return _ending(fail(task, attempt, reason=reason, who=who, now=now), f"cancelled: {reason}")


def _ending(change: Change, because: str) -> Change:
    if change.attempt is None or not change.attempt.live:
        return change
    return replace(change, attempt=replace(change.attempt, stop_because=because))


def unblock(task: Task, *, who: str, now: float, what: str = "unblock") -> Change:
    """Back to `pending`."""
    left = min(task.attempt, task.max_attempts - 1)  # whoever lets it go on means at least once more
    free = moved(task, Move.UNBLOCK, now, **FRESH, attempt=left, pending_since=now, findings=())
    free = await_approval(free)
    return Change(free, (event(task, free, who, what, now),))


def answer(task: Task, text: str, *, who: str, now: float) -> Change:
    """What a blocked task waited for from a person."""
    if not text.strip():
        raise Refused(Code.INVALID, "there is no answer")
    check_text("answer", text)
    if task.blocked_by is BlockedBy.APPROVAL:
        raise Refused(Code.APPROVAL_REQUIRED, f"{task.id} needs decide --approve, not an answer")
    if task.blocked_by is BlockedBy.DEPENDENCY:
        raise Refused(Code.DEPENDENCY_UNMET, f"{task.id}: {task.blocked_reason}")
    return unblock(task, who=who, now=now, what="answer").also(Comment(task.id, who, now, text))


def retry(task: Task, *, who: str, now: float) -> Change:
    """From `failed`, with all its attempts before it."""
    fresh = moved(
        task,
        Move.RETRY,
        now,
        **{
            **FRESH,
            "attempt": 0,
            "requeues": 0,
            "not_before": None,
            "pending_since": now,
            "findings": (),
            "archived_at": None,
        },
    )
    fresh = await_approval(fresh)
    return Change(fresh, (event(task, fresh, who, "retry", now),))


def archive(task: Task, *, who: str, now: float) -> Change:
    """Out of the lists."""
    if task.status not in CLOSED:
        raise Refused(Code.ILLEGAL_TRANSITION, f"{task.id} is {task.status}: only what is over is archived")
    away = replace(task, archived_at=task.archived_at or now, updated_at=now)
    return Change(away, (event(task, away, who, "archive", now),))
