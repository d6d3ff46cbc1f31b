"""The task tree of the scheduler, on one screen. Shutdown order is nesting order.

    process          signals, watchdog, SIGHUP
    └─ parts         audit log, event feed, ticker, heartbeats, messages ...: each supervised
       └─ servers    the API's port, the metrics' port, the alert bridge's if it is free

At the first signal nothing new is begun, and what is under way (calls, a tick, a start) has one deadline for
all of it, which a second signal brings forward. Then what was said last is written down. A board that cannot
be trusted any more ends everything, with exit code 1: the service manager starts a process that reads afresh
what is true.
"""

import signal
import socket
from collections.abc import Mapping, Sequence
from functools import partial

import structlog
import trio

from scheduler.assembly import Given, Parts, Ports, assemble
from scheduler.blackboard.alone import alone_on
from scheduler.blackboard.errors import BoardError
from scheduler.blackboard.opening import open_board
from scheduler.blackboard.store import Store
from scheduler.settings import Settings
from scheduler.supervision import PartGaveUpError, fatal_in
from scheduler.team import Team
from scheduler.version import __version__
from shared import logs
from shared.admin_token import admin_token
from shared.errors import StartError
from shared.lifecycle import Lifecycle, last_resort
from shared.sd_notify import SdNotify
from shared.serving import listen, raise_descriptor_limit, serve
from shared.signals import stop_on_signals
from shared.statedir import open_state_dir

STOP_SECONDS = 8.0
"""For what is under way, once somebody wants the process to stop: it has ended within ten."""
LAST_RESORT_SECONDS = 8.0
"""After those, and the last flush of the audit log, the process ends, whatever holds it."""

_log = structlog.get_logger()


def run(settings: Settings, team: Team, notify: SdNotify, environ: Mapping[str, str]) -> int:
    """Serve until a signal; the exit code. Raises StartError where something is in the way."""
    logs.configure(level=settings.log_level, fmt=settings.log_format, secrets=settings.secrets)
    for warning in settings.warnings:
        _log.warning("setting_changed", message=warning)
    raise_descriptor_limit()
    state_dir = open_state_dir(settings.state_dir, "scheduler.lock")
    try:
        token = admin_token(
            settings.admin_token.get_secret_value(), settings.state_dir / "scheduler-admin-token"
        )
        logs.add_secrets([token, *team().secrets])
        ports = Ports(
            listen(settings.host, settings.port),
            listen(settings.host, settings.metrics_port),
            *_bridge_port(settings),
        )
        store = _open(settings)
        # The hang-up of a terminal ends a program; to a daemon it means "read your files again", and until
        # somebody can, nothing. A handler, because our children would inherit SIG_IGN.
        signal.signal(signal.SIGHUP, lambda *_: None)
        try:
            given = Given(settings, team, store, token, environ)
            with alone_on(settings.effective_database_url, store.url_shown):
                trio.run(serve_until_stopped, given, ports, notify)
        except ExceptionGroup as group:
            match fatal_in(group):
                case None:
                    raise
                case PartGaveUpError() as error:
                    raise StartError(str(error)) from error
                case broken:
                    _log.critical("board_broken", error=str(broken))
                    raise StartError(f"the board cannot be trusted any more: {broken}") from broken
        except BoardError as error:  # another daemon works on it
            raise StartError(str(error)) from error
        finally:
            store.close()
    finally:
        state_dir.close()
    return 0


def _open(settings: Settings) -> Store:
    try:
        return open_board(settings)
    except BoardError as error:
        raise StartError(str(error)) from error


def _bridge_port(settings: Settings) -> tuple[socket.socket | None, Mapping[str, str]]:
    """The port, and what `/health` says of it. Alertmanager's own cluster port has the same number."""
    if settings.alert_port is None:
        return None, {"status": "off"}
    try:
        return listen(settings.host, settings.alert_port), {"status": "healthy"}
    except StartError as error:
        _log.warning("alert_bridge_unavailable", reason=str(error))
        return None, {"status": "degraded", "reason": str(error)}


async def serve_until_stopped(given: Given, ports: Ports, notify: SdNotify) -> None:
    """The task tree."""
    lifecycle, patience = Lifecycle(), trio.CancelScope()
    parts = assemble(given, lifecycle, ports)
    async with trio.open_nursery() as process:
        await process.start(stop_on_signals, lifecycle.begin_drain, patience.cancel)
        await process.start(given.team.reload_on_hang_up)
        process.start_soon(notify.watchdog)
        async with trio.open_nursery() as supervised:
            for name, part in parts.supervised.items():
                supervised.start_soon(parts.supervisor.run, name, part)
            with patience:
                async with trio.open_nursery() as servers:
                    serving = partial(serve, shutdown=lifecycle.drain_begun, grace_seconds=STOP_SECONDS)
                    bound = [
                        await servers.start(serving, app, port)
                        for app, port in zip(parts.apps, ports.sockets, strict=True)
                        if port is not None
                    ]
                    _tell_start(given, bound)
                    notify.ready()
                    await lifecycle.drain_begun.wait()
                    notify.stopping()
                    _log.info("scheduler_draining", seconds=STOP_SECONDS)
                    last_resort(STOP_SECONDS + LAST_RESORT_SECONDS)
                    patience.deadline = trio.current_time() + STOP_SECONDS
                    await _come_to_rest(parts)
            supervised.cancel_scope.cancel()
        await parts.last_words()
        process.cancel_scope.cancel()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # it ends already, and with 0
    await parts.aclose()
    _log.info("scheduler_stopped")


async def _come_to_rest(parts: Parts) -> None:
    """The tick and the start under way come to their ends, and no other begins."""
    parts.ticker.stop()
    await parts.ticker.idle()
    await parts.starter.still.acquire()


def _tell_start(given: Given, bound: Sequence[tuple[str, int]]) -> None:
    (host, port), (_, metrics_port), *bridge = bound
    _log.info(
        "scheduler_started",
        version=__version__,
        host=host,
        port=port,
        metrics_port=metrics_port,
        alert_port=bridge[0][1] if bridge else None,
        board=given.store.url_shown,
        runner=given.settings.runner,
        sidecar=given.settings.sidecar_url or "none: starts are limited by our own rules alone",
        state_dir=str(given.settings.state_dir),
    )
