"""The engine of a lane, against a naive model of what it owes to each ticket, and claim by claim."""

from bisect import insort
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from proxy.core.admission import Admission
from proxy.core.band import Band
from proxy.core.budget import Budget
from proxy.core.classify import Meaning
from proxy.core.decisions import (
    Admitted,
    Decision,
    Dropped,
    FullPolicy,
    KnownUnavailable,
    NoSlotInTime,
    QueueFull,
    UpstreamDown,
)
from proxy.core.fairness import Ticket, TicketId
from proxy.core.retreat import Retreat, RetreatRules
from proxy.core.window import Slot
from tests.core.tickets import ticket as a_ticket

NEVER = float("inf")
SECONDS = st.floats(0, 20).map(lambda seconds: round(seconds, 2))


@dataclass
class Pause:
    """What the model of the machine knows of a paused model."""

    seconds: float
    until: float
    probes: int = 0
    """Sent, and not yet answered."""


class Lane(RuleBasedStateMachine):
    """Everything that can happen to a lane, in any order; after each step what was decided is collected."""

    @initialize(
        limit=st.integers(1, 6),
        margin=st.sampled_from([0.0, 0.5, 2.0]),
        capacity=st.integers(1, 8),
        queue_max=st.integers(0, 4),
        policy=st.sampled_from(FullPolicy),
        start_at=st.sampled_from([-7.0, 0.0, 0.1, 1e6]),
        held=st.lists(st.floats(-5, 20), max_size=8),
    )
    def begin(
        self,
        *,
        limit: int,
        margin: float,
        capacity: int,
        queue_max: int,
        policy: FullPolicy,
        start_at: float,
        held: list[float],
    ) -> None:
        self.limit, self.margin, self.hold = limit, margin, 10 + margin
        self.capacity, self.queue_max, self.policy = capacity, queue_max, policy
        self.now = start_at
        budget = Budget(
            limit=limit,
            window_seconds=10,
            margin_seconds=margin,
            bucket_capacity=capacity,
            now=start_at,
            release_ats=[start_at + seconds for seconds in held],
        )
        self.retreat = Retreat(RetreatRules(), limit * 6)
        self.engine = Admission(
            budget, self.retreat, queue_max=queue_max, full_policy=policy, aging_seconds=8
        )
        self.releases = [min(start_at + seconds, start_at + self.hold) for seconds in held]
        self.waiting: dict[TicketId, Ticket] = {}
        self.outside: set[TicketId] = set()
        self.unwritten: dict[Slot, Admitted] = {}
        self.in_flight: list[Admitted] = []
        self.relayed: list[Admitted] = []
        self.sent_at: dict[Slot, float] = {}
        self.pauses: dict[str, Pause] = {}
        self.quiet_until = -NEVER
        self.last_send_at = -NEVER
        self.arrivals: list[float] = []
        self.count = Counter[str]()

    # What happens

    @rule(
        band=st.sampled_from(Band),
        agent=st.sampled_from("abc"),
        session=st.sampled_from("st"),
        model=st.sampled_from("mn"),
        patience=st.one_of(SECONDS, st.just(500.0)),
        account=st.sampled_from(["", "", "k"]),
        again=st.sampled_from([False, False, False, True]),
    )
    def arrive(
        self, *, band: Band, agent: str, session: str, model: str, patience: float, account: str, again: bool
    ) -> None:
        self.count["enqueued"] += 1
        one = Ticket(
            id=TicketId(self.count["enqueued"] + self.count["at_once"]),
            band=band,
            agent=agent,
            session=session,
            model=model,
            queued_at=self.now,
            deadline_at=self.now + patience,
            account=account,
        )
        before = self.inside()
        self.waiting[one.id] = one
        known = self.engine._models.unavailable.known(account, model, self.now) is not None
        self.engine.arrive(one, self.now, again=again)
        if known:
            assert self.collect() == [KnownUnavailable(one, "gone")]
            self.count["enqueued"] -= 1
            self.count["at_once"] += 1
            return
        self.outside |= self.engine._waiting._outside
        refused = [d for d in self.collect() if isinstance(d, QueueFull | Dropped)]
        assert len(refused) <= 1
        assert self.inside() <= max(self.queue_max, before) + again  # nobody but a retry makes it longer
        full = before >= self.queue_max and not again
        assert not refused or (full and self.policy is not FullPolicy.PASSTHROUGH)
        for decision in refused:
            self.count["dropped"] += 1
            if isinstance(decision, QueueFull):
                assert decision.ticket.id == one.id
            else:
                assert self.policy is FullPolicy.DROP_LOWEST
                assert decision.ticket.band > band
            if self.policy is FullPolicy.DROP_LOWEST:
                others = [other for other in self.waiting.values() if other.band >= decision.ticket.band]
                assert all(
                    other.band == decision.ticket.band and other.id < decision.ticket.id for other in others
                )

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def hang_up(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(sorted(self.waiting.values(), key=lambda ticket: ticket.id)))
        del self.waiting[ticket.id]
        self.engine.cancel(ticket.id, self.now)
        self.collect()

    @precondition(lambda self: self.unwritten)
    @rule(data=st.data(), lateness=st.floats(0, 1))
    def written(self, data: st.DataObject, lateness: float) -> None:
        slot = data.draw(st.sampled_from(sorted(self.unwritten)))
        self.in_flight.append(self.unwritten.pop(slot))
        self.releases.append(self.now + self.hold)
        insort(self.arrivals, self.now + lateness * self.margin)
        self.engine.written(slot, self.now)
        self.collect()

    @precondition(lambda self: self.unwritten)
    @rule(data=st.data())
    def unsent(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.unwritten)))
        admitted = self.unwritten.pop(slot)
        self.engine.unsent(slot)
        self.lose(admitted)
        self.engine.ended(admitted.ticket.model)
        self.collect()

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), outcome=st.sampled_from(["answered", "throttled", "workers_full", "lost"]))
    def answer(self, data: st.DataObject, outcome: str) -> None:
        admitted = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        self.tell(admitted, outcome)
        self.collect()

    @precondition(lambda self: self.relayed)
    @rule(data=st.data())
    def an_answer_ends(self, data: st.DataObject) -> None:
        admitted = self.relayed.pop(data.draw(st.integers(0, len(self.relayed) - 1)))
        self.engine.ended(admitted.ticket.model)
        self.collect()

    @rule(model=st.sampled_from("mn"), account=st.sampled_from(["", "k"]))
    def a_model_cannot_be_had(self, model: str, account: str) -> None:
        """As an answer says that came to somebody; those of that account that wait hear it, too."""
        self.engine.unavailable(a_ticket(model=model, account=account), "gone", self.now)
        for decision in self.collect():
            if isinstance(decision, KnownUnavailable):
                assert (decision.ticket.model, decision.ticket.account) == (model, account)
        assert not [one for one in self.waiting.values() if (one.model, one.account) == (model, account)]

    @rule(model=st.sampled_from("mn"))
    def it_can_be_had_again(self, model: str) -> None:
        for account in ("", "k"):
            self.engine._models.unavailable.forget(account, model)

    def tell(self, admitted: Admitted, outcome: str) -> None:
        model, probe = admitted.ticket.model, admitted.probe
        pause = self.pauses.get(model)
        if outcome == "lost":
            self.lose(admitted)
        elif outcome == "answered":
            self.engine.answered(model, self.now, probe=probe)
            self.relayed.append(admitted)
            if probe:
                del self.pauses[model]
            return
        else:
            if outcome == "throttled":
                self.engine.throttled(model, self.now, probe=probe)
            else:
                sent_at = self.sent_at[admitted.slot]
                self.engine.workers_full(model, self.now, sent_at=sent_at, probe=probe)
            if pause is None:
                self.pauses[model] = Pause(2, self.now + 2)
            elif probe:
                seconds = min(pause.seconds * 2, 30)
                self.pauses[model] = Pause(seconds, self.now + seconds)
        self.engine.ended(model)

    def limits_of(self, model: str) -> float:
        """How many more may be under way at once."""
        state = self.engine.statistics(self.now).models.get(model)
        if state is None or state.limit is None:
            return NEVER
        busy = [*self.unwritten.values(), *self.in_flight, *self.relayed]
        under_way = sum(admitted.ticket.model == model for admitted in busy)
        assert state.in_flight == under_way
        return state.limit - under_way

    def lose(self, admitted: Admitted) -> None:
        self.engine.probe_lost(admitted.ticket, self.now, probe=admitted.probe)
        if admitted.probe:
            self.pauses[admitted.ticket.model].probes -= 1

    @rule(seconds=SECONDS)
    def keep_quiet(self, seconds: float) -> None:
        self.quiet_until = max(self.quiet_until, self.now + seconds)
        self.engine.keep_quiet(self.now + seconds)
        self.collect()

    @rule(seconds=SECONDS)
    def sleep(self, seconds: float) -> None:
        """For whatever reason the pump is late, or woken early."""
        self.now += seconds
        self.collect()

    @rule(times=st.integers(1, 12))
    def sleep_until_woken(self, times: int) -> None:
        for _ in range(times):
            wake_at = self.engine.wake_at(self.now)
            if wake_at == NEVER:
                return
            self.now = max(self.now, wake_at)
            due = [ticket for ticket in self.waiting.values() if ticket.deadline_at < self.now]
            assert not due, "woken after a deadline"
            if not self.collect():
                assert self.engine.wake_at(self.now) > self.now

    # What was decided

    def inside(self) -> int:
        return len(self.waiting) - self.engine.statistics(self.now).outside

    def collect(self) -> list[Decision]:
        """As the gate does; until nothing is left to decide, which must be soon."""
        change = self.engine.judge(self.now)
        everything: list[Decision] = []
        while decisions := self.engine.decide(self.now):
            for decision in decisions:
                self.check(decision)
            everything += decisions
        if change is None:
            assert self.engine.wake_at(self.now) > self.now
        return everything

    def check(self, decision: Decision) -> None:
        ticket = self.waiting.pop(decision.ticket.id)  # KeyError: decided twice, or after it left
        if isinstance(decision, NoSlotInTime):
            assert decision.wait_seconds >= 0
            if self.now < ticket.deadline_at:  # nobody gives up early but on arrival, and for a reason
                assert ticket.queued_at == self.now
                assert self.now + decision.wait_seconds > ticket.deadline_at
        if isinstance(decision, Admitted):
            self.check_admitted(decision)

    def check_admitted(self, admitted: Admitted) -> None:
        ticket = admitted.ticket
        assert self.now >= self.quiet_until
        self.unwritten[admitted.slot] = admitted
        self.sent_at[admitted.slot] = self.now
        assert self.limits_of(ticket.model) >= 0
        pause = self.pauses.get(ticket.model)
        assert admitted.probe == (pause is not None)
        if pause is not None:
            assert self.now >= pause.until
            assert pause.probes == 0
            pause.probes = 1
        for other in self.waiting.values():
            if other.model not in self.pauses and self.limits_of(other.model) > 0:
                assert other.band is not Band.URGENT or ticket.band is Band.URGENT
            if self.queue_of(other) == self.queue_of(ticket) and other.id < ticket.id:
                pytest.fail(f"{ticket} overtook {other}")
        self.count["dequeued"] += 1
        self.last_send_at = self.now

    def queue_of(self, one: Ticket) -> tuple[object, ...]:
        """Those of one line go in the order in which they came. (A paused model lets others overtake.)"""
        outside = one.id in self.outside or one.outside
        return one.band, outside, one.agent, one.session, one.model

    # What always holds

    @invariant()
    def never_over(self) -> None:
        for first, arrival in enumerate(self.arrivals):
            last = first + self.limit
            if last < len(self.arrivals):
                assert self.arrivals[last] - arrival >= 10 - 1e-6

    @invariant()
    def nobody_waits_past_its_deadline(self) -> None:
        assert all(ticket.deadline_at > self.now for ticket in self.waiting.values())

    @invariant()
    def it_does_not_idle(self) -> None:
        statistics = self.engine.statistics(self.now)
        long_ago = self.now - (self.capacity + 2) * 10 / self.limit / self.retreat.factor
        if self.now < self.quiet_until or self.last_send_at > long_ago:
            return
        for ticket in self.waiting.values():
            if ticket.model not in self.pauses and self.limits_of(ticket.model) > 0:
                needed = 0 if ticket.band is Band.URGENT else self.limit - 1
                assert statistics.window_limit - statistics.window_used <= needed

    @invariant()
    def paused_models_have_one_probe_at_most_and_are_tried_when_their_time_comes(self) -> None:
        waiting = {ticket.model for ticket in self.waiting.values()}
        remembered = self.engine.statistics(self.now).paused_models.keys()
        for model in self.pauses.keys() - remembered:  # nobody asked for it for long
            forgotten = self.pauses.pop(model)
            assert (forgotten.until + 600 < self.now, forgotten.probes, model in waiting) == (True, 0, False)
        assert remembered == self.pauses.keys()
        for model, pause in self.pauses.items():
            if model in waiting and pause.until <= self.now and not pause.probes:
                assert self.limits_of(model) <= 0 or self.engine._waiting.holding._held[model].in_line

    @invariant()
    def the_statistics_agree(self) -> None:
        statistics = self.engine.statistics(self.now)
        depth = Counter(ticket.band for ticket in self.waiting.values())
        assert statistics.depth == {band: depth[band] for band in Band}
        assert statistics.enqueued == self.count["enqueued"]
        assert statistics.dequeued == self.count["dequeued"]
        assert statistics.dropped == self.count["dropped"]
        used = len(self.unwritten) + sum(at > self.now for at in self.releases)
        assert statistics.window_used == used
        assert self.engine.window_has_room(self.now) == (used < self.limit)
        assert 0 <= statistics.tokens <= statistics.capacity <= min(self.capacity, self.limit)
        assert (statistics.quiet_until or -NEVER) == (
            self.quiet_until if self.quiet_until > self.now else -NEVER
        )
        assert all(0 <= wait < NEVER for wait in statistics.expected_wait.values())

    def teardown(self) -> None:
        """Whatever happened: in the end every ticket has left, exactly once, and nothing is kept of it."""
        if not hasattr(self, "engine"):
            return
        for _ in range(1000):
            for slot in sorted(self.unwritten):
                self.in_flight.append(self.unwritten.pop(slot))
                self.engine.written(slot, self.now)
            while self.in_flight:
                self.tell(self.in_flight.pop(), "answered")
            while self.relayed:
                self.engine.ended(self.relayed.pop().ticket.model)
            self.collect()
            if not self.waiting and not self.unwritten:
                break
            self.now = max(self.now, min(self.engine.wake_at(self.now), self.now + 10))
        assert not self.waiting
        engine = self.engine
        assert not engine._waiting.line
        assert not len(engine._waiting)
        assert not engine._waiting.models
        assert engine._waiting.outside == 0
        assert not engine._waiting.holding.parked_models()
        engine.wake_at(self.now)
        assert not engine._waiting._deadlines


TestLane = Lane.TestCase
TestLane.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


# Claim by claim


def lane(
    *,
    limit: int = 40,
    bucket_capacity: int = 40,
    queue_max: int = 500,
    full_policy: FullPolicy = FullPolicy.PASSTHROUGH,
    release_ats: list[float] | None = None,
) -> Admission:
    budget = Budget(
        limit=limit,
        window_seconds=60,
        margin_seconds=1,
        bucket_capacity=bucket_capacity,
        now=0,
        release_ats=release_ats or [],
    )
    return Admission(
        budget,
        Retreat(RetreatRules(), limit),
        queue_max=queue_max,
        full_policy=full_policy,
        aging_seconds=60,
    )


def busy(**settings_: Any) -> Admission:
    """A lane whose slots are all held for another minute."""
    return lane(release_ats=[60.0] * 40, **settings_)


def came(engine: Admission, one: Ticket, now: float = 0, *, again: bool = False) -> list[Decision]:
    engine.arrive(one, now, again=again)
    return engine.decide(now)


def sent(decisions: list[Decision]) -> list[Ticket]:
    return [decision.ticket for decision in decisions if isinstance(decision, Admitted)]


def woken(engine: Admission, now: float) -> tuple[float, list[Decision]]:
    """Sleep until it wants to be woken; what it decides then."""
    now = engine.wake_at(now)
    engine.judge(now)
    return now, engine.decide(now)


def test_an_idle_lane_sends_at_once() -> None:
    engine, one = lane(), a_ticket()
    (decision,) = came(engine, one)
    assert decision == Admitted(one, Slot(1), probe=False)


def test_a_client_that_hangs_up_gives_its_place_to_the_next() -> None:
    engine = lane(limit=1)
    first, gone, last = a_ticket("a"), a_ticket("b"), a_ticket("c")
    (admitted,) = came(engine, first)
    assert isinstance(admitted, Admitted)
    engine.written(admitted.slot, 0)
    assert not came(engine, gone)
    assert not came(engine, last)
    engine.cancel(gone.id, 1)
    assert engine.decide(1) == []
    now, decisions = woken(engine, 1)
    assert (now, sent(decisions)) == (61, [last])


def test_a_request_that_could_not_be_sent_lets_the_next_one_go() -> None:
    engine = lane(limit=1)
    (admitted,) = came(engine, a_ticket())
    assert isinstance(admitted, Admitted)
    next_one = a_ticket()
    came(engine, next_one, 60.5)
    engine.unsent(admitted.slot)
    assert sent(engine.decide(60.5)) == [next_one]


def test_a_deadline_that_cannot_be_met_is_refused_on_arrival() -> None:
    engine = busy()
    hasty, patient = a_ticket(patience=59), a_ticket(patience=61)
    (refused,) = came(engine, hasty)
    assert isinstance(refused, NoSlotInTime)
    assert refused.ticket is hasty
    assert refused.wait_seconds == 60
    assert came(engine, patient) == []


def test_a_deadline_that_comes_gets_its_answer_exactly_then() -> None:
    engine = lane()
    one = a_ticket(patience=5)
    engine.keep_quiet(4)
    assert came(engine, one) == []
    engine.keep_quiet(10)
    now, decisions = woken(engine, 0)
    assert now == 5
    assert decisions == [NoSlotInTime(one, 5)]
    assert engine.wake_at(5) == NEVER


def test_a_quiet_period_holds_everybody_and_delays_the_estimate_of_those_behind() -> None:
    engine = lane()
    engine.keep_quiet(30)
    assert came(engine, a_ticket("a", Band.URGENT)) == []
    for n in range(10):
        assert came(engine, a_ticket(f"b{n}")) == []
    assert engine.expected_wait(Band.NORMAL, 0) == pytest.approx(30 + 11 * 1.5, rel=0.3)
    assert engine.statistics(0).quiet_until == 30
    now, decisions = woken(engine, 0)
    assert now == 30
    assert sent(decisions)[0].band is Band.URGENT


def test_a_full_queue_lets_pass_refuses_or_drops_by_its_policy() -> None:
    decisions = {}
    for policy in FullPolicy:
        engine = busy(queue_max=2, full_policy=policy)
        for band in (Band.NORMAL, Band.LOW):
            came(engine, a_ticket(band.label, band))
        decisions[policy] = came(engine, a_ticket("new"))
        assert sum(engine.statistics(0).depth.values()) == 2 + (policy is FullPolicy.PASSTHROUGH)
    assert decisions[FullPolicy.PASSTHROUGH] == []
    (refused,) = decisions[FullPolicy.REJECT]
    (dropped,) = decisions[FullPolicy.DROP_LOWEST]
    assert isinstance(refused, QueueFull)
    assert isinstance(dropped, Dropped)
    assert (refused.ticket.agent, dropped.ticket.agent) == ("new", "low")


def test_a_newcomer_of_the_lowest_band_is_itself_refused() -> None:
    engine = busy(queue_max=1, full_policy=FullPolicy.DROP_LOWEST)
    came(engine, a_ticket("old"))
    (refused,) = came(engine, a_ticket("new"))
    assert isinstance(refused, QueueFull)
    assert refused.ticket.agent == "new"


def test_no_queue_is_full_for_a_retry() -> None:
    engine = busy(queue_max=1, full_policy=FullPolicy.REJECT)
    came(engine, a_ticket())
    assert came(engine, a_ticket(), again=True) == []


def test_a_retry_over_the_bound_makes_passthrough_refuse_nobody() -> None:
    engine = busy(queue_max=0)
    came(engine, a_ticket(), again=True)
    assert came(engine, a_ticket()) == []
    assert engine.statistics(0).outside == 1


def test_as_long_as_somebody_waits_outside_newcomers_go_behind() -> None:
    engine = busy(queue_max=1)
    inside, outside = a_ticket("a"), a_ticket("b")
    came(engine, inside)
    came(engine, outside)
    engine.cancel(inside.id, 0)
    came(engine, a_ticket("c"))
    assert engine.statistics(0).outside == 2


# Paused models


def refused_once(engine: Admission, model: str = "m") -> None:
    """A request for the model is sent and answered 429: the model is paused until 2."""
    (admitted,) = came(engine, a_ticket("first", model=model))
    assert isinstance(admitted, Admitted)
    engine.written(admitted.slot, 0)
    engine.throttled(model, 0, probe=admitted.probe)
    engine.ended(model)


def test_a_paused_model_is_tried_by_one_request_and_others_go_on() -> None:
    engine = lane()
    refused_once(engine)
    parked, other, fine = a_ticket("a"), a_ticket("b"), a_ticket("c", model="fine")
    assert came(engine, parked) + came(engine, other) == []
    assert sent(came(engine, fine)) == [fine]
    assert engine.statistics(0).paused_models == {"m": 2}
    now, decisions = woken(engine, 0)
    assert (now, decisions) == (2, [Admitted(parked, Slot(3), probe=True)])
    engine.judge(60)
    assert engine.decide(60) == []
    engine.answered("m", 60, probe=True)
    assert sent(engine.decide(60)) == [other]
    assert engine.statistics(60).paused_models == {}


def test_the_estimate_for_a_paused_model_is_not_before_its_pause_ends() -> None:
    engine = lane()
    refused_once(engine)
    assert engine.expected_wait(Band.NORMAL, 0, "m") > engine.expected_wait(Band.NORMAL, 0, "another") == 0


def test_those_that_waited_when_the_pause_began_are_not_sent_either() -> None:
    engine = lane(bucket_capacity=1)
    first, second, fine = a_ticket(), a_ticket(), a_ticket(model="fine")
    assert sent(came(engine, first)) == [first]
    assert came(engine, second) == []
    engine.throttled("m", 0, probe=False)
    assert came(engine, fine) == []
    now, decisions = woken(engine, 0)
    assert (now, sent(decisions)) == (1.5, [fine])


def test_a_probe_that_leaves_is_replaced() -> None:
    engine = lane()
    refused_once(engine)
    engine.keep_quiet(10)
    first, second = a_ticket("a"), a_ticket("b")
    came(engine, first)
    came(engine, second)
    assert engine.decide(2) == []
    engine.cancel(first.id, 3)
    assert engine.wake_at(3) <= 3
    assert engine.decide(3) == []
    assert sent(engine.decide(10)) == [second]


def test_a_probe_that_misses_its_deadline_is_replaced() -> None:
    engine = lane()
    refused_once(engine)
    first, second = a_ticket("a", patience=5), a_ticket("b")
    came(engine, first)
    came(engine, second)
    engine.keep_quiet(10)
    engine.decide(2)
    assert [decision.ticket for decision in engine.decide(5)] == [first]
    assert sent(engine.decide(10)) == [second]


def test_a_more_urgent_request_takes_the_place_of_a_waiting_probe() -> None:
    engine = lane()
    refused_once(engine)
    engine.keep_quiet(10)
    low, urgent = a_ticket("a", Band.LOW), a_ticket("b", Band.URGENT)
    came(engine, low)
    engine.decide(2)
    came(engine, urgent, 3)
    assert engine.decide(10) == [Admitted(urgent, Slot(2), probe=True)]
    engine.answered("m", 11, probe=True)
    assert sent(engine.decide(11)) == [low]


def test_a_probe_that_got_no_answer_lets_the_next_one_try() -> None:
    engine = lane()
    refused_once(engine)
    first, second = a_ticket("a"), a_ticket("b")
    came(engine, first)
    came(engine, second)
    assert sent(engine.decide(2)) == [first]
    engine.probe_lost(first, 3, probe=True)
    assert engine.decide(3) == [Admitted(second, Slot(3), probe=True)]


@pytest.mark.parametrize("late", ["answered", "throttled", "workers_full", "probe_lost"])
def test_the_late_word_of_a_probe_that_was_given_up_harms_nobody(late: str) -> None:
    """The next probe waits for its slot, or everybody does again: nobody is queued twice or forgotten."""
    engine = lane()
    refused_once(engine)
    tickets = [a_ticket(agent) for agent in "abc"]
    for one in tickets:
        came(engine, one)
    engine.decide(2)
    engine.probe_lost(tickets[0], 2, probe=True)
    engine.ended("m")
    engine.keep_quiet(10)
    engine.decide(3)
    if late == "probe_lost":
        engine.probe_lost(tickets[0], 4, probe=True)
    elif late == "workers_full":
        engine.workers_full("m", 4, sent_at=2, probe=True)
    else:
        getattr(engine, late)("m", 4, probe=True)
    engine.decide(4)
    (first, *others) = sent(engine.decide(10))
    engine.answered("m", 11, probe=True)
    engine.answered("m", 11, probe=True)  # and once more than there were probes
    now = 11.0
    while engine.statistics(now).depth[Band.NORMAL]:
        now, decisions = woken(engine, now)
        others += sent(decisions)
    assert [first, *others] == tickets[1:]
    assert engine.judge(now + 60) is None
    assert engine.decide(now + 60) == []
    assert engine.wake_at(now + 60) == NEVER


def test_a_model_with_waiting_requests_is_not_forgotten() -> None:
    engine = lane()
    refused_once(engine)
    one = a_ticket()
    came(engine, one)
    engine.throttled("another", 5000, probe=False)  # after a long sleep of the machine
    assert sent(engine.decide(5000)) == [one]


def test_full_workers_pause_the_model_and_say_nothing_about_our_rate() -> None:
    engine = lane()
    for _ in range(30):
        engine.workers_full("m", 0, sent_at=0, probe=False)
    assert engine.wake_at(0) == NEVER
    assert "m" in engine.statistics(0).paused_models


# What a model's answers teach


def test_full_workers_let_no_more_be_under_way_than_half() -> None:
    engine = lane()
    for _ in range(8):
        came(engine, a_ticket("first"))
    engine.workers_full("m", 1, sent_at=0, probe=False)
    engine.ended("m")
    waiting = [a_ticket(str(number)) for number in range(6)]
    for one in waiting:
        assert came(engine, one, 1) == []
    assert sent(came(engine, a_ticket(model="fine"), 1))
    assert engine.decide(3) == [], "seven are under way, and four may be"
    for _ in range(4):
        engine.ended("m")
    assert sent(engine.decide(4)) == waiting[:1], "one tries it"
    engine.answered("m", 5, probe=True)
    assert engine.decide(5) == []
    engine.ended("m")
    assert sent(engine.decide(6)) == waiting[1:2]
    now, decisions = woken(engine, 6)
    assert (now, sent(decisions)) == (61, waiting[2:3]), "a clean minute later one more"


def test_a_parked_request_that_has_room_wants_to_be_woken_at_once() -> None:
    engine = lane()
    refused_once(engine)
    first, second = a_ticket("a"), a_ticket("b")
    came(engine, first)
    came(engine, second)
    assert sent(engine.decide(2)) == [first]
    engine.probe_lost(first, 3, probe=True)
    assert engine.wake_at(3) == 3


def test_five_failures_turn_away_those_that_wait_for_that_model_and_newcomers() -> None:
    engine = lane(limit=5, bucket_capacity=5)
    failing = [a_ticket(str(number), Band.URGENT) for number in range(5)]
    for one in failing:
        came(engine, one)
    waits, fine, newcomer = a_ticket(), a_ticket(model="fine"), a_ticket()
    assert came(engine, waits, 1) + came(engine, fine, 1) == []
    for one in failing:
        engine.attempted(one, Meaning.TROUBLE, 2)
    assert [engine.gave_up(one, Meaning.TROUBLE, 2) for one in failing] == [[]] * 4 + [["m"]]
    assert engine.decide(2) == [UpstreamDown(waits, 5)]
    assert came(engine, newcomer, 3) == [UpstreamDown(newcomer, 4)]
    assert engine.statistics(3).depth[Band.NORMAL] == 1
    assert engine.statistics(3).models["m"].blocked == "upstream_down"
    assert engine.statistics(8).models["m"].blocked is None, "somebody may try"
    assert (engine.broken_by, engine.is_down(3)) == (None, False)


def test_a_broken_provider_turns_everybody_away_and_one_may_try_it() -> None:
    engine = lane(limit=5, bucket_capacity=5)
    failing = [a_ticket(str(number), Band.URGENT, model=str(number)) for number in range(5)]
    for one in failing:
        came(engine, one)
    waits = [a_ticket(model="x"), a_ticket(model="y")]
    for one in waits:
        came(engine, one, 1)
    for one in failing:
        engine.attempted(one, Meaning.RESET, 2)
        assert engine.gave_up(one, Meaning.RESET, 2) == []
    assert engine.decide(2) == [UpstreamDown(one, 5) for one in waits]
    assert engine.is_down(2)
    trial, second, third = a_ticket(), a_ticket(), a_ticket()
    assert came(engine, trial, 8) == []
    assert came(engine, second, 8) == [UpstreamDown(second, 5)]
    engine.cancel(trial.id, 9)
    assert came(engine, third, 9) == []


def test_a_model_that_cannot_be_had_is_told_to_those_that_wait_with_that_key() -> None:
    engine = busy()
    mine, theirs, other = a_ticket(account="a"), a_ticket(account="b"), a_ticket(model="n", account="a")
    for one in (mine, theirs, other):
        assert came(engine, one) == []
    engine.unavailable(a_ticket(account="a"), "gone", 1)
    assert engine.decide(1) == [KnownUnavailable(mine, "gone")]
    late = a_ticket(account="a")
    assert came(engine, late, 2) == [KnownUnavailable(late, "gone")]
    engine.attempted(late, Meaning.ANSWERED, 3)
    assert came(engine, a_ticket(account="a"), 3) == []


# The rest


def test_a_change_of_the_rate_changes_the_pace() -> None:
    engine = lane()
    for _ in range(30):
        engine.throttled("m", 0, probe=False)
    assert engine.judge(14) is None
    change = engine.judge(engine.wake_at(0))
    assert change
    assert change.to_rpm == engine.statistics(15).effective_rpm == 5
    assert (engine.statistics(15).capacity, engine.statistics(15).window_limit) == (5, 40)


def test_the_spare_rate_is_what_the_last_minute_and_the_queue_leave() -> None:
    engine = lane(bucket_capacity=20)
    for _ in range(18):
        came(engine, a_ticket())
    assert engine.statistics(0).spare_rpm == 22
    assert engine.statistics(61).spare_rpm == 40


def test_a_foreign_429_is_one_while_our_window_has_room() -> None:
    assert lane().window_has_room(0)
    assert not busy().window_has_room(0)


def test_a_deadline_comes_for_nobody_who_has_left() -> None:
    engine = busy()
    one = a_ticket(patience=70)
    came(engine, one)
    assert sent(engine.decide(60)) == [one]
    assert engine.decide(80) == []


def test_deadlines_of_those_that_left_are_not_kept() -> None:
    engine = busy()
    for _ in range(1000):
        one = a_ticket()
        came(engine, one)
        engine.cancel(one.id, 0)
    assert len(engine._waiting._deadlines) < 100


def test_it_says_what_it_is_doing() -> None:
    assert repr(lane()) == "<Admission: 0 waiting, retreat normal>"
