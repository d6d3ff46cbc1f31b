"""Who goes next: bands, agents, sessions, first come first served."""

import sys
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from proxy.core.band import Band
from proxy.core.fairness import FairQueue, Ticket
from tests.core.tickets import ticket

Line = tuple[Band, bool, str]  # an agent's place in a band, inside or outside


class Turns(RuleBasedStateMachine):
    """Tickets come, leave and are taken; the model is a plain list and counts who was passed by whom."""

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.queue = FairQueue(aging_seconds=10)
        self.waiting: list[Ticket] = []
        self.passed_by: dict[Line, Counter[str]] = {}
        self.turns_since_aged: Counter[Band] = Counter()

    @rule(
        agent=st.sampled_from("abc"),
        session=st.sampled_from("st"),
        band=st.sampled_from(Band),
        outside=st.sampled_from([False, False, True]),
    )
    def add(self, agent: str, session: str, band: Band, outside: bool) -> None:
        came = ticket(agent, band, session=session, queued_at=self.now, outside=outside)
        self.passed_by.setdefault((band, outside, agent), Counter())
        self.waiting.append(came)
        self.queue.add(came)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        gone = data.draw(st.sampled_from(self.waiting))
        self.queue.remove(gone)
        self.forget(gone)

    @rule(seconds=st.floats(0, 6))
    def sleep(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.waiting)
    @rule(times=st.integers(1, 4))
    def take(self, times: int) -> None:
        for _ in range(min(times, len(self.waiting))):
            self.take_one()

    def take_one(self) -> None:
        agents = {band: len(self.agents(band, False)) or len(self.agents(band, True)) for band in Band}
        taken = self.queue.take(self.now)
        bands = sorted({other.band for other in self.waiting})
        for above, below in pairwise(bands):
            if taken.band > above:  # its band had aged, and its turn in the round above had come
                assert above is not Band.URGENT
                assert any(self.has_aged(other) for other in self.waiting if other.band == below)
                assert self.turns_since_aged[above] >= agents[above]
                self.turns_since_aged[above] = 0
        self.turns_since_aged[taken.band] += 1
        for other in self.waiting:
            if other.band == taken.band:
                assert other.outside >= taken.outside, "outside went before inside"
                if (other.agent, other.session, other.outside) == (
                    taken.agent,
                    taken.session,
                    taken.outside,
                ):
                    assert other.id >= taken.id, "overtaken inside a session"
        self.forget(taken)
        for (band, outside, agent), passed_by in self.passed_by.items():
            if (band, outside) == (taken.band, taken.outside) and agent != taken.agent:
                passed_by[taken.agent] += 1
                assert passed_by[taken.agent] <= 1, "an agent had two turns while another had none"
        line = (taken.band, taken.outside, taken.agent)
        if line in self.passed_by:
            self.passed_by[line] = Counter()

    def has_aged(self, waiting: Ticket) -> bool:
        return self.now - waiting.queued_at >= 10

    def agents(self, band: Band, outside: bool) -> set[str]:
        return {t.agent for t in self.waiting if (t.band, t.outside) == (band, outside)}

    def forget(self, gone: Ticket) -> None:
        self.waiting.remove(gone)
        if gone.agent not in self.agents(gone.band, gone.outside):
            del self.passed_by[gone.band, gone.outside, gone.agent]

    @invariant()
    def it_counts_what_waits(self) -> None:
        assert len(self.queue) == len(self.waiting)
        for band in Band:
            mine = [t for t in self.waiting if t.band == band]
            assert self.queue.depth(band) == len(mine)
            assert self.queue.has_outside(band) == any(t.outside for t in mine)
            assert self.queue.agents(band) == len({(t.agent, t.outside) for t in mine})
            for agent in "abc":
                assert self.queue.waiting(band, agent) == sum(t.agent == agent for t in mine)


TestTurns = Turns.TestCase
TestTurns.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def order(queue: FairQueue, now: float = 0.0) -> str:
    return "".join(queue.take(now).agent for _ in range(len(queue)))


def queue_of(*tickets: Ticket, aging_seconds: float = 60) -> FairQueue:
    queue = FairQueue(aging_seconds)
    for one in tickets:
        queue.add(one)
    return queue


def test_agents_take_turns() -> None:
    assert order(queue_of(*[ticket(agent) for agent in "aaaabbc"])) == "abcabaa"


def test_sessions_of_an_agent_take_turns() -> None:
    queue = queue_of(*[ticket(session=session) for session in "ssst"])
    assert [queue.take(0).session for _ in range(4)] == ["s", "t", "s", "s"]


def test_inside_a_session_the_first_to_come_is_the_first_to_go() -> None:
    tickets = [ticket() for _ in range(5)]
    queue = queue_of(*tickets)
    assert [queue.take(0) for _ in range(5)] == tickets


def test_the_more_urgent_band_goes_first() -> None:
    bands = [Band.LOW, Band.NORMAL, Band.HIGH, Band.URGENT]
    assert order(queue_of(*[ticket(band.label[0], band) for band in bands])) == "uhnl"


def test_those_that_a_full_queue_let_pass_come_after_those_inside_of_their_band() -> None:
    queue = queue_of(
        ticket("o", outside=True), ticket("i"), ticket("l", Band.LOW), ticket("h", Band.HIGH, outside=True)
    )
    assert order(queue) == "hiol"


def test_an_aged_band_takes_part_as_one_more_agent_in_the_round_above() -> None:
    high = [ticket(agent, Band.HIGH, queued_at=100) for agent in "ababab"]
    queue = queue_of(*[ticket("n") for _ in range(4)], *high)
    assert order(queue, now=100)[:6] == "abnabn"


def test_a_band_that_has_not_aged_waits() -> None:
    queue = queue_of(ticket("n", queued_at=50), *[ticket("h", Band.HIGH, queued_at=50) for _ in range(3)])
    assert order(queue, now=100) == "hhhn"


def test_no_age_lets_anybody_before_urgent() -> None:
    queue = queue_of(ticket("l", Band.LOW), *[ticket("u", Band.URGENT, queued_at=1e6) for _ in range(3)])
    assert order(queue, now=1e6) == "uuul"


def test_an_aged_low_takes_part_in_the_turns_that_normal_gets_in_the_round_of_high() -> None:
    high = [ticket("h", Band.HIGH) for _ in range(8)]
    queue = queue_of(*high, *[ticket("n") for _ in range(8)], *[ticket("l", Band.LOW) for _ in range(8)])
    assert order(queue, now=100)[:12] == "hnhlhnhlhnhl"


def test_a_turn_does_not_count_for_those_that_left() -> None:
    first, second = ticket("a"), ticket("b")
    queue = queue_of(first, second)
    queue.remove(first)
    assert queue.take(0) is second
    assert not queue


def test_who_does_not_wait_cannot_leave() -> None:
    queue = queue_of(ticket("a"))
    with pytest.raises(KeyError):
        queue.remove(ticket("b"))


@pytest.mark.parametrize("verb", ["leave", "arrive", "take"])
def test_no_verb_costs_more_in_a_long_queue(verb: str) -> None:
    """Counted, not timed: lines of Python that run in a queue of 500 and of 5000."""

    def cost(depth: int) -> int:
        tickets = [ticket(f"agent-{n % 10}", session=f"s{n % 3}") for n in range(depth)]
        queue = queue_of(*tickets)
        lines = 0

        def count(_frame: object, event: str, _arg: object) -> object:
            nonlocal lines
            lines += event == "line"
            return count

        newcomer = ticket("agent-3")
        tracer = sys.gettrace()
        sys.settrace(count)  # type: ignore[arg-type]
        try:
            if verb == "leave":
                queue.remove(tickets[depth // 2])
            elif verb == "arrive":
                queue.add(newcomer)
            else:
                queue.take(0)
        finally:
            sys.settrace(tracer)
        return lines

    assert cost(5000) == cost(500)
