"""All that wait for a slot: in the line or parked, in the bounded queue or outside, each with a deadline."""

from collections import Counter
from collections.abc import Iterator

from proxy.core.band import Band
from proxy.core.deadlines import Deadlines
from proxy.core.fairness import FairQueue, Ticket, TicketId
from proxy.core.holding import Holding


class Waiting:
    """The tickets, found by id, by model, by band and by deadline. Owner of its state: the ``Admission``."""

    def __init__(self, aging_seconds: float) -> None:
        self.line = FairQueue(aging_seconds)
        self.holding = Holding(self.line, aging_seconds)
        self._tickets: dict[TicketId, Ticket] = {}  # in the order in which they came
        self._by_model: dict[str, dict[TicketId, Ticket]] = {}
        self._outside: set[TicketId] = set()
        self._deadlines = Deadlines(self._tickets)

    def __len__(self) -> int:
        return len(self._tickets)

    def __contains__(self, ticket: Ticket) -> bool:
        return ticket.id in self._tickets

    def __getitem__(self, id_: TicketId) -> Ticket:
        return self._tickets[id_]

    @property
    def outside(self) -> int:
        """How many wait outside the bounded queue."""
        return len(self._outside)

    @property
    def inside(self) -> int:
        """How many count for it."""
        return len(self._tickets) - len(self._outside)

    @property
    def models(self) -> dict[str, dict[TicketId, Ticket]]:
        """Those for which somebody waits. To be looked at."""
        return self._by_model

    def of(self, model: str | None) -> list[Ticket]:
        """Those that wait for this model, or all."""
        return list((self._tickets if model is None else self._by_model.get(model, {})).values())

    def depth(self) -> dict[Band, int]:
        """How many wait in each band."""
        depth = Counter(ticket.band for ticket in self._tickets.values())
        return {band: depth[band] for band in Band}

    def newest_of_the_lowest_band(self) -> Ticket:
        """Who can go with the least harm."""
        return max(reversed(self._tickets.values()), key=lambda ticket: ticket.band)

    def enter(self, ticket: Ticket) -> None:
        """It waits."""
        self._tickets[ticket.id] = ticket
        if ticket.outside:
            self._outside.add(ticket.id)
        self._by_model.setdefault(ticket.model, {})[ticket.id] = ticket
        self.holding.add(ticket)

    def leave(self, ticket: Ticket) -> None:
        """It waits no longer, for whatever reason but a slot."""
        self.holding.remove(ticket)
        self._forget(ticket)

    def take(self, now: float) -> Ticket:
        """The one in the line whose turn it is. There must be somebody."""
        ticket = self.line.take(now)
        self.holding.sent(ticket)
        self._forget(ticket)
        return ticket

    def hold(self, model: str) -> None:
        """This model is held back from now on."""
        self.holding.hold(model, self._by_model.get(model, {}).values())

    def watch_deadline(self, ticket: Ticket) -> None:
        """It is to be told when its time is over."""
        if len(self._deadlines) > 2 * len(self._tickets) + 64:
            self._deadlines.compact()
        self._deadlines.add(ticket)

    def next_deadline(self) -> float:
        """The first that will come; infinity without any."""
        return self._deadlines.next_at()

    def missed(self, now: float) -> Iterator[Ticket]:
        """Those whose time is over, each once."""
        for id_ in self._deadlines.missed(now):
            yield self._tickets[id_]

    def _forget(self, ticket: Ticket) -> None:
        del self._tickets[ticket.id]
        self._outside.discard(ticket.id)
        of_model = self._by_model[ticket.model]
        del of_model[ticket.id]
        if not of_model:
            del self._by_model[ticket.model]
