"""What connects the board with the team around it: task sources, heartbeats, messages, reports."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from scheduler.assembly.parts import Given
from scheduler.blackboard.board import Board
from scheduler.core.alarms import Facts, SourceFact
from scheduler.core.beats import Beat
from scheduler.core.task import Source
from scheduler.exchange.intake import Intake
from scheduler.exchange.mirroring import Mirroring
from scheduler.exchange.taking_over import TakingOver
from scheduler.gateway import Gateway
from scheduler.heartbeats.part import Heartbeats
from scheduler.notifications import FeishuSender, Notifier, OpenClawSender
from scheduler.report.model import Daemon, Outside
from scheduler.report.reporting import Reporting
from scheduler.settings import Settings
from scheduler.sources.configured import configured
from scheduler.sources.shared import Shared
from scheduler.ticker import Ticker
from scheduler.watchman import Watchman, disk_free, work_on


@dataclass(frozen=True, slots=True)
class Around:
    """The parts around the board."""

    sources: Mapping[Source, Shared]
    heartbeats: Heartbeats
    mirroring: Mirroring
    notifier: Notifier
    supervised: Mapping[str, Callable[[], Awaitable[None]]]
    aclose: Callable[[], Awaitable[None]]


def assemble_around(
    given: Given,
    board: Board,
    ticker: Ticker,
    openclaw: Gateway,
    *,
    after_heartbeat: Callable[[Beat], None],
) -> Around:
    settings, team = given.settings, given.team
    board_of_openclaw = openclaw if settings.runner == "openclaw" else None
    sources = configured(settings, team, given.environ, gateway=board_of_openclaw)
    taking_over = TakingOver(board, sources, team, max_attempts=settings.max_attempts)
    intake = Intake(board, sources, team, taking_over)
    mirroring = Mirroring(board, sources, team, taking_over)
    heartbeats = Heartbeats(board=board, intake=intake, roster=team, after=after_heartbeat)
    feishu = FeishuSender()
    notifier = Notifier(
        board,
        team,
        openclaw=OpenClawSender(openclaw),
        feishu=feishu,
        board_url=settings.public_url,
    )
    facts = partial(_facts, settings, board, ticker, sources)
    watchman = Watchman(board, facts, told=notifier.wake)
    reporting = Reporting(board, team, partial(_outside, settings, ticker, sources))
    for wake in (heartbeats.wake, reporting.wake, notifier.wake, ticker.wake):
        team.when_changed(wake)
    return Around(
        sources,
        heartbeats,
        mirroring,
        notifier,
        {
            "heartbeats": heartbeats.run,
            "intake": intake.run,
            "mirroring": mirroring.run,
            "outbox": notifier.run,
            "watchman": watchman.run,
            "report": reporting.run,
        },
        feishu.aclose,
    )


async def _facts(settings: Settings, board: Board, ticker: Ticker, sources: Mapping[Source, Shared]) -> Facts:
    """Raises BoardError."""
    # While the ticker is stopped nobody looks: what the last look showed is no news of now.
    capacity_at, sighting = ticker.capacity_at, ticker.sighting
    asks = ticker.running and capacity_at and settings.sidecar_url
    looks = ticker.running and sighting.at and settings.runner == "openclaw"
    statistics = [source.statistics() for source in sources.values()]
    return Facts(
        capacity=ticker.capacity if asks else None,
        capacity_at=capacity_at,
        gateway_up=sighting.up if looks else None,
        gateway_error=sighting.error,
        gateway_at=sighting.at,
        sources=tuple(SourceFact(each.name, each.failures_in_a_row, each.reason) for each in statistics),
        work=await work_on(board) if ticker.running else None,
        disk_free=await disk_free(settings.state_dir),
    )


async def _outside(settings: Settings, ticker: Ticker, sources: Mapping[Source, Shared]) -> Outside:
    down = {
        each.name.value: each.reason
        for source in sources.values()
        if (each := source.statistics()).up is False
    }
    callers = ticker.activities if ticker.capacity.known else ticker.capacity.error
    daemon = Daemon(ticker.calls_avoided, down, heartbeats_avoided=ticker.heartbeats_avoided)
    return Outside(daemon, callers if settings.sidecar_url else "there is none")
