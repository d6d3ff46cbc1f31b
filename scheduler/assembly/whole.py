"""Everything that the daemon runs, put together: who is handed what."""

import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import structlog

from scheduler.alerts import build_bridge
from scheduler.api.app import build_app
from scheduler.api.identity import Identity
from scheduler.archivist import Archivist
from scheduler.assembly.making import audit_log, runner_of, url_of
from scheduler.assembly.parts import Given, Parts, Ports
from scheduler.assembly.team import Around, assemble_around
from scheduler.assembly.wires import Wires
from scheduler.audit.log import AuditLog
from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardError
from scheduler.blackboard.store import Store
from scheduler.commands import OPENCLAW, environment
from scheduler.desk import Desk
from scheduler.events import EventFeed
from scheduler.execution import Executor
from scheduler.gateway import Gateway
from scheduler.last_look import LastLook
from scheduler.mcp.registered import Registered
from scheduler.measures import rules_of
from scheduler.metrics import BoardPicture, Metrics
from scheduler.notifications import Notifier
from scheduler.reviewing import Reviewing
from scheduler.sidecar import Sidecar
from scheduler.starter import Starter, no_tools
from scheduler.supervision import Supervisor, watch
from scheduler.ticker import Ticker
from scheduler.tickets import Tickets
from shared.guard import Guard
from shared.lifecycle import Lifecycle
from shared.metrics import metrics_app

_log = structlog.get_logger()


def assemble(given: Given, lifecycle: Lifecycle, ports: Ports) -> Parts:
    """Inside Trio. The API listens already: tickets name its port."""
    settings, team, store = given.settings, given.team, given.store
    token, environ = given.admin_token, given.environ
    board, metrics, sidecar = Board(store), Metrics(), Sidecar(settings.sidecar_url or None)
    audit = audit_log(settings, board, token)
    wires = Wires(audit, metrics)
    team.when_changed(lambda: wires.roster_changed(team()))
    url, demonstration = url_of(ports.api), settings.runner == "demo"
    tickets = Tickets(settings.state_dir / "tickets", url)
    tickets.move_here()
    bin_dir = Path(sys.executable).parent

    openclaw = Gateway(settings.openclaw, environment(environ, OPENCLAW, path_first=bin_dir))
    runner, runner_part = runner_of(settings, openclaw)
    starter = Starter(
        board=board,
        runner=runner,
        tickets=tickets,
        blackboard=bin_dir / "blackboard",
        spacing_seconds=settings.spawn_spacing_seconds,
        on_start=wires.started,
        tools=no_tools if demonstration else Registered(openclaw, f"{url}/mcp").prefix,
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
        note=wires.note,
        acted=wires.acted,
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
        on_report=wires.ticked,
    )
    feed = EventFeed(board, on_change=wires.happened)
    around = assemble_around(given, board, ticker, openclaw, after_heartbeat=wires.beaten)
    wires.ticker, wires.feed = ticker, feed
    wires.notifier, wires.mirroring = around.notifier, around.mirroring
    supervisor = Supervisor(
        on_parked=wires.parked,
        essential=("board", "feed", "starter", "ticker"),
    )

    desk = Desk(
        board=board,
        ticker=ticker,
        audit=audit,
        supervisor=supervisor,
        team=team,
        sources=around.sources,
        heartbeats=around.heartbeats,
        notifier=around.notifier,
        bridge=ports.bridge_health,
        has_sidecar=bool(settings.sidecar_url),
        demonstration=demonstration,
        interval_seconds=settings.tick_seconds,
        changed=wires.changed,
    )
    metrics.watch(desk.picture)
    guarded = partial(Guard, allowed_hosts=settings.allowed_hosts, listen_host=settings.host)
    supervised: dict[str, Callable[[], Awaitable[None]]] = {
        "board": partial(watch, board),
        "audit": audit.run,
        "feed": feed.run,
        "archive": archivist.run,
        "checks": reviewing.run,
        "starter": starter.run,
        "ticker": ticker.run,
        **around.supervised,
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
    bridge = build_bridge(
        board,
        settings.alert_token.get_secret_value(),
        listen_host=settings.host,
        roster=team,
        told=around.notifier.wake,
        record=audit.record,
    )
    scraped = metrics_app(metrics.registry, before_scrape=partial(_look_at_board, board, metrics))
    return Parts(
        supervised=supervised,
        supervisor=supervisor,
        ticker=ticker,
        starter=starter,
        apps=(
            guarded(api, on_refusal=lambda _scope, refusal: metrics.answered(refusal.status)),
            guarded(scraped),
            guarded(bridge),
        ),
        last_words=partial(_last_words, feed, around.notifier, audit),
        aclose=partial(_close, sidecar, around),
    )


async def _close(sidecar: Sidecar, around: Around) -> None:
    await sidecar.aclose()
    await around.aclose()


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
