"""What the engine of a lane decides and tells, as values."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from proxy.core.band import Band
from proxy.core.fairness import Ticket
from proxy.core.window import Slot

if TYPE_CHECKING:  # it makes decisions itself
    from proxy.core.models import ModelState


class FullPolicy(StrEnum):
    """What becomes of a request that finds the queue full."""

    PASSTHROUGH = "passthrough"
    REJECT = "reject"
    DROP_LOWEST = "drop_lowest"


@dataclass(frozen=True, slots=True)
class Admitted:
    """It may be sent now; the slot is to be confirmed as written, or given back as unsent."""

    ticket: Ticket
    slot: Slot
    probe: bool
    """It is the one request that tries a paused model."""


@dataclass(frozen=True, slots=True)
class NoSlotInTime:
    """No slot before its deadline: known on arrival, or found out at the deadline."""

    ticket: Ticket
    wait_seconds: float
    """The estimate at the moment of the decision."""


@dataclass(frozen=True, slots=True)
class QueueFull:
    """The queue was full and the policy refused the newcomer."""

    ticket: Ticket
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Dropped:
    """It waited, and gave its place to a more urgent newcomer."""

    ticket: Ticket
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class UpstreamDown:
    """Nothing has come from there lately: nobody is sent but one who tries it."""

    ticket: Ticket
    wait_seconds: float
    """Until it is tried again."""


@dataclass(frozen=True, slots=True)
class KnownUnavailable:
    """Its model cannot be had, as the upstream has said within the last minute."""

    ticket: Ticket
    answer: object
    """What it said, as it was handed in."""


Decision = Admitted | NoSlotInTime | QueueFull | Dropped | UpstreamDown | KnownUnavailable


@dataclass(frozen=True, slots=True)
class LaneStatistics:
    """A lane at one moment. Rates in requests per minute, waits in seconds, times on the clock of `now`."""

    depth: dict[Band, int]
    outside: int
    expected_wait: dict[Band, float]
    enqueued: int
    dequeued: int
    dropped: int
    tokens: float
    capacity: int
    window_used: int
    window_limit: int
    effective_rpm: float
    spare_rpm: float
    quiet_until: float | None
    paused_models: dict[str, float]
    models: dict[str, "ModelState"]
    """Those of which anything is known."""
