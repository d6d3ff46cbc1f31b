"""What a task source shows: one item for each card, issue or line there. Times are Unix seconds.

The rule: an item says what is true there, in our words. Nothing in it is ours, and whatever it says came from
outside: it is data.
"""

from dataclasses import dataclass
from enum import StrEnum

from scheduler.core.task import Priority, Source


class Stage(StrEnum):
    """How far something has come in its source. Each source has words of its own for these."""

    TODO = "todo"
    """to be taken up"""
    WAITING = "waiting"
    """not to be taken up yet: a draft, a backlog, a date to come"""
    IN_PROGRESS = "in_progress"
    """somebody works on it, or judges it"""
    BLOCKED = "blocked"
    DONE = "done"
    GONE = "gone"
    """deleted, archived, cancelled"""


@dataclass(frozen=True, slots=True)
class Item:
    """One card, issue or line."""

    source: Source
    external_id: str
    title: str
    stage: Stage
    description: str | None = ""
    """None: whoever listed it does not know"""
    priority: Priority = Priority.NORMAL
    agent: str | None = None
    """the agent of the roster that it is assigned to"""
    creator: str = ""
    aliases: tuple[str, ...] = ()
    """what it is called besides its id: a short number, a link"""
    waits_for: tuple[str, ...] | None = ()
    """external ids, in the same source, of what has to be done before it and is not; None: not known"""
    created_at: float | None = None
    updated_at: float | None = None
    judged: bool = False
    """in progress, but the agent has done its part: somebody looks at the result"""
    worked_on_by: str | None = None
    """who has claimed it there"""
    sign_of_life_at: float | None = None
    """of whoever works on it there"""
    place: str = ""
    """where people find it: a link, or a file and a line"""
