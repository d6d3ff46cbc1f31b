"""When anybody last looked at the runs: time that nobody saw is nobody's stall.

The wall clock may have been set forward, the machine suspended, the board away, the ticks stopped, or this
process not there at all. In all of that agents worked on, or could not; either way it is not held against
them.
"""

from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog
import trio

from shared import clock

STEP_SECONDS: Final = 30.0
"""Less than that is the ordinary distance of two ticks, or a clock that is kept right."""

_log = structlog.get_logger()


class LastLook:
    """Owner of the time of the last good tick; `file` keeps it for the process after this one."""

    def __init__(self, file: Path, *, interval_seconds: float) -> None:
        self._file, self._interval_seconds = trio.Path(file), interval_seconds
        # The wall clock's lead on the monotonic one, and the latter: at the last good look, and at this one.
        self._last: tuple[float, float] | None = None
        self._this = (0.0, 0.0)

    async def unseen_seconds(self) -> float:
        """A look begins. What nobody saw of the time until now; 0 where that is not worth a word."""
        now, monotonic = clock.wall(), clock.monotonic()
        self._this = now - monotonic, monotonic
        if self._last is None:
            unseen = await self._away(now)
        else:
            ahead, at = self._last
            idle = monotonic - at
            # No tick comes to the millisecond, and none of the ordinary ones is an excuse for anybody.
            was_away = idle >= self._interval_seconds + STEP_SECONDS
            unseen = now - monotonic - ahead + (idle if was_away else 0.0)
        if abs(unseen) < STEP_SECONDS:
            return 0.0
        # To have been away is how every restart begins; a clock that steps is somebody's to know.
        log = _log.info if self._last is None else _log.warning
        log("nobody_looked", seconds=round(unseen, 1))
        return max(0.0, unseen)

    async def note(self) -> None:
        """The look was a good one. It counts from its beginning: a clock may have stepped since."""
        self._last = self._this
        with suppress(OSError):  # a full disk
            await self._file.touch(mode=0o600)

    async def _away(self, now: float) -> float:
        """Seconds since the last tick of the process before this one; 0 if there was none."""
        try:
            return max(0.0, now - (await self._file.stat()).st_mtime)
        except OSError:
            return 0.0
