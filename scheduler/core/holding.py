"""A claim, and what its holder writes. Whether the holder still is one, `claims.holder` has said before."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scheduler.core.change import FRESH, Change, check_text, event, moved, over
from scheduler.core.claims import expired
from scheduler.core.endings import expire, give_up
from scheduler.core.errors import Code, Refused
from scheduler.core.records import Attempt, Comment, Observation, Output, Record, Run
from scheduler.core.states import CLOSED, Move, Status, after
from scheduler.core.task import Approval, BlockedBy, Task, agent_name, reviewer


def claim(
    task: Task,
    unmet: Sequence[str],
    *,
    agent: str,
    claim_hash: str,
    lease_seconds: float | None,
    now: float,
    previous: Attempt | None = None,
) -> Change:
    """The next epoch begins; `lease_seconds` None: a run of the daemon's will hold it.

    `unmet`: the dependencies that are not done. `previous`: the attempt of a claim whose lease ended unseen;
    it is ended here, so that a board without a daemon never keeps a task from everybody.
    """
    agent_name(agent)
    ended = Change(task)
    if expired(task, now):
        ended = expire(task, previous, now=now)
        task = ended.task
    _claimable(task, unmet, agent, now)
    epoch = task.epoch + 1
    claimed = moved(
        task,
        Move.CLAIM,
        now,
        **{
            **FRESH,
            "claimant": agent,
            "claim_hash": claim_hash,
            "epoch": epoch,
            "attempt": task.attempt + 1,
            "turns": 0,
            "turns_warned": False,
            "not_before": None,
            "pending_since": None,
            "progress_at": now,
            "lease_seconds": lease_seconds or task.lease_seconds,
            "lease_until": None if lease_seconds is None else now + lease_seconds,
        },
    )
    attempt = Attempt(task.id, epoch, agent, now, Run.INTENDED if lease_seconds is None else Run.NONE)
    happened = event(task, claimed, agent, "claim", now, epoch=epoch)
    return Change(claimed, (*ended.records, happened), attempt, ended.attempt)


def _claimable(task: Task, unmet: Sequence[str], agent: str, now: float) -> None:
    if task.held:
        raise Refused(Code.ALREADY_CLAIMED, f"{task.id} is claimed by {task.claimant}")
    if task.approval is Approval.REQUIRED and task.status in {Status.PENDING, Status.BLOCKED}:
        raise Refused(Code.APPROVAL_REQUIRED, f"{task.id} waits for an approval: {task.blocked_reason}")
    if task.blocked_by is BlockedBy.DEPENDENCY:
        raise Refused(Code.DEPENDENCY_UNMET, f"{task.id}: {task.blocked_reason}")
    after(task.status, Move.CLAIM)
    if task.assignee not in {None, agent}:
        raise Refused(Code.NOT_ASSIGNEE, f"{task.id} is assigned to {task.assignee}")
    if reviewer(task.review) == agent:
        raise Refused(Code.NOT_ASSIGNEE, f"{agent} is to review {task.id}, so somebody else has to do it")
    if unmet:
        raise Refused(Code.DEPENDENCY_UNMET, f"{task.id} waits for {', '.join(unmet)}")
    if task.not_before is not None and now < task.not_before:
        raise Refused(Code.ILLEGAL_TRANSITION, f"{task.id} is not to be begun yet")


def heartbeat(
    task: Task,
    attempt: Attempt | None,
    *,
    turn: int | None = None,
    note: str | None = None,
    waiting_for: str | None = None,
    who: str,
    now: float,
) -> Change:
    """A sign of life. Only a further turn or a note is progress; `waiting_for` stands until the next one."""
    if turn is not None and turn < 0:
        raise Refused(Code.INVALID, "turn is a whole number, 0 or above")
    check_text("note", note or "")
    check_text("waiting-for", waiting_for or "")
    change = _written(task, attempt, who, now, progress=bool(note) or (turn or 0) > task.turns)
    turns = max(task.turns, turn or 0)
    beaten = replace(change.task, turns=turns, waiting_for=waiting_for or None)
    details = {key: value for key, value in (("turn", turn), ("waiting_for", waiting_for)) if value}
    records: list[Record] = [event(change.task, beaten, who, "heartbeat", now, **details)]
    if note:
        records.append(Comment(task.id, who, now, note))
    counted = change.attempt and replace(change.attempt, turns=turns)
    return replace(change, task=beaten, attempt=counted).also(*records)


def hand_in(task: Task, attempt: Attempt | None, output: Output, *, who: str, now: float) -> Change:
    """An output; a final one takes the task into review."""
    if task.status in CLOSED:
        raise Refused(Code.ILLEGAL_TRANSITION, f"{task.id} is {task.status}: it takes no more outputs")
    change = _written(task, attempt, who, now, progress=True)
    details = {"name": output.name, "size_bytes": output.size_bytes, "final": output.final}
    if not output.final:
        same = event(change.task, change.task, who, "output", now, **details)
        return change.also(output, same)
    submitted = moved(change.task, Move.SUBMIT, now, waiting_for=None, suspect_at=None)
    step = event(change.task, submitted, who, "submit", now, **details)
    return replace(change, task=submitted).also(output, step)


def comment(task: Task, attempt: Attempt | None, text: str, *, author: str, held: bool, now: float) -> Change:
    """`held`: the author speaks under its claim, so this is progress too."""
    return _said(task, attempt, Comment(task.id, author, now, text), "comment", held=held)


def observe(task: Task, attempt: Attempt | None, text: str, *, author: str, held: bool, now: float) -> Change:
    """As `comment`, for what others should know."""
    return _said(task, attempt, Observation(task.id, author, now, text), "observe", held=held)


def _said(
    task: Task, attempt: Attempt | None, said: Comment | Observation, what: str, *, held: bool
) -> Change:
    if not said.text.strip():
        raise Refused(Code.INVALID, "there is no text")
    check_text("text", said.text)
    change = (
        _written(task, attempt, said.author, said.at, progress=True)
        if held
        else Change(replace(task, updated_at=said.at), (), attempt)
    )
    return change.also(said, event(change.task, change.task, said.author, what, said.at))


def _written(task: Task, attempt: Attempt | None, who: str, now: float, *, progress: bool) -> Change:
    """What every write under a claim does: the first one is the beginning of work, each renews the lease."""
    begun = task
    records: tuple[Record, ...] = ()
    if task.status is Status.CLAIMED:
        begun = moved(task, Move.FIRST_WRITE, now)
        records = (event(task, begun, who, "first_write", now),)
    changes: dict[str, Any] = {"updated_at": now, "waiting_for": None}
    if task.lease_until is not None:
        changes["lease_until"] = now + task.lease_seconds
    if progress:
        changes |= {"progress_at": now, "suspect_at": None}
    return Change(replace(begun, **changes), records, attempt)


def release(task: Task, attempt: Attempt | None, *, reason: str, who: str, now: float) -> Change:
    """Given back. Without a run it costs no attempt; with one it does, or a model is paid for ever."""
    check_text("reason", reason)
    if attempt is not None and attempt.live:
        return give_up(task, attempt, Move.RELEASE, why=reason or "released", who=who, now=now)
    released = moved(
        task, Move.RELEASE, now, **{**FRESH, "attempt": max(0, task.attempt - 1), "pending_since": now}
    )
    happened = event(task, released, who, "release", now, reason=reason)
    return Change(released, (happened,), over(attempt, "released", now))


def rekey(task: Task, attempt: Attempt | None, claim_hash: str, *, epoch: int, now: float) -> Change:
    """A new secret for the same claim: whoever drew the old one ended before it could hand it on."""
    if not task.held or task.epoch != epoch:
        raise Refused(Code.STALE_CLAIM, f"the claim on {task.id} is over")
    keyed = replace(task, claim_hash=claim_hash, updated_at=now)
    return Change(keyed, (event(task, keyed, "scheduler", "rekey", now, epoch=epoch),), attempt)
