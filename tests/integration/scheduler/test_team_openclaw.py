"""A team on the real OpenClaw: cards of its WorkBoard become tasks, runs, and cards that are done."""

import json
import re
import shlex
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from scheduler.gateway import Gateway
from tests.integration.openclaw.gateway import RealGateway, run_gateway
from tests.integration.processes import Sidecar, Simulator, run_sidecar, run_simulator, until
from tests.integration.scheduler.daemons import TASKS, Scheduler, run_scheduler
from tests.integration.scheduler.teams import (
    feishu,
    make_due,
    metric,
    patient,
    roster,
    steps,
    until_fired,
)

pytestmark = [pytest.mark.integration, pytest.mark.needs("openclaw", "minutes")]

CHAT = "/v1/chat/completions"
ANSWER = "This is the simulated upstream."
SECONDS = 240.0
"""For what takes a tenth of it on two idle cores."""
ABORTED = ["claim", "run_started", "run_ended", "no_result", "set"]
DONE = ["claim", "run_started", "first_write", "submit", "run_ended", "accept"]


async def test_cards_end_done_though_a_run_was_aborted_behind_our_back_and_then_nobody_is_asked_anything(
    tmp_path: Path,
) -> None:
    """Three requests for two cards, one of which takes two attempts. Then nothing is new."""
    async with (
        run_simulator(tmp_path, "--latency", "0") as simulator,
        run_sidecar(upstream=simulator.url, state_dir=_made(tmp_path / "sidecar")) as sidecar,
        _gateway(tmp_path, sidecar) as gateway,
        feishu() as (bot, target),
    ):
        openclaw = Gateway(gateway.command, gateway.environ, timeout_seconds=SECONDS)
        cards = {agent: await _card(openclaw, f"What are you, {agent}?", agent) for agent in ("main", "ops")}
        env = {
            **gateway.environ,
            "SCHEDULER_RUNNER": "openclaw",
            "SCHEDULER_OPENCLAW": shlex.join(gateway.command),
            "SCHEDULER_SIDECAR_URL": f"http://127.0.0.1:{sidecar.port}",
            **roster(tmp_path, {"main": {}, "ops": {}}, notify={"default": target}),
        }
        # Whoever asks the model first hears nothing, and is aborted by somebody else.
        await simulator.fault("silence", 1)
        due_at = make_due(tmp_path, "main", "ops")
        async with run_scheduler(tmp_path, env=env, wrap=patient) as scheduler:
            for beat in await until_fired(tmp_path, due_at, "main", "ops", seconds=SECONDS):
                assert (beat.ok, beat.found, beat.started, beat.unavailable) == (True, 1, 1, {})
            aborted = await _abort_the_silent_one(simulator, openclaw)
            await until(lambda: len(scheduler.log_lines("run_ended")) == 2, SECONDS)
            await scheduler.revise(aborted, not_before="2020-01-01T00:00:00Z")
            # The log costs nothing; to ask OpenClaw again and again would take the time that it needs itself.
            await until(lambda: len(_finished(scheduler)) == 2, SECONDS)

            tasks = [await scheduler.task(each["id"]) for each in (await scheduler.json(TASKS))["tasks"]]
            there = await _cards(openclaw)
            for task in tasks:
                twice = task["id"] == aborted
                assert steps(task) == ["created", *(ABORTED if twice else ()), *DONE]
                ends = [attempt["end"] for attempt in task["attempts"]]
                assert ends == (["aborted", "ok"] if twice else ["ok"])
                assert [output["name"] for output in task["outputs"]] == ["answer.md"]
                card = there[cards[task["assignee"]]]["metadata"]
                assert "claim" not in card
                assert sum(ANSWER in comment["body"] for comment in card["comments"]) == 1
            asked = Counter(task for _, task in await _chats(simulator))
            assert asked == {task["id"]: 2 if task["id"] == aborted else 1 for task in tasks}
            assert len(scheduler.log_lines("run_started")) == 3
            await until(lambda: len(scheduler.log_lines("session_archived")) == 3, SECONDS)
            assert await _sessions(openclaw) == []
            await _is_well(scheduler)

        due_at = make_due(tmp_path, "main", "ops")
        async with run_scheduler(tmp_path, env=env, wrap=patient) as scheduler:
            for beat in await until_fired(tmp_path, due_at, "main", "ops", seconds=SECONDS):
                assert (beat.ok, beat.found, beat.started, beat.changed, beat.pending) == (True, 0, 0, 0, 0)
            assert (await scheduler.do("/api/daemon/tick"))["commands"] == {}
            assert not scheduler.log_lines("run_started")
        assert len(await simulator.requests(CHAT)) == 3
        assert bot.messages == [], "nobody had to hear of anything"


@asynccontextmanager
async def _gateway(directory: Path, sidecar: Sidecar) -> AsyncIterator[RealGateway]:
    """With its WorkBoard plugin on."""
    home = _made(directory / "openclaw")
    # What `openclaw plugins enable workboard` writes, without the six seconds that it takes.
    enabled = {"plugins": {"entries": {"workboard": {"enabled": True}}}}
    (_made(home / ".openclaw") / "openclaw.json").write_text(json.dumps(enabled))
    async with run_gateway(home, sidecar) as gateway:
        yield gateway


async def _card(openclaw: Gateway, title: str, agent: str) -> str:
    card = {"title": title, "status": "todo", "agentId": agent}
    return str((await openclaw.call("workboard.cards.create", card))["card"]["id"])


async def _cards(openclaw: Gateway) -> dict[str, dict[str, Any]]:
    return {card["id"]: card for card in (await openclaw.call("workboard.cards.list", {}))["cards"]}


async def _abort_the_silent_one(simulator: Simulator, openclaw: Gateway) -> str:
    """Its task."""

    async def asked() -> list[tuple[str, str]]:
        return await _chats(simulator)

    look: Callable[[], list[tuple[str, str]] | Awaitable[list[tuple[str, str]]]] = asked
    agent, task = (await until(look, SECONDS))[0]
    answer = await openclaw.call("sessions.abort", {"key": f"agent:{agent}:task-{task.lower()}-1"})
    assert answer["status"] == "aborted", answer
    return task


async def _chats(simulator: Simulator) -> list[tuple[str, str]]:
    """Who asked the model about which task, oldest first."""
    found = []
    for asked in await simulator.requests(CHAT):
        headers = {name.lower(): value for name, value in asked["headers"]}
        assert headers["authorization"] == "Bearer nvapi-of-the-sidecar"
        agent, task = re.search(r"What are you, (\w+)\?", asked["body"]), re.search(r"T-\d{4}", asked["body"])
        assert agent is not None
        assert task is not None
        found.append((agent[1], task[0]))
    return found


def _finished(scheduler: Scheduler) -> list[dict[str, Any]]:
    """The cards of which their board has been told that they are done."""
    return [told for told in scheduler.log_lines("source_told") if told["what"] == "finish"]


async def _is_well(scheduler: Scheduler) -> None:
    """By all that it shows of itself."""
    code, health = await scheduler.health()
    assert (code, health["status"]) == (200, "healthy"), health
    assert health["components"]["sources"] == {"workboard": {"status": "healthy"}}
    assert await metric(scheduler, "scheduler_source_up") == {'source="workboard"': 1}
    beating = await metric(scheduler, "agent_heartbeat_status")
    assert beating == {f'agent_label="{name.title()}",agent_name="{name}"': 1 for name in ("main", "ops")}
    assert await metric(scheduler, "scheduler_heartbeat_lateness_seconds_count") == {"": 2}
    (lateness,) = (await metric(scheduler, "scheduler_heartbeat_lateness_seconds_sum")).values()
    assert 0 < lateness < SECONDS


async def _sessions(openclaw: Gateway) -> list[str]:
    """Ours, that are not put away."""
    sessions = (await openclaw.call("sessions.list", {}))["sessions"]
    return [session["key"] for session in sessions if ":task-" in session["key"]]


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
