"""SIGHUP: read the roster again. What is wrong with it is said in the log, and the old one holds on."""

import signal

import structlog
import trio

from scheduler.team import Team
from shared.errors import StartError

_log = structlog.get_logger()


async def reload_on_hang_up(
    team: Team, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Until cancelled. Started when the handler is in place."""
    with trio.open_signal_receiver(signal.SIGHUP) as hang_ups:
        task_status.started()
        async for _ in hang_ups:
            try:
                await team.reload()
            except StartError as error:
                _log.error("roster_refused", problems=list(error.lines), consequence="the old one holds on")
