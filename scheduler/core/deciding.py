"""Deciding: on a final output, or on high-risk tools."""

from dataclasses import replace

from scheduler.core.change import FRESH, Change, check_text, event, moved, over
from scheduler.core.endings import SCHEDULER
from scheduler.core.errors import Code, Refused
from scheduler.core.halting import block, cancel, fail, unblock
from scheduler.core.notices import CREATOR, notices
from scheduler.core.records import Attempt, Comment, Decision, Verdict
from scheduler.core.states import Move, Status, after
from scheduler.core.task import Approval, BlockedBy, Task, reviewer


def decide(
    task: Task,
    attempt: Attempt | None,
    verdict: Verdict,
    *,
    by: str,
    reason: str,
    spends: bool = False,
    now: float,
) -> Change:
    """A person's word (or a reviewer's): on a final output, or on high-risk tools. `spends`: see `rework`."""
    check_text("reason", reason)
    decision = Decision(task.id, by, now, verdict, reason)
    if verdict is Verdict.APPROVE:
        return _approve(task, by, now).also(decision)
    if verdict is Verdict.REJECT:
        why = reason or f"rejected by {by}"
        return cancel(task, attempt, reason=why, who=by, now=now).also(decision)
    if verdict is Verdict.ACCEPT:
        return accept(task, attempt, who=by, now=now).also(decision)
    change = rework(task, attempt, spends=spends, who=by, now=now).also(decision)
    # Whoever does it next reads the thread, not the decisions.
    return change.also(Comment(task.id, by, now, reason)) if reason else change


def _approve(task: Task, by: str, now: float) -> Change:
    if task.approval is not Approval.REQUIRED or task.status is not Status.BLOCKED:
        raise Refused(Code.ILLEGAL_TRANSITION, f"{task.id} does not wait for an approval")
    if by.strip().lower() == task.assignee:
        raise Refused(Code.APPROVAL_REQUIRED, f"{by} is its assignee: somebody else has to approve")
    granted = replace(task, approval=Approval.GRANTED, updated_at=now)
    if task.blocked_by is BlockedBy.APPROVAL:
        return unblock(granted, who=by, now=now, what="approve")
    # What else it waits for is still open.
    return Change(granted, (event(task, granted, by, "approve", now),))


def accept(task: Task, attempt: Attempt | None, *, who: str, now: float) -> Change:
    """Done."""
    done = moved(task, Move.ACCEPT, now, **{**FRESH, "requeues": 0})
    return Change(done, (event(task, done, who, "accept", now),), over(attempt, "ok", now))


def rework(task: Task, attempt: Attempt | None, *, spends: bool, who: str, now: float) -> Change:
    """Not good enough: back to the run that made it, if it lives, else to the next attempt.

    `spends`: what a machine or an agent sends back costs an attempt, what a person sends back does not.
    """
    if attempt is not None and attempt.live and attempt.stop_because is None:
        back = moved(task, Move.REWORK, now, progress_at=now, checked_at=None, waiting_because=None)
        return Change(back, (event(task, back, who, "rework", now),), attempt)
    after(task.status, Move.REWORK_LATER)
    spent = task.attempt - (0 if spends else 1)
    if spent >= task.max_attempts:
        reason = f"{task.attempt} attempts, and still not right"
        told = notices(task, (CREATOR,), "failed", f"failed: {reason}", now)
        return fail(task, attempt, reason=reason, who=who, now=now).also(*told)
    later = moved(
        task,
        Move.REWORK_LATER,
        now,
        **{**FRESH, "attempt": spent, "pending_since": now, "requeues": 0},
    )
    happened = event(task, later, who, "rework", now)
    return Change(later, (happened,), over(attempt, "reworked", now))


def judge(
    task: Task, attempt: Attempt | None, findings: tuple[str, ...], *, epoch: int, now: float
) -> Change:
    """What the checks of a final output lead to; `findings` empty: all passed.

    The same finding a second time will not be better a third time: a person is asked, also after the last
    attempt, as an answer is worth a further one.
    """
    if task.status is not Status.REVIEW or task.epoch != epoch:
        raise Refused(Code.STALE_CLAIM, f"{task.id} has gone on since it was checked")
    if not findings:
        if task.review == "accept_nonempty":
            return accept(task, attempt, who=SCHEDULER, now=now)
        judge = reviewer(task.review)
        waits = "waits for a person to accept it" if judge is None else f"waits for {judge} to review it"
        passed = replace(task, checked_at=now, updated_at=now, findings=(), waiting_because=waits)
        return Change(passed, (event(task, passed, SCHEDULER, "checked", now),), attempt)
    said = Comment(task.id, SCHEDULER, now, "The output was sent back:\n" + "\n".join(findings))
    again = [each for each in findings if each in task.findings]
    marked = replace(task, findings=findings)
    back = rework(marked, attempt, spends=not again, who=SCHEDULER, now=now).also(said)
    if not again:
        return back
    question = f"twice the same: {again[0]}. Is what it expects right, or is something missing?"
    spent = replace(back.task, attempt=task.attempt)
    asked = block(spent, back.attempt, reason=question, who=SCHEDULER, now=now)
    return replace(asked, records=(*back.records, *asked.records))
