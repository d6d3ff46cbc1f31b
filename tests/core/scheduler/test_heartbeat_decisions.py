"""What becomes of heartbeats: in time, missed, and with a clock that does not tell the truth."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.beats import Kept, Planned
from scheduler.heartbeats.decisions import (
    MOST_AT_ONCE,
    ON_TIME_SECONDS,
    Fire,
    Plan,
    decide,
    following,
)
from scheduler.heartbeats.schedule import Schedule
from scheduler.roster import Missed

EVERY_TEN = Schedule("*/10 * * * *", "UTC")
PERIOD = 600.0
START = 1_800_000_000.0
"""A full hour."""


@dataclass
class Kept4Ever:
    """A board and a scheduler that fires at once, on a clock that a test sets."""

    policy: Missed = "run_once"
    schedule: Schedule = EVERY_TEN
    kept: Kept = field(default_factory=Kept)
    fired: list[tuple[float, float]] = field(default_factory=list)
    """due, and when"""
    missed: int = 0

    def look(self, now: float) -> int:
        """Everything that is to be done now; how many heartbeats fired."""
        begin = now if self.kept.planned is None else min(now, self.due)
        self.kept = replace(self.kept, used=frozenset(due for due, _ in self.fired if due > begin))
        before = len(self.fired)
        while found := decide("coo", self.kept, self.schedule, self.policy, now):
            self.missed += found.missed
            planned = found.planned
            if isinstance(found, Fire):
                assert planned == self.kept.planned
                self.fired.append((found.planned.due_at, now))
                planned = following(found.planned, self.kept, self.schedule, self.policy, now)
            self.kept = replace(self.kept, planned=planned)
            assert len(self.fired) - before <= MOST_AT_ONCE, "it does not come to rest"
        return len(self.fired) - before

    @property
    def due(self) -> float:
        assert self.kept.planned is not None
        return self.kept.planned.due_at


@pytest.fixture
def team() -> Callable[[Missed], Kept4Ever]:
    def make(policy: Missed) -> Kept4Ever:
        made = Kept4Ever(policy)
        assert made.look(START + 1) == 0, "the first one is planned, not fired"
        assert made.due == START + PERIOD
        return made

    return make


Team = Callable[[Missed], Kept4Ever]
POLICIES: tuple[Missed, ...] = ("skip", "run_once", "run_all")


@pytest.mark.parametrize("policy", POLICIES)
def test_one_that_is_due_fires_once_and_the_next_is_planned(team: Team, policy: Missed) -> None:
    agent = team(policy)
    assert agent.look(agent.due - 0.001) == 0
    assert agent.look(agent.due) == 1
    assert agent.look(agent.due - PERIOD + 1) == 0
    assert agent.fired == [(START + PERIOD, START + PERIOD)]
    assert agent.due == START + 2 * PERIOD


@pytest.mark.parametrize("policy", POLICIES)
def test_a_little_late_is_not_missed(team: Team, policy: Missed) -> None:
    agent = team(policy)
    assert agent.look(agent.due + ON_TIME_SECONDS) == 1
    assert agent.missed == 0


def test_what_was_missed_is_left_out_by_skip(team: Team) -> None:
    agent = team("skip")
    assert agent.look(START + 3600) == 0
    assert agent.due == START + 3600 + PERIOD
    assert agent.missed == 6


def test_what_was_missed_runs_once_by_run_once(team: Team) -> None:
    agent = team("run_once")
    assert agent.look(START + 3600) == 1
    assert agent.fired == [(START + PERIOD, START + 3600)]
    assert agent.missed == 5
    assert agent.due == START + 3600 + PERIOD


def test_what_was_missed_runs_all_by_run_all(team: Team) -> None:
    agent = team("run_all")
    assert agent.look(START + 3600) == 6
    assert [due for due, _ in agent.fired] == [START + n * PERIOD for n in range(1, 7)]
    assert agent.due == START + 3600 + PERIOD


@pytest.mark.parametrize(("policy", "fired"), [("skip", 0), ("run_once", 1), ("run_all", MOST_AT_ONCE)])
def test_after_a_year_it_is_bounded_and_in_step(team: Team, policy: Missed, fired: int) -> None:
    agent = team(policy)
    now = START + 366 * 86_400 + 60
    assert agent.look(now) == fired
    assert now < agent.due <= now + PERIOD
    assert agent.missed in {0, MOST_AT_ONCE}
    if policy == "run_all":
        assert [due for due, _ in agent.fired][-1] == agent.due - PERIOD


def test_what_came_due_while_one_lasted_is_over_with_it() -> None:
    kept = Kept(Planned("coo", START, EVERY_TEN.rule))
    assert kept.planned
    late = START + 2 * PERIOD + 5
    assert following(kept.planned, kept, EVERY_TEN, "run_once", late) == replace(
        kept.planned, due_at=START + 3 * PERIOD
    )
    assert following(kept.planned, kept, EVERY_TEN, "run_all", late) == replace(
        kept.planned, due_at=START + PERIOD
    )


def test_an_unchanged_rule_keeps_its_due_time_whatever_the_phase() -> None:
    kept = Kept(Planned("coo", START + 130, EVERY_TEN.rule))
    assert decide("coo", kept, replace(EVERY_TEN, phase_seconds=590), "run_once", START) is None


@pytest.mark.parametrize("changed", [Schedule("0 9 * * *", "UTC"), Schedule("*/10 * * * *", "Asia/Shanghai")])
def test_a_changed_rule_is_planned_anew(changed: Schedule) -> None:
    kept = Kept(Planned("coo", START + 130, EVERY_TEN.rule))
    plan = decide("coo", kept, changed, "run_once", START)
    assert isinstance(plan, Plan)
    assert plan.planned == Planned("coo", changed.next_after(START) or 0, changed.rule)


def test_a_rule_that_is_never_due_plans_nothing() -> None:
    never = Schedule("0 0 */15 2 MON#5", "UTC")
    assert decide("coo", Kept(), never, "run_once", START) is None
    plan = decide("coo", Kept(Planned("coo", START, EVERY_TEN.rule)), never, "run_once", START)
    assert plan == Plan(None, "its rule has changed")


def test_one_that_is_due_for_the_last_time_in_fifty_years_waits_for_it() -> None:
    class Last(Schedule):
        def next_after(self, after: float) -> float | None:
            return START if after < START else None

    last = Last(EVERY_TEN.expression, EVERY_TEN.zone)
    kept = Kept(Planned("coo", START, last.rule))
    assert decide("coo", kept, last, "run_once", START - PERIOD) is None
    assert kept.planned
    assert following(kept.planned, kept, last, "run_once", START) is None


# -- a clock that is set back ------------------------------------------------------------------------------


def test_a_small_step_back_after_a_heartbeat_fires_nothing_twice(team: Team) -> None:
    agent = team("run_once")
    assert agent.look(START + PERIOD) == 1
    assert agent.look(START + PERIOD - 5) == 0
    assert agent.look(START + PERIOD) == 0
    assert agent.due == START + 2 * PERIOD


def test_a_step_back_of_an_hour_is_no_hour_of_silence_and_nothing_is_fired_twice(team: Team) -> None:
    agent = team("run_once")
    for number in range(1, 10):
        assert agent.look(START + number * PERIOD) == 1
    now = START + 9 * PERIOD - 3600 + 1
    for _ in range(7):
        agent.look(now)
        assert now < agent.due <= now + PERIOD + 1
        now = agent.due
        assert agent.look(now) == 1
    assert agent.due == START + 11 * PERIOD
    assert len(agent.fired) == len(dict(agent.fired)) == 16


SECONDS = st.sampled_from([1.0, 5.0, 60.0, 599.0, 600.0, 5000.0])
STEPS = st.sampled_from([0.0, -1.5, -600.0, -3600.0, 3600.0]) | st.integers(-20_000, 20_000).map(float)
AT_MOST = 2 * PERIOD + 10
"""A small step back costs a period; every five seconds somebody looks; names in use cost seconds."""


@given(st.sampled_from(POLICIES), st.lists(st.tuples(SECONDS, STEPS), max_size=12))
def test_whatever_the_clock_does_nothing_fires_twice_and_nobody_is_silent_for_long(
    policy: Missed, story: list[tuple[float, float]]
) -> None:
    agent, now = Kept4Ever(policy), START + 1
    for seconds, step in [*story, (5000.0, 0.0)]:
        silent, end = 0.0, now + seconds
        while now < end:
            if agent.look(now):
                silent = 0.0
            pause = min(max(5.0, agent.due - now), end - now)
            silent, now = silent + pause, now + pause
            assert silent <= AT_MOST
        now += step
    names = [due for due, _ in agent.fired]
    assert len(names) == len(set(names))


@given(st.floats(601, 50_000), st.floats(0, 599))
def test_after_one_step_back_of_any_length_the_next_is_within_two_periods(back: float, since: float) -> None:
    agent = Kept4Ever()
    agent.look(START + 1)
    for number in range(1, 101):
        agent.look(START + number * PERIOD)
    now = START + 100 * PERIOD + since - back
    agent.look(now)
    assert agent.due - now <= 2 * PERIOD
