"""Puts the sessions of ended runs away, beside the tick: their transcripts first, then the sessions.

The rule: it is the last of a run's errands, so it keeps nobody waiting and gives up in the end. A session
that cannot be put away would stand in front of all that come after it.
"""

from typing import Final

import structlog
import trio

from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardBroken, BoardError
from scheduler.blackboard.store import Store
from scheduler.core.endings import backoff
from scheduler.core.records import Attempt
from scheduler.runs import Runner
from scheduler.tickets import Tickets
from shared import clock

TRIES: Final = 5
"""Over about forty minutes."""

_log = structlog.get_logger()


class Archivist:
    """Owner of the line of ended runs, and of how often each was tried."""

    def __init__(self, board: Board, runner: Runner, tickets: Tickets) -> None:
        self._board, self._runner, self._tickets = board, runner, tickets
        self._line: dict[str, Attempt] = {}  # by run id
        self._tried: dict[str, tuple[int, float]] = {}  # by run id: how often, and not again before
        self._more = trio.Event()

    def want(self, attempt: Attempt) -> None:
        """Put it away soon; what was tried a moment ago waits."""
        _, not_before = self._tried.get(attempt.run_id, (0, 0.0))
        if trio.current_time() >= not_before:
            self._line.setdefault(attempt.run_id, attempt)
            self._more.set()

    async def run(self) -> None:
        """Until cancelled; one after the other."""
        while True:
            await self._more.wait()
            self._more = trio.Event()
            while self._line:
                attempt = next(iter(self._line.values()))
                try:
                    await self._put_away(attempt)
                except BoardBroken:
                    raise
                except BoardError as error:
                    _log.warning("session_not_archived", run=attempt.run_id, error=str(error))
                finally:
                    self._line.pop(attempt.run_id, None)

    async def _put_away(self, attempt: Attempt) -> None:
        is_now = await self._board.read(Store.attempt, attempt.task, attempt.epoch)
        if is_now is not None and is_now.archived_at is not None:
            return  # wanted by a tick that had looked at the board before: each time costs OpenClaw seconds
        # Again, for a process that ended between writing down the end of the run and this.
        await trio.to_thread.run_sync(self._tickets.remove, attempt.run_id)
        directory = self._board.store.artifacts / attempt.task / str(attempt.epoch) / "session"
        away = await self._runner.archive(attempt.session_key, directory)
        times = self._tried.pop(attempt.run_id, (0, 0.0))[0] + 1
        if not away and times < TRIES:
            self._tried[attempt.run_id] = times, trio.current_time() + backoff(times)
            return
        await self._board.write(Store.archived, attempt.task, attempt.epoch, now=clock.wall())
        log = _log.info if away else _log.error
        log("session_archived" if away else "session_given_up", task=attempt.task, epoch=attempt.epoch)
