"""The same over real connections, where the kernel has a word in it."""

import hashlib
import socket

import pytest
import trio
import trio.testing

from proxy.simulator import Stats
from tests.edge.conftest import World, chat_body


def quiet(stats: Stats) -> bool:
    return stats.in_flight == 0


async def test_a_large_body_and_its_answer_arrive_byte_for_byte(wired: World) -> None:
    sidecar = wired.sidecar()
    body = chat_body(said="x" * 3_000_000 + " say: " + "y" * 1_000_000)
    with trio.fail_after(10):
        talk = await sidecar.chat(body=body)
    assert sidecar.last.body_sha256 == hashlib.sha256(body).hexdigest()
    assert talk.json["choices"][0]["message"]["content"] == "y" * 1_000_000


async def test_many_streams_at_once_are_each_their_own(wired: World) -> None:
    sidecar = wired.sidecar(rate_rpm=1000, bucket_capacity=1000)
    with trio.fail_after(10):
        talks = [sidecar.begin(said=f"say: <{number}>", stream=True) for number in range(100)]
        for number, talk in enumerate(talks):
            await talk.answered()
            assert talk.status == 200
            letters = talk.body.decode()
            assert letters.index("<") < letters.index(">")
            assert all(f'"content":"{digit}"' in letters for digit in str(number))
        assert (await sidecar.metrics())["sidecar_inflight"] == 0


@pytest.mark.parametrize("kind", ["reset", "half-close", "500"])
async def test_a_connection_that_fails_before_the_first_byte_is_replaced(wired: World, kind: str) -> None:
    sidecar = wired.sidecar()
    with trio.fail_after(10):
        talk = await sidecar.chat(f"fault/{kind}-1")
    assert talk.status == 200
    assert talk.header(b"x-sidecar-attempts") == b"2"


async def test_an_idle_connection_that_the_upstream_has_closed_costs_no_attempt(wired: World) -> None:
    sidecar = wired.sidecar()
    with trio.fail_after(10):
        assert (await sidecar.client.get(b"/v1/models")).status == 200
        # HTTP/1.1 without an end of its own: the upstream closes, and the client above must not mind.
        wired.simulator.script_fault("short-body", count=1)
        await sidecar.begin().cut()
        await wired.simulator.wait_for(lambda stats: stats.connections == 0)
        talk = await sidecar.chat()
    assert talk.status == 200
    assert talk.header(b"x-sidecar-attempts") == b"1"


async def test_a_port_where_nobody_listens_is_a_502(wired: World) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and never listening
        sidecar = wired.sidecar(upstream_url=f"http://127.0.0.1:{taken.getsockname()[1]}", max_retries=0)
        with trio.fail_after(10):
            talk = await sidecar.chat()
    assert (talk.status, talk.error) == (502, "upstream_unreachable")
    assert (await sidecar.json(b"/status"))["lanes"][0]["window_used"] == 0


async def test_a_hang_up_in_a_stream_closes_the_upstream_within_a_second(wired: World) -> None:
    sidecar = wired.sidecar()
    wired.simulator.change(chunk_gap=0.01, chunks=10_000)
    with trio.fail_after(10):
        talk = sidecar.begin(stream=True, said="say: " + "z" * 10_000)
        await talk.until(lambda talk: len(talk.chunks) >= 3)
        talk.hang_up()
        with trio.fail_after(1):
            stats = await wired.simulator.wait_for(quiet)
    assert (stats.aborted, stats.accepted) == (1, 1)


async def test_a_hang_up_before_the_answer_closes_the_upstream_within_a_second(wired: World) -> None:
    sidecar = wired.sidecar()
    wired.simulator.change(latency=60)
    with trio.fail_after(10):
        talk = sidecar.begin()
        await wired.simulator.wait_for(lambda stats: stats.in_flight == 1)
        talk.hang_up()
        with trio.fail_after(1):
            await wired.simulator.wait_for(quiet)
    assert wired.simulator.stats().aborted == 1


async def test_a_hang_up_while_a_long_request_is_being_sent_ends_it_and_counts(wired: World) -> None:
    sidecar = wired.sidecar()
    wired.simulator.script_fault("slow-read")
    with trio.fail_after(10):
        talk = sidecar.begin(said="x" * 8_000_000)
        await wired.simulator.wait_for(lambda stats: stats.connections == 1)
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert sidecar.simulator.requests == [], "it has not arrived"
        talk.hang_up()
        with trio.fail_after(1):
            await talk.cut()
    assert (await sidecar.json(b"/status"))["lanes"][0]["window_used"] == 1


async def test_a_stream_that_is_reset_ends_in_band(wired: World) -> None:
    sidecar = wired.sidecar()
    with trio.fail_after(10):
        talk = await sidecar.chat("fault/reset-in-stream", stream=True)
    assert b'data: {"error":{' in talk.body


async def test_silence_in_a_stream_ends_in_band(wired: World) -> None:
    sidecar = wired.sidecar(request_timeout=0.2)
    with trio.fail_after(10):
        talk = await sidecar.chat("fault/silence-in-stream", stream=True)
    assert b'"code":"upstream_timeout"' in talk.body.split(b"data: ")[-1]


async def test_a_client_that_stops_reading_an_endless_answer_fills_no_memory(wired: World) -> None:
    sidecar = wired.sidecar()
    with trio.fail_after(10):
        talk = sidecar.begin("fault/endless-line", stream=True)
        await talk.begun()
        talk.stall()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(talk.body) < 10_000_000
        talk.hang_up()
        talk.go_on()
        with trio.fail_after(1):
            await wired.simulator.wait_for(quiet)
