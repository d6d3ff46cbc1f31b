"""What a task source has yet to be told of a task: at most one thing at a time.

The rule: what is true is on the board, so what is to be told is not a list of messages but a difference. A
row remembers what was last seen there (`stage`) and what we and the source last agreed on (`told`); whatever
the task says besides is told, once. So nothing is lost with a process, what is overtaken is never told, and
to repeat is harmless.

What we began to tell and have no answer to is in `telling`: it may stand there or not, and wherever one of
those stages is seen it is our own word, not somebody else's.
"""

from dataclasses import dataclass, field, replace
from typing import Final

from scheduler.core.exchange.items import Stage
from scheduler.core.records import Attempt
from scheduler.core.states import Status
from scheduler.core.task import BlockedBy, Source, Task

KEEP_SECONDS: Final = 600.0
"""Between two signs of life there: a claim of WorkBoard's runs out after 30 minutes."""
IN_FLIGHT_SECONDS: Final = 60.0
"""A call has ended by then, one way or the other: sources answer within 30 s or not at all."""
FIRST_BACKOFF_SECONDS: Final = 5.0
LONGEST_BACKOFF_SECONDS: Final = 900.0

OVER: Final = frozenset({Stage.DONE, Stage.GONE})
"""Nobody works on it there any more, and we do not open it again."""
_RECOVERED: Final = frozenset({"stopped", "recover", "expired"})
"""Ends of an attempt whose agent was lost."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """One card, issue or line, and what we know of it. `None` in a time: never."""

    source: Source
    external_id: str
    stage: Stage
    """as it was last seen there, or is since we said so"""
    task: str | None = None
    """None: somebody else's work"""
    told: Stage | None = None
    """what was agreed on last: said by us, or said there and followed by us"""
    telling: tuple[Stage, ...] = ()
    """said by us since, without an answer"""
    told_turns: int = 0
    told_at: float | None = None
    """when something was last said by us; of somebody else's work the last sign of life"""
    handle: str = field(default="", repr=False)
    """the source's proof of our claim: a secret"""
    fingerprint: str = ""
    """of what stood on it when it was last taken over"""
    seen_at: float = 0.0
    """when this row last learnt something"""
    missing_since: float | None = None
    """not found there, and not yet believed"""
    tries: int = 0
    next_try_at: float | None = None
    error: str = ""

    def foreign(self, stage: Stage) -> bool:
        """Whether somebody else has put it into `stage`."""
        return stage is not self.stage and stage not in self.telling

    def in_flight(self, now: float) -> bool:
        """A call may be under way this moment: what is seen meanwhile says nothing."""
        if not self.telling or self.error or self.next_try_at is None:
            return False
        return 0 < self.next_try_at - now <= IN_FLIGHT_SECONDS


@dataclass(frozen=True, slots=True)
class Claim:
    """It is worked on."""

    agent: str


@dataclass(frozen=True, slots=True)
class Keep:
    """It still is."""

    agent: str


@dataclass(frozen=True, slots=True)
class Note:
    """Said beside it."""

    text: str
    turns: int = 0
    """that it tells of"""


@dataclass(frozen=True, slots=True)
class Release:
    """It is not worked on (any more): to be taken up again, or blocked."""

    agent: str
    stage: Stage
    why: str


@dataclass(frozen=True, slots=True)
class Finish:
    """It is done."""

    agent: str


Effect = Claim | Keep | Note | Release | Finish

_WANTED: Final = {
    Status.PENDING: Stage.TODO,
    Status.CLAIMED: Stage.IN_PROGRESS,
    Status.WORKING: Stage.IN_PROGRESS,
    Status.REVIEW: Stage.IN_PROGRESS,
    Status.DONE: Stage.DONE,
    Status.BLOCKED: Stage.BLOCKED,
    Status.FAILED: Stage.BLOCKED,
}


def wanted(task: Task, attempt: Attempt | None, after_recovery: Stage = Stage.TODO) -> Stage:
    """Where it should stand there. `attempt`: the newest one.

    What waits for another task or for an approval was never begun: there it is to be taken up, as before.
    """
    if task.status is Status.PENDING and recovered(task, attempt):
        return after_recovery
    if task.status is Status.BLOCKED and task.blocked_by is not BlockedBy.HAND:
        return Stage.TODO
    return _WANTED[task.status]


def recovered(task: Task, attempt: Attempt | None) -> bool:
    """It waits since the very moment in which its agent was given up."""
    return attempt is not None and attempt.end in _RECOVERED and attempt.ended_at == task.pending_since


def due(
    task: Task, attempt: Attempt | None, row: Mirror, now: float, *, after_recovery: Stage = Stage.TODO
) -> Effect | None:
    """The next thing to tell."""
    if row.stage in OVER or now < _not_before(row, now):
        return None
    stage, agent = wanted(task, attempt, after_recovery), _agent(task, attempt)
    if stage is row.told and not row.telling:
        return _beside(task, row, agent, now) if row.stage is Stage.IN_PROGRESS is stage else None
    match stage:
        case Stage.IN_PROGRESS:
            return Claim(agent)
        case Stage.DONE:
            return Finish(agent)
        case _:
            return Release(agent, stage, why(task, attempt))


def due_at(task: Task, attempt: Attempt | None, row: Mirror, now: float) -> float:
    """When `due` may say something though nothing has happened; infinite: never."""
    if row.stage in OVER:
        return float("inf")
    if now < (not_before := _not_before(row, now)):
        return not_before
    keeps = wanted(task, attempt) is Stage.IN_PROGRESS is row.stage
    return min(row.told_at or now, now) + KEEP_SECONDS if keeps else float("inf")


def _beside(task: Task, row: Mirror, agent: str, now: float) -> Effect | None:
    """While it is worked on."""
    told_at = row.told_at or 0.0
    if task.suspect_at is not None and task.suspect_at > told_at:
        return Note(f"{task.claimant} has made no progress for a while and may be stuck.")
    if task.turns_warned and not row.told_turns:
        return Note(f"{task.turns} turns are spent, most of those it has.", max(task.turns, 1))
    # After a clock that was set back, too.
    return None if told_at <= now < told_at + KEEP_SECONDS else Keep(agent)


def _not_before(row: Mirror, now: float) -> float:
    """A time further away than any pause was written by a clock that has been set back since."""
    at = row.next_try_at or 0.0
    return at if at - now <= LONGEST_BACKOFF_SECONDS else 0.0


def _agent(task: Task, attempt: Attempt | None) -> str:
    return attempt.agent if attempt is not None else task.assignee or task.creator


def why(task: Task, attempt: Attempt | None) -> str:
    """Why it is not worked on, in a sentence; with the turns that it took."""
    spent = f" ({attempt.turns} turns)" if attempt is not None and attempt.turns else ""
    if task.status in {Status.BLOCKED, Status.FAILED}:
        return f"{task.id} is {task.status}: {task.blocked_reason}{spent}"
    if attempt is None or not attempt.end:
        return f"{task.id} waits for its turn"
    error = f", {attempt.error}" if attempt.error else ""
    return f"{attempt.agent} works on it no more: {attempt.end.replace('_', ' ')}{error}{spent}"


def backoff(tries: int) -> float:
    """Seconds to wait after the `tries`-th failure in a row: 5 s, doubled up to 15 minutes."""
    return float(min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** min(max(tries, 1) - 1, 20)))


# -- what becomes of the row ------------------------------------------------------------------------------


def stage_of(effect: Effect) -> Stage | None:
    """Where `effect` puts it; None: it stays where it is."""
    match effect:
        case Claim():
            return Stage.IN_PROGRESS
        case Finish():
            return Stage.DONE
        case Release():
            return effect.stage
        case _:
            return None


def begun(row: Mirror, effect: Effect, now: float) -> Mirror:
    """Written before it is said: whoever finds this after a crash knows whose word stands there."""
    stage = stage_of(effect)
    telling = row.telling if stage is None or stage in row.telling else (*row.telling, stage)
    return replace(row, telling=telling, tries=row.tries + 1, next_try_at=now + IN_FLIGHT_SECONDS, error="")


def said(row: Mirror, effect: Effect, now: float, *, handle: str = "", turns: int = 0) -> Mirror:
    """It has arrived. `handle`: what a claim answered; `turns`: of the newest attempt."""
    same = replace(row, tries=0, next_try_at=None, error="", told_at=now)
    match effect:
        case Keep():
            return same
        case Note():
            return replace(same, told_turns=effect.turns or row.told_turns)
        case Claim():
            same = replace(same, handle=handle, told_turns=0)
        case _:
            same = replace(same, handle="", told_turns=turns)
    stage = stage_of(effect)
    assert stage is not None
    return replace(same, stage=stage, told=stage, telling=(), seen_at=now)


def not_said(row: Mirror, error: str, now: float) -> Mirror:
    """It has not, or nobody knows: later again. Of a row that `begun` has counted."""
    return replace(row, next_try_at=now + backoff(row.tries), error=error or "no reason was given")


def overruled(row: Mirror, effect: Effect, stage: Stage, error: str, now: float) -> Mirror:
    """They will not, and it stands in `stage` there: so be it."""
    settled = replace(row, telling=(), stage=stage, tries=0, next_try_at=None, error=error, seen_at=now)
    match effect:
        case Note():
            return replace(settled, told_at=now, told_turns=effect.turns or row.told_turns)
        case Keep():
            return replace(settled, told=None, handle="")  # the claim is lost: it is made anew, or refused
        case _:
            return replace(settled, told=stage_of(effect))
