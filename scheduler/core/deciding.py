"""Deciding: on a final output, or on high-risk tools."""

from dataclasses import replace

from scheduler.core.change import FRESH, Change, check_text, event, moved, over
from scheduler.core.endings import SCHEDULER
from scheduler.core.errors import Code, Refused
from scheduler.core.halting import block, fail, unblock
from scheduler.core.records import Attempt, Comment, Decision, Verdict
from scheduler.core.states import Move, Status
from scheduler.core.task import Approval, Task, reviewer


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
        return fail(task, attempt, reason=why, who=by, now=now).also(decision)
    if verdict is Verdict.ACCEPT:
        return accept(task, attempt, who=by, now=now).also(decision)
    change = rework(task, attempt, spends=spends, who=by, now=now).also(decision)
    # Whoever does it next reads the thread, not the decisions.
    return change.also(Comment(task.id, by, now, reason)) if reason else change


def _approve(task: Task, by: str, now: float) -> Change:
    if task.approval is not Approval.REQUIRED or task.status is not Status.BLOCKED:
        raise Refused(Code.ILLEGAL_TRANSITION, f"{task.id} does not wait for an approval")
    if by == task.assignee:
        raise Refused(Code.APPROVAL_REQUIRED, f"{by} is its assignee: somebody else has to approve")
    granted = replace(task, approval=Approval.GRANTED)
    return unblock(granted, who=by, now=now, what="approve")


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
    left = task.max_attempts - task.attempt + (0 if spends else 1)
    if left < 1:
        return fail(task, attempt, reason=f"{task.attempt} attempts, and still not right", who=who, now=now)
    later = moved(
        task,
        Move.REWORK_LATER,
        now,
        **{**FRESH, "attempt": task.max_attempts - left, "pending_since": now},
    )
    happened = event(task, later, who, "rework", now)
    return Change(later, (happened,), over(attempt, "reworked", now))


def judge(
    task: Task, attempt: Attempt | None, findings: tuple[str, ...], *, epoch: int, now: float
) -> Change:
    """What the checks of a final output lead to; `findings` empty: all passed.

    The same findings a second time will not be better a third time: a person is asked.
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
    back = rework(replace(task, findings=findings), attempt, spends=True, who=SCHEDULER, now=now).also(said)
    if findings != task.findings or back.task.status is Status.FAILED:
        return back
    question = f"twice the same: {findings[0]}. Is what it expects right, or is something missing?"
    asked = block(back.task, back.attempt, reason=question, who=SCHEDULER, now=now)
    return replace(asked, records=(*back.records, *asked.records))
