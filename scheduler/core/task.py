"""What a task is: one frozen record, and the words for its parts.

All times are Unix seconds (UTC); they become RFC 3339 where they leave the process. Text comes from agents
and other people: it is data here, and whoever shows it escapes it.
"""

import re
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from scheduler.core.errors import Code, Refused
from scheduler.core.states import HELD, Status

MAX_TITLE: Final = 500  # characters
MAX_TEXT: Final = 1_000_000  # characters of a description, a comment, an observation
DEFAULT_LEASE_SECONDS: Final = 1800.0

_ID: Final = re.compile(r"T-([0-9]{4,15})")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Priority(IntEnum):
    """Smaller goes first, also in a statement's ORDER BY."""

    URGENT = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3

    @property
    def word(self) -> str:
        """`urgent`, `high`, `normal`, `low`."""
        return self.name.lower()


class Source(StrEnum):
    """Where a task came from."""

    BLACKBOARD = "blackboard"
    WORKBOARD = "workboard"
    MULTICA = "multica"
    TODO = "todo"


class Approval(StrEnum):
    """Whether a person has to allow a task that names a high-risk tool."""

    NOT_NEEDED = "not_needed"
    REQUIRED = "required"
    GRANTED = "granted"


class BlockedBy(StrEnum):
    """What has to happen before a blocked task goes on."""

    HAND = "hand"
    """somebody answers, or takes the block away"""
    DEPENDENCY = "dependency"
    """the dependency is tried again, or is no longer one"""
    APPROVAL = "approval"
    """somebody allows the high-risk tools"""


@dataclass(frozen=True, slots=True)
class Task:
    """One card on the board. `None` in a time: never, or not known."""

    number: int
    """the key in the database"""
    title: str
    created_at: float
    updated_at: float
    description: str = ""
    status: Status = Status.PENDING
    priority: Priority = Priority.NORMAL
    creator: str = ""
    assignee: str | None = None
    """the agent that the daemon starts for it; None: agents may claim it"""
    depends_on: tuple[str, ...] = ()
    source: Source = Source.BLACKBOARD
    external_id: str | None = None
    risk_tools: tuple[str, ...] = ()
    approval: Approval = Approval.NOT_NEEDED
    expects: tuple[str, ...] = ()
    review: str = "accept_nonempty"
    review_of: str | None = None
    """the task whose final output this one is to judge"""
    attempt: int = 0
    """spent so far, the present one included; a requeue gives one back"""
    max_attempts: int = 3
    requeues: int = 0
    """times in a row that the world, and not the agent, ended a run"""
    turns: int = 0
    """of the present attempt"""
    max_turns: int | None = None
    """None: the agent's rule"""
    epoch: int = 0
    """counts claims: a write with a smaller one is too late"""
    not_before: float | None = None
    pending_since: float | None = None
    progress_at: float | None = None
    """the last turn, output or note; not the last sign of life"""
    blocked_by: BlockedBy | None = None
    blocked_reason: str | None = None
    waiting_because: str | None = None
    expected_start_at: float | None = None
    claimant: str | None = None
    """who holds the claim"""
    claim_hash: str | None = None
    lease_seconds: float = DEFAULT_LEASE_SECONDS
    lease_until: float | None = None
    """None beside a claim: a run holds it, and no lease ends a run"""
    waiting_for: str | None = None
    """what the agent says it is waiting for"""
    excused_at: float | None = None
    """when it was last seen to be waiting, not stuck"""
    suspect_at: float | None = None
    turns_warned: bool = False
    dependencies_met: bool = False
    """all of them are done, and an event has said so; without dependencies never asked"""
    dependency_notified: bool = False
    findings: tuple[str, ...] = ()
    """of the last check of its final output"""
    checked_at: float | None = None
    """the final output passed; who reviews it has not decided yet"""
    archived_at: float | None = None

    @property
    def id(self) -> str:
        """`T-0042`: what people and agents call it."""
        return task_id(self.number)

    @property
    def held(self) -> bool:
        """Whether exactly one agent may write now."""
        return self.status in HELD


@dataclass(frozen=True, slots=True)
class Draft:
    """A task that somebody wants to have; every word checked by `check_draft`."""

    title: str
    description: str = ""
    priority: Priority = Priority.NORMAL
    creator: str = ""
    assignee: str | None = None
    depends_on: tuple[str, ...] = ()
    source: Source = Source.BLACKBOARD
    external_id: str | None = None
    risk_tools: tuple[str, ...] = ()
    expects: tuple[str, ...] = ()
    review: str = "accept_nonempty"
    review_of: str | None = None
    max_attempts: int = 3
    max_turns: int | None = None
    not_before: float | None = None


def task_id(number: int) -> str:
    """`T-0042`; ids sort as text up to `T-9999`, and as numbers always."""
    return f"T-{number:04d}"


def number_of(task: str) -> int:
    """The number in an id; raises Refused (`not_found`), because no other text was ever an id."""
    match = _ID.fullmatch(task)
    if match is None or task_id(int(match[1])) != task:
        raise Refused(Code.NOT_FOUND, f"there is no task {shortened(task)}")
    return int(match[1])


def agent_name(text: str) -> str:
    """`text`, if an agent can be called so: OpenClaw makes ids lower-case, so they must be."""
    if _NAME.fullmatch(text) is None:
        raise Refused(
            Code.INVALID,
            f"{shortened(text)} is no agent id: lower-case letters, digits, '-' and '_', at most 64",
        )
    return text


def reviewer(review: str) -> str | None:
    """The agent of `agent:ID`, None for the other two modes; raises Refused (`invalid`) for anything else."""
    if review in {"accept_nonempty", "person"}:
        return None
    if not review.startswith("agent:"):
        raise Refused(Code.INVALID, "review is accept_nonempty, person or agent:ID")
    return agent_name(review.removeprefix("agent:"))


def shortened(text: str, limit: int = 80) -> str:
    """Foreign text for a message: quoted, escaped, not long."""
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")
