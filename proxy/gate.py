"""The awaitable face of one lane's engine, and the one that tells it the time.

Everything that happens is told to the core with the time at which it happened; then the core is asked what
it decided, and whoever waited for a decision is woken. One task, `run`, does the same when nothing happens,
at the time the core named.
"""

from itertools import count

import structlog
import trio

from proxy.blockage import Blocked
from proxy.core.admission import Admission
from proxy.core.band import Band
from proxy.core.classify import Meaning, is_refusal, quiet_seconds
from proxy.core.decisions import Admitted, Decision, LaneStatistics
from proxy.core.evidence import Evidence
from proxy.core.fairness import Ticket, TicketId
from proxy.core.foreign import Foreign
from proxy.core.retreat import Retreat
from proxy.core.window import Slot
from proxy.grant import Ask, Closed, Grant, TurnedAway
from proxy.lessons import Attempted, Lessons
from proxy.stamps import Stamps
from shared import clock

__all__ = ["Ask", "Closed", "Gate", "Grant", "TurnedAway", "wall_at"]

_log = structlog.get_logger()


class _Waiter:
    """One that waits for a decision. The event is made only if it really has to wait."""

    __slots__ = ("decision", "woken")

    def __init__(self) -> None:
        self.decision: Grant | TurnedAway | None = None
        self.woken: trio.Event | None = None

    def decide(self, decision: Grant | TurnedAway) -> None:
        self.decision = decision
        if self.woken is not None:
            self.woken.set()


class Gate:
    """Owner of one lane: its engine, its stamps, and who waits for it."""

    def __init__(self, admission: Admission, retreat: Retreat, stamps: Stamps) -> None:
        self._core = admission
        self.retreat = retreat
        self._stamps = stamps
        self._ids = count(1)
        self._waiters: dict[TicketId, _Waiter] = {}
        self._closed = False
        self._rearm = trio.Event()
        self._wake_at = self._armed_for = float("inf")
        self._lessons = Lessons(admission)

    async def admit(self, ask: Ask, *, again: bool = False) -> Grant | TurnedAway:
        """Wait for a slot. Cancelling gives the place back; nothing was spent then."""
        if self._closed:
            return Closed()
        now = trio.current_time()
        id_ = TicketId(next(self._ids))
        ticket = Ticket(
            id=id_,
            band=ask.band,
            agent=ask.agent,
            session=ask.session,
            model=ask.model,
            queued_at=now,
            deadline_at=ask.deadline_at,
            account=ask.account,
        )
        waiter = self._waiters[id_] = _Waiter()
        self._core.arrive(ticket, now, again=again)
        self._pump(now)
        if waiter.decision is None:
            waiter.woken = trio.Event()
            try:
                await waiter.woken.wait()
            except trio.Cancelled:
                self._abandon(id_, waiter)
                raise
        assert waiter.decision is not None
        return waiter.decision

    def learn(
        self,
        grant: Grant,
        meaning: Meaning,
        retry_after: float | None = None,
        *,
        answer: object = None,
        succeeded: bool = True,
    ) -> None:
        """What an attempt came to. `retry_after`: seconds, as they came; `answer`: what may be said again."""
        now = trio.current_time()
        attempt = Attempted(grant.ticket, grant.sent_at, grant.probe, meaning, succeeded)
        self._lessons.attempted(attempt, answer, now)
        if retry_after is not None and is_refusal(meaning):
            self._core.keep_quiet(now + quiet_seconds(retry_after))
        self._pump(now)

    def learn_late(self, grant: Grant, meaning: Meaning) -> None:
        """What an error inside an answer says that had begun well."""
        if is_refusal(meaning):
            now = trio.current_time()
            self._lessons.refused(Attempted(grant.ticket, grant.sent_at, False, meaning, False), now)
            self._pump(now)

    def gave_up(self, grant: Grant, meaning: Meaning) -> None:
        """A request has failed for good; this was what its last attempt came to."""
        now = trio.current_time()
        self._lessons.gave_up(grant.ticket, meaning, now)
        self._pump(now)

    def attempt_lost(self, grant: Grant) -> None:
        """The attempt ended without an answer; if it was to try a model or the upstream, another one may."""
        now = trio.current_time()
        self._core.probe_lost(grant.ticket, now, probe=grant.probe)
        self._pump(now)

    def note_key(self, meaning: Meaning, *, succeeded: bool) -> None:
        """What an answer to our own key says of the key."""
        self._lessons.blockage.note_key(meaning, succeeded=succeeded)

    def blocked(self) -> list[Blocked]:
        """Why nothing useful comes of a request now, the weightiest reason first."""
        refusing = self._core.is_down(trio.current_time())
        return self._lessons.blockage.reasons(refusing=refusing)

    @property
    def foreign(self) -> Foreign:
        """What speaks for somebody else who spends this key. To be looked at."""
        return self._lessons.foreign

    @property
    def down_evidence(self) -> Evidence | None:
        """What has failed at the upstream as a whole, while that is so."""
        return self._core.broken_by

    def expected_wait(self, band: Band, model: str) -> float:
        """Seconds that a single request of that band for that model would wait now; no promise."""
        return self._core.expected_wait(band, trio.current_time(), model)

    def statistics(self) -> LaneStatistics:
        """A picture of the lane, true now."""
        now = trio.current_time()
        self._pump(now)
        return self._core.statistics(now)

    @property
    def throttled_share(self) -> float:
        """The share of 429s that the retreat goes by, 0 to 1."""
        return self.retreat.share(trio.current_time())

    @property
    def degraded(self) -> bool:
        """Does the window live in memory only?"""
        return self._stamps.degraded

    def close(self) -> None:
        """Turn away whoever still waits, and whoever comes."""
        self._closed = True
        now = trio.current_time()
        for id_, waiter in self._waiters.items():
            self._core.cancel(id_, now)
            waiter.decide(Closed())
        self._waiters.clear()

    async def run(self) -> None:
        """Pump at the times the core names. Runs until cancelled."""
        while True:
            self._rearm = trio.Event()
            self._armed_for = self._wake_at
            with trio.move_on_at(self._wake_at):
                await self._rearm.wait()
            self._pump(trio.current_time())

    def slot_written(self, slot: Slot) -> None:
        """For a grant: its request has left."""
        now = trio.current_time()
        self._stamps.written(slot, clock.monotonic())
        self._core.written(slot, now)
        self._pump(now)

    def slot_unsent(self, slot: Slot) -> None:
        """For a grant: its request has not left."""
        self._stamps.unsent(slot)
        self._core.unsent(slot)
        self._pump(trio.current_time())

    def request_ended(self, model: str) -> None:
        """For a grant: its request is over."""
        if self._core.ended(model):
            self._pump(trio.current_time())

    def _pump(self, now: float) -> None:
        change = self._core.judge(now)
        if change is not None:
            log = _log.critical if change.at_floor else _log.warning
            log(
                "rate_changed",
                state=change.state,
                from_rpm=change.from_rpm,
                to_rpm=change.to_rpm,
                share_of_429=round(change.share, 3),
                answers=change.answers,
                at_floor=change.at_floor,
            )
        if self._waiters:
            for decision in self._core.decide(now):
                self._waiters.pop(decision.ticket.id).decide(self._outcome(decision))
            self._wake_at = self._core.wake_at(now)
        else:
            self._wake_at = self.retreat.wake_at
        if self._wake_at < self._armed_for:
            self._rearm.set()

    def _outcome(self, decision: Decision) -> Grant | TurnedAway:
        if not isinstance(decision, Admitted):
            return decision
        self._stamps.held(decision.slot, clock.monotonic())
        return Grant(self, decision)

    def _abandon(self, id_: TicketId, waiter: _Waiter) -> None:
        """The client hung up: it leaves the queue, or gives back the slot it was given and never knew of."""
        if self._waiters.pop(id_, None) is not None:
            now = trio.current_time()
            self._core.cancel(id_, now)
            self._pump(now)
        elif isinstance(waiter.decision, Grant):
            waiter.decision.unsent()
            self.attempt_lost(waiter.decision)
            waiter.decision.ended()

    def __repr__(self) -> str:
        return f"<Gate: {len(self._waiters)} waiting, {self._core!r}>"


def wall_at(trio_time: float) -> float:
    """The Unix time at a moment of Trio's clock."""
    return clock.wall() + trio_time - trio.current_time()
