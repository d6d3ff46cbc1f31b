"""A task that judges another one."""

import json

import pytest

from scheduler.core import cards
from scheduler.core.records import Verdict
from scheduler.core.reviews import review_draft, review_verdict
from scheduler.core.states import Status
from scheduler.core.task import MAX_TEXT, MAX_TITLE
from tests.core.scheduler.boards import HIGH_RISK, NOW, held


def test_the_judge_is_told_what_was_asked_for_what_was_handed_in_and_how_to_answer() -> None:
    task, _ = held(Status.REVIEW, description="Count the ships.")
    draft = review_draft(task, "tester", ["/a/report.md", "/a/data.json"])
    assert (draft.assignee, draft.review_of, draft.priority) == ("tester", "T-0001", task.priority)
    assert draft.expects == ("json",)
    for needed in (
        "Count the ships.",
        "- /a/report.md\n- /a/data.json",
        '"decision"',
        '"accept" or "rework"',
    ):
        assert needed in draft.description


def test_a_task_without_a_description_is_judged_by_its_title() -> None:
    assert "Write the report" in review_draft(held(Status.REVIEW)[0], "tester", []).description


def test_whoever_wants_the_work_hears_when_its_judge_fails() -> None:
    assert review_draft(held(Status.REVIEW, creator="ann")[0], "tester", []).creator == "ann"


def test_the_largest_task_with_the_most_outputs_can_still_be_judged() -> None:
    task, _ = held(Status.REVIEW, title="船" * MAX_TITLE, description="船" * MAX_TEXT)
    draft = review_draft(task, "tester", [f"/artifacts/T-0001/1/{n}-{'x' * 300}" for n in range(10_000)])
    assert cards.create(draft, 2, high_risk=HIGH_RISK, who="scheduler", now=NOW).task.status is Status.PENDING
    assert '"decision"' in draft.description[:1000]
    assert "/9999-" in draft.description


@pytest.mark.parametrize("verdict", [Verdict.ACCEPT, Verdict.REWORK])
def test_a_judgement_is_read(verdict: Verdict) -> None:
    assert review_verdict(json.dumps({"decision": verdict, "reason": "no ships"})) == (verdict, "no ships")


@pytest.mark.parametrize("reason", ['"reason": null', '"reason": ""', '"other": 1'])
def test_a_judgement_needs_no_reason(reason: str) -> None:
    assert review_verdict(f'{{"decision": "accept", {reason}}}') == (Verdict.ACCEPT, "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "accept",
        '"accept"',
        "[]",
        "null",
        '["accept"]',
        "{}",
        '{"decision": "approve"}',
        '{"decision": "reject"}',
        '{"decision": "ACCEPT"}',
        '{"decision": ["accept"]}',
        '{"decision": null}',
        '{"decision": "accept"',
        "[" * 100_000,
    ],
)
def test_what_is_no_judgement_sends_nothing_through(text: str) -> None:
    assert review_verdict(text) == (Verdict.REWORK, "the review could not be read")
