"""The scheduler's counts and times for Prometheus. Names are a contract with dashboards and alerts.

Counters move when something happens. Gauges are read at the moment of the scrape: from the daemon by a
callable that answers a frozen picture, from the board by `look_at`. What cannot be known (the board is away,
nobody has asked OpenClaw yet) is left out of the page, because a zero would be a statement. No task, no
session and no foreign name stands in a label: cardinality stays low.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import Metric

from scheduler.core.capacity import CallerActivity
from scheduler.core.states import Status
from scheduler.core.task import Task
from scheduler.version import __version__
from shared.gauges import Gauges, counter, gauge, labelled

TICK_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
LATENESS_BUCKETS: Final = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
ACTION_BUCKETS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

WAITS: Final = (Status.PENDING, Status.REVIEW, Status.BLOCKED)
"""What `agent_workboard_pending` counts: waiting for a start, for a decision, for somebody's help."""


@dataclass(frozen=True, slots=True)
class AgentPicture:
    """One agent at one moment."""

    name: str
    label: str
    stagnation_seconds: float
    """since the last progress of what it works on; 0 where it holds nothing"""
    throttled_share: float | None = None
    """of its requests, by the sidecar's count; None where the sidecar does not know it"""
    response_seconds: float | None = None
    """how long its oldest request has been waiting for an answer; None likewise"""
    heartbeat: bool | None = None
    """False: none for two periods; None: it has none, or its first is yet to come"""


@dataclass(frozen=True, slots=True)
class DaemonPicture:
    """What the daemon knows at one moment, without asking anybody."""

    sessions_active: int
    calls_avoided: int
    audit_buffered: int
    last_tick_at: float | None = None
    """Unix seconds; None: there was none yet"""
    openclaw_up: bool | None = None
    """None: nobody has asked yet"""
    agents: tuple[AgentPicture, ...] = ()
    sources_up: Mapping[str, bool] = field(default_factory=dict)
    """by the name of the source; those that were asked"""


@dataclass(frozen=True, slots=True)
class BoardPicture:
    """What the board counts."""

    tasks: Mapping[Status, int]
    outbox_pending: int


class Metrics:
    """Owner of all counters, and of the last picture of the board."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # series that nobody reads
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._board: BoardPicture | None = None
        registry = self.registry
        self._tick_seconds = Histogram(
            "scheduler_tick_seconds", "How long ticks take", buckets=TICK_BUCKETS, registry=registry
        )
        self._ticks = Counter("scheduler_ticks", "Ticks by how they ended", ["outcome"], registry=registry)
        self._claims = Counter(
            "scheduler_claims", "Claims by what came of them", ["outcome"], registry=registry
        )
        self._actions = Counter(
            "runtime_action_executions",
            "Actions of the scheduler by how they ended",
            ["action_name", "status"],
            registry=registry,
        )
        self._action_seconds = Histogram(
            "runtime_action_duration_seconds",
            "How long actions of the scheduler take",
            ["action_name"],
            buckets=ACTION_BUCKETS,
            registry=registry,
        )
        self._lateness = Histogram(
            "scheduler_heartbeat_lateness_seconds",
            "From the time at which a heartbeat was due until it fired",
            buckets=LATENESS_BUCKETS,
            registry=registry,
        )
        self._requests = Counter(
            "http_requests", "HTTP requests answered, by status code", ["status"], registry=registry
        )
        for outcome in ("ok", "failed"):
            self._ticks.labels(outcome)
        self._claims.labels("claimed")

    def watch(self, daemon: Callable[[], DaemonPicture]) -> None:
        """Have this read at every scrape."""
        self.registry.register(Gauges(lambda: self._gauges(daemon())))

    def look_at(self, board: BoardPicture | None) -> None:
        """What the board counts now; None: it could not be asked."""
        self._board = board

    def ticked(self, outcome: str, seconds: float) -> None:
        """A tick is over."""
        self._ticks.labels(outcome).inc()
        self._tick_seconds.observe(seconds)

    def claimed(self, outcome: str) -> None:
        """Somebody wanted a task: `claimed`, or the code of the refusal."""
        self._claims.labels(outcome).inc()

    def acted(self, action: str, status: str, seconds: float) -> None:
        """One of the scheduler's own actions is over; both names are the program's, never foreign text."""
        self._actions.labels(action, status).inc()
        self._action_seconds.labels(action).observe(seconds)

    def heartbeat_fired(self, lateness_seconds: float) -> None:
        """An agent had its heartbeat."""
        self._lateness.observe(lateness_seconds)

    def answered(self, status: int) -> None:
        """A request over HTTP was answered."""
        self._requests.labels(str(status)).inc()

    def _gauges(self, daemon: DaemonPicture) -> Iterator[Metric]:
        yield gauge("scheduler_sessions_active", "Runs that are alive in OpenClaw", daemon.sessions_active)
        yield counter(
            "scheduler_calls_avoided", "Model calls that were not made for want of news", daemon.calls_avoided
        )
        yield gauge("audit_buffer_size", "Audit records that no store has yet", daemon.audit_buffered)
        yield gauge(
            "scheduler_last_tick_timestamp_seconds",
            "When the last tick ended, in Unix time",
            daemon.last_tick_at,
        )
        yield gauge("scheduler_openclaw_up", "1 if OpenClaw's gateway answers", daemon.openclaw_up)
        yield labelled("scheduler_build_info", "The version that runs", ["version"], {(__version__,): 1})
        yield labelled(
            "scheduler_source_up",
            "1 if the task source answered when it was last asked",
            ["source"],
            {(name,): float(up) for name, up in daemon.sources_up.items()},
        )
        yield from _of_agents(daemon.agents)
        yield _of_heartbeats(daemon.agents)
        if self._board is not None:
            yield from _of_board(self._board)


def agent_pictures(
    labels: Mapping[str, str],
    held: Iterable[Task],
    activities: Iterable[CallerActivity],
    now: float,
    heartbeats: Mapping[str, bool] = MappingProxyType({}),
) -> tuple[AgentPicture, ...]:
    """Of the roster's agents (`labels`, by id) and of those that hold a task; in alphabetical order.

    Names that only the sidecar has heard are left out: any client can call itself anything there.
    """
    still_since: dict[str, float] = {}
    for task in held:
        if task.claimant is not None and task.held:
            since = max(task.progress_at or task.updated_at, task.excused_at or 0.0)
            still_since[task.claimant] = min(since, still_since.get(task.claimant, since))
    sessions: dict[str, list[CallerActivity]] = {}
    for activity in activities:
        sessions.setdefault(activity.agent, []).append(activity)
    return tuple(
        AgentPicture(
            name,
            labels.get(name, name),
            max(0.0, now - still_since.get(name, now)),
            _throttled_share(sessions.get(name)),
            max((each.oldest_wait_seconds for each in sessions.get(name, ())), default=None),
            heartbeats.get(name),
        )
        for name in sorted(labels.keys() | still_since.keys())
    )


def _throttled_share(sessions: list[CallerActivity] | None) -> float | None:
    if sessions is None:
        return None
    requests = sum(each.requests for each in sessions)
    return sum(each.throttled for each in sessions) / requests if requests else 0.0


def _of_agents(agents: tuple[AgentPicture, ...]) -> Iterator[Metric]:
    yield labelled(
        "agent_task_stagnation_seconds",
        "Time since an agent's task last made progress, 0 without a task",
        ["agent_name", "agent_label"],
        {(each.name, each.label): each.stagnation_seconds for each in agents},
    )
    yield labelled(
        "agent_429_error_rate",
        "Share of an agent's requests that were throttled, 0 to 1",
        ["agent_name"],
        {(each.name,): each.throttled_share for each in agents if each.throttled_share is not None},
    )
    yield labelled(
        "agent_response_time_seconds",
        "Age of an agent's oldest request that waits in the sidecar",
        ["agent_name", "agent_label"],
        {
            (each.name, each.label): each.response_seconds
            for each in agents
            if each.response_seconds is not None
        },
    )


def _of_heartbeats(agents: tuple[AgentPicture, ...]) -> Metric:
    return labelled(
        "agent_heartbeat_status",
        "1 if an agent has its heartbeats, 0 if it had none for two periods",
        ["agent_name", "agent_label"],
        {(each.name, each.label): float(each.heartbeat) for each in agents if each.heartbeat is not None},
    )


def _of_board(board: BoardPicture) -> Iterator[Metric]:
    yield labelled(
        "scheduler_tasks",
        "Tasks on the board",
        ["status"],
        {(status.value,): board.tasks.get(status, 0) for status in Status},
    )
    yield labelled(
        "agent_workboard_pending",
        "Tasks that wait: pending for a start, review for a decision, blocked for help",
        ["type"],
        {(status.value,): board.tasks.get(status, 0) for status in WAITS},
    )
    yield gauge("scheduler_outbox_pending", "Messages that are not delivered yet", board.outbox_pending)
