"""The board at one moment, as far as a tick has to know it.

What only waits comes as narrow rows: there may be ten thousand of them in every tick. What somebody holds
comes whole: there are as many as there are agents.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from scheduler.core.records import Attempt
from scheduler.core.states import Status
from scheduler.core.task import Task, task_id


class Waiting(NamedTuple):
    """A task that is pending, or blocked by a dependency. Ordered as it may start: see `plan`."""

    number: int
    status: Status
    priority: int
    assignee: str | None
    pending_since: float
    not_before: float | None
    has_dependencies: bool
    dependencies_met: bool
    dependency_notified: bool
    waiting_because: str | None
    expected_start_at: float | None

    @property
    def id(self) -> str:
        """As people call it."""
        return task_id(self.number)


class Dependency(NamedTuple):
    """Something a waiting task waits for; what is done is not in the snapshot."""

    number: int
    status: Status
    assignee: str | None

    @property
    def id(self) -> str:
        """As people call it."""
        return task_id(self.number)


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """What the board remembers of an agent."""

    agent: str
    paused_until: float | None = None
    """Unix seconds; infinite: until somebody resumes it; None: not paused"""
    run_seconds: float | None = None
    """how long its runs take, smoothed"""


EVERYBODY = "*"
"""Under this name the record of a pause for all."""


@dataclass(frozen=True, slots=True)
class BoardSnapshot:
    """One consistent look at the board."""

    held: tuple[Task, ...] = ()
    """claimed, working, in review"""
    waiting: tuple[Waiting, ...] = ()
    """by priority, then longest waiting, then number"""
    unmet: Mapping[int, tuple[Dependency, ...]] = field(default_factory=dict)
    """task number -> its dependencies that are not done"""
    attempts: tuple[Attempt, ...] = ()
    """those whose run may live, and the newest of every held task"""
    reviews: Mapping[int, Task] = field(default_factory=dict)
    """task number -> the newest task that is to judge it; for tasks in review"""
    agents: Mapping[str, AgentRecord] = field(default_factory=dict)
    unarchived: tuple[Attempt, ...] = ()
    """ended runs whose session in the gateway still stands, the oldest first, at most 20"""
