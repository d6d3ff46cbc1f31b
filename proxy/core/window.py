"""The sliding-window guard: at most L requests are on their way or recently sent, whatever happens.

A strict upstream counts arrivals in every window of W seconds. We cannot see the arrival, only the moment
the last byte of a request was written. So a slot is held from admission, its time runs from "written", and
it is given back W + margin later: two requests that use one slot after each other arrive at least W apart
as long as the way to the upstream varies by no more than the margin. A request whose fate is unknown keeps
its slot; a request of which no byte was written gives it back.
"""

from collections import deque
from collections.abc import Iterable
from typing import NewType

Slot = NewType("Slot", int)


class Window:
    """The slots of one lane. Owner of all its state: the lane's ``Budget``."""

    def __init__(self, limit: int, hold_seconds: float) -> None:
        """`limit` slots, each held `hold_seconds` (window plus margin) from the moment it was written."""
        self.limit = limit
        self.hold_seconds = hold_seconds
        self._last_slot = 0
        self._unwritten: set[Slot] = set()
        self._release_ats: deque[float] = deque()  # sorted: written slots come with a growing `now`

    def hold(self) -> Slot:
        """Take a slot for a request that is about to be sent. The caller has seen that one is free."""
        self._last_slot += 1
        slot = Slot(self._last_slot)
        self._unwritten.add(slot)
        return slot

    def written(self, slot: Slot, now: float) -> None:
        """The last byte of the slot's request left (or may have left) at `now`."""
        self._unwritten.remove(slot)
        self._release_ats.append(now + self.hold_seconds)

    def unsent(self, slot: Slot) -> None:
        """Not one byte of the slot's request left: the upstream cannot have counted it."""
        self._unwritten.remove(slot)

    def restore(self, release_ats: Iterable[float], now: float) -> None:
        """Slots that an earlier process held, by the times at which they come free.

        Whatever that process did, it did before `now`: no slot is held longer than if it were written now.
        (A clock that stepped, or a longer window before the restart, may say otherwise.)
        """
        self._release_ats.extend(sorted(min(at, now + self.hold_seconds) for at in release_ats))

    def held(self, now: float) -> int:
        """Slots that are not free at `now`."""
        while self._release_ats and self._release_ats[0] <= now:
            self._release_ats.popleft()
        return len(self._release_ats) + len(self._unwritten)

    def free(self, now: float) -> int:
        """Slots that a request may take at `now`; negative where `limit` was lowered below what is held."""
        return self.limit - self.held(now)

    def release_at(self, index: int, now: float) -> float:
        """When the (index + 1)-th of the held slots comes free; an unwritten one counts as written now."""
        if index < len(self._release_ats):
            return self._release_ats[index]
        return now + self.hold_seconds
