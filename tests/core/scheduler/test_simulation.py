"""The plan over days of a team, carried out with the real verbs on a board in memory."""

from dataclasses import replace
from math import inf
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from scheduler.core import commands as c
from scheduler.core import deciding, halting, holding
from scheduler.core.capacity import Blocked, Capacity
from scheduler.core.plan import plan
from scheduler.core.records import Attempt, Run, Verdict
from scheduler.core.rules import Rules
from scheduler.core.sighting import ENDED, RunSeen, RunState, Sighting
from scheduler.core.snapshot import EVERYBODY, AgentRecord, BoardSnapshot
from scheduler.core.states import Status
from scheduler.core.task import Draft, Priority, Task
from scheduler.core.world import World
from tests.core.scheduler.boards import NOW, a_draft, budget
from tests.core.scheduler.simulation import Simulation

AGENTS = ("a", "b", "c", "d", "e", "f")
SOMEBODY = st.sampled_from(AGENTS)
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
    """Everything that people, agents, the gateway and the sidecar can do between two ticks, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.board = Simulation()

    @initialize(most=st.integers(1, 4))
    def begin(self, most: int) -> None:
        self.board.rules = Rules(max_concurrent=most)

    def pick(self, data: st.DataObject) -> Task:
        return data.draw(st.sampled_from(list(self.board.tasks.values())))

    # -- cards ------------------------------------------------------------------------------------------------

    @rule(
        data=st.data(),
        assignee=st.none() | SOMEBODY,
        priority=st.sampled_from(Priority),
        risky=st.booleans(),
        later=st.booleans(),
        review=st.sampled_from(["accept_nonempty", "accept_nonempty", "person", "agent:f"]),
    )
    def create(
        self, data: st.DataObject, assignee: str | None, priority: Priority, risky: bool, later: bool, review: str
    ) -> None:
        known = [each.id for each in self.board.tasks.values()]
        draft = Draft(
            title="Write",
            assignee=None if review == f"agent:{assignee}" else assignee,
            priority=priority,
            risk_tools=("delete_file",) if risky else (),
            not_before=self.board.now + 500 if later else None,
            review=review,
            depends_on=tuple(data.draw(st.lists(st.sampled_from(known), max_size=2, unique=True)) if known else ()),
            max_turns=20,
        )
        self.board.create(draft)

    @precondition(lambda self: self.board.tasks)
    @rule(data=st.data(), what=st.sampled_from(["answer", "retry", "stop", "cancel", "release", "block"]))
    def person_says(self, data: st.DataObject, what: str) -> None:
        now = self.board.now

        def verb(task: Task, attempt: Attempt | None) -> Any:
            match what:
                case "answer":
                    return halting.answer(task, "blue", who="ann", now=now)
                case "retry":
                    return halting.retry(task, who="ann", now=now)
                case "stop":
                    return halting.stop(task, attempt, who="ann", now=now)
                case "cancel":
                    return halting.cancel(task, attempt, reason="no", who="ann", now=now)
                case "release":
                    return holding.release(task, attempt, reason="", who="ann", now=now)
            return halting.block(task, attempt, reason="?", who="ann", now=now)

        self.board.change(self.pick(data).id, verb)

    @precondition(lambda self: self.board.tasks)
    @rule(data=st.data(), verdict=st.sampled_from(Verdict))
    def decide(self, data: st.DataObject, verdict: Verdict) -> None:
        now = self.board.now
        self.board.change(
            self.pick(data).id,
            lambda task, attempt: deciding.decide(task, attempt, verdict, by="bob", reason="so", now=now),
        )

    # -- agents -----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.board.tasks)
    @rule(data=st.data(), agent=SOMEBODY)
    def claim_by_hand(self, data: st.DataObject, agent: str) -> None:
        self.board.claim(self.pick(data).id, agent, 600.0)

    @precondition(lambda self: any(each.held for each in self.board.tasks.values()))
    @rule(
        data=st.data(),
        turn=st.integers(1, 21),
        waits=st.booleans(),
        final=st.booleans(),
        text=st.sampled_from(["done", '{"decision": "accept"}', '{"decision": "rework"}']),
        finding=st.sampled_from([(), (), ("no file",), ("no JSON",)]),
    )
    def write(
        self, data: st.DataObject, turn: int, waits: bool, final: bool, text: str, finding: tuple[str, ...]
    ) -> None:
        task = data.draw(st.sampled_from([each for each in self.board.tasks.values() if each.held]))
        self.board.findings = finding
        if final:
            self.board.hand_in(task.id, text)
            return
        now, waiting = self.board.now, "the build" if waits else None
        self.board.change(
            task.id,
            lambda it, attempt: holding.heartbeat(
                it, attempt, turn=turn, waiting_for=waiting, who="it", now=now
            ),
        )

    # -- the gateway ------------------------------------------------------------------------------------------

    @rule(proven=st.booleans(), reaches=st.booleans())
    def starter_works(self, proven: bool, reaches: bool) -> None:
        self.board.begin(proven=proven, reaches=reaches)

    @precondition(lambda self: self.board.gateway.alive)
    @rule(
        data=st.data(),
        state=st.sampled_from([RunState.OK, RunState.FAILED, RunState.ABORTED, RunState.ABSENT]),
        answer=st.sampled_from(["", "done"]),
        error=st.sampled_from(["", "HTTP 429", "the tool broke"]),
    )
    def run_ends(self, data: st.DataObject, state: RunState, answer: str, error: str) -> None:
        run_id = data.draw(st.sampled_from(self.board.gateway.alive))
        self.board.gateway.runs[run_id] = RunSeen(run_id, state, answer=answer, error=error)

    @precondition(lambda self: self.board.gateway.alive)
    @rule(data=st.data(), unclear=st.booleans())
    def run_is_odd(self, data: st.DataObject, unclear: bool) -> None:
        run_id = data.draw(st.sampled_from(self.board.gateway.alive))
        odd = self.board.gateway.unclear if unclear else self.board.gateway.stubborn
        odd.symmetric_difference_update({run_id})

    @rule(up=st.booleans())
    def gateway_goes(self, up: bool) -> None:
        self.board.gateway.up = up

    @rule(agent=SOMEBODY)
    def person_talks(self, agent: str) -> None:
        self.board.gateway.talking[agent] = self.board.now
        if self.board.sighting.up:  # nobody sees it before the next look
            self.board.sighting = replace(self.board.sighting, busy_agents=dict(self.board.gateway.talking))

    # -- the rest of the world --------------------------------------------------------------------------------

    @rule(capacity=st.sampled_from(CAPACITIES), waiting=st.sets(SOMEBODY, max_size=2))
    def sidecar_says(self, capacity: Capacity, waiting: set[str]) -> None:
        self.board.capacity, self.board.waiting_agents = capacity, frozenset(waiting)

    @rule(agent=SOMEBODY | st.just(EVERYBODY), seconds=st.sampled_from([None, 60.0, inf]))
    def pause(self, agent: str, seconds: float | None) -> None:
        until = None if seconds is None else self.board.now + seconds
        self.board.agents[agent] = AgentRecord(agent, until, run_seconds=300.0)

    @rule(seconds=st.sampled_from([1.0, 5.0, 15.0, 61.0, 130.0, 700.0, 2000.0, 3700.0]))
    def time_passes(self, seconds: float) -> None:
        self.board.now += seconds

    @rule(fresh=st.booleans())
    def tick(self, fresh: bool) -> None:
        board = self.board
        unclear = set(board.gateway.unclear)
        board.tick(fresh=fresh)
        assert_settled(board)
        for command in board.carried_out:
            attempt = getattr(command, "attempt", None)
            if isinstance(attempt, Attempt) and fresh and not isinstance(command, c.ArchiveSession):
                assert attempt.run_id not in unclear
            if isinstance(command, c.EndRun) and command.seen.state is RunState.ABSENT:
                assert (command.attempt.started_at or 0) < board.sighting.at


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
TestTeam.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


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
    assert [later - sooner for sooner, later in zip(begun, begun[1:], strict=False)] == [120, 360]


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
