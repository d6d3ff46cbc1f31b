"""Everything that the daemon runs, put together: who is handed what."""

import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import structlog

from scheduler.api.app import build_app
from scheduler.api.identity import Identity
from scheduler.archivist import Archivist
from scheduler.assembly.making import audit_log, rules_of, runner_of, url_of
from scheduler.assembly.parts import Given, Parts
from scheduler.audit.log import AuditLog
from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardError
from scheduler.blackboard.store import Store
from scheduler.commands import environment
from scheduler.core.commands import Start
from scheduler.core.records import Attempt, Event
from scheduler.desk import Desk
from scheduler.events import EventFeed
from scheduler.execution import Executor
from scheduler.last_look import LastLook
from scheduler.metrics import BoardPicture, Metrics
from scheduler.notifier import Notifier
from scheduler.reviewing import Reviewing
from scheduler.sidecar import Sidecar
from scheduler.starter import Starter
from scheduler.supervision import Supervisor, watch
from scheduler.ticker import Report, Ticker
from scheduler.tickets import Tickets
from shared import clock
from shared.guard import Guard
from shared.lifecycle import Lifecycle
from shared.metrics import metrics_app

LETS_NOTHING_START = frozenset({"heartbeat", "output", "comment", "observe", "rekey", "run_started"})
"""Events that the next regular tick is early enough for."""

_log = structlog.get_logger()


def assemble(given: Given, lifecycle: Lifecycle, port: socket.socket) -> Parts:
    """Inside Trio. `port` listens already: tickets name it."""
    settings, team, store = given.settings, given.team, given.store
    token, environ = given.admin_token, given.environ
    board, metrics, sidecar = Board(store), Metrics(), Sidecar(settings.sidecar_url or None)
    audit = audit_log(settings, board, token)
    url = url_of(port)
    tickets = Tickets(settings.state_dir / "tickets", url)
    tickets.move_here()
    bin_dir = Path(sys.executable).parent

    def note(action: str, subject: str, details: Mapping[str, object]) -> None:
        audit.record(action, at=clock.wall(), actor="scheduler", subject=subject, details=details)

    def on_start(attempt: Attempt) -> None:
        note("run_started", attempt.run_id, {"agent": attempt.agent})
        feed.poke()

    def on_events(events: Sequence[Event]) -> None:
        for event in events:
            audit.record(event.what, at=event.at, actor=event.who, subject=event.task, details=event.details)
        if any(event.what not in LETS_NOTHING_START for event in events):
            ticker.wake()

    def on_report(report: Report) -> None:
        metrics.ticked(report.outcome, report.seconds)

    def acted(kind: str, status: str, seconds: float) -> None:
        metrics.acted(kind, status, seconds)
        if kind == Start.__name__:
            metrics.claimed("claimed" if status == "done" else status)

    runner, runner_part = runner_of(settings, environment(environ, path_first=bin_dir))
    starter = Starter(
        board=board,
        runner=runner,
        tickets=tickets,
        blackboard=bin_dir / "blackboard",
        spacing_seconds=settings.spawn_spacing_seconds,
        on_start=on_start,
    )
    reviewing = Reviewing(board, roster=team, environ=environ, state_dir=settings.state_dir)
    archivist = Archivist(board, runner, tickets)
    executor = Executor(
        board=board,
        runner=runner,
        starter=starter,
        tickets=tickets,
        reviewing=reviewing,
        archivist=archivist,
        note=note,
        acted=acted,
    )
    ticker = Ticker(
        board=board,
        runner=runner,
        sidecar=sidecar,
        starter=starter,
        executor=executor,
        rules=lambda: rules_of(settings, team()),
        interval_seconds=settings.tick_seconds,
        last_look=LastLook(settings.state_dir / "last-tick", interval_seconds=settings.tick_seconds),
        on_report=on_report,
    )
    feed, notifier = EventFeed(board, on_change=on_events), Notifier(board)
    supervisor = Supervisor(
        on_parked=lambda name, why: note("part_parked", name, {"reason": why}),
        essential=("board", "feed", "starter", "ticker"),
    )

    def changed() -> None:
        feed.poke()
        ticker.wake()

    desk = Desk(
        board=board,
        ticker=ticker,
        audit=audit,
        supervisor=supervisor,
        team=team,
        has_sidecar=bool(settings.sidecar_url),
        demonstration=settings.runner == "demo",
        interval_seconds=settings.tick_seconds,
        changed=changed,
    )
    metrics.watch(desk.picture)
    guarded = partial(Guard, allowed_hosts=settings.allowed_hosts, listen_host=settings.host)
    supervised: dict[str, Callable[[], Awaitable[None]]] = {
        "board": partial(watch, board),
        "audit": audit.run,
        "feed": feed.run,
        "archive": archivist.run,
        "checks": reviewing.run,
        "outbox": notifier.run,
        "starter": starter.run,
        "ticker": ticker.run,
        **runner_part,
    }
    api = build_app(
        desk,
        feed=feed,
        identity=Identity(token, listen_host=settings.host),
        metrics=metrics,
        record=audit.record,
        drain_begun=lifecycle.drain_begun,
        max_attempts=settings.max_attempts,
    )
    scraped = metrics_app(metrics.registry, before_scrape=partial(_look_at_board, board, metrics))
    return Parts(
        supervised=supervised,
        supervisor=supervisor,
        ticker=ticker,
        starter=starter,
        api_app=guarded(api, on_refusal=lambda _scope, refusal: metrics.answered(refusal.status)),
        metrics_app=guarded(scraped),
        last_words=partial(_last_words, feed, notifier, audit),
        aclose=sidecar.aclose,
    )


async def _last_words(feed: EventFeed, notifier: Notifier, audit: AuditLog) -> None:
    try:
        await feed.look()
        await notifier.deliver()
    except BoardError as error:  # what is not told stays in the outbox
        _log.warning("last_words_unavailable", error=str(error))
    await audit.aclose()


async def _look_at_board(board: Board, metrics: Metrics) -> None:
    try:
        counts = await board.read(Store.counts)
        pending = await board.read(Store.notices_count)
    except BoardError:
        metrics.look_at(None)
    else:
        metrics.look_at(BoardPicture(counts, pending))
