"""What becomes of a task when its run begins, ends, never comes about, or is stopped."""

from dataclasses import replace

import pytest

from scheduler.core import halting, running
from scheduler.core.commands import Then
from scheduler.core.records import Attempt, Run
from scheduler.core.sighting import RunState
from scheduler.core.states import Status
from scheduler.core.task import BlockedBy, Task
from tests.core.scheduler.boards import NOW, a_task, blocked, comments, events, held, seen, told


def later(task: Task) -> Task:
    """The same task under a further claim, of somebody else."""
    return replace(task, epoch=2, claimant="tester", status=Status.WORKING)


GONE_ON = [
    later(held()[0]),
    held(Status.REVIEW)[0],
    a_task(epoch=1),
    blocked(epoch=1),
    a_task(status=Status.DONE),
]
"""Whatever a task can be once the claim of epoch 1 is over, or its output is in."""


def ended(attempt: Attempt) -> Attempt:
    return replace(attempt, run=Run.ENDED, ended_at=NOW - 9, end="ok")


# Beginning


def test_a_proven_start_is_an_event() -> None:
    task, attempt = held(run=Run.INTENDED)
    change = running.started(task, attempt, now=NOW)
    assert change.attempt == replace(attempt, run=Run.STARTED, started_at=NOW)
    assert change.task == task
    assert events(change) == [("run_started", Status.CLAIMED, Status.CLAIMED)]


def test_what_is_proven_already_is_not_proven_again() -> None:
    task, attempt = held()
    change = running.started(task, attempt, now=NOW)
    assert (change.attempt, change.records) == (attempt, ())


@pytest.mark.parametrize("task", GONE_ON)
def test_a_run_that_begins_after_its_claim_is_over_is_to_be_stopped(task: Task) -> None:
    _, attempt = held(run=Run.INTENDED)
    for before in (attempt, ended(attempt)):
        proven = running.started(task, before, now=NOW).attempt
        assert proven is not None
        assert proven.live
        assert proven.stop_because


def test_a_run_that_was_to_be_stopped_before_it_began_keeps_the_reason() -> None:
    task, attempt = blocked(epoch=1), replace(held(run=Run.INTENDED)[1], stop_because="stopped by ann")
    proven = running.started(task, attempt, now=NOW).attempt
    assert proven is not None
    assert proven.stop_because == "stopped by ann"


# Never


def test_what_never_started_costs_no_attempt() -> None:
    task, attempt = held(run=Run.INTENDED, attempt=3)
    change = running.never_started(task, attempt, why="no such agent", now=NOW)
    assert (change.task.status, change.task.attempt, change.task.not_before) == ("pending", 2, NOW + 60)
    assert change.attempt == replace(
        attempt, run=Run.ENDED, ended_at=NOW, end="never_started", error="no such agent"
    )


def test_a_start_that_is_proven_meanwhile_has_happened() -> None:
    """The plan was made, then the starter had its answer: to begin anew would be to begin twice."""
    task, attempt = held(run=Run.STARTED)
    change = running.never_started(task, attempt, why="nobody knows it", now=NOW)
    assert (change.task, change.attempt, change.records) == (task, attempt, ())


def test_a_claim_under_which_somebody_wrote_is_not_left_without_a_run() -> None:
    task, attempt = held(Status.WORKING, Run.INTENDED)
    change = running.never_started(task, attempt, why="nobody knows it", now=NOW)
    assert (change.task.status, change.task.attempt) == ("pending", 1)
    assert change.attempt is not None
    assert not change.attempt.live


@pytest.mark.parametrize("task", GONE_ON)
def test_a_run_that_nobody_wanted_any_more_is_over_without_a_trace(task: Task) -> None:
    _, attempt = held(run=Run.INTENDED)
    change = running.never_started(task, attempt, why="nobody knows it", now=NOW)
    assert change.task == task
    assert change.attempt is not None
    assert change.attempt.end == "never_started"


# Refused


def test_the_first_refusal_of_a_start_is_as_if_it_had_never_started() -> None:
    task, attempt = held(run=Run.INTENDED, attempt=3)
    for before in (task, a_task(epoch=1), held(Status.WORKING, Run.INTENDED)[0], later(task)):
        once = running.refused(before, attempt, why="no such agent", now=NOW)
        assert once == running.never_started(before, attempt, why="no such agent", now=NOW)


def test_the_second_refusal_in_a_row_is_for_a_person_and_the_creator_is_told() -> None:
    task, attempt = held(run=Run.INTENDED, attempt=3, requeues=1)
    change = running.refused(task, attempt, why="no such agent", now=NOW)
    assert (change.task.status, change.task.blocked_by) == ("blocked", BlockedBy.HAND)
    assert change.task.blocked_reason == "OpenClaw refuses to start it: no such agent"
    assert change.attempt == replace(
        attempt, run=Run.ENDED, ended_at=NOW, end="never_started", error="no such agent"
    )
    assert told(change) == ["creator:ann"]
    assert events(change) == [("block", Status.CLAIMED, Status.BLOCKED)]


def test_a_refused_task_that_a_person_lets_go_on_begins_with_nothing_against_it() -> None:
    task, attempt = held(run=Run.INTENDED, attempt=3, requeues=1)
    stuck = running.refused(task, attempt, why="no such agent", now=NOW).task
    free = halting.answer(stuck, "it is there now", who="ann", now=NOW + 9).task
    assert (free.status, free.attempt, free.requeues) == ("pending", 2, 0)


@pytest.mark.parametrize("task", GONE_ON)
def test_a_refusal_that_nobody_waits_for_any_more_changes_nothing(task: Task) -> None:
    _, attempt = held(run=Run.INTENDED)
    change = running.refused(replace(task, requeues=1), attempt, why="no such agent", now=NOW)
    assert (change.task, change.records) == (replace(task, requeues=1), ())


def test_a_refusal_of_what_has_begun_meanwhile_changes_nothing() -> None:
    task, attempt = held(run=Run.STARTED, requeues=1)
    change = running.refused(task, attempt, why="no such agent", now=NOW)
    assert (change.task, change.attempt, change.records) == (task, attempt, ())


# The end


def run_ended(
    task: Task, attempt: Attempt, state: RunState, *, error: str = ""
) -> tuple[Task, Attempt | None, list[str]]:
    look = seen(attempt, state, error=error, turns=12, tokens=3400, throttled=2)
    change = running.run_ended(task, attempt, look, now=NOW)
    assert events(change)[0] == ("run_ended", task.status, task.status)
    return change.task, change.attempt, told(change)


@pytest.mark.parametrize("state", [RunState.OK, RunState.FAILED, RunState.ABORTED, RunState.ABSENT])
def test_a_run_that_left_nothing_has_spent_its_attempt(state: RunState) -> None:
    task, attempt, _ = run_ended(*held(Status.WORKING), state)
    assert (task.status, task.attempt, task.not_before) == ("pending", 1, NOW + 60)
    assert attempt is not None
    assert (attempt.run, attempt.end, attempt.ended_at) == (Run.ENDED, state, NOW)
    assert (attempt.turns, attempt.tokens, attempt.throttled) == (12, 3400, 2)


def test_the_last_run_that_left_nothing_fails_its_task_and_the_creator_is_told() -> None:
    task, _, notices = run_ended(*held(attempt=3), RunState.OK)
    assert (task.status, notices) == ("failed", ["creator:ann"])


@pytest.mark.parametrize(
    "error",
    ["HTTP 429: too many requests", "HTTP 401: unauthorized", "HTTP 503: no such model"],
)
def test_what_the_world_did_to_a_run_costs_no_attempt(error: str) -> None:
    task, _, _ = run_ended(*held(Status.WORKING, attempt=3), RunState.FAILED, error=error)
    assert (task.status, task.attempt, task.requeues) == ("pending", 2, 1)


def test_an_error_of_the_runs_own_costs_one() -> None:
    task, attempt, _ = run_ended(*held(Status.WORKING), RunState.FAILED, error="the tool broke")
    assert task.attempt == 1
    assert attempt is not None
    assert attempt.error == "the tool broke"


def test_what_was_handed_in_stands() -> None:
    task, attempt = held(Status.REVIEW)
    after, gone, _ = run_ended(task, attempt, RunState.OK)
    assert after == task
    assert gone is not None
    assert not gone.live


@pytest.mark.parametrize("task", GONE_ON)
@pytest.mark.parametrize("state", [RunState.OK, RunState.FAILED, RunState.ABORTED, RunState.ABSENT])
def test_the_end_of_an_old_run_changes_nothing_else(task: Task, state: RunState) -> None:
    after, _, notices = run_ended(task, held()[1], state, error="HTTP 429")
    assert (after, notices) == (task, [])


def test_a_run_ends_once() -> None:
    task, attempt = held(Status.WORKING)
    over = ended(attempt)
    for change in (
        running.run_ended(task, over, seen(over, RunState.ABSENT), now=NOW),
        running.run_stopped(task, over, Then.RECOVER, why="late", now=NOW),
    ):
        assert (change.task, change.attempt, change.records) == (task, over, ())


def test_what_the_gateway_does_not_count_stays_as_it_was_counted() -> None:
    task, attempt = held(Status.WORKING)
    counted = replace(attempt, turns=5, tokens=7, throttled=1)
    change = running.run_ended(task, counted, seen(counted, RunState.OK), now=NOW)
    assert change.attempt is not None
    assert (change.attempt.turns, change.attempt.tokens, change.attempt.throttled) == (5, 7, 1)


# Stopped


def test_a_run_that_was_stopped_for_standing_still_is_begun_anew_and_a_comment_says_why() -> None:
    task, attempt = held(Status.WORKING)
    change = running.run_stopped(task, attempt, Then.RECOVER, why="no progress for 45 min", now=NOW)
    assert (change.task.status, change.task.not_before) == ("pending", NOW + 60)
    assert comments(change) == ["The run was stopped: no progress for 45 min."]
    assert change.attempt is not None
    assert (change.attempt.run, change.attempt.end) == (Run.ENDED, "stopped")
    assert ("recover", Status.WORKING, Status.PENDING) in events(change)


def test_a_run_that_was_stopped_at_its_limit_leaves_a_task_for_a_person() -> None:
    change = running.run_stopped(*held(Status.WORKING), Then.BLOCK, why="100 of 100 turns", now=NOW)
    assert (change.task.status, change.task.blocked_by) == ("blocked", BlockedBy.HAND)
    assert change.task.blocked_reason == "100 of 100 turns"


@pytest.mark.parametrize("task", GONE_ON)
@pytest.mark.parametrize("then", Then)
def test_the_stop_of_an_old_run_changes_nothing_else(task: Task, then: Then) -> None:
    change = running.run_stopped(task, held()[1], then, why="late", now=NOW)
    assert (change.task, comments(change)) == (task, [])
    assert change.attempt is not None
    assert not change.attempt.live


def test_what_was_sent_back_to_a_run_while_it_was_being_stopped_begins_anew() -> None:
    change = running.run_stopped(*held(Status.WORKING), Then.NOTHING, why="it outlived its task", now=NOW)
    assert change.task.status is Status.PENDING
