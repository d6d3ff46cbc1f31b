"""Until when a message waits that is not urgent. Pure; with calendars, so it is no part of the core.

The rule: who is not to be woken is told in the morning: when the quiet hours end, or with the report if that
comes soon after. Times of day are those of the roster's time zone, on days of 23 and 25 hours too.
"""

from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from scheduler.roster import QuietHours, Roster

REPORT_WITHIN_MINUTES: Final = 120
"""A report that comes later after the end of the quiet hours is none that the morning could wait for."""
_DAY_MINUTES: Final = 24 * 60


def quiet_hours(roster: Roster) -> QuietHours | None:
    """Those that hold: up to the report, if it follows soon."""
    hours, report = roster.quiet_hours, roster.report_at_minute
    if hours is None or report is None:
        return hours
    until_report = (report - hours.end_minute) % _DAY_MINUTES
    loud = (hours.start_minute - hours.end_minute) % _DAY_MINUTES
    # A report that comes when the next quiet hours have begun would leave no time at all to tell anything.
    if until_report <= REPORT_WITHIN_MINUTES and until_report < loud:
        return QuietHours(hours.start_minute, report)
    return hours


def held_until(roster: Roster, at: float) -> float:
    """When news of `at` may be told: then, or at the end of the quiet hours in which that is."""
    hours = quiet_hours(roster)
    if hours is None:
        return at
    zone = ZoneInfo(roster.timezone)
    local = datetime.fromtimestamp(at, UTC).astimezone(zone)
    if not _within(hours, local.hour * 60 + local.minute):
        return at
    end = time(*divmod(hours.end_minute, 60))
    # Tomorrow's too, if the hours pass midnight; each twice, because a night may hold a time of day twice.
    ends = (
        datetime.combine(local.date() + timedelta(days=days), end.replace(fold=fold), zone).timestamp()
        for days in (0, 1)
        for fold in (0, 1)
    )
    return min(each for each in ends if each > at)


def _within(hours: QuietHours, minute: int) -> bool:
    if hours.start_minute < hours.end_minute:
        return hours.start_minute <= minute < hours.end_minute
    return minute >= hours.start_minute or minute < hours.end_minute
