"""The plan of a tick: from what is seen to what is to be done.

    runs -> leases and time-outs -> turns -> the gate -> dependencies      (reconcile)
    starts and explanations -> sessions to archive                         (dispatch)

The rule: reconcile first, dispatch last. As long as anything is to be set right, nothing is started: a plan
holds commands of one kind or the other, and the ticker plans again when it has carried one out. So planning
twice at one `now`, on a board that has followed the first plan, yields nothing the second time.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from scheduler.core.commands import (
    ApplyReview,
    ArchiveSession,
    AskReviewer,
    BecameClaimable,
    BlockDependant,
    CheckOutput,
    Command,
    FreeDependant,
    TellDependency,
    TellReviewFailed,
)
from scheduler.core.dispatch import dispatch
from scheduler.core.liveness import liveness
from scheduler.core.rules import Rules
from scheduler.core.snapshot import BoardSnapshot
from scheduler.core.states import Status
from scheduler.core.task import Task, reviewer
from scheduler.core.world import World


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, and what somebody must hear of at once."""

    commands: tuple[Command, ...]
    alarms: tuple[str, ...] = ()


def plan(world: World, now: float, tried: Collection[Command] = frozenset()) -> Plan:
    """Pure; may be asked again at any time. Times in Unix seconds.

    `tried`: what this tick has tried. What is left of it could not be done, be it a run that cannot be
    stopped; the others do not wait for that.
    """
    alive, alarms = liveness(world, now)
    wanted = (*alive, *_gate(world.board), *_dependencies(world.board, world.rules, now))
    if reconcile := tuple(each for each in wanted if each not in tried):
        return Plan(reconcile, alarms)
    archive = [ArchiveSession(attempt) for attempt in world.board.unarchived] if world.sighting.up else []
    return Plan((*dispatch(world, now), *archive), alarms)


def _gate(board: BoardSnapshot) -> Iterator[Command]:
    """Final outputs: checked once, then accepted or judged as the task's `review` says."""
    for task in board.held:
        if task.status is not Status.REVIEW:
            continue
        if task.checked_at is None:
            yield CheckOutput(task.id, task.epoch)
        elif judge := reviewer(task.review):
            yield from _review(task, judge, board.reviews.get(task.number))


def _review(task: Task, judge: str, review: Task | None) -> Iterator[Command]:
    asked = review is not None and task.checked_at is not None and review.created_at >= task.checked_at
    if not asked or review is None:
        yield AskReviewer(task.id, task.epoch, judge)
    elif review.status is Status.DONE:
        yield ApplyReview(task.id, task.epoch, review.id)
    elif review.status is Status.FAILED:
        why = f"its review {review.id} has failed: decide, or retry that"
        if task.waiting_because != why:
            yield TellReviewFailed(task.id, task.epoch, why)


def _dependencies(board: BoardSnapshot, rules: Rules, now: float) -> Iterator[Command]:
    """A dependency that fails blocks; one that goes on frees; the last one that is done is an event."""
    for waiting in board.waiting:
        if not waiting.has_dependencies and waiting.status is not Status.BLOCKED:
            continue
        unmet = board.unmet.get(waiting.number, ())
        failed = next((each for each in unmet if each.status is Status.FAILED), None)
        if waiting.status is Status.BLOCKED:
            if failed is None:
                yield FreeDependant(waiting.id)
        elif failed is not None:
            yield BlockDependant(waiting.id, failed.id)
        elif not unmet:
            if not waiting.dependencies_met:
                yield BecameClaimable(waiting.id)
        elif not waiting.dependency_notified:
            waited = now - waiting.pending_since
            slow = next((each for each in unmet if each.assignee is not None), None)
            if slow and slow.assignee and waited >= rules.of(waiting.assignee).dependency_wait_after:
                yield TellDependency(waiting.id, slow.id, slow.assignee, waited)
