"""When an agent's own checks become a task, and what stands in it."""

from dataclasses import replace
from itertools import pairwise

import pytest

from scheduler.core.cards import check_draft
from scheduler.core.task import MAX_TITLE, Priority
from scheduler.heartbeats.checks import draft, due_checks, prefix
from scheduler.roster import Agent
from scheduler.roster.model import CLASSES, agent_of

HOUR = 3600.0
EVERY = 4 * HOUR
START = 1_800_000_000.0


def agent(**rules: object) -> Agent:
    base = agent_of("coo", "frequent", CLASSES["frequent"], missed="run_once")
    given = {"checks": ("backlog", "risks"), "checks_every_seconds": EVERY} | rules
    return replace(base, **given)  # type: ignore[arg-type]  # an agent's own fields


def over_a_day(place: int = 0, every_seconds: float = 600.0) -> list[tuple[float, str]]:
    """What is due at each of a day's heartbeats."""
    times = [START + number * every_seconds for number in range(int(24 * HOUR / every_seconds) + 1)]
    found = ((now, due_checks(agent(), place, before, now)) for before, now in pairwise(times))
    return [(now, due) for now, due in found if due is not None]


@pytest.mark.parametrize("rules", [{"checks_every_seconds": None}, {"checks": ()}])
def test_they_are_off_unless_somebody_says_how_often_and_what(rules: dict[str, object]) -> None:
    assert due_checks(agent(**rules), 0, START, START + 100 * EVERY) is None


def test_they_are_due_once_every_so_often_under_a_name_of_their_own() -> None:
    due = over_a_day()
    assert len(due) == 6
    assert {b - a for (a, _), (b, _) in pairwise(due)} == {EVERY}
    assert len({name for _, name in due}) == 6
    assert all(name.startswith(prefix("coo")) for _, name in due)


def test_the_first_heartbeat_ever_brings_none() -> None:
    assert due_checks(agent(), 0, None, START) is None


def test_a_long_time_without_heartbeats_brings_one() -> None:
    assert due_checks(agent(), 0, START - 10 * EVERY, START) is not None


def test_a_team_is_spread() -> None:
    times = sorted({over_a_day(place)[0][0] for place in range(15)})
    assert len(times) >= 12, "of 24 heartbeats in four hours"


def test_the_task_lists_the_checks_and_is_of_low_priority() -> None:
    made = draft(agent(), "checks:coo:7", "")
    check_draft(made)
    assert (made.priority, made.assignee, made.creator) == (Priority.LOW, "coo", "scheduler")
    assert made.title == "Checks: backlog, risks"
    assert made.external_id == "checks:coo:7"
    assert "- backlog\n- risks" in made.description
    assert "counted" not in made.description


def test_figures_of_the_team_are_in_it_where_there_are_any() -> None:
    assert draft(agent(), "checks:coo:7", "| a table |").description.endswith("| a table |")


def test_a_great_many_checks_still_make_a_title() -> None:
    made = draft(agent(checks=("x" * 300,) * 3), "checks:coo:7", "")
    check_draft(made)
    assert len(made.title) == MAX_TITLE
