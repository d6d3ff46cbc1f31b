"""`kill -9` in the middle of a heartbeat and around each word to a card: one task, one run, one end there."""

import shlex
import signal
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.scheduler.daemons import TASKS, run_once, run_scheduler, settings
from tests.integration.scheduler.teams import (
    eventually,
    fired,
    hurried,
    make_due,
    roster,
    until_fired,
)
from tests.openclaw_stand_in import StandIn

pytestmark = pytest.mark.integration

WORKBOARD = "scheduler.sources.workboard:WorkBoard"

POINTS = [
    # Between a heartbeat's firing and its record: before it has brought anything, and after.
    "scheduler.exchange.intake:Intake.look before 1",
    "scheduler.exchange.intake:Intake.look after 1",
    # Around a word to the card: not said; said there, and not known here.
    f"{WORKBOARD}.claim before 1",
    f"{WORKBOARD}.claim after 1",
    f"{WORKBOARD}.finish before 1",
    f"{WORKBOARD}.finish after 1",
]
SOME = {f"{WORKBOARD}.claim after 1"}
"""The one that would hurt most: the card is claimed, and nobody knows. All of them are CI's."""


def _named(point: str) -> str:
    return point.rpartition(":")[2].replace(" ", "-")


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(point, id=_named(point), marks=() if point in SOME else pytest.mark.needs("minutes"))
        for point in POINTS
    ],
)
async def test_a_kill_at_any_point_brings_nothing_twice_and_ends_with_a_card_that_is_done(
    tmp_path: Path, point: str
) -> None:
    stand_in = StandIn(tmp_path)
    stand_in.script(answer="All seven are watered.")
    card = stand_in.add_card("Water the plants", agentId="ops")
    env = {
        "SCHEDULER_RUNNER": "openclaw",
        "SCHEDULER_OPENCLAW": shlex.join(stand_in.command),
        "SCHEDULER_TICK_SECONDS": "0.5",
        **roster(tmp_path, {"ops": {}}),
    }
    with trio.fail_after(60):
        due_at = make_due(tmp_path, "ops")
        killing = ["tests.integration.scheduler.hurried", point]
        doomed = await run_once(tmp_path, killing, settings(tmp_path, env))
        assert doomed.code == -signal.SIGKILL, doomed.stdout + doomed.stderr

        async with run_scheduler(tmp_path, env=env, wrap=hurried()) as scheduler:
            await until_fired(tmp_path, due_at, "ops")

            async def converged() -> bool:
                tasks: list[dict[str, Any]] = (await scheduler.json(TASKS))["tasks"]
                done = [task["status"] for task in tasks] == ["done"]
                return done and stand_in.card(card)["status"] == "done"

            await eventually(converged, 30)
            thread = await scheduler.task("T-0001")
        assert [start.run_id for start in stand_in.starts()] == ["T-0001.1"]
        assert [attempt["epoch"] for attempt in thread["attempts"]] == [1]
        assert [beat.due_at for beat in fired(tmp_path, "ops")] == [due_at]
        shown = stand_in.card(card)["metadata"]
        assert "claim" not in shown
        (said,) = shown["comments"]
        assert "All seven are watered." in said["body"]
        assert len(stand_in.calls("workboard.cards.complete")) == 1
