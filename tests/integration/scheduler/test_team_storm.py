"""Everything goes wrong, one thing after the other, and comes back: nothing is lost, and nothing done twice.

The processes are whole and real but for OpenClaw, Multica and Feishu, whose stand-ins fail on command. An
agent is a process of the gateway's that asks the model through the sidecar, as itself.
"""

import shlex
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from scheduler.blackboard import outbox
from tests import multica_stand_in, openclaw_stand_in
from tests.feishu_stand_in import FeishuStandIn
from tests.integration.processes import Sidecar, Simulator, run_sidecar, run_simulator, until
from tests.integration.scheduler.daemons import TASKS, Scheduler, run_scheduler
from tests.integration.scheduler.teams import (
    beat,
    eventually,
    feishu,
    hurried,
    make_due,
    metric,
    opened,
    roster,
    steps,
    until_fired,
)

pytestmark = [pytest.mark.integration, pytest.mark.needs("minutes")]

CHAT = "/v1/chat/completions"
TEAM = {
    "docs": "8a4696fd-6531-40da-8956-ef84d7ea3c43",
    "main": "46bdd4a6-5c64-475a-92ef-36a763602fa1",
    "ops": "d3804433-9e2e-4199-a92b-a153049b3bc9",
}
"""With the ids that they have in Multica."""
SOURCES = ("multica", "todo", "workboard")
TROUBLES = (*(f"source:{name}" for name in SOURCES), "gateway", "blocked")
SUSPECT_SECONDS, RECOVER_SECONDS = 4.0, 6.0
QUICK_RETREAT = "retreat: {judge_seconds: 0.5, min_answers: 2, recover_seconds: 3600}\n"
AGENT = """\
import json, re, sys, urllib.error, urllib.request

ticket = json.load(open(re.search(r"--ticket (\\S+)", sys.stdin.read())[1]))
message = {{"role": "user", "content": "say: " + ticket["task"] + " is done"}}
body = json.dumps({{"model": "meta/for-" + ticket["task"], "messages": [message]}}).encode()
headers = {{"content-type": "application/json", "x-agent-id": ticket["agent"]}}
try:
    with urllib.request.urlopen(urllib.request.Request({url!r}, body, headers), timeout=300) as answer:
        print(json.load(answer)["choices"][0]["message"]["content"])
except urllib.error.HTTPError as error:
    sys.exit(f"HTTP {{error.code}}: " + error.read().decode())
"""


@dataclass
class Storm:
    """A team of three, four things to do in three sources, and all that can fail."""

    directory: Path
    simulator: Simulator
    sidecar: Sidecar
    gateway: openclaw_stand_in.StandIn
    multica: multica_stand_in.StandIn
    bot: FeishuStandIn
    scheduler: Scheduler
    cards: tuple[str, ...]
    issue: str

    @property
    def document(self) -> Path:
        """Of to-dos."""
        return self.directory / "todo.md"

    async def tasks(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = (await self.scheduler.json(TASKS))["tasks"]
        return listed

    async def component(self, name: str) -> Any:
        """Of `/health`, which answers 200 in all of this."""
        code, health = await self.scheduler.health()
        assert code == 200
        return health["components"][name]

    async def told(self, *what: str) -> None:
        """Until these notices are in the outbox, each once."""
        await until(lambda: all(_causes(self.directory)[each] == 1 for each in what), 20)

    async def calm(self) -> None:
        """At the model API; what was asked there is forgotten."""
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"http://127.0.0.1:{self.simulator.port}/_sim/reset")
        assert answer.status_code == 200, answer.text

    async def answers(self) -> Counter[int]:
        """Of the model API, by status."""
        return Counter(each["status"] for each in await self.simulator.requests(CHAT))


async def test_a_storm_passes_and_everything_is_done_and_told_once(tmp_path: Path) -> None:
    with trio.fail_after(150):
        async with _storm(tmp_path) as storm:
            await _the_sources_are_away(storm)
            await _the_sources_are_back(storm)
            waiting = await _everybody_is_throttled(storm)
            await _the_gateway_is_killed_and_comes_back(storm)
            await _the_key_is_refused(storm, waiting)
            await _the_key_is_accepted(storm, waiting)
            await _all_is_well(storm, twice=waiting)
        with opened(tmp_path) as store:
            assert store.notices_count() == 0
        each_once = {f"{trouble}:{what}": 1 for trouble in TROUBLES for what in ("begins", "over")}
        assert _causes(tmp_path) == each_once, "of nothing else, and of nothing twice"
        assert len(set(storm.bot.texts)) == len(storm.bot.texts) == len(each_once)


async def _the_sources_are_away(storm: Storm) -> None:
    """Since before the start; each is told when it has failed for the third time."""
    assert await metric(storm.scheduler, "scheduler_source_up") == _of_sources(0)
    for _ in range(2):
        await beat(storm.scheduler, storm.directory, *TEAM)
    await storm.told(*(f"source:{name}:begins" for name in SOURCES))
    parts = await storm.component("sources")
    assert {name: part["status"] for name, part in parts.items()} == dict.fromkeys(SOURCES, "unavailable")
    assert await storm.tasks() == []


async def _the_sources_are_back(storm: Storm) -> None:
    """The next heartbeats bring everything, and everybody starts, into the next trouble."""
    await storm.simulator.fault("429")
    storm.gateway.garble(None)
    storm.multica.fail()
    storm.document.rmdir()
    storm.document.write_text("- [ ] Water the plants\n")
    made = await beat(storm.scheduler, storm.directory, *TEAM)
    assert {each.agent: each.started for each in made} == {"docs": 1, "main": 1, "ops": 2}
    assert await metric(storm.scheduler, "scheduler_source_up") == _of_sources(1)
    await storm.told(*(f"source:{name}:over" for name in SOURCES))
    await until(lambda: len(storm.gateway.starts()) == len(TEAM))


async def _everybody_is_throttled(storm: Storm) -> str:
    """For longer than anybody may stand still. The task that nobody works on."""

    async def retreats() -> bool:
        capacity = (await storm.scheduler.json("/api/daemon/status"))["capacity"]
        return bool(capacity["retreat_state"] == "retreat")

    await eventually(retreats, 30)
    long_enough = trio.current_time() + RECOVER_SECONDS + 1

    async def waited() -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            callers = (await client.get(f"http://127.0.0.1:{storm.sidecar.port}/api/agents")).json()
        waiting = {each["agent"] for each in callers if each["queued"] or each["in_flight"]}
        return trio.current_time() > long_enough and waiting == set(TEAM)

    await eventually(waited, 30)
    assert set(await storm.answers()) == {429}
    (left,) = [task["id"] for task in await storm.tasks() if task["status"] == "pending"]
    return str(left)


async def _the_gateway_is_killed_and_comes_back(storm: Storm) -> None:
    """Its agents die with it, and it takes their sessions up again, one after the other."""
    left = {start.session_key: start.run_id for start in storm.gateway.starts()}
    storm.gateway.go_down()
    await storm.told("gateway:begins")
    assert (await storm.component("openclaw"))["status"] == "degraded"
    await storm.calm()
    await storm.simulator.fault("401")
    storm.gateway.come_back()

    def taken_up() -> str | None:
        return next((key for key in left if storm.gateway.session(key)["active"]), None)

    while left:
        key = await until(taken_up, 20)
        assert key is not None
        storm.gateway.finish(left.pop(key), "It is done.")
    await storm.told("gateway:over")


async def _the_key_is_refused(storm: Storm, task: str) -> None:
    """One run hears of it, which costs no attempt; nobody else is sent to hear the same."""
    await storm.told("blocked:begins")
    await eventually(lambda: _stands(storm, task, status="pending", attempt=0, epoch=1), 20)
    await storm.scheduler.revise(task, not_before="2020-01-01T00:00:00Z")
    why = "the model API is blocked: key_rejected"
    await eventually(lambda: _stands(storm, task, status="pending", waiting_because=why), 20)
    assert len(storm.gateway.starts()) == len(TEAM) + 1
    assert await storm.answers() == {401: 1}


async def _the_key_is_accepted(storm: Storm, task: str) -> None:
    """As somebody finds out who tries; the agent's own request is the second, and the last."""
    await storm.calm()
    message = {"model": "meta/of-a-person", "messages": [{"role": "user", "content": "say: yes"}]}
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        answer = await client.post(f"{storm.sidecar.url}/chat/completions", json=message)
    assert answer.status_code == 200, answer.text
    await storm.told("blocked:over")
    await eventually(lambda: _stands(storm, task, status="done"), 30)
    assert await storm.answers() == {200: 2}


async def _all_is_well(storm: Storm, *, twice: str) -> None:
    """Here and there. `twice`: the task that was begun a second time."""

    async def done() -> bool:
        here = {task["status"] for task in await storm.tasks()}
        cards = {storm.gateway.card(card)["status"] for card in storm.cards}
        return here == cards == {storm.multica.issue(storm.issue)["status"]} == {"done"}

    await eventually(done, 30)
    await until(lambda: storm.document.read_text().startswith("- [x] Water the plants"))
    assert storm.multica.runs() == [], "Multica has started nothing of its own"
    tasks = [await storm.scheduler.task(task["id"]) for task in await storm.tasks()]
    for task in tasks:
        assert task["attempt"] == 1
        assert not {"suspect", "recover"} & set(steps(task)), "nobody was stuck: they waited"
        assert [output["name"] for output in task["outputs"]] == ["answer.md"]
    runs = Counter(start.run_id for start in storm.gateway.starts())
    assert runs == {f"{task['id']}.1": 1 for task in tasks} | {f"{twice}.2": 1}
    assert set((await metric(storm.scheduler, "agent_heartbeat_status")).values()) == {1.0}
    heartbeats = await metric(storm.scheduler, "scheduler_heartbeat_lateness_seconds_count")
    assert heartbeats == {"": 4 * len(TEAM)}
    _, health = await storm.scheduler.health()
    assert health["status"] == "healthy", health
    await until(lambda: len(storm.bot.messages) == 2 * len(TROUBLES))


@asynccontextmanager
async def _storm(directory: Path) -> AsyncIterator[Storm]:
    """All sources are away when it begins, and everybody has had a heartbeat."""
    state = _made(directory / "sidecar")
    configuration = state / "sidecar.yaml"
    configuration.write_text(QUICK_RETREAT)
    env = {"SIDECAR_CONFIG": str(configuration)}
    gateway = openclaw_stand_in.StandIn(_made(directory / "openclaw"))
    multica = multica_stand_in.StandIn(_made(directory / "multica"))
    cards = tuple(gateway.add_card(f"Card {number}", agentId="ops") for number in (1, 2))
    issue = multica.add("Write the minutes", assignee=TEAM["main"])
    gateway.garble()
    multica.fail(2, "network is unreachable")
    (directory / "todo.md").mkdir()
    due_at = make_due(directory, *TEAM)
    async with (
        run_simulator(directory, "--latency", "0") as simulator,
        run_sidecar(upstream=simulator.url, state_dir=state, env=env) as sidecar,
        feishu() as (bot, target),
        run_scheduler(
            directory,
            env={
                "SCHEDULER_RUNNER": "openclaw",
                "SCHEDULER_OPENCLAW": shlex.join(gateway.command),
                "SCHEDULER_MULTICA": shlex.join(multica.command),
                "SCHEDULER_SIDECAR_URL": f"http://127.0.0.1:{sidecar.port}",
                "SCHEDULER_TICK_SECONDS": "0.5",
                **roster(directory, _team(), notify={"default": target}),
            },
            wrap=hurried(),
        ) as scheduler,
    ):
        gateway.script(spawn=_agent(directory, sidecar))
        for made in await until_fired(directory, due_at, *TEAM):
            assert set(made.unavailable) >= {"multica", "workboard"}
        yield Storm(directory, simulator, sidecar, gateway, multica, bot, scheduler, cards, issue)


def _team() -> dict[str, dict[str, object]]:
    rules = {"suspect_after_minutes": SUSPECT_SECONDS / 60, "recover_after_minutes": RECOVER_SECONDS / 60}
    team: dict[str, dict[str, object]] = {name: {**rules, "multica_id": uuid} for name, uuid in TEAM.items()}
    team["docs"]["todo_files"] = ["todo.md"]
    return team


def _agent(directory: Path, sidecar: Sidecar) -> list[str]:
    program = directory / "agent.py"
    program.write_text(AGENT.format(url=f"{sidecar.url}/chat/completions"))
    return [sys.executable, "-I", str(program)]


def _of_sources(value: float) -> dict[str, float]:
    return {f'source="{name}"': value for name in SOURCES}


def _causes(directory: Path) -> Counter[str]:
    """Of everything that anybody was to be told, without when the trouble began."""
    with opened(directory) as store:
        causes = [cause.removeprefix("watch:") for cause, _ in outbox.causes(store, "")]
    parts = [cause.rsplit(":", 2) for cause in causes]
    return Counter(f"{part[0]}:{part[-1]}" for part in parts)


async def _stands(storm: Storm, task_id: str, **fields: object) -> bool:
    task: Mapping[str, object] = await storm.scheduler.task(task_id)
    return all(task[name] == value for name, value in fields.items())


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
