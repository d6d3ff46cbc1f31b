"""How an agent's runs are, by what the board remembers of them. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from scheduler.core.capacity import DEFAULT_RPM
from scheduler.core.records import Attempt

DEFAULT_REQUESTS: Final = 12.0
"""Of a run of an agent that nobody has seen at work: well below every class's limit of turns."""
DEFAULT_SECONDS: Final = 60 / DEFAULT_RPM
"""From one request to the next, the same appetite that the scheduler expects of it."""
LEAST_RUNS: Final = 3
"""Fewer are no record."""
SHORTEST_SECONDS: Final = 0.2
LONGEST_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class Profile:
    """What a run of this agent is, on average."""

    requests: float = DEFAULT_REQUESTS
    seconds_per_request: float = DEFAULT_SECONDS
    failing_share: float = 0.0
    """of its runs that ended by themselves"""
    recorded: bool = False


USUAL: Final = Profile()
"""Of whoever has no record."""


def profiles(attempts: Iterable[Attempt]) -> Mapping[str, Profile]:
    """Of those agents that have a record: runs that ended by themselves, a turn taken for a request."""
    ended: dict[str, list[Attempt]] = {}
    for each in attempts:
        if each.end in {"ok", "failed"} and each.started_at is not None and each.ended_at is not None:
            ended.setdefault(each.agent, []).append(each)
    found = {}
    for agent, mine in ended.items():
        turns = [each.turns for each in mine if each.turns > 0]
        if len(turns) < LEAST_RUNS:
            continue
        seconds = sum((each.ended_at or 0) - (each.started_at or 0) for each in mine if each.turns > 0)
        found[agent] = Profile(
            requests=sum(turns) / len(turns),
            seconds_per_request=min(max(seconds / sum(turns), SHORTEST_SECONDS), LONGEST_SECONDS),
            failing_share=sum(each.end == "failed" for each in mine) / len(mine),
            recorded=True,
        )
    return found
