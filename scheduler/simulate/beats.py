"""The heartbeats of a simulated day: when each fires. None of them calls a model. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from scheduler.heartbeats.timetable import timetable
from scheduler.roster import Roster

MOST_A_DAY = 1440
"""A cron expression has minutes."""


@dataclass(frozen=True, slots=True)
class PlayedBeats:
    """`closest`: seconds between the two that come nearest to each other; None: fewer than two."""

    fired: Mapping[str, int]
    closest: float | None

    @property
    def count(self) -> int:
        """Of all agents."""
        return sum(self.fired.values())


def due_times(roster: Roster, start: float, end: float) -> Mapping[str, Sequence[float]]:
    """By agent, as the daemon would plan them."""
    most = int(MOST_A_DAY * ((end - start) / 86_400 + 1))
    return {agent: schedule.newest(start, end, most) for agent, schedule in timetable(roster).items()}


def beats(roster: Roster, start: float, end: float) -> PlayedBeats:
    """Of the whole team."""
    due = due_times(roster, start, end)
    times = sorted(at for mine in due.values() for at in mine)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return PlayedBeats({agent: len(mine) for agent, mine in due.items()}, min(gaps, default=None))
