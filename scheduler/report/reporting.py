"""The daemon's part that sends the report every day, at `report_at` of the roster's zone.

The rule: once a day. What was due while nobody was there is sent late, on the same day; who was told already
is known by the outbox, which takes each day's report for each target once.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import structlog
import trio

from scheduler.blackboard import reporting
from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardBroken, BoardError
from scheduler.blackboard.store import Store
from scheduler.core.records import Notice
from scheduler.report.building import build
from scheduler.report.model import Outside
from scheduler.report.text import as_text
from scheduler.report.times import Clock, last_minute, next_minute
from scheduler.roster import Roster
from shared import clock

LOOK_SECONDS: Final = 60.0
"""Longest sleep: the clock may be set, the machine suspended."""

_log = structlog.get_logger()


class Reporting:
    """Owner of nothing but its alarm clock."""

    def __init__(
        self, board: Board, roster: Callable[[], Roster], outside: Callable[[], Awaitable[Outside]]
    ) -> None:
        """`outside` asks for what does not stand on the board; it does not raise."""
        self._board, self._roster, self._outside = board, roster, outside
        self._woken = trio.Event()

    def wake(self) -> None:
        """The roster has changed."""
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.send_if_due(clock.wall())
            except BoardBroken:
                raise
            except BoardError as error:
                _log.warning("report_not_sent", error=str(error))  # the next look tries again
            with trio.move_on_after(self._pause(clock.wall())):
                await self._woken.wait()
            self._woken = trio.Event()

    def _pause(self, now: float) -> float:
        roster = self._roster()
        if roster.report_at_minute is None:
            return LOOK_SECONDS
        due = next_minute(now, roster.report_at_minute, ZoneInfo(roster.timezone))
        return min(LOOK_SECONDS, due - now)

    async def send_if_due(self, now: float) -> tuple[str, ...]:
        """Who is told now. Raises BoardError."""
        roster = self._roster()
        minute, zone = roster.report_at_minute, ZoneInfo(roster.timezone)
        if minute is None:
            return ()
        due = last_minute(now, minute, zone)
        day = datetime.fromtimestamp(due, zone).date()
        if day != datetime.fromtimestamp(now, zone).date():
            return ()  # yesterday's: too late to be read
        causes = {f"report:{day}:{target}": target for target in roster.report_to}
        known = await self._board.read(reporting.told, causes)
        targets = {cause: target for cause, target in causes.items() if cause not in known}
        if not targets or not await self._was_there(due):
            return ()
        text = await self._text(last_minute(due - 1, minute, zone), now, zone)
        notices = [Notice(target, cause, text, now, urgent=True) for cause, target in targets.items()]
        await self._board.write(Store.tell, notices)
        _log.info("report_sent", to=list(targets.values()), day=str(day))
        return tuple(targets.values())

    async def _was_there(self, due: float) -> bool:
        """A board that is younger than that has nothing to report of the day."""
        first = await self._board.read(reporting.first_event_at)
        return first is not None and first <= due

    async def _text(self, since: float, until: float, zone: ZoneInfo) -> str:
        collected = await self._board.read(reporting.collect, since, until)
        hands = Clock(zone, until)
        report = build(collected, await self._outside(), since=since, until=until, clock=hands)
        return as_text(report, hands)
