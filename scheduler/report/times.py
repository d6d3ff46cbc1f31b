"""Times of a report: how they are written for people, what `--since` means, when the next report is due.

The rule: a time of day is one of the roster's zone, also on the days on which its clocks change: one that is
skipped there is due an hour later by the clock, one that is there twice is due the first time.
"""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from scheduler.core.durations import in_words, parse_duration
from scheduler.wire import parse_time

DAY_SECONDS: Final = 86_400.0
LONGEST_SECONDS: Final = 3660 * DAY_SECONDS
_TIME_OF_DAY: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


class Clock:
    """Writes times down as people in one zone read them, seen from one moment. Stateless."""

    def __init__(self, zone: ZoneInfo, now: float) -> None:
        self._zone, self._now = zone, now
        self._today = datetime.fromtimestamp(now, zone).date()

    @property
    def zone(self) -> str:
        """Its name."""
        return self._zone.key

    def at(self, moment: float) -> str:
        """`13:20`; with the date on another day."""
        then = datetime.fromtimestamp(moment, self._zone)
        return f"{then:%H:%M}" if then.date() == self._today else f"{then:%Y-%m-%d %H:%M}"

    def on(self, moment: float) -> str:
        """`2026-03-01 13:20`."""
        return f"{datetime.fromtimestamp(moment, self._zone):%Y-%m-%d %H:%M}"

    def ago(self, moment: float) -> str:
        """`3 min ago`. A moment in the future is told as now: two clocks never agree."""
        return f"{in_words(self._now - moment)} ago"


def minute_on(day: date, minute: int, zone: ZoneInfo) -> float:
    """That minute of that day, in Unix seconds."""
    at = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=zone)
    return at.astimezone(UTC).timestamp()


def last_minute(now: float, minute: int, zone: ZoneInfo) -> float:
    """The last time that it was that minute of a day."""
    today = datetime.fromtimestamp(now, zone).date()
    at = minute_on(today, minute, zone)
    return at if at <= now else minute_on(today - timedelta(days=1), minute, zone)


def next_minute(now: float, minute: int, zone: ZoneInfo) -> float:
    """The next time that it will be."""
    today = datetime.fromtimestamp(now, zone).date()
    at = minute_on(today, minute, zone)
    return at if at > now else minute_on(today + timedelta(days=1), minute, zone)


def parse_since(text: str, now: float, zone: ZoneInfo) -> float:
    """`22:00` (the last such moment), `12h`, or an RFC 3339 time, in Unix seconds.

    Raises ValueError, in words for the operator.
    """
    text = text.strip()
    if match := _TIME_OF_DAY.fullmatch(text):
        return last_minute(now, int(match[1]) * 60 + int(match[2]), zone)
    if (seconds := parse_duration(text)) is not None:
        if not 0 < seconds <= LONGEST_SECONDS:
            raise ValueError(f"{text!r} is no time that a report covers: up to ten years")
        return max(0.0, now - seconds)
    try:
        since = parse_time(text)
    except ValueError:
        raise ValueError(
            f"{text[:80]!r} is none of a time of day such as 22:00, a duration such as 12h, "
            "a time such as 2026-03-01T22:00:00Z"
        ) from None
    if since > now:
        raise ValueError(f"{text!r} has not come yet")
    return since


def since_the_last(now: float, report_at_minute: int | None, zone: ZoneInfo) -> float:
    """Where a report begins if nobody says: at the last one that was due, else a day ago."""
    return now - DAY_SECONDS if report_at_minute is None else last_minute(now, report_at_minute, zone)
