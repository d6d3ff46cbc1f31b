"""Heartbeats as the board keeps them: one that is to come, and what became of those that were."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Planned:
    """The next heartbeat of an agent, written down before its time has come."""

    agent: str
    due_at: float
    rule: str
    """the expression and the zone that it follows from: with another rule it is planned anew"""


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat that is over. (`agent`, `due_at`) is its name, and is used once."""

    agent: str
    due_at: float
    fired_at: float
    seconds: float = 0.0
    ok: bool = True
    """False: nothing was looked at, or not to the end"""
    reason: str = ""
    """what it came to, in words"""
    found: int = 0
    """items that wait for the agent in the sources"""
    started: int = 0
    """tasks that are new on the board; which of them run, and when, the tick decides"""
    deferred: int = 0
    """its tasks that wait because nothing may start: a person talks, a pause, a quiet period, a block"""
    skipped: int = 0
    """items that are not to be taken up"""
    failed: int = 0
    """items that could not be taken up; for a heartbeat that failed as a whole at least 1"""
    changed: int = 0
    """tasks whose item has changed"""
    pending: int = 0
    """its tasks that wait for a start"""
    missed: int = 0
    """due times that passed unseen before it; it stands for them, too"""
    unchanged: bool = False
    """everything was as at the heartbeat before"""
    new: tuple[str, ...] = ()
    """the ids of the tasks that are new"""
    unavailable: Mapping[str, str] = field(default_factory=dict)
    """source -> why it could not be looked at"""

    @property
    def lateness(self) -> float:
        """Seconds after its time. A clock that was set back meanwhile makes nothing early."""
        return max(0.0, self.fired_at - self.due_at)

    @property
    def avoided(self) -> bool:
        """There is nothing to do: whoever had asked a model that would have paid for this answer."""
        return self.ok and self.unchanged and not self.started and not self.pending


@dataclass(frozen=True, slots=True)
class Kept:
    """What the board knows of one agent's heartbeats."""

    planned: Planned | None = None
    last_fired_at: float | None = None
    """Unix seconds; None: there was none yet, by the clock as it is now"""
    used: frozenset[float] = frozenset()
    """due times that could be planned and have fired already: the clock was set back"""
