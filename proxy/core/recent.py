"""How many in the last N seconds, in constant memory."""

from collections import deque


class Recent:
    """A counter over a sliding span, in sixty steps: what grows old leaves it at most one step early."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._steps: deque[tuple[float, int]] = deque()  # begin and count of each step that had any
        self._count = 0

    def add(self, now: float) -> None:
        """One more at `now`."""
        self._expire(now)
        if not self._steps or now - self._steps[-1][0] >= self._seconds / 60:
            self._steps.append((now, 0))
        begin, count = self._steps[-1]
        self._steps[-1] = (begin, count + 1)
        self._count += 1

    def count(self, now: float) -> int:
        """How many in the span before `now`."""
        self._expire(now)
        return self._count

    def _expire(self, now: float) -> None:
        while self._steps and self._steps[0][0] <= now - self._seconds:
            self._count -= self._steps.popleft()[1]
