"""Everything that a plan is made from, at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from scheduler.core.capacity import Capacity
from scheduler.core.rules import Rules
from scheduler.core.sighting import Sighting
from scheduler.core.snapshot import BoardSnapshot


@dataclass(frozen=True, slots=True)
class World:
    """Frozen: a plan that has to be made anew is made from a new one."""

    board: BoardSnapshot
    sighting: Sighting
    capacity: Capacity
    rules: Rules
    next_tick_at: float
    """infinite: nobody ticks"""
    waiting_agents: frozenset[str] = frozenset()
    """who has a request queued or in flight at the sidecar: not stuck, only waiting"""
    expected_rpm: Mapping[str, float] = field(default_factory=dict)
