"""The simulator over real sockets."""

import hashlib
import json
import socket
import struct

import h11
import pytest
import trio
from trio.testing import MockClock

from proxy.simulator import Config, Simulator, open_simulator, serve, wire
from proxy.simulator.ledger import KEPT_REQUESTS
from tests.simulator.client import CHAT, chat, connected

QUICK = Config(latency=0, chunk_gap=0, rpm=1_000_000)
# Nobody waits it out: what is tested happens while the answer is still to come.
NEVER = Config(latency=3600, rpm=1_000_000)


async def test_a_chat_is_answered_in_full_with_a_usage_that_adds_up() -> None:
    async with open_simulator(QUICK) as simulator, connected(simulator) as client:
        answer = await client.ask(chat(said="say: 12345"))
    choice, usage = answer.json["choices"][0], answer.json["usage"]
    assert answer.status == 200
    assert choice["message"] == {"role": "assistant", "content": "12345"}
    assert choice["finish_reason"] == "stop"
    assert usage == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert answer.json["model"] == "meta/llama"


async def test_a_stream_is_role_words_reason_usage_done() -> None:
    async with open_simulator(QUICK) as simulator, connected(simulator) as client:
        answer = await client.ask(chat(stream=True, stream_options={"include_usage": True}))
    assert answer.header(b"content-type") == b"text/event-stream"
    assert answer.events[-1] == "[DONE]"
    role, *words, reason, usage = map(json.loads, answer.events[:-1])
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert len(words) == 12
    said = "".join(chunk["choices"][0]["delta"]["content"] for chunk in words)
    assert said == "This is the simulated upstream."
    assert reason["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 2, "completion_tokens": 8, "total_tokens": 10}
    assert {chunk["id"] for chunk in (role, *words, reason, usage)} == {role["id"]}


async def test_a_stream_without_include_usage_has_no_usage_chunk() -> None:
    async with open_simulator(QUICK) as simulator, connected(simulator) as client:
        answer = await client.ask(chat(stream=True))
    assert b"usage" not in answer.body


async def test_text_completions_are_served_too() -> None:
    body = {"model": "m", "prompt": "say: word"}
    async with open_simulator(QUICK) as simulator, connected(simulator) as client:
        full = await client.ask(body, path="/v1/completions")
        stream = await client.ask({**body, "stream": True}, path="/v1/completions")
    assert full.json["choices"][0]["text"] == "word"
    chunks = [json.loads(event) for event in stream.events[:-1]]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "word"


async def test_embeddings_have_the_wanted_size_and_the_same_text_has_the_same_vector() -> None:
    body = {
        "model": "nvidia/nv-embedqa-e5-v5",
        "input": ["a", "b", "a"],
        "input_type": "query",
        "dimensions": 8,
    }
    async with open_simulator(QUICK) as simulator, connected(simulator) as client:
        answer = await client.ask(body, path="/v1/embeddings")
        packed = await client.ask({**body, "encoding_format": "base64"}, path="/v1/embeddings")
        numbers = await client.ask({**body, "input": [1, 2, 3]}, path="/v1/embeddings")
    first, second, third = (item["embedding"] for item in answer.json["data"])
    assert len(numbers.json["data"]) == 1, "one text, given as its tokens"
    assert len(first) == 8
    assert first == third != second
    assert isinstance(packed.json["data"][0]["embedding"], str)


async def test_an_asymmetric_model_wants_an_input_type() -> None:
    body = {"model": "nvidia/nv-embedqa-e5-v5", "input": "a"}
    async with open_simulator(QUICK) as simulator, connected(simulator) as client:
        refused = await client.ask(body, path="/v1/embeddings")
        symmetric = await client.ask({**body, "model": "baai/bge-m3"}, path="/v1/embeddings")
    assert refused.status == 400
    assert refused.json == {"error": "'input_type' parameter is required for asymmetric models"}
    assert symmetric.status == 200


async def test_models_are_listed_without_a_key_and_spend_nothing() -> None:
    async with open_simulator(Config(rpm=0)) as simulator, connected(simulator) as client:
        listed = await client.ask(method="GET", path="/v1/models", key=None)
        card = listed.json["data"][0]
        one = await client.ask(method="GET", path=f"/v1/models/{card['id']}", key=None)
        head = await client.ask(method="HEAD", path="/v1/models")
        none = await client.ask(method="GET", path="/v1/models/no/such")
        assert simulator.stats().uncounted == 4
    assert sorted(card) == ["created", "id", "object", "owned_by"]
    assert "/" in card["id"]
    assert one.json == card
    assert (head.status, head.body) == (200, b"")
    assert none.status == 404


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic k"}, {"Authorization": "Bearer wrong"}])
async def test_without_the_right_key_a_request_is_answered_401_and_spends_nothing(
    headers: dict[str, str],
) -> None:
    async with open_simulator(Config(key="right")) as simulator, connected(simulator) as client:
        answer = await client.ask(chat(), key=None, headers=headers)
        assert answer.status == 401
        assert answer.body == b'{"status":401,"title":"Unauthorized"}'
        assert simulator.stats().accepted == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"model":"m"}',
        b'{"model":7,"messages":[{}]}',
        b"[" * 100_000,
        b'{"model":"m","messages":[{}],"stream":"yes"}',
    ],
)
async def test_a_bad_body_is_answered_400_and_spends_a_place(body: bytes) -> None:
    async with open_simulator(QUICK) as simulator, connected(simulator) as client:
        assert (await client.ask(body)).status == 400
        assert simulator.stats().accepted == 1


async def test_other_paths_and_methods_are_refused_and_spend_nothing() -> None:
    async with open_simulator(QUICK) as simulator, connected(simulator) as client:
        assert (await client.ask(chat(), path="/v1/responses")).status == 404
        assert (await client.ask(method="GET")).status == 405
        assert simulator.stats().accepted == 0


async def test_the_limit_answers_429_word_for_word_and_without_retry_after() -> None:
    async with (
        open_simulator(Config(rpm=1, latency=0), clock=lambda: 5.0) as simulator,
        connected(simulator) as client,
    ):
        first = await client.ask(chat())
        second = await client.ask(chat())
        other_key = await client.ask(chat(), key="other")
        stats = simulator.stats()
    assert (first.status, second.status, other_key.status) == (200, 429, 200)
    assert second.body == b'{"status":429,"title":"Too Many Requests"}'
    assert second.header(b"retry-after") is None
    assert (stats.requests, stats.accepted, stats.refused, stats.max_in_window) == (3, 2, 1, 2)
    assert stats.max_in_window_by_key == {"k": 1, "other": 1}


async def test_the_window_slides_with_the_clock_that_was_handed_in() -> None:
    times = iter((100.0, 160.0, 160.5))
    config = Config(rpm=1, latency=0)
    async with open_simulator(config, clock=lambda: next(times)) as simulator, connected(simulator) as client:
        assert [(await client.ask(chat())).status for _ in range(3)] == [200, 429, 200]


async def test_a_full_model_answers_503_and_a_client_that_hangs_up_frees_its_worker() -> None:
    config = Config(latency=3600, workers={"busy": 1})
    async with open_simulator(config) as simulator, connected(simulator) as client:
        async with connected(simulator) as waiting:
            await waiting.send(chat("busy"))
            await simulator.wait_for(lambda stats: stats.in_flight == 1)
            full = await client.ask(chat("busy"))
        assert full.status == 503
        assert full.json["error"]["message"].endswith("Worker local total request limit reached (1/1)")
        with trio.fail_after(5):
            await simulator.wait_for(lambda stats: stats.aborted == 1)
        simulator.change(latency=0)
        assert (await client.ask(chat("busy"))).status == 200
        assert simulator.stats().exhausted == 1


async def test_a_worker_is_free_when_its_answer_has_been_read() -> None:
    config = Config(latency=0, chunk_gap=0, rpm=1000, workers={"m": 1})
    async with (
        open_simulator(config) as simulator,
        connected(simulator) as one,
        connected(simulator) as other,
    ):
        for _ in range(50):
            assert (await one.ask(chat("m", stream=True))).status == 200
            assert (await other.ask(chat("m"))).status == 200
            assert simulator.stats().in_flight == 0


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_hangs_up_before_the_answer_is_noticed_at_once(stream: bool) -> None:
    async with open_simulator(NEVER) as simulator:
        async with connected(simulator) as client:
            await client.send(chat(stream=stream))
            await simulator.wait_for(lambda stats: stats.in_flight == 1)
        with trio.fail_after(5):
            stats = await simulator.wait_for(lambda stats: stats.connections == 0)
        assert (stats.aborted, stats.in_flight) == (1, 0)
        assert simulator.requests[0].outcome == "aborted"


async def test_a_client_that_hangs_up_in_the_middle_of_a_stream_is_noticed_at_once() -> None:
    async with open_simulator(Config(latency=0, chunk_gap=3600)) as simulator:
        async with connected(simulator) as client:
            await client.send(chat(stream=True))
            assert isinstance(await client.event(), h11.Response)
            assert b"assistant" in _data(await client.event())
        with trio.fail_after(5):
            await simulator.wait_for(lambda stats: stats.aborted == 1)


async def test_a_client_that_hangs_up_in_the_middle_of_its_request_is_aborted_and_not_counted() -> None:
    async with open_simulator(QUICK) as simulator:
        async with connected(simulator) as client:
            await client.stream.send_all(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: s\r\nContent-Length: 9\r\n\r\n{"
            )
        with trio.fail_after(5):
            stats = await simulator.wait_for(lambda stats: stats.aborted == 1)
        assert stats.requests == 0


async def test_a_connection_is_kept_and_requests_on_it_are_told_apart() -> None:
    async with open_simulator(QUICK) as simulator, connected(simulator) as client:
        for _ in range(300):
            assert (await client.ask(chat())).status == 200
        stats = simulator.stats()
        assert (stats.requests, stats.connections, stats.connections_opened) == (300, 1, 1)
        assert {record.connection for record in simulator.requests} == {1}


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer k\r\n"
    request = head + b"Content-Length: %d\r\n\r\n%s"
    bodies = [json.dumps(chat(said=f"say: {word}", stream=True)).encode() for word in ("one", "two", "three")]
    async with open_simulator(QUICK) as simulator, connected(simulator) as client:
        await client.stream.send_all(b"".join(request % (len(body), body) for body in bodies))
        received = b""
        with trio.fail_after(5):
            while received.count(b"[DONE]") < 3:
                received += await client.stream.receive_some(65_536)
        assert simulator.stats().accepted == 3
    first, second, third, _ = received.split(b"[DONE]")
    assert b'"content":"n"' in first
    assert b'"content":"w"' in second
    assert b'"content":"h"' in third


async def test_a_client_that_expects_100_continue_gets_it() -> None:
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: s\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    )
    async with open_simulator(QUICK) as simulator, connected(simulator) as client:
        await client.stream.send_all(head)
        with trio.fail_after(5):
            assert (await client.stream.receive_some()).startswith(b"HTTP/1.1 100 Continue\r\n")


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"]
)
async def test_what_is_not_a_request_is_answered_400_and_counted_as_malformed(garbage: bytes) -> None:
    async with open_simulator(QUICK) as simulator, connected(simulator) as client:
        await client.stream.send_all(garbage)
        with trio.fail_after(5):
            assert (await client.stream.receive_some()).startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert (simulator.stats().malformed, simulator.stats().requests) == (1, 0)


async def test_a_body_beyond_the_bound_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_BODY_BYTES", 1000)
    async with open_simulator(QUICK) as simulator, connected(simulator) as client:
        await client.stream.send_all(
            b"POST / HTTP/1.1\r\nHost: s\r\nContent-Length: 99999\r\n\r\n" + b"x" * 1001
        )
        with trio.fail_after(5):
            assert (await client.stream.receive_some()).startswith(b"HTTP/1.1 413 ")
        assert (simulator.stats().malformed, simulator.stats().requests) == (1, 0)


async def test_a_stream_begins_after_the_first_token_and_a_full_answer_after_the_latency(
    mock_clock: MockClock,
) -> None:
    config = Config(latency=100, first_token=10, chunk_gap=0)
    async with (
        open_simulator(config) as simulator,
        connected(simulator) as one,
        connected(simulator) as other,
    ):
        await one.send(chat(stream=True))
        await other.send(chat())
        await simulator.wait_for(lambda stats: stats.in_flight == 2)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(10)
        assert (await one.answer()).status == 200
        assert simulator.stats().in_flight == 1
        mock_clock.jump(90)
        assert (await other.answer()).status == 200


async def test_a_client_that_resets_its_connection_has_hung_up() -> None:
    async with open_simulator(NEVER) as simulator:
        async with connected(simulator) as client:
            await client.send(chat())
            await simulator.wait_for(lambda stats: stats.in_flight == 1)
            client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await simulator.wait_for(lambda stats: stats.aborted == 1)


@pytest.mark.needs("minutes")
async def test_a_thousand_streams_at_once_all_end_well(mock_clock: MockClock) -> None:
    ended = 0

    async def stream(simulator: Simulator) -> None:
        nonlocal ended
        async with connected(simulator) as client:
            answer = await client.ask(chat(stream=True, said="say: abc"))
            assert answer.events[-1] == "[DONE]"
            ended += 1

    async with open_simulator(Config(rpm=1000, latency=5, chunk_gap=0)) as simulator:
        async with trio.open_nursery() as nursery:
            for _ in range(1000):
                nursery.start_soon(stream, simulator)
            await simulator.wait_for(lambda stats: stats.in_flight == 1000)
            mock_clock.jump(5)
        stats = simulator.stats()
    assert ended == stats.accepted == stats.max_in_window == 1000
    assert (stats.in_flight, stats.aborted) == (0, 0)


async def test_a_request_is_remembered_as_it_came() -> None:
    body = json.dumps(chat(said="ünï")).encode()
    async with open_simulator(QUICK, clock=lambda: 7.5) as simulator, connected(simulator) as client:
        await client.ask(body, path=f"{CHAT}?a=1&b=%20", headers={"X-MiXed": "One", "x-mixed": "two"})
        shown = await client.ask(method="GET", path="/_sim/requests?limit=1")
        record = simulator.requests[-1]
    assert (record.at, record.method, record.path, record.query) == (7.5, "POST", CHAT, "a=1&b=%20")
    assert [item for item in record.headers if item[0].lower() == "x-mixed"] == [
        ("X-MiXed", "One"),
        ("x-mixed", "two"),
    ]
    assert record.header("AUTHORIZATION") == "Bearer k"
    assert (record.body, record.body_bytes) == (body, len(body))
    assert record.body_sha256 == hashlib.sha256(body).hexdigest()
    assert (record.model, record.outcome, record.status) == ("meta/llama", "answered", 200)
    assert shown.json[0]["body"] == body.decode()
    assert shown.json[0]["headers"] == [list(item) for item in record.headers]


async def test_only_the_last_thousand_requests_and_64_kb_of_a_body_are_kept() -> None:
    async with open_simulator(QUICK) as simulator, connected(simulator) as client:
        for number in range(KEPT_REQUESTS + 5):
            await client.ask(method="GET", path=f"/{number}")
        await client.ask(b"x" * 100_000)
        assert len(simulator.requests) == KEPT_REQUESTS
        assert simulator.requests[0].path == "/6"
        assert (len(simulator.requests[-1].body), simulator.requests[-1].body_bytes) == (65_536, 100_000)


async def test_the_control_endpoints_script_change_reset_and_count_nothing() -> None:
    async with open_simulator(QUICK) as simulator, connected(simulator) as client:

        async def post(what: str, body: object) -> int:
            return (await client.ask(body, path=f"/_sim/{what}", key=None)).status

        assert await post("fault", {"kind": "429", "count": 1, "model": None, "after": 1}) == 200
        assert [(await client.ask(chat())).status for _ in range(3)] == [200, 429, 200]
        assert await post("settings", {"rpm": 3, "model_rpm": {"m": 1}}) == 200
        assert (simulator.config.rpm, simulator.config.latency) == (3, 0)
        assert (await client.ask(chat())).status == 429
        stats = await client.ask(method="GET", path="/_sim/stats", key=None)
        assert (stats.json["requests"], stats.json["faulted"], stats.json["refused"]) == (4, 1, 1)
        assert await post("reset", None) == 200
        assert (simulator.stats().requests, simulator.requests, simulator.config.rpm) == (0, [], 3)
        assert (await client.ask(chat())).status == 200
        settings = await client.ask(method="GET", path="/_sim/settings", key=None)
        assert settings.json["rpm"] == 3


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("fault", {"kind": "no such kind"}),
        ("fault", {"kind": "retry-after", "value": "a\r\nb"}),
        ("fault", b"[" * 100_000),
        ("settings", {"rpm": -1}),
        ("settings", {"latency": "soon"}),
        ("settings", b'{"a":' * 100_000),
        ("nothing", {}),
    ],
)
async def test_a_wrong_control_request_is_answered_400_with_what_is_wrong(what: str, body: object) -> None:
    async with open_simulator(QUICK) as simulator, connected(simulator) as client:
        answer = await client.ask(body, path=f"/_sim/{what}")
        assert answer.status == 400
        assert answer.json["error"]


async def test_serve_hands_out_the_simulator_when_it_listens() -> None:
    async with trio.open_nursery() as nursery:
        simulator: Simulator = await nursery.start(serve, QUICK)
        async with connected(simulator) as client:
            assert (await client.ask(chat())).status == 200
        assert simulator.url == f"http://127.0.0.1:{simulator.port}/v1"
        assert "1 requests, 0 in flight" in repr(simulator)
        nursery.cancel_scope.cancel()


async def test_a_failure_inside_the_block_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_simulator(QUICK):
            raise ZeroDivisionError


def _data(event: h11.Event) -> bytes:
    assert isinstance(event, h11.Data)
    return bytes(event.data)
