"""When a report begins, when the next is due, and how its times are written."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from scheduler.report.times import Clock, last_minute, next_minute, parse_since, since_the_last

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> float:
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()


NOW = at("2026-11-20T15:00:00+08:00")


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("14:30", "2026-11-20T14:30:00+08:00"),
        ("15:00", "2026-11-20T15:00:00+08:00"),
        ("22:00", "2026-11-19T22:00:00+08:00"),
        ("00:00", "2026-11-20T00:00:00+08:00"),
        ("12h", "2026-11-20T03:00:00+08:00"),
        ("90m", "2026-11-20T13:30:00+08:00"),
        (" 1.5d ", "2026-11-19T03:00:00+08:00"),
        ("2026-11-19T22:00:00Z", "2026-11-19T22:00:00+00:00"),
    ],
)
def test_since_is_a_time_of_day_in_the_zone_a_duration_or_a_time(text: str, since: str) -> None:
    assert parse_since(text, NOW, SHANGHAI) == at(since)


@pytest.mark.parametrize(
    "text",
    ["", "25:00", "12", "0h", "-1h", "99999999d", "yesterday", "2026-11-21T00:00:00Z", "12:00\n13:00", "٣h"],
)
def test_anything_else_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z"):
        parse_since(text, NOW, SHANGHAI)


def test_without_a_time_the_report_begins_at_the_last_one_or_a_day_ago() -> None:
    assert since_the_last(NOW, None, SHANGHAI) == NOW - 86_400
    assert since_the_last(NOW, 8 * 60 + 30, SHANGHAI) == at("2026-11-20T08:30:00+08:00")
    assert since_the_last(NOW, 22 * 60, SHANGHAI) == at("2026-11-19T22:00:00+08:00")


@pytest.mark.parametrize(
    ("now", "minute", "due"),
    [
        # The clock goes from 02:00 to 03:00: half past two is when it would have been, half past three.
        ("2026-03-29T01:59:00+01:00", 150, "2026-03-29T03:30:00+02:00"),
        # From 03:00 back to 02:00: half past two comes twice, and counts the first time.
        ("2026-10-25T02:29:00+02:00", 150, "2026-10-25T02:30:00+02:00"),
        ("2026-10-25T02:30:00+02:00", 150, "2026-10-26T02:30:00+01:00"),
        ("2026-10-25T02:30:00+01:00", 150, "2026-10-26T02:30:00+01:00"),
        # A day of 25 hours.
        ("2026-10-24T22:00:00+02:00", 22 * 60, "2026-10-25T22:00:00+01:00"),
    ],
)
def test_a_report_is_due_once_on_each_day_also_when_the_clocks_change(
    now: str, minute: int, due: str
) -> None:
    assert next_minute(at(now), minute, BERLIN) == at(due)
    assert last_minute(at(due), minute, BERLIN) == at(due)
    assert last_minute(at(due) - 1, minute, BERLIN) <= at(now)


def test_times_are_written_in_the_zone_and_with_the_date_where_it_is_another() -> None:
    clock = Clock(SHANGHAI, NOW)
    assert clock.zone == "Asia/Shanghai"
    assert clock.at(NOW - 60) == "14:59"
    assert clock.at(NOW - 86_400) == "2026-11-19 15:00"
    assert clock.on(NOW) == "2026-11-20 15:00"
    assert clock.ago(NOW - 60) == "60 s ago"
    assert clock.ago(NOW + 60) == "0 s ago"
