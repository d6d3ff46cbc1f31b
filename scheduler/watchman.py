"""Looks every 30 seconds at what can be wrong with the whole, and tells it where no Prometheus does.

What is wrong is the core's to say (``core.alarms``); here it is looked at. The ticker's own alarm, for agents
that all look dead at once, belongs to the tick.
"""

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import structlog
import trio

from scheduler.blackboard import outbox
from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardBroken, BoardError
from scheduler.blackboard.progress import last_progress
from scheduler.blackboard.store import Store
from scheduler.core.alarms import CAUSE, Episode, Facts, Work, is_over, resumed, watch, work
from shared import clock

EVERY_SECONDS: Final = 30.0
LONGEST_GAP_SECONDS: Final = 4 * EVERY_SECONDS
"""Between two looks. After more (the machine slept, the clock was set) nothing is known to have lasted."""

_log = structlog.get_logger()


class Watchman:
    """Owner of the episodes under way."""

    def __init__(
        self, board: Board, facts: Callable[[], Awaitable[Facts]], *, told: Callable[[], None] = lambda: None
    ) -> None:
        """`facts` may raise BoardError. `told`: there is news in the outbox."""
        self._board, self._facts, self._told = board, facts, told
        # None: what was told before this process has not been read yet.
        self._episodes: Mapping[str, Episode] | None = None
        self._watching_since = self._looked_at = clock.wall()

    async def run(self) -> None:
        """Until cancelled. While the board is away there is nowhere to tell anything; `/health` says so."""
        while True:
            try:
                await self.look()
            except BoardBroken:
                raise
            except BoardError as error:
                _log.warning("watch_unavailable", error=str(error))
            await trio.sleep(EVERY_SECONDS)

    async def look(self) -> None:
        """Once. Raises BoardError, and then the next look tells what this one would have."""
        now = clock.wall()
        if not 0 <= now - self._looked_at <= LONGEST_GAP_SECONDS:
            self._watching_since = now
        self._looked_at = now
        if self._episodes is None:
            self._episodes = resumed(cause for cause, _ in await self._board.read(outbox.causes, CAUSE))
        watched = watch(await self._facts(), self._episodes, now, watching_since=self._watching_since)
        if watched.notices:
            await self._board.write(Store.tell, watched.notices)
            over = [notice.text for notice in watched.notices if is_over(notice)]
            if begun := [notice.text for notice in watched.notices if not is_over(notice)]:
                _log.error("alarm", reasons=begun)
            if over:
                _log.info("alarm_over", reasons=over)
            self._told()
        self._episodes = watched.episodes

    def __repr__(self) -> str:
        return f"<Watchman, {', '.join(self._episodes or ()) or 'all is well'}>"


async def work_on(board: Board) -> Work:
    """What could be started, for `Facts`. Raises BoardError."""
    seen = await board.read(Store.snapshot)
    return work(seen, await board.read(last_progress), clock.wall())


async def disk_free(directory: Path) -> float | None:
    """Share of its disk that is free for us, for `Facts`; None: the operating system does not say."""
    try:
        disk = await trio.to_thread.run_sync(os.statvfs, directory)
    except OSError:
        return None
    return disk.f_bavail / disk.f_blocks if disk.f_blocks else None
