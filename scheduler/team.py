"""Who is on the team now. Owner of the roster that holds: it changes as a whole, or not at all."""

import signal
from collections.abc import Callable
from pathlib import Path

import structlog
import trio

from scheduler.roster import Roster
from shared.errors import StartError

_log = structlog.get_logger()


class Team:
    """Everybody asks it anew each time, so that a change holds from then on."""

    def __init__(self, file: Path, roster: Roster, read: Callable[[], Roster]) -> None:
        """`read` reads the roster in `file` anew, and raises StartError with every problem it has."""
        self.file = file
        self._roster, self._read = roster, read
        self._listeners: list[Callable[[], None]] = []

    def __call__(self) -> Roster:
        """The roster that holds now."""
        return self._roster

    def when_changed(self, listener: Callable[[], None]) -> None:
        """Called after each change; it must not block."""
        self._listeners.append(listener)

    async def reload(self) -> Roster:
        """Read the file again. Raises StartError, and then everything stays as it is."""
        self._roster = await trio.to_thread.run_sync(self._read)
        _log.info("roster_changed", agents=len(self._roster.agents))
        for listener in self._listeners:
            listener()
        return self._roster

    async def reload_on_hang_up(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """For each SIGHUP, until cancelled; what is wrong is said in the log. Started when it listens."""
        with trio.open_signal_receiver(signal.SIGHUP) as hang_ups:
            task_status.started()
            async for _ in hang_ups:
                try:
                    await self.reload()
                except StartError as error:
                    _log.error(
                        "roster_refused", problems=list(error.lines), consequence="the old one holds on"
                    )

    def __repr__(self) -> str:
        return f"<Team of {len(self._roster.agents)}>"
