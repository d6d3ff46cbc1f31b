"""A claim, and what its holder writes."""

from dataclasses import replace

import pytest

from scheduler.core import holding
from scheduler.core.change import FRESH, Change
from scheduler.core.claims import ClaimToken, expired, hash_of, holder
from scheduler.core.errors import Code
from scheduler.core.records import Attempt, Comment, Observation, Run
from scheduler.core.states import HELD, Status
from scheduler.core.task import MAX_TEXT, Approval, BlockedBy, Task
from tests.core.scheduler.boards import (
    NOW,
    SECRET,
    a_task,
    an_output,
    blocked,
    comments,
    events,
    held,
    refused,
    told,
)


def claimed(
    task: Task,
    *unmet: str,
    agent: str = "coder",
    lease_seconds: float | None = 1800.0,
    previous: Attempt | None = None,
) -> Change:
    return holding.claim(
        task,
        unmet,
        agent=agent,
        claim_hash=hash_of(SECRET),
        lease_seconds=lease_seconds,
        now=NOW,
        previous=previous,
    )


def handed_in(task: Task, attempt: Attempt | None, *, final: bool) -> Change:
    return holding.hand_in(task, attempt, an_output(task, final=final), who="coder", now=NOW)


# Claiming


def test_a_claim_begins_the_next_epoch_with_an_attempt_and_an_event() -> None:
    change = claimed(a_task(epoch=2, attempt=1))
    task = change.task
    assert (task.status, task.epoch, task.attempt, task.claimant) == ("claimed", 3, 2, "coder")
    assert task.lease_until == NOW + 1800
    assert change.attempt == Attempt(task.id, 3, "coder", NOW)
    assert events(change) == [("claim", Status.PENDING, Status.CLAIMED)]
    assert holder(task, ClaimToken(task.id, 3, SECRET), NOW) == "coder"


def test_a_claim_for_a_run_has_no_lease_and_an_intended_run() -> None:
    change = claimed(a_task(), lease_seconds=None)
    assert change.task.lease_until is None
    assert change.attempt is not None
    assert change.attempt.run is Run.INTENDED
    assert change.attempt.run_id == "T-0001.1"
    assert change.attempt.session_key == "agent:coder:task-t-0001-1"


def test_a_claim_begins_with_nothing_of_the_attempt_before() -> None:
    leftovers = a_task(turns=80, turns_warned=True, not_before=NOW - 1, waiting_because="in line")
    task = claimed(leftovers).task
    assert (task.turns, task.turns_warned, task.not_before, task.waiting_because) == (0, False, None, None)
    assert task.progress_at == NOW


@pytest.mark.parametrize("status", sorted(HELD))
def test_there_are_never_two_live_claims_on_a_task(status: Status) -> None:
    with refused(Code.ALREADY_CLAIMED):
        claimed(held(status)[0], agent="tester")


@pytest.mark.parametrize("status", [Status.REVIEW, Status.DONE, Status.FAILED])
def test_what_is_not_pending_cannot_be_claimed(status: Status) -> None:
    with refused(Code.ILLEGAL_TRANSITION):
        claimed(a_task(status=status))


def test_what_waits_for_a_person_cannot_be_claimed() -> None:
    with refused(Code.ILLEGAL_TRANSITION):
        claimed(blocked())


def test_a_task_whose_dependencies_are_not_done_cannot_be_claimed() -> None:
    with refused(Code.DEPENDENCY_UNMET):
        claimed(a_task(depends_on=("T-0002",)), "T-0002")
    with refused(Code.DEPENDENCY_UNMET):
        claimed(blocked(BlockedBy.DEPENDENCY), "T-0002")


def test_a_task_that_needs_an_approval_cannot_be_claimed() -> None:
    with refused(Code.APPROVAL_REQUIRED):
        claimed(blocked(BlockedBy.APPROVAL, approval=Approval.REQUIRED))


def test_only_its_assignee_claims_an_assigned_task_and_anybody_another() -> None:
    assert claimed(a_task(assignee="coder")).task.claimant == "coder"
    assert claimed(a_task(assignee=None)).task.claimant == "coder"
    with refused(Code.NOT_ASSIGNEE):
        claimed(a_task(assignee="tester"))


def test_whoever_is_to_review_a_task_does_not_do_it() -> None:
    with refused(Code.NOT_ASSIGNEE):
        claimed(a_task(review="agent:coder"))


def test_a_task_is_not_begun_before_its_time() -> None:
    with refused(Code.ILLEGAL_TRANSITION):
        claimed(a_task(not_before=NOW + 1))
    assert claimed(a_task(not_before=NOW)).task.held


def test_who_is_no_agent_claims_nothing() -> None:
    with refused(Code.INVALID):
        claimed(a_task(), agent="Some One")


def test_a_claim_whose_lease_ended_unseen_keeps_its_task_from_nobody() -> None:
    task, previous = held(Status.WORKING, Run.NONE, since=1800)
    change = claimed(task, agent="tester", previous=previous)
    assert (change.task.claimant, change.task.epoch, change.task.attempt) == ("tester", 2, 2)
    assert change.ended == replace(previous, ended_at=NOW, end="expired")
    assert events(change) == [
        ("expire", Status.WORKING, Status.PENDING),
        ("claim", Status.PENDING, Status.CLAIMED),
    ]


def test_a_lease_that_ended_after_the_last_attempt_leaves_nothing_to_claim() -> None:
    task, previous = held(run=Run.NONE, since=1800, attempt=3)
    with refused(Code.ILLEGAL_TRANSITION):
        claimed(task, agent="tester", previous=previous)


# Writing


def beat(
    task: Task,
    attempt: Attempt | None = None,
    *,
    turn: int | None = None,
    note: str | None = None,
    waiting_for: str | None = None,
) -> Change:
    return holding.heartbeat(
        task, attempt, turn=turn, note=note, waiting_for=waiting_for, who="coder", now=NOW
    )


def test_the_first_write_is_the_beginning_of_work_and_the_second_is_not() -> None:
    task, attempt = held(Status.CLAIMED)
    change = beat(task, attempt)
    assert events(change) == [
        ("first_write", Status.CLAIMED, Status.WORKING),
        ("heartbeat", Status.WORKING, Status.WORKING),
    ]
    assert [what for what, *_ in events(beat(change.task, attempt))] == ["heartbeat"]


def test_any_write_renews_a_lease_by_its_own_length() -> None:
    task, attempt = held(run=Run.NONE, lease_seconds=300.0, lease_until=NOW + 1)
    assert beat(task, attempt).task.lease_until == NOW + 300
    said = holding.comment(task, attempt, "so far", author="coder", held=True, now=NOW)
    assert said.task.lease_until == NOW + 300
    assert handed_in(task, attempt, final=False).task.lease_until == NOW + 300


def test_a_write_gives_a_run_no_lease() -> None:
    assert beat(*held()).task.lease_until is None


def test_a_sign_of_life_is_no_progress_and_a_turn_a_note_or_an_output_is() -> None:
    task, attempt = held(Status.WORKING, turns=3, suspect_at=NOW - 1)
    for alive in (beat(task, attempt), beat(task, attempt, turn=3), beat(task, attempt, turn=2)):
        assert (alive.task.progress_at, alive.task.suspect_at) == (task.progress_at, NOW - 1)
        assert alive.task.turns == 3
    said = holding.observe(task, attempt, "slow network", author="coder", held=True, now=NOW)
    for better in (
        beat(task, attempt, turn=4),
        beat(task, attempt, note="half done"),
        handed_in(task, attempt, final=False),
        said,
    ):
        assert (better.task.progress_at, better.task.suspect_at) == (NOW, None)


def test_turns_are_counted_on_the_task_and_on_its_attempt_and_a_note_is_a_comment() -> None:
    task, attempt = held(Status.WORKING)
    change = beat(task, attempt, turn=7, note="half done")
    assert change.task.turns == 7
    assert change.attempt == replace(attempt, turns=7)
    assert comments(change) == ["half done"]


def test_what_it_waits_for_stands_until_the_next_write() -> None:
    task, attempt = held(Status.WORKING)
    waiting = beat(task, attempt, waiting_for="the build").task
    assert waiting.waiting_for == "the build"
    assert beat(waiting, attempt).task.waiting_for is None
    assert handed_in(waiting, attempt, final=True).task.waiting_for is None


def test_a_turn_below_nothing_and_a_note_above_the_limit_are_invalid() -> None:
    for wrong in ({"turn": -1}, {"note": "x" * (MAX_TEXT + 1)}, {"waiting_for": "x" * (MAX_TEXT + 1)}):
        with refused(Code.INVALID):
            beat(*held(), **wrong)


def test_a_final_output_while_claimed_passes_through_working() -> None:
    change = handed_in(*held(Status.CLAIMED), final=True)
    assert events(change) == [
        ("first_write", Status.CLAIMED, Status.WORKING),
        ("submit", Status.WORKING, Status.REVIEW),
    ]
    assert change.task.status is Status.REVIEW


def test_an_output_that_is_not_final_is_kept_and_goes_on() -> None:
    task, attempt = held(Status.WORKING)
    change = handed_in(task, attempt, final=False)
    assert change.task.status is Status.WORKING
    assert an_output(task, final=False) in change.records


@pytest.mark.parametrize("status", [Status.DONE, Status.FAILED])
def test_what_is_over_takes_no_more_outputs(status: Status) -> None:
    for final in (True, False):
        with refused(Code.ILLEGAL_TRANSITION):
            handed_in(a_task(status=status), None, final=final)


@pytest.mark.parametrize("task", [a_task(), blocked(), held(Status.REVIEW)[0]])
def test_a_final_output_needs_somebody_at_work(task: Task) -> None:
    with refused(Code.ILLEGAL_TRANSITION):
        handed_in(task, None, final=True)


def test_what_bystanders_say_moves_nothing() -> None:
    task, attempt = held(Status.CLAIMED, Run.NONE)
    change = holding.comment(task, attempt, "how far?", author="ann", held=False, now=NOW)
    assert change.task == replace(task, updated_at=NOW)
    assert change.records[0] == Comment(task.id, "ann", NOW, "how far?")
    seen = holding.observe(a_task(status=Status.DONE), None, "nice", author="ann", held=False, now=NOW)
    assert seen.records[0] == Observation(task.id, "ann", NOW, "nice")


@pytest.mark.parametrize("text", ["", " \n", "x" * (MAX_TEXT + 1)])
def test_nothing_and_too_much_cannot_be_said(text: str) -> None:
    with refused(Code.INVALID):
        holding.comment(a_task(), None, text, author="ann", held=False, now=NOW)


# Giving back


def test_a_claim_by_hand_is_given_back_for_nothing() -> None:
    task, attempt = held(Status.WORKING, Run.NONE, attempt=2)
    change = holding.release(task, attempt, reason="no time", who="coder", now=NOW)
    assert (change.task.status, change.task.attempt, change.task.not_before) == ("pending", 1, None)
    assert {name: getattr(change.task, name) for name in FRESH} == dict(FRESH)
    assert change.attempt == replace(attempt, ended_at=NOW, end="released")
    assert events(change) == [("release", Status.WORKING, Status.PENDING)]


def test_a_run_that_gives_back_has_spent_its_attempt_and_the_next_waits() -> None:
    task, attempt = held(Status.WORKING, Run.STARTED)
    change = holding.release(task, attempt, reason="", who="coder", now=NOW)
    assert (change.task.status, change.task.attempt, change.task.not_before) == ("pending", 1, NOW + 60)
    assert change.attempt == attempt  # the gateway says when it is over


def test_a_run_that_gives_back_its_last_attempt_has_failed() -> None:
    task, attempt = held(Status.WORKING, Run.STARTED, attempt=3)
    change = holding.release(task, attempt, reason="cannot", who="coder", now=NOW)
    assert change.task.status is Status.FAILED
    assert told(change) == ["creator:ann"]


@pytest.mark.parametrize("task", [a_task(), blocked(), held(Status.REVIEW)[0], a_task(status=Status.DONE)])
def test_only_what_is_held_is_given_back(task: Task) -> None:
    with refused(Code.ILLEGAL_TRANSITION):
        holding.release(task, None, reason="", who="coder", now=NOW)


def test_an_expired_claim_is_given_back_like_any_other_by_an_operator() -> None:
    task, attempt = held(run=Run.NONE, since=1800)
    assert expired(task, NOW)
    assert holding.release(task, attempt, reason="", who="ann", now=NOW).task.status is Status.PENDING


def test_a_secret_that_was_lost_is_drawn_anew_for_the_same_claim() -> None:
    task, attempt = held(run=Run.INTENDED)
    change = holding.rekey(task, attempt, hash_of("t" * 32), epoch=1, now=NOW)
    assert (change.task.epoch, change.task.attempt, change.task.status) == (1, 1, "claimed")
    assert holder(change.task, ClaimToken(task.id, 1, "t" * 32), NOW) == "coder"
    with refused(Code.STALE_CLAIM):
        holder(change.task, ClaimToken(task.id, 1, SECRET), NOW)


@pytest.mark.parametrize("task", [held(epoch=2)[0], held(Status.REVIEW)[0], a_task(epoch=1)])
def test_a_secret_is_drawn_anew_for_no_other_claim(task: Task) -> None:
    with refused(Code.STALE_CLAIM):
        holding.rekey(task, None, "", epoch=1, now=NOW)
