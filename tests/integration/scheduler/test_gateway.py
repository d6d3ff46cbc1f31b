"""What the scheduler believes of OpenClaw's gateway, claimed of the real one and of its stand-in alike.

Each claim is tried on the stand-in by itself. On the real gateway, which takes ten seconds to start, one test
tries all of them, one after the other.
"""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import pytest

from scheduler.core.failures import FailureCause, failure_cause
from scheduler.core.sighting import RunRef, RunSeen, RunState
from scheduler.gateway import MAX_PARAMS_BYTES, Gateway
from scheduler.runs import OpenClawRunner, Order, StartState
from tests.integration.openclaw.gateway import AGENTS, RealGateway, run_gateway
from tests.integration.processes import Simulator, run_simulator, until
from tests.openclaw_stand_in import StandIn

pytestmark = [pytest.mark.integration, pytest.mark.needs("minutes")]

CHAT = "/v1/chat/completions"
SECONDS = 90.0
"""For what takes five on two idle cores."""


class Side(Protocol):
    """One of the two gateways, and what a claim does to it."""

    runner: OpenClawRunner
    answer: str
    """of every run that ends well"""

    async def quick(self) -> None:
        """Runs that begin from now on end soon, but not at once."""

    async def slow(self) -> None:
        """Runs that begin from now on last; `release` is for those that are to end."""

    async def failing(self) -> None:
        """The next run fails: the model is not there."""

    async def under_way(self, runs: int) -> None:
        """Until so many are waiting for the model."""

    async def answered(self) -> None:
        """Until the model has answered what was begun since, and is asked nothing more. A question to the
        gateway costs a second of a core, which the gateway itself could use.
        """

    async def release(self, order: Order) -> None:
        """This run may end now."""

    async def kill(self) -> None:
        """As a power cut would."""

    async def revive(self) -> None:
        """As a service manager would."""

    async def priority_of(self, order: Order) -> str:
        """By which the run's first request went."""


async def a_run_is_started_once_however_often_it_is_asked_for(side: Side, tmp_path: Path) -> None:
    await side.quick()
    order = an_order("T-11", "ops")
    assert (await side.runner.start(order)).state is StartState.STARTED
    assert (await look(side, order)).state is RunState.RUNNING
    assert (await side.runner.start(order)).state is StartState.STARTED
    await side.answered()
    ended = await seen(side, order, RunState.OK)
    assert (ended.answer, ended.error, ended.turns) == (side.answer, "", 1)
    assert ended.tokens
    assert ended.session_id
    assert (await side.runner.start(order)).state is StartState.STARTED
    assert (await look(side, order)) == ended
    assert await side.runner.archive(order.session_key, tmp_path / "T-11")
    assert asked(tmp_path / "T-11") == [order.prompt]
    assert (await side.runner.start(order)).state is StartState.STARTED
    assert (await look(side, order)) == ended


async def a_run_goes_by_the_priority_of_its_task_and_its_prompt_is_cut_to_what_can_be_handed_over(
    side: Side, tmp_path: Path
) -> None:
    await side.quick()
    # Twice as long where it is written as JSON.
    order = an_order("T-21", "ops", priority="urgent", prompt="Do T-21. " + '"' * 90_000 + " Write it so.")
    assert (await side.runner.start(order)).state is StartState.STARTED
    await side.answered()
    await seen(side, order, RunState.OK)
    assert await side.priority_of(order) == "urgent"
    assert await side.runner.archive(order.session_key, tmp_path / "T-21")
    (prompt,) = asked(tmp_path / "T-21")
    assert prompt.startswith("Do T-21. ")
    assert prompt.endswith(" Write it so.")
    assert len(json.dumps(prompt)) <= MAX_PARAMS_BYTES


async def a_run_that_failed_says_why(side: Side, tmp_path: Path) -> None:
    await side.failing()
    order = an_order("T-31", "ops")
    assert (await side.runner.start(order)).state is StartState.STARTED
    await side.answered()
    ended = await seen(side, order, RunState.FAILED)
    assert failure_cause(ended.error) is FailureCause.MODEL_UNAVAILABLE, ended.error
    assert (ended.answer, ended.turns) == ("", 0)


async def a_run_that_was_stopped_stays_stopped(side: Side, tmp_path: Path) -> None:
    await side.slow()
    order = an_order("T-41", "ops")
    assert (await side.runner.start(order)).state is StartState.STARTED
    await side.under_way(1)
    assert (await look(side, order)).state is RunState.RUNNING
    assert not await side.runner.archive(order.session_key, tmp_path / "T-41")
    assert await side.runner.stop(order.session_key)
    assert (await look(side, order)).state is RunState.ABORTED
    assert (await side.runner.start(order)).state is StartState.STARTED
    assert (await look(side, order)).state is RunState.ABORTED
    await side.under_way(0)


async def a_run_that_never_was_is_absent_and_there_is_nothing_to_stop_or_to_keep(
    side: Side, tmp_path: Path
) -> None:
    order = an_order("T-51", "ops")
    assert (await look(side, order)).state is RunState.ABSENT
    assert await side.runner.stop(order.session_key)
    assert await side.runner.archive(order.session_key, tmp_path / "T-51")
    assert not (tmp_path / "T-51").exists()


async def an_agent_that_is_not_there_is_refused(side: Side, tmp_path: Path) -> None:
    order = an_order("T-61", "nobody")
    refused = await side.runner.start(order)
    assert refused.state is StartState.REFUSED
    assert "nobody" in refused.reason
    assert (await look(side, order)).state is RunState.ABSENT


async def a_gateway_that_is_killed_loses_no_run_and_begins_none_twice(side: Side, tmp_path: Path) -> None:
    await side.slow()
    orders = [an_order("T-71", "ops"), an_order("T-72", "main")]
    for order in orders:
        assert (await side.runner.start(order)).state is StartState.STARTED
    await side.under_way(2)
    await side.kill()
    down = await side.runner.look([ref(order) for order in orders])
    assert not down.up
    assert {each.state for each in down.runs.values()} == {RunState.UNKNOWN}
    assert (await side.runner.start(orders[0])).state is StartState.GATEWAY_DOWN
    assert not await side.runner.stop(orders[0].session_key)
    await side.revive()
    # One of them is taken up again, the other is in line for it: both of them live.
    for order in orders:
        assert (await look(side, order)).state is RunState.RUNNING
        assert (await side.runner.start(order)).state is StartState.STARTED
    assert await side.runner.stop(orders[1].session_key)
    assert (await look(side, orders[1])).state is RunState.ABORTED
    await side.release(orders[0])
    await side.answered()
    ended = await seen(side, orders[0], RunState.OK)
    assert ended.answer == side.answer
    assert (await look(side, orders[1])).state is RunState.ABORTED
    for order in orders:
        assert await side.runner.archive(order.session_key, tmp_path / order.task_id)
        assert asked(tmp_path / order.task_id).count(order.prompt) == 1


Claim = Callable[[Side, Path], Awaitable[None]]
CLAIMS: tuple[Claim, ...] = (
    a_run_is_started_once_however_often_it_is_asked_for,
    a_run_goes_by_the_priority_of_its_task_and_its_prompt_is_cut_to_what_can_be_handed_over,
    a_run_that_failed_says_why,
    a_run_that_was_stopped_stays_stopped,
    a_run_that_never_was_is_absent_and_there_is_nothing_to_stop_or_to_keep,
    an_agent_that_is_not_there_is_refused,
    a_gateway_that_is_killed_loses_no_run_and_begins_none_twice,
)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__name__)
async def test_the_stand_in_keeps_the_claim(claim: Claim, tmp_path: Path) -> None:
    await claim(StandInSide(tmp_path), tmp_path)


@pytest.mark.needs("openclaw")
@pytest.mark.long
async def test_the_real_gateway_keeps_every_claim(tmp_path: Path) -> None:
    home = tmp_path / "openclaw"
    home.mkdir()
    async with run_simulator(tmp_path) as simulator, run_gateway(home, simulator) as gateway:
        side = RealSide(gateway, simulator)
        for claim in CLAIMS:
            try:
                await claim(side, tmp_path)
            except BaseException as error:
                error.add_note(f"{claim.__name__}\n{gateway.said()}")
                raise


class StandInSide:
    """A `Side`."""

    answer = "Done."

    def __init__(self, directory: Path) -> None:
        self._stand_in = StandIn(directory, agents=AGENTS)
        self.runner = OpenClawRunner(Gateway(self._stand_in.command, self._stand_in.environ))

    async def quick(self) -> None:
        self._stand_in.script(answer=self.answer)

    async def slow(self) -> None:
        self._stand_in.script(ends="never")

    async def failing(self) -> None:
        self._stand_in.script(ends="failed", error="⚠️ LLM request failed (model not found, HTTP 404).")

    async def under_way(self, runs: int) -> None:
        pass

    async def answered(self) -> None:
        pass

    async def release(self, order: Order) -> None:
        self._stand_in.finish(order.run_id, self.answer)

    async def kill(self) -> None:
        self._stand_in.go_down()

    async def revive(self) -> None:
        self._stand_in.come_back()

    async def priority_of(self, order: Order) -> str:
        (start,) = [start for start in self._stand_in.starts() if start.run_id == order.run_id]
        return start.model.partition("/")[0].removeprefix("nvidia-")


class RealSide:
    """A `Side`."""

    answer = "This is the simulated upstream."

    def __init__(self, gateway: RealGateway, simulator: Simulator) -> None:
        self._gateway, self._simulator, self._asked = gateway, simulator, 0
        self.runner = OpenClawRunner(Gateway(gateway.command, gateway.environ))

    async def quick(self) -> None:
        await self._begin(latency=2)

    async def slow(self) -> None:
        # Long enough for all that is done meanwhile: what is interrupted is taken up one by one.
        await self._begin(latency=30)

    async def failing(self) -> None:
        await self._begin(latency=0)
        await self._simulator.fault("404", count=1)

    async def under_way(self, runs: int) -> None:
        async def waiting() -> bool:
            return bool((await self._simulator.stats())["in_flight"] == runs)

        look: Callable[[], bool | Awaitable[bool]] = waiting
        await until(look, SECONDS)

    async def answered(self) -> None:
        async def quiet() -> bool:
            stats = await self._simulator.stats()
            return bool(stats["requests"] > self._asked and stats["in_flight"] == 0)

        look: Callable[[], bool | Awaitable[bool]] = quiet
        await until(look, SECONDS)

    async def release(self, order: Order) -> None:
        pass

    async def kill(self) -> None:
        await self._gateway.kill()

    async def revive(self) -> None:
        await self._gateway.come_up()

    async def _begin(self, latency: float) -> None:
        await self._simulator.configure(latency=latency)
        self._asked = (await self._simulator.stats())["requests"]

    async def priority_of(self, order: Order) -> str:
        *_, last = await self._simulator.requests(CHAT)
        headers = {name.lower(): value for name, value in last["headers"]}
        return str(headers.get("x-priority", ""))


def an_order(task: str, agent: str, *, priority: str = "normal", prompt: str = "") -> Order:
    return Order(
        task_id=task,
        epoch=1,
        agent=agent,
        session_key=f"agent:{agent}:task-{task.lower()}-1",
        run_id=f"{task}.1",
        prompt=prompt or f"Do {task}, and nothing else.",
        priority=priority,
        ticket_file=f"/nowhere/{task}.1.json",
    )


def ref(order: Order) -> RunRef:
    return RunRef(order.run_id, order.session_key, order.agent)


async def look(side: Side, order: Order) -> RunSeen:
    sighting = await side.runner.look([ref(order)])
    assert sighting.up, sighting.error
    return sighting.runs[order.run_id]


async def seen(side: Side, order: Order, state: RunState) -> RunSeen:
    """As soon as it stands so; until then it must be running."""

    async def ended() -> RunSeen | None:
        now = await look(side, order)
        assert now.state in {state, RunState.RUNNING}, now
        return now if now.state is state else None

    look_again: Callable[[], RunSeen | Awaitable[RunSeen | None] | None] = ended
    found = await until(look_again, SECONDS)
    assert found is not None
    return found


def asked(directory: Path) -> list[str]:
    """What the transcript in there says that was asked."""
    lines = (directory / "transcript.jsonl").read_text(encoding="utf-8").splitlines()
    messages = [json.loads(line) for line in lines]
    return [message["content"] for message in messages if message["role"] == "user"]
