"""What the daemon writes on a card while others work on it: warnings, excuses, freed dependants.

Each verb first makes sure that the task still is what the plan saw: an outdated plan raises `Refused` and
changes nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from scheduler.core import endings
from scheduler.core.change import Change, event
from scheduler.core.commands import (
    BecameClaimable,
    BlockDependant,
    Command,
    CountTurns,
    Excuse,
    Expire,
    FreeDependant,
    Suspect,
    TellDependency,
    TellReviewFailed,
    TooManyTurns,
    WarnTurns,
)
from scheduler.core.endings import SCHEDULER
from scheduler.core.errors import Code, Refused
from scheduler.core.halting import block, unblock
from scheduler.core.notices import CREATOR, notices
from scheduler.core.records import Attempt, Comment
from scheduler.core.states import Status
from scheduler.core.task import BlockedBy, Task


def excuse(task: Task, attempt: Attempt | None, asked: Excuse, *, now: float) -> Change:
    """It waited: neither stall nor age counts this time. Written without an event, as it is no news."""
    _still(task, asked.epoch)
    excused = attempt and replace(attempt, excused_seconds=attempt.excused_seconds + asked.seconds)
    return Change(replace(task, excused_at=now, suspect_at=None), (), excused)


def suspect(task: Task, attempt: Attempt | None, asked: Suspect, *, now: float) -> Change:
    """Said on the card and to those who should know; it starts nothing."""
    _still(task, asked.epoch)
    if task.suspect_at is not None or now - (task.progress_at or 0.0) < asked.seconds - 1:
        raise _outdated(task)
    text = f"No progress for {asked.seconds / 60:.0f} min: {task.claimant} may be stuck."
    marked = replace(task, suspect_at=now, updated_at=now)
    return Change(
        marked,
        (
            event(task, marked, SCHEDULER, "suspect", now, seconds=asked.seconds),
            Comment(task.id, SCHEDULER, now, text),
            *notices(task, asked.notify, f"suspect:{now:.0f}", text, now),
        ),
        attempt,
    )


def warn_turns(task: Task, attempt: Attempt | None, asked: WarnTurns, *, now: float) -> Change:
    """Most of its turns are spent."""
    _still(task, asked.epoch)
    text = f"{asked.turns} of {asked.limit} turns are spent."
    warned = replace(task, turns_warned=True, updated_at=now)
    return Change(
        warned,
        (
            event(task, warned, SCHEDULER, "turns_warning", now, turns=asked.turns, limit=asked.limit),
            Comment(task.id, SCHEDULER, now, text),
            *notices(task, asked.notify, "turns", text, now),
        ),
        attempt,
    )


def count_turns(task: Task, attempt: Attempt | None, asked: CountTurns, *, now: float) -> Change:
    """A further turn is progress, whoever counted it."""
    _still(task, asked.epoch)
    counted = replace(task, turns=max(asked.turns, task.turns), progress_at=now, suspect_at=None)
    return Change(counted, (), attempt and replace(attempt, turns=counted.turns))


def expire(task: Task, attempt: Attempt | None, asked: Expire, *, now: float) -> Change:
    """The lease of a claim by hand has ended."""
    _still(task, asked.epoch)
    return endings.expire(task, attempt, now=now)


def too_many_turns(task: Task, attempt: Attempt | None, asked: TooManyTurns, *, now: float) -> Change:
    """The limit under a claim by hand: there is no run to stop first."""
    _still(task, asked.epoch)
    change = block(task, attempt, reason=asked.why, who=SCHEDULER, now=now)
    return change.also(*notices(task, asked.notify, "turn-limit", f"Blocked: {asked.why}.", now))


def block_dependant(task: Task, attempt: Attempt | None, asked: BlockDependant, *, now: float) -> Change:
    """What it depends on has failed."""
    reason = f"{asked.failed}, which it depends on, has failed"
    if task.status is not Status.PENDING:
        raise _outdated(task)
    return block(task, attempt, reason=reason, who=SCHEDULER, now=now, by=BlockedBy.DEPENDENCY)


def free_dependant(task: Task, _: Attempt | None, asked: FreeDependant, *, now: float) -> Change:
    """What it depends on goes on, or is no longer one."""
    del asked
    if task.blocked_by is not BlockedBy.DEPENDENCY:
        raise _outdated(task)
    return unblock(task, who=SCHEDULER, now=now)


def became_claimable(task: Task, attempt: Attempt | None, asked: BecameClaimable, *, now: float) -> Change:
    """The last of its dependencies is done."""
    del asked
    if task.status is not Status.PENDING or task.dependencies_met:
        raise _outdated(task)
    ready = replace(task, dependencies_met=True, updated_at=now)
    return Change(ready, (event(task, ready, SCHEDULER, "claimable", now),), attempt)


def tell_dependency(task: Task, attempt: Attempt | None, asked: TellDependency, *, now: float) -> Change:
    """Whoever does the dependency hears once that somebody waits for it."""
    if task.status is not Status.PENDING or task.dependency_notified:
        raise _outdated(task)
    text = f"{task.id} has waited {asked.seconds / 60:.0f} min for {asked.dependency}."
    told = replace(task, dependency_notified=True, updated_at=now)
    return Change(
        told,
        (
            event(task, told, SCHEDULER, "dependency_wait", now, dependency=asked.dependency),
            *notices(task, (asked.assignee,), f"dependency:{asked.dependency}", text, now),
        ),
        attempt,
    )


def tell_review_failed(task: Task, attempt: Attempt | None, asked: TellReviewFailed, *, now: float) -> Change:
    """The judge came to no verdict, so a person has to."""
    if task.status is not Status.REVIEW or task.epoch != asked.epoch:
        raise _outdated(task)
    told = replace(task, waiting_because=asked.why, updated_at=now)
    return Change(
        told,
        (
            event(task, told, SCHEDULER, "review_failed", now, reason=asked.why),
            *notices(task, (CREATOR,), "review-failed", asked.why, now),
        ),
        attempt,
    )


def _still(task: Task, epoch: int) -> None:
    if not task.held or task.epoch != epoch:
        raise _outdated(task)


def _outdated(task: Task) -> Refused:
    return Refused(Code.STALE_CLAIM, f"{task.id} has gone on since it was looked at")


VERBS: Final[Mapping[type[Command], Callable[..., Change]]] = {
    BecameClaimable: became_claimable,
    BlockDependant: block_dependant,
    CountTurns: count_turns,
    Excuse: excuse,
    Expire: expire,
    FreeDependant: free_dependant,
    Suspect: suspect,
    TellDependency: tell_dependency,
    TellReviewFailed: tell_review_failed,
    TooManyTurns: too_many_turns,
    WarnTurns: warn_turns,
}
"""The commands that are nothing but a change of one task: each verb takes what was `asked`, and `now`."""
