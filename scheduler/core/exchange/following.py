"""What a change that somebody made in a task source means for the task here, as one table.

The rule: a change made there wins over what we have yet to tell. It is followed by one change of the task at
most, and then both sides agree: nothing is told back. Four things are no change of mind: a claim there that
ran out while its run lives on here is made anew; work that is done is news wherever nobody knows of it; an
agent that closes there what it works on has its result yet to hand in; and what was gone and is back in
progress, as a document is that was away, is nobody's work there but ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from scheduler.core import halting
from scheduler.core.change import Change, event
from scheduler.core.exchange.items import Item, Stage
from scheduler.core.exchange.mirror import OVER, Mirror, wanted
from scheduler.core.records import Attempt
from scheduler.core.states import HELD, Status
from scheduler.core.task import BlockedBy, Task


class Follow(StrEnum):
    """What is done here."""

    AGREE = "agree"
    """nothing: what is there stands, and what is here stays"""
    TELL = "tell"
    """nothing, and what is true here is told again"""
    HOLD = "hold"
    """it is blocked until it is to be taken up there; its run is to end"""
    FREE = "free"
    """it goes on"""
    RETRY = "retry"
    """it is tried again"""
    WITHDRAW = "withdraw"
    """it fails, with what happened there as the reason; its run is to end"""
    REOPEN = "reopen"
    """there is a new task"""


_A, _T, _H, _F, _R, _W, _N = Follow
_ORDER: Final = (Stage.TODO, Stage.WAITING, Stage.IN_PROGRESS, Stage.BLOCKED, Stage.DONE, Stage.GONE)
_ROWS: Final = {
    #                todo wait prog bloc done gone
    Status.PENDING: (_A, _H, _H, _H, _W, _W),
    Status.CLAIMED: (_T, _H, _A, _H, _W, _W),
    Status.WORKING: (_T, _H, _A, _H, _W, _W),
    Status.REVIEW:  (_T, _A, _A, _A, _W, _W),
    Status.BLOCKED: (_F, _H, _H, _H, _W, _W),
    Status.FAILED:  (_R, _A, _A, _A, _A, _A),
    Status.DONE:    (_N, _A, _A, _A, _A, _A),
}  # fmt: skip
TABLE: Final[Mapping[Status, Mapping[Stage, Follow]]] = MappingProxyType(
    {status: MappingProxyType(dict(zip(_ORDER, row, strict=True))) for status, row in _ROWS.items()}
)


def follow(
    task: Task, row: Mirror, stage: Stage, *, alone: bool = True, worked_on_by: str | None = None
) -> Follow:
    """What somebody's having put it into `stage` leads to. `alone`: no other source has this task, too.
    `worked_on_by`: whom the source names.
    """
    if task.status is Status.DONE and Stage.DONE not in {row.told, row.stage}:
        return Follow.AGREE if stage in OVER else Follow.TELL
    found = TABLE[task.status][stage]
    if stage is Stage.GONE and not alone:
        return Follow.AGREE  # one of two cards for the same is one too many
    if stage is Stage.DONE and _closed_by_its_agent(task, row, worked_on_by):
        return Follow.AGREE
    if task.status is Status.FAILED and row.stage is Stage.GONE and stage is Stage.IN_PROGRESS:
        return Follow.RETRY
    if task.status is Status.BLOCKED and found in {Follow.HOLD, Follow.FREE}:
        by_hand = task.blocked_by is BlockedBy.HAND
        return found if by_hand is (found is Follow.FREE) else Follow.AGREE
    return found


def _closed_by_its_agent(task: Task, row: Mirror, worked_on_by: str | None) -> bool:
    """As far as can be known: it was the agent's there by our word, and nobody else is named."""
    under_way = task.status in HELD or task.status is Status.REVIEW
    return under_way and row.stage is row.told is Stage.IN_PROGRESS and worked_on_by in {None, task.claimant}


def carried_out(
    found: Follow, task: Task, attempt: Attempt | None, item: Item, stage: Stage, *, now: float
) -> Change:
    """The change of the task; that somebody changed something there is written down in any case."""
    verb = _VERBS.get(found)
    if verb is not None:
        return verb(task, attempt, item, stage, now)
    seen = event(task, task, item.source.value, "seen_in_source", now, stage=stage.value)
    return Change(task, (seen,), attempt)


def settled(
    row: Mirror,
    found: Follow,
    stage: Stage,
    task: Task,
    attempt: Attempt | None = None,
    *,
    after_recovery: Stage = Stage.TODO,
    now: float,
) -> Mirror:
    """Both sides agree, on the task as it is now; or it is told again."""
    told = stage if found in {Follow.TELL, Follow.RETRY} else wanted(task, attempt, after_recovery)
    handle = row.handle if stage is Stage.IN_PROGRESS else ""
    return replace(
        row,
        stage=stage,
        told=told,
        telling=(),
        handle=handle,
        missing_since=None,
        tries=0,
        next_try_at=None,
        error="",
        seen_at=now,
    )


def _hold(task: Task, attempt: Attempt | None, item: Item, stage: Stage, now: float) -> Change:
    reason, who = _happened(item, stage), item.source.value
    if task.status is not Status.BLOCKED:
        return halting.block(task, attempt, reason=reason, who=who, now=now)
    # By something that goes away of itself, which is not enough any more.
    held = replace(task, blocked_by=BlockedBy.HAND, blocked_reason=reason, updated_at=now)
    return Change(held, (event(task, held, who, "block", now, reason=reason),), attempt)


def _free(task: Task, attempt: Attempt | None, item: Item, _: Stage, now: float) -> Change:
    freed = halting.unblock(task, who=item.source.value, now=now)
    return replace(freed, attempt=attempt)


def _retry(task: Task, attempt: Attempt | None, item: Item, _: Stage, now: float) -> Change:
    return replace(halting.retry(task, who=item.source.value, now=now), attempt=attempt)


def _withdraw(task: Task, attempt: Attempt | None, item: Item, stage: Stage, now: float) -> Change:
    return halting.cancel(task, attempt, reason=_happened(item, stage), who=item.source.value, now=now)


_VERBS: Final[Mapping[Follow, Callable[[Task, Attempt | None, Item, Stage, float], Change]]] = {
    Follow.HOLD: _hold,
    Follow.FREE: _free,
    Follow.RETRY: _retry,
    Follow.WITHDRAW: _withdraw,
}
_WORDS: Final[Mapping[Stage, str]] = {
    Stage.WAITING: "set aside in {}",
    Stage.IN_PROGRESS: "in progress in {}",
    Stage.BLOCKED: "blocked in {}",
    Stage.DONE: "done in {}",
    Stage.GONE: "gone from {}, or no longer for this agent",
}


def _happened(item: Item, stage: Stage) -> str:
    by = f", by {item.worked_on_by}" if stage is Stage.IN_PROGRESS and item.worked_on_by else ""
    return _WORDS[stage].format(item.source.value) + by
