"""Which runs ended, which stand still, which have had enough turns."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.core import commands as c
from scheduler.core.capacity import Capacity
from scheduler.core.liveness import liveness
from scheduler.core.records import Attempt, Run
from scheduler.core.rules import EXCUSED_AT_ONCE, AgentRules, Rules
from scheduler.core.sighting import RunSeen, RunState, Sighting
from scheduler.core.snapshot import BoardSnapshot
from scheduler.core.states import Status
from scheduler.core.task import Task
from tests.core.scheduler.boards import NOW, a_world, budget, held, seen, sighting

MINUTES = 60.0


def planned(
    task: Task | None, attempt: Attempt, look: RunSeen | Sighting | None = None, **world: Any
) -> list[c.Command]:
    if isinstance(look, RunSeen):
        look = sighting(look)
    board = BoardSnapshot(held=(task,) if task else (), attempts=(attempt,))
    commands, alarms = liveness(a_world(board, look, **world), NOW)
    assert alarms == ()
    return commands


def running(task: Task, attempt: Attempt, **fields: Any) -> list[c.Command]:
    """What is to be done about a run that the gateway sees."""
    return planned(task, attempt, seen(attempt), **fields)


# Beginning and end


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.OK, RunState.FAILED, RunState.ABORTED])
def test_an_intended_run_that_the_gateway_knows_has_begun(state: RunState) -> None:
    task, attempt = held(run=Run.INTENDED, since=1e4)
    assert planned(task, attempt, seen(attempt, state)) == [c.ProveStart(attempt)]


def test_an_intended_run_that_nobody_knows_is_given_up_after_two_minutes_and_not_before() -> None:
    for since, expected in ((119, False), (120, True)):
        task, attempt = held(run=Run.INTENDED, since=since)
        commands = planned(task, attempt, seen(attempt, RunState.ABSENT))
        assert commands == ([c.NeverStarted(attempt)] if expected else [])


def test_no_start_is_given_up_during_a_retreat() -> None:
    task, attempt = held(run=Run.INTENDED, since=1e4)
    absent = seen(attempt, RunState.ABSENT)
    assert planned(task, attempt, absent, capacity=budget(retreat_state="retreat")) == []
    assert planned(task, attempt, absent, capacity=budget(retreat_state="normal")) != []
    assert planned(task, attempt, absent, capacity=Capacity(known=False, retreat_state="retreat")) != []


@pytest.mark.parametrize("status", [None, Status.REVIEW])
def test_an_intended_run_that_nobody_wants_any_more_is_given_up_at_once(status: Status | None) -> None:
    task, attempt = held(status or Status.CLAIMED, run=Run.INTENDED, since=5)
    commands = planned(task if status else None, attempt, seen(attempt, RunState.ABSENT))
    assert commands == [c.NeverStarted(attempt)]


@pytest.mark.parametrize("state", [RunState.OK, RunState.FAILED, RunState.ABORTED, RunState.ABSENT])
@pytest.mark.parametrize("status", [None, Status.CLAIMED, Status.WORKING, Status.REVIEW])
def test_a_run_is_over_when_the_gateway_says_so(state: RunState, status: Status | None) -> None:
    task, attempt = held(status or Status.CLAIMED)
    look = seen(attempt, state)
    assert planned(task if status else None, attempt, look) == [c.EndRun(attempt, look)]


@pytest.mark.parametrize("run", [Run.INTENDED, Run.STARTED])
@pytest.mark.parametrize("stop", [None, "stopped by ann"])
def test_what_nobody_has_looked_at_is_left_alone_however_old(run: Run, stop: str | None) -> None:
    task, attempt = held(run=run, since=1e6, turns=1000)
    attempt = replace(attempt, stop_because=stop)
    for look in (sighting(), Sighting(up=False)):
        assert planned(task, attempt, look) == []
        assert planned(None, attempt, look) == []


def test_whoever_waits_for_the_gateway_does_not_stand_still() -> None:
    """After an outage of a night nobody is given up who had only just begun before it."""
    task, attempt = held(since=1e6, turns=1000)
    away = Sighting(up=False, runs={attempt.run_id: seen(attempt, RunState.ABSENT)}, at=NOW)
    assert planned(task, attempt, away) == [c.Excuse(task.id, task.epoch, EXCUSED_AT_ONCE)]
    assert planned(replace(task, excused_at=NOW), attempt, away) == []
    assert planned(None, attempt, away) == []
    task, attempt = held(run=Run.INTENDED, since=1e6)
    assert planned(task, attempt, away) == []


def test_a_start_in_doubt_is_left_alone_however_old() -> None:
    task, attempt = held(run=Run.INTENDED, since=1e6)
    assert planned(task, attempt, seen(attempt, RunState.UNKNOWN)) == []


def test_a_run_in_doubt_is_left_alone_for_as_long_as_a_run_may_last_and_then_stopped() -> None:
    """To stop it proves its end, or changes nothing: it cannot hold its agent for ever."""
    task, attempt = held(Status.WORKING, since=3599)
    assert planned(task, attempt, seen(attempt, RunState.UNKNOWN)) == []
    task, attempt = held(Status.WORKING, since=3600)
    why = "nobody can tell how its run stands"
    doubt = seen(attempt, RunState.UNKNOWN)
    assert planned(task, attempt, doubt) == [c.StopRun(attempt, c.Then.RECOVER, why)]
    assert planned(None, attempt, doubt) == [c.StopRun(attempt, c.Then.NOTHING, why)]


def test_a_run_in_doubt_that_somebody_stopped_is_stopped_now() -> None:
    attempt = replace(held(since=5)[1], stop_because="stopped by ann")
    doubt = seen(attempt, RunState.UNKNOWN)
    assert planned(None, attempt, doubt) == [c.StopRun(attempt, c.Then.NOTHING, "stopped by ann")]


@pytest.mark.parametrize("state", [RunState.ABSENT, RunState.OK])
def test_a_look_says_nothing_of_what_began_after_it(state: RunState) -> None:
    task, attempt = held(Status.WORKING, since=5)
    assert planned(task, attempt, sighting(seen(attempt, state), at=NOW - 5)) == []
    assert planned(task, attempt, sighting(seen(attempt, state), at=NOW - 4)) != []


def test_a_run_that_is_over_on_the_board_is_not_looked_at() -> None:
    task, attempt = held(Status.REVIEW)
    assert planned(task, replace(attempt, run=Run.ENDED), seen(attempt, RunState.ABSENT)) == []


def test_a_run_that_is_to_end_is_stopped_and_its_task_left_as_it_is() -> None:
    _, attempt = held()
    attempt = replace(attempt, stop_because="stopped by ann")
    expected = [c.StopRun(attempt, c.Then.NOTHING, "stopped by ann")]
    assert planned(None, attempt, seen(attempt)) == expected
    assert planned(held(epoch=2)[0], attempt, seen(attempt)) == expected


@pytest.mark.parametrize("status", [None, Status.REVIEW])
def test_a_run_whose_claim_is_over_may_go_on_for_as_long_as_any_run(status: Status | None) -> None:
    for since, expected in ((3599, 0), (3600, 1)):
        task, attempt = held(status or Status.CLAIMED, since=since)
        commands = planned(task if status else None, attempt, seen(attempt))
        assert len(commands) == expected
        assert all(isinstance(each, c.StopRun) and each.then is c.Then.NOTHING for each in commands)


# Time-outs


def test_whoever_makes_no_progress_is_suspect_first_and_stopped_later() -> None:
    assert running(*held(Status.WORKING, since=30 * MINUTES - 1)) == []
    (suspect,) = running(*held(Status.WORKING, since=30 * MINUTES))
    assert suspect == c.Suspect("T-0001", 1, 1800, ("coo", "creator"))
    assert running(*held(Status.WORKING, since=45 * MINUTES - 1, suspect_at=NOW)) == []
    (stop,) = running(*held(Status.WORKING, since=45 * MINUTES, suspect_at=NOW))
    assert isinstance(stop, c.StopRun)
    assert (stop.then, stop.why, stop.notify) == (
        c.Then.RECOVER,
        "no progress for 45 min",
        ("coo", "creator"),
    )


def test_each_agent_is_measured_by_its_own_rules() -> None:
    task, attempt = held(Status.WORKING, since=25 * MINUTES)
    frequent = AgentRules(suspect_after=20 * MINUTES, notify=("coo",))
    (suspect,) = running(task, attempt, rules=Rules(agents={"coder": frequent}))
    assert isinstance(suspect, c.Suspect)
    assert suspect.notify == ("coo",)


def test_progress_counts_and_a_sign_of_life_does_not() -> None:
    task, attempt = held(Status.WORKING, since=40 * MINUTES, updated_at=NOW)
    assert running(task, attempt) != []
    assert running(replace(task, progress_at=NOW - 60), attempt) == []


def test_a_run_is_stopped_at_its_time_limit_whatever_its_progress() -> None:
    task, attempt = held(Status.WORKING, since=3600, progress_at=NOW)
    (stop,) = running(task, attempt)
    assert isinstance(stop, c.StopRun)
    assert stop.then is c.Then.RECOVER
    assert running(task, attempt, rules=Rules(run_timeout=3601)) == []


@pytest.mark.parametrize("noted", [True, False])
def test_whoever_only_waits_is_excused_and_not_timed_out(noted: bool) -> None:
    task, attempt = held(Status.WORKING, since=1e5, waiting_for="the build" if noted else None)
    agents = frozenset() if noted else frozenset({"coder"})
    assert running(task, attempt, waiting_agents=agents) == [c.Excuse(task.id, 1, 60.0)]
    asked_already = replace(task, excused_at=NOW)
    assert running(asked_already, attempt, waiting_agents=agents) == []


def test_of_the_time_between_two_looks_no_more_is_excused_than_was_waited() -> None:
    task, attempt = held(Status.WORKING, since=100, waiting_for="the build", excused_at=NOW - 15)
    assert running(task, attempt) == [c.Excuse(task.id, 1, 15.0)]


def test_what_was_waited_counts_for_neither_clock() -> None:
    task, attempt = held(Status.WORKING, since=1e5, excused_at=NOW - 60)
    assert running(task, replace(attempt, excused_seconds=1e5 - 60)) == []


# Turns


def test_turns_that_the_gateway_counted_are_written_down_first() -> None:
    task, attempt = held(Status.WORKING, turns=3)
    assert planned(task, attempt, seen(attempt, turns=99)) == [c.CountTurns(task.id, 1, 99)]
    assert planned(task, attempt, seen(attempt, turns=3)) == []


@pytest.mark.parametrize("run", [Run.STARTED, Run.NONE])
def test_at_four_fifths_of_its_turns_an_agent_is_warned_once(run: Run) -> None:
    assert running(*held(Status.WORKING, run, turns=79)) == []
    warning = [c.WarnTurns("T-0001", 1, 80, 100, ("coo", "creator"))]
    assert running(*held(Status.WORKING, run, turns=80)) == warning
    assert running(*held(Status.WORKING, run, turns=99, turns_warned=True)) == []
    assert running(*held(Status.WORKING, run, turns=4, max_turns=5)) != []


def test_at_the_limit_of_its_turns_a_run_is_stopped_and_its_task_blocked() -> None:
    task, attempt = held(Status.WORKING, turns=100, turns_warned=True)
    assert running(task, attempt) == [
        c.StopRun(attempt, c.Then.BLOCK, "100 of 100 turns", ("coo", "creator"))
    ]


def test_at_the_limit_of_its_turns_a_claim_by_hand_is_over() -> None:
    commands = running(*held(Status.WORKING, Run.NONE, turns=5, max_turns=5))
    assert commands == [c.TooManyTurns("T-0001", 1, "5 of 5 turns", ("coo", "creator"))]


# By hand


def test_a_lease_that_ended_ends_its_claim_and_nothing_else_does() -> None:
    task, attempt = held(Status.WORKING, Run.NONE, since=1800)
    assert planned(task, attempt) == [c.Expire(task.id, 1)]
    renewed = replace(task, lease_until=NOW + 1, progress_at=NOW - 1e6, suspect_at=NOW - 1e5)
    assert planned(renewed, replace(attempt, claimed_at=NOW - 1e6)) == []


def test_a_claim_by_hand_is_suspect_like_any_other() -> None:
    task, attempt = held(Status.WORKING, Run.NONE, since=1800, lease_until=NOW + 60)
    assert planned(task, attempt) == [c.Suspect(task.id, 1, 1800, ("coo", "creator"))]


@pytest.mark.parametrize("noted", [True, False])
def test_a_claim_by_hand_that_only_waits_is_excused_also_when_it_goes_on(noted: bool) -> None:
    task, attempt = held(
        Status.WORKING, Run.NONE, since=1e5, lease_until=NOW + 60, waiting_for="ann" if noted else None
    )
    agents = frozenset() if noted else frozenset({"coder"})
    assert planned(task, attempt, waiting_agents=agents) == [c.Excuse(task.id, 1, 60)]
    assert planned(replace(task, excused_at=NOW), attempt, waiting_agents=agents) == []
    gone_on = replace(task, excused_at=NOW - 60, waiting_for=None)
    assert planned(gone_on, attempt) == []


def test_a_task_in_review_is_nobodys_to_time_out() -> None:
    task, attempt = held(Status.REVIEW, Run.NONE, since=1e6, turns=1000)
    assert planned(task, attempt) == []


# Many at once


def dead(count: int, alive: int, run: Run = Run.STARTED) -> tuple[list[c.Command], tuple[str, ...]]:
    pairs = []
    for number in range(1, count + alive + 1):
        since = 1e5 if number <= count else 60
        pairs.append(held(Status.WORKING, run, number=number, claimant=f"agent-{number}", since=since))
    board = BoardSnapshot(held=tuple(task for task, _ in pairs), attempts=tuple(each for _, each in pairs))
    return liveness(a_world(board, sighting(*(seen(each) for _, each in pairs))), NOW)


@pytest.mark.parametrize("run", [Run.STARTED, Run.NONE])
@pytest.mark.parametrize(("count", "alive"), [(4, 3), (4, 0), (9, 8)])
def test_more_than_half_and_at_least_four_looking_dead_are_probably_not(
    run: Run, count: int, alive: int
) -> None:
    commands, alarms = dead(count, alive, run)
    assert not [each for each in commands if isinstance(each, c.StopRun | c.Expire)]
    assert len(alarms) == 1
    assert alarms[0].startswith(f"{count} of {count + alive} claims look dead")


@pytest.mark.parametrize("run", [Run.STARTED, Run.NONE])
@pytest.mark.parametrize(("count", "alive"), [(3, 0), (4, 4), (1, 0)])
def test_fewer_are_dead(run: Run, count: int, alive: int) -> None:
    commands, alarms = dead(count, alive, run)
    assert len([each for each in commands if isinstance(each, c.StopRun | c.Expire)]) == count
    assert alarms == ()
