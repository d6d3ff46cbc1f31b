"""Writes that are committed together.

DESIGN. Most of what a small write costs on SQLite is its transaction: the connection, BEGIN, and above all
the sync of the commit. There is one writer at a time, so writers stand in a line. Whoever is at its head
leads: it does its own work, then that of those behind it and of those that come meanwhile, each in a
savepoint of its own, and commits it all.

1.  What is refused is rolled back to its savepoint and harms no other. Where the leader's own work is
    refused, nothing else has been done yet, and the next one leads.
2.  What the database fails at (a full disk, the commit) is everybody's: none of it is written, and each is
    told so. Also who was refused: a refusal may rest on what another wrote, and that is not there.
3.  Nobody returns before the commit that holds its work has returned.
4.  The line is served in its order, and whoever leads hands over to the head of what is left of it.

A pool of one connection keeps no order: a thread that gives the connection back and asks again has it before
the one that was woken for it is awake. Measured: with four threads that write, one waited for ten seconds
while the others wrote two thousand times.
"""

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Lock
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from scheduler.blackboard.errors import BoardBusy, BoardError, BoardUnavailable
from scheduler.blackboard.faults import translated

MOST: Final = 32
"""Writes under one commit: so long the first of them waits for its own, and other processes for theirs."""

_T = TypeVar("_T")
Work = Callable[[Connection], _T]


class _Job(Generic[_T]):
    """One write. Its thread waits for `called`: to lead, or because it is over."""

    def __init__(self, work: Work[_T]) -> None:
        self.called = Lock()
        self.called.acquire()
        self._work = work
        # Written by whoever leads, before it calls.
        self._result: _T | None = None
        self._error: Exception | None = None

    def carry_out(self, connection: Connection) -> None:
        self._result = self._work(connection)

    def carry_out_beside_others(self, connection: Connection, shown: str) -> None:
        """Raises what concerns all of them."""
        connection.exec_driver_sql("SAVEPOINT job")
        try:
            with translated(shown):
                self.carry_out(connection)
        except Exception as error:
            if _is_everybodys(error):
                raise
            connection.exec_driver_sql("ROLLBACK TO job")
            self._error = error
        connection.exec_driver_sql("RELEASE job")

    def fail(self, error: Exception) -> None:
        self._error = error

    def outcome(self) -> _T:
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # None only if that is what the work returned


def _is_everybodys(error: Exception) -> bool:
    """Not a row that breaks a constraint, nor a directory for one's file that cannot be made."""
    return isinstance(error, BoardError) and isinstance(error.__cause__, DBAPIError)


class Together:
    """The writers of one process on one database; from any thread. Owner of the line.

    `writing` is one transaction of the database; `busy_seconds`: so long a write waits in the line.
    """

    def __init__(
        self, writing: Callable[[], AbstractContextManager[Connection]], *, busy_seconds: float, shown: str
    ) -> None:
        self._writing, self._busy_seconds, self._shown = writing, busy_seconds, shown
        # Both are changed only by who holds the lock. Without a leader nobody stands in the line.
        self._lock = Lock()
        self._leader: _Job[Any] | None = None
        self._line: deque[_Job[Any]] = deque()

    @property
    def waiting(self) -> int:
        """How many stand in the line, true now."""
        return len(self._line)

    def write(self, work: Work[_T]) -> _T:
        """What `work` returns, once it is on the disk. Raises BoardError, and whatever `work` raises.

        `work` may be carried out by any thread that writes.
        """
        job = _Job(work)
        self._stand_in_line(job)
        if self._leader is job:
            self._lead(job)
        return job.outcome()

    def _stand_in_line(self, job: _Job[_T]) -> None:
        """Until it leads, or is over."""
        try:
            with self._lock:
                if self._leader is None:
                    self._leader = job
                    return
                self._line.append(job)
            called = job.called.acquire(timeout=self._busy_seconds)
        except BaseException:  # Ctrl+C: the others must not wait for who has gone
            self._leave(job)
            raise
        if called:
            return
        if self._leave(job):
            raise BoardBusy(f"{self._shown} is busy: others in this process write")
        job.called.acquire()

    def _leave(self, job: _Job[_T]) -> bool:
        """False: it is taken along already, and over when that batch is."""
        with self._lock:
            if job in self._line:
                self._line.remove(job)
            elif self._leader is job:
                self._call_next()
            else:
                return False
            return True

    def _lead(self, job: _Job[_T]) -> None:
        """Carry out what there is to do, then call the next."""
        batch: list[_Job[Any]] = [job]
        try:
            self._carry_out(batch)
        finally:
            with self._lock:
                self._call_next()
            for each in batch:
                each.called.release()

    def _carry_out(self, batch: list[_Job[Any]]) -> None:
        """Who is taken along joins the batch."""
        try:
            with self._writing() as connection:
                batch[0].carry_out(connection)
                while len(batch) < MOST and (other := self._take_along(batch)):
                    other.carry_out_beside_others(connection, self._shown)
        except Exception as error:
            for each in batch:
                each.fail(error)
        except BaseException:  # Ctrl+C is for whoever leads
            for each in batch:
                each.fail(BoardUnavailable(f"{self._shown} cannot be used: the write was interrupted"))
            raise

    def _take_along(self, batch: list[_Job[Any]]) -> _Job[Any] | None:
        with self._lock:
            if not self._line:
                return None
            batch.append(self._line.popleft())
            return batch[-1]

    def _call_next(self) -> None:
        self._leader = self._line.popleft() if self._line else None
        if self._leader is not None:
            self._leader.called.release()

    def __repr__(self) -> str:
        at_work = "free" if self._leader is None else "at work"
        return f"<Together on {self._shown}, {at_work}, {self.waiting} waiting>"
