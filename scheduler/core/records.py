"""What stands beside a task on the board: what was said, handed in, decided, tried, and what happened."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from scheduler.core.states import Status


class Run(StrEnum):
    """How far the run of an attempt has come. An attempt of somebody who claimed by hand has none."""

    NONE = "none"
    INTENDED = "intended"
    """committed, before anything is started: the start is repeated until it is proven"""
    STARTED = "started"
    """the gateway has accepted it"""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One claim of a task, from its beginning to its end."""

    task: str
    epoch: int
    agent: str
    claimed_at: float
    run: Run = Run.NONE
    started_at: float | None = None
    ended_at: float | None = None
    end: str = ""
    """`ok`, `failed`, `released`, `expired`, `recovered`, `stopped`, `requeued`, `never_started`"""
    error: str = ""
    stop_because: str | None = None
    """somebody wants the run to end; the claim is already gone"""
    turns: int = 0
    tokens: int = 0
    throttled: int = 0
    excused_seconds: float = 0.0
    """of its age: it was waiting for the budget, or said so"""
    archived_at: float | None = None

    @property
    def live(self) -> bool:
        """Something of it may be running in the gateway."""
        return self.run in {Run.INTENDED, Run.STARTED}

    @property
    def run_id(self) -> str:
        """The idempotency key: the gateway starts nothing twice under it."""
        return f"{self.task}.{self.epoch}"

    @property
    def session_key(self) -> str:
        """Lower-case, because OpenClaw makes it so anyway."""
        return f"agent:{self.agent}:task-{self.task.lower()}-{self.epoch}"


@dataclass(frozen=True, slots=True)
class Output:
    """A file that was handed in."""

    task: str
    epoch: int
    name: str
    author: str
    at: float
    size_bytes: int
    sha256: str
    path: str
    """below `artifacts/`"""
    final: bool = False


@dataclass(frozen=True, slots=True)
class Comment:
    task: str
    author: str
    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Observation:
    """Something an agent noticed that others should know, without asking anything."""

    task: str
    author: str
    at: float
    text: str


class Verdict(StrEnum):
    ACCEPT = "accept"
    REWORK = "rework"
    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Decision:
    task: str
    by: str
    at: float
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a task: who, when, what, from which state to which. Never changed, never removed."""

    task: str
    at: float
    who: str
    what: str
    from_status: Status | None
    to_status: Status
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notice:
    """Somebody is to be told. `cause` is the same for the same news: it is told once."""

    to: str
    """a target of the roster, an agent's creator, or `critical`"""
    cause: str
    text: str
    at: float
    urgent: bool = False
    """not kept back by quiet hours"""
    card: Mapping[str, object] | None = None
    """the same for targets that can show more than text; None: there is no more to it"""


Record = Output | Comment | Observation | Decision | Event | Notice
