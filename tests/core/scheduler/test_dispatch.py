"""Who starts, why everybody else waits, and until when."""

from math import inf
from typing import Any

import pytest

from scheduler.core import commands as c
from scheduler.core.capacity import Blocked, Capacity
from scheduler.core.dispatch import dispatch
from scheduler.core.records import Attempt, Run
from scheduler.core.rules import FORESEEN, Rules
from scheduler.core.sighting import Sighting
from scheduler.core.snapshot import EVERYBODY, AgentRecord, BoardSnapshot, Dependency, Waiting
from scheduler.core.states import Status
from tests.core.scheduler.boards import NOW, a_world, budget, held, sighting, waiting


def planned(
    *rows: Waiting,
    attempts: tuple[Attempt, ...] = (),
    agents: tuple[AgentRecord, ...] = (),
    unmet: dict[int, tuple[Dependency, ...]] | None = None,
    look: Sighting | None = None,
    **world: Any,
) -> list[c.Command]:
    board = BoardSnapshot(
        waiting=rows, attempts=attempts, unmet=unmet or {}, agents={each.agent: each for each in agents}
    )
    return list(dispatch(a_world(board, look, **world), NOW))


def running(agent: str, since: float = 300.0, number: int = 90, run: Run = Run.STARTED) -> Attempt:
    return held(number=number, claimant=agent, since=since, run=run)[1]


def started(found: list[c.Command]) -> list[str]:
    return [each.agent for each in found if isinstance(each, c.Start)]


def because(found: list[c.Command]) -> dict[int, tuple[str, float | None]]:
    return {
        each.number: (each.because, each.expected_start_at) for each in found if isinstance(each, c.Explain)
    }


def of_each(*agents: str | None) -> list[Waiting]:
    return [waiting(number, assignee=agent) for number, agent in enumerate(agents, 1)]


def test_a_task_of_a_free_agent_starts() -> None:
    assert planned(waiting()) == [c.Start("T-0001", "coder")]


def test_they_start_in_the_order_of_the_line_and_no_more_than_allowed() -> None:
    found = planned(*of_each("a", "b", "c"), rules=Rules(max_concurrent=2))
    assert started(found) == ["a", "b"]
    assert because(found) == {3: ("as many runs are under way as allowed", None)}


@pytest.mark.parametrize("run", [Run.INTENDED, Run.STARTED])
def test_runs_under_way_take_their_places_be_they_only_intended(run: Run) -> None:
    found = planned(*of_each("a"), attempts=(running("b", run=run),), rules=Rules(max_concurrent=1))
    assert because(found) == {1: ("as many runs are under way as allowed", NOW + 300)}


def test_a_claim_by_hand_takes_no_place() -> None:
    assert started(
        planned(*of_each("a"), attempts=(running("b", run=Run.NONE),), rules=Rules(max_concurrent=1))
    )


def test_no_more_runs_than_allowed_start_when_more_are_under_way() -> None:
    attempts = (running("x"), running("y", number=91))
    assert started(planned(*of_each("a"), attempts=attempts, rules=Rules(max_concurrent=1))) == []


def test_an_agent_does_one_task_at_a_time_and_the_others_stand_in_line() -> None:
    found = planned(*of_each("a", "a", "a"), agents=(AgentRecord("a", run_seconds=120),))
    assert started(found) == ["a"]
    assert because(found) == {2: ("in line for a", NOW + 120), 3: ("in line for a", NOW + 240)}


def test_whoever_works_is_expected_to_end_as_its_runs_do() -> None:
    found = planned(*of_each("a", "a"), attempts=(running("a", since=300),))
    assert because(found) == {1: ("a works on T-0090", NOW + 300), 2: ("in line for a", NOW + 900)}


def test_no_start_is_expected_in_the_past() -> None:
    found = planned(*of_each("a", "a"), attempts=(running("a", since=9000),))
    assert because(found) == {1: ("a works on T-0090", None), 2: ("in line for a", None)}
    found = planned(*of_each("a"), attempts=(running("b", since=9000),), rules=Rules(max_concurrent=1))
    assert because(found) == {1: ("as many runs are under way as allowed", None)}


def test_far_back_in_a_line_nobody_can_tell() -> None:
    found = because(planned(*of_each(*["a"] * (FORESEEN + 3))))
    assert found[FORESEEN + 1][1] is not None
    assert found[FORESEEN + 2] == ("in line for a", None)


# What keeps a task from starting


def test_what_waits_for_others_says_for_whom() -> None:
    unmet = {1: tuple(Dependency(number, Status.WORKING, None) for number in range(2, 9))}
    found = planned(waiting(has_dependencies=True), unmet=unmet)
    assert because(found) == {1: ("waits for T-0002, T-0003, T-0004, T-0005, T-0006", None)}
    found = planned(waiting(status=Status.BLOCKED, has_dependencies=True))
    assert because(found) == {1: ("waits to be freed", None)}


def test_nothing_starts_before_its_time() -> None:
    found = planned(waiting(not_before=NOW + 1))
    assert because(found) == {1: ("its time has not come yet", NOW + 1)}
    assert started(planned(waiting(not_before=NOW))) == ["coder"]


def test_a_task_of_nobodys_is_never_started() -> None:
    assert because(planned(*of_each(None))) == {1: ("nobody is assigned: an agent may claim it", None)}


def test_a_task_that_waits_for_itself_keeps_no_place_in_its_agents_line() -> None:
    found = planned(waiting(1, not_before=NOW + 60), waiting(2))
    assert started(found) == ["coder"]


@pytest.mark.parametrize("who", ["coder", EVERYBODY])
def test_whoever_is_paused_starts_nothing_until_then(who: str) -> None:
    reason = "all agents are paused" if who == EVERYBODY else "coder is paused"
    assert because(planned(waiting(), agents=(AgentRecord(who, NOW + 60),))) == {1: (reason, NOW + 60)}
    assert because(planned(waiting(), agents=(AgentRecord(who, inf),))) == {1: (reason, None)}
    assert started(planned(waiting(), agents=(AgentRecord(who, NOW),))) == ["coder"]


def test_nobody_interrupts_a_person() -> None:
    found = planned(waiting(), look=sighting(busy={"coder": NOW - 599}))
    assert because(found) == {1: ("a person talks with coder", NOW + 1)}
    assert started(planned(waiting(), look=sighting(busy={"coder": NOW - 600}))) == ["coder"]


def test_nothing_starts_without_a_gateway() -> None:
    found = planned(waiting(), look=Sighting(up=False))
    assert because(found) == {1: ("OpenClaw's gateway does not answer", None)}


def test_nothing_starts_while_the_budget_is_blocked_or_quiet() -> None:
    blocked = budget(blocked=Blocked("the key was rejected", NOW))
    assert because(planned(waiting(), capacity=blocked)) == {
        1: ("the model API is blocked: the key was rejected", None)
    }
    quiet = planned(waiting(), capacity=budget(quiet_until=NOW + 30))
    assert because(quiet) == {1: ("the model API asks for a quiet period", NOW + 30)}
    assert started(planned(waiting(), capacity=budget(quiet_until=NOW)))


def test_a_sidecar_that_is_away_holds_nobody_back() -> None:
    unknown = Capacity(known=False, blocked=Blocked("old news", None), quiet_until=NOW + 30)
    assert started(planned(*of_each("a", "b", "c"), capacity=unknown)) == ["a", "b", "c"]


# As many as the budget feeds


def test_only_as_many_start_as_the_budget_feeds() -> None:
    found = planned(
        *of_each("a", "b", "c"), capacity=budget(9.0), expected_rpm={"a": 5.0, "b": 4.0, "c": 0.5}
    )
    assert started(found) == ["a", "b"]
    assert because(found) == {3: ("the budget feeds no further run", NOW + 60)}


def test_nobody_small_passes_by_one_that_is_too_hungry() -> None:
    found = planned(
        *of_each("a", "b", "c"), capacity=budget(6.0), expected_rpm={"a": 4.0, "b": 4.0, "c": 1.0}
    )
    assert started(found) == ["a"]


def test_the_first_one_starts_however_hungry_if_there_is_anything() -> None:
    assert started(planned(*of_each("a", "b"), capacity=budget(1.0), expected_rpm={"a": 9.0})) == ["a"]
    assert started(planned(*of_each("a"), capacity=budget(0.5), expected_rpm={"a": 9.0})) == []
    hungry = planned(*of_each("a"), attempts=(running("b"),), capacity=budget(1.0), expected_rpm={"a": 9.0})
    assert started(hungry) == []


def test_what_has_just_begun_is_about_to_eat() -> None:
    for since, expected in ((59, []), (60, ["a"])):
        found = planned(
            *of_each("a"),
            attempts=(running("b", since=since),),
            capacity=budget(6.0),
            expected_rpm={"a": 4.0, "b": 4.0},
        )
        assert started(found) == expected


def test_when_nobody_ticks_nobody_can_tell_when_the_budget_is_looked_at_again() -> None:
    found = planned(*of_each("a"), capacity=budget(0.0), next_tick_at=inf)
    assert because(found) == {1: ("the budget feeds no further run", None)}


# Saying so


def test_a_reason_is_written_when_it_changes_and_a_time_when_it_moves() -> None:
    def said(why: str | None, at: float | None) -> bool:
        row = waiting(waiting_because=why, expected_start_at=at, not_before=NOW + 600)
        return bool(planned(row))

    reason = "its time has not come yet"
    assert said(None, None)
    assert said("in line for coder", NOW + 600)
    assert said(reason, None)
    assert said(reason, NOW + 631)
    assert not said(reason, NOW + 630)
    assert not said(reason, NOW + 600)


def test_a_time_that_nobody_can_tell_any_more_is_taken_away() -> None:
    reason = "nobody is assigned: an agent may claim it"
    assert planned(waiting(assignee=None, waiting_because=reason, expected_start_at=NOW)) != []
    assert planned(waiting(assignee=None, waiting_because=reason)) == []
