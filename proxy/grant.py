"""What a request asks of the gate, and what it gets: a slot that it may use, or a reason why not."""

from dataclasses import dataclass
from typing import Protocol

import trio

from proxy.core.band import Band
from proxy.core.decisions import Admitted, Dropped, KnownUnavailable, NoSlotInTime, QueueFull, UpstreamDown
from proxy.core.window import Slot


@dataclass(frozen=True, slots=True)
class Ask:
    """One request's question for a slot."""

    band: Band
    agent: str
    session: str
    model: str
    deadline_at: float
    """On Trio's clock."""
    account: str = ""
    """Whose key it is sent with, where each client has its own."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The process ends; whoever still waited is turned away."""


TurnedAway = NoSlotInTime | QueueFull | Dropped | UpstreamDown | KnownUnavailable | Closed


class Reported(Protocol):
    """The gate, as far as a grant reports to it."""

    def slot_written(self, slot: Slot) -> None: ...
    def slot_unsent(self, slot: Slot) -> None: ...
    def request_ended(self, model: str) -> None: ...


class Grant:
    """A slot that one request may use. Its holder reports what became of it; only the first report counts.

    And that it is over, whatever became of it: until then the request counts as under way.
    """

    def __init__(self, lane: Reported, admitted: Admitted) -> None:
        self._lane = lane
        self._slot: Slot | None = admitted.slot
        self._under_way = True
        self.ticket = admitted.ticket
        self.probe = admitted.probe
        self.sent_at = trio.current_time()

    @property
    def model(self) -> str:
        """Whose model it is for."""
        return self.ticket.model

    def written(self) -> None:
        """The request's last byte has left, or some of it may have."""
        if self._slot is not None:
            slot, self._slot = self._slot, None
            self._lane.slot_written(slot)

    def unsent(self) -> None:
        """Not one byte has left."""
        if self._slot is not None:
            slot, self._slot = self._slot, None
            self._lane.slot_unsent(slot)

    def ended(self) -> None:
        """The request is over, the last byte of its answer included."""
        if self._under_way:
            self._under_way = False
            self._lane.request_ended(self.model)
