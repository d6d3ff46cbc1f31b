"""A task of the daemon that fails is begun anew, after a pause that grows; one that keeps failing is parked.

The rule: no single part takes the others down, and none fails in silence. A board that is broken is no part:
it ends the process, so that the service manager starts a new one.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog
import trio

from scheduler.blackboard.errors import BoardBroken

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
PARKED_AFTER: Final = 8
"""Failures in a row: about four minutes."""
FORGIVEN_AFTER_SECONDS: Final = 600.0
"""A part that ran for so long begins to count anew."""

_log = structlog.get_logger()


class Supervisor:
    """Owner of the list of parked parts, which `/health` shows."""

    def __init__(self, on_parked: Callable[[str, str], None]) -> None:
        self._on_parked = on_parked
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
                if _breaks(error):
                    raise
                if trio.current_time() - began >= FORGIVEN_AFTER_SECONDS:
                    failures = 0
                failures += 1
                _log.exception("part_failed", part=name, failures=failures)
                if failures >= PARKED_AFTER:
                    why = f"{type(error).__name__}: {error}"
                    self._parked[name] = why
                    _log.critical("part_parked", part=name, error=why)
                    self._on_parked(name, why)
                    return
            else:
                return
            await trio.sleep(min(FIRST_PAUSE_SECONDS * 2 ** (failures - 1), LONGEST_PAUSE_SECONDS))


def _breaks(error: Exception) -> bool:
    return isinstance(error, BoardBroken) or (
        isinstance(error, ExceptionGroup) and error.subgroup(BoardBroken) is not None
    )
