"""The rules of a tick: how long is too long, how many are enough. Durations in seconds.

The defaults are the class `development` of the roster; an agent's own come from `agents.yaml`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

NEVER_STARTED_AFTER: Final = 120.0
"""A start that the gateway provably knows nothing of by then will not happen any more."""
TALKING_FOR: Final = 600.0
"""After the last word in a session of the agent's own: a person may be about to answer."""
TURNS_WARNING_SHARE: Final = 0.8
EXCUSED_AT_ONCE: Final = 60.0
"""Of a run's age, each time it is seen waiting: what lies further back than a tick, nobody has seen."""
TYPICAL_RUN: Final = 600.0
"""How long a run takes, for an agent that has not ended one yet."""
FORESEEN: Final = 50
"""Places in an agent's line for which a start is estimated; further back it would be a guess."""
BEGUN_SINCE: Final = 300.0
"""After a look: what seems to have begun later than that began by a clock that was set back since."""
MASS: Final = 4
"""So many looking dead at once, and more than half of all: it is probably us."""


@dataclass(frozen=True, slots=True)
class AgentRules:
    """What one agent is measured by."""

    suspect_after: float = 30 * 60.0
    recover_after: float = 45 * 60.0
    dependency_wait_after: float = 2 * 3600.0
    max_turns: int = 100
    notify: tuple[str, ...] = ("coo", "creator")


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for everybody, and for each."""

    max_concurrent: int = 6
    run_timeout: float = 3600.0
    agents: Mapping[str, AgentRules] = field(default_factory=dict)
    otherwise: AgentRules = AgentRules()

    def of(self, agent: str | None) -> AgentRules:
        """Those of `agent`, also if the roster does not know it."""
        return self.agents.get(agent or "", self.otherwise)
