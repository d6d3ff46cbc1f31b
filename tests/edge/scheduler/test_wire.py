"""Records as JSON: the names of the contract, times that everybody reads, and no secret."""

import json
from dataclasses import replace

import pytest

from scheduler.core.claims import ClaimToken, hash_of
from scheduler.core.task import Approval, Task
from scheduler.wire import LATEST, claim_json, error_json, parse_time, task_json

CONTRACT = {
    "id",
    "title",
    "description",
    "status",
    "priority",
    "creator",
    "assignee",
    "depends_on",
    "source",
    "external_id",
    "risk_tools",
    "expects",
    "review",
    "attempt",
    "max_attempts",
    "turns",
    "max_turns",
    "epoch",
    "not_before",
    "created_at",
    "updated_at",
    "progress_at",
    "blocked_reason",
    "waiting_because",
}
TASK = Task(number=42, title="t", created_at=1000.25, updated_at=2000.0, claim_hash=hash_of("s" * 24))


def test_a_task_has_every_field_of_the_contract_and_never_the_hash_of_its_claim() -> None:
    shown = task_json(TASK)
    assert set(shown) >= CONTRACT
    assert hash_of("s" * 24) not in json.dumps(shown)
    assert shown["id"] == "T-0042"
    assert shown["priority"] == "normal"
    assert shown["created_at"] == "1970-01-01T00:16:40.250Z"


def test_no_field_is_left_out_because_it_is_empty() -> None:
    full = replace(TASK, assignee="a", max_turns=3, not_before=5.0, approval=Approval.GRANTED)
    assert task_json(TASK).keys() == task_json(full).keys()


def test_the_claim_of_a_run_never_expires() -> None:
    claim = claim_json(TASK, ClaimToken("T-0042", 3, "s" * 24))
    assert claim["claim"] == f"T-0042.3.{'s' * 24}"
    assert claim["expires_at"] is None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-03-01T09:30:00.250Z", 1772357400.25),
        ("2026-03-01T17:30:00.25+08:00", 1772357400.25),
        ("2026-03-01t04:30:00.250000000-05:00", 1772357400.25),
        ("2026-03-01 09:30:00.25z", 1772357400.25),
        ("9999-12-31T23:59:59Z", LATEST),
    ],
)
def test_a_time_is_read_with_any_offset(text: str, moment: float) -> None:
    assert parse_time(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2026-03-01",
        "2026-03-01T09:30:00",
        "2026-03-01T09:30Z",
        "2026-02-30T09:30:00Z",
        "2026-03-01T25:30:00Z",
        "2026-03-01T09:30:00Z\n",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59-01:00",
        "٢٠٢٦-03-01T09:30:00Z",
        "2026-W09-7T09:30:00Z",
        "20260301T093000Z",
    ],
)
def test_what_is_no_rfc_3339_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"a time|range|month|hour"):
        parse_time(text)


def test_an_error_has_a_code_and_a_message() -> None:
    assert error_json("busy", "later") == {"error": {"code": "busy", "message": "later"}}
