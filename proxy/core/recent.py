"""Counts of the last N seconds, in constant memory."""

from collections import deque


class Recent:
    """Two counters over a sliding span, in one-second steps: all of something, and those that are marked."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._steps: deque[list[float]] = deque()  # [begin, all, marked] per second that had any
        self._all = 0
        self._marked = 0

    def add(self, now: float, *, marked: bool = False) -> None:
        """One more at `now`."""
        if not self._steps or now - self._steps[-1][0] >= 1.0:
            self._steps.append([now, 0, 0])
        step = self._steps[-1]
        step[1] += 1
        step[2] += marked
        self._all += 1
        self._marked += marked

    def count(self, now: float) -> int:
        """How many in the span before `now`."""
        self._expire(now)
        return self._all

    def marked(self, now: float) -> int:
        """How many of them were marked."""
        self._expire(now)
        return self._marked

    def share(self, now: float) -> float:
        """Marked over all; 0 where there were none."""
        self._expire(now)
        return self._marked / self._all if self._all else 0.0

    def clear(self) -> None:
        """Begin anew."""
        self._steps.clear()
        self._all = self._marked = 0

    def _expire(self, now: float) -> None:
        while self._steps and self._steps[0][0] <= now - self._seconds:
            _, all_, marked = self._steps.popleft()
            self._all -= int(all_)
            self._marked -= int(marked)
