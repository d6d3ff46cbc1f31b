"""Each fault as a client meets it."""

import gzip
import json
import zlib
from collections.abc import AsyncIterator

import h11
import pytest
import trio
from trio.testing import MockClock

from proxy.simulator import Config, Kind, Simulator, open_simulator
from tests.simulator.client import Client, chat, connected


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with open_simulator(Config(latency=0, chunk_gap=0, rpm=1000)) as simulator:
        yield simulator


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[Client]:
    with trio.fail_after(10):
        async with connected(simulator) as client:
            yield client


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("429", 429, '{"status":429,"title":"Too Many Requests"}'),
        ("503-workers", 503, "ResourceExhausted: Worker local total request limit reached (16/16)"),
        ("500", 500, "Inference connection error"),
        ("502", 502, "Bad Gateway"),
        ("504", 504, ""),
        ("401", 401, '{"status":401,"title":"Unauthorized"}'),
        ("402", 402, "Cloud credits expired - "),
        ("404", 404, "': Not found for account '"),
        ("410", 410, "has reached its end of life on "),
        ("400-degraded", 400, "DEGRADED function cannot be invoked"),
        ("302", 302, ""),
        ("202", 202, ""),
        ("echo-key", 500, "the key k"),
    ],
)
async def test_a_refusal_has_nvidias_status_and_words(
    simulator: Simulator, client: Client, name: str, status: int, words: str
) -> None:
    answer = await client.ask(chat(f"fault/{name}"))
    assert answer.status == status
    assert words in answer.body.decode()
    assert answer.header(b"retry-after") is None
    stats = simulator.stats()
    assert (stats.accepted, stats.faulted, stats.refused, stats.in_flight) == (1, 1, 0, 0)
    record = simulator.requests[0]
    assert (record.outcome, record.status, record.fault) == ("faulted", status, name)


async def test_a_name_with_a_count_fails_that_often_and_then_serves(client: Client) -> None:
    assert [(await client.ask(chat("fault/429-2"))).status for _ in range(3)] == [429, 429, 200]


async def test_an_unknown_fault_is_answered_400_with_the_known_ones(client: Client) -> None:
    answer = await client.ask(chat("fault/nonsense"))
    assert answer.status == 400
    assert "silence-in-stream" in answer.json["detail"]


@pytest.mark.parametrize("value", ["7", "-1", "1000000000", "Wed, 21 Oct 2026 07:28:00 GMT"])
async def test_a_retry_after_says_what_it_is_told_to(client: Client, value: str) -> None:
    answer = await client.ask(chat(f"fault/retry-after-{value}"))
    assert answer.status == 429
    assert answer.header(b"retry-after") == value.encode()


async def test_a_scripted_retry_after_says_its_value(simulator: Simulator, client: Client) -> None:
    simulator.script_fault("retry-after", count=1, value="9")
    assert (await client.ask(chat())).header(b"retry-after") == b"9"
    assert (await client.ask(chat())).status == 200


async def test_a_fault_may_be_scripted_for_the_list_of_models(simulator: Simulator, client: Client) -> None:
    simulator.script_fault("500", path="/v1/models", count=1)
    assert (await client.ask(chat())).status == 200
    assert (await client.ask(method="GET", path="/v1/models")).status == 500
    assert (await client.ask(method="GET", path="/v1/models")).status == 200


async def test_a_redirect_that_is_followed_shows_among_the_requests(
    simulator: Simulator, client: Client
) -> None:
    answer = await client.ask(chat("fault/302"))
    location = answer.header(b"location") or b""
    await client.ask(method="GET", path=location.decode())
    assert simulator.requests[-1].path == "/v1/redirected"


@pytest.mark.parametrize("place", ["/v1/status/", "/v2/nvcf/pexec/status/"])
async def test_behind_a_202_the_answer_can_be_polled(client: Client, place: str) -> None:
    later = await client.ask(chat("fault/202", said="say: at last"))
    ticket = (later.header(b"nvcf-reqid") or b"").decode()
    assert ticket
    answer = await client.ask(method="GET", path=place + ticket)
    assert answer.json["choices"][0]["message"]["content"] == "at last"
    assert (await client.ask(method="GET", path=place + "unknown")).status == 404


async def test_a_reset_comes_before_any_byte(client: Client) -> None:
    await client.send(chat("fault/reset"))
    with pytest.raises(trio.BrokenResourceError) as caught:
        await client.stream.receive_some()
    assert isinstance(caught.value.__cause__, ConnectionResetError)


async def test_a_reset_comes_in_the_middle_of_a_stream(client: Client) -> None:
    await client.send(chat("fault/reset-in-stream", stream=True))
    assert isinstance(await client.event(), h11.Response)
    assert b"assistant" in await _until(client, trio.BrokenResourceError)


async def test_a_reset_comes_in_the_middle_of_a_body(client: Client) -> None:
    await client.send(chat("fault/reset-in-stream"))
    assert isinstance(await client.event(), h11.Response)
    assert b"chat.completion" in await _until(client, trio.BrokenResourceError)


async def test_silence_lasts_until_the_client_hangs_up(simulator: Simulator) -> None:
    with trio.fail_after(10):
        async with connected(simulator) as client:
            await client.send(chat("fault/silence"))
            await simulator.wait_for(lambda stats: stats.faulted == 1)
            await trio.testing.wait_all_tasks_blocked()
            assert simulator.stats().in_flight == 1
        await simulator.wait_for(lambda stats: stats.aborted == 1)


async def test_silence_may_begin_in_the_middle_of_a_stream(simulator: Simulator) -> None:
    with trio.fail_after(10):
        async with connected(simulator) as client:
            await client.send(chat("fault/silence-in-stream", stream=True))
            assert isinstance(await client.event(), h11.Response)
            for _ in range(3):
                assert isinstance(await client.event(), h11.Data)
            assert simulator.stats().in_flight == 1
        await simulator.wait_for(lambda stats: stats.aborted == 1)


async def test_a_half_close_ends_this_side_only(simulator: Simulator) -> None:
    with trio.fail_after(10):
        async with connected(simulator) as client:
            await client.send(chat("fault/half-close"))
            assert await client.stream.receive_some() == b""
            await client.stream.send_all(b"still read")
            assert simulator.stats().connections == 1
        await simulator.wait_for(lambda stats: stats.connections == 0)


async def test_a_half_close_comes_in_the_middle_of_a_stream(client: Client) -> None:
    await client.send(chat("fault/half-close-in-stream", stream=True))
    assert isinstance(await client.event(), h11.Response)
    assert b"assistant" in await _until(client, h11.RemoteProtocolError)


async def test_a_short_body_is_shorter_than_it_promised(client: Client) -> None:
    await client.send(chat("fault/short-body", said="say: cut"))
    assert isinstance(await client.event(), h11.Response)
    assert b'"content":"cut"' in await _until(client, h11.RemoteProtocolError)


@pytest.mark.parametrize("name", ["garbage", "bad-header"])
async def test_what_comes_instead_of_http_is_refused_by_a_parser(client: Client, name: str) -> None:
    await client.send(chat(f"fault/{name}"))
    with pytest.raises(h11.RemoteProtocolError):
        await client.event()


async def test_an_endless_line_goes_on_without_a_line_break(simulator: Simulator) -> None:
    with trio.fail_after(10):
        async with connected(simulator) as client:
            await client.send(chat("fault/endless-line", stream=True))
            received = await client.stream.receive_some(1024)
            assert b"200 OK" in received
            body = 0
            while body < 1_000_000:
                data = await client.stream.receive_some(65_536)
                assert b"\n\n" not in data.replace(b"\r\n", b"")
                body += len(data)
        await simulator.wait_for(lambda stats: stats.aborted == 1)


async def test_a_gzipped_answer_unpacks_to_the_answer(client: Client) -> None:
    answer = await client.ask(chat("fault/gzip", said="say: packed"))
    assert answer.header(b"content-encoding") == b"gzip"
    assert json.loads(gzip.decompress(answer.body))["choices"][0]["message"]["content"] == "packed"


async def test_a_gzipped_stream_can_be_unpacked_piece_by_piece(client: Client) -> None:
    await client.send(chat("fault/gzip", stream=True))
    head = await client.event()
    assert isinstance(head, h11.Response)
    assert dict(head.headers)[b"content-encoding"] == b"gzip"
    unpacker, events = zlib.decompressobj(wbits=31), []
    while isinstance(event := await client.event(), h11.Data):
        events.append(unpacker.decompress(event.data))
    assert unpacker.eof
    assert b"assistant" in events[0]
    assert all(part.endswith(b"\n\n") for part in events)
    assert b"".join(events).endswith(b"data: [DONE]\n\n")


async def test_headers_of_the_hop_come_with_the_answer(client: Client) -> None:
    answer = await client.ask(chat("fault/headers"))
    assert answer.status == 200
    assert answer.header(b"connection") == b"x-secret"
    assert answer.header(b"x-secret")
    assert answer.header(b"set-cookie")
    assert (await client.ask(chat())).status == 200, "the connection is kept"


async def test_full_workers_may_show_inside_a_stream_of_200(client: Client) -> None:
    stream = await client.ask(chat("fault/worker-error-in-stream", stream=True))
    assert stream.status == 200
    error = json.loads(stream.events[-1])
    assert error["error"]["code"] == 503
    assert "choices" not in error
    assert (await client.ask(chat("fault/worker-error-in-stream"))).status == 503


async def test_a_slow_reader_takes_a_second_for_every_4_kb(mock_clock: MockClock) -> None:
    async with open_simulator(Config(latency=0)) as simulator, connected(simulator) as client:
        await client.send(chat("fault/slow-read", said="x" * 4096))
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert simulator.stats().requests == 0
        mock_clock.jump(60)
        assert (await client.answer()).status == 200
        assert (simulator.requests[0].outcome, simulator.requests[0].fault) == ("faulted", Kind.SLOW_READ)


async def _until(client: Client, failure: type[Exception]) -> bytes:
    """The body up to the failure that ends it."""
    body = b""
    while True:
        try:
            event = await client.event()
        except failure:
            return body
        assert isinstance(event, h11.Data), "the answer ended well"
        body += event.data
