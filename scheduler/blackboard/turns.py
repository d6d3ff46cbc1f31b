"""Whose turn it is among the threads of a process.

A pool of one connection knows no turns: a thread that gives the connection back and asks again has it before
the one that was woken for it is awake. Measured: with four threads that write, one waited for ten seconds
while the others wrote two thousand times. Here a turn is handed to whoever has waited longest.
"""

from collections import deque
from threading import Lock


class Turns:
    """One at a time, in the order in which they came. Owner of the line."""

    def __init__(self) -> None:
        # Both are changed only by who holds the lock.
        self._lock = Lock()
        self._taken = False
        self._line: deque[Lock] = deque()

    @property
    def waiting(self) -> int:
        """How many stand in the line, true now."""
        return len(self._line)

    def take(self, seconds: float) -> bool:
        """Wait for a turn, so long at most; False: it did not come."""
        with self._lock:
            if not self._taken:
                self._taken = True
                return True
            mine = Lock()
            mine.acquire()
            self._line.append(mine)
        if mine.acquire(timeout=seconds):
            return True
        with self._lock:
            if mine not in self._line:
                return True  # it came while we gave up
            self._line.remove(mine)
            return False

    def give(self) -> None:
        """The turn is over: it is the next one's."""
        with self._lock:
            if self._line:
                self._line.popleft().release()
            else:
                self._taken = False

    def __repr__(self) -> str:
        return f"<Turns, {'taken' if self._taken else 'free'}, {self.waiting} waiting>"
