"""Making a task, and what may be set on it in which state."""

from typing import Any

import pytest

from scheduler.core import cards, deciding, halting
from scheduler.core.errors import Code
from scheduler.core.records import Event, Verdict
from scheduler.core.states import HELD, Status
from scheduler.core.task import MAX_TEXT, MAX_TITLE, Approval, BlockedBy, Draft, Task
from tests.core.scheduler.boards import HIGH_RISK, NOW, a_draft, a_task, blocked, events, held, refused


def created(draft: Draft) -> Task:
    return cards.create(draft, 7, high_risk=HIGH_RISK, who="ann", now=NOW).task


def set_to(task: Task, **fields: Any) -> Task:
    return cards.revise(task, fields, high_risk=HIGH_RISK, who="ann", now=NOW).task


def in_state(status: Status) -> Task:
    if status is Status.BLOCKED:
        return blocked()
    return held(status)[0] if status in HELD | {Status.REVIEW} else a_task(status=status)


def test_a_new_task_is_pending_and_its_creation_an_event() -> None:
    change = cards.create(a_draft(assignee="coder"), 7, high_risk=HIGH_RISK, who="ann", now=NOW)
    assert change.task == Task(7, "Write the report", NOW, NOW, assignee="coder", pending_since=NOW)
    (event,) = change.records
    assert isinstance(event, Event)
    assert (event.what, event.from_status, event.to_status) == ("created", None, "pending")


def test_a_task_that_names_a_high_risk_tool_waits_for_an_approval_from_the_beginning() -> None:
    change = cards.create(
        a_draft(risk_tools=("read", "delete_file")), 7, high_risk=HIGH_RISK, who="", now=NOW
    )
    task = change.task
    assert (task.status, task.blocked_by, task.approval) == ("blocked", BlockedBy.APPROVAL, Approval.REQUIRED)
    assert (task.blocked_reason or "").startswith("approval_required")
    assert events(change) == [("created", None, Status.BLOCKED)]


def test_tools_that_nobody_calls_high_risk_need_no_approval() -> None:
    task = created(a_draft(risk_tools=("read",)))
    assert (task.status, task.approval) == ("pending", Approval.NOT_NEEDED)


@pytest.mark.parametrize(
    "fields",
    [
        {"title": ""},
        {"title": " \n"},
        {"title": "x" * (MAX_TITLE + 1)},
        {"description": "x" * (MAX_TEXT + 1)},
        {"assignee": "Coder"},
        {"review": "somebody"},
        {"assignee": "coder", "review": "agent:coder"},
        {"expects": ("nonempty", "regex:(")},
        {"max_attempts": 0},
        {"max_turns": 0},
    ],
)
def test_a_word_that_is_none_is_invalid(fields: dict[str, Any]) -> None:
    with refused(Code.INVALID):
        created(a_draft(**fields))
    with refused(Code.INVALID):
        set_to(a_task(), **fields)


def test_a_dependency_that_never_was_an_id_is_not_found() -> None:
    with refused(Code.NOT_FOUND):
        created(a_draft(depends_on=("7",)))


def test_the_largest_words_are_taken() -> None:
    task = created(a_draft(title="x" * MAX_TITLE, description="x" * MAX_TEXT, max_turns=1, max_attempts=1))
    assert len(task.title) == MAX_TITLE


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize(
    ("field", "value"), [("title", "Other"), ("priority", 0), ("max_turns", 9), ("max_attempts", 9)]
)
def test_what_a_card_says_may_change_until_it_is_done(status: Status, field: str, value: object) -> None:
    task = in_state(status)
    if status is Status.DONE:
        with refused(Code.ILLEGAL_TRANSITION):
            set_to(task, **{field: value})
    else:
        revised = set_to(task, **{field: value})
        assert getattr(revised, field) == value
        assert revised.status is status


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize(
    ("field", "value"),
    [("assignee", "tester"), ("depends_on", ("T-0002",)), ("risk_tools", ("read",)), ("not_before", NOW)],
)
def test_what_a_run_was_started_with_does_not_change_under_it(
    status: Status, field: str, value: object
) -> None:
    task = in_state(status)
    if status in HELD | {Status.REVIEW, Status.DONE}:
        with refused(Code.ILLEGAL_TRANSITION):
            set_to(task, **{field: value})
    else:
        assert getattr(set_to(task, **{field: value}), field) == value


@pytest.mark.parametrize("field", ["status", "epoch", "claimant", "approval", "number", "nonsense"])
def test_nothing_else_can_be_set(field: str) -> None:
    with refused(Code.INVALID):
        set_to(a_task(), **{field: 1})


def test_setting_is_an_event_that_names_the_fields() -> None:
    change = cards.revise(a_task(), {"title": "B", "priority": 1}, high_risk=(), who="ann", now=NOW)
    (event,) = change.records
    assert isinstance(event, Event)
    assert (event.what, event.who, event.details) == ("set", "ann", {"fields": ["priority", "title"]})


def test_a_high_risk_tool_that_is_added_blocks_a_pending_task() -> None:
    task = set_to(a_task(), risk_tools=("delete_file",))
    assert (task.status, task.blocked_by, task.approval) == ("blocked", BlockedBy.APPROVAL, Approval.REQUIRED)


def test_a_task_whose_high_risk_tools_are_taken_away_is_pending_again() -> None:
    task = set_to(created(a_draft(risk_tools=("delete_file",))), risk_tools=())
    assert (task.status, task.blocked_by, task.blocked_reason) == ("pending", None, None)
    assert task.approval is Approval.NOT_NEEDED


def test_what_was_allowed_stays_allowed_and_what_is_new_is_not() -> None:
    task = a_task(risk_tools=("delete_file", "read"), approval=Approval.GRANTED)
    assert set_to(task, risk_tools=("delete_file",)).approval is Approval.GRANTED
    assert set_to(task, risk_tools=("delete_file", "execute_code")).approval is Approval.REQUIRED


def test_an_approval_that_became_needed_while_a_person_was_asked_is_asked_for_next() -> None:
    task = set_to(blocked(), risk_tools=("delete_file",))
    assert task.blocked_by is BlockedBy.HAND
    answered = halting.answer(task, "blue", who="ann", now=NOW).task
    assert (answered.status, answered.blocked_by) == ("blocked", BlockedBy.APPROVAL)


def test_an_approval_that_is_no_longer_needed_is_not_asked_for() -> None:
    task = set_to(set_to(blocked(), risk_tools=("delete_file",)), risk_tools=())
    assert halting.answer(task, "blue", who="ann", now=NOW).task.status is Status.PENDING


def test_what_else_is_set_does_not_ask_for_an_approval_under_a_living_claim() -> None:
    """Somebody has called a tool high-risk since it was started."""
    task = set_to(held(risk_tools=("delete_file",))[0], title="Other")
    assert task.approval is Approval.NOT_NEEDED


def test_other_dependencies_are_waited_for_anew() -> None:
    task = set_to(a_task(dependencies_met=True, dependency_notified=True), depends_on=("T-0002",))
    assert not task.dependencies_met
    assert not task.dependency_notified
    assert set_to(a_task(dependencies_met=True), title="B").dependencies_met


def test_whoever_works_on_a_task_cannot_be_made_its_reviewer() -> None:
    for status in (Status.CLAIMED, Status.WORKING, Status.REVIEW):
        with refused(Code.INVALID):
            set_to(held(status)[0], review="agent:coder")
        assert set_to(held(status)[0], review="agent:tester").review == "agent:tester"


@pytest.mark.parametrize("fields", [{"review": "accept_nonempty"}, {"expects": ("json",)}])
def test_what_passed_other_checks_is_checked_again(fields: dict[str, Any]) -> None:
    task, _ = held(Status.REVIEW, review="person", checked_at=NOW, waiting_because="waits for a person")
    revised = set_to(task, **fields)
    assert (revised.checked_at, revised.waiting_because) == (None, None)
    assert set_to(task, title="B").checked_at == NOW


@pytest.mark.parametrize(
    ("task", "least"),
    [(a_task(attempt=2), 3), (blocked(attempt=2), 3), (held(attempt=2)[0], 2), (a_task(status="failed"), 1)],
)
def test_the_attempts_that_were_made_cannot_be_more_than_are_allowed(task: Task, least: int) -> None:
    assert set_to(task, max_attempts=least).max_attempts == least
    with refused(Code.INVALID):
        set_to(task, max_attempts=least - 1)


def test_a_rejected_task_keeps_its_need_of_an_approval_when_it_is_tried_again() -> None:
    task = created(a_draft(risk_tools=("delete_file",)))
    rejected = deciding.decide(task, None, Verdict.REJECT, by="bob", reason="too risky", now=NOW).task
    assert rejected.status is Status.FAILED
    again = halting.retry(set_to(rejected, title="Carefully"), who="ann", now=NOW).task
    assert (again.status, again.blocked_by) == ("blocked", BlockedBy.APPROVAL)
