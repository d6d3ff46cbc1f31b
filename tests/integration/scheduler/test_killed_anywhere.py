"""`kill -9` at each step of a tick and of a start: one start, one result, nothing lost or done twice."""

import shlex
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from tests.integration.processes import until
from tests.integration.scheduler.daemons import (
    Scheduler,
    blackboard,
    open_store,
    run_once,
    run_scheduler,
    settings,
)
from tests.openclaw_stand_in import StandIn

pytestmark = pytest.mark.integration

STORE = "scheduler.blackboard.store:Store"
RUNNER = "scheduler.runs.openclaw:OpenClawRunner"
TICKETS = "scheduler.tickets:Tickets"

START = [
    f"{STORE}.claim before 1",
    f"{STORE}.claim after 1",
    f"{TICKETS}.write before 1",
    f"{TICKETS}.write after 1",
    f"{RUNNER}.start before 1",
    "scheduler.gateway:Gateway.call before 1",
    "scheduler.gateway:Gateway.call after 1",
    f"{RUNNER}.start after 1",
    f"{STORE}.change_attempt before 1",
    f"{STORE}.change_attempt after 1",
]
END = [
    f"{STORE}.hand_in before 1",
    f"{STORE}.hand_in after 1",
    f"{STORE}.change_attempt before 2",
    f"{STORE}.change_attempt after 2",
    f"{TICKETS}.remove before 1",
    f"{TICKETS}.remove after 1",
    "scheduler.reviewing:Reviewing._check before 1",
    "scheduler.reviewing:Reviewing._check after 1",
    f"{RUNNER}.archive before 1",
    f"{STORE}.archived before 1",
    f"{STORE}.archived after 1",
]
SOME = {START[6]}
"""The one that would hurt most: the gateway has begun, and nobody has heard. All of them are CI's."""


def _named(point: str) -> str:
    return point.rpartition(":")[2].replace(" ", "-")


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(point, id=_named(point), marks=() if point in SOME else pytest.mark.needs("minutes"))
        for point in (*START, *END)
    ],
)
async def test_a_kill_at_any_point_costs_nothing(tmp_path: Path, point: str) -> None:
    stand_in = StandIn(tmp_path)
    stand_in.script(answer="The result.", after_looks=1)
    env = {
        "SCHEDULER_RUNNER": "openclaw",
        "SCHEDULER_OPENCLAW": shlex.join(stand_in.command),
        "SCHEDULER_TICK_SECONDS": "3600",  # what happens is the first tick's, or was asked for
    }
    with trio.fail_after(60):
        made = await blackboard(tmp_path, "create", "--title", "a task", "--assignee", "ops", env=env)
        assert made.code == 0, made.stderr

        killing = ["tests.integration.scheduler.killing", point]
        doomed = await run_once(
            tmp_path, killing, settings(tmp_path, {**env, "SCHEDULER_TICK_SECONDS": "0.2"})
        )
        assert doomed.code == -signal.SIGKILL, doomed.stdout + doomed.stderr

        async with run_scheduler(tmp_path, env=env) as scheduler:
            if point in START:
                # Within its first tick, which nobody asked for, what was begun is taken up.
                await until(lambda: stand_in.starts_of("T-0001.1") == 1)
            await _tick_until(scheduler, "T-0001", "done")
            await _tick_until_archived(scheduler)
            with open_store(scheduler) as store:
                thread = store.thread("T-0001")
        assert [start.run_id for start in stand_in.starts()] == ["T-0001.1"]
        assert [attempt.epoch for attempt in thread.attempts] == [1]
        assert [output.name for output in thread.outputs] == ["answer.md"]
        assert not list((scheduler.state_dir / "tickets").iterdir())


async def _tick_until(scheduler: Scheduler, task: str, status: str) -> None:
    async def stands() -> bool:
        await scheduler.do("/api/daemon/tick")
        return bool((await scheduler.task(task))["status"] == status)

    look: Callable[[], bool | Awaitable[bool]] = stands
    await until(look, 20)


async def _tick_until_archived(scheduler: Scheduler) -> None:
    async def archived() -> bool:
        await scheduler.do("/api/daemon/tick")
        with open_store(scheduler) as store:
            attempt = store.attempt("T-0001", 1)
        return attempt is not None and attempt.archived_at is not None

    look: Callable[[], bool | Awaitable[bool]] = archived
    await until(look, 20)
