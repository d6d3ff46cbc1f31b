"""How long a request will probably wait: said on arrival, so that nobody waits in vain.

Full rounds of its band's agents, the sends of higher bands that wait already, and those that will still come:
as many as lately. An estimate, no promise; one that was too hopeful ends at the deadline.
"""

from math import sqrt

from proxy.core.band import Band
from proxy.core.budget import Budget
from proxy.core.fairness import FairQueue, Ticket
from proxy.core.recent import Recent

LARGEST_SHARE = 0.95
"""Higher bands' recent share of the budget never stretches an estimate more than twentyfold."""


class Outlook:
    """Looks at a queue and a budget; remembers what was sent under a backlog. One owner: ``Admission``."""

    def __init__(self, queue: FairQueue, budget: Budget) -> None:
        self._queue = queue
        self._budget = budget
        self._backlog_sends = [Recent(budget.window.hold_seconds) for _ in Band]

    def sent(self, band: Band, now: float) -> None:
        """One more of that band goes. A burst that goes at once says nothing of what still comes."""
        if self._budget.backlogged:
            self._backlog_sends[band].add(now)

    def of_one_more(self, band: Band, now: float, *, not_before: float) -> float:
        """Seconds that a single request of one more agent would wait in that band."""
        return self._wait(band, 1, self._queue.agents(band) + 1, now, not_before)

    def of(self, ticket: Ticket, now: float, *, not_before: float) -> float:
        """Seconds that a ticket that waits already will still wait."""
        own = max(1, self._queue.waiting(ticket.band, ticket.agent))
        agents = max(1, self._queue.agents(ticket.band))
        return self._wait(ticket.band, own, agents, now, not_before)

    def _wait(self, band: Band, own: int, agents: int, now: float, not_before: float) -> float:
        # Full rounds also where the others have fewer waiting: those who were served come again.
        ahead = sum(self._queue.depth(other) for other in Band if other < band) + own * agents - 1
        wait = self._budget.wait_for(ahead, now, urgent=band is Band.URGENT, not_before=not_before)
        if not self._budget.backlogged:  # what was waiting before is gone: the past says nothing of now
            return wait
        # Of the budget, not of the sends: one urgent request in an idle minute is no reason to wait longer.
        # As many as came lately, and three standard deviations (of a Poisson process) more: with the mean
        # alone, 4 to 7 % of the accepted missed their deadline at 1.5 times overload, with these 0 to 3 %.
        higher = sum(sends.count(now) for sends in self._backlog_sends[:band])
        share = (higher + 3 * sqrt(higher)) / self._budget.sends_per_window
        return wait / (1 - min(share, LARGEST_SHARE))
