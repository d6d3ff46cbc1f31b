"""Making a task, and changing what its card says."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from scheduler.core import expects as output_checks
from scheduler.core.change import FRESH, Change, await_approval, check_text, event, moved
from scheduler.core.errors import Code, Refused
from scheduler.core.records import Event
from scheduler.core.states import HELD, Move, Status
from scheduler.core.task import (
    MAX_TITLE,
    Approval,
    BlockedBy,
    Draft,
    Task,
    agent_name,
    number_of,
    reviewer,
    shortened,
)


def create(draft: Draft, number: int, *, high_risk: Collection[str], who: str, now: float) -> Change:
    """A new task under a number that nobody has; that its dependencies exist is the board's to look at."""
    check_draft(draft)
    task = Task(
        number=number,
        created_at=now,
        updated_at=now,
        pending_since=now,
        **{name: getattr(draft, name) for name in Draft.__slots__},
    )
    task = _with_approval(task, high_risk)
    return Change(task, (Event(task.id, now, who, "created", None, task.status, {"title": task.title}),))


def check_draft(draft: Draft | Task) -> None:
    """Raises Refused (`invalid`) for a word that is none."""
    if not draft.title.strip() or len(draft.title) > MAX_TITLE:
        raise Refused(Code.INVALID, f"a task needs a title of 1 to {MAX_TITLE} characters")
    check_text("description", draft.description)
    if draft.assignee is not None:
        agent_name(draft.assignee)
    judge = reviewer(draft.review)
    if judge is not None and judge == draft.assignee:
        raise Refused(Code.INVALID, f"{judge} cannot review its own work")
    for each in draft.expects:
        try:
            output_checks.parse(each)
        except ValueError as error:
            raise Refused(Code.INVALID, f"expects {shortened(each)}: {error}") from error
    if draft.max_attempts < 1:
        raise Refused(Code.INVALID, "max_attempts is a whole number above 0")
    if draft.max_turns is not None and draft.max_turns < 1:
        raise Refused(Code.INVALID, "max_turns is a whole number above 0")
    for each in draft.depends_on:
        number_of(each)


ALWAYS_SETTABLE: Final = frozenset(
    {"title", "description", "priority", "max_turns", "max_attempts", "expects", "review"}
)
SETTABLE_AT_REST: Final = frozenset({"assignee", "depends_on", "risk_tools", "not_before"})
"""Changed under a living run, these would say something else than what was started."""


def revise(
    task: Task, fields: Mapping[str, Any], *, high_risk: Collection[str], who: str, now: float
) -> Change:
    """`set`: other words on the card. Whether dependencies exist and go round is the board's to look at."""
    unknown = set(fields) - ALWAYS_SETTABLE - SETTABLE_AT_REST
    if unknown:
        raise Refused(Code.INVALID, f"cannot be set: {', '.join(sorted(unknown))}")
    if task.status is Status.DONE:
        raise Refused(Code.ILLEGAL_TRANSITION, f"{task.id} is done; what it says stays")
    if task.status in HELD | {Status.REVIEW} and (moved := sorted(SETTABLE_AT_REST & set(fields))):
        raise Refused(
            Code.ILLEGAL_TRANSITION, f"{', '.join(moved)} cannot change while {task.id} is {task.status}"
        )
    revised = replace(task, **fields, updated_at=now)
    check_draft(revised)
    _check_under_way(task, revised)
    if "depends_on" in fields:
        revised = replace(revised, dependencies_met=False, dependency_notified=False)
    if task.checked_at is not None and {"expects", "review"} & set(fields):
        # What it passed before was something else.
        revised = replace(revised, checked_at=None, waiting_because=None)
    if "risk_tools" in fields:
        # What is allowed stays allowed; what is new is not.
        if set(revised.risk_tools) - set(task.risk_tools):
            revised = replace(revised, approval=Approval.NOT_NEEDED)
        revised = _with_approval(revised, high_risk)
    return Change(revised, (event(task, revised, who, "set", now, fields=sorted(fields)),))


def _check_under_way(task: Task, revised: Task) -> None:
    """Raises Refused (`invalid`) for what does not go with the attempts that have been made."""
    if revised.review == f"agent:{task.claimant}":
        raise Refused(Code.INVALID, f"{task.claimant} cannot review its own work")
    spent = task.attempt + (task.status in {Status.PENDING, Status.BLOCKED})
    if task.status is not Status.FAILED and revised.max_attempts < spent:
        raise Refused(Code.INVALID, f"{task.attempt} attempts were made: max_attempts is {spent} or above")


def _with_approval(task: Task, high_risk: Collection[str]) -> Task:
    """A task that names a high-risk tool waits, blocked, until somebody allows it."""
    if not {tool.strip().lower() for tool in task.risk_tools} & {tool.lower() for tool in high_risk}:
        free = replace(task, approval=Approval.NOT_NEEDED)
        if task.blocked_by is not BlockedBy.APPROVAL:
            return free
        return moved(free, Move.UNBLOCK, task.updated_at, **FRESH, pending_since=task.updated_at)
    if task.approval is Approval.GRANTED:
        return task
    waiting = replace(task, approval=Approval.REQUIRED)
    return await_approval(waiting) if task.status is Status.PENDING else waiting
