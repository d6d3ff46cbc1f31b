"""A client may hang up at any moment. Here it does so at each."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.edge.conftest import Sidecar, World

# More steps of the scheduler than a whole request takes; those that come late find it over.
STEPS = range(80)


async def assert_nothing_is_left(sidecar: Sidecar) -> None:
    await wait_all_tasks_blocked()
    statistics = sidecar.parts.gate.statistics()
    assert sum(statistics.depth.values()) == 0
    assert sidecar.simulator.stats().in_flight == 0
    rows = await sidecar.json(b"/api/agents")
    assert {(row["queued"], row["in_flight"]) for row in rows} <= {(0, 0)}


@pytest.mark.parametrize(
    ("model", "stream"),
    [
        ("meta/llama", False),
        ("meta/llama", True),
        ("fault/gzip", True),
        ("fault/429", False),
        ("fault/500", True),
    ],
)
async def test_after_a_hang_up_at_any_step_nothing_is_left_of_it(
    autojump_clock: MockClock, world: World, model: str, stream: bool
) -> None:
    sidecar = world.sidecar(rate_rpm=10_000, bucket_capacity=10_000)
    for steps in STEPS:
        talk = sidecar.begin(model, stream=stream)
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        talk.hang_up()
        await assert_nothing_is_left(sidecar)
        assert talk.over
        await trio.sleep(40)  # a paused model is free again for the next
    await trio.sleep(100)
    assert sidecar.parts.gate.statistics().window_used == 0, "a slot that nobody settled would stay for ever"
    assert (await sidecar.chat()).status == 200


async def test_after_a_hang_up_at_any_time_of_a_wait_the_next_one_is_served(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(rate_rpm=1, queue_timeout=10_000)
    for steps in range(30):
        first, second = sidecar.begin(), sidecar.begin()
        await trio.sleep(steps * 10)
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        first.hang_up()
        second.hang_up()
        await assert_nothing_is_left(sidecar)
    assert (await sidecar.chat()).status == 200
    await trio.sleep(100)
    assert sidecar.parts.gate.statistics().window_used == 0


async def test_the_end_of_an_answer_is_no_hang_up(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    for stream in (True, False):
        await sidecar.chat(stream=stream)
    metrics = await sidecar.metrics()
    assert metrics['sidecar_requests_total{priority="normal",status="success"}'] == 2
    assert metrics['sidecar_requests_total{priority="normal",status="abandoned"}'] == 0
