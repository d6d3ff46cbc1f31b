"""When cron expressions are due, above all where the clocks change."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.heartbeats.schedule import Schedule

ZONES = (
    "Asia/Shanghai",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "UTC",
    "Pacific/Apia",
    "Africa/Casablanca",
)
DAY = 86_400


def unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def due(schedule: Schedule, after: float, count: int) -> list[float]:
    found = []
    for _ in range(count):
        following = schedule.next_after(after)
        assert following is not None
        found.append(after := following)
    return found


def local(schedule: Schedule, after: str, count: int) -> list[str]:
    """Due times as the clocks of the zone show them."""
    zone = ZoneInfo(schedule.zone)
    return [
        f"{datetime.fromtimestamp(each, zone):%m-%d %H:%M%z}" for each in due(schedule, unix(after), count)
    ]


def test_it_is_strictly_after() -> None:
    schedule = Schedule("*/10 * * * *", "UTC")
    assert schedule.next_after(599.999) == 600.0
    assert schedule.next_after(600.0) == 1200.0
    assert schedule.next_after(600.001) == 1200.0


def test_a_phase_comes_on_top_of_every_due_time() -> None:
    schedule = Schedule("*/10 * * * *", "UTC", 590)
    assert due(schedule, 0.0, 3) == [590.0, 1190.0, 1790.0]
    assert schedule.next_after(590.0) == 1190.0
    assert schedule.next_after(589.5) == 590.0


def test_a_period_that_does_not_divide_the_hour_begins_anew_with_each() -> None:
    schedule = Schedule("*/25 * * * *", "UTC", 1200)
    minutes = [each / 60 for each in due(schedule, 3600.0, 5)]
    assert minutes == [70.0, 80.0, 105.0, 130.0, 140.0]


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        pytest.param(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00Z",
            ["03-29 03:00+0200", "03-30 02:30+0200"],
            id="a time of day that is skipped is due when the hour is over",
        ),
        pytest.param(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00Z",
            ["10-25 02:30+0200", "10-26 02:30+0100"],
            id="a time of day that comes twice is due the first time",
        ),
        pytest.param(
            "50 2 * * *",
            "Europe/Berlin",
            "2026-10-25T01:40Z",
            ["10-26 02:50+0100"],
            id="and not the second time",
        ),
        pytest.param(
            "15,45 2 * * *",
            "America/New_York",
            "2026-03-07T20:00Z",
            ["03-08 03:00-0400", "03-09 02:15-0400"],
            id="two times of one skipped hour are one",
        ),
        pytest.param(
            "*/30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00Z",
            ["03-30 02:00+0200", "03-30 02:30+0200"],
            id="every so often skips what the clock skips",
        ),
        pytest.param(
            "*/30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00Z",
            ["10-25 02:00+0200", "10-25 02:30+0200", "10-25 02:00+0100", "10-25 02:30+0100"],
            id="every so often comes twice with the hour",
        ),
        pytest.param(
            "*/10 2 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T12:00Z",
            ["04-05 02:00+1030", "04-05 02:10+1030", "04-05 02:20+1030"],
            id="nothing is lost where half an hour comes twice",
        ),
        pytest.param(
            "45 * * * *",
            "Australia/Lord_Howe",
            "2026-04-04T14:00Z",
            ["04-05 01:45+1100", "04-05 01:45+1030", "04-05 02:45+1030"],
            id="and it comes twice with it",
        ),
        pytest.param(
            "*/20 * * * *",
            "Asia/Kolkata",
            "2026-04-04T14:00Z",
            ["04-04 19:40+0530", "04-04 20:00+0530"],
            id="hours begin when they do there",
        ),
        pytest.param(
            "0 9 * * *",
            "Pacific/Apia",
            "2011-12-29T12:00-10:00",
            ["12-31 00:00+1400", "12-31 09:00+1400"],
            id="a whole day that is skipped is made up for once",
        ),
    ],
)
def test_where_the_clocks_change(expression: str, zone: str, after: str, expected: Sequence[str]) -> None:
    assert local(Schedule(expression, zone), after, len(expected)) == list(expected)


@pytest.mark.parametrize("expression", ["0 0 */15 2 MON#5", "* * */15 2 MON#5"])
def test_a_date_that_never_comes_is_never_due(expression: str) -> None:
    schedule = Schedule(expression, "Europe/Berlin")
    assert schedule.next_after(1.8e9) is None
    assert schedule.newest(1.7e9, 1.8e9, 50) == ()


@pytest.mark.parametrize("expression", ["0 0 29 2 *", "* * 29 2 *"])
def test_a_rare_date_is_found_across_all_changes_between(expression: str) -> None:
    assert local(Schedule(expression, "Europe/Berlin"), "2096-03-01T00:00Z", 1) == ["02-29 00:00+0100"]


def test_of_many_due_times_the_newest_are_known_without_walking_through_all() -> None:
    schedule = Schedule("*/10 * * * *", "Asia/Shanghai", 30)
    asked = 0

    class Counting(Schedule):
        def next_after(self, after: float) -> float | None:
            nonlocal asked
            asked += 1
            return super().next_after(after)

    now = unix("2026-11-20T12:00Z")
    newest = Counting(schedule.expression, schedule.zone, 30).newest(now - 5 * 365 * DAY, now, 50)
    assert len(newest) == 50
    assert newest[-1] == now - 570
    assert {round(b - a) for a, b in pairwise(newest)} == {600}
    assert asked < 500


def test_all_of_few_due_times_are_known() -> None:
    schedule = Schedule("0 9 * * *", "UTC")
    begin = unix("2026-11-01T09:00Z")
    assert schedule.newest(begin, begin + 3 * DAY, 50) == tuple(begin + n * DAY for n in (1, 2, 3))
    assert schedule.newest(begin, begin + DAY - 1, 50) == ()


# -- against a clock that is walked through minute by minute -----------------------------------------------


def clocks(zone: ZoneInfo, begin: int, minutes: int) -> Iterator[tuple[int, datetime]]:
    for number in range(minutes):
        moment = begin + 60 * number
        yield moment, datetime.fromtimestamp(moment, zone).replace(tzinfo=UTC)


def walked(minute: str, hour: str, zone: ZoneInfo, begin: int, minutes: int) -> list[int]:
    """What is due from `begin` on, by the rules in words."""
    shown = list(clocks(zone, begin - 2 * DAY, minutes + 2 * DAY // 60))
    matching = [each for each in shown if in_field(each[1].minute, minute) and in_field(each[1].hour, hour)]
    if minute.startswith("*") or hour.startswith("*"):
        found = {moment for moment, _ in matching}
    else:
        wanted = {
            each
            for _, each in clocks(ZoneInfo("UTC"), begin - 3 * DAY, minutes + 6 * DAY // 60)
            if in_field(each.minute, minute) and in_field(each.hour, hour)
        }
        found = set()
        latest = shown[0][1]
        for moment, now in shown[1:]:
            if any(latest < each <= now for each in wanted):
                found.add(moment)
            latest = max(latest, now)
    return sorted(each for each in found if each >= begin)


def in_field(value: int, field: str) -> bool:
    if field.startswith("*"):
        return value % int(field[2:] or 1) == 0
    return str(value) in field.split(",")


STEPS = st.sampled_from(["*", "*/7", "*/10", "*/15", "*/20", "*/45"])
MINUTES = STEPS | st.lists(st.integers(0, 59), min_size=1, max_size=2).map(
    lambda all_: ",".join(map(str, all_))
)
HOURS = st.sampled_from(["*", "*/2", "*/3", "0", "1", "2", "3", "1,2", "23"])
CHANGES = [
    unix(day)
    for day in (
        "2026-03-08T07:00Z",  # New York
        "2026-03-29T01:00Z",  # Berlin
        "2026-04-04T15:00Z",  # Lord Howe
        "2026-10-03T15:30Z",
        "2026-10-25T01:00Z",
        "2026-11-01T06:00Z",
        "2026-02-15T02:00Z",  # Casablanca, and back after Ramadan
        "2026-03-22T02:00Z",
        "2026-06-15T12:00Z",  # nobody
    )
]


@given(MINUTES, HOURS, st.sampled_from(ZONES), st.sampled_from(CHANGES), st.integers(-180, 60))
def test_it_is_what_a_clock_shows_that_is_walked_through(
    minute: str, hour: str, zone: str, change: float, shift: int
) -> None:
    begin, minutes = int(change) + 60 * shift, 300
    expected = walked(minute, hour, ZoneInfo(zone), begin, minutes)
    schedule = Schedule(f"{minute} {hour} * * *", zone)
    found, after = [], float(begin - 1)
    while (following := schedule.next_after(after)) is not None and following < begin + 60 * minutes:
        found.append(int(following))
        after = following
    assert found == expected


@given(st.sampled_from(ZONES), st.integers(0, 366 * DAY), st.sampled_from(["*/10", "*/15", "*/7"]))
def test_over_a_year_no_stretch_is_longer_than_a_period(zone: str, begin: int, minute: str) -> None:
    begin += int(unix("2026-01-01T00:00Z"))
    schedule = Schedule(f"{minute} * * * *", zone, 25)
    times = due(schedule, float(begin), 200)
    period = 60 * int(minute[2:])
    assert all(0 < b - a <= period for a, b in pairwise(times))
    # The same whenever one asks: it is not the last due time that the next follows from.
    assert schedule.next_after((times[10] + times[11]) / 2) == times[11]
