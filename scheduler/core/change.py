"""What a verb returns: everything that is to be written, and how the parts of it are made.

The rule: a verb is a function from a task as it is to a `Change`. It either returns one, complete, or raises
`Refused` and nothing has happened. It knows one task; whoever calls it holds that row, so that nobody else
changes it in between. `who` stands in the events: an agent's id, or what the caller calls itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from scheduler.core.errors import Code, Refused
from scheduler.core.records import Attempt, Event, Record
from scheduler.core.states import Move, Status, after
from scheduler.core.task import MAX_TEXT, Approval, BlockedBy, Task

NO_CLAIM: Final[Mapping[str, Any]] = {
    "claimant": None,
    "claim_hash": None,
    "lease_until": None,
    "waiting_for": None,
    "excused_at": None,
    "suspect_at": None,
}
FRESH: Final[Mapping[str, Any]] = {
    **NO_CLAIM,
    "blocked_by": None,
    "blocked_reason": None,
    "waiting_because": None,
    "expected_start_at": None,
    "checked_at": None,
}


@dataclass(frozen=True, slots=True)
class Change:
    """What to write, all of it or nothing: the task, what is added beside it, the attempt as it is now."""

    task: Task
    records: tuple[Record, ...] = ()
    attempt: Attempt | None = None
    ended: Attempt | None = None
    """an attempt before that one, which is over now"""

    def also(self, *records: Record) -> "Change":
        """The same with more written beside it."""
        return replace(self, records=(*self.records, *records))


def moved(task: Task, move: Move, now: float, **fields: Any) -> Task:
    """`task` one step further in the table, with `fields` changed in passing."""
    return replace(task, status=after(task.status, move), updated_at=now, **fields)


def event(before: Task, now_is: Task, who: str, what: str, now: float, **details: object) -> Event:
    return Event(before.id, now, who, what, before.status, now_is.status, details)


def await_approval(task: Task) -> Task:
    """A task that would be pending is blocked instead while somebody has yet to allow its tools."""
    if task.approval is not Approval.REQUIRED or task.status is not Status.PENDING:
        return task
    return moved(
        task,
        Move.BLOCK,
        task.updated_at,
        blocked_by=BlockedBy.APPROVAL,
        blocked_reason=f"approval_required: it may use {', '.join(task.risk_tools)}",
    )


def over(attempt: Attempt | None, end: str, now: float) -> Attempt | None:
    """An attempt without a run is over with its claim; a run is over when the gateway says so."""
    if attempt is None or attempt.ended_at is not None or attempt.live:
        return attempt
    return replace(attempt, ended_at=now, end=end)


def needs_reason(reason: str) -> None:
    if not reason.strip():
        raise Refused(Code.INVALID, "a reason is needed")
    check_text("reason", reason)


def check_text(name: str, text: str) -> None:
    """Raises Refused (`invalid`) for more than the board keeps."""
    if len(text) > MAX_TEXT:
        raise Refused(Code.INVALID, f"{name} is longer than {MAX_TEXT} characters: hand in a file instead")
