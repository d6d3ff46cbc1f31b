"""Deciding: on a final output, or on high-risk tools."""

from dataclasses import replace

import pytest

from scheduler.core import deciding
from scheduler.core.change import Change
from scheduler.core.errors import Code
from scheduler.core.records import Attempt, Decision, Run, Verdict
from scheduler.core.states import Status
from scheduler.core.task import MAX_TEXT, Approval, BlockedBy, Task
from tests.core.scheduler.boards import NOW, a_task, blocked, comments, events, held, refused, told


def decided(
    task: Task,
    verdict: Verdict,
    attempt: Attempt | None = None,
    *,
    by: str = "bob",
    reason: str = "",
    spends: bool = False,
) -> Change:
    return deciding.decide(task, attempt, verdict, by=by, reason=reason, spends=spends, now=NOW)


def over(attempt: Attempt) -> Attempt:
    return replace(attempt, run=Run.ENDED, ended_at=NOW - 1, end="ok")


# On a final output


def test_accepted_is_done_and_the_decision_is_kept() -> None:
    task, attempt = held(Status.REVIEW, Run.NONE)
    change = decided(task, Verdict.ACCEPT, attempt, reason="good")
    assert (change.task.status, change.task.claimant) == ("done", None)
    assert change.attempt == replace(attempt, ended_at=NOW, end="ok")
    assert Decision(task.id, "bob", NOW, Verdict.ACCEPT, "good") in change.records
    assert events(change) == [("accept", Status.REVIEW, Status.DONE)]


def test_rework_goes_back_to_the_run_that_lives() -> None:
    task, attempt = held(Status.REVIEW, checked_at=NOW - 1, waiting_because="waits for a person")
    change = decided(task, Verdict.REWORK, attempt, reason="too long")
    assert (change.task.status, change.task.epoch, change.task.claimant) == ("working", 1, "coder")
    assert (change.task.checked_at, change.task.waiting_because, change.task.progress_at) == (None, None, NOW)
    assert comments(change) == ["too long"]
    assert events(change) == [("rework", Status.REVIEW, Status.WORKING)]


@pytest.mark.parametrize("ended", [True, False])
def test_rework_begins_anew_where_the_run_is_over_or_about_to_be(ended: bool) -> None:
    task, attempt = held(Status.REVIEW, attempt=2, requeues=2)
    gone = over(attempt) if ended else replace(attempt, stop_because="stopped by ann")
    change = decided(task, Verdict.REWORK, gone)
    assert (change.task.status, change.task.claimant, change.task.requeues) == ("pending", None, 0)
    assert comments(change) == []
    assert events(change) == [("rework", Status.REVIEW, Status.PENDING)]


def test_what_a_person_sends_back_costs_no_attempt_and_what_a_machine_does_costs_one() -> None:
    task, attempt = held(Status.REVIEW, attempt=3)
    assert decided(task, Verdict.REWORK, over(attempt)).task.attempt == 2
    first = replace(task, attempt=1)
    assert decided(first, Verdict.REWORK, over(attempt), spends=True).task.attempt == 1


def test_a_last_attempt_that_a_machine_sends_back_has_failed_and_its_creator_hears_of_it() -> None:
    task, attempt = held(Status.REVIEW, attempt=3)
    change = decided(task, Verdict.REWORK, over(attempt), spends=True)
    assert change.task.status is Status.FAILED
    assert told(change) == ["creator:ann"]


@pytest.mark.parametrize("task", [a_task(attempt=3), blocked(attempt=3), held(Status.WORKING, attempt=3)[0]])
@pytest.mark.parametrize("verdict", [Verdict.ACCEPT, Verdict.REWORK])
def test_a_word_on_an_output_that_is_not_in_review_changes_nothing(task: Task, verdict: Verdict) -> None:
    for spends in (True, False):
        with refused(Code.ILLEGAL_TRANSITION):
            decided(task, verdict, spends=spends)


def test_rejected_is_failed_and_ends_the_run() -> None:
    task, attempt = held(Status.REVIEW)
    change = decided(task, Verdict.REJECT, attempt)
    assert (change.task.status, change.task.blocked_reason) == ("failed", "rejected by bob")
    assert change.attempt is not None
    assert change.attempt.stop_because


def test_a_reason_has_its_limit() -> None:
    with refused(Code.INVALID):
        decided(held(Status.REVIEW)[0], Verdict.ACCEPT, reason="x" * (MAX_TEXT + 1))


# On high-risk tools


def risky(by: BlockedBy = BlockedBy.APPROVAL) -> Task:
    return blocked(by, assignee="coder", risk_tools=("delete_file",), approval=Approval.REQUIRED)


def test_approved_by_somebody_else_a_task_may_begin() -> None:
    change = decided(risky(), Verdict.APPROVE)
    assert (change.task.status, change.task.approval) == ("pending", Approval.GRANTED)
    assert events(change) == [("approve", Status.BLOCKED, Status.PENDING)]


def test_its_assignee_does_not_approve_a_task() -> None:
    with refused(Code.APPROVAL_REQUIRED):
        decided(risky(), Verdict.APPROVE, by="coder")


def test_an_approval_answers_no_other_question() -> None:
    change = decided(risky(BlockedBy.HAND), Verdict.APPROVE)
    assert (change.task.status, change.task.blocked_reason) == ("blocked", "which colour?")
    assert change.task.approval is Approval.GRANTED
    assert events(change) == [("approve", Status.BLOCKED, Status.BLOCKED)]


@pytest.mark.parametrize(
    "task",
    [
        a_task(),
        blocked(),
        replace(risky(), approval=Approval.GRANTED),
        replace(risky(), status=Status.FAILED),
    ],
)
def test_what_needs_no_approval_is_not_approved(task: Task) -> None:
    with refused(Code.ILLEGAL_TRANSITION):
        decided(task, Verdict.APPROVE)


def test_a_task_whose_tools_are_rejected_has_failed() -> None:
    change = decided(risky(), Verdict.REJECT, reason="never")
    assert (change.task.status, change.task.blocked_reason) == ("failed", "never")
    assert change.task.approval is Approval.REQUIRED


# By the checks


def judged(task: Task, attempt: Attempt | None, *findings: str, epoch: int = 1) -> Change:
    return deciding.judge(task, attempt, findings, epoch=epoch, now=NOW)


def test_all_checks_passed_is_done_where_nobody_else_is_asked() -> None:
    assert judged(*held(Status.REVIEW)).task.status is Status.DONE


@pytest.mark.parametrize(
    ("review", "because"),
    [("person", "waits for a person to accept it"), ("agent:tester", "waits for tester to review it")],
)
def test_all_checks_passed_waits_for_whoever_is_asked_and_says_so(review: str, because: str) -> None:
    change = judged(*held(Status.REVIEW, review=review, findings=("no file",)))
    assert (change.task.status, change.task.checked_at) == ("review", NOW)
    assert (change.task.waiting_because, change.task.findings) == (because, ())


def test_findings_are_a_comment_and_send_the_work_back() -> None:
    task, attempt = held(Status.REVIEW)
    change = judged(task, attempt, "no file", "no JSON")
    assert change.task.status is Status.WORKING
    assert comments(change) == ["The output was sent back:\nno file\nno JSON"]
    later = judged(task, over(attempt), "no file")
    assert (later.task.status, later.task.attempt, later.task.findings) == ("pending", 1, ("no file",))


@pytest.mark.parametrize("alive", [True, False])
def test_the_same_finding_twice_is_one_question_for_a_person(alive: bool) -> None:
    task, attempt = held(Status.REVIEW, attempt=2, findings=("no file", "no JSON"))
    change = judged(task, attempt if alive else over(attempt), "too short", "no JSON")
    assert (change.task.status, change.task.blocked_by) == ("blocked", BlockedBy.HAND)
    assert (change.task.blocked_reason or "").startswith("twice the same: no JSON")
    assert change.task.attempt == 2
    via = Status.WORKING if alive else Status.PENDING
    assert events(change) == [("rework", Status.REVIEW, via), ("block", via, Status.BLOCKED)]
    assert len(comments(change)) == 1


def test_another_finding_is_no_question() -> None:
    task, attempt = held(Status.REVIEW, attempt=2, findings=("no file",))
    change = judged(task, over(attempt), "no JSON")
    assert (change.task.status, change.task.findings) == ("pending", ("no JSON",))


def test_after_the_last_attempt_the_same_finding_is_still_a_question_and_another_is_a_failure() -> None:
    task, attempt = held(Status.REVIEW, attempt=3, findings=("no file",))
    assert judged(task, over(attempt), "no file").task.status is Status.BLOCKED
    assert judged(task, over(attempt), "no JSON").task.status is Status.FAILED


@pytest.mark.parametrize(
    "task", [held(Status.REVIEW, epoch=2)[0], held(Status.WORKING)[0], a_task(status=Status.DONE, epoch=1)]
)
def test_what_has_gone_on_since_it_was_checked_is_not_judged(task: Task) -> None:
    with refused(Code.STALE_CLAIM):
        judged(task, None)
