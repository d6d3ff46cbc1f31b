"""What can be seen of heartbeats from outside: for the metrics, and for whoever asks how a team is."""

from collections.abc import Mapping
from dataclasses import dataclass

from scheduler.core.beats import Beat


@dataclass(frozen=True, slots=True)
class AgentHeartbeat:
    """One agent's heartbeats at one moment."""

    next_due_at: float | None
    """None: it is never due, or nobody has planned it yet"""
    last_fired_at: float | None
    healthy: bool | None
    """False: none for two periods; None: its first is yet to come"""
    last: Beat | None
    """None: there was none since the start"""


@dataclass(frozen=True, slots=True)
class HeartbeatStatistics:
    """A picture, true now."""

    agents: Mapping[str, AgentHeartbeat]

    @property
    def healthy(self) -> Mapping[str, bool]:
        """Of the agents of whom that is known."""
        return {agent: each.healthy for agent, each in self.agents.items() if each.healthy is not None}

    @property
    def silent(self) -> frozenset[str]:
        """Who had none for two periods."""
        return frozenset(agent for agent, healthy in self.healthy.items() if not healthy)
