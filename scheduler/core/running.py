"""What becomes of a task when its run begins, ends, never comes about, or is stopped.

The rule: a run belongs to one attempt. If the claim of that attempt is over by then, the run's end is written
down and changes nothing else.
"""

from dataclasses import replace
from typing import Final

from scheduler.core.change import Change, event
from scheduler.core.commands import Then
from scheduler.core.endings import SCHEDULER, give_up, requeue
from scheduler.core.failures import FailureCause, failure_cause
from scheduler.core.halting import block
from scheduler.core.notices import CREATOR, notices
from scheduler.core.records import Attempt, Comment, Run
from scheduler.core.sighting import RunSeen, RunState
from scheduler.core.states import Move, Status
from scheduler.core.task import Task


def started(task: Task, attempt: Attempt, *, now: float) -> Change:
    """The gateway has the run, be it of a claim that is over by now: then it will be stopped."""
    if attempt.run is Run.STARTED:
        return Change(task, (), attempt)
    running = replace(attempt, run=Run.STARTED, started_at=attempt.started_at or now, ended_at=None, end="")
    if not _holds(task, attempt) and running.stop_because is None:
        running = replace(running, stop_because="its claim was over before it began")
    return Change(task, (event(task, task, SCHEDULER, "run_started", now, epoch=attempt.epoch),), running)


def never_started(task: Task, attempt: Attempt, *, why: str, now: float) -> Change:
    """Claimed for a run that did not come about; nobody is to blame, so it costs no attempt.

    But where somebody has written under the claim, it had begun after all.
    """
    if attempt.run is not Run.INTENDED:
        return Change(task, (), attempt)  # proven meanwhile, or over
    ended = replace(attempt, run=Run.ENDED, ended_at=now, end="never_started", error=why)
    if not _holds(task, attempt):
        return Change(task, (), ended)
    if task.status is Status.CLAIMED:
        change = requeue(task, None, Move.NEVER_STARTED, why=why, who=SCHEDULER, now=now)
    else:
        change = give_up(task, None, Move.NO_RESULT, why=why, who=SCHEDULER, now=now)
    return replace(change, attempt=ended)


def refused(task: Task, attempt: Attempt, *, why: str, now: float) -> Change:
    """Claimed for a run that OpenClaw will not have. Once may be bad luck, and is as if it never started.

    Where the task had been requeued before, it is for a person: no pause makes an agent that is not there.
    That costs no attempt either, and whoever lets it go on begins with nothing against it.
    """
    if not task.requeues or task.status is not Status.CLAIMED or not _holds(task, attempt):
        return never_started(task, attempt, why=why, now=now)
    if attempt.run is not Run.INTENDED:
        return Change(task, (), attempt)
    reason = f"OpenClaw refuses to start it: {why}"
    change = block(task, None, reason=reason, who=SCHEDULER, now=now)
    waits = replace(change.task, attempt=max(0, task.attempt - 1), requeues=0)
    ended = replace(attempt, run=Run.ENDED, ended_at=now, end="never_started", error=why)
    told = notices(task, (CREATOR,), "start-refused", f"Blocked: {reason}", now)
    return replace(change, task=waits, attempt=ended).also(*told)


def run_ended(task: Task, attempt: Attempt, seen: RunSeen, *, now: float) -> Change:
    """The run is over. What it wrote stands; what it left undone begins anew, or fails."""
    if not attempt.live:
        return Change(task, (), attempt)
    ended = replace(
        attempt,
        run=Run.ENDED,
        ended_at=now,
        end=str(seen.state),
        error=seen.error,
        turns=max(attempt.turns, seen.turns or 0),
        tokens=seen.tokens or attempt.tokens,
        throttled=max(attempt.throttled, seen.throttled),
    )
    said = event(
        task, task, SCHEDULER, "run_ended", now, epoch=attempt.epoch, end=ended.end, error=seen.error
    )
    if not _holds(task, attempt):
        return Change(task, (said,), ended)
    if seen.state is RunState.FAILED and (cause := failure_cause(seen.error)) is not FailureCause.OTHER:
        change = requeue(task, None, Move.NO_RESULT, why=str(cause), who=SCHEDULER, now=now)
    else:
        why = seen.error or _NOTHING[seen.state]
        change = give_up(task, None, Move.NO_RESULT, why=why, who=SCHEDULER, now=now)
    return replace(change, records=(said, *change.records), attempt=ended)


def run_stopped(task: Task, attempt: Attempt, then: Then, *, why: str, now: float) -> Change:
    """It provably runs no more, because we stopped it.

    A task that has been sent back to it meanwhile begins anew, whatever was planned (`Then.NOTHING`): a claim
    without lease or run would be nobody's to end.
    """
    if not attempt.live:
        return Change(task, (), attempt)
    ended = replace(attempt, run=Run.ENDED, ended_at=now, end="stopped", error=why)
    said = event(task, task, SCHEDULER, "run_ended", now, epoch=attempt.epoch, end="stopped", reason=why)
    if not _holds(task, attempt):
        return Change(task, (said,), ended)
    comment = Comment(task.id, SCHEDULER, now, f"The run was stopped: {why}.")
    if then is Then.BLOCK:
        change = block(task, None, reason=why, who=SCHEDULER, now=now)
    else:
        change = give_up(task, None, Move.RECOVER, why=why, who=SCHEDULER, now=now)
    return replace(change, records=(said, comment, *change.records), attempt=ended)


def _holds(task: Task, attempt: Attempt) -> bool:
    return task.held and task.epoch == attempt.epoch


_NOTHING: Final = {
    RunState.OK: "the run ended without a result",
    RunState.FAILED: "the run failed",
    RunState.ABORTED: "the run was aborted",
    RunState.ABSENT: "the gateway no longer knows the run",
}
