"""What the sidecar tells about itself, as plain data: `/health*`, `/status`, `/api/*`, and the gauges.

Everything is read from its owner at the moment of the question.
"""

from collections.abc import Iterator
from typing import Any, Final

import trio
from prometheus_client.core import Metric

from proxy import __version__
from proxy.agents import AgentRow, Agents
from proxy.blockage import REASONS
from proxy.core.band import Band
from proxy.core.decisions import LaneStatistics
from proxy.core.evidence import Evidence
from proxy.core.retreat import RetreatState
from proxy.gate import Gate, wall_at
from proxy.metrics import PROVIDER, Metrics, build_info
from proxy.settings import Settings
from proxy.upstream import Upstream
from shared import clock
from shared.gauges import counter, gauge, labelled
from shared.lifecycle import Lifecycle

_Json = dict[str, Any]

HEALTHY_QUEUE_SHARE: Final = 0.9

_STATE_NUMBERS: Final = {RetreatState.NORMAL: 0, RetreatState.RETREAT: 1, RetreatState.RECOVER: 2}


class Status:
    """Reads its owners; owns nothing."""

    def __init__(
        self,
        settings: Settings,
        *,
        gate: Gate,
        upstream: Upstream,
        agents: Agents,
        metrics: Metrics,
        lifecycle: Lifecycle,
    ) -> None:
        self._settings = settings
        self._gate = gate
        self._upstream = upstream
        self._agents = agents
        self._metrics = metrics
        self._lifecycle = lifecycle
        self._started_at = trio.current_time()

    @property
    def uptime(self) -> float:
        """Seconds since the start."""
        return trio.current_time() - self._started_at

    def health(self) -> _Json:
        """Alive."""
        return {"status": "ok", "uptime": round(self.uptime, 3), "version": __version__}

    def ready(self, *, upstream_reachable: bool) -> _Json:
        """Worth sending requests to. An empty bucket is normal work and does not unready."""
        lane = self._gate.statistics()
        queue_healthy = self._utilization(lane) < HEALTHY_QUEUE_SHARE
        return {
            "ready": upstream_reachable and queue_healthy and not self._lifecycle.draining,
            "upstream_reachable": upstream_reachable,
            "queue_healthy": queue_healthy,
            "token_bucket_healthy": lane.tokens >= 1,
            "draining": self._lifecycle.draining,
            "degraded": self._gate.degraded,
        }

    def status(self) -> _Json:
        """The whole picture, for people and dashboards."""
        lane, tally, retreat = self._gate.statistics(), self._metrics.tally, self._gate.retreat
        return {
            "requests": {
                "total": tally.total,
                "nvidia": tally.nvidia,
                "passthrough": tally.passthrough,
                "ratelimited": tally.ratelimited,
            },
            "errors": {
                "queue_full_rejects": tally.queue_full_rejects,
                "upstream_errors": tally.upstream_errors,
            },
            "queue": {
                "max_size": self._settings.queue_max_size,
                "current_size": sum(lane.depth.values()),
                "total_enqueued": lane.enqueued,
                "total_dequeued": lane.dequeued,
                "total_dropped": lane.dropped,
                "depth_by_priority": {band.label: lane.depth[band] for band in Band},
                "full_policy": self._settings.effective_queue_full_policy,
                "utilization": round(self._utilization(lane), 4),
            },
            "token_bucket": {
                "tokens": round(lane.tokens, 3),
                "capacity": lane.capacity,
                "rate_per_minute": lane.effective_rpm,
                "utilization": round(lane.window_used / lane.window_limit, 4),
            },
            "retreat": {
                "state": retreat.state.value,
                "effective_rpm": lane.effective_rpm,
                "base_rpm": retreat.base_rpm,
                "learnt_ceiling_rpm": retreat.ceiling_rpm,
                "upstream_429_rate": round(self._gate.throttled_share, 4),
            },
            "lanes": [self._lane(lane)],
            "models": self._models(lane),
            "uptime_seconds": round(self.uptime, 3),
        }

    def capacity(self) -> _Json:
        """For whoever decides how much work to start: the lane, and what of it can be used."""
        lane = self._gate.statistics()
        models = {
            model["id"]: {name: model[name] for name in ("blocked", "limit", "paused_until")}
            for model in self._models(lane)
        }
        capacity = {**self._lane_capacity(lane), "models": models}
        usable = {"effective_rpm": 0.0, "spare_rpm": 0.0} if self._gate.blocked() else {}
        only = {"name": PROVIDER, **capacity, "at_floor": self._gate.retreat.at_floor}
        return {**capacity, **usable, "lanes": [only]}

    def agents(self) -> list[_Json]:
        """Who waits is not stuck."""
        now = trio.current_time()
        return [_agent(row, now) for row in self._agents.rows()]

    def gauges(self) -> Iterator[Metric]:
        """For Prometheus, at the moment of the scrape."""
        lane, retreat = self._gate.statistics(), self._gate.retreat
        blocked = {reason.reason for reason in self._gate.blocked()}
        depth = {(band.label,): float(lane.depth[band]) for band in Band}
        reasons = {(reason,): float(reason in blocked) for reason in REASONS}
        limits = {(model,): float(known.limit) for model, known in lane.models.items() if known.limit}
        ready = self.ready(upstream_reachable=self._upstream.is_up)["ready"]
        yield gauge("sidecar_tokens_available", "Requests that could be sent at once", lane.tokens)
        yield gauge("sidecar_tokens_rate", "Tokens per minute", lane.effective_rpm)
        yield labelled("sidecar_queue_depth", "Waiting requests", ["priority"], depth)
        yield gauge("sidecar_queue_max", "Requests that may wait", self._settings.queue_max_size)
        yield gauge("sidecar_health_status", "1 while ready for requests", float(ready))
        yield gauge("sidecar_uptime_seconds", "Seconds since the start", self.uptime)
        yield gauge("sidecar_retreat_state", "0 normal, 1 retreat, 2 recover", _STATE_NUMBERS[retreat.state])
        yield gauge("sidecar_effective_rate_rpm", "The rate that holds now", lane.effective_rpm)
        yield gauge("sidecar_upstream_429_rate", "Share of 429s, 0 to 1", self._gate.throttled_share)
        yield gauge("sidecar_window_used", "Slots of the sliding window that are held", lane.window_used)
        yield gauge("sidecar_window_limit", "Slots of the sliding window", lane.window_limit)
        yield gauge("sidecar_inflight", "Requests that are with the upstream", self._agents.in_flight)
        yield gauge("sidecar_upstream_up", "1 if the upstream can be reached", float(self._upstream.is_up))
        yield labelled("sidecar_lane_blocked", "1 while the key is refused", ["reason"], reasons)
        if limits:
            yield labelled(
                "sidecar_model_limit", "Requests at once, of models with full workers", ["model"], limits
            )
        yield counter("sidecar_foreign_429", "429s while our own window had room", self._gate.foreign.count)
        yield build_info()

    def _utilization(self, lane: LaneStatistics) -> float:
        return sum(lane.depth.values()) / self._settings.queue_max_size

    def _lane(self, lane: LaneStatistics) -> _Json:
        return {
            "name": PROVIDER,
            **self._lane_capacity(lane),
            "tokens": round(lane.tokens, 3),
            "outside_queue": lane.outside,
            "foreign_429": self._gate.foreign.count,
            "learnt": self._learnt(),
            "degraded": self._gate.degraded,
        }

    def _lane_capacity(self, lane: LaneStatistics) -> _Json:
        blocked = next(iter(self._gate.blocked()), None)
        return {
            "effective_rpm": lane.effective_rpm,
            "spare_rpm": round(lane.spare_rpm, 3),
            "window_used": lane.window_used,
            "window_limit": lane.window_limit,
            "queue_depth": sum(lane.depth.values()),
            "expected_wait_seconds": {band.label: round(lane.expected_wait[band], 3) for band in Band},
            "retreat_state": self._gate.retreat.state.value,
            "quiet_until": None if lane.quiet_until is None else _time(lane.quiet_until),
            "blocked": blocked and {"reason": blocked.reason, "since": clock.rfc3339(blocked.since)},
        }

    def _learnt(self) -> _Json:
        """What speaks for a lower rate, another spender of this key, a broken upstream; null: nothing."""
        ceiling, foreign = self._gate.retreat.ceiling, self._gate.foreign.evidence(trio.current_time())
        down = self._gate.down_evidence
        return {
            "ceiling": ceiling
            and {
                "rpm": ceiling.rpm,
                "met_at_rpm": ceiling.met_at_rpm,
                "share_of_429": round(ceiling.share, 3),
                "answers": ceiling.answers,
                "at": _time(ceiling.learnt_at),
            },
            "another_spender": foreign and _evidence(foreign),
            "upstream_down": down and _evidence(down),
        }

    def _models(self, lane: LaneStatistics) -> list[_Json]:
        """Those of which anything is known: what it is, and what it is known from."""
        limited = self._gate.retreat.limited_models(trio.current_time())
        return [
            {
                "id": model,
                "blocked": known.blocked,
                "blocked_until": _time_or_none(known.blocked_until),
                "limit": known.limit,
                "in_flight": known.in_flight,
                "paused_until": _time_or_none(known.paused_until),
                "own_rate_limit": limited.get(model),
                "evidence": [_evidence(seen) for seen in known.evidence],
            }
            for model, known in sorted(lane.models.items())
        ]


def _agent(row: AgentRow, now: float) -> _Json:
    oldest = min(row.waiting_since.values(), default=None)
    return {
        "agent": row.agent,
        "session": row.session,
        "queued": len(row.waiting_since),
        "in_flight": row.in_flight,
        "oldest_wait_seconds": 0 if oldest is None else round(now - oldest, 3),
        "last_answer_at": None if row.last_answer_at is None else clock.rfc3339(row.last_answer_at),
        "requests": row.requests,
        "throttled": row.throttled,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
    }


def _evidence(seen: Evidence) -> _Json:
    """What was seen, how often, from when to when."""
    return {
        "what": seen.what,
        "count": seen.count,
        "first_at": _time(seen.first_at),
        "last_at": _time(seen.last_at),
    }


def _time_or_none(trio_time: float | None) -> str | None:
    return None if trio_time is None else _time(trio_time)


def _time(trio_time: float) -> str:
    return clock.rfc3339(wall_at(trio_time))
