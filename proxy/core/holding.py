"""Where requests wait whose model is held back: beside the line, those of each model in a fair queue.

A model has room for so many of its requests in the line: none while it is paused, one when it is to be
tried, as many as its workers are believed to take. Those in the line wait for a slot as everybody does; the
others stand in nobody's way. The most urgent of them have the room, also when they came last.
"""

from collections.abc import Iterable

from proxy.core.band import Band
from proxy.core.fairness import FairQueue, Ticket, TicketId


class _Held:
    """One model's: those that are parked, and those that stand in the line."""

    def __init__(self, aging_seconds: float) -> None:
        self.parked = FairQueue(aging_seconds)
        self.in_line: dict[TicketId, Ticket] = {}

    def least_urgent(self) -> Ticket:
        """Of those in the line, and of several the one that came there last."""
        return max(reversed(self.in_line.values()), key=lambda ticket: ticket.band)


class Holding:
    """The waiting tickets of all models that are held back. Owner of its state: the lane's ``Admission``."""

    def __init__(self, line: FairQueue, aging_seconds: float) -> None:
        self._line = line
        self._aging_seconds = aging_seconds
        self._held: dict[str, _Held] = {}

    def hold(self, model: str, waiting: Iterable[Ticket]) -> None:
        """From now on this model's tickets wait here; `waiting` stand in the line, in the order they came."""
        if model not in self._held:
            held = self._held[model] = _Held(self._aging_seconds)
            for ticket in waiting:
                self._line.remove(ticket)
                held.parked.add(ticket)

    def add(self, ticket: Ticket) -> None:
        """It waits: here if its model is held back, else in the line. `arrange` gives it what is free."""
        held = self._held.get(ticket.model)
        (self._line if held is None else held.parked).add(ticket)

    def remove(self, ticket: Ticket) -> None:
        """It waits no longer."""
        if self.is_parked(ticket):
            self._held[ticket.model].parked.remove(ticket)
        else:
            self._line.remove(ticket)
            self.sent(ticket)

    def sent(self, ticket: Ticket) -> None:
        """It was taken from the line."""
        if held := self._held.get(ticket.model):
            held.in_line.pop(ticket.id, None)

    def arrange(self, model: str, room: float, now: float) -> None:
        """As many into the line as there is room for, the others out of it; infinite room ends the hold."""
        held = self._held.get(model)
        if held is None:
            return
        while len(held.in_line) > room:
            self._step_out(held)
        while held.parked and len(held.in_line) < room:
            self._step_in(held, now)
        while held.in_line and _more_urgent(held.parked.top(), held.least_urgent().band):
            self._step_out(held)
            self._step_in(held, now)
        if room == float("inf"):
            del self._held[model]

    def is_parked(self, ticket: Ticket) -> bool:
        """Does it wait for its model, and not yet for a slot?"""
        held = self._held.get(ticket.model)
        return held is not None and ticket.id not in held.in_line

    def could_step_in(self, model: str, room: float) -> bool:
        """Is there room for somebody who is parked?"""
        held = self._held[model]
        return bool(held.parked) and len(held.in_line) < room

    def holds(self, model: str) -> bool:
        """Is it held back?"""
        return model in self._held

    def models(self) -> list[str]:
        """Those that are held back."""
        return list(self._held)

    def parked_models(self) -> list[str]:
        """Those of which somebody is parked."""
        return [model for model, held in self._held.items() if held.parked]

    def _step_in(self, held: _Held, now: float) -> None:
        ticket = held.parked.take(now)
        held.in_line[ticket.id] = ticket
        self._line.add(ticket)

    def _step_out(self, held: _Held) -> None:
        ticket = held.least_urgent()
        del held.in_line[ticket.id]
        self._line.remove(ticket)
        held.parked.put_back(ticket)


def _more_urgent(band: Band | None, than: Band) -> bool:
    return band is not None and band < than
