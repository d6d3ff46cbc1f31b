"""What one look at the runs in the gateway showed.

The rule: a run is called ended or absent only where that is certain. Whatever is in doubt is `unknown`, and
what is unknown is left alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class RunState(StrEnum):
    """How a run stands."""

    RUNNING = "running"
    OK = "ok"
    FAILED = "failed"
    ABORTED = "aborted"
    UNKNOWN = "unknown"
    """the gateway could not say"""
    ABSENT = "absent"
    """the gateway is there and knows nothing of it"""


ENDED = frozenset({RunState.OK, RunState.FAILED, RunState.ABORTED})


@dataclass(frozen=True, slots=True)
class RunRef:
    """A run to look for."""

    run_id: str
    session_key: str
    agent: str


@dataclass(frozen=True, slots=True)
class RunSeen:
    """What the gateway says of one run. Counts are None where it does not say."""

    run_id: str
    state: RunState
    answer: str = ""
    error: str = ""
    turns: int | None = None
    tokens: int | None = None
    session_id: str = ""
    throttled: int = 0
    """of its requests to the model API, by the sidecar's count"""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One look at everything in the gateway."""

    up: bool
    error: str = ""
    at: float = 0.0
    """when the look began, in Unix seconds: of what began later it says nothing"""
    runs: Mapping[str, RunSeen] = field(default_factory=dict)
    """by run id"""
    busy_agents: Mapping[str, float] = field(default_factory=dict)
    """agent -> the newest activity, in Unix seconds, of a session of its own: somebody talks with it"""
