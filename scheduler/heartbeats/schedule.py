"""When a cron expression is due, in a time zone, as Unix times. Pure: the calendar is asked, no clock.

Two kinds of expressions, as Debian's cron has them:

- With a star in front of the minute or the hour (`*/10 * * * *`) it means *every so often*. It follows the
  time that passes: an hour that the clock skips has no due times, one that comes twice has them twice.
- Without (`30 2 * * *`) it means *once at that time of day*. In an hour that is skipped it is due when the
  hour is over; in one that comes twice, the first time.

The matching of fields is cronsim's, on local times alone. Its own walk over a change of the clock counts in
whole hours, which loses due times where a clock is changed by half of one (Australia/Lord_Howe).
"""

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from math import floor
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

_DAY: Final = 86_400
_FIRST_LOOK_SECONDS: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """An expression that the roster has found to be right, its zone, and by how much later it is due."""

    expression: str
    zone: str
    phase_seconds: int = 0

    @property
    def rule(self) -> str:
        """What somebody wrote, without the phase, which follows from who else is on the team."""
        return f"{self.expression} {self.zone}"

    def next_after(self, after: float) -> float | None:
        """The first due time later than the Unix time `after`; None if none comes in 50 years."""
        first = floor(after - self.phase_seconds) + 1
        zone = _zone(self.zone)
        find = _at_that_time if _once_a_day(self.expression) else _every_so_often
        due = find(self.expression, zone, first)
        return None if due is None else float(due + self.phase_seconds)

    def newest(self, after: float, until: float, most: int) -> tuple[float, ...]:
        """The due times in (`after`, `until`], the last `most` of them.

        However many there were: a year of minutes is not walked through for its last hour.
        """
        span = _FIRST_LOOK_SECONDS
        while True:
            begin = max(after, until - span)
            found: deque[float] = deque(maxlen=most)
            due = self.next_after(begin)
            while due is not None and due <= until:
                found.append(due)
                due = self.next_after(due)
            if begin == after or len(found) == most:
                return tuple(found)
            span *= 2


def _once_a_day(expression: str) -> bool:
    minute, hour, *_ = expression.split()
    return not minute.startswith("*") and not hour.startswith("*")


def _every_so_often(expression: str, zone: ZoneInfo, first: int) -> int | None:
    """The first due time from `first` on: a stretch of equal offsets after the other."""
    while True:
        offset = _offset(zone, first)
        local = _next_local(expression, first + offset - 1)
        if local is None:
            return None
        due = local - offset
        change = _change(zone, first, due)
        if change is None:
            return due
        first = change


def _at_that_time(expression: str, zone: ZoneInfo, first: int) -> int | None:
    """The first due time from `first` on: each local time has one, in their order."""
    local = _next_local(expression, first - 1 + _offset(zone, first - 1))
    while local is not None:
        due = _moment(zone, local)
        if due >= first:
            return due
        local = _next_local(expression, local)
    return None


def _moment(zone: ZoneInfo, local: int) -> int:
    """When the clocks show `local` for the first time, or pass it by."""
    # Of a time that comes twice this is the first, as fold is 0. One that never comes is taken by the offset
    # from before the change, so that what is found lies less than the change after it.
    moment = int(_wearing_utc(local).replace(tzinfo=zone).timestamp())
    if moment + _offset(zone, moment) == local:
        return moment
    return _change(zone, moment - _DAY, moment) or moment


def _change(zone: ZoneInfo, begin: int, end: int) -> int | None:
    """The first second in (`begin`, `end`] with another offset than `begin`; none comes and goes in a day."""
    offset = _offset(zone, begin)
    while begin < end:
        step = min(begin + _DAY, end)
        if _offset(zone, step) != offset:
            while step - begin > 1:
                middle = (begin + step) // 2
                if _offset(zone, middle) == offset:
                    begin = middle
                else:
                    step = middle
            return step
        begin = step
    return None


def _next_local(expression: str, after: int) -> int | None:
    """The next local time that the fields match."""
    try:
        return int(next(CronSim(expression, _wearing_utc(after))).timestamp())
    except StopIteration:  # no such day in 50 years: the fifth Monday of a February, on the 16th
        return None


def _wearing_utc(local: int) -> datetime:
    """Local times are counted as if they were UTC, which skips nothing and repeats nothing."""
    return datetime.fromtimestamp(local, UTC)


def _offset(zone: ZoneInfo, moment: int) -> int:
    """Seconds that local time is ahead of UTC."""
    offset = datetime.fromtimestamp(moment, zone).utcoffset()
    return 0 if offset is None else round(offset.total_seconds())


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
