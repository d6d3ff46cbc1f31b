"""An attempt that came to nothing."""

from dataclasses import replace

import pytest

from scheduler.core import endings
from scheduler.core.change import FRESH
from scheduler.core.errors import Code
from scheduler.core.records import Run
from scheduler.core.states import Move, Status
from scheduler.core.task import Task
from tests.core.scheduler.boards import NOW, a_task, events, held, refused, told


def test_the_pauses_are_one_five_and_fifteen_minutes_and_no_longer() -> None:
    assert [endings.backoff(times) / 60 for times in range(6)] == [1, 1, 5, 15, 15, 15]


@pytest.mark.parametrize(("attempt", "minutes"), [(1, 1), (2, 5)])
def test_a_spent_attempt_waits_and_begins_anew(attempt: int, minutes: int) -> None:
    task, tried = held(Status.WORKING, Run.NONE, attempt=attempt, requeues=2, waiting_for="a build")
    change = endings.give_up(task, tried, Move.NO_RESULT, why="nothing", who="scheduler", now=NOW)
    again = change.task
    assert (again.status, again.attempt, again.requeues) == ("pending", attempt, 0)
    assert (again.not_before, again.pending_since) == (NOW + 60 * minutes, NOW)
    assert {name: getattr(again, name) for name in FRESH} == dict(FRESH)
    assert change.attempt == replace(tried, ended_at=NOW, end="no_result")


def test_after_its_attempts_a_task_has_failed_and_its_creator_is_told() -> None:
    task, _ = held(Status.WORKING, attempt=3)
    change = endings.give_up(task, None, Move.RECOVER, why="it stood still", who="scheduler", now=NOW)
    assert change.task.status is Status.FAILED
    assert "it stood still" in (change.task.blocked_reason or "")
    assert told(change) == ["creator:ann"]


@pytest.mark.parametrize("attempt", [1, 3])
def test_nothing_that_is_over_is_given_up(attempt: int) -> None:
    with refused(Code.ILLEGAL_TRANSITION):
        endings.give_up(
            held(Status.REVIEW, attempt=attempt)[0], None, Move.RECOVER, why="", who="scheduler", now=NOW
        )


def test_what_the_world_ended_costs_no_attempt_and_waits_longer_each_time() -> None:
    task, attempt = held(Status.WORKING, Run.NONE, attempt=3)
    for minutes in (1, 5, 15, 15):
        change = endings.requeue(task, attempt, Move.NO_RESULT, why="429", who="scheduler", now=NOW)
        assert (change.task.status, change.task.attempt) == ("pending", 2)
        assert change.task.not_before == NOW + 60 * minutes
        task = replace(task, requeues=change.task.requeues)
    assert change.attempt == replace(attempt, ended_at=NOW, end="requeued")
    assert events(change) == [("requeue", Status.WORKING, Status.PENDING)]


def test_a_lease_that_ended_lets_its_task_go_at_once() -> None:
    task, attempt = held(Status.WORKING, Run.NONE, since=1800)
    change = endings.expire(task, attempt, now=NOW)
    assert (change.task.status, change.task.attempt, change.task.not_before) == ("pending", 1, None)
    assert change.attempt == replace(attempt, ended_at=NOW, end="expired")
    assert events(change) == [("expire", Status.WORKING, Status.PENDING)]


def test_a_lease_that_ended_after_the_last_attempt_fails_its_task() -> None:
    task, attempt = held(run=Run.NONE, since=1800, attempt=3)
    change = endings.expire(task, attempt, now=NOW)
    assert (change.task.status, told(change)) == ("failed", ["creator:ann"])


@pytest.mark.parametrize("task", [held(run=Run.NONE)[0], held(since=1e6)[0], a_task()])
def test_a_lease_that_stands_or_is_none_does_not_end(task: Task) -> None:
    with refused(Code.ILLEGAL_TRANSITION):
        endings.expire(task, None, now=NOW)
