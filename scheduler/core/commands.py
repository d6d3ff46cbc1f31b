"""What a plan asks for. Each command names the task, and the epoch it was planned for: one that has become
outdated by the time it is carried out matches no row and changes nothing.
"""

from dataclasses import dataclass
from enum import StrEnum

from scheduler.core.records import Attempt
from scheduler.core.sighting import RunSeen


@dataclass(frozen=True, slots=True)
class ProveStart:
    """The gateway knows the run: what was intended has happened."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class EndRun:
    """The run is over; `seen` says how."""

    attempt: Attempt
    seen: RunSeen


@dataclass(frozen=True, slots=True)
class NeverStarted:
    """The gateway knows nothing of the run, long after it should have begun."""

    attempt: Attempt


class Then(StrEnum):
    """What becomes of the task once its run provably is over."""

    RECOVER = "recover"
    BLOCK = "block"
    NOTHING = "nothing"
    """the claim is already gone; only the run is left"""


@dataclass(frozen=True, slots=True)
class StopRun:
    """Abort the run first; only when that is proven, let go of the task."""

    attempt: Attempt
    then: Then
    why: str
    notify: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expire:
    """The lease of a claim by hand has ended."""

    task: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Excuse:
    """It was waiting, not stuck: this time does not count."""

    task: str
    epoch: int
    seconds: float
    """of the run's age"""


@dataclass(frozen=True, slots=True)
class Suspect:
    """Nothing new for too long. It is said, and nothing else is done."""

    task: str
    epoch: int
    seconds: float
    notify: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WarnTurns:
    """Most of its turns are spent."""

    task: str
    epoch: int
    turns: int
    limit: int
    notify: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CountTurns:
    """The gateway has counted further than the agent has told."""

    task: str
    epoch: int
    turns: int


@dataclass(frozen=True, slots=True)
class TooManyTurns:
    """The limit, under a claim that no run holds."""

    task: str
    epoch: int
    why: str
    notify: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckOutput:
    """A final output waits for its checks."""

    task: str
    epoch: int


@dataclass(frozen=True, slots=True)
class AskReviewer:
    """It passed the checks; another agent is to judge it."""

    task: str
    epoch: int
    reviewer: str


@dataclass(frozen=True, slots=True)
class ApplyReview:
    """The other agent has judged."""

    task: str
    epoch: int
    review: str


@dataclass(frozen=True, slots=True)
class TellReviewFailed:
    """The other agent could not judge: somebody has to decide, or to try the review again."""

    task: str
    epoch: int
    why: str


@dataclass(frozen=True, slots=True)
class BlockDependant:
    """What it depends on has failed."""

    task: str
    failed: str


@dataclass(frozen=True, slots=True)
class FreeDependant:
    """What it depends on goes on."""

    task: str


@dataclass(frozen=True, slots=True)
class BecameClaimable:
    """All it depends on is done."""

    task: str


@dataclass(frozen=True, slots=True)
class TellDependency:
    """Somebody has waited long enough for the agent `assignee` to know."""

    task: str
    dependency: str
    assignee: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Start:
    """Claim it for its agent, and start a run."""

    task: str
    agent: str


@dataclass(frozen=True, slots=True)
class Explain:
    """Why it waits, and when it is expected to start (Unix seconds; None: nobody can tell)."""

    number: int
    because: str
    expected_start_at: float | None


@dataclass(frozen=True, slots=True)
class ArchiveSession:
    """The transcript of an ended run is to be kept, its session in the gateway put away."""

    attempt: Attempt


OnTheBoard = (
    BecameClaimable
    | BlockDependant
    | CountTurns
    | Excuse
    | Expire
    | FreeDependant
    | Suspect
    | TellDependency
    | TellReviewFailed
    | TooManyTurns
    | WarnTurns
)
"""Nothing but a change of one task: `watching` has a verb for each."""

Command = (
    OnTheBoard
    | ProveStart
    | EndRun
    | NeverStarted
    | StopRun
    | CheckOutput
    | AskReviewer
    | ApplyReview
    | Start
    | Explain
    | ArchiveSession
)
