"""The outbox's other end: what somebody is to be told is said in the log, once, and crossed off.

The messages stand on the board from the moment of their cause, so none is lost with the process. One that was
being said when it ended is said again by the next.
"""

from typing import Final

import structlog
import trio

from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardBroken, BoardError
from scheduler.blackboard.store import Store
from shared import clock

EVERY_SECONDS: Final = 5.0
AT_ONCE: Final = 100

_log = structlog.get_logger()


class Notifier:
    """Stateless: the outbox knows what is left."""

    def __init__(self, board: Board) -> None:
        self._board = board

    async def run(self) -> None:
        """Until cancelled. A board that is away for a while is asked again: what waits there is not lost."""
        while True:
            try:
                await self.deliver()
            except BoardBroken:
                raise
            except BoardError as error:
                _log.warning("outbox_unavailable", error=str(error))
            await trio.sleep(EVERY_SECONDS)

    async def deliver(self) -> None:
        """Everything that waits. Raises BoardError."""
        while pending := await self._board.read(Store.notices_pending, AT_ONCE):
            for number, notice in pending:
                log = _log.error if notice.urgent else _log.warning
                log("notification", to=notice.to, text=notice.text)
                await self._board.write(Store.notice_done, number, now=clock.wall())
