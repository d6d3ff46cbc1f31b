"""A real OpenClaw agent does a task, in a real gateway, through the sidecar, while the scheduler dies."""

import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.integration.openclaw.gateway import RealGateway, run_gateway
from tests.integration.processes import Simulator, run_sidecar, run_simulator, until
from tests.integration.scheduler.daemons import Scheduler, open_store, run_scheduler

pytestmark = [pytest.mark.integration, pytest.mark.needs("openclaw")]

CHAT = "/v1/chat/completions"
ANSWER = "This is the simulated upstream."
SECONDS = 120.0
"""For what takes ten on two idle cores."""


async def test_a_task_ends_done_by_the_agents_answer_though_the_scheduler_was_killed_in_the_middle(
    tmp_path: Path,
) -> None:
    """One run, one conversation with the model, one output: the successor finds the run of the killed one."""
    async with (
        run_simulator(tmp_path) as simulator,
        run_sidecar(upstream=simulator.url, state_dir=_made(tmp_path / "sidecar")) as sidecar,
        run_gateway(_made(tmp_path / "openclaw"), sidecar) as gateway,
    ):
        await simulator.configure(latency=20)
        env = _environment(gateway, sidecar.port)
        async with run_scheduler(tmp_path, env=env) as first:
            task = await first.create("What are you?", assignee="ops", priority="high")
            await _under_way(simulator)
            await until(lambda: first.log_lines("run_started"), SECONDS)
            assert (await first.task(task))["status"] == "claimed"
            await first.kill()

        async with run_scheduler(tmp_path, env=env) as second:
            await _ticked_until_done(second, task)
            thread = await second.task(task)
            assert not second.log_lines("run_started"), "it went on; nothing was started anew"
            with open_store(second) as store:
                (attempt,) = store.thread(task).attempts
                (output,) = store.thread(task).outputs
                assert store.output_file(output).read_text() == ANSWER
        assert (output.name, output.final) == ("answer.md", True)
        assert (attempt.epoch, attempt.end, attempt.turns) == (1, "ok", 1)
        assert thread["attempt"] == 1
        (asked,) = await simulator.requests(CHAT)
        headers = {name.lower(): value for name, value in asked["headers"]}
        assert headers["authorization"] == "Bearer nvapi-of-the-sidecar"


def _environment(gateway: RealGateway, sidecar_port: int) -> dict[str, str]:
    """The scheduler's: the gateway's own home and node, the sidecar, ticks only when they are asked for."""
    return {
        **gateway.environ,
        "SCHEDULER_RUNNER": "openclaw",
        "SCHEDULER_OPENCLAW": shlex.join(gateway.command),
        "SCHEDULER_SIDECAR_URL": f"http://127.0.0.1:{sidecar_port}",
    }


async def _under_way(simulator: Simulator) -> None:
    async def waiting() -> bool:
        return bool((await simulator.stats())["in_flight"] == 1)

    look: Callable[[], bool | Awaitable[bool]] = waiting
    await until(look, SECONDS)


async def _ticked_until_done(scheduler: Scheduler, task: str) -> None:
    async def done() -> bool:
        await scheduler.do("/api/daemon/tick")
        return bool((await scheduler.task(task))["status"] == "done")

    look: Callable[[], bool | Awaitable[bool]] = done
    await until(look, SECONDS)


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
