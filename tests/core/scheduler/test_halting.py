"""What keeps a task from going on, and what lets it go on again."""

from dataclasses import replace

import pytest

from scheduler.core import halting
from scheduler.core.change import FRESH
from scheduler.core.errors import Code
from scheduler.core.records import Run
from scheduler.core.states import CLOSED, HELD, Status
from scheduler.core.task import MAX_TEXT, Approval, BlockedBy, Task
from tests.core.scheduler.boards import NOW, a_task, blocked, comments, events, held, refused


def in_state(status: Status) -> Task:
    if status is Status.BLOCKED:
        return blocked()
    return held(status)[0] if status in HELD | {Status.REVIEW} else a_task(status=status)


@pytest.mark.parametrize("status", Status)
def test_pending_and_held_tasks_can_be_blocked_and_others_not(status: Status) -> None:
    task = in_state(status)
    if status not in HELD | {Status.PENDING}:
        with refused(Code.ILLEGAL_TRANSITION):
            halting.block(task, None, reason="which colour?", who="coder", now=NOW)
        return
    change = halting.block(task, None, reason="which colour?", who="coder", now=NOW)
    assert (change.task.status, change.task.blocked_by) == ("blocked", BlockedBy.HAND)
    assert (change.task.blocked_reason, change.task.claimant) == ("which colour?", None)
    assert events(change) == [("block", status, Status.BLOCKED)]


@pytest.mark.parametrize("status", Status)
def test_whatever_is_not_over_can_fail(status: Status) -> None:
    task = in_state(status)
    if status in CLOSED:
        with refused(Code.ILLEGAL_TRANSITION):
            halting.fail(task, None, reason="impossible", who="coder", now=NOW)
        return
    change = halting.fail(task, None, reason="impossible", who="coder", now=NOW)
    assert (change.task.status, change.task.blocked_reason) == ("failed", "impossible")
    assert events(change) == [("fail", status, Status.FAILED)]


@pytest.mark.parametrize("reason", ["", "  ", "x" * (MAX_TEXT + 1)])
def test_there_has_to_be_a_reason(reason: str) -> None:
    for verb in (halting.block, halting.fail, halting.cancel):
        with refused(Code.INVALID):
            verb(a_task(), None, reason=reason, who="ann", now=NOW)


def test_an_attempt_by_hand_is_over_with_its_claim() -> None:
    task, attempt = held(run=Run.NONE)
    assert halting.block(task, attempt, reason="?", who="coder", now=NOW).attempt == replace(
        attempt, ended_at=NOW, end="blocked"
    )
    assert halting.fail(task, attempt, reason="?", who="coder", now=NOW).attempt == replace(
        attempt, ended_at=NOW, end="failed"
    )


@pytest.mark.parametrize("run", [Run.INTENDED, Run.STARTED])
def test_to_stop_is_to_block_and_to_end_the_run_be_it_only_intended(run: Run) -> None:
    task, attempt = held(run=run)
    change = halting.stop(task, attempt, who="ann", now=NOW)
    assert (change.task.status, change.task.blocked_reason) == ("blocked", "stopped by ann")
    assert change.attempt == replace(attempt, stop_because="stopped by ann")


@pytest.mark.parametrize("status", [Status.CLAIMED, Status.WORKING, Status.REVIEW])
def test_to_cancel_is_to_fail_and_to_end_the_run(status: Status) -> None:
    task, attempt = held(status)
    change = halting.cancel(task, attempt, reason="not needed", who="ann", now=NOW)
    assert change.task.status is Status.FAILED
    assert change.attempt == replace(attempt, stop_because="cancelled: not needed")


def test_without_a_run_there_is_none_to_end() -> None:
    assert halting.stop(a_task(), None, who="ann", now=NOW).attempt is None
    by_hand = halting.cancel(*held(run=Run.NONE), reason="no", who="ann", now=NOW).attempt
    assert by_hand is not None
    assert (by_hand.end, by_hand.stop_because) == ("failed", None)
    over = replace(held()[1], run=Run.ENDED, ended_at=NOW - 9, end="ok")
    assert halting.cancel(held(Status.REVIEW)[0], over, reason="no", who="ann", now=NOW).attempt == over


def test_an_answer_is_a_comment_and_takes_the_task_back_to_pending() -> None:
    change = halting.answer(blocked(), "blue", who="ann", now=NOW)
    assert (change.task.status, change.task.blocked_reason) == ("pending", None)
    assert {name: getattr(change.task, name) for name in FRESH} == dict(FRESH)
    assert change.task.pending_since == NOW
    assert comments(change) == ["blue"]
    assert events(change) == [("answer", Status.BLOCKED, Status.PENDING)]


def test_an_answer_is_worth_a_further_attempt_and_no_more() -> None:
    assert halting.answer(blocked(attempt=3), "blue", who="ann", now=NOW).task.attempt == 2
    assert halting.answer(blocked(attempt=1), "blue", who="ann", now=NOW).task.attempt == 1


def test_after_an_answer_the_same_finding_is_news_again() -> None:
    assert halting.answer(blocked(findings=("no file",)), "it is", who="ann", now=NOW).task.findings == ()


@pytest.mark.parametrize("text", ["", " ", "x" * (MAX_TEXT + 1)])
def test_nothing_is_no_answer(text: str) -> None:
    with refused(Code.INVALID):
        halting.answer(blocked(), text, who="ann", now=NOW)


def test_an_answer_is_no_approval_and_no_dependency() -> None:
    with refused(Code.APPROVAL_REQUIRED):
        halting.answer(blocked(BlockedBy.APPROVAL, approval=Approval.REQUIRED), "ok", who="ann", now=NOW)
    with refused(Code.DEPENDENCY_UNMET):
        halting.answer(blocked(BlockedBy.DEPENDENCY), "ok", who="ann", now=NOW)


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.BLOCKED}))
def test_only_what_is_blocked_is_answered(status: Status) -> None:
    with refused(Code.ILLEGAL_TRANSITION):
        halting.answer(in_state(status), "blue", who="ann", now=NOW)


def test_no_way_out_of_a_block_goes_past_an_approval() -> None:
    task = blocked(approval=Approval.REQUIRED, risk_tools=("delete_file",))
    change = halting.answer(task, "blue", who="ann", now=NOW)
    assert (change.task.status, change.task.blocked_by) == ("blocked", BlockedBy.APPROVAL)
    again = halting.retry(replace(task, status=Status.FAILED), who="ann", now=NOW).task
    assert (again.status, again.blocked_by) == ("blocked", BlockedBy.APPROVAL)


def test_a_failed_task_is_tried_again_with_all_its_attempts_and_seen_again() -> None:
    task = a_task(
        status=Status.FAILED,
        attempt=3,
        requeues=2,
        not_before=NOW + 900,
        findings=("no file",),
        archived_at=NOW - 1,
        blocked_reason="3 of 3 attempts",
    )
    change = halting.retry(task, who="ann", now=NOW)
    fresh = change.task
    assert (fresh.status, fresh.attempt, fresh.requeues, fresh.not_before) == ("pending", 0, 0, None)
    assert (fresh.findings, fresh.archived_at, fresh.blocked_reason) == ((), None, None)
    assert fresh.pending_since == NOW
    assert events(change) == [("retry", Status.FAILED, Status.PENDING)]


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.FAILED}))
def test_only_what_failed_is_tried_again(status: Status) -> None:
    with refused(Code.ILLEGAL_TRANSITION):
        halting.retry(in_state(status), who="ann", now=NOW)


@pytest.mark.parametrize("status", Status)
def test_only_what_is_over_is_archived(status: Status) -> None:
    if status not in CLOSED:
        with refused(Code.ILLEGAL_TRANSITION):
            halting.archive(in_state(status), who="ann", now=NOW)
        return
    away = halting.archive(in_state(status), who="ann", now=NOW).task
    assert (away.status, away.archived_at) == (status, NOW)
    assert halting.archive(away, who="ann", now=NOW + 5).task.archived_at == NOW
