"""Who waits, in which order, for how long, and what becomes of those who leave."""

from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.edge.asgi import Talk
from tests.edge.conftest import Sidecar, World, chat_body

Headers = list[tuple[bytes, bytes]]


async def full_window(world: World, **settings: Any) -> Sidecar:
    """One request a minute, and it has just been sent."""
    sidecar = world.sidecar(rate_rpm=1, **settings)
    await sidecar.spend(1)
    return sidecar


def agent(name: bytes, priority: bytes = b"normal") -> Headers:
    return [(b"x-agent-id", name), (b"x-priority", priority)]


async def test_a_more_urgent_request_goes_first(autojump_clock: MockClock, world: World) -> None:
    sidecar = await full_window(world)
    order: list[str] = []

    async def ask(name: str, **request: Any) -> None:
        await sidecar.chat(**request)
        order.append(name)

    async with trio.open_nursery() as nursery:
        requests: list[tuple[str, dict[str, Any]]] = [
            ("normal", {}),
            ("high by body", {"body": chat_body(metadata={"priority": "high", "agent": "b"})}),
            ("urgent by header", {"headers": agent(b"c", b"URGENT")}),
            (
                "normal by header",
                {"headers": [(b"x-priority", b"?")], "body": chat_body(metadata={"priority": "urgent"})},
            ),
        ]
        for name, request in requests:
            nursery.start_soon(partial(ask, name, **request))
            await wait_all_tasks_blocked()
        depth = (await sidecar.json(b"/status"))["queue"]["depth_by_priority"]
        assert depth == {"urgent": 1, "high": 1, "normal": 2, "low": 0}
    assert order[:2] == ["urgent by header", "high by body"]
    assert set(order[2:]) == {"normal", "normal by header"}


async def test_agents_take_turns_whoever_asked_more(autojump_clock: MockClock, world: World) -> None:
    sidecar = await full_window(world, queue_timeout=10_000)
    crowd = [sidecar.begin(headers=agent(b"crowd")) for _ in range(10)]
    await wait_all_tasks_blocked()
    single = sidecar.begin(headers=agent(b"single"))
    await single.answered()
    assert sum(talk.over for talk in crowd) <= 1


@pytest.mark.parametrize(
    ("headers", "body", "agent_name", "session"),
    [
        ([(b"x-agent-id", b"crab")], {"user": "fish"}, "crab", ""),
        ([], {"user": "fish", "metadata": {"agent": "crab"}}, "crab", ""),
        ([(b"x-session-affinity", b"s1")], {"user": "fish"}, "fish", "s1"),
        ([(b"session_id", b"s2")], {}, "s2", "s2"),
        ([], {}, "127.0.0.1", ""),
    ],
)
async def test_an_agent_is_known_by_header_body_session_or_address(
    *,
    autojump_clock: MockClock,
    world: World,
    headers: Headers,
    body: dict[str, Any],
    agent_name: str,
    session: str,
) -> None:
    sidecar = world.sidecar()
    await sidecar.chat(headers=headers, body=chat_body(**body))
    (row,) = await sidecar.json(b"/api/agents")
    assert (row["agent"], row["session"]) == (agent_name, session)


async def test_low_waits_only_as_long_as_low_may(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar(rate_rpm=20, bucket_capacity=1)
    await sidecar.spend(1)
    low = agent(b"a", b"low")
    talk = await sidecar.chat(headers=low)
    assert (talk.status, talk.error) == (429, "rate_limited")
    assert trio.current_time() == 0, "the next slot is three seconds away, and low waits two"
    await trio.sleep(1.5)
    assert (await sidecar.chat(headers=low)).status == 200
    assert trio.current_time() == 3


async def test_a_burst_that_went_at_once_refuses_nobody(autojump_clock: MockClock, world: World) -> None:
    """Nine have just gone, one waits: LOW waits for a slot, not for another burst."""
    sidecar = world.sidecar(
        rate_rpm=200, window_seconds=3, window_margin_seconds=0.2, low_priority_timeout=30
    )
    await sidecar.spend(9)
    ahead = sidecar.begin()
    low = await sidecar.chat(headers=agent(b"a", b"low"))
    assert (low.status, (await ahead.answered()).status) == (200, 200)
    assert trio.current_time() < 6


@pytest.mark.parametrize(
    ("headers", "stream", "waits"),
    [
        ([], False, True),
        ([(b"x-deadline-ms", b"60000")], False, False),
        ([(b"x-deadline-ms", b"60000")], True, False),
        ([(b"x-deadline-ms", b"62000")], True, True),
        ([(b"x-deadline-ms", b"-5")], False, True),
        ([(b"x-deadline-ms", b"soon")], False, True),
        ([(b"x-stainless-timeout", b"60")], False, False),
        ([(b"x-stainless-timeout", b"60")], True, True),
        ([(b"x-stainless-read-timeout", b"60")], False, False),
        ([(b"x-stainless-read-timeout", b"60")], True, True),
    ],
)
async def test_a_client_waits_no_longer_than_it_said(
    autojump_clock: MockClock, world: World, headers: Headers, stream: bool, waits: bool
) -> None:
    sidecar = await full_window(world)
    talk = await sidecar.chat(headers=headers, stream=stream)
    assert talk.status == (200 if waits else 429)
    assert trio.current_time() == (61 if waits else 0)
    if waits:
        answered_after = 45_000 if headers and headers[0][0].startswith(b"x-stainless") else 61_000
        assert talk.number(b"x-sidecar-queue-ms") == answered_after, "three quarters of a stream's patience"


async def test_nobody_waits_longer_than_the_queue_timeout(autojump_clock: MockClock, world: World) -> None:
    sidecar = await full_window(world, queue_timeout=100)
    talks = [sidecar.begin(headers=agent(b"%d" % number)) for number in range(5)]
    for talk in talks:
        await talk.answered()
    assert sorted(talk.status or 0 for talk in talks) == [200, 429, 429, 429, 429]
    assert trio.current_time() <= 100


async def test_a_client_that_hangs_up_while_it_waits_frees_its_place_and_is_never_sent(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = await full_window(world)
    leaves = sidecar.begin(headers=agent(b"leaves"))
    stays = sidecar.begin(headers=agent(b"stays"))
    await wait_all_tasks_blocked()
    assert sidecar.waiting == 2
    leaves.hang_up()
    await wait_all_tasks_blocked()
    assert leaves.over
    assert sidecar.waiting == 1
    await stays.answered()
    assert trio.current_time() == 61
    assert len(sidecar.simulator.requests) == 2
    rows = {row["agent"]: row for row in await sidecar.json(b"/api/agents")}
    assert (rows["leaves"]["queued"], rows["leaves"]["in_flight"]) == (0, 0)
    metrics = await sidecar.metrics()
    assert metrics['sidecar_requests_total{priority="normal",status="abandoned"}'] == 1
    assert metrics['sidecar_budget_saved_total{how="abandoned"}'] == 1


async def test_of_five_hundred_that_wait_half_hang_up_and_none_of_those_is_sent(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(queue_timeout=100_000)
    await sidecar.spend(36)
    talks = [
        sidecar.begin(headers=agent(b"%d" % (number % 7)), said=f"say: {number}") for number in range(500)
    ]
    await wait_all_tasks_blocked()
    assert sidecar.waiting > 490
    gone = [talk for number, talk in enumerate(talks) if number % 2 and not talk.over]
    for talk in gone:
        talk.hang_up()
    await wait_all_tasks_blocked()
    assert all(talk.over for talk in gone)
    for talk in talks:
        if talk not in gone:
            await talk.answered()
    assert len(sidecar.simulator.requests) == 36 + 500 - len(gone)
    assert sidecar.waiting == 0


@pytest.mark.parametrize("kind", ["500", "429", "reset"])
async def test_a_client_that_hangs_up_between_two_attempts_is_not_tried_again(
    autojump_clock: MockClock, world: World, kind: str
) -> None:
    sidecar = world.sidecar()
    talk = sidecar.begin(f"fault/{kind}")
    await trio.sleep(0.2)
    (row,) = await sidecar.json(b"/api/agents")
    assert (row["queued"], row["in_flight"]) == (1, 0)
    assert row["oldest_wait_seconds"] == pytest.approx(0.2)
    talk.hang_up()
    await trio.sleep(100)
    assert len(sidecar.simulator.requests) == 1
    assert sidecar.waiting == 0


async def test_a_probe_whose_client_hangs_up_leaves_the_model_to_the_next(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    world.simulator.script_fault("429", count=1)
    world.simulator.script_fault("silence", count=1)
    probe = sidecar.begin()
    await trio.sleep(3)
    follower = sidecar.begin(headers=agent(b"b"))
    await trio.sleep(3)
    assert not follower.over
    probe.hang_up()
    assert (await follower.answered()).status == 200


async def test_a_client_that_hangs_up_while_its_body_is_read_is_no_request(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    talk = sidecar.client.begin("POST", b"/v1/chat/completions", b"{", more_to_come=True)
    await wait_all_tasks_blocked()
    talk.hang_up()
    await wait_all_tasks_blocked()
    assert talk.over
    assert talk.status is None
    assert await sidecar.json(b"/api/agents") == []


async def test_a_client_that_hangs_up_before_the_answer_gets_its_upstream_closed(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    world.simulator.change(latency=100)
    talk = sidecar.begin()
    await trio.sleep(1)
    assert world.simulator.stats().in_flight == 1
    talk.hang_up()
    await wait_all_tasks_blocked()
    stats = world.simulator.stats()
    assert (stats.in_flight, stats.aborted, stats.connections) == (0, 1, 0)
    assert (await sidecar.json(b"/status"))["lanes"][0]["window_used"] == 1, "it was written, so it counts"


async def test_a_client_that_hangs_up_in_a_stream_gets_its_upstream_closed(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    world.simulator.change(chunk_gap=10)
    talk = sidecar.begin(stream=True)
    await talk.until(lambda talk: len(talk.chunks) >= 3)
    talk.hang_up()
    await wait_all_tasks_blocked()
    stats = world.simulator.stats()
    assert (stats.in_flight, stats.aborted, stats.connections) == (0, 1, 0)
    assert (await sidecar.metrics())["sidecar_inflight"] == 0


async def test_a_client_that_stops_reading_holds_the_upstream_back_and_loses_nothing(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    talk = sidecar.begin(stream=True)
    talk.stall()
    await trio.sleep(200)
    assert not talk.over
    talk.go_on()
    await talk.answered()
    assert talk.body.endswith(b"data: [DONE]\n\n")


async def test_a_refused_connection_in_the_hang_up_gives_the_slot_back(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    world.line.swallows = True
    talk = sidecar.begin()
    await trio.sleep(1)
    talk.hang_up()
    await wait_all_tasks_blocked()
    assert talk.over
    assert (await sidecar.json(b"/status"))["lanes"][0]["window_used"] == 0


async def outcomes(*talks: Talk) -> list[int | None]:
    return [(await talk.answered()).status for talk in talks]


async def test_a_full_queue_passes_through_and_counts_it(autojump_clock: MockClock, world: World) -> None:
    sidecar = await full_window(world, queue_max_size=1)
    first = sidecar.begin(headers=agent(b"a"))
    await wait_all_tasks_blocked()
    second = sidecar.begin(headers=agent(b"b"), stream=True)
    await wait_all_tasks_blocked()
    status = await sidecar.json(b"/status")
    assert status["queue"]["current_size"] == 2
    assert status["lanes"][0]["outside_queue"] == 1
    assert status["queue"]["full_policy"] == "passthrough"
    assert await outcomes(first, second) == [200, 200]
    assert trio.current_time() == 122, "outside the queue, and inside the budget"
    assert second.body.endswith(b"data: [DONE]\n\n")
    status = await sidecar.json(b"/status")
    assert status["requests"] == {"total": 3, "nvidia": 3, "passthrough": 1, "ratelimited": 0}
    assert (await sidecar.metrics())["sidecar_fallback_passthrough_total"] == 1


@pytest.mark.parametrize(
    "settings", [{"queue_full_policy": "reject"}, {"fallback_enabled_passthrough": False}]
)
async def test_a_full_queue_rejects(
    autojump_clock: MockClock, world: World, settings: dict[str, object]
) -> None:
    sidecar = await full_window(world, queue_max_size=1, **settings)
    first = sidecar.begin()
    await wait_all_tasks_blocked()
    talk = await sidecar.chat()
    assert (talk.status, talk.error) == (503, "queue_full")
    assert 1 <= talk.number(b"retry-after") <= 60
    status = await sidecar.json(b"/status")
    assert status["queue"]["full_policy"] == "reject"
    assert (status["queue"]["total_dropped"], status["errors"]["queue_full_rejects"]) == (1, 1)
    assert await outcomes(first) == [200]


async def test_a_full_queue_drops_the_newest_of_the_lowest(autojump_clock: MockClock, world: World) -> None:
    sidecar = await full_window(world, queue_max_size=2, queue_full_policy="drop_lowest")
    older = sidecar.begin(headers=agent(b"a"))
    await wait_all_tasks_blocked()
    newer = sidecar.begin(headers=agent(b"b"))
    await wait_all_tasks_blocked()
    high = sidecar.begin(headers=agent(b"c", b"high"))
    dropped = await newer.answered()
    assert (dropped.status, dropped.error) == (503, "dropped")
    assert 1 <= dropped.number(b"retry-after") <= 60
    refused = await sidecar.chat(headers=agent(b"d"))
    assert (refused.status, refused.error) == (503, "queue_full"), "it would be the lowest itself"
    assert await outcomes(high, older) == [200, 200]


async def test_the_upstream_never_gets_more_than_its_window_takes(
    autojump_clock: MockClock, world: World
) -> None:
    world.simulator.change(rpm=5)
    sidecar = world.sidecar(rate_rpm=5, queue_timeout=1000)
    talks = [sidecar.begin(headers=agent(b"%d" % (number % 3))) for number in range(40)]
    assert await outcomes(*talks) == [200] * 40
    stats = world.simulator.stats()
    assert stats.refused == 0
    assert stats.max_in_window == 5
