"""Waiting streams, outages and models that cannot be had, with whole processes and real sockets."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from proxy.simulator import Config, open_simulator, serve
from tests.integration.clients import MODEL, begin, chat, open_client, rest
from tests.integration.processes import run_sidecar, until

pytestmark = pytest.mark.integration

SOON = {"SIDECAR_KEEPALIVE_AFTER": "0.2"}


async def test_a_stream_that_waits_hears_an_empty_chunk_and_then_its_whole_answer(tmp_path: Path) -> None:
    async with (
        open_simulator(Config(first_token=1, chunk_gap=0)) as simulator,
        run_sidecar(upstream=simulator.url, state_dir=tmp_path, env=SOON) as sidecar,
    ):
        with trio.fail_after(20):
            answer = (await rest(await begin(sidecar, chat("say: in the end", stream=True)))).decode()
        head, _, body = answer.partition("\r\n\r\n")
        assert head.startswith("HTTP/1.1 200 ")
        assert "content-type: text/event-stream" in head
        assert "transfer-encoding: chunked" in head.lower()
        assert body.endswith("data: [DONE]\n\n\r\n0\r\n\r\n")
        events = [json.loads(line[6:]) for line in body.split("\n") if line.startswith("data: {")]
        first, *others = [event["choices"][0]["delta"] for event in events]
        assert first == {"role": "assistant", "content": ""}
        assert "".join(delta.get("content", "") for delta in others) == "in the end"
        assert [record.header("accept-encoding") for record in simulator.requests] == [None]


async def test_a_client_that_leaves_a_kept_alive_stream_frees_the_upstream_within_a_second(
    tmp_path: Path,
) -> None:
    async with (
        open_simulator(Config(first_token=60)) as simulator,
        run_sidecar(upstream=simulator.url, state_dir=tmp_path, env=SOON) as sidecar,
        open_client(sidecar) as client,
    ):
        stream = await begin(sidecar, chat(stream=True))
        with trio.fail_after(10):
            assert b" 200 " in await stream.receive_some()
            await simulator.wait_for(lambda stats: stats.in_flight == 1)
        await stream.aclose()
        with trio.fail_after(1):
            await simulator.wait_for(lambda stats: (stats.aborted, stats.in_flight) == (1, 0))
        (agent,) = (await client.get("/api/agents")).json()
        assert (agent["in_flight"], agent["queued"]) == (0, 0)
        completed = await until(lambda: sidecar.log_lines("request_completed"))
        assert completed[0]["outcome"] == "abandoned"


async def test_an_outage_is_refused_at_once_and_found_to_be_over(tmp_path: Path) -> None:
    """Nobody listens; then somebody does, on the same port."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    env = {"SIDECAR_MAX_RETRIES": "0"}
    async with (
        run_sidecar(upstream=f"http://127.0.0.1:{port}", state_dir=tmp_path, env=env) as sidecar,
        open_client(sidecar) as client,
        trio.open_nursery() as nursery,
    ):
        with trio.fail_after(30):
            assert [(await client.ask()).status_code for _ in range(6)] == [502] * 5 + [503]
            refused = await client.ask()
            assert refused.json()["error"]["code"] == "upstream_down"
            assert (await client.get("/api/capacity")).json()["blocked"]["reason"] == "upstream_down"
            assert 'sidecar_lane_blocked{reason="upstream_down"} 1.0' in await client.metrics()
            await nursery.start(
                lambda task_status: serve(Config(latency=0), port=port, task_status=task_status)
            )

            async def served() -> bool:
                return (await client.ask()).status_code == 200

            look: Callable[[], bool | Awaitable[bool]] = served
            await until(look, seconds=15)
            assert (await client.get("/api/capacity")).json()["blocked"] is None
        told = [(line["event"], line["reason"]) for line in sidecar.log_lines() if "reason" in line]
        assert told == [("lane_blocked", "upstream_down"), ("lane_unblocked", "upstream_down")]
        nursery.cancel_scope.cancel()


async def test_a_model_that_cannot_be_had_costs_one_slot_and_its_substitute_answers(tmp_path: Path) -> None:
    settings = tmp_path / "sidecar.yaml"
    settings.write_text(f"fallbacks:\n  gone/model: [{MODEL}]\n")
    env = {"SIDECAR_CONFIG": str(settings)}
    async with (
        open_simulator(Config(latency=0)) as simulator,
        run_sidecar(upstream=simulator.url, state_dir=tmp_path, env=env) as sidecar,
    ):
        simulator.script_fault("410", model="gone/model")
        with trio.fail_after(20):
            for _ in range(3):
                answer = await rest(await begin(sidecar, {**chat("say: here"), "model": "gone/model"}))
                assert b'"content":"here"' in answer
        assert [record.model for record in simulator.requests] == ["gone/model", MODEL, MODEL, MODEL]
