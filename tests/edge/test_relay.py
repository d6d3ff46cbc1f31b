"""What a client sends reaches the upstream, what the upstream answers reaches the client: nothing else."""

import gzip
import hashlib
import json
from typing import Any

import pytest
from trio.testing import MockClock

from tests.edge.conftest import CHAT, KEY, MODEL, World, chat_body

OURS = {b"x-sidecar-request-id", b"x-sidecar-queue-ms", b"x-sidecar-attempts"}

ODD_BODY = (
    b' {"messages" : [{"role":"user", "content":"a \\ud83d cut emoji, \xff\xfe bad bytes, \\u00e9"}],\n'
    b'\t"temperature":0.70, "n": 1e0, "n": 1,"model":"meta\\/llama" }\r\n'
)


async def test_a_body_without_anything_of_ours_arrives_byte_for_byte(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    assert (await sidecar.chat(body=ODD_BODY)).status == 200
    assert sidecar.last.body_sha256 == hashlib.sha256(ODD_BODY).hexdigest()


async def test_a_body_in_many_pieces_arrives_as_one(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    pieces = [ODD_BODY[at : at + 7] for at in range(0, len(ODD_BODY), 7)]
    headers = [(b"transfer-encoding", b"chunked")]
    await sidecar.client.ask("POST", CHAT, *pieces, headers=headers)
    assert sidecar.last.body == ODD_BODY
    assert sidecar.last.header("content-length") == str(len(ODD_BODY))
    assert sidecar.last.header("transfer-encoding") is None


async def test_the_upstream_gets_exactly_these_headers(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    body = chat_body()
    came = [
        (b"host", b"localhost:9190"),
        (b"user-agent", b"test/1"),
        (b"accept-encoding", b"gzip, br"),
        (b"x-twice", b"1"),
        (b"authorization", b"Bearer dummy"),
        (b"x-twice", b"\xe9\xff"),
        (b"nvcf-poll-seconds", b"300"),
        (b"content-length", b"%d" % len(body)),
        (b"content-type", b"application/json"),
    ]
    await sidecar.chat(body=body, headers=came)
    assert sidecar.last.headers == [
        ("host", "127.0.0.1:9"),
        ("user-agent", "test/1"),
        ("accept-encoding", "gzip, br"),
        ("x-twice", "1"),
        ("x-twice", "\xe9\xff"),
        ("nvcf-poll-seconds", "300"),
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("authorization", f"Bearer {KEY}"),
    ]


async def test_hop_by_hop_headers_ours_and_a_browsers_do_not_travel(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    dropped = {
        b"connection": b"close, X-Secret",
        b"x-secret": b"for this hop",
        b"keep-alive": b"timeout=5",
        b"proxy-authorization": b"Basic x",
        b"te": b"trailers",
        b"trailer": b"x-sum",
        b"upgrade": b"h2c",
        b"expect": b"100-continue",
        b"cookie": b"a=b",
        b"origin": b"http://localhost:9190",
        b"x-priority": b"high",
        b"x-agent-id": b"crab",
        b"x-deadline-ms": b"5000",
    }
    await sidecar.chat(headers=[*dropped.items(), (b"x-kept", b"1")])
    arrived = {name.encode() for name, _ in sidecar.last.headers}
    assert arrived.isdisjoint(dropped)
    assert b"x-kept" in arrived


async def test_the_query_and_the_escapes_of_a_target_arrive_as_they_came(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    target = b"/v1/some%2Fthing/a%20b?x=1&y=%2F&z=a/b?c&&="
    assert (await sidecar.client.ask("DELETE", target)).status == 404
    assert sidecar.last.target == target.decode()
    assert sidecar.last.method == "DELETE"


async def test_a_request_without_a_body_is_sent_without_a_length(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    await sidecar.client.get(b"/v1/files")
    assert sidecar.last.headers == [("host", "127.0.0.1:9"), ("authorization", f"Bearer {KEY}")]
    await sidecar.client.ask("POST", b"/v1/files")
    assert sidecar.last.header("content-length") == "0"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_comes_back_as_the_upstream_sent_it(
    autojump_clock: MockClock, world: World, stream: bool
) -> None:
    sidecar = world.sidecar()
    talk = await sidecar.chat(said="say: h\xe9llo", stream=stream)
    if stream:
        events = talk.body.decode().split("\n\n")
        assert events[-2] == "data: [DONE]"
        assert len(talk.chunks) > 3, "piece by piece as it came"
        said = [json.loads(event[6:])["choices"][0]["delta"].get("content", "") for event in events[:-2]]
        assert "".join(said) == "h\xe9llo"
        assert talk.header(b"content-type") == b"text/event-stream"
        assert talk.header(b"cache-control") == b"no-cache"
    else:
        assert talk.json["choices"][0]["message"]["content"] == "h\xe9llo"
        assert talk.header(b"content-length") == b"%d" % len(talk.body)
    assert {name for name, _ in talk.headers if name.startswith(b"x-sidecar")} == OURS
    assert len(talk.header(b"x-sidecar-request-id") or b"") == 32
    assert talk.header(b"x-sidecar-queue-ms") == b"0"
    assert talk.header(b"x-sidecar-attempts") == b"1"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_gzipped_answer_stays_gzipped_and_its_tokens_are_counted(
    autojump_clock: MockClock, world: World, stream: bool
) -> None:
    sidecar = world.sidecar()
    world.simulator.script_fault("gzip")
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if stream else {}
    talk = await sidecar.chat(said="say: 12345678", stream=stream, **options)
    assert talk.header(b"content-encoding") == b"gzip"
    assert b"12345678" in gzip.decompress(talk.body) or stream
    (row,) = await sidecar.json(b"/api/agents")
    assert (row["prompt_tokens"], row["completion_tokens"]) == (4, 2)


async def test_cookies_and_hop_by_hop_headers_of_the_upstream_stay_here(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    world.simulator.script_fault("headers")
    talk = await sidecar.chat()
    assert {name for name, _ in talk.headers} == {
        b"content-type",
        b"content-length",
        b"x-kept",
        *OURS,
    }


async def test_our_metadata_and_openclaws_provider_name_are_all_that_is_changed(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    body = (
        b'{"messages": [{"role":"user","content":"hi"}] , "metadata":{"priority":"high", "agent":"crab"},'
        b' "model" : "nvidiavx/meta/llama"}'
    )
    await sidecar.chat(body=body)
    assert sidecar.last.body == (b'{"messages": [{"role":"user","content":"hi"}], "model" : "meta/llama"}')
    await sidecar.chat("nvidia/llama-3.1-nemotron")
    assert sidecar.last.model == "nvidia/llama-3.1-nemotron"


async def test_the_clients_key_is_replaced_by_ours(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    await sidecar.chat(headers=[(b"authorization", b"Bearer nvapi-theirs")])
    keys = [value for name, value in sidecar.last.headers if name == "authorization"]
    assert keys == [f"Bearer {KEY}"]


async def test_without_a_key_of_ours_the_clients_is_passed_on(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(own_key=False)
    await sidecar.chat(headers=[(b"authorization", b"Bearer nvapi-theirs")])
    keys = [value for name, value in sidecar.last.headers if name == "authorization"]
    assert keys == ["Bearer nvapi-theirs"]


@pytest.mark.parametrize("headers", [[], [(b"authorization", b"")]])
async def test_without_any_key_the_answer_says_so_and_nothing_is_sent(
    autojump_clock: MockClock, world: World, headers: list[tuple[bytes, bytes]]
) -> None:
    sidecar = world.sidecar(own_key=False)
    talk = await sidecar.chat(headers=headers)
    assert (talk.status, talk.error) == (401, "missing_key")
    assert sidecar.simulator.requests == []


async def test_openclaws_billing_origin_is_restored(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    await sidecar.chat(headers=[(b"user-agent", b"OpenAI/JS 5.1"), (b"x-session-affinity", b"s")])
    assert sidecar.last.header("X-BILLING-INVOKE-ORIGIN") == "OpenClaw"
    await sidecar.chat(headers=[(b"user-agent", b"OpenAI/JS 5.1")])
    assert sidecar.last.header("X-BILLING-INVOKE-ORIGIN") is None


async def test_a_202_is_relayed_as_it_is(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    talk = await sidecar.chat("fault/202")
    assert talk.status == 202
    assert talk.header(b"nvcf-reqid")
    assert talk.body == b""


@pytest.mark.parametrize(
    ("kind", "status"), [("400-degraded", 400), ("404", 404), ("410", 410), ("401", 401), ("402", 402)]
)
async def test_a_4xx_is_relayed_in_the_upstreams_words_and_never_tried_again(
    autojump_clock: MockClock, world: World, kind: str, status: int
) -> None:
    sidecar = world.sidecar()
    talk = await sidecar.chat(f"fault/{kind}")
    assert talk.status == status
    assert "error" not in talk.json
    assert talk.header(b"x-sidecar-attempts") == b"1"
    assert sidecar.simulator.stats().requests == 1


async def test_embeddings_and_completions_go_the_same_way(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    body = json.dumps({"model": "nvidia/nv-embedqa-e5-v5", "input": ["a"], "input_type": "query"}).encode()
    talk = await sidecar.client.ask("POST", b"/v1/embeddings", body)
    assert len(talk.json["data"][0]["embedding"]) == 1024
    body = json.dumps({"model": MODEL, "prompt": "say: yes"}).encode()
    talk = await sidecar.client.ask("POST", b"/v1/completions", body)
    assert talk.json["choices"][0]["text"] == "yes"


async def test_a_head_request_gets_a_head(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    talk = await sidecar.client.ask("HEAD", b"/v1/status/nothing")
    assert (talk.status, talk.body) == (404, b"")


async def test_connections_to_the_upstream_are_used_again(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    await sidecar.spend(10)
    assert world.line.attempts == 1


async def test_a_json_body_on_another_path_is_read_where_it_can_be(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    json_type = [(b"content-type", b"application/json; charset=utf-8")]
    body = b'{"model":"nvidiavx/a/b","input":"x","metadata":{"agent":"crab","priority":"high"}}'
    await sidecar.client.ask("POST", b"/v1/responses", body, headers=json_type)
    assert sidecar.last.body == b'{"model":"a/b","input":"x"}'
    (row,) = await sidecar.json(b"/api/agents")
    assert row["agent"] == "crab"


@pytest.mark.parametrize("body", [b"not json", b'{"input":"no model"}', b"[]", b""])
async def test_what_cannot_be_read_on_another_path_passes_as_it_is(
    autojump_clock: MockClock, world: World, body: bytes
) -> None:
    sidecar = world.sidecar()
    await sidecar.client.ask("POST", b"/v1/responses", body, headers=[(b"content-type", b"application/json")])
    assert sidecar.last.body == body
