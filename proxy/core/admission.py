"""The engine of one lane: things happen to it, decisions come out.

Verbs for what happens (`arrive`, `cancel`, `written`, `unsent`, `answered`, `throttled`, …), one way to
collect what was decided (`decide`), and `wake_at`: when to call `decide` if nothing happens before. It can
be run through a day of traffic in a moment, and is, in the tests.

A request waits in the fair queue, where it takes the next slot when its turn comes; unless its model is
held back (``models``): then it is parked, and the queue has as many of that model's requests as there is
room for (``holding``). Both count for the bounded queue.
"""

from dataclasses import replace

from proxy.core.band import Band
from proxy.core.budget import Budget
from proxy.core.classify import Meaning
from proxy.core.decisions import (
    Admitted,
    Decision,
    Dropped,
    FullPolicy,
    KnownUnavailable,
    LaneStatistics,
    NoSlotInTime,
    QueueFull,
    UpstreamDown,
)
from proxy.core.evidence import Evidence
from proxy.core.fairness import Ticket, TicketId
from proxy.core.models import Models
from proxy.core.outlook import Outlook
from proxy.core.recent import Recent
from proxy.core.retreat import RateChange, Retreat
from proxy.core.waiting import Waiting
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
        self._models = Models()
        self._waiting = Waiting(aging_seconds)
        self._outlook = Outlook(self._waiting.line, budget)
        self._decisions: list[Decision] = []
        self._quiet_until = float("-inf")
        self._sends = Recent(60.0)
        self._enqueued = self._dequeued = self._dropped = 0

    # What happens

    def arrive(self, ticket: Ticket, now: float, *, again: bool = False) -> None:
        """A request asks for a slot; `again` if an earlier attempt of it failed: no queue is full for it."""
        refusal = self._models.refuses(ticket, now)
        if refusal is not None:
            self._decisions.append(refusal)
            return
        if not again and self._is_full_for(ticket.band) and self._full_policy is FullPolicy.PASSTHROUGH:
            ticket = replace(ticket, outside=True)
        self._enqueued += 1
        self._waiting.enter(ticket)
        self._hand_out(now)
        if ticket in self._waiting and not (again or ticket.outside):
            self._enforce_bound(ticket, now)
        if ticket in self._waiting:
            wait = self._estimate(ticket, now)
            if now + wait > ticket.deadline_at:
                self._leave(ticket, now)
                self._decisions.append(NoSlotInTime(ticket, wait))
            else:
                self._waiting.watch_deadline(ticket)
        self._note_backlog(now)

    def cancel(self, id_: TicketId, now: float) -> None:
        """The client left while it waited. No slot is spent."""
        self._leave(self._waiting[id_], now)
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
            self._models.pressure.cleared(model)

    def throttled(self, model: str, now: float, *, probe: bool) -> None:
        """The upstream answered 429: over the account's limit or the model's, it does not say."""
        self.retreat.answered(model, now, throttled=True)
        self._models.pressure.throttled(model, now, probe=probe)
        self._hold(model, now)

    def workers_full(self, model: str, now: float, *, sent_at: float, probe: bool) -> None:
        """That model's workers are taken, by all its tenants: no word about our budget."""
        self._models.pressure.throttled(model, now, probe=probe, what="workers_full")
        self._models.governor.full(model, now, sent_at=sent_at)
        self._hold(model, now)

    def unavailable(self, ticket: Ticket, answer: object, now: float) -> None:
        """Its model cannot be had: those of its account that wait for it hear so, too."""
        self._models.unavailable.remember(ticket.account, ticket.model, answer, now)
        for other in self._waiting.of(ticket.model):
            if other.account == ticket.account:
                self._leave(other, now)
                self._decisions.append(KnownUnavailable(other, answer))

    def attempted(self, ticket: Ticket, meaning: Meaning, now: float) -> None:
        """An attempt of that ticket has come to something, good or bad."""
        self._models.attempted(ticket, meaning, now)

    def gave_up(self, ticket: Ticket, meaning: Meaning, now: float) -> list[str]:
        """A request has failed for good. Where that is one too many, those that wait are told at once.

        The models that are down by this.
        """
        opened = self._models.breakers.gave_up(ticket.model, meaning, now)
        for model in opened:
            for other in self._waiting.of(model):
                self._leave(other, now)
                wait = self._models.breakers.wait_or_try(other.model, other.id, now)
                self._decisions.append(UpstreamDown(other, wait))
        return [model for model in opened if model is not None]

    def ended(self, model: str) -> bool:
        """A request that was admitted is over, its last byte included: may anybody wait for that?"""
        self._models.governor.end(model)
        return self._waiting.holding.holds(model)

    def probe_lost(self, ticket: Ticket, now: float, *, probe: bool) -> None:
        """An attempt got no answer: its client left, or the connection failed. Another may try instead."""
        self._models.left(ticket.id, now)
        if probe:
            self._models.pressure.probe_lost(ticket.model)

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
        if self._waiting.line:
            at = min(at, self._may_go_at(now))
        for model in self._waiting.holding.parked_models():
            if self._waiting.holding.could_step_in(model, self._models.room(model, now)):
                return now
            at = min(at, self._models.room_grows_at(model, now))
        return min(at, self._waiting.next_deadline())

    def expected_wait(self, band: Band, now: float, model: str | None = None) -> float:
        """Seconds that a single request of one more agent would wait in that band; no promise."""
        wait = self._outlook.of_one_more(band, now, not_before=self._quiet_until)
        if model is not None and self._models.pressure.is_paused(model):
            return max(wait, self._models.pressure.until(model) - now)
        return wait

    def statistics(self, now: float) -> LaneStatistics:
        """A picture of the lane, true at `now`."""
        window, queued = self._budget.window, len(self._waiting)
        return LaneStatistics(
            depth=self._waiting.depth(),
            outside=self._waiting.outside,
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
            paused_models=dict(self._models.pressure.pauses()),
            models=self._models.states(now),
        )

    @property
    def broken_by(self) -> Evidence | None:
        """The connections to the provider that have failed in a row, if these are too many."""
        return self._models.breakers.broken_by

    def is_down(self, now: float) -> bool:
        """Is everybody refused because of that, until it is time to try again?"""
        return self._models.breakers.is_down(now)

    def window_has_room(self, now: float) -> bool:
        """Could our own window take more? A 429 then was not about our sends alone."""
        return self._budget.window.free(now) > 0

    def __repr__(self) -> str:
        return f"<Admission: {len(self._waiting)} waiting, retreat {self.retreat.state}>"

    # Inside

    def _is_full_for(self, band: Band) -> bool:
        """Must a newcomer of that band wait outside? Also behind those of its band that already do."""
        return self._waiting.inside >= self._queue_max or self._waiting.line.has_outside(band)

    def _enforce_bound(self, newcomer: Ticket, now: float) -> None:
        """The newcomer has to wait, and one more than the queue takes is inside: somebody has to go."""
        if self._waiting.inside <= self._queue_max:
            return
        victim = newcomer
        if self._full_policy is FullPolicy.DROP_LOWEST:
            victim = self._waiting.newest_of_the_lowest_band()  # maybe the newcomer
        wait = self._estimate(victim, now)
        self._leave(victim, now)
        if victim is newcomer:
            self._decisions.append(QueueFull(victim, wait))
        else:
            self._decisions.append(Dropped(victim, wait))
        self._dropped += 1

    def _leave(self, ticket: Ticket, now: float) -> None:
        """It waits no longer, for whatever reason but a slot."""
        self._waiting.leave(ticket)
        self._models.left(ticket.id, now)

    def _hold(self, model: str, now: float) -> None:
        """Whoever waits for it steps out of the line, and back into it as there is room."""
        self._waiting.hold(model)
        self._models.forget(now, but=self._waiting.models)

    def _hand_out(self, now: float) -> None:
        """Slots to those whose turn it is, as long as one may go."""
        for model in self._waiting.holding.models():
            self._waiting.holding.arrange(model, self._models.room(model, now), now)
        while self._waiting.line and self._may_go_at(now) <= now:
            self._admit(self._waiting.take(now), now)
            self._note_backlog(now)

    def _admit(self, ticket: Ticket, now: float) -> None:
        self._dequeued += 1
        self._sends.add(now)
        self._outlook.sent(ticket.band, now)
        probe = self._models.sent(ticket.model)
        self._decisions.append(Admitted(ticket, self._budget.send(now), probe))

    def _may_go_at(self, now: float) -> float:
        urgent = self._waiting.line.depth(Band.URGENT) > 0
        return max(self._quiet_until, self._budget.may_go_at(now, urgent=urgent))

    def _note_backlog(self, now: float) -> None:
        line = self._waiting.line
        self._budget.backlog(len(line) > line.depth(Band.URGENT), now)

    def _miss_deadlines(self, now: float) -> None:
        for ticket in self._waiting.missed(now):
            wait = self._estimate(ticket, now)
            self._leave(ticket, now)
            self._decisions.append(NoSlotInTime(ticket, wait))

    def _estimate(self, ticket: Ticket, now: float) -> float:
        """Seconds that a ticket that waits will still wait, at most about that."""
        wait = self._outlook.of(ticket, now, not_before=self._quiet_until)
        pressure, model = self._models.pressure, ticket.model
        parked = self._waiting.holding.is_parked(ticket) and pressure.is_paused(model)
        return max(wait, pressure.until(model) - now) if parked else wait
