"""A Multica issue, as an item; a page of issues, as what came back. Pure.

The shape is that of Multica's API, which its command line prints: `status_category` is one of the seven
statuses where a workspace has made its own, `identifier` is what people say (`MUL-123`), times are RFC 3339.
Listings leave the description out (null): then it is not known. A single issue has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from scheduler.core.exchange.items import Item, Stage
from scheduler.core.task import Source
from scheduler.sources import reading

_REVIEW: Final = "in_review"
STAGES: Final[Mapping[str, Stage]] = {
    "todo": Stage.TODO,
    "backlog": Stage.WAITING,
    "in_progress": Stage.IN_PROGRESS,
    _REVIEW: Stage.IN_PROGRESS,
    "blocked": Stage.BLOCKED,
    "done": Stage.DONE,
    "cancelled": Stage.GONE,
    "archive": Stage.GONE,
}

Issue = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of `issue list`."""

    issues: tuple[Issue, ...]
    came: int
    """how many came back, those that we cannot read included: the next page begins after them"""
    more: bool


def page_of(answer: object, offset: int) -> Page | None:
    """None where it is no list of issues."""
    if isinstance(answer, list):  # says nothing of what follows: the next page tells
        rows, more = answer, bool(answer)
    elif isinstance(answer, dict) and isinstance(answer.get("issues"), list):
        rows, total = answer["issues"], answer.get("total")
        counted = isinstance(total, int) and offset + len(rows) < total
        more = bool(rows) and bool(answer.get("has_more", counted))
    elif isinstance(answer, dict) and answer.get("issues", ...) is None:  # Go's empty list
        rows, more = [], False
    else:
        return None
    read = tuple(row for row in rows if isinstance(row, dict) and reading.identifier(row.get("id")))
    return Page(read, len(rows), more)


def parent_of(issue: Issue) -> str:
    """Its id; '' for none."""
    return reading.identifier(issue.get("parent_issue_id"))


def item_of(issue: Issue, agents: Mapping[str, str], *, parent_is_open: bool | None = None) -> Item:
    """`agents`: from an id in Multica, in lower case, to the roster's. `parent_is_open` None: not known."""
    issue_id = reading.identifier(issue.get("id"))
    key = reading.words(issue.get("identifier"), 100)
    stage = stage_of(issue)
    agent = agents.get(reading.words(issue.get("assignee_id")).lower())
    updated_at = reading.moment(issue.get("updated_at"))
    creator = reading.words(issue.get("creator_id"), reading.MAX_ID)
    worked_on = stage is Stage.IN_PROGRESS
    return Item(
        source=Source.MULTICA,
        external_id=issue_id,
        title=reading.title(issue.get("title"), f"issue {key or issue_id}"),
        stage=stage,
        description=None if issue.get("description") is None else reading.words(issue["description"]),
        priority=reading.priority(issue.get("priority")),
        agent=agent,
        creator=agents.get(creator.lower(), creator),
        aliases=(key,) if key else (),
        waits_for=_waits_for(parent_of(issue), parent_is_open),
        created_at=reading.moment(issue.get("created_at")),
        updated_at=updated_at,
        judged=_status(issue) == _REVIEW,
        worked_on_by=agent if worked_on else None,
        sign_of_life_at=(reading.moment(issue.get("last_activity_at")) or updated_at) if worked_on else None,
        place=f"Multica issue {key or issue_id}",
    )


def stage_of(issue: Issue) -> Stage:
    """A status that a later version invents is nothing to start on."""
    return STAGES.get(_status(issue), Stage.WAITING)


def _status(issue: Issue) -> str:
    return reading.words(issue.get("status_category") or issue.get("status"))


def _waits_for(parent: str, is_open: bool | None) -> tuple[str, ...] | None:
    if not parent or is_open is False:
        return ()
    return (parent,) if is_open else None
