"""By how many seconds each agent's heartbeat comes after its cron time, so that a team never fires together.

Fifteen agents with `*/10` and `*/15` would all fire at every half hour. The pattern of `*/N` repeats every
hour, so the phases are places on a circle of an hour:

- Agents are placed one after the other, each where the firings it has in the hour are farthest from everybody
  else's. So whoever is added at the end moves nobody before them. (Placing all at once could be better by a
  factor of two at most.)
- No place is within ten seconds of a full minute. There the expressions fire that keep their times, now or
  when somebody adds one; and the rest of the world's cron jobs.
- When all places are taken, the least crowded is shared, a few seconds apart.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Final

_SECONDS: Final = 5
"""Between two places."""
_HOUR: Final = 3600 // _SECONDS
"""Places on the circle."""
_MINUTE: Final = 60 // _SECONDS
_FREE_OF_MINUTES: Final = range(2, 11)
"""Of the places in a minute, those ten seconds and more from its ends."""

_EVERY_N: Final = re.compile(r"\*/([0-9]+) \* \* \* \*")


def phases(expressions: Sequence[str]) -> tuple[int, ...]:
    """Seconds for each expression, in their order; 0 for one that keeps its times."""
    circle = _Circle()
    return tuple(
        circle.place(min(int(match[1]), 60)) if (match := _EVERY_N.fullmatch(expression)) else 0
        for expression in expressions
    )


class _Circle:
    """The hour while agents are placed on it."""

    def __init__(self) -> None:
        self._load = [0] * _HOUR
        # From each place to the nearest one that is taken, in places.
        self._distance = [_HOUR] * _HOUR
        self._full: set[int] = set()

    def place(self, every_minutes: int) -> int:
        """The phase of one that fires every so many minutes, in seconds."""
        candidates = _candidates(every_minutes)
        best = candidates[0]
        if every_minutes not in self._full:
            best = max(candidates, key=self._room)
            if not self._room(best):
                self._full.add(every_minutes)
        if every_minutes in self._full:
            best = min(candidates, key=self._crowd)
        shared_with = max(self._load[each] for each in best)
        for each in best:
            self._take(each)
        return best[0] * _SECONDS + shared_with % _SECONDS

    def _room(self, places: tuple[int, ...]) -> int:
        return min(map(self._distance.__getitem__, places))

    def _crowd(self, places: tuple[int, ...]) -> tuple[int, int]:
        loads = [self._load[each] for each in places]
        return max(loads), sum(loads)

    def _take(self, place: int) -> None:
        self._load[place] += 1
        if self._load[place] > 1:
            return
        self._distance[place] = 0
        for step in (1, -1):
            away = 1
            while self._distance[at := (place + step * away) % _HOUR] > away:
                self._distance[at] = away
                away += 1


@cache
def _candidates(every_minutes: int) -> tuple[tuple[int, ...], ...]:
    """For each phase it may have, the places where it then fires. The first of these is the phase."""
    bases = range(0, _HOUR, every_minutes * _MINUTE)
    return tuple(
        tuple((phase + base) % _HOUR for base in bases)
        for phase in range(every_minutes * _MINUTE)
        if phase % _MINUTE in _FREE_OF_MINUTES
    )
