"""Until when news waits that is not urgent."""

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.notifications.quiet import held_until, quiet_hours
from scheduler.roster import QuietHours, Roster
from tests.core.scheduler.test_letters import a_roster

NIGHT = QuietHours(22 * 60, 8 * 60)
SHANGHAI = "Asia/Shanghai"
BERLIN = "Europe/Berlin"


def roster(hours: QuietHours | None = NIGHT, report: int | None = None, zone: str = SHANGHAI) -> Roster:
    return replace(a_roster(), quiet_hours=hours, report_at_minute=report, timezone=zone)


def moment(text: str, zone: str = SHANGHAI, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def released(text: str, given: Roster, fold: int = 0) -> str:
    until = held_until(given, moment(text, given.timezone, fold))
    return f"{datetime.fromtimestamp(until, ZoneInfo(given.timezone)):%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-03-01 21:59", "2026-03-01 21:59"),
        ("2026-03-01 22:00", "2026-03-02 08:00"),
        ("2026-03-01 23:59", "2026-03-02 08:00"),
        ("2026-03-02 00:00", "2026-03-02 08:00"),
        ("2026-03-02 07:59", "2026-03-02 08:00"),
        ("2026-03-02 08:00", "2026-03-02 08:00"),
    ],
)
def test_news_of_the_night_waits_for_the_morning(at: str, until: str) -> None:
    assert released(at, roster()) == until


def test_quiet_hours_need_not_pass_midnight() -> None:
    noon = roster(QuietHours(12 * 60, 14 * 60))
    assert released("2026-03-01 12:30", noon) == "2026-03-01 14:00"
    assert released("2026-03-01 11:59", noon) == "2026-03-01 11:59"
    assert released("2026-03-01 14:00", noon) == "2026-03-01 14:00"


def test_without_quiet_hours_nothing_waits() -> None:
    assert released("2026-03-01 23:00", roster(None, report=8 * 60)) == "2026-03-01 23:00"


def test_a_report_that_comes_soon_after_the_night_is_waited_for() -> None:
    assert released("2026-03-01 23:00", roster(report=9 * 60)) == "2026-03-02 09:00"
    assert released("2026-03-02 08:30", roster(report=9 * 60)) == "2026-03-02 09:00"
    assert released("2026-03-01 23:00", roster(report=8 * 60)) == "2026-03-02 08:00"


@pytest.mark.parametrize("report", [10 * 60 + 1, 7 * 60, 22 * 60, None])
def test_no_other_report_is_waited_for(report: int | None) -> None:
    assert quiet_hours(roster(report=report)) == NIGHT


def test_a_report_in_the_next_quiet_hours_is_not_waited_for() -> None:
    nearly_always = QuietHours(9 * 60, 8 * 60)
    assert quiet_hours(roster(nearly_always, report=9 * 60)) == nearly_always
    assert quiet_hours(roster(nearly_always, report=8 * 60 + 59)) == QuietHours(9 * 60, 8 * 60 + 59)


def test_times_are_those_of_the_day_on_which_clocks_are_changed() -> None:
    berlin = roster(zone=BERLIN)
    assert released("2026-03-28 23:00", berlin) == "2026-03-29 08:00"  # nine hours later
    assert released("2026-10-24 23:00", berlin) == "2026-10-25 08:00"  # eleven


def test_quiet_hours_that_end_in_the_hour_that_comes_twice_do_not_last_for_a_day() -> None:
    berlin = roster(QuietHours(22 * 60, 2 * 60 + 30), zone=BERLIN)
    assert released("2026-10-25 02:10", berlin) == "2026-10-25 02:30"
    assert released("2026-10-25 02:10", berlin, fold=1) == "2026-10-25 02:30"
    assert held_until(berlin, moment("2026-10-25 02:10", BERLIN, fold=1)) == moment(
        "2026-10-25 02:30", BERLIN, fold=1
    )


def test_quiet_hours_that_end_in_the_hour_that_is_left_out_end() -> None:
    berlin = roster(QuietHours(22 * 60, 2 * 60 + 30), zone=BERLIN)
    until = held_until(berlin, moment("2026-03-29 01:59", BERLIN))
    assert until - moment("2026-03-29 01:59", BERLIN) <= 3600


@given(
    st.floats(min_value=1.7e9, max_value=1.9e9),
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.none() | st.integers(0, 1439),
    st.sampled_from([SHANGHAI, BERLIN, "America/New_York", "UTC"]),
)
def test_nothing_waits_for_longer_than_a_day_and_what_was_let_go_is_not_held_again(
    at: float, start: int, end: int, report: int | None, zone: str
) -> None:
    if start == end:
        return
    given_roster = roster(QuietHours(start, end), report, zone)
    until = held_until(given_roster, at)
    assert at <= until <= at + 25 * 3600
