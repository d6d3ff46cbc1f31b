"""What the API shows of the daemon and may ask of it: one place that reads everybody's statistics."""

from collections.abc import Callable, Mapping
from typing import Final

from scheduler.audit.log import AuditLog
from scheduler.audit.record import JSON
from scheduler.blackboard.board import Board
from scheduler.core.task import Source
from scheduler.heartbeats.part import Heartbeats
from scheduler.heartbeats.picture import AgentHeartbeat
from scheduler.metrics import DaemonPicture, agent_pictures
from scheduler.notifications import Notifier
from scheduler.sources.shared import Shared, SourceStatistics
from scheduler.supervision import Supervisor
from scheduler.team import Team
from scheduler.ticker import Ticker
from shared import clock

HEALTHY: Final = "healthy"
DEGRADED: Final = "degraded"


class Desk:
    """Reads from others, owns nothing."""

    def __init__(
        self,
        *,
        board: Board,
        ticker: Ticker,
        audit: AuditLog,
        supervisor: Supervisor,
        team: Team,
        sources: Mapping[Source, Shared],
        heartbeats: Heartbeats,
        notifier: Notifier,
        bridge: Mapping[str, object],
        has_sidecar: bool,
        demonstration: bool,
        interval_seconds: float,
        changed: Callable[[], None],
    ) -> None:
        self.board = board
        self._ticker, self._audit, self._supervisor = ticker, audit, supervisor
        self._team, self._demonstration = team, demonstration
        self._sources, self._heartbeats, self._notifier = sources, heartbeats, notifier
        self._bridge = bridge
        self._has_sidecar, self._interval_seconds, self._changed = has_sidecar, interval_seconds, changed

    # -- asked for -------------------------------------------------------------------------------------

    async def tick(self) -> Mapping[str, object]:
        """One tick now, and its report."""
        return (await self._ticker.tick()).as_json()

    def stop_ticking(self) -> None:
        """The API stays up, runs go on, nothing new is started."""
        self._ticker.stop()

    def start_ticking(self) -> None:
        """Beginning at once."""
        self._ticker.start()

    async def reload(self) -> Mapping[str, JSON]:
        """The roster, from its file: who is on the team now, and which file that is. Raises StartError."""
        agents = (await self._team.reload()).agents
        return {"agents": len(agents), "ids": list(agents), "file": str(self._team.file)}

    def board_changed(self) -> None:
        """Somebody wrote through the API."""
        self._changed()

    # -- shown -----------------------------------------------------------------------------------------

    def health(self) -> Mapping[str, Mapping[str, object]]:
        """How each part is, the database apart, which is asked when somebody wants to know."""
        audit, capacity = self._audit.statistics(), self._ticker.capacity
        parts: dict[str, Mapping[str, object]] = {
            "audit_logger": _part(HEALTHY if audit.healthy else DEGRADED, audit.last_error or ""),
            "sidecar": _part(HEALTHY if capacity.known else DEGRADED, capacity.error)
            if self._has_sidecar
            else _part("off", "no sidecar is configured: starts are limited by our own rules alone"),
            "openclaw": self._openclaw(),
            "sources": {
                name.value: _source(each.statistics()) for name, each in self._sources.items() if each.wanted
            },
            "notifications": self._notifications(),
            "alerts": self._bridge,
        }
        for name, why in self._supervisor.parked.items():
            parts[name] = _part(DEGRADED, f"given up after repeated failures: {why}")
        return parts

    def _openclaw(self) -> Mapping[str, object]:
        sighting = self._ticker.sighting
        if self._demonstration:
            return _part("off", "demonstration: the scheduler plays the agents itself")
        if not sighting.at:
            return _part("unknown", "nothing has been asked of it yet")
        return _part(HEALTHY if sighting.up else DEGRADED, sighting.error)

    def _notifications(self) -> Mapping[str, object]:
        failing = [f"{name}: {why}" for name, why in self._notifier.failing.items()]
        return _part(DEGRADED if failing else HEALTHY, "; ".join(failing))

    def status(self) -> Mapping[str, object]:
        """What the daemon knows without asking anybody."""
        ticker = self._ticker
        last, next_at, capacity = ticker.last, ticker.next_tick_at, ticker.capacity
        return {
            "ticker_running": ticker.running,
            "last_tick": last and clock.rfc3339(last.at),
            "next_tick": next_at and clock.rfc3339(next_at),
            "tick_interval_seconds": self._interval_seconds,
            "last_tick_seconds": last and round(last.seconds, 6),
            "last_tick_report": last and last.as_json(),
            "active_sessions": last.live if last else 0,
            "capacity": {
                "known": capacity.known,
                "effective_rpm": capacity.effective_rpm,
                "spare_rpm": capacity.spare_rpm,
                "retreat_state": capacity.retreat_state,
                "quiet_until": capacity.quiet_until and clock.rfc3339(capacity.quiet_until),
                "blocked": capacity.blocked and capacity.blocked.reason,
                "error": capacity.error,
            },
            "calls_avoided": ticker.calls_avoided,
            "heartbeats_avoided": ticker.heartbeats_avoided,
            "heartbeats": {name: _heartbeat(each) for name, each in self._beats().items()},
        }

    def _beats(self) -> Mapping[str, AgentHeartbeat]:
        return self._heartbeats.statistics().agents

    def picture(self) -> DaemonPicture:
        """For the metrics."""
        ticker, agents = self._ticker, self._team().agents
        labels = {agent.id: agent.label for agent in agents.values()}
        return DaemonPicture(
            sessions_active=ticker.last.live if ticker.last else 0,
            calls_avoided=ticker.calls_avoided,
            audit_buffered=self._audit.statistics().buffered,
            last_tick_at=ticker.last.at if ticker.last else None,
            openclaw_up=ticker.sighting.up if ticker.sighting.at else None,
            agents=agent_pictures(
                labels,
                ticker.held,
                ticker.activities,
                clock.wall(),
                self._heartbeats.statistics().healthy,
            ),
            sources_up={
                name.value: up
                for name, each in self._sources.items()
                if (up := each.statistics().up) is not None
            },
        )


def _part(status: str, reason: str) -> Mapping[str, object]:
    return {"status": status, "reason": reason} if reason else {"status": status}


def _source(statistics: SourceStatistics) -> Mapping[str, object]:
    if statistics.up is None:
        off = statistics.reason
        return _part("off", off) if off else _part("unknown", "nothing has been asked of it yet")
    return _part(HEALTHY if statistics.up else "unavailable", "" if statistics.up else statistics.reason)


def _heartbeat(of: AgentHeartbeat) -> Mapping[str, object]:
    return {
        "next_due": of.next_due_at and clock.rfc3339(of.next_due_at),
        "last_fired": of.last_fired_at and clock.rfc3339(of.last_fired_at),
        "healthy": of.healthy,
        "result": of.last and of.last.reason,
    }
