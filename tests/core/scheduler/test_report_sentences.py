"""Every open task in one sentence: what it waits for, who works on it, what a person would call."""

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from scheduler.core.capacity import Capacity
from scheduler.core.commands import TellReviewFailed
from scheduler.core.plan import plan
from scheduler.core.records import Event
from scheduler.core.rules import Rules
from scheduler.core.sighting import Sighting
from scheduler.core.snapshot import BoardSnapshot
from scheduler.core.states import Status
from scheduler.core.task import BlockedBy, Task
from scheduler.core.world import World
from scheduler.report.sentences import help_for, incident, needs_person, sentence
from scheduler.report.times import Clock

NOW = 1_800_000_000.0
CLOCK = Clock(ZoneInfo("UTC"), NOW)
TASK = Task(7, "a task", NOW - 3600, NOW - 3600, assignee="coo")
HELD = replace(TASK, status=Status.WORKING, claimant="coo", epoch=1)
REVIEW = replace(HELD, status=Status.REVIEW, checked_at=NOW)
BLOCKED = replace(TASK, status=Status.BLOCKED, blocked_by=BlockedBy.HAND)


@pytest.mark.parametrize(
    ("task", "said", "person"),
    [
        (TASK, "waits for the next look at the board", False),
        (
            replace(TASK, waiting_because="in line for coo", expected_start_at=NOW + 600),
            "in line for coo; expected to start at 08:10",
            False,
        ),
        (
            replace(TASK, waiting_because="the budget feeds no further run", expected_start_at=NOW - 5),
            "the budget feeds no further run; expected to start soon",
            False,
        ),
        (replace(HELD, status=Status.CLAIMED), "coo begins", False),
        (
            replace(HELD, turns=4, progress_at=NOW - 300, suspect_at=NOW, waiting_for="the build"),
            "coo works on it, turn 4; waits for the build; last progress 5 min ago; may be stuck",
            False,
        ),
        (replace(HELD, claimant=None), "somebody works on it", False),
        (replace(REVIEW, checked_at=None), "its result is being checked", False),
        (REVIEW, "its result is about to be accepted", False),
        (replace(REVIEW, review="agent:qa"), "its result is judged by qa", False),
        (
            replace(REVIEW, review="agent:qa", waiting_because="waits for qa to review it"),
            "waits for qa to review it",
            False,
        ),
        (replace(REVIEW, review="person"), "its result waits for somebody to accept it", True),
        (replace(BLOCKED, blocked_reason="Blue\n or green?"), "waits for an answer: Blue or green?", True),
        (BLOCKED, "waits for an answer: nobody said why", True),
        (
            replace(BLOCKED, blocked_by=BlockedBy.APPROVAL, blocked_reason="approval_required: it may use x"),
            "waits for an approval: it may use x",
            True,
        ),
        (
            replace(BLOCKED, blocked_by=BlockedBy.DEPENDENCY, blocked_reason="T-0001 has failed"),
            "cannot go on: T-0001 has failed",
            False,
        ),
        (replace(TASK, status=Status.DONE), "is done", False),
    ],
)
def test_a_task_is_told_in_one_sentence(task: Task, said: str, person: bool) -> None:
    assert sentence(task, NOW, CLOCK) == said
    assert needs_person(task) is person
    assert bool(help_for(task)) is person


def test_a_review_that_came_to_no_verdict_waits_for_a_person() -> None:
    """By the words of the plan itself."""
    judged = replace(REVIEW, review="agent:qa", waiting_because="waits for qa to review it")
    failed = replace(TASK, number=8, status=Status.FAILED, created_at=NOW)
    world = World(
        BoardSnapshot(held=(judged,), reviews={7: failed}),
        Sighting(up=True),
        Capacity.unknown(""),
        Rules(),
        NOW + 60,
    )
    (told,) = plan(world, NOW).commands
    assert isinstance(told, TellReviewFailed)
    assert needs_person(replace(judged, waiting_because=told.why))


def test_each_way_to_help_is_a_command_as_it_is_typed() -> None:
    assert help_for(BLOCKED) == "blackboard answer T-0007 TEXT"
    assert help_for(replace(BLOCKED, blocked_by=BlockedBy.APPROVAL)) == "blackboard decide T-0007 --approve"
    assert help_for(replace(REVIEW, review="person")) == "blackboard decide T-0007 --accept"


def test_a_long_reason_is_cut() -> None:
    assert len(sentence(replace(BLOCKED, blocked_reason="why " * 1000), NOW, CLOCK)) < 350


@pytest.mark.parametrize(
    ("what", "who", "details", "said"),
    [
        ("suspect", "scheduler", {"seconds": 1800.0}, "no progress for 30 min"),
        ("suspect", "scheduler", {}, "suspect"),
        ("turns_warning", "scheduler", {"turns": 40, "limit": 50}, "40 of 50 turns spent"),
        ("expire", "scheduler", {"claimant": "coo"}, "the lease of a claim by hand ended"),
        ("recover", "scheduler", {"reason": "no progress"}, "stopped and given back: no progress"),
        (
            "requeue",
            "scheduler",
            {"reason": "quota"},
            "put back without spending an attempt: quota",
        ),
        ("no_result", "ann", {}, "ended without a result by ann"),
        ("something_new", "scheduler", {}, "something_new"),
    ],
)
def test_an_incident_is_told_in_plain_words(
    what: str, who: str, details: dict[str, object], said: str
) -> None:
    assert incident(Event("T-0007", NOW, who, what, Status.WORKING, Status.PENDING, details)) == said
