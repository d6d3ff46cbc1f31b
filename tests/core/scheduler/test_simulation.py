"""The plan over days of a team, carried out with the real verbs on a board in memory."""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from math import inf
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from scheduler.core import cards, deciding, halting, holding
from scheduler.core import commands as c
from scheduler.core.capacity import Blocked, Capacity
from scheduler.core.plan import plan
from scheduler.core.records import Attempt, Run, Verdict
from scheduler.core.rules import Rules
from scheduler.core.sighting import ENDED, RunSeen, RunState, Sighting
from scheduler.core.snapshot import EVERYBODY, AgentRecord, BoardSnapshot
from scheduler.core.states import Status
from scheduler.core.task import Draft, Priority, Task, task_id
from scheduler.core.world import World
from tests.core.scheduler.boards import HIGH_RISK, NOW, a_draft, budget
from tests.core.scheduler.simulation import Simulation, Verb

AGENTS = ("a", "b", "c", "d", "e", "f")
SOMEBODY = st.sampled_from(AGENTS)
SMALL = st.integers(0, 59)
SECONDS = [1.0, 5.0, 15.0, 61.0, 61.0, 130.0, 400.0, 1000.0, 3700.0]
CAPACITIES = [
    Capacity.unknown("away"),
    budget(40.0),
    budget(9.0),
    budget(0.0),
    budget(40.0, retreat_state="retreat"),
    budget(40.0, blocked=Blocked("the key was rejected", NOW)),
    budget(40.0, quiet_until=NOW + 3000),
]


class Team(RuleBasedStateMachine):
    """Whatever people, agents, the gateway and the sidecar do, in any order: a tick settles it."""

    def __init__(self) -> None:
        super().__init__()
        self.board = Simulation()
        self.fresh = True

    @initialize(most=st.integers(1, 4), cards=st.lists(st.tuples(SOMEBODY, SMALL), min_size=2, max_size=9))
    def begin(self, most: int, cards: list[tuple[str, int]]) -> None:
        """A board with work for some; the lots decide who waits for whom, and who judges."""
        self.board.rules = Rules(max_concurrent=most)
        for number, (agent, lot) in enumerate(cards):
            self.board.create(
                Draft(
                    title="Write",
                    assignee=agent,
                    priority=Priority(lot % 4),
                    depends_on=(task_id(number),) if lot % 5 == 1 and number else (),
                    review="agent:judge" if lot % 3 == 2 else "accept_nonempty",
                    max_turns=20,
                )
            )

    def pick(self, lot: int) -> Task:
        return list(self.board.tasks.values())[lot % len(self.board.tasks)]

    @rule(
        assignee=st.none() | SOMEBODY,
        priority=st.sampled_from(Priority),
        risky=st.booleans(),
        later=st.booleans(),
        after=st.none() | SMALL,
    )
    def create(
        self, assignee: str | None, priority: Priority, risky: bool, later: bool, after: int | None
    ) -> None:
        draft = Draft(
            title="Write",
            assignee=assignee,
            priority=priority,
            risk_tools=("delete_file",) if risky else (),
            not_before=self.board.now + 500 if later else None,
            review="person" if later else "accept_nonempty",
            depends_on=() if after is None else (self.pick(after).id,),
        )
        self.board.create(draft)

    @rule(lot=SMALL, what=st.sampled_from(["answer", "retry", "stop", "cancel", "release", "block", "set"]))
    def person_says(self, lot: int, what: str) -> None:
        now = self.board.now
        verbs: dict[str, Verb] = {
            "answer": lambda task, _: halting.answer(task, "blue", who="ann", now=now),
            "retry": lambda task, _: halting.retry(task, who="ann", now=now),
            "stop": lambda task, attempt: halting.stop(task, attempt, who="ann", now=now),
            "cancel": lambda task, attempt: halting.cancel(task, attempt, reason="no", who="ann", now=now),
            "release": lambda task, attempt: holding.release(task, attempt, reason="", who="ann", now=now),
            "block": lambda task, attempt: halting.block(task, attempt, reason="?", who="ann", now=now),
            "set": lambda task, _: cards.revise(
                task, {"depends_on": ()}, high_risk=HIGH_RISK, who="ann", now=now
            ),
        }
        self.board.change(self.pick(lot).id, verbs[what])

    @rule(lot=SMALL, verdict=st.sampled_from(Verdict))
    def decide(self, lot: int, verdict: Verdict) -> None:
        verb = partial(deciding.decide, verdict=verdict, by="bob", reason="so", now=self.board.now)
        self.board.change(self.pick(lot).id, verb)

    @rule(lot=SMALL, agent=SOMEBODY)
    def claim_by_hand(self, lot: int, agent: str) -> None:
        self.board.claim(self.pick(lot).id, agent, 600.0)

    @rule(turn=st.integers(1, 21), waits=st.booleans(), lot=SMALL)
    def beat(self, turn: int, waits: bool, lot: int) -> None:
        held = [each for each in self.board.tasks.values() if each.held]
        if held:
            verb = partial(
                holding.heartbeat,
                turn=turn,
                waiting_for="the build" if waits else None,
                who="it",
                now=self.board.now,
            )
            self.board.change(held[lot % len(held)].id, verb)

    @rule(
        lot=SMALL,
        text=st.sampled_from(["done", '{"decision": "accept"}', '{"decision": "rework"}']),
        findings=st.sampled_from([(), (), ("no file",), ("no JSON",)]),
    )
    def hand_in(self, lot: int, text: str, findings: tuple[str, ...]) -> None:
        held = [each for each in self.board.tasks.values() if each.held]
        self.board.findings = findings
        if held:
            self.board.hand_in(held[lot % len(held)].id, text)

    @rule(
        lot=SMALL,
        state=st.sampled_from([RunState.OK, RunState.OK, RunState.FAILED, RunState.ABORTED, RunState.ABSENT]),
        answer=st.sampled_from(["", "done", '{"decision": "accept"}']),
        error=st.sampled_from(["", "HTTP 429", "the tool broke"]),
    )
    def run_ends(self, lot: int, state: RunState, answer: str, error: str) -> None:
        if alive := self.board.gateway.alive:
            run_id = alive[lot % len(alive)]
            self.board.gateway.runs[run_id] = RunSeen(run_id, state, answer=answer, error=error)

    @rule(lot=SMALL, turns=st.integers(1, 21))
    def run_counts(self, lot: int, turns: int) -> None:
        if alive := self.board.gateway.alive:
            run_id = alive[lot % len(alive)]
            self.board.gateway.runs[run_id] = RunSeen(run_id, RunState.RUNNING, turns=turns)

    @rule(lot=SMALL, unclear=st.booleans())
    def run_is_odd(self, lot: int, unclear: bool) -> None:
        if alive := self.board.gateway.alive:
            odd = self.board.gateway.unclear if unclear else self.board.gateway.stubborn
            odd.symmetric_difference_update({alive[lot % len(alive)]})

    @rule(lot=SMALL)
    def gateway_goes_and_comes(self, lot: int) -> None:
        self.board.gateway.up = lot % 4 != 0

    @rule(agent=SOMEBODY)
    def person_talks(self, agent: str) -> None:
        self.board.gateway.talking[agent] = self.board.now
        # Between two looks nobody knows of it.
        self.board.sighting = replace(self.board.sighting, busy_agents=dict(self.board.gateway.talking))

    @rule(capacity=st.sampled_from(CAPACITIES), waiting=st.sets(SOMEBODY, max_size=2))
    def sidecar_says(self, capacity: Capacity, waiting: set[str]) -> None:
        self.board.capacity, self.board.waiting_agents = capacity, frozenset(waiting)

    @rule(agent=SOMEBODY | st.just(EVERYBODY), seconds=st.sampled_from([None, None, 60.0, inf]))
    def pause(self, agent: str, seconds: float | None) -> None:
        until = None if seconds is None else self.board.now + seconds
        self.board.agents[agent] = AgentRecord(agent, until, run_seconds=300.0)

    @rule(seconds=st.sampled_from(SECONDS), lot=SMALL)
    def time_passes(self, seconds: float, lot: int) -> None:
        """And the starter does its work: what it asks for is proven, or lost, or never arrives."""
        self.board.now += seconds / 2
        self.board.begin(proven=lot % 3 != 0, reaches=lot % 4 != 0)
        self.board.now += seconds / 2

    @rule(fresh=st.booleans())
    def look(self, fresh: bool) -> None:
        """Whether the next ticks come in between, and look at the gateway only now and then."""
        self.fresh = fresh

    @invariant()
    def a_tick_settles_everything(self) -> None:
        unclear = set(self.board.gateway.unclear)
        self.board.tick(fresh=self.fresh)
        assert_settled(self.board)
        for command in self.board.carried_out:
            attempt = getattr(command, "attempt", None)
            if isinstance(attempt, Attempt) and attempt.live and self.fresh:
                # To stop it is all that may be tried: that proves its end, or changes nothing.
                assert attempt.run_id not in unclear or isinstance(command, c.StopRun)
            if isinstance(command, c.EndRun | c.NeverStarted):
                assert (command.attempt.started_at or 0) < self.board.sighting.at
                assert command.attempt.claimed_at <= self.board.sighting.at


def assert_settled(board: Simulation) -> None:
    """What must hold after every tick."""
    again = plan(board.world(), board.now)
    stubborn = board.gateway.stubborn
    assert all(isinstance(it, c.StopRun) and it.attempt.run_id in stubborn for it in again.commands)
    agents = [each.agent for each in board.live]
    assert len(agents) == len(set(agents))
    assert len(agents) <= board.rules.max_concurrent
    for row in board.waiting():
        assert row.waiting_because
        assert row.expected_start_at is None or row.expected_start_at > board.now
    if board.alarms:
        assert not [each for each in board.carried_out if isinstance(each, c.Expire)]
    for attempt in board.live:
        # Under no name does a run live on that the board has forgotten: each is asked about until it is over.
        seen = board.sighting.runs.get(attempt.run_id)
        if seen is not None and seen.state in ENDED and attempt.run is Run.STARTED:
            assert (attempt.started_at or 0) >= board.sighting.at


TestTeam = Team.TestCase
TestTeam.settings = settings(stateful_step_count=60)


# An empty board


@pytest.mark.parametrize("seed", range(3))
def test_an_empty_board_never_asks_for_a_model_call(seed: int) -> None:
    lots = Random(seed)
    for tick in range(1000):
        now = NOW + 60 * tick
        look = Sighting(up=lots.random() < 0.9, at=now, busy_agents={"a": now - lots.uniform(0, 2000)})
        world = World(BoardSnapshot(), look, lots.choice(CAPACITIES), Rules(), now + 60, frozenset(AGENTS))
        assert plan(world, now).commands == ()


def test_a_board_on_which_all_is_done_never_asks_for_a_model_call() -> None:
    board = Simulation()
    task = board.create(a_draft(assignee="a"))
    board.tick()
    board.begin(proven=True)
    board.now += 60
    assert board.hand_in(task.id, "all ships")
    board.gateway.runs[f"{task.id}.1"] = RunSeen(f"{task.id}.1", RunState.OK)
    board.tick()
    assert board.over()
    for _ in range(1000):
        board.now += 60
        board.tick()
        assert not [each for each in board.carried_out if not isinstance(each, c.ArchiveSession)]


# Stories


def started(board: Simulation) -> list[str]:
    return [each.task for each in board.carried_out if isinstance(each, c.Start)]


def minute(board: Simulation, **ends: RunState) -> None:
    """A minute later; `ends`: agent -> how its run has ended."""
    board.begin(proven=True)
    board.now += 60
    for attempt in board.live:
        if (state := ends.get(attempt.agent)) is not None:
            board.gateway.runs[attempt.run_id] = RunSeen(attempt.run_id, state, answer="all ships")
    board.tick()


def test_a_dependant_starts_when_its_dependency_is_done_and_not_before() -> None:
    board = Simulation()
    first = board.create(a_draft(assignee="a"))
    second = board.create(a_draft(assignee="b", depends_on=(first.id,)))
    board.tick()
    assert started(board) == [first.id]
    minute(board)
    assert started(board) == []
    assert board.tasks[second.number].waiting_because == f"waits for {first.id}"
    minute(board, a=RunState.OK)
    assert board.tasks[first.number].status is Status.DONE
    assert started(board) == [second.id]


def test_a_dependency_that_fails_and_is_tried_again_takes_its_dependants_along() -> None:
    board = Simulation()
    first = board.create(a_draft(assignee="a", max_attempts=1))
    second = board.create(a_draft(assignee="b", depends_on=(first.id,)))
    third = board.create(a_draft(assignee="c", depends_on=(second.id,)))
    board.tick()
    minute(board, a=RunState.FAILED)
    assert [board.tasks[each].status for each in (1, 2, 3)] == ["failed", "blocked", "pending"]
    board.change(first.id, lambda task, _: halting.retry(task, who="ann", now=board.now))
    board.tick()
    assert [board.tasks[each].status for each in (1, 2, 3)] == ["claimed", "pending", "pending"]
    minute(board, a=RunState.OK)
    minute(board, b=RunState.OK)
    minute(board, c=RunState.OK)
    assert board.over()
    assert third.number == 3


def test_three_failures_are_tried_with_pauses_and_then_the_task_has_failed() -> None:
    board = Simulation()
    board.create(a_draft(assignee="a"))
    board.tick()
    begun = [board.now] if started(board) else []
    for _ in range(30):
        minute(board, a=RunState.FAILED)
        begun += [board.now] * len(started(board))
    assert board.tasks[1].status is Status.FAILED
    assert [later - sooner for sooner, later in pairwise(begun)] == [120, 360]


def test_a_task_that_an_agent_reviews_is_done_by_one_and_judged_by_another() -> None:
    board = Simulation()
    task = board.create(a_draft(assignee="a", review="agent:b"))
    board.tick()
    minute(board, a=RunState.OK)
    (review,) = (each for each in board.tasks.values() if each.review_of == task.id)
    assert (review.assignee, review.status) == ("b", "claimed")
    assert board.hand_in(review.id, '{"decision": "rework", "reason": "which ships?"}')
    minute(board, b=RunState.OK)
    assert (board.tasks[1].status, board.tasks[1].attempt) == ("claimed", 2)
    minute(board, a=RunState.OK)
    second = max(board.tasks.values(), key=lambda each: each.number)
    assert second.number == 3
    assert board.hand_in(second.id, '{"decision": "accept"}')
    minute(board, b=RunState.OK)
    assert board.over()


def test_a_start_that_was_never_proven_is_found_and_not_begun_twice() -> None:
    board = Simulation()
    board.create(a_draft(assignee="a"))
    board.tick()
    board.begin(proven=False)
    for _ in range(10):
        board.now += 60
        board.tick()
        assert started(board) == []
    assert board.gateway.alive == ["T-0001.1"]
    assert [each.run for each in board.live] == [Run.STARTED]


def test_a_run_that_cannot_be_stopped_keeps_its_agent_and_nobody_else() -> None:
    board = Simulation()
    board.create(a_draft(assignee="a"))
    board.tick()
    board.begin(proven=True)
    board.gateway.stubborn.add("T-0001.1")
    board.change("T-0001", lambda task, attempt: halting.stop(task, attempt, who="ann", now=board.now))
    board.now += 60
    for agent in ("a", "b"):
        board.create(a_draft(assignee=agent))
    board.tick()
    assert started(board) == ["T-0003"]
    assert board.tasks[2].waiting_because == "a works on T-0001"


def test_when_all_look_dead_at_once_nobody_is_stopped_and_nobody_is_lost() -> None:
    board = Simulation()
    for agent in AGENTS[:5]:
        board.create(a_draft(assignee=agent))
    board.tick()
    board.begin(proven=True)
    board.now += 3600
    board.tick()
    assert board.alarms
    assert len(board.gateway.alive) == len(board.live) == 5
    for number in range(1, 3):  # that it was us shows when some go on
        beat = partial(holding.heartbeat, turn=1, who="it", now=board.now)
        board.change(task_id(number), beat)
    board.rules = Rules(run_timeout=7200)
    board.tick()
    assert board.alarms == ()
    assert len(board.gateway.alive) == 2
