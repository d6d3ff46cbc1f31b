"""What the scheduler tells about itself, and what an operator may ask of it while it runs."""

import json
import os
import socket
from pathlib import Path

import pytest
import trio

from tests.integration.processes import run_sidecar, until
from tests.integration.scheduler.daemons import Said, blackboard, run_once, run_scheduler, settings
from tests.openclaw_stand_in import StandIn

pytestmark = [pytest.mark.integration, pytest.mark.needs("minutes")]

SERIES = (
    "agent_task_stagnation_seconds",
    "agent_429_error_rate",
    "agent_response_time_seconds",
    "agent_workboard_pending",
    "http_requests_total",
    "runtime_action_executions_total",
    "runtime_action_duration_seconds",
    "audit_buffer_size",
    "scheduler_tick_seconds",
    "scheduler_ticks_total",
    "scheduler_tasks",
    "scheduler_sessions_active",
    "scheduler_claims_total",
    "scheduler_calls_avoided_total",
    "scheduler_outbox_pending",
    "scheduler_last_tick_timestamp_seconds",
    "scheduler_openclaw_up",
    "scheduler_build_info",
)


async def test_a_scheduler_with_nothing_to_do_and_all_it_needs_is_healthy(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with run_sidecar(
            upstream="http://127.0.0.1:9", state_dir=_made(tmp_path / "sidecar")
        ) as sidecar:
            env = {"SCHEDULER_SIDECAR_URL": f"http://127.0.0.1:{sidecar.port}"}
            async with run_scheduler(tmp_path, env=env) as scheduler:
                await scheduler.do("/api/daemon/tick")
                code, page = await scheduler.health()
                assert (code, page["status"]) == (200, "healthy"), page
                assert set(page["components"]) >= {
                    *("database", "audit_logger", "sidecar", "openclaw", "sources", "alerts")
                }


async def test_without_its_sidecar_it_is_degraded_and_goes_on(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with trio.fail_after(30):
        async with run_scheduler(
            tmp_path, env={"SCHEDULER_SIDECAR_URL": f"http://127.0.0.1:{port}"}
        ) as scheduler:
            await scheduler.do("/api/daemon/tick")
            code, page = await scheduler.health()
            assert (code, page["status"]) == (200, "degraded")
            assert page["components"]["sidecar"]["status"] == "degraded"
            assert (await scheduler.json("/api/daemon/status"))["ticker_running"]


async def test_with_the_gateway_down_it_is_degraded_and_says_so_on_the_task(tmp_path: Path) -> None:
    stand_in = StandIn(_made(tmp_path / "openclaw"))
    stand_in.go_down()
    env = {"SCHEDULER_RUNNER": "openclaw", "SCHEDULER_OPENCLAW": str(stand_in.program)}
    with trio.fail_after(30):
        async with run_scheduler(tmp_path, env=env) as scheduler:
            task = await scheduler.create(assignee="ops")
            await scheduler.do("/api/daemon/tick")
            code, page = await scheduler.health()
            assert (code, page["status"]) == (200, "degraded")
            assert page["components"]["openclaw"]["status"] == "degraded"
            assert "scheduler_openclaw_up 0.0" in await scheduler.metrics()
            because = (await scheduler.task(task))["waiting_because"]
            assert because.startswith("OpenClaw's gateway does not answer: ")
            stand_in.come_back()
            await scheduler.do("/api/daemon/tick")
            await until(lambda: stand_in.starts_of(f"{task}.1"))


async def test_without_openclaw_on_the_machine_it_is_degraded_and_the_board_works(tmp_path: Path) -> None:
    env = {"SCHEDULER_RUNNER": "openclaw", "SCHEDULER_OPENCLAW": str(tmp_path / "nowhere")}
    with trio.fail_after(30):
        async with run_scheduler(tmp_path, env=env) as scheduler:
            await scheduler.create(assignee="ops")
            await scheduler.do("/api/daemon/tick")
            _, page = await scheduler.health()
            assert page["components"]["openclaw"]["status"] == "degraded"
            assert "nowhere is not there" in page["components"]["openclaw"]["reason"]


@pytest.mark.parametrize("how", ["removed", "replaced"])
async def test_a_board_whose_file_went_away_takes_no_further_write(tmp_path: Path, how: str) -> None:
    """Or what is acknowledged would go where nobody will ever look."""
    with trio.fail_after(40):
        async with run_scheduler(tmp_path) as scheduler:
            await scheduler.create()
            kept = [scheduler.database.with_name(f"blackboard.db{suffix}") for suffix in ("", "-wal", "-shm")]
            for path in kept:
                path.rename(path.with_name(f"moved-{path.name}"))
            if how == "replaced":
                scheduler.exit_code = 1  # whoever starts it again has the new file
                assert (await blackboard(tmp_path, "init")).code == 0
                assert await scheduler.process.wait() == 1
                return
            assert (await scheduler.health())[0] == 503
            answer = await scheduler.post("/api/blackboard/tasks", {"title": "lost"})
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "database_unavailable"
            for path in kept:
                path.with_name(f"moved-{path.name}").rename(path)
            assert (await scheduler.post("/api/blackboard/tasks", {"title": "kept"})).status_code == 201


async def test_a_board_that_becomes_garbage_is_said_and_not_served_on(tmp_path: Path) -> None:
    """503 while it lives, and then exit code 1: whoever starts it again is told why it cannot be."""
    with trio.fail_after(40):
        async with run_scheduler(tmp_path) as scheduler:
            scheduler.exit_code = 1
            await scheduler.create()
            scheduler.database.with_name("blackboard.db-wal").write_bytes(b"")
            with scheduler.database.open("r+b") as file:
                file.write(os.urandom(scheduler.database.stat().st_size))
            assert await scheduler.process.wait() == 1
            (line,) = scheduler.errors.read_text().splitlines()
            assert "cannot be trusted" in line


async def test_the_metrics_page_has_every_promised_series(tmp_path: Path) -> None:
    roster = tmp_path / "agents.yaml"
    roster.write_text("agents:\n  ops: {label: Operations, class: frequent}\n")
    with trio.fail_after(30):
        async with run_scheduler(tmp_path, env={"SCHEDULER_AGENTS_FILE": str(roster)}) as scheduler:
            await scheduler.create(assignee="ops")
            await scheduler.do("/api/daemon/tick")
            page = await scheduler.metrics()
            assert 'runtime_action_executions_total{action_name="Start",status="done"} 1.0' in page
            assert 'scheduler_claims_total{outcome="claimed"} 1.0' in page
            samples = [line for line in page.splitlines() if not line.startswith("#")]
            # Of a sidecar's numbers nothing is said where there is no sidecar.
            by_sidecar = {"agent_429_error_rate", "agent_response_time_seconds"}
            missing = [
                name
                for name in SERIES
                if name not in by_sidecar and not any(line.startswith(name) for line in samples)
            ]
            assert not missing
            assert all(f"# TYPE {name.removesuffix('_total')}" in page for name in SERIES)
            assert 'agent_task_stagnation_seconds{agent_label="Operations",agent_name="ops"}' in page
            assert 'scheduler_tasks{status="pending"}' in page


async def test_a_pause_holds_over_a_restart_until_it_is_taken_back(tmp_path: Path) -> None:
    """By the API and by the command line, which knows nothing of the daemon."""
    with trio.fail_after(60):
        async with run_scheduler(tmp_path) as scheduler:
            await scheduler.do("/api/daemon/pause", {})
            await scheduler.do("/api/daemon/pause", {"agent": "ops", "for_seconds": 3600})
            task = await scheduler.create(assignee="demo")
            await scheduler.do("/api/daemon/tick")
            assert (await scheduler.task(task))["waiting_because"] == "all agents are paused"
        async with run_scheduler(tmp_path) as scheduler:
            paused = (await scheduler.json("/api/daemon/status"))["paused"]
            assert {(each["agent"], each["until"] is None) for each in paused} == {
                (None, True),
                ("ops", False),
            }
            assert (await scheduler.task(task))["status"] == "pending"
            said = await _agent_scheduler(tmp_path, "resume")
            assert (said.code, said.stdout) == (0, "every agent may work again\n")
            await scheduler.do("/api/daemon/tick")
            assert (await scheduler.task(task))["epoch"] == 1
            assert (await _agent_scheduler(tmp_path, "pause", "dev", "--for", "2h")).code == 0
            paused = (await scheduler.json("/api/daemon/status"))["paused"]
            assert {each["agent"] for each in paused} == {"ops", "dev"}


@pytest.mark.parametrize("wrong", [("pause", "--for", "soon"), ("pause", "--for", "-1h"), ("pause", "a b/c")])
async def test_a_pause_that_makes_no_sense_is_a_usage_error(tmp_path: Path, wrong: tuple[str, ...]) -> None:
    said = await _agent_scheduler(tmp_path, *wrong)
    assert said.code == 2
    assert "Traceback" not in said.stderr
    assert said.stderr


async def test_a_pause_beyond_the_calendar_is_refused(tmp_path: Path) -> None:
    said = await _agent_scheduler(tmp_path, "pause", "newcomer", "--for", "99999999999d")
    assert said.code == 2
    assert "Traceback" not in said.stderr


async def test_it_can_be_told_to_stop_ticking_and_to_begin_again(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with run_scheduler(tmp_path) as scheduler:
            await scheduler.do("/api/daemon/stop")
            status = await scheduler.json("/api/daemon/status")
            assert (status["ticker_running"], status["next_tick"]) == (False, None)
            task = await scheduler.create(assignee="demo")
            report = await scheduler.do("/api/daemon/tick")
            assert report["outcome"] == "ok"
            assert report["started"] == [task]
            await scheduler.do("/api/daemon/start")
            status = await scheduler.json("/api/daemon/status")
            assert status["ticker_running"]
            assert status["next_tick"]
            refused = await scheduler.http.post(f"{scheduler.url}/api/daemon/tick")
            assert refused.status_code == 401


async def test_what_another_process_writes_is_acted_on_within_moments(tmp_path: Path) -> None:
    """The tick is an hour away."""
    with trio.fail_after(30):
        async with run_scheduler(tmp_path, env={"SCHEDULER_TICK_SECONDS": "3600"}) as scheduler:
            await until(lambda: scheduler.log_lines("tick_completed"))
            made = await blackboard(tmp_path, "create", "--title", "x", "--assignee", "demo", "--json")
            task = json.loads(made.stdout)["id"]
            with trio.fail_after(3):
                await until(lambda: scheduler.log_lines("run_started"))
            assert (await scheduler.task(task))["epoch"] == 1


async def test_a_busy_board_makes_no_storm_of_ticks(tmp_path: Path) -> None:
    """Two hundred writes in a row are a few looks, not two hundred."""
    with trio.fail_after(60):
        async with run_scheduler(tmp_path, env={"SCHEDULER_LOG_LEVEL": "DEBUG"}) as scheduler:
            task = await scheduler.create()
            began = trio.current_time()
            for number in range(200):
                await scheduler.do(
                    f"/api/blackboard/tasks/{task}/comment", {"author": "ann", "text": str(number)}
                )
            took = trio.current_time() - began
            ticks = len(scheduler.log_lines("tick_completed"))
            assert ticks <= 4 + 2 * took


@pytest.mark.needs("postgresql")
async def test_it_lives_on_postgresql_too_and_over_its_restart(tmp_path: Path, postgres_url: str) -> None:
    env = {"SCHEDULER_DATABASE_URL": postgres_url}
    with trio.fail_after(60):
        async with run_scheduler(tmp_path, env=env) as scheduler:
            task = await scheduler.create(assignee="demo", max_attempts=1)
            await scheduler.until_task(task, "failed")
            assert (await scheduler.health())[1]["components"]["database"]["status"] == "healthy"
            assert "board:password-of-the-board" not in scheduler.said()
            assert await scheduler.terminate() == 0
        assert "password-of-the-board" not in scheduler.said()


async def _agent_scheduler(directory: Path, *argv: str) -> Said:
    return await run_once(directory, ["scheduler", *argv], settings(directory))


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
