"""Everything that the daemon runs, put together: who is handed what."""

import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from scheduler.api.app import build_app
from scheduler.audit import AuditLog, AuditStore, FileStore, MemoryStore
from scheduler.blackboard.audit import BoardAuditStore
from scheduler.blackboard.board import Board
from scheduler.blackboard.store import Store
from scheduler.commands import environment
from scheduler.core.records import Attempt, Event
from scheduler.core.rules import AgentRules, Rules
from scheduler.demo import DemoRunner
from scheduler.desk import Desk
from scheduler.events import EventFeed
from scheduler.execution import Executor
from scheduler.gateway import Gateway
from scheduler.metrics import Metrics
from scheduler.notifier import Notifier
from scheduler.roster import Roster
from scheduler.runs import OpenClawRunner, Runner
from scheduler.settings import Settings
from scheduler.sidecar import Sidecar
from scheduler.starter import Starter
from scheduler.supervision import Supervisor
from scheduler.ticker import Report, Ticker
from scheduler.tickets import Tickets
from shared import clock
from shared.asgi import App
from shared.guard import Guard
from shared.lifecycle import Lifecycle
from shared.metrics import metrics_app
from shared.redaction import Redactor
from shared.serving import address

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Parts:
    """What the task tree runs."""

    supervised: Mapping[str, Callable[[], Awaitable[None]]]
    supervisor: Supervisor
    ticker: Ticker
    starter: Starter
    audit: AuditLog
    api_app: App
    metrics_app: App
    aclose: Callable[[], Awaitable[None]]


def assemble(
    settings: Settings,
    roster: Roster,
    store: Store,
    token: str,
    lifecycle: Lifecycle,
    port: socket.socket,
    environ: Mapping[str, str],
) -> Parts:
    """Inside Trio. `port` listens already: tickets name it."""
    board, metrics, sidecar = Board(store), Metrics(), Sidecar(settings.sidecar_url or None)
    audit = _audit(settings, board, token)
    url = _url(settings.host, port)
    tickets = Tickets(settings.state_dir / "tickets", url)
    bin_dir = Path(sys.executable).parent

    def note(action: str, subject: str, details: Mapping[str, object]) -> None:
        audit.record(action, at=clock.wall(), actor="scheduler", subject=subject, details=details)

    def on_start(attempt: Attempt) -> None:
        note("run_started", attempt.run_id, {"agent": attempt.agent})
        feed.poke()

    def on_events(events: list[Event]) -> None:
        for event in events:
            audit.record(event.what, at=event.at, actor=event.who, subject=event.task, details=event.details)
        ticker.wake()

    def on_report(report: Report) -> None:
        metrics.ticked(report.outcome, report.seconds)

    runner, runner_part = _runner(settings, url, environment(environ, path_first=bin_dir))
    starter = Starter(
        board=board,
        runner=runner,
        tickets=tickets,
        blackboard=bin_dir / "blackboard",
        spacing_seconds=settings.spawn_spacing_seconds,
        on_start=on_start,
    )
    executor = Executor(
        board=board,
        runner=runner,
        starter=starter,
        tickets=tickets,
        commands=roster.commands,
        state_dir=settings.state_dir,
        note=note,
    )
    rules = _rules(settings, roster)
    ticker = Ticker(
        board=board,
        runner=runner,
        sidecar=sidecar,
        starter=starter,
        executor=executor,
        rules=lambda: rules,
        interval_seconds=settings.tick_seconds,
        on_report=on_report,
    )
    feed = EventFeed(board, on_change=on_events)
    supervisor = Supervisor(on_parked=lambda name, why: note("part_parked", name, {"reason": why}))
    desk = Desk(
        board=board,
        ticker=ticker,
        audit=audit,
        supervisor=supervisor,
        labels={agent.id: agent.label for agent in roster.agents.values()},
        has_sidecar=bool(settings.sidecar_url),
        interval_seconds=settings.tick_seconds,
        poke=feed.poke,
    )
    metrics.watch(desk.picture)
    guarded = partial(Guard, allowed_hosts=settings.allowed_hosts, listen_host=settings.host)
    supervised = {
        "audit": audit.run,
        "feed": feed.run,
        "outbox": Notifier(board).run,
        "starter": starter.run,
        "ticker": ticker.run,
        **runner_part,
    }
    return Parts(supervised, supervisor, ticker, starter, audit, api, scraped, sidecar.aclose)
