"""The board for Trio: carries the store's calls to threads, so that no loop ever waits for a disk.

The rule: a write that has begun is waited for. Cancelling its caller would not stop the thread, and nobody
would know whether it was committed; so cancellation comes before a write or after it, never inside.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Concatenate, Final, ParamSpec, TypeVar

import trio

from scheduler.blackboard.store import Store

READERS: Final = 4
"""At once. More would only wait for each other: a read is nearly all Python."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class BoardStatistics:
    """What the carrying amounts to, true now."""

    reads: int
    writes: int
    """Both: that have come back, one way or the other."""
    reading: int
    writing: int
    waiting: int
    """Calls that wait for a thread."""


class Board:
    """Owner of the two queues to one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._readers = trio.CapacityLimiter(READERS)
        self._writers = trio.CapacityLimiter(store.most_writers)
        # Changed by `read` and `write` alone, in the Trio thread.
        self._reads = 0
        self._writes = 0

    async def read(
        self, question: Callable[Concatenate[Store, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """`question(store, ...)`. Cancelled, it is left to itself: nothing depends on it."""
        try:
            return await trio.to_thread.run_sync(
                partial(question, self.store, *args, **kwargs),
                limiter=self._readers,
                abandon_on_cancel=True,
            )
        finally:
            self._reads += 1

    async def write(
        self, verb: Callable[Concatenate[Store, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """`verb(store, ...)`, in the order in which they are asked for."""
        try:
            # Trio waits for a thread that it may not abandon, and then returns what it returned, cancelled or
            # not; the next checkpoint tells of the cancellation.
            return await trio.to_thread.run_sync(
                partial(verb, self.store, *args, **kwargs), limiter=self._writers
            )
        finally:
            self._writes += 1

    def statistics(self) -> BoardStatistics:
        """A picture, true now."""
        reading, writing = self._readers.statistics(), self._writers.statistics()
        return BoardStatistics(
            reads=self._reads,
            writes=self._writes,
            reading=reading.borrowed_tokens,
            writing=writing.borrowed_tokens,
            waiting=reading.tasks_waiting + writing.tasks_waiting,
        )

    def __repr__(self) -> str:
        now = self.statistics()
        calls = f"{now.reading} reading, {now.writing} writing, {now.waiting} waiting"
        return f"<Board on {self.store.url_shown}: {calls}>"
