"""The demonstration runner, with a sidecar and a board that answer in memory."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import trio

from scheduler.core.failures import FailureCause, failure_cause
from scheduler.core.sighting import RunRef, RunSeen, RunState
from scheduler.demo import DemoRunner
from scheduler.runs import Order, Runner, StartState
from tests.integration.processes import until

KEY = "agent:ops:task-t-1-1"
REF = RunRef("T-1.1", KEY, "ops")
ANSWERED = {
    "choices": [{"message": {"role": "assistant", "content": "It is done."}}],
    "usage": {"total_tokens": 42},
}


class World:
    """A sidecar and a board on one transport. The model answers once `open`, which it is at first."""

    def __init__(self, directory: Path) -> None:
        self.model = httpx.Response(200, json=ANSWERED)
        self.open = trio.Event()
        self.open.set()
        self.board = httpx.Response(200, json={})
        self.requests: list[httpx.Request] = []
        self.ticket = directory / "T-1.1.json"
        self.ticket.write_text(
            json.dumps({"url": "http://board:8083", "task": "T-1", "claim": "T-1.1.secret", "agent": "ops"})
        )

    def order(self) -> Order:
        return Order("T-1", 1, "ops", KEY, "T-1.1", "Do T-1.", "high", str(self.ticket))

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    def asked(self, host: str) -> list[httpx.Request]:
        return [request for request in self.requests if request.url.host == host]

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.host == "board":
            return self.board
        await self.open.wait()
        return self.model


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def begun(world: World, nursery: trio.Nursery, *, sidecar: str = "http://sidecar:9190") -> DemoRunner:
    runner = DemoRunner(sidecar, client=world.client)
    nursery.start_soon(runner.run)
    await trio.testing.wait_all_tasks_blocked()
    return runner


async def seen(runner: DemoRunner) -> RunSeen:
    return (await runner.look([REF])).runs[REF.run_id]


async def ended(runner: DemoRunner) -> RunSeen:
    async def over() -> RunSeen | None:
        now = await seen(runner)
        return None if now.state is RunState.RUNNING else now

    look: Callable[[], RunSeen | Awaitable[RunSeen | None] | None] = over
    found = await until(look)
    assert found is not None
    return found


async def waiting_for_the_model(world: World, runner: DemoRunner) -> None:
    await runner.start(world.order())
    await until(lambda: world.asked("sidecar"))
    assert (await seen(runner)).state is RunState.RUNNING


async def test_a_run_asks_the_model_as_an_agent_and_hands_its_answer_in_with_its_ticket(
    world: World, nursery: trio.Nursery
) -> None:
    runner = await begun(world, nursery)
    assert (await runner.start(world.order())).state is StartState.STARTED
    assert await ended(runner) == RunSeen("T-1.1", RunState.OK, answer="It is done.", turns=1, tokens=42)
    (chat,) = world.asked("sidecar")
    assert chat.url == "http://sidecar:9190/v1/chat/completions"
    assert json.loads(chat.content)["messages"] == [{"role": "user", "content": "Do T-1."}]
    assert (chat.headers["x-agent-id"], chat.headers["x-priority"]) == ("ops", "high")
    assert "secret" not in str(chat.headers)
    heartbeat, output = world.asked("board")
    assert heartbeat.url == "http://board:8083/api/blackboard/tasks/T-1/heartbeat"
    assert output.url == "http://board:8083/api/blackboard/tasks/T-1/output"
    assert {each.headers["authorization"] for each in (heartbeat, output)} == {"Bearer T-1.1.secret"}
    assert json.loads(output.content) == {"text": "It is done.", "name": "answer.md", "final": True}


async def test_a_run_is_played_once_however_often_it_is_started(world: World, nursery: trio.Nursery) -> None:
    runner = await begun(world, nursery)
    for _ in range(3):
        assert (await runner.start(world.order())).state is StartState.STARTED
    await ended(runner)
    assert (await runner.start(world.order())).state is StartState.STARTED
    await ended(runner)
    assert len(world.asked("sidecar")) == 1


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (429, FailureCause.RATE_LIMIT),
        (401, FailureCause.REJECTED_KEY),
        (503, FailureCause.MODEL_UNAVAILABLE),
        (400, FailureCause.OTHER),
    ],
)
async def test_a_refusal_of_the_sidecars_fails_the_run_by_its_cause(
    world: World, nursery: trio.Nursery, status: int, cause: FailureCause
) -> None:
    world.model = httpx.Response(status, json={"error": {"message": "as it says"}})
    runner = await begun(world, nursery)
    await runner.start(world.order())
    failed = await ended(runner)
    assert failed.state is RunState.FAILED
    assert failure_cause(failed.error) is cause
    assert "as it says" in failed.error
    assert len(world.asked("board")) == 1  # the heartbeat: nothing was handed in


def a_broken_ticket(world: World) -> None:
    world.ticket.write_text("{}")


def no_ticket(world: World) -> None:
    world.ticket.unlink()


def a_late_claim(world: World) -> None:
    world.board = httpx.Response(409, json={"error": {"code": "stale_claim"}})


def a_senseless_model(world: World) -> None:
    world.model = httpx.Response(200, json={"choices": []})


@pytest.mark.parametrize("fault", [a_broken_ticket, no_ticket, a_late_claim, a_senseless_model])
async def test_whatever_goes_wrong_ends_the_run_and_nothing_else(
    world: World, nursery: trio.Nursery, fault: Callable[[World], None]
) -> None:
    fault(world)
    runner = await begun(world, nursery)
    await runner.start(world.order())
    failed = await ended(runner)
    assert failed.state is RunState.FAILED
    assert failed.error
    assert (await runner.look([])).up


async def test_without_a_sidecar_a_run_fails_and_says_so(world: World, nursery: trio.Nursery) -> None:
    runner = await begun(world, nursery, sidecar="")
    await runner.start(world.order())
    assert "no sidecar" in (await ended(runner)).error


async def test_a_run_that_is_stopped_writes_nothing_more(
    world: World, nursery: trio.Nursery, tmp_path: Path
) -> None:
    world.open = trio.Event()
    runner = await begun(world, nursery)
    await waiting_for_the_model(world, runner)
    assert not await runner.archive(KEY, tmp_path / "kept")
    assert await runner.stop(KEY)
    assert (await seen(runner)).state is RunState.ABORTED
    world.open.set()
    await trio.testing.wait_all_tasks_blocked()
    assert (await seen(runner)).state is RunState.ABORTED
    assert len(world.asked("board")) == 1  # the heartbeat


async def test_runs_end_with_the_process_and_are_absent_in_the_next(world: World) -> None:
    world.open = trio.Event()
    async with trio.open_nursery() as nursery:
        runner = await begun(world, nursery)
        await waiting_for_the_model(world, runner)
        nursery.cancel_scope.cancel()
    assert not (await runner.look([])).up
    async with trio.open_nursery() as nursery:
        following = await begun(world, nursery)
        assert (await seen(following)).state is RunState.ABSENT
        assert await following.stop(KEY)
        nursery.cancel_scope.cancel()


async def test_before_it_runs_nothing_is_up(world: World) -> None:
    runner: Runner = DemoRunner("http://sidecar:9190", client=world.client)
    assert (await runner.start(world.order())).state is StartState.GATEWAY_DOWN
    assert not (await runner.look([])).up


async def test_what_was_said_is_kept_and_then_forgotten(
    world: World, nursery: trio.Nursery, tmp_path: Path
) -> None:
    runner = await begun(world, nursery)
    await runner.start(world.order())
    await ended(runner)
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    assert not await runner.archive(KEY, in_the_way)
    assert await runner.archive(KEY, tmp_path / "kept")
    lines = (tmp_path / "kept/transcript.jsonl").read_text().splitlines()
    assert [json.loads(line)["content"] for line in lines] == ["Do T-1.", "It is done."]
    assert await runner.archive(KEY, tmp_path / "kept")
    assert (await seen(runner)).state is RunState.ABSENT
