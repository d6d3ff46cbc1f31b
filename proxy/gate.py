"""The awaitable face of one lane's engine, and the one that tells it the time.

Everything that happens is told to the core with the time at which it happened; then the core is asked what
it decided, and whoever waited for a decision is woken. One task, `run`, does the same when nothing happens,
at the time the core named.
"""

from dataclasses import dataclass
from itertools import count

import structlog
import trio

from proxy.core.admission import Admission
from proxy.core.band import Band
from proxy.core.classify import Meaning, quiet_seconds
from proxy.core.decisions import Admitted, Decision, Dropped, LaneStatistics, NoSlotInTime, QueueFull
from proxy.core.fairness import Ticket, TicketId
from proxy.core.retreat import Retreat
from proxy.core.window import Slot
from proxy.stamps import Stamps
from shared import clock

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ask:
    """One request's question for a slot."""

    band: Band
    agent: str
    session: str
    model: str
    deadline_at: float
    """On Trio's clock."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The process ends; whoever still waited is turned away."""


TurnedAway = NoSlotInTime | QueueFull | Dropped | Closed


class Grant:
    """A slot that one request may use. Its holder reports what became of it; only the first report counts."""

    def __init__(self, gate: "Gate", admitted: Admitted) -> None:
        self._gate = gate
        self._slot: Slot | None = admitted.slot
        self.model = admitted.ticket.model
        self.outside = admitted.ticket.outside
        self.probe = admitted.probe

    def written(self) -> None:
        """The request's last byte has left, or some of it may have."""
        if self._slot is not None:
            slot, self._slot = self._slot, None
            self._gate.slot_written(slot)

    def unsent(self) -> None:
        """Not one byte has left."""
        if self._slot is not None:
            slot, self._slot = self._slot, None
            self._gate.slot_unsent(slot)


@dataclass(frozen=True, slots=True)
class Blocked:
    """The upstream refuses our key; `since` is Unix time."""

    reason: str
    since: float


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
        self.blocked: Blocked | None = None
        self.foreign_throttles = 0
        """429s while our own window had room: another user of the key, or a limit of the model's own."""

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
        self, grant: Grant, meaning: Meaning, retry_after: float | None = None, *, succeeded: bool = True
    ) -> None:
        """What an attempt came to. `retry_after`: seconds, as the upstream said."""
        now = trio.current_time()
        match meaning:
            case Meaning.THROTTLED:
                if self._core.window_has_room(now):
                    self.foreign_throttles += 1
                    _log.warning("throttled_with_room_in_our_window", model=grant.model)
                self._core.throttled(grant.model, now, probe=grant.probe)
                if retry_after is not None:
                    self._core.keep_quiet(now + quiet_seconds(retry_after))
            case Meaning.WORKERS_FULL:
                self._core.workers_full(grant.model, now, probe=grant.probe)
            case Meaning.UNREACHABLE | Meaning.RESET | Meaning.SILENT | Meaning.GARBAGE:
                self.probe_lost(grant)
            case _:
                self._core.answered(grant.model, now, probe=grant.probe, served=succeeded)
        self._pump(now)

    def probe_lost(self, grant: Grant) -> None:
        """The attempt ended without an answer; if it was to try a paused model, another one may."""
        if grant.probe:
            self._core.probe_lost(grant.model)
            self._pump(trio.current_time())

    def note_key(self, meaning: Meaning, *, succeeded: bool) -> None:
        """What an answer to our own key says of the key: rejected, out of credits, or fine again."""
        if meaning in {Meaning.KEY_REJECTED, Meaning.NO_CREDITS}:
            if self.blocked is None or self.blocked.reason != meaning:
                self.blocked = Blocked(str(meaning), clock.wall())
                _log.critical("lane_blocked", reason=self.blocked.reason)
        elif succeeded and self.blocked is not None:
            _log.warning("lane_unblocked", reason=self.blocked.reason)
            self.blocked = None

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
            self.probe_lost(waiter.decision)

    def __repr__(self) -> str:
        return f"<Gate: {len(self._waiters)} waiting, {self._core!r}>"


def wall_at(trio_time: float) -> float:
    """The Unix time at a moment of Trio's clock."""
    return clock.wall() + trio_time - trio.current_time()
