"""The engine of one lane: things happen to it, decisions come out.

Verbs for what happens (`arrive`, `cancel`, `written`, `unsent`, `answered`, `throttled`, …), one way to
collect what was decided (`decide`), and `wake_at`: when to call `decide` if nothing happens before. It can
be run through a day of traffic in a moment, and is, in the tests.

A request waits in the fair queue, where it takes the next slot when its turn comes; unless its model is left
alone for a while (``pressure``): then it is parked, and one request of that model queues to try it. Both
count for the bounded queue.
"""

from collections import Counter
from dataclasses import replace

from proxy.core.band import Band
from proxy.core.budget import Budget
from proxy.core.deadlines import Deadlines
from proxy.core.decisions import (
    Admitted,
    Decision,
    Dropped,
    FullPolicy,
    LaneStatistics,
    NoSlotInTime,
    QueueFull,
)
from proxy.core.fairness import FairQueue, Ticket, TicketId
from proxy.core.outlook import Outlook
from proxy.core.pressure import Pressure
from proxy.core.recent import Recent
from proxy.core.retreat import RateChange, Retreat
from proxy.core.window import Slot


class Admission:
    """Queue, budget, pauses and adaptive rate of one lane. One owner: the gate, from one task at a time."""

    def __init__(
        self,
        budget: Budget,
        retreat: Retreat,
        *,
        queue_max: int,
        full_policy: FullPolicy,
        aging_seconds: float,
    ) -> None:
        self._budget = budget
        self.retreat = retreat
        self._queue_max = queue_max
        self._full_policy = full_policy
        self._pressure = Pressure()
        self._queue = FairQueue(aging_seconds)
        self._outlook = Outlook(self._queue, budget)
        # All that wait, in the order in which they came; in the queue, unless their model is paused
        self._tickets: dict[TicketId, Ticket] = {}
        self._by_model: dict[str, dict[TicketId, Ticket]] = {}
        self._probes: dict[str, Ticket] = {}  # in the queue, to try their paused model
        self._outside: set[TicketId] = set()
        self._deadlines = Deadlines(self._tickets)
        self._decisions: list[Decision] = []
        self._quiet_until = float("-inf")
        self._sends = Recent(60.0)
        self._enqueued = self._dequeued = self._dropped = 0

    # What happens

    def arrive(self, ticket: Ticket, now: float, *, again: bool = False) -> None:
        """A request asks for a slot; `again` if an earlier attempt of it failed: no queue is full for it."""
        if not again and self._is_full_for(ticket.band) and self._full_policy is FullPolicy.PASSTHROUGH:
            ticket = replace(ticket, outside=True)
        self._enqueue(ticket)
        self._hand_out(now)
        if ticket.id in self._tickets and not (again or ticket.outside):
            self._enforce_bound(ticket, now)
        if ticket.id in self._tickets:
            wait = self._estimate(ticket, now)
            if now + wait > ticket.deadline_at:
                self._leave(ticket)
                self._decisions.append(NoSlotInTime(ticket, wait))
            else:
                self._watch_deadline(ticket)
        self._note_backlog(now)

    def cancel(self, id_: TicketId, now: float) -> None:
        """The client left while it waited. No slot is spent."""
        self._leave(self._tickets[id_])
        self._note_backlog(now)

    def written(self, slot: Slot, now: float) -> None:
        """The slot's request has left, or may have."""
        self._budget.window.written(slot, now)

    def unsent(self, slot: Slot) -> None:
        """Not one byte of the slot's request has left."""
        self._budget.window.unsent(slot)

    def answered(self, model: str, now: float, *, probe: bool, served: bool = True) -> None:
        """The upstream answered anything but "too many"; `served` if it did what was asked.

        An error is refused by other parts of the upstream than those that count: it is no word on the rate.
        """
        if served:
            self.retreat.answered(model, now, throttled=False)
        if probe:
            self._unpause(model)

    def throttled(self, model: str, now: float, *, probe: bool) -> None:
        """The upstream answered 429: over the account's limit or the model's, it does not say."""
        self.retreat.answered(model, now, throttled=True)
        self._pause(model, now, probe=probe)

    def workers_full(self, model: str, now: float, *, probe: bool) -> None:
        """That model's workers are taken, by all its tenants: no word about our budget."""
        self._pause(model, now, probe=probe)

    def probe_lost(self, model: str) -> None:
        """A probe got no answer: its client left, or the connection failed."""
        if model not in self._probes:  # or a later one is about to be sent
            self._pressure.probe_lost(model)

    def keep_quiet(self, until: float) -> None:
        """The upstream named a time (Retry-After) before which nothing is to be sent."""
        self._quiet_until = max(self._quiet_until, until)

    # What follows

    def decide(self, now: float) -> list[Decision]:
        """Everything decided since the last call. Nobody is decided twice, nobody after leaving."""
        self._hand_out(now)
        self._miss_deadlines(now)
        self._note_backlog(now)
        decisions, self._decisions = self._decisions, []
        return decisions

    def judge(self, now: float) -> RateChange | None:
        """The retreat's judgement, if one is due."""
        change = self.retreat.judge(now)
        if change:
            self._budget.set_factor(self.retreat.factor, now)
        return change

    def wake_at(self, now: float) -> float:
        """When to `judge` and `decide` next if nothing happens before; infinity if nothing ever will."""
        at = self.retreat.wake_at
        if self._queue:
            at = min(at, self._may_go_at(now))
        for model, _ in self._pressure.pauses():
            if model in self._by_model:
                at = min(at, self._pressure.probe_at(model))
        return min(at, self._deadlines.next_at())

    def expected_wait(self, band: Band, now: float, model: str | None = None) -> float:
        """Seconds that a single request of one more agent would wait in that band; no promise."""
        wait = self._outlook.of_one_more(band, now, not_before=self._quiet_until)
        if model is not None and self._pressure.is_paused(model):
            return max(wait, self._pressure.until(model) - now)
        return wait

    def statistics(self, now: float) -> LaneStatistics:
        """A picture of the lane, true at `now`."""
        window, queued = self._budget.window, len(self._tickets)
        depth = Counter(ticket.band for ticket in self._tickets.values())
        return LaneStatistics(
            depth={band: depth[band] for band in Band},
            outside=len(self._outside),
            expected_wait={band: self.expected_wait(band, now) for band in Band},
            enqueued=self._enqueued,
            dequeued=self._dequeued,
            dropped=self._dropped,
            tokens=self._budget.tokens(now),
            capacity=self._budget.pace.capacity,
            window_used=window.held(now),
            window_limit=window.limit,
            effective_rpm=self.retreat.effective_rpm,
            spare_rpm=max(0.0, self.retreat.effective_rpm - self._sends.count(now) - queued),
            quiet_until=self._quiet_until if self._quiet_until > now else None,
            paused_models=dict(self._pressure.pauses()),
        )

    def window_has_room(self, now: float) -> bool:
        """Could our own window take more? A 429 then was not about our sends alone."""
        return self._budget.window.free(now) > 0

    def __repr__(self) -> str:
        return f"<Admission: {len(self._tickets)} waiting, retreat {self.retreat.state}>"

    # Inside

    def _is_full_for(self, band: Band) -> bool:
        """Must a newcomer of that band wait outside? Also behind those of its band that already do."""
        inside = len(self._tickets) - len(self._outside)
        return inside >= self._queue_max or self._queue.has_outside(band)

    def _enqueue(self, ticket: Ticket) -> None:
        self._enqueued += 1
        self._tickets[ticket.id] = ticket
        if ticket.outside:
            self._outside.add(ticket.id)
        self._by_model.setdefault(ticket.model, {})[ticket.id] = ticket
        probe = self._probes.get(ticket.model)
        if probe and ticket.band < probe.band:  # or a request that is more urgent would wait for its turn
            self._queue.remove(probe)
            self._probes[ticket.model] = ticket
        if not self._is_parked(ticket):
            self._queue.add(ticket)

    def _enforce_bound(self, newcomer: Ticket, now: float) -> None:
        """The newcomer has to wait, and one more than the queue takes is inside: somebody has to go."""
        if len(self._tickets) - len(self._outside) <= self._queue_max:
            return
        victim = newcomer
        if self._full_policy is FullPolicy.DROP_LOWEST:  # the newest of the lowest band, maybe the newcomer
            victim = max(reversed(self._tickets.values()), key=lambda ticket: ticket.band)
        wait = self._estimate(victim, now)
        self._leave(victim)
        if victim is newcomer:
            self._decisions.append(QueueFull(victim, wait))
        else:
            self._decisions.append(Dropped(victim, wait))
        self._dropped += 1

    def _leave(self, ticket: Ticket) -> None:
        """It waits no longer, for whatever reason but a slot."""
        if not self._is_parked(ticket):
            self._queue.remove(ticket)
        self._forget_ticket(ticket)
        if self._probes.get(ticket.model) is ticket:
            del self._probes[ticket.model]
            self._pressure.probe_lost(ticket.model)

    def _forget_ticket(self, ticket: Ticket) -> None:
        del self._tickets[ticket.id]
        self._outside.discard(ticket.id)
        of_model = self._by_model[ticket.model]
        del of_model[ticket.id]
        if not of_model:
            del self._by_model[ticket.model]

    def _is_parked(self, ticket: Ticket) -> bool:
        return self._pressure.is_paused(ticket.model) and self._probes.get(ticket.model) is not ticket

    def _pause(self, model: str, now: float, *, probe: bool) -> None:
        if not self._pressure.is_paused(model):
            for ticket in self._by_model.get(model, {}).values():
                self._queue.remove(ticket)
        # The word of a probe that was given up counts no more once the next one is about to be sent.
        self._pressure.throttled(model, now, probe=probe and model not in self._probes)
        self._pressure.forget(now, but=self._by_model)

    def _unpause(self, model: str) -> None:
        parked = [ticket for ticket in self._by_model.get(model, {}).values() if self._is_parked(ticket)]
        self._pressure.cleared(model)
        self._probes.pop(model, None)
        for ticket in parked:
            self._queue.add(ticket)

    def _choose_probes(self, now: float) -> None:
        """One request of each model whose pause has ended queues for a slot; the others stay parked."""
        for model, _ in self._pressure.pauses():
            if model in self._by_model and self._pressure.probe_at(model) <= now:
                ticket = min(self._by_model[model].values(), key=lambda ticket: ticket.band)
                self._pressure.begin_probe(model)
                self._probes[model] = ticket
                self._queue.add(ticket)

    def _hand_out(self, now: float) -> None:
        """Slots to those whose turn it is, as long as one may go."""
        self._choose_probes(now)
        while self._queue and self._may_go_at(now) <= now:
            self._admit(self._queue.take(now), now)
            self._note_backlog(now)

    def _admit(self, ticket: Ticket, now: float) -> None:
        self._forget_ticket(ticket)
        self._dequeued += 1
        self._sends.add(now)
        self._outlook.sent(ticket.band, now)
        probe = self._probes.pop(ticket.model, None) is not None
        self._decisions.append(Admitted(ticket, self._budget.send(now), probe))

    def _may_go_at(self, now: float) -> float:
        urgent = self._queue.depth(Band.URGENT) > 0
        return max(self._quiet_until, self._budget.may_go_at(now, urgent=urgent))

    def _note_backlog(self, now: float) -> None:
        self._budget.backlog(len(self._queue) > self._queue.depth(Band.URGENT), now)

    def _watch_deadline(self, ticket: Ticket) -> None:
        if len(self._deadlines) > 2 * len(self._tickets) + 64:
            self._deadlines.compact()
        self._deadlines.add(ticket)

    def _miss_deadlines(self, now: float) -> None:
        for id_ in self._deadlines.missed(now):
            ticket = self._tickets[id_]
            wait = self._estimate(ticket, now)
            self._leave(ticket)
            self._decisions.append(NoSlotInTime(ticket, wait))

    def _estimate(self, ticket: Ticket, now: float) -> float:
        """Seconds that a ticket that waits will still wait, at most about that."""
        wait = self._outlook.of(ticket, now, not_before=self._quiet_until)
        return max(wait, self._pressure.until(ticket.model) - now) if self._is_parked(ticket) else wait
