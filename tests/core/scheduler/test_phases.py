"""How a team's heartbeats are spread over the hour."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.heartbeats.phases import phases
from scheduler.heartbeats.schedule import Schedule
from scheduler.heartbeats.timetable import timetable
from scheduler.roster import read_roster

EXAMPLE = Path(__file__).resolve().parents[3] / "deploy/agents.example.yaml"
HOUR = 3600
DAY = 24 * HOUR


def every(*minutes: int) -> list[str]:
    return [f"*/{each} * * * *" for each in minutes]


def firings(expressions: Sequence[str], seconds: int = HOUR) -> list[float]:
    """All of them in so many seconds, in order."""
    found: list[float] = []
    for expression, phase in zip(expressions, phases(expressions), strict=True):
        found += firings_of(Schedule(expression, "UTC", phase), 50 * DAY, seconds)
    return sorted(found)


def firings_of(schedule: Schedule, begin: float, seconds: int) -> list[float]:
    found: list[float] = []
    due = schedule.next_after(begin)
    while due is not None and due <= begin + seconds:
        found.append(due)
        due = schedule.next_after(due)
    return found


def closest(times: Sequence[float]) -> float:
    around = [*times, times[0] + HOUR]
    return min(b - a for a, b in pairwise(around))


def test_on_a_whole_day_no_two_heartbeats_of_the_real_roster_fire_within_the_same_ten_seconds() -> None:
    table = timetable(read_roster(EXAMPLE))
    assert len(table) == 15
    times = sorted(due for each in table.values() for due in firings_of(each, 20_000 * DAY, DAY))
    assert len(times) == 24 * (5 * 6 + 10 * 4)
    assert min(b - a for a, b in pairwise(times)) >= 30


def test_one_agent_keeps_its_period_and_fires_off_the_minute() -> None:
    (phase,) = phases(every(10))
    assert 10 <= phase <= 50


@pytest.mark.parametrize(
    ("team", "apart"), [(every(*[10] * 10), 30), (every(*[10, 15] * 8), 20), (every(*[15] * 50), 10)]
)
def test_a_team_is_spread_over_all_of_its_periods(team: list[str], apart: int) -> None:
    assert closest(firings(team)) >= apart


def test_who_is_added_at_the_end_moves_nobody() -> None:
    team = every(*[10, 15, 7, 30, 1, 20, 59] * 6)
    everybody = phases(team)
    for count in range(len(team)):
        assert phases(team[:count]) == everybody[:count]


def test_expressions_that_keep_their_times_are_kept_clear_of_whenever_they_come() -> None:
    kept = ["0 9 * * *", "*/10 9-17 * * *", "* * * * *", "5-59/10 * * * *"]
    assert phases(kept) == (0, 0, 0, 0)
    for before in range(len(kept) + 1):
        found = phases([*kept[:before], *every(10, 15), *kept[before:]])
        for phase in found[before : before + 2]:
            assert 10 <= phase % 60 <= 50


@given(st.lists(st.integers(1, 70), min_size=1, max_size=40))
def test_any_period_has_a_phase_within_it_clear_of_full_minutes(minutes: list[int]) -> None:
    for each, phase in zip(minutes, phases(every(*minutes)), strict=True):
        assert 0 < phase < 60 * min(each, 60)
        assert 10 <= phase % 60 <= 54


def test_the_next_beside_a_period_that_does_not_divide_the_hour_is_apart_from_it() -> None:
    assert closest(firings(every(7, 25, 45, 59, 10, 15))) >= 15


def test_a_thousand_are_spread_evenly_and_in_a_moment() -> None:
    team = every(*[10, 15] * 500)
    began = process_time()
    found = phases(team)
    assert process_time() - began < 2, "0.2 s were measured on an ordinary machine"
    assert found == phases(team)
    seconds: dict[float, int] = {}
    for each in firings(team):
        seconds[each] = seconds.get(each, 0) + 1
    assert max(seconds.values()) <= 5, "5,000 in an hour, of which full minutes are kept free"
