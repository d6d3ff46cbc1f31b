"""Streams that wait long: empty chunks in the endpoint's own form, then the upstream's answer or an error."""

import json
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from proxy import daemon
from proxy.simulator import spoil
from tests.edge.asgi import Talk, error_code
from tests.edge.conftest import MODEL, Sidecar, World, chat_body

Headers = list[tuple[bytes, bytes]]
TWENTY_SECONDS: Headers = [(b"x-stainless-timeout", b"20")]


async def full_window(world: World, **settings: Any) -> Sidecar:
    """One request a minute, and it has just been sent: the next one waits 61 s."""
    sidecar = world.sidecar(rate_rpm=1, **settings)
    await sidecar.spend(1)
    return sidecar


def events(talk: Talk) -> list[Any]:
    """The data of a stream, decoded, `[DONE]` left out."""
    lines = [line.removeprefix("data: ") for line in talk.body.decode().split("\n\n") if line]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def said(talk: Talk) -> str:
    return "".join(
        event["choices"][0]["delta"].get("content", "") for event in events(talk) if event["choices"]
    )


def is_empty(event: Any) -> bool:
    return bool(event["choices"][0]["delta"] == {"role": "assistant", "content": ""})


async def test_nothing_is_sent_for_three_quarters_of_the_clients_patience_then_empty_chunks(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = await full_window(world)
    talk = sidecar.begin(stream=True, headers=TWENTY_SECONDS, said="say: it was worth it")
    await trio.sleep(14.9)
    assert not talk.headers
    heard = []
    for until in (15.1, 21.6, 21.7, 28.3, 28.4):
        await trio.sleep_until(until)
        heard.append(len(talk.chunks))
    assert heard == [1, 1, 2, 2, 3], "every third of its patience"
    assert talk.status == 200
    assert talk.header(b"content-type") == b"text/event-stream"
    assert talk.header(b"cache-control") == b"no-cache"
    assert talk.header(b"content-length") is None
    assert (talk.header(b"x-sidecar-attempts"), talk.number(b"x-sidecar-queue-ms")) == (b"0", 15_000)
    assert len(talk.header(b"x-sidecar-request-id") or b"") == 32
    await talk.answered()
    assert trio.current_time() == 61
    assert said(talk) == "it was worth it"
    assert talk.body.endswith(b"data: [DONE]\n\n")
    assert sidecar.simulator.stats().requests == 2


async def test_an_empty_chunk_has_the_form_of_the_upstreams_own(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = await full_window(world)
    talk = await sidecar.chat(stream=True, headers=TWENTY_SECONDS)
    ours, *_, theirs = [event for event in events(talk) if is_empty(event)]
    assert {key: type(value) for key, value in ours.items()} == {
        key: type(value) for key, value in theirs.items()
    }
    assert (ours["object"], ours["model"], ours["choices"]) == (
        theirs["object"],
        theirs["model"],
        theirs["choices"],
    )


async def test_a_text_completion_gets_chunks_of_its_own_form(autojump_clock: MockClock, world: World) -> None:
    sidecar = await full_window(world)
    body = json.dumps({"model": MODEL, "prompt": "say: yes", "stream": True}).encode()
    talk = await sidecar.client.ask("POST", b"/v1/completions", body, headers=TWENTY_SECONDS)
    assert "".join(event["choices"][0]["text"] for event in events(talk)) == "yes"
    assert {event["object"] for event in events(talk)} == {"text_completion"}
    assert len(events(talk)) > 7


@pytest.mark.parametrize(
    ("settings", "headers", "begins", "every"),
    [
        ({}, [], 240, 15),
        ({"keepalive_after": 30}, [], 30, 15),
        ({"keepalive_after": 30}, [(b"x-stainless-timeout", b"900")], 30, 15),
        ({"keepalive_after": 10}, TWENTY_SECONDS, 10, 20 / 3),
        ({}, [(b"x-stainless-read-timeout", b"60")], 45, 15),
        ({}, [(b"x-stainless-timeout", b"0")], 240, 15),
        ({}, [(b"x-stainless-timeout", b"0.3")], 0.225, 1),
        ({"keepalive_after": 0}, [], 0, 15),
    ],
)
async def test_it_begins_after_the_setting_or_the_clients_own_word(
    *,
    autojump_clock: MockClock,
    world: World,
    settings: dict[str, Any],
    headers: Headers,
    begins: float,
    every: float,
) -> None:
    sidecar = world.sidecar(**settings)
    world.simulator.change(first_token=250)
    talk = sidecar.begin(stream=True, headers=headers)
    for chunks in range(1, 3 if begins < 240 else 2):
        await talk.until(lambda talk, chunks=chunks: len(talk.chunks) >= chunks)  # type: ignore[misc]
        assert trio.current_time() == pytest.approx(begins + (chunks - 1) * every)
    await talk.answered()
    assert trio.current_time() == 250


async def test_an_answer_that_comes_in_time_is_as_if_there_were_no_keepalive(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    world.simulator.change(first_token=14, chunk_gap=10)
    talk = await sidecar.chat(stream=True, headers=[*TWENTY_SECONDS, (b"accept-encoding", b"gzip")])
    assert talk.header(b"x-sidecar-attempts") == b"1"
    assert sum(map(is_empty, [event for event in events(talk) if event["choices"]])) == 1, (
        "the upstream's own"
    )
    assert sidecar.last.header("accept-encoding") == "gzip"


async def test_a_request_that_does_not_stream_is_held(autojump_clock: MockClock, world: World) -> None:
    sidecar = await full_window(world, keepalive_after=1)
    talk = sidecar.begin()
    await trio.sleep(60)
    assert talk.status is None
    assert (await talk.answered()).json["object"] == "chat.completion"


async def test_an_endpoint_whose_chunks_are_not_known_is_held(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = await full_window(world, keepalive_after=1)
    json_type = [(b"content-type", b"application/json")]
    talk = sidecar.client.begin("POST", b"/v1/responses", chat_body(stream=True), headers=json_type)
    await trio.sleep(60)
    assert talk.status is None
    assert (await talk.answered()).status == 404


async def test_once_it_has_begun_the_upstream_is_asked_for_plain_text(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = await full_window(world)
    headers = [*TWENTY_SECONDS, (b"accept-encoding", b"gzip, br")]
    await sidecar.chat(stream=True, headers=headers)
    assert sidecar.last.header("accept-encoding") == "identity"


async def test_an_answer_that_was_asked_for_compressed_is_unpacked_for_the_head_that_went_ahead(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    world.simulator.change(first_token=30)
    world.simulator.script_fault("gzip")
    headers = [*TWENTY_SECONDS, (b"accept-encoding", b"gzip")]
    options: dict[str, Any] = {"stream_options": {"include_usage": True}}
    talk = await sidecar.chat(stream=True, headers=headers, said="say: unpacked", **options)
    assert talk.header(b"content-encoding") is None
    assert said(talk) == "unpacked"
    assert sidecar.last.header("accept-encoding") == "gzip", "it was not known then"
    (row,) = await sidecar.json(b"/api/agents")
    assert row["completion_tokens"] == 2


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("500", 500, "Inference connection error"),
        ("429", 429, "Too Many Requests"),
        ("404", 404, "Function"),
        ("502", 502, "502 Bad Gateway"),
        ("504", 504, "the upstream answered with 504"),
        ("503-workers", 503, "Worker local total request limit reached"),
        ("worker-error-as-stream", 503, "Worker local total request limit reached"),
        ("reset", "upstream_unreachable", "closed the connection"),
        ("silence", "upstream_timeout", "did not begin to answer"),
        ("202", "upstream_unreachable", "broke off"),
    ],
)
async def test_a_failure_after_it_has_begun_is_told_in_band_and_ends_the_stream(
    *, autojump_clock: MockClock, world: World, fault: str, code: object, words: str
) -> None:
    sidecar = await full_window(world, max_retries=0)
    world.simulator.script_fault(fault)
    talk = await sidecar.chat(stream=True, headers=TWENTY_SECONDS)
    assert talk.status == 200
    *waiting, last = events(talk)
    assert all(map(is_empty, waiting))
    assert last["error"]["code"] == code
    assert words in last["error"]["message"]
    metrics = await sidecar.metrics()
    assert metrics['sidecar_requests_total{priority="normal",status="error"}'] == 1


async def test_no_slot_after_all_is_told_in_band(autojump_clock: MockClock, world: World) -> None:
    sidecar = await full_window(world, queue_timeout=70)
    world.simulator.script_fault("500")
    talk = await sidecar.chat(stream=True, headers=TWENTY_SECONDS)
    assert talk.status == 200
    assert events(talk)[-1]["error"]["code"] == 500, "what the one attempt came to"
    assert trio.current_time() <= 70


async def test_a_refusal_on_arrival_is_an_honest_status(autojump_clock: MockClock, world: World) -> None:
    sidecar = await full_window(world, keepalive_after=1, queue_timeout=10)
    talk = await sidecar.chat(stream=True)
    assert (talk.status, talk.error) == (429, "rate_limited")


async def test_two_failed_attempts_and_a_success_stay_out_of_the_clients_sight(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(keepalive_after=1)
    world.simulator.script_fault("429", count=3)
    talk = await sidecar.chat(stream=True, said="say: fine")
    assert said(talk) == "fine"
    assert not [event for event in events(talk) if "error" in event]


async def test_a_stream_that_breaks_after_it_ends_with_an_error(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = await full_window(world)
    world.simulator.script_fault("reset-in-stream")
    talk = await sidecar.chat(stream=True, headers=TWENTY_SECONDS)
    *_, last, nothing = talk.body.split(b"\n\n")
    assert nothing == b""
    assert error_code(json.loads(last.removeprefix(b"data: "))) == "upstream_unreachable"


async def test_what_cannot_be_unpacked_ends_with_an_error(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar = world.sidecar()
    world.simulator.change(first_token=30)
    world.simulator.script_fault("gzip")
    monkeypatch.setattr(spoil, "gzipped", lambda pieces: (b"not gzip" for _ in pieces))
    talk = await sidecar.chat(stream=True, headers=TWENTY_SECONDS)
    assert events(talk)[-1]["error"]["code"] == "upstream_unreachable"


async def test_a_client_that_hangs_up_while_it_is_kept_alive_frees_its_place(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = await full_window(world)
    talk = sidecar.begin(stream=True, headers=TWENTY_SECONDS)
    await trio.sleep(30)
    talk.hang_up()
    await wait_all_tasks_blocked()
    assert talk.over
    assert sidecar.waiting == 0
    heard = len(talk.chunks)
    await trio.sleep(100)
    assert len(talk.chunks) == heard
    assert sidecar.simulator.stats().requests == 1


async def test_a_client_that_stops_reading_loses_no_byte_of_its_stream(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = await full_window(world)
    talk = sidecar.begin(stream=True, headers=TWENTY_SECONDS, said="say: all of it")
    await trio.sleep(20)
    talk.stall()
    await trio.sleep(100)
    talk.go_on()
    await talk.answered()
    assert said(talk) == "all of it"


async def test_the_end_of_the_process_is_told_in_band(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "last_resort", lambda seconds: None)
    sidecar = await full_window(world)
    talk = sidecar.begin(stream=True, headers=TWENTY_SECONDS)
    await trio.sleep(20)
    sidecar.lifecycle.begin_drain()
    await daemon._drain(5, trio.CancelScope(), sidecar.parts)
    await talk.answered()
    assert events(talk)[-1]["error"]["code"] == "draining"


async def test_a_thousand_waits_that_end_in_time_leave_nothing_behind(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(rate_rpm=100_000, bucket_capacity=100_000)
    for _ in range(1000):
        await sidecar.chat(stream=True)
    assert len(sidecar.parts.keepalive._heap) < 200
