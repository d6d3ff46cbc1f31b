"""The names that dashboards and alerts know."""

import re
from dataclasses import replace

from prometheus_client import generate_latest

from scheduler.core.capacity import CallerActivity
from scheduler.core.states import Status
from scheduler.core.task import Task
from scheduler.metrics import AgentPicture, BoardPicture, DaemonPicture, Metrics, agent_pictures

CONTRACT = {
    "agent_429_error_rate": "gauge",
    "agent_heartbeat_status": "gauge",
    "agent_response_time_seconds": "gauge",
    "agent_task_stagnation_seconds": "gauge",
    "agent_workboard_pending": "gauge",
    "audit_buffer_size": "gauge",
    "http_requests_total": "counter",
    "runtime_action_duration_seconds": "histogram",
    "runtime_action_executions_total": "counter",
    "scheduler_build_info": "gauge",
    "scheduler_calls_avoided_total": "counter",
    "scheduler_claims_total": "counter",
    "scheduler_heartbeat_lateness_seconds": "histogram",
    "scheduler_last_tick_timestamp_seconds": "gauge",
    "scheduler_openclaw_up": "gauge",
    "scheduler_outbox_pending": "gauge",
    "scheduler_sessions_active": "gauge",
    "scheduler_source_up": "gauge",
    "scheduler_tasks": "gauge",
    "scheduler_tick_seconds": "histogram",
    "scheduler_ticks_total": "counter",
}

BUSY = DaemonPicture(
    sessions_active=2,
    calls_avoided=7,
    audit_buffered=3,
    last_tick_at=1_000.0,
    openclaw_up=True,
    agents=(AgentPicture("coo", "Chief", 60.0, 0.25, 1.5, heartbeat=True),),
    sources_up={"workboard": True, "multica": False},
)


def page(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def ours(text: str) -> dict[str, str]:
    kinds: dict[str, str] = dict(re.findall(r"^# TYPE (\S+) (\w+)$", text, flags=re.MULTILINE))
    return {name: kind for name, kind in kinds.items() if not name.startswith(("python_", "process_"))}


BOARDS = {"agent_workboard_pending", "scheduler_outbox_pending", "scheduler_tasks"}


def test_every_name_of_the_contract_is_there_with_its_kind() -> None:
    metrics = Metrics()
    metrics.watch(lambda: BUSY)
    metrics.look_at(BoardPicture({Status.PENDING: 4}, outbox_pending=1))
    assert ours(page(metrics)) == CONTRACT


def test_what_is_not_known_has_a_name_and_no_sample() -> None:
    metrics = Metrics()
    metrics.watch(lambda: DaemonPicture(sessions_active=0, calls_avoided=0, audit_buffered=0))
    shown = page(metrics)
    assert set(CONTRACT) - set(ours(shown)) == BOARDS, "of a board that cannot be asked nothing is said"
    assert {name for name in ours(shown) if not re.search(rf"^{name}[^\n]* \S+$", shown, re.MULTILINE)} == {
        "agent_429_error_rate",
        "agent_heartbeat_status",
        "agent_response_time_seconds",
        "agent_task_stagnation_seconds",
        "http_requests_total",
        "runtime_action_duration_seconds",
        "runtime_action_executions_total",
        "scheduler_last_tick_timestamp_seconds",
        "scheduler_openclaw_up",
        "scheduler_source_up",
    }


def test_a_board_that_went_away_takes_its_numbers_with_it() -> None:
    metrics = Metrics()
    metrics.watch(lambda: BUSY)
    metrics.look_at(BoardPicture({Status.PENDING: 4}, outbox_pending=1))
    assert 'scheduler_tasks{status="pending"} 4.0' in page(metrics)
    metrics.look_at(None)
    assert "scheduler_tasks" not in page(metrics)


def test_what_happened_is_counted() -> None:
    metrics = Metrics()
    metrics.ticked("ok", 0.02)
    metrics.claimed("claimed")
    metrics.claimed("already_claimed")
    metrics.acted("start", "failed", 1.5)
    metrics.answered(404)
    value = metrics.registry.get_sample_value
    assert value("scheduler_ticks_total", {"outcome": "ok"}) == 1
    assert value("scheduler_ticks_total", {"outcome": "failed"}) == 0
    assert value("scheduler_tick_seconds_count") == 1
    assert value("scheduler_claims_total", {"outcome": "already_claimed"}) == 1
    assert value("runtime_action_executions_total", {"action_name": "start", "status": "failed"}) == 1
    assert value("runtime_action_duration_seconds_sum", {"action_name": "start"}) == 1.5
    assert value("http_requests_total", {"status": "404"}) == 1


def test_what_waits_is_told_by_what_it_waits_for() -> None:
    metrics = Metrics()
    metrics.watch(lambda: BUSY)
    metrics.look_at(BoardPicture({Status.PENDING: 4, Status.REVIEW: 1, Status.DONE: 9}, outbox_pending=0))
    value = metrics.registry.get_sample_value
    assert value("agent_workboard_pending", {"type": "pending"}) == 4
    assert value("agent_workboard_pending", {"type": "review"}) == 1
    assert value("agent_workboard_pending", {"type": "blocked"}) == 0
    assert value("agent_workboard_pending", {"type": "done"}) is None
    assert value("scheduler_tasks", {"status": "done"}) == 9


def test_heartbeats_and_sources_are_told_as_they_are_known() -> None:
    metrics = Metrics()
    ann, bob = AgentPicture("ann", "Ann", 0.0, heartbeat=False), AgentPicture("bob", "Bob", 0.0)
    metrics.watch(lambda: replace(BUSY, agents=(*BUSY.agents, ann, bob)))
    metrics.heartbeat_fired(0.7)
    value = metrics.registry.get_sample_value
    assert value("agent_heartbeat_status", {"agent_name": "coo", "agent_label": "Chief"}) == 1
    assert value("agent_heartbeat_status", {"agent_name": "ann", "agent_label": "Ann"}) == 0
    assert value("agent_heartbeat_status", {"agent_name": "bob", "agent_label": "Bob"}) is None
    assert value("scheduler_source_up", {"source": "workboard"}) == 1
    assert value("scheduler_source_up", {"source": "multica"}) == 0
    assert value("scheduler_heartbeat_lateness_seconds_sum") == 0.7


def test_names_helps_and_units_are_as_prometheus_wants_them() -> None:
    """What `promtool check metrics` looks at, for the names that are ours."""
    metrics = Metrics()
    metrics.watch(lambda: BUSY)
    metrics.look_at(BoardPicture({}, outbox_pending=0))
    text = page(metrics)
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", text, flags=re.MULTILINE))
    for name, kind in ours(text).items():
        assert helps[name].strip()
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        assert name.endswith("_total") == (kind == "counter")
        assert not name.endswith(("_count", "_sum", "_bucket", "_gauge", "_counter", "_histogram"))
        assert not re.search(r"_(ms|milliseconds|minutes|hours|kilobytes|percent)(_|$)", name)


def test_an_agent_stands_still_since_the_last_progress_of_what_it_holds() -> None:
    task = Task(number=1, title="x", created_at=0.0, updated_at=50.0, status=Status.WORKING, claimant="coo")
    held = [
        replace(task, progress_at=100.0),
        replace(task, claimant="ann", progress_at=10.0, excused_at=190.0),
        replace(task, claimant="bob", status=Status.REVIEW, progress_at=1.0),
        replace(task, claimant=None, status=Status.PENDING),
    ]
    pictures = agent_pictures({"coo": "Chief", "eve": "Eve"}, held, [], 200.0)
    assert {each.name: each.stagnation_seconds for each in pictures} == {
        "ann": 10.0,
        "coo": 100.0,
        "eve": 0.0,
    }
    assert [each.label for each in pictures] == ["ann", "Chief", "Eve"]


def test_sessions_of_an_agent_are_added_up_and_strangers_left_out() -> None:
    activities = [
        CallerActivity("coo", "a", requests=30, throttled=3, oldest_wait_seconds=1.0),
        CallerActivity("coo", "b", requests=10, throttled=7, oldest_wait_seconds=4.0),
        CallerActivity("eve", "c"),
        CallerActivity("whatever a client calls itself", requests=10),
    ]
    pictures = agent_pictures({"coo": "Chief", "eve": "Eve", "ann": "Ann"}, [], activities, 0.0)
    assert {each.name: (each.throttled_share, each.response_seconds) for each in pictures} == {
        "ann": (None, None),
        "coo": (0.25, 4.0),
        "eve": (0.0, 0.0),
    }
