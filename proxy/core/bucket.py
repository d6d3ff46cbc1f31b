"""The pace of one lane: a token bucket, kept as a time.

A bucket that counts tokens rounds: its "ready at" can be an epsilon early, and whoever sleeps until then
finds it not ready and spins. The generic cell rate algorithm (ITU-T I.371, annex A) keeps one number
instead, the theoretical arrival time `tat`: a send is conforming once `tat` has passed, and moves it on by
one emission interval. Credit for a burst is `tat` lying in the past.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """What follows from the settings and from the retreat's factor."""

    interval: float
    """T, seconds per send: window / limit, longer in retreat."""
    capacity: int
    """C, the largest burst, reserve included."""
    reserve: int
    """R, how many of them only URGENT may take."""

    @classmethod
    def of(cls, limit: int, window_seconds: float, bucket_capacity: int, factor: float) -> "Pace":
        """`factor` (0 to 1] is the effective rate over the base rate. It lowers pace, burst and reserve."""
        capacity = max(1, min(bucket_capacity, int(limit * factor)))
        reserve = min(max(1, capacity // 10), capacity - 1)
        return cls(window_seconds / limit / factor, capacity, reserve)

    @property
    def burst_seconds(self) -> float:
        """How far in the past `tat` may lie after idleness: a burst of C - R, the first of them at once."""
        return (self.capacity - self.reserve - 1) * self.interval


class Bucket:
    """The theoretical arrival time of one lane. Owner of its state: the lane's ``Budget``."""

    def __init__(self, pace: Pace, now: float, held: int = 0) -> None:
        """Full, less what an earlier process spent: `held` slots of the window."""
        self.pace = pace
        self._tat = now - max(0.0, pace.burst_seconds - held * pace.interval)

    def ready_at(self, now: float, *, urgent: bool) -> float:
        """When the pace allows the next send; URGENT may run ahead of it by the reserve."""
        tat = self._tat - self.pace.reserve * self.pace.interval if urgent else self._tat
        return max(now, tat)

    def take(self, now: float, *, backlogged: bool) -> None:
        """One send. Only idleness earns credit: under a backlog nothing is caught up but one interval."""
        earned = self.pace.interval if backlogged else self.pace.burst_seconds
        self._tat = max(self._tat, now - earned) + self.pace.interval

    def begin_backlog(self, now: float) -> None:
        """Somebody begins to wait: from here on sends are spread, so unused credit beyond one is void."""
        self._tat = max(self._tat, now - self.pace.interval)

    def change(self, pace: Pace, now: float) -> None:
        """Another pace: debt is kept in sends, not in seconds, and credit is cut to the new burst."""
        debt = self.debt(now) * pace.interval / self.pace.interval
        self.pace = pace
        self._tat = now + max(debt, -pace.burst_seconds)

    def debt(self, now: float) -> float:
        """Seconds until the pace allows a send that is not urgent; negative where credit is left."""
        return max(self._tat - now, -self.pace.burst_seconds)

    def tokens(self, now: float) -> float:
        """Sends that the pace would let go at once, reserve included: 0 to C."""
        pace = self.pace
        ahead = (now - self._tat) / pace.interval + 1 + pace.reserve
        return min(max(ahead, 0.0), float(pace.capacity))
