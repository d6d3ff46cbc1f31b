"""A task of the daemon that fails is begun anew, after a pause that grows; one that keeps failing is parked.

The rule: no single part takes the others down, and none fails in silence. A board that is broken is no part:
it ends the process, so that the service manager starts a new one.
"""

from collections.abc import Awaitable, Callable, Collection
from typing import Final

import structlog
import trio

from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardBroken, BoardError
from scheduler.blackboard.store import Store

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
PARKED_AFTER: Final = 8
"""Failures in a row: about four minutes."""
FORGIVEN_AFTER_SECONDS: Final = 600.0
"""A part that ran for so long begins to count anew."""
BOARD_SECONDS: Final = 1.0

_log = structlog.get_logger()


class PartGaveUpError(Exception):
    """A part without which the process only looks alive has failed again and again."""


class Supervisor:
    """Owner of the list of parked parts, which `/health` shows."""

    def __init__(self, on_parked: Callable[[str, str], None], *, essential: Collection[str] = ()) -> None:
        """`essential`: parts that are not parked; their end is the process's, so that a new one begins."""
        self._on_parked = on_parked
        self._essential = frozenset(essential)
        self._parked: dict[str, str] = {}

    @property
    def parked(self) -> dict[str, str]:
        """Name -> why, of the parts that were given up."""
        return dict(self._parked)

    async def run(self, name: str, part: Callable[[], Awaitable[None]]) -> None:
        """Until `part` returns, is parked, or everything is cancelled."""
        failures = 0
        while True:
            began = trio.current_time()
            try:
                await part()
            except Exception as error:
                if fatal_in(error) is not None:
                    raise
                if trio.current_time() - began >= FORGIVEN_AFTER_SECONDS:
                    failures = 0
                failures += 1
                _log.exception("part_failed", part=name, failures=failures)
                if failures >= PARKED_AFTER:
                    why = f"{type(error).__name__}: {error}"
                    if name in self._essential:
                        raise PartGaveUpError(f"the {name} keeps failing: {why}") from error
                    self._parked[name] = why
                    _log.critical("part_parked", part=name, error=why)
                    self._on_parked(name, why)
                    return
            else:
                return
            await trio.sleep(min(FIRST_PAUSE_SECONDS * 2 ** (failures - 1), LONGEST_PAUSE_SECONDS))


async def watch(board: Board) -> None:
    """Until the board is broken, which it raises. Whoever finds that may be a call of the API or the audit
    log, neither of which ends the process.
    """
    while True:
        try:
            await board.read(Store.check)
        except BoardBroken:
            raise
        except BoardError:
            pass  # away or busy: its users say so
        await trio.sleep(BOARD_SECONDS)


def fatal_in(error: BaseException) -> BoardBroken | PartGaveUpError | None:
    """What ends the process, however deep in groups of errors it stands."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for each in error.exceptions if (found := fatal_in(each))), None)
    return error if isinstance(error, BoardBroken | PartGaveUpError) else None
