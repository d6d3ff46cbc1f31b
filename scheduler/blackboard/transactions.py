"""Questions and work, each in a transaction of its own.

The rule: work that somebody was faster than is begun anew; after a disk that failed, no more is begun.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection

from scheduler.blackboard.database import Database
from scheduler.blackboard.errors import BoardBroken, BoardBusy
from scheduler.blackboard.faults import Collision
from scheduler.blackboard.together import Together

_TRIES: Final = 5
"""Of a transaction that others have overtaken."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Transactions:
    """Those of one process on one database; from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        seconds = database.together_for
        self._together = (
            None if seconds is None else Together(self._writing, busy_seconds=seconds, shown=database.shown)
        )
        # Set by whichever write finds the disk failing.
        self._broken: BoardBroken | None = None

    def check(self) -> None:
        """Raises BoardBroken once the disk has failed."""
        if self._broken is not None:
            # A disk that has failed once may say yes the next time and still have lost what came before.
            raise self._broken

    def read(
        self, question: Callable[Concatenate[Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """`question(connection, ...)`, of one moment."""
        with self._database.reading() as connection:
            return question(connection, *args, **kwargs)

    def write(
        self, work: Callable[Concatenate[Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """`work(connection, ...)`, on the disk when this returns."""
        for _ in range(_TRIES):
            try:
                return self._once(lambda connection: work(connection, *args, **kwargs))
            except Collision:
                continue
        raise BoardBusy(f"{self._database.shown} is busy: others were faster, {_TRIES} times")

    def _once(self, work: Callable[[Connection], _T]) -> _T:
        if self._together is not None:
            return self._together.write(work)
        with self._writing() as connection:
            return work(connection)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        # Here, and not before the line: who waited in it while the disk failed must not go on.
        self.check()
        try:
            with self._database.writing() as connection:
                yield connection
        except BoardBroken as error:
            self._broken = error
            raise
