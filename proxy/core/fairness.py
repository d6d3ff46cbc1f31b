"""Who goes next.

Bands first, and URGENT always. Inside a band the agents take turns, inside an agent its sessions, inside a
session first come first served: with one turn each, an agent with a hundred waiting requests delays
another's single one by one turn.

Aging is by band, not by request: a band whose oldest request has waited too long takes part as one more
agent in the round of the band above it, never in URGENT's. (Moving single old requests up lets a flood age
ahead of everybody: another agent's single request then waits 41 turns instead of 1.5, in simulation.)

A band has an inside, which counts for the bounded queue, and an outside, where requests wait that a full
queue let pass. Those outside come after those inside of the same band.
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import NewType

from proxy.core.band import Band

TicketId = NewType("TicketId", int)


@dataclass(frozen=True, slots=True)
class Ticket:
    """One attempt of one request, as far as queueing is concerned."""

    id: TicketId
    band: Band
    agent: str
    session: str
    model: str
    queued_at: float
    deadline_at: float
    """No slot by then: the client gets its answer. Absolute, on the clock of `now`."""
    account: str = ""
    """Whose key it is sent with, where each client has its own."""
    outside: bool = False
    """It found the queue full and was let pass: it waits behind those inside of its band."""


class Turns:
    """Agents, their sessions, their tickets, each an ordered dict: every change is a few dict operations."""

    def __init__(self) -> None:
        self._agents: OrderedDict[str, OrderedDict[str, OrderedDict[TicketId, Ticket]]] = OrderedDict()
        self._waiting: Counter[str] = Counter()  # tickets by agent

    @property
    def agents(self) -> int:
        """How many agents wait here."""
        return len(self._agents)

    def waiting(self, agent: str) -> int:
        """How many tickets of that agent wait here."""
        return self._waiting[agent]

    def add(self, ticket: Ticket) -> None:
        """At the tail of its session."""
        sessions = self._agents.setdefault(ticket.agent, OrderedDict())
        sessions.setdefault(ticket.session, OrderedDict())[ticket.id] = ticket
        self._waiting[ticket.agent] += 1

    def put_back(self, ticket: Ticket) -> None:
        """At the head: it had its turn and could not use it."""
        self.add(ticket)
        sessions = self._agents[ticket.agent]
        sessions[ticket.session].move_to_end(ticket.id, last=False)
        sessions.move_to_end(ticket.session, last=False)
        self._agents.move_to_end(ticket.agent, last=False)

    def remove(self, ticket: Ticket) -> None:
        """From wherever it stands. KeyError if it does not wait here."""
        sessions = self._agents[ticket.agent]
        tickets = sessions[ticket.session]
        del tickets[ticket.id]
        self._waiting[ticket.agent] -= 1
        if not tickets:
            del sessions[ticket.session]
            if not sessions:
                del self._agents[ticket.agent], self._waiting[ticket.agent]

    def take(self) -> Ticket:
        """The next one; its agent and its session go to the end of their rounds. StopIteration if empty."""
        agent, sessions = next(iter(self._agents.items()))
        session, tickets = next(iter(sessions.items()))
        ticket = next(iter(tickets.values()))
        sessions.move_to_end(session)
        self._agents.move_to_end(agent)
        self.remove(ticket)
        return ticket


class _BandQueue:
    """One band: its two rounds, and its tickets in the order in which they came."""

    def __init__(self) -> None:
        self.inside = Turns()
        self.outside = Turns()
        self.by_arrival: OrderedDict[TicketId, Ticket] = OrderedDict()
        self.turns_since_aged = 0  # turns of this band since a lower one last took part in its round

    @property
    def agents(self) -> int:
        return self.inside.agents or self.outside.agents

    def turns_of(self, ticket: Ticket) -> Turns:
        return self.outside if ticket.outside else self.inside


class FairQueue:
    """All that wait for a slot and could take one. Owner of its state: the lane's ``Admission``."""

    def __init__(self, aging_seconds: float) -> None:
        self._aging_seconds = aging_seconds
        self._bands = {band: _BandQueue() for band in Band}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def depth(self, band: Band) -> int:
        """How many wait in that band, inside and outside."""
        return len(self._bands[band].by_arrival)

    def has_outside(self, band: Band) -> bool:
        """Does anybody wait in that band outside the bounded queue?"""
        return self._bands[band].outside.agents > 0

    def top(self) -> Band | None:
        """The most urgent band in which somebody waits."""
        return next((band for band, queue in self._bands.items() if queue.by_arrival), None)

    def agents(self, band: Band) -> int:
        """How many agents wait in that band; one that waits inside and outside counts for both."""
        queue = self._bands[band]
        return queue.inside.agents + queue.outside.agents

    def waiting(self, band: Band, agent: str) -> int:
        """How many of that agent's wait in that band."""
        queue = self._bands[band]
        return queue.inside.waiting(agent) + queue.outside.waiting(agent)

    def add(self, ticket: Ticket) -> None:
        """At the tail of its agent and session."""
        queue = self._bands[ticket.band]
        queue.turns_of(ticket).add(ticket)
        queue.by_arrival[ticket.id] = ticket
        self._size += 1

    def put_back(self, ticket: Ticket) -> None:
        """At the head of its band: it was taken, and has to wait again."""
        queue = self._bands[ticket.band]
        queue.turns_of(ticket).put_back(ticket)
        queue.by_arrival[ticket.id] = ticket
        queue.by_arrival.move_to_end(ticket.id, last=False)
        self._size += 1

    def remove(self, ticket: Ticket) -> None:
        """It left. KeyError if it does not wait here."""
        queue = self._bands[ticket.band]
        queue.turns_of(ticket).remove(ticket)
        del queue.by_arrival[ticket.id]
        self._size -= 1

    def take(self, now: float) -> Ticket:
        """The one whose turn it is. Somebody must be waiting."""
        waiting = [band for band, queue in self._bands.items() if queue.by_arrival]
        queue = self._bands[self._whose_turn(waiting, now)]
        queue.turns_since_aged += 1
        ticket = queue.inside.take() if queue.inside.agents else queue.outside.take()
        del queue.by_arrival[ticket.id]
        self._size -= 1
        return ticket

    def _whose_turn(self, waiting: list[Band], now: float) -> Band:
        """The highest band that waits, unless the one below has aged and its turn in that round has come."""
        top, *below = waiting
        if top is Band.URGENT or not below:
            return top
        queue = self._bands[top]
        if queue.turns_since_aged < queue.agents or not self._aged(below[0], now):
            return top
        queue.turns_since_aged = 0
        return self._whose_turn(below, now)

    def _aged(self, band: Band, now: float) -> bool:
        oldest = next(iter(self._bands[band].by_arrival.values()))
        return now - oldest.queued_at >= self._aging_seconds
