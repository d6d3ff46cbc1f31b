"""Tickets for tests: everything that a test does not care about has a value."""

from itertools import count

from proxy.core.band import Band
from proxy.core.fairness import Ticket, TicketId

_ids = count(1)


def ticket(
    agent: str = "a",
    band: Band = Band.NORMAL,
    *,
    session: str = "s",
    model: str = "m",
    queued_at: float = 0.0,
    patience: float = 1e6,
    outside: bool = False,
    account: str = "",
) -> Ticket:
    """A ticket with an id of its own."""
    return Ticket(
        id=TicketId(next(_ids)),
        band=band,
        agent=agent,
        session=session,
        model=model,
        queued_at=queued_at,
        deadline_at=queued_at + patience,
        outside=outside,
        account=account,
    )
