"""What the daemon writes on a card while others work on it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from scheduler.core import commands as c
from scheduler.core import watching
from scheduler.core.change import Change
from scheduler.core.errors import Code
from scheduler.core.records import Notice, Run
from scheduler.core.states import Status
from scheduler.core.task import Approval, BlockedBy, Task
from tests.core.scheduler.boards import NOW, a_task, blocked, comments, events, held, refused, told

NOTIFY = ("coo", "creator")
ON_A_CLAIM: list[c.OnTheBoard] = [
    c.Excuse("T-0001", 1, 60),
    c.Suspect("T-0001", 1, 30.0, NOTIFY),
    c.WarnTurns("T-0001", 1, 80, 100, NOTIFY),
    c.CountTurns("T-0001", 1, 9),
    c.Expire("T-0001", 1),
    c.TooManyTurns("T-0001", 1, "100 of 100 turns", NOTIFY),
]


def done(asked: c.OnTheBoard, task: Task, run: Run = Run.STARTED) -> Change:
    attempt = held(run=run)[1]
    verb: Callable[..., Change] = watching.VERBS[type(asked)]
    return verb(task, attempt, asked=asked, now=NOW)


@pytest.mark.parametrize("asked", ON_A_CLAIM)
@pytest.mark.parametrize(
    "task", [held(epoch=2)[0], held(Status.REVIEW)[0], a_task(epoch=1), blocked(epoch=1)]
)
def test_what_was_seen_of_a_claim_that_is_over_changes_nothing(asked: c.OnTheBoard, task: Task) -> None:
    with refused(Code.STALE_CLAIM):
        done(asked, task)


def test_a_failed_review_is_told_to_the_creator_and_stands_on_the_card() -> None:
    task = held(Status.REVIEW, creator="ann")[0]
    change = done(c.TellReviewFailed(task.id, 1, "its review has failed"), task)
    assert change.task.waiting_because == "its review has failed"
    assert told(change) == ["creator:ann"]
    with refused(Code.STALE_CLAIM):
        done(c.TellReviewFailed(task.id, 1, "its review has failed"), held(Status.WORKING)[0])


def test_an_excuse_stops_both_clocks_and_takes_suspicion_away_without_an_event() -> None:
    task, attempt = held(Status.WORKING, suspect_at=NOW - 9)
    change = done(c.Excuse(task.id, 1, 45.0), task)
    assert (change.task.excused_at, change.task.suspect_at, change.task.progress_at) == (
        NOW,
        None,
        task.progress_at,
    )
    assert change.attempt == replace(attempt, excused_seconds=45.0)
    assert change.records == ()


def test_a_suspect_is_marked_and_told_and_nothing_is_started() -> None:
    task, _ = held(Status.WORKING, since=1800)
    change = done(c.Suspect(task.id, 1, 1800.0, NOTIFY), task)
    assert (change.task.status, change.task.suspect_at) == ("working", NOW)
    assert comments(change) == ["No progress for 30 min: coder may be stuck."]
    assert told(change) == ["coo", "creator:ann"]
    assert not any(each.urgent for each in change.records if isinstance(each, Notice))


def test_whoever_has_gone_on_since_is_no_suspect_and_no_suspect_twice() -> None:
    for moved_on in (held(since=10)[0], held(since=1800, suspect_at=NOW - 1)[0]):
        with refused(Code.STALE_CLAIM):
            done(c.Suspect("T-0001", 1, 1800.0, NOTIFY), moved_on)


def test_turns_are_warned_of_once() -> None:
    task, _ = held(Status.WORKING)
    change = done(c.WarnTurns(task.id, 1, 80, 100, NOTIFY), task)
    assert change.task.turns_warned
    assert comments(change) == ["80 of 100 turns are spent."]
    assert told(change) == ["coo", "creator:ann"]


def test_a_turn_that_the_gateway_counted_is_progress() -> None:
    task, attempt = held(Status.WORKING, turns=7, suspect_at=NOW - 1)
    change = done(c.CountTurns(task.id, 1, 9), task)
    assert (change.task.turns, change.task.progress_at, change.task.suspect_at) == (9, NOW, None)
    assert change.attempt == replace(attempt, turns=9)
    assert done(c.CountTurns(task.id, 1, 5), task).task.turns == 7


def test_a_lease_that_was_renewed_meanwhile_stands() -> None:
    task, _ = held(run=Run.NONE)
    with refused(Code.ILLEGAL_TRANSITION):
        done(c.Expire(task.id, 1), task, Run.NONE)
    assert done(c.Expire(task.id, 1), replace(task, lease_until=NOW), Run.NONE).task.status is Status.PENDING


def test_too_many_turns_by_hand_are_a_question_for_a_person() -> None:
    task, _ = held(Status.WORKING, Run.NONE)
    change = done(c.TooManyTurns(task.id, 1, "100 of 100 turns", NOTIFY), task, Run.NONE)
    assert (change.task.status, change.task.blocked_reason) == ("blocked", "100 of 100 turns")
    assert told(change) == ["coo", "creator:ann"]


# Dependencies


def test_a_dependency_that_fails_blocks_its_dependant_with_a_reason() -> None:
    change = done(c.BlockDependant("T-0001", "T-0002"), a_task())
    assert (change.task.status, change.task.blocked_by) == ("blocked", BlockedBy.DEPENDENCY)
    assert "T-0002" in (change.task.blocked_reason or "")
    with refused(Code.STALE_CLAIM):
        done(c.BlockDependant("T-0001", "T-0002"), held()[0])


def test_a_dependency_that_goes_on_frees_its_dependant() -> None:
    change = done(c.FreeDependant("T-0001"), blocked(BlockedBy.DEPENDENCY))
    assert (change.task.status, change.task.blocked_reason) == ("pending", None)
    assert events(change) == [("unblock", Status.BLOCKED, Status.PENDING)]


def test_a_dependency_that_goes_on_answers_no_question_and_allows_no_tool() -> None:
    with refused(Code.STALE_CLAIM):
        done(c.FreeDependant("T-0001"), blocked(BlockedBy.HAND))
    change = done(c.FreeDependant("T-0001"), blocked(BlockedBy.DEPENDENCY, approval=Approval.REQUIRED))
    assert (change.task.status, change.task.blocked_by) == ("blocked", BlockedBy.APPROVAL)


def test_what_becomes_claimable_is_an_event_once() -> None:
    change = done(c.BecameClaimable("T-0001"), a_task())
    assert change.task.dependencies_met
    assert events(change) == [("claimable", Status.PENDING, Status.PENDING)]
    for outdated in (change.task, held()[0]):
        with refused(Code.STALE_CLAIM):
            done(c.BecameClaimable("T-0001"), outdated)


def test_the_assignee_of_a_slow_dependency_hears_of_it_once() -> None:
    asked = c.TellDependency("T-0001", "T-0002", "tester", 7200.0)
    change = done(asked, a_task())
    assert told(change) == ["tester"]
    assert "T-0001 has waited 120 min for T-0002" in next(
        each.text for each in change.records if isinstance(each, Notice)
    )
    for outdated in (change.task, blocked()):
        with refused(Code.STALE_CLAIM):
            done(asked, outdated)


def test_every_command_on_the_board_has_a_verb() -> None:
    assert set(watching.VERBS) == set(c.OnTheBoard.__args__)
