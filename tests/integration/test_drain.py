"""SIGTERM: what is under way is finished, newcomers are told, and nobody can hold the process."""

import signal
from pathlib import Path

import pytest
import trio

from proxy.simulator import Config, open_simulator
from tests.integration.clients import begin, chat, open_client, rest
from tests.integration.processes import Sidecar, run_sidecar, until

pytestmark = pytest.mark.integration

ONE_PER_SECOND = {"SIDECAR_RATE_RPM": "60", "SIDECAR_BUCKET_CAPACITY": "1"}


async def test_sigterm_finishes_what_streams_serves_what_waits_and_refuses_newcomers(tmp_path: Path) -> None:
    answers: dict[str, bytes] = {}

    async def hear(name: str, stream: trio.SocketStream) -> None:
        answers[name] = await rest(stream)

    with trio.fail_after(30):
        async with (
            open_simulator(Config(latency=0, chunks=20, chunk_gap=0.1)) as simulator,
            run_sidecar(upstream=simulator.url, state_dir=tmp_path, env=ONE_PER_SECOND) as sidecar,
            open_client(sidecar) as client,
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(hear, "streams", await begin(sidecar, chat(stream=True)))
                await simulator.wait_for(lambda stats: stats.in_flight == 1)
                nursery.start_soon(hear, "waits", await begin(sidecar, chat()))
                await client.until_waiting(1)
                sidecar.process.terminate()
                await _draining(sidecar)
                newcomer = await client.ask()
                ready = await client.get("/health/ready")
                alive = await client.get("/health")
                assert "streams" not in answers
            assert await sidecar.process.wait() == 0
    assert (newcomer.status_code, newcomer.json()["error"]["code"]) == (503, "draining")
    assert int(newcomer.headers["retry-after"]) >= 1
    assert (ready.status_code, ready.json()["ready"], alive.status_code) == (503, False, 200)
    assert answers["streams"].startswith(b"HTTP/1.1 200 ")
    assert b"data: [DONE]" in answers["streams"]
    assert answers["streams"].endswith(b"0\r\n\r\n")
    assert answers["waits"].startswith(b"HTTP/1.1 200 ")
    assert simulator.stats().accepted == 2


async def test_what_is_not_done_when_the_drain_ends_is_told_so(tmp_path: Path) -> None:
    """Who waits gets an error of ours, who streams gets one in band; neither is cut silently."""
    settings = {"SIDECAR_RATE_RPM": "1", "SIDECAR_DRAIN_SECONDS": "0.3"}
    with trio.fail_after(30):
        async with (
            open_simulator(Config(latency=0, chunks=10_000, chunk_gap=0.05)) as simulator,
            run_sidecar(upstream=simulator.url, state_dir=tmp_path, env=settings) as sidecar,
            open_client(sidecar) as client,
        ):
            streams = await begin(sidecar, chat(stream=True))
            begun = await streams.receive_some()
            waits = await begin(sidecar, chat())
            await client.until_waiting(1)
            assert await sidecar.terminate() == 0
            streamed, waited = begun + await rest(streams), await rest(waits)
    assert b'data: {"error":{' in streamed
    assert streamed.endswith(b"0\r\n\r\n")
    assert waited.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"draining"' in waited
    assert simulator.stats().requests == 1


@pytest.mark.needs("/proc")
async def test_a_client_that_stopped_reading_cannot_hold_the_drain(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with (
            open_simulator(Config(latency=0)) as simulator,
            run_sidecar(
                upstream=simulator.url, state_dir=tmp_path, env={"SIDECAR_DRAIN_SECONDS": "0.2"}
            ) as sidecar,
        ):
            simulator.script_fault("endless-line")
            stream = await begin(sidecar, chat(stream=True), read_buffer=4096)
            await until(lambda: _is_stuck(sidecar))
            with trio.fail_after(8):
                assert await sidecar.terminate() == 0
            (completed,) = sidecar.log_lines("request_completed")
            assert completed["outcome"] == "error"
            await stream.aclose()


async def test_a_second_sigterm_ends_the_patience(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with (
            open_simulator(Config(latency=60)) as simulator,
            run_sidecar(upstream=simulator.url, state_dir=tmp_path) as sidecar,
        ):
            stream = await begin(sidecar, chat())
            await simulator.wait_for(lambda stats: stats.in_flight == 1)
            sidecar.process.terminate()
            await _draining(sidecar)
            sidecar.process.send_signal(signal.SIGINT)
            with trio.fail_after(3):
                assert await sidecar.process.wait() == 0
            assert b'"code":"draining"' in await rest(stream)


async def _draining(sidecar: Sidecar) -> None:
    await until(lambda: sidecar.log_lines("sidecar_draining"))


def _is_stuck(sidecar: Sidecar) -> bool:
    """Does the kernel hold bytes for the client, who has room for 4 kB? (`ss -t`'s Send-Q, from /proc.)"""
    here = f":{sidecar.port:04X}"
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, _, state, queues, *_ = line.split()
        if local.endswith(here) and state == "01" and int(queues.partition(":")[0], 16) > 8_192:
            return True
    return False
