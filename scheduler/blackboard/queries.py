"""What one asks the board for, and what it answers that is no record of the core."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scheduler.core.claims import ClaimToken
from scheduler.core.errors import Code, Refused
from scheduler.core.records import Attempt, Comment, Decision, Event, Observation, Output
from scheduler.core.states import Status
from scheduler.core.task import Task, number_of, shortened, task_id

MOST_TASKS: Final = 10_000
"""On one page."""


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """Which tasks; everything that is given must be true of them. In the order of their numbers."""

    statuses: tuple[Status, ...] = ()
    """none: all"""
    assignee: str | None = None
    claimable_at: float | None = None
    """those that somebody could claim then: its assignee, or anybody if it has none"""
    archived: bool = False
    """archived ones too"""
    limit: int = 100
    cursor: str | None = None
    """`next_cursor` of the page before"""

    def after(self) -> int:
        """The number behind which the page begins; raises Refused (`invalid`)."""
        if not 1 <= self.limit <= MOST_TASKS:
            raise Refused(Code.INVALID, f"limit is a whole number from 1 to {MOST_TASKS}")
        if self.cursor is None:
            return 0
        try:
            return number_of(self.cursor)
        except Refused as error:
            raise Refused(Code.INVALID, f"{shortened(self.cursor)} is no cursor") from error


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the tasks, and where the rest begins."""

    tasks: tuple[Task, ...]
    next_cursor: str | None = None
    """None: there are no more"""


@dataclass(frozen=True, slots=True)
class Thread:
    """Everything beside one task, each oldest first."""

    outputs: tuple[Output, ...] = ()
    comments: tuple[Comment, ...] = ()
    observations: tuple[Observation, ...] = ()
    decisions: tuple[Decision, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claim that succeeded. The token is never shown again."""

    task: Task
    token: ClaimToken


@dataclass(frozen=True, slots=True)
class Received:
    """A file that arrived whole and is on the disk, but not yet on the board."""

    path: Path
    size_bytes: int
    sha256: str


def page_of(found: tuple[Task, ...], limit: int) -> Page:
    """`found` has one task more than the limit if there is a further page."""
    if len(found) <= limit:
        return Page(found)
    return Page(found[:limit], found[limit - 1].id)


def in_order(depends_on: tuple[str, ...]) -> tuple[str, ...]:
    """Each once, by number: how dependencies are kept. Raises Refused (`not_found`)."""
    return tuple(map(task_id, sorted({number_of(each) for each in depends_on})))
