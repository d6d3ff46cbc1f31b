"""Gone is gone: who hangs up gives back what it held, and the upstream never hears of it."""

import json
from pathlib import Path

import pytest
import trio

from proxy.simulator import Config, Simulator, open_simulator
from tests.integration.clients import begin, chat, open_client, rest
from tests.integration.processes import run_sidecar

pytestmark = pytest.mark.integration

WAITING, LEAVING = 500, 250
# As good as unlimited: who waits here waits because the upstream asked for a pause.
FAST = {"SIDECAR_RATE_RPM": "60000", "SIDECAR_BUCKET_CAPACITY": "1000"}


@pytest.mark.needs("minutes")
async def test_of_five_hundred_that_wait_those_that_leave_never_reach_the_upstream(tmp_path: Path) -> None:
    """A Retry-After holds all of them back until every second one has left (which takes about a second)."""
    with trio.fail_after(60):
        async with (
            open_simulator(Config(rpm=10_000, latency=0)) as simulator,
            run_sidecar(upstream=simulator.url, state_dir=tmp_path, env=FAST) as sidecar,
            open_client(sidecar) as client,
            trio.open_nursery() as nursery,
        ):
            simulator.script_fault("retry-after", count=1, value="10")
            nursery.start_soon(client.ask, "throttled")
            await simulator.wait_for(lambda stats: stats.requests == 1)
            staying: list[trio.SocketStream] = []
            leaving: list[trio.SocketStream] = []
            for number in range(WAITING):
                stream = await begin(sidecar, chat(f"number {number}"))
                (leaving if number % 2 else staying).append(stream)
            assert len(leaving) == LEAVING
            await client.until_waiting(WAITING + 1)
            for stream in leaving:
                await stream.aclose()
            await client.until_waiting(WAITING - LEAVING + 1)
            assert simulator.stats().requests == 1
            answers = [await rest(stream) for stream in staying]
            assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
            asked = _asked(simulator)
            assert asked == {f"number {number}" for number in range(0, WAITING, 2)} | {"throttled"}
            assert simulator.stats().requests == len(asked) + 1  # the throttled one came twice
            assert 'sidecar_budget_saved_total{how="abandoned"} 250.0' in await client.metrics()


@pytest.mark.parametrize("begun", [False, True], ids=["before its answer", "in the middle of it"])
async def test_a_client_that_leaves_frees_the_upstream_within_a_second(tmp_path: Path, begun: bool) -> None:
    async with (
        open_simulator(Config(latency=60, first_token=0, chunks=10_000, chunk_gap=0.02)) as simulator,
        run_sidecar(upstream=simulator.url, state_dir=tmp_path) as sidecar,
        open_client(sidecar) as client,
    ):
        stream = await begin(sidecar, chat(stream=begun))
        with trio.fail_after(10):
            await simulator.wait_for(lambda stats: stats.in_flight == 1)
            assert not begun or b" 200 " in await stream.receive_some()
        await stream.aclose()
        with trio.fail_after(1):
            await simulator.wait_for(lambda stats: (stats.aborted, stats.in_flight) == (1, 0))
        (agent,) = (await client.get("/api/agents")).json()
        assert (agent["in_flight"], agent["queued"]) == (0, 0)


def _asked(simulator: Simulator) -> set[str]:
    """What the requests that arrived said."""
    return {json.loads(record.body)["messages"][0]["content"] for record in simulator.requests}
