"""Time that passes only when it is told to: for Trio and for everybody who asks `shared.clock`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Final

import trio

from shared import clock

_UNTIL_SOMETHING_HAPPENS: Final = inf


class SimulatedClock(trio.abc.Clock):
    """Owner of the simulated time. Unix seconds; Trio counts them from the start of the simulation."""

    def __init__(self, start: float) -> None:
        self._start = start
        self.now = start

    def advance(self, to: float) -> None:
        """It is `to` now; never backwards."""
        self.now = max(self.now, to)

    def start_clock(self) -> None:
        """Nothing is to be started."""

    def current_time(self) -> float:
        return self.now - self._start

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """No waiting brings a deadline nearer: only `advance` does, and that is called by a task."""
        return 0.0 if deadline <= self.current_time() else _UNTIL_SOMETHING_HAPPENS

    def wall(self) -> float:
        """For `shared.clock`."""
        return self.now


@contextmanager
def standing_in(simulated: SimulatedClock) -> Iterator[None]:
    """Whoever in this process asks `shared.clock` what time it is, is told the simulated time.

    The whole process's, threads included: a simulation is a process of its own.
    """
    kept = {name: getattr(clock, name) for name in ("wall", "monotonic")}
    _replace(dict.fromkeys(kept, simulated.wall))
    try:
        yield
    finally:
        _replace(kept)


def _replace(functions: dict[str, Callable[[], float]]) -> None:
    for name, function in functions.items():
        setattr(clock, name, function)
