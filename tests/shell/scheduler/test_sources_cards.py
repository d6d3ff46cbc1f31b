"""Foreign JSON as items: what OpenClaw 2026.9.6 really printed, and what nobody should print."""

import json
from pathlib import Path
from typing import Any

import pytest

from scheduler.core.exchange.items import Stage
from scheduler.core.task import MAX_TITLE, Priority, Source
from scheduler.sources import reading
from scheduler.sources.cards import STAGES, items_of
from scheduler.sources.issues import item_of, page_of
from tests import openclaw_stand_in

SEEN = Path(openclaw_stand_in.__file__).parent / "seen"
NOW = 1_795_157_360.0
"""While the claim of `wb-claim.json` stands."""
STATUSES = ["triage", "backlog", "todo", "scheduled", "ready", "running", "review", "blocked", "done"]


def seen(name: str) -> Any:
    return json.loads((SEEN / name).read_text(encoding="utf-8"))


def test_what_workboard_really_lists_is_understood() -> None:
    second, first = items_of(seen("wb-list.json")["cards"], {"ops"}, NOW)
    assert first.external_id == "37142c7e-92e0-4269-ad11-58093b8bef2f"
    assert (first.source, first.title, first.stage) == (
        Source.WORKBOARD,
        "Fix stale worker heartbeat",
        Stage.TODO,
    )
    assert (first.agent, first.priority, first.description) == ("ops", Priority.HIGH, "note text")
    assert (first.created_at, first.updated_at) == (1795157320.576, 1795157320.576)
    assert (first.aliases, first.worked_on_by, first.waits_for) == (("37142c7e",), None, ())
    assert (second.agent, second.priority, second.stage) == (None, Priority.URGENT, Stage.TODO)


def test_a_claimed_card_says_by_whom_and_when_it_was_last_heard_of() -> None:
    (item,) = items_of([seen("wb-claim.json")["card"]], {"ops"}, NOW)
    assert (item.stage, item.worked_on_by, item.sign_of_life_at) == (
        Stage.IN_PROGRESS,
        "ops",
        1795157358.134,
    )
    ready = {**seen("wb-claim.json")["card"], "status": "ready"}
    stages = [items_of([ready], {"ops"}, at)[0].stage for at in (NOW, NOW + 3600)]
    assert stages == [Stage.IN_PROGRESS, Stage.TODO], "claimed by somebody, until the claim runs out"
    (reviewed,) = items_of([seen("wb-show.json")["card"]], {"main"}, NOW)
    assert (reviewed.stage, reviewed.agent) == (Stage.IN_PROGRESS, None)
    # Its agent has done its part, unlike that of the one before.
    assert (item.judged, reviewed.judged) == (False, True)


def test_every_status_has_a_stage() -> None:
    assert set(STATUSES) == set(STAGES)


def test_archived_cards_are_gone_and_later_versions_words_start_nothing() -> None:
    archived, odd = items_of(
        [
            {"id": "a", "status": "todo", "metadata": {"archivedAt": 1795157320576}},
            {"id": "b", "status": "incubating"},
        ],
        (),
        NOW,
    )
    assert (archived.stage, odd.stage) == (Stage.GONE, Stage.WAITING)


def test_what_a_card_depends_on_is_found_wherever_it_stands() -> None:
    links = [
        {"type": "parent", "targetCardId": "p1"},
        {"type": "child", "targetCardId": "c"},
        {"type": "parent", "targetCardId": "p2"},
        {"type": "parent", "targetCardId": 7},
        "nonsense",
    ]
    card = {"id": "x", "dependsOn": ["p2", "p3", None], "metadata": {"links": links, "dependsOn": ["p4"]}}
    done = {"id": "p1", "status": "done", "metadata": {"archivedAt": 1}}
    item, *_ = items_of(
        [card, done, {"id": "p2", "status": "running"}, {"id": "p3", "status": "done"}], (), NOW
    )
    assert item.waits_for == ("p2", "p4")


@pytest.mark.parametrize(
    "card",
    [
        None,
        7,
        "card",
        [],
        {},
        {"id": ""},
        {"id": 7},
        {"id": "--help"},
        {"id": "a b"},
        {"id": "x" * 201},
        {"id": "a\n"},
    ],
    ids=str,
)
def test_a_card_without_an_id_is_none(card: object) -> None:
    assert items_of([card], (), NOW) == ()


def test_values_of_other_kinds_are_values_that_are_not_there() -> None:
    nonsense: dict[str, Any] = {
        "id": "a",
        "title": ["x"],
        "status": {"x": 1},
        "priority": 7,
        "agentId": {},
        "notes": 1.5,
        "createdAt": "yesterday",
        "updatedAt": True,
        "metadata": {"claim": "ops", "links": {"type": "parent"}},
    }
    (item,) = items_of([nonsense], {"ops"}, NOW)
    assert (item.title, item.stage, item.priority) == ("card a", Stage.WAITING, Priority.NORMAL)
    assert item.agent is None
    assert (item.description, item.created_at, item.updated_at, item.worked_on_by) == ("", None, None, None)


def test_text_is_made_so_that_a_board_can_hold_it_and_is_else_as_it_was() -> None:
    assert reading.words("half \ud83d an emoji, \0") == "half ? an emoji, \ufffd"
    assert reading.words("\x1b[31m \u202e <b>") == "\x1b[31m \u202e <b>"
    assert reading.title("  ", "card a") == "card a"
    assert reading.title("x" * 600, "") == "x" * (MAX_TITLE - 1) + "…"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2026-11-20T08:00:00Z", 1795161600.0),
        ("2026-11-20T16:00:00+08:00", 1795161600.0),
        ("2026-11-20T08:00:00", None),
        ("yesterday", None),
        ("0001-01-01T00:00:00Z", None),
        (7, None),
        (None, None),
    ],
)
def test_a_time_is_a_moment_or_nothing(value: object, seconds: float | None) -> None:
    assert reading.moment(value) == seconds


@pytest.mark.parametrize("value", [0, -1, 1e300, float("nan"), "1795157320576", None, True])
def test_milliseconds_that_no_calendar_has_are_nothing(value: object) -> None:
    assert reading.milliseconds(value) is None


@pytest.mark.parametrize(
    ("answer", "ids", "came", "more"),
    [
        ({"issues": [{"id": "a"}], "total": 3, "has_more": True}, ["a"], 1, True),
        ({"issues": [{"id": "a"}], "total": 3}, ["a"], 1, True),
        ({"issues": [{"id": "a"}], "total": 1}, ["a"], 1, False),
        ({"issues": [], "has_more": True}, [], 0, False),
        ({"issues": None, "total": 0}, [], 0, False),
        ({"issues": [{"id": "a"}, 7, {"title": "none"}], "has_more": False}, ["a"], 3, False),
        ([{"id": "a"}], ["a"], 1, True),
        ([], [], 0, False),
    ],
    ids=str,
)
def test_a_page_is_what_came_back(answer: object, ids: list[str], came: int, more: bool) -> None:
    page = page_of(answer, 0)
    assert page is not None
    assert ([issue["id"] for issue in page.issues], page.came, page.more) == (ids, came, more)


@pytest.mark.parametrize("answer", [None, 7, "issues", {}, {"issues": "none"}, {"error": "no"}], ids=str)
def test_what_is_no_list_of_issues_is_no_page(answer: object) -> None:
    assert page_of(answer, 0) is None


def test_an_issue_says_who_made_it_and_when_it_was_last_worked_on() -> None:
    issue = {
        "id": "a",
        "identifier": "MUL-1",
        "title": "Write",
        "status": "in_review",
        "priority": "urgent",
        "assignee_id": "AA",
        "creator_id": "BB",
        "updated_at": "2026-11-20T08:00:00Z",
        "last_activity_at": "2026-11-20T08:00:01Z",
    }
    item = item_of(issue, {"aa": "ops", "bb": "coo"})
    assert (item.agent, item.creator, item.worked_on_by) == ("ops", "coo", "ops")
    assert (item.stage, item.priority, item.sign_of_life_at) == (
        Stage.IN_PROGRESS,
        Priority.URGENT,
        1795161601.0,
    )
    assert item.place == "Multica issue MUL-1"
    assert item.judged
    assert not item_of({**issue, "status": "in_progress"}, {}).judged
    assert item_of({**issue, "status": "with_legal", "status_category": "in_review"}, {}).judged


def test_what_a_listing_of_issues_leaves_out_is_not_known() -> None:
    listed = {"id": "a", "description": None, "parent_issue_id": "p"}
    assert (item_of(listed, {}).description, item_of(listed, {}).waits_for) == (None, None)
    assert item_of({**listed, "description": ""}, {}).description == ""
    assert item_of(listed, {}, parent_is_open=True).waits_for == ("p",)
    assert item_of(listed, {}, parent_is_open=False).waits_for == ()
    assert item_of({"id": "a"}, {}).waits_for == ()
