"""A plain model of the sidecar's budget: so many requests in a window, three bands, a steady pace. Pure.

It follows the sidecar's policy as documented (a pace kept as a time, a window, a reserve that urgent requests
find free), for one lane that is never refused. Left out: retreat, pauses of single models, aging between the
bands. Inside a band it is first come, first served: each agent has one run, so nobody crowds out another.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from scheduler.core.task import Priority

WINDOW_SECONDS: Final = 60.0
MARGIN_SECONDS: Final = 1.0
"""A request may be counted that much later than it was sent."""


class Band(IntEnum):
    """Smaller goes first."""

    URGENT = 0
    HIGH = 1
    NORMAL = 2

    @classmethod
    def of(cls, priority: str) -> "Band":
        """`low` runs as normal: OpenClaw's provider of a session is chosen for more, never for less."""
        return {Priority.URGENT.word: cls.URGENT, Priority.HIGH.word: cls.HIGH}.get(priority, cls.NORMAL)


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that has just been let go."""

    run: str
    band: Band
    waited: float


@dataclass(slots=True)
class Budget:
    """Owner of what was sent and of who waits. Times in any seconds that go forward."""

    rpm: float
    _limit: int = field(init=False)
    _gap: float = field(init=False)
    """seconds from one to the next, at a steady pace"""
    _reserve: int = field(init=False)
    _releases: deque[float] = field(default_factory=deque)
    """when each slot is free again"""
    _last_minute: deque[float] = field(default_factory=deque)
    _line: dict[Band, deque[tuple[str, float]]] = field(
        default_factory=lambda: {band: deque() for band in Band}
    )
    _tat: float = float("-inf")
    """when the next one is due, at a steady pace"""
    _backlogged: bool = False
    sent: int = 0
    most_in_a_window: int = 0

    def __post_init__(self) -> None:
        self._limit = max(1, int(self.rpm * WINDOW_SECONDS / 60))
        self._gap = WINDOW_SECONDS / self._limit
        self._reserve = min(max(1, self._limit // 10), self._limit - 1)

    # -- what happens ----------------------------------------------------------------------------------

    def ask(self, run: str, band: Band, now: float) -> None:
        """A request arrives; `grant` says when it may go."""
        self._line[band].append((run, now))

    def cancel(self, run: str) -> None:
        """The run has ended; what it waits for is given up."""
        for band, line in self._line.items():
            self._line[band] = deque(each for each in line if each[0] != run)

    def grant(self, now: float) -> tuple[list[Sent], float | None]:
        """Who goes now, and when to ask again; None: nobody waits."""
        gone: list[Sent] = []
        while (band := self._first()) is not None:
            at = self._may_go_at(now, urgent=band is Band.URGENT)
            if at > now:
                if band is not Band.URGENT and not self._backlogged:
                    self._backlogged, self._tat = True, max(self._tat, now - self._gap)
                return gone, at
            run, since = self._line[band].popleft()
            self._send(now)
            gone.append(Sent(run, band, now - since))
        self._backlogged = False
        return gone, None

    # -- what is shown ---------------------------------------------------------------------------------

    def queued(self) -> int:
        """How many wait."""
        return sum(map(len, self._line.values()))

    def waits(self, run: str) -> int:
        """How many of this run."""
        return sum(each[0] == run for line in self._line.values() for each in line)

    def spare_rpm(self, now: float) -> float:
        """As the sidecar says it: the rate less the sends of the last minute and what waits."""
        self._forget(now)
        return max(0.0, self.rpm - len(self._last_minute) - self.queued())

    def window(self, now: float) -> tuple[int, int]:
        """Slots taken, and all."""
        self._forget(now)
        return len(self._releases), self._limit

    # -- the rules -------------------------------------------------------------------------------------

    def _first(self) -> Band | None:
        return next((band for band in Band if self._line[band]), None)

    def _may_go_at(self, now: float, *, urgent: bool) -> float:
        self._forget(now)
        free = self._limit - len(self._releases)
        if urgent:
            at = max(now, self._tat - self._reserve * self._gap)
            return at if free else max(at, self._releases[0])
        at = max(now, self._tat)
        if (not self._backlogged and free > self._reserve) or not self._releases:
            return at
        if not free:
            return max(at, self._releases[0])
        # A paced request may use the reserve as long as an urgent one would still find a slot in time.
        steps = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
        held = len(self._releases)
        return max(at, *(self._releases[j] - (free + j) * 2 * self._gap for j in steps if j < held))

    def _send(self, now: float) -> None:
        credit = 1 if self._backlogged else max(0, self._limit - self._reserve - 1)
        self._tat = max(self._tat, now - credit * self._gap) + self._gap
        self._releases.append(now + WINDOW_SECONDS + MARGIN_SECONDS)
        self._last_minute.append(now)
        self.sent += 1
        self.most_in_a_window = max(self.most_in_a_window, len(self._last_minute))

    def _forget(self, now: float) -> None:
        while self._releases and self._releases[0] <= now:
            self._releases.popleft()
        while self._last_minute and self._last_minute[0] <= now - WINDOW_SECONDS:
            self._last_minute.popleft()
