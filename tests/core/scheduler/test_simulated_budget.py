"""The plain model of the budget, and of the agents that spend it."""

from heapq import heappop, heappush
from random import Random

import pytest

from scheduler.core.records import Attempt, Run
from scheduler.core.sighting import RunState
from scheduler.simulate.budget import Band, Budget
from scheduler.simulate.figures import Spread
from scheduler.simulate.profiles import USUAL, Profile, profiles
from scheduler.simulate.team import PlayedTeam


def flooded(rpm: float, seconds: float, *, urgent_every: float = 20.0) -> tuple[list[float], list[float]]:
    """When requests went, and what urgent ones waited, with normal ones always in line."""
    budget, sends, urgent = Budget(rpm), list[float](), list[float]()
    events: list[tuple[float, int]] = []
    for number in range(50):
        budget.ask(f"n{number}", Band.NORMAL, 0.0)
    for number in range(int(seconds / urgent_every)):
        heappush(events, ((number + 0.5) * urgent_every, number))
    now = 0.0
    while now < seconds:
        gone, again = budget.grant(now)
        for sent in gone:
            sends.append(now)
            if sent.band is Band.URGENT:
                urgent.append(sent.waited)
            else:
                budget.ask(sent.run, Band.NORMAL, now)
        if gone:
            continue
        coming = events[0][0] if events else seconds
        assert again is not None
        assert again > now
        now = min(coming, again)
        if events and now == coming:
            heappop(events)
            budget.ask("u", Band.URGENT, now)
    return sends, urgent


@pytest.mark.parametrize("rpm", [1, 2, 7, 40, 100])
def test_no_sixty_seconds_ever_see_more_than_the_rate(rpm: float) -> None:
    sends, _ = flooded(rpm, 1_200)
    assert all(later - sends[index] >= 60 for index, later in enumerate(sends[int(rpm) :]))


def test_with_a_line_nearly_the_whole_rate_is_used() -> None:
    sends, _ = flooded(40, 3_600)
    assert len(sends) > 0.96 * 40 * 60


def test_an_urgent_request_waits_for_seconds_while_others_wait_for_minutes() -> None:
    _, urgent = flooded(40, 3_600)
    assert Spread.of(urgent).p95 < 5  # type: ignore[operator]  # there are some
    assert max(urgent[5:]) < 10


def test_what_is_spare_is_the_rate_less_what_was_sent_and_what_waits() -> None:
    budget = Budget(10)
    for number in range(12):
        budget.ask(f"r{number}", Band.NORMAL, 0.0)
    budget.grant(0.0)
    sent, limit = budget.window(0.0)
    assert limit == 10
    assert budget.spare_rpm(0.0) == 0.0
    assert sent + budget.queued() == 12
    for number in range(12):
        budget.cancel(f"r{number}")
    assert budget.queued() == 0
    assert budget.spare_rpm(59.0) == 10 - sent
    assert budget.spare_rpm(60.0) == 10.0


def test_bands_are_those_that_openclaw_has_providers_for() -> None:
    assert [Band.of(each) for each in ("urgent", "high", "normal", "low")] == [
        Band.URGENT,
        Band.HIGH,
        Band.NORMAL,
        Band.NORMAL,
    ]


def test_a_run_makes_its_requests_one_after_the_other_and_ends() -> None:
    team = PlayedTeam(Budget(40), lambda _: Profile(requests=4, seconds_per_request=10), Random(1))
    team.begin("T-0001.1", "coo", "s", band=Band.NORMAL, at=100.0, fixed=3)
    team.begin("T-0001.1", "coo", "s", band=Band.NORMAL, at=101.0, fixed=30)  # nothing starts twice
    team.advance(99.0)
    assert team.seen("T-0001.1").turns == 0
    assert team.seen("T-0009.1").state is RunState.ABSENT
    team.advance(104.0)
    (activity,) = team.activities()
    assert (activity.agent, activity.requests, activity.in_flight, activity.queued) == ("coo", 1, 1, 0)
    team.advance(200.0)
    seen = team.seen("T-0001.1")
    assert (seen.state, seen.turns, bool(seen.answer)) == (RunState.OK, 3, True)
    assert team.budget.sent == 3
    assert team.runs["T-0001.1"].first_sent_at == 100.0


def test_a_run_that_is_stopped_asks_for_nothing_more() -> None:
    team = PlayedTeam(Budget(1), lambda _: USUAL, Random(1))
    for number in range(3):
        team.begin(f"T-000{number}.1", "coo", f"s{number}", band=Band.NORMAL, at=0.0)
    team.advance(1.0)
    for number in range(3):
        team.stop(f"s{number}")
    team.stop("s1")
    team.advance(10_000.0)
    assert team.budget.sent == 1
    assert team.budget.queued() == 0
    assert team.seen("T-0001.1").state is RunState.ABORTED


def test_as_many_runs_fail_as_have_failed_before() -> None:
    team = PlayedTeam(Budget(10_000), lambda _: Profile(1, 1, failing_share=0.5), Random(1))
    for number in range(400):
        team.begin(f"T-{number:04d}.1", "coo", f"s{number}", band=Band.NORMAL, at=float(number))
    team.advance(1_000.0)
    failed = sum(team.seen(run).state is RunState.FAILED for run in team.runs)
    assert 150 < failed < 250


def ended(number: int, *, end: str = "ok", turns: int = 10, seconds: float = 100.0) -> Attempt:
    return Attempt(
        f"T-{number:04d}",
        1,
        "coo",
        0.0,
        run=Run.ENDED,
        started_at=0.0,
        ended_at=seconds,
        end=end,
        turns=turns,
    )


def test_a_profile_is_what_ended_runs_were_on_average() -> None:
    failed = ended(4, end="failed", turns=30, seconds=300)
    known = profiles([ended(1), ended(2, turns=20, seconds=200), ended(3, turns=20, seconds=200), failed])
    assert known["coo"] == Profile(20.0, 10.0, 0.25, recorded=True)


def test_too_few_runs_or_runs_that_somebody_ended_are_no_record() -> None:
    assert profiles([ended(1), ended(2)]) == {}
    assert profiles([ended(1), ended(2), ended(3, end="stopped"), ended(4, turns=0)]) == {}


def test_a_spread_names_figures_that_occurred() -> None:
    assert Spread.of([]) == Spread(0)
    assert Spread.of([3.0]) == Spread(1, 3.0, 3.0, 3.0)
    assert Spread.of(float(each) for each in range(1, 101)) == Spread(100, 50.0, 95.0, 100.0)
