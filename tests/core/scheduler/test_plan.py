"""The plan of a tick: reconcile first, dispatch last."""

from typing import Any

import pytest

from scheduler.core import commands as c
from scheduler.core.plan import plan
from scheduler.core.records import Run
from scheduler.core.rules import AgentRules, Rules
from scheduler.core.sighting import RunState, Sighting
from scheduler.core.snapshot import BoardSnapshot, Dependency, Waiting
from scheduler.core.states import Status
from scheduler.core.task import Task
from tests.core.scheduler.boards import NOW, a_task, a_world, held, seen, sighting, waiting


def planned(look: Sighting | None = None, **board: Any) -> list[c.Command]:
    return list(plan(a_world(BoardSnapshot(**board), look), NOW).commands)


def test_a_judge_that_came_to_no_verdict_is_told_of_once() -> None:
    why = "its review T-0002 has failed: decide, or retry that"
    review = a_task(number=2, status=Status.FAILED, created_at=NOW, review_of="T-0001")
    task = in_review(review="agent:tester", checked_at=NOW - 5)
    assert planned(held=(task,), reviews={1: review}) == [c.TellReviewFailed("T-0001", 1, why)]
    told = in_review(review="agent:tester", checked_at=NOW - 5, waiting_because=why)
    assert planned(held=(told,), reviews={1: review}) == []


def test_an_empty_board_asks_for_nothing() -> None:
    assert planned() == []


def test_nothing_is_started_while_anything_is_to_be_set_right() -> None:
    task, attempt = held(number=2)
    board = BoardSnapshot(held=(task,), attempts=(attempt,), waiting=(waiting(assignee="tester"),))
    ended = seen(attempt, RunState.OK)
    assert plan(a_world(board, sighting(ended)), NOW).commands == (c.EndRun(attempt, ended),)


def test_what_could_not_be_set_right_keeps_nobody_else_waiting() -> None:
    """A run that cannot be stopped must not stop the team."""
    task, attempt = held(Status.WORKING, number=2, since=1e5)
    board = BoardSnapshot(held=(task,), attempts=(attempt,), waiting=(waiting(assignee="tester"),))
    world = a_world(board, sighting(seen(attempt)))
    first = plan(world, NOW).commands
    assert [type(each) for each in first] == [c.StopRun]
    assert plan(world, NOW, tried=set(first)).commands == (c.Start("T-0001", "tester"),)


# The gate


def in_review(**fields: Any) -> Task:
    return held(Status.REVIEW, Run.NONE, **fields)[0]


def test_a_final_output_is_checked_once() -> None:
    assert planned(held=(in_review(),)) == [c.CheckOutput("T-0001", 1)]
    assert planned(held=(in_review(review="person", checked_at=NOW - 5),)) == []


def test_what_is_not_in_review_is_not_checked() -> None:
    assert planned(held=(held(Status.WORKING, Run.NONE)[0],)) == []


def test_an_agent_that_is_to_judge_is_asked_once() -> None:
    task = in_review(review="agent:tester", checked_at=NOW - 5)
    assert planned(held=(task,)) == [c.AskReviewer("T-0001", 1, "tester")]
    asked = a_task(number=2, review_of="T-0001", created_at=NOW - 5)
    for status in set(Status) - {Status.DONE, Status.FAILED}:
        review = held(status, Run.NONE, number=2, created_at=NOW - 5)[0]
        assert planned(held=(task,), reviews={1: review}) == []
    assert planned(held=(task,), reviews={1: asked}) == []


def test_a_judgement_of_what_was_handed_in_before_is_not_one_of_this() -> None:
    task = in_review(review="agent:tester", checked_at=NOW - 5)
    old = a_task(number=2, review_of="T-0001", created_at=NOW - 6, status=Status.DONE)
    assert planned(held=(task,), reviews={1: old}) == [c.AskReviewer("T-0001", 1, "tester")]


def test_a_judgement_is_applied() -> None:
    task = in_review(review="agent:tester", checked_at=NOW - 5)
    review = a_task(number=2, review_of="T-0001", created_at=NOW - 5, status=Status.DONE)
    assert planned(held=(task,), reviews={1: review}) == [c.ApplyReview("T-0001", 1, "T-0002")]


# Dependencies


def dependant(**fields: Any) -> Waiting:
    return waiting()._replace(has_dependencies=True, waiting_because="waits for T-0002")._replace(**fields)


def on(status: Status, assignee: str | None = "tester", number: int = 2) -> dict[int, tuple[Dependency, ...]]:
    return {1: (Dependency(number, status, assignee),)}


def test_a_dependency_that_failed_blocks_its_dependant() -> None:
    found = planned(waiting=(dependant(),), unmet=on(Status.FAILED))
    assert found == [c.BlockDependant("T-0001", "T-0002")]


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.DONE, Status.FAILED}))
def test_a_dependency_that_is_tried_again_frees_its_dependant(status: Status) -> None:
    row = dependant(status=Status.BLOCKED)
    assert planned(waiting=(row,), unmet=on(status)) == [c.FreeDependant("T-0001")]
    assert planned(waiting=(row,), unmet=on(Status.FAILED)) == []


def test_a_dependant_is_freed_when_what_failed_is_done_or_no_longer_waited_for() -> None:
    assert planned(waiting=(dependant(status=Status.BLOCKED),)) == [c.FreeDependant("T-0001")]
    row = dependant(status=Status.BLOCKED, has_dependencies=False)
    assert planned(waiting=(row,)) == [c.FreeDependant("T-0001")]


def test_one_that_failed_among_others_keeps_a_dependant_blocked() -> None:
    unmet = {1: (Dependency(2, Status.WORKING, None), Dependency(3, Status.FAILED, None))}
    assert (
        planned(
            waiting=(dependant(status=Status.BLOCKED, waiting_because="waits for T-0002, T-0003"),),
            unmet=unmet,
        )
        == []
    )


def test_the_last_dependency_that_is_done_is_an_event_once_and_then_the_task_starts() -> None:
    assert planned(waiting=(dependant(),)) == [c.BecameClaimable("T-0001")]
    assert planned(waiting=(dependant(dependencies_met=True),)) == [c.Start("T-0001", "coder")]


def test_whoever_does_a_slow_dependency_hears_of_it_once() -> None:
    long_ago = NOW - 7200
    (tell,) = planned(waiting=(dependant(pending_since=long_ago),), unmet=on(Status.WORKING))
    assert tell == c.TellDependency("T-0001", "T-0002", "tester", 7200)
    for quiet, unmet in (
        (dependant(pending_since=long_ago + 1), on(Status.WORKING)),
        (dependant(pending_since=long_ago, dependency_notified=True), on(Status.WORKING)),
        (dependant(pending_since=long_ago), on(Status.WORKING, assignee=None)),
    ):
        assert planned(waiting=(quiet,), unmet=unmet) == []


def test_how_long_is_slow_is_the_waiting_agents_rule() -> None:
    board = BoardSnapshot(waiting=(dependant(),), unmet=on(Status.WORKING))
    rules = Rules(agents={"coder": AgentRules(dependency_wait_after=3600)})
    (tell,) = plan(a_world(board, rules=rules), NOW).commands
    assert isinstance(tell, c.TellDependency)


# Sessions


def test_sessions_of_ended_runs_are_put_away_while_the_gateway_is_there() -> None:
    _, attempt = held(run=Run.ENDED)
    assert planned(unarchived=(attempt,)) == [c.ArchiveSession(attempt)]
    assert planned(Sighting(up=False), unarchived=(attempt,)) == []
