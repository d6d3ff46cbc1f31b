"""One report as text, as Markdown, as JSON: what others wrote is data in all of them, and lists end."""

import json
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from scheduler.blackboard.reporting import Beats, Closed, Collected, Missing, Used
from scheduler.core.capacity import CallerActivity
from scheduler.core.records import Event
from scheduler.core.states import Status
from scheduler.core.task import BlockedBy, Priority, Task
from scheduler.report.as_json import as_json
from scheduler.report.building import build
from scheduler.report.markdown import as_markdown, escaped
from scheduler.report.model import Daemon, Outside, Report
from scheduler.report.text import as_text
from scheduler.report.times import Clock

NOW = 1_800_000_000.0
SINCE = NOW - 86_400
CLOCK = Clock(ZoneInfo("UTC"), NOW)
NASTY = "\x1b[31mred\x07 *bold* <img src=x> [a](https://evil.example) | `x` www.evil.example \u202e"
NOBODY = Outside(daemon="the scheduler does not answer", callers="the sidecar cannot be reached")
EMPTY = Collected(
    counts=dict.fromkeys(Status, 0),
    closed={Status.DONE: 0, Status.FAILED: 0},
    last_closed=(),
    open=(),
    incidents={},
    last_incidents=(),
    used=(),
    beats=(),
    missing=(),
)


def report(collected: Collected = EMPTY, outside: Outside = NOBODY) -> Report:
    return build(collected, outside, since=SINCE, until=NOW, clock=CLOCK)


def pending(count: int, *, agents: int = 4) -> Collected:
    tasks = tuple(
        Task(
            number,
            f"Task {number}",
            NOW,
            NOW,
            assignee=f"agent-{number % agents}",
            priority=Priority.URGENT if number % 10 == 0 else Priority.NORMAL,
            waiting_because="in line",
        )
        for number in range(1, count + 1)
    )
    return replace(EMPTY, open=tasks, counts={**EMPTY.counts, Status.PENDING: count})


FULL = replace(
    EMPTY,
    counts={**EMPTY.counts, Status.DONE: 20, Status.FAILED: 1, Status.BLOCKED: 1, Status.WORKING: 1},
    closed={Status.DONE: 18, Status.FAILED: 1},
    last_closed=(
        *(Closed(NOW - 60, f"T-{n:04d}", f"Done {n}", "coo", Status.DONE, "") for n in range(1, 19)),
        Closed(NOW - 90_000, "T-0020", NASTY, None, Status.FAILED, f"because {NASTY}"),
    ),
    open=(
        Task(21, NASTY, NOW, NOW, status=Status.WORKING, claimant="coo", epoch=1, turns=3),
        Task(
            22,
            "A question",
            NOW,
            NOW,
            status=Status.BLOCKED,
            blocked_by=BlockedBy.HAND,
            blocked_reason=NASTY,
            assignee="designer",
            priority=Priority.HIGH,
        ),
    ),
    incidents={"suspect": 1},
    last_incidents=(
        Event("T-0021", NOW - 5, "scheduler", "suspect", None, Status.WORKING, {"seconds": 1200}),
    ),
    used=(Used("coo", 3, 40, 120_000, 2),),
    beats=(Beats("coo", fired=144, found=5, started=2, avoided=139), Beats("qa", fired=96, avoided=96)),
    missing=(Missing("multica", 3, "exit code 3"),),
)
ASKED = Outside(
    daemon=Daemon(4_000, {"workboard": "the gateway is down"}, heartbeats_avoided=2_560),
    callers=(
        CallerActivity("coo", "s1", requests=40, throttled=1, prompt_tokens=1_000, completion_tokens=200),
        CallerActivity("coo", "s2", requests=2, prompt_tokens=10),
        CallerActivity("stranger", requests=5),
    ),
)


def test_an_empty_board_is_told_in_few_lines_and_what_is_unknown_is_not_called_zero() -> None:
    text = as_text(report(), CLOCK)
    assert text.splitlines()[1] == "0 done, 0 failed. Nothing is open."
    assert "called no model: unknown, the scheduler does not answer" in text
    assert len(text.splitlines()) < 12
    value = as_json(report())
    assert value["sources_down"] is None
    assert value["calls_avoided"] == {
        "covers": "all but heartbeats_in_this_time: since the scheduler was started",
        "together": None,
        "looks_at_the_board": None,
        "heartbeats": None,
        "heartbeats_in_this_time": 0,
        "unknown_because": "the scheduler does not answer",
    }


def test_a_scheduler_that_does_not_tell_looks_and_heartbeats_apart_is_not_guessed_at() -> None:
    made = report(FULL, replace(ASKED, daemon=Daemon(4_000)))
    words = "4,000 looks at the board and heartbeats called no model, since the scheduler was started"
    assert words in as_text(made, CLOCK)
    avoided: Any = as_json(made)["calls_avoided"]
    assert (avoided["together"], avoided["looks_at_the_board"], avoided["heartbeats"]) == (4_000, None, None)


def test_everything_that_the_report_is_for_is_in_each_form() -> None:
    made = report(FULL, ASKED)
    for text in (as_text(made, CLOCK), as_markdown(made, CLOCK)):
        assert "18 done, 1 failed. 2 open: 1 working, 1 blocked. 1 waits for a person." in text
        for words in (
            "blackboard answer T-0022 TEXT",
            "T-0020",
            "… and 3 more",
            "no progress for 20 min",
            "workboard is down now: the gateway is down",
            "multica could not be looked at, 3 times, the latest: exit code 3",
            "coo works on it, turn 3",
            "240 heartbeats of 2 agents in this time: 2 new tasks",
            "after 235 of them there was nothing to do",
            "1,440 looks at the board and 2,560 heartbeats called no model, since the scheduler was started",
            "stranger",
            "120,000",
            "1,210",
        ):
            assert words in text, words
    value = json.loads(json.dumps(as_json(made)))
    assert value["done"]["count"] == 18
    assert len(value["done"]["last"]) == 18
    assert value["waiting_for_person"][0]["help"] == "blackboard answer T-0022 TEXT"
    assert [each["id"] for each in value["open"]["tasks"]] == ["T-0021", "T-0022"]
    assert value["agents"]["sidecar"]["agents"][0] == {
        "agent": "coo",
        "requests": 42,
        "tokens": 1_210,
        "throttled": 1,
    }
    assert value["sources_down"] == {"workboard": "the gateway is down"}


def test_no_control_character_of_others_reaches_a_terminal() -> None:
    for text in (as_text(report(FULL, ASKED), CLOCK), as_markdown(report(FULL, ASKED), CLOCK)):
        assert all(character.isprintable() or character == "\n" for character in text)
        assert "\\x1b[31mred" in text or "\\\\x1b\\[31mred" in text


def test_markup_of_others_means_nothing_in_markdown() -> None:
    text = as_markdown(report(FULL, ASKED), CLOCK)
    for markup in ("*bold*", " <img", "[a](", "://", "www.evil", " `x`"):
        assert markup not in text, markup
    assert escaped("a|b") == r"a\|b"
    assert escaped("x@example.com") == r"x\@example.com"
    assert escaped("T-0042 (coo): 10:30, 5.5") == "T-0042 (coo): 10:30, 5.5"


def test_each_of_a_few_open_tasks_has_its_sentence() -> None:
    text = as_text(report(pending(40)), CLOCK)
    assert all(f"T-{number:04d} Task {number} (" in text for number in range(1, 41))


def test_two_hundred_open_tasks_are_put_together_by_agent_and_none_is_lost() -> None:
    text = as_text(report(pending(200)), CLOCK)
    assert len(text.splitlines()) < 40
    more = [line for line in text.splitlines() if "more pending" in line]
    assert len(more) == 4
    together = sum(int(line.split(":")[1].split()[0]) for line in more)
    assert together + text.count("in line") == 200
    assert "more pending (10 urgent)" in text or "urgent" in more[0] + more[2]
    assert len(as_json(report(pending(200)))["open"]["tasks"]) == 200  # type: ignore[index]  # JSON


def test_open_tasks_that_the_board_did_not_hand_over_are_counted() -> None:
    many = pending(200)
    made = report(replace(many, counts={**many.counts, Status.PENDING: 10_000}))
    assert made.open_count == 10_000
    assert "… and 9,800 more" in as_text(made, CLOCK)
