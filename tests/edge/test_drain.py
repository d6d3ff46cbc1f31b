"""The end: new ones are sent away, what is under way finishes, and the rest is told."""

import json

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from proxy import daemon
from tests.edge.asgi import error_code
from tests.edge.conftest import Sidecar, World


async def drained(sidecar: Sidecar, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on SIGTERM."""
    monkeypatch.setattr(daemon, "last_resort", lambda seconds: None)
    sidecar.lifecycle.begin_drain()
    await daemon._drain(seconds, trio.CancelScope(), sidecar.parts)


async def test_a_drain_without_work_is_over_at_once(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar = world.sidecar()
    await drained(sidecar, 30, monkeypatch)
    assert trio.current_time() == 0


async def test_what_is_under_way_and_what_waits_is_still_served(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar = world.sidecar(rate_rpm=1)
    world.simulator.change(chunk_gap=1)
    talks = [sidecar.begin(stream=True), sidecar.begin(stream=True)]
    await trio.sleep(1)
    await drained(sidecar, 100, monkeypatch)
    for talk in talks:
        assert (await talk.answered()).body.endswith(b"data: [DONE]\n\n")
    assert trio.current_time() < 100


async def test_what_still_waits_at_the_end_is_told_and_never_sent(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar = world.sidecar(rate_rpm=1)
    await sidecar.spend(1)
    waits = sidecar.begin()
    await wait_all_tasks_blocked()
    await drained(sidecar, 5, monkeypatch)
    assert trio.current_time() == 5
    await waits.answered()
    assert (waits.status, waits.error) == (503, "draining")
    assert len(sidecar.simulator.requests) == 1


async def test_what_is_not_answered_at_the_end_is_told(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar = world.sidecar()
    world.simulator.change(latency=1000)
    talks = [sidecar.begin(), sidecar.begin("fault/500")]
    await wait_all_tasks_blocked()
    await drained(sidecar, 5, monkeypatch)
    for talk in talks:
        assert ((await talk.answered()).status, talk.error) == (503, "draining")
    await wait_all_tasks_blocked()
    assert world.simulator.stats().in_flight == 0


async def test_a_stream_at_the_end_is_ended_in_band_and_an_answer_in_one_piece_is_cut(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar = world.sidecar()
    world.simulator.change(chunk_gap=1000)
    stream, single = sidecar.begin(stream=True), sidecar.begin("fault/silence-in-stream")
    await stream.begun()
    await single.begun()
    await drained(sidecar, 5, monkeypatch)
    await stream.answered()
    assert error_code(json.loads(stream.body.split(b"data: ")[-1])) == "draining"
    await single.cut()


async def test_a_client_that_does_not_read_cannot_hold_the_drain(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar = world.sidecar()
    stalled = sidecar.begin(stream=True)
    stalled.stall()
    await wait_all_tasks_blocked()
    await drained(sidecar, 5, monkeypatch)
    assert trio.current_time() <= 5 + daemon.CUT_SECONDS
    stalled.hang_up()
    stalled.go_on()


async def test_while_it_drains_new_ones_are_sent_away_and_the_pages_are_still_there(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    assert (await sidecar.client.get(b"/health/ready")).status == 200
    sidecar.lifecycle.begin_drain()
    ready = await sidecar.client.get(b"/health/ready")
    assert (ready.status, ready.json["ready"], ready.json["draining"]) == (503, False, True)
    assert (await sidecar.client.get(b"/health")).status == 200
    assert (await sidecar.client.get(b"/status")).status == 200
    assert (await sidecar.metrics())["sidecar_uptime_seconds"] == 0
    big = sidecar.client.begin("POST", b"/v1/chat/completions", b"x", more_to_come=True)
    await big.heard()
    assert (big.status, big.error) == (503, "draining"), "at once, and not after its body"
