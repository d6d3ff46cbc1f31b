"""Errors of ours: each code of the contract, in its exact shape, and none of them spends anything."""

import json
from collections.abc import Iterable

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from tests.edge.asgi import Talk
from tests.edge.conftest import CHAT, KEY, World, chat_body

HEADERS = Iterable[tuple[bytes, bytes]]


@pytest.mark.parametrize(
    ("method", "target", "headers", "body", "status", "code"),
    [
        ("POST", CHAT, [], b"{", 400, "invalid_json"),
        ("POST", b"/v1/completions", [], b"", 400, "invalid_json"),
        ("POST", b"/v1/embeddings", [], b'{"model":1}', 400, "invalid_request"),
        ("POST", CHAT, [], b'{"model":"m","stream":"yes"}', 400, "invalid_request"),
        ("POST", CHAT, [], b'{"model":"m","t":NaN}', 400, "invalid_json"),
        ("POST", CHAT, [], b'{"d":' + b"[" * 10_000, 400, "invalid_json"),
        ("POST", CHAT, [], '{"model":"nvidia1/a/b"}'.encode("utf-16-le"), 400, "invalid_json"),
        ("POST", CHAT, [(b"host", b"evil.com")], b"{}", 403, "forbidden_host"),
        ("POST", CHAT, [(b"origin", b"http://evil.com")], b"{}", 403, "forbidden_origin"),
        ("POST", CHAT, [(b"origin", b"null")], b"{}", 403, "forbidden_origin"),
        ("GET", b"/status", [(b"sec-fetch-site", b"cross-site")], b"", 403, "forbidden_origin"),
        ("GET", b"/", [], b"", 404, "not_found"),
        ("GET", b"/v1", [], b"", 404, "not_found"),
        ("POST", b"/chat/completions", [], b"{}", 404, "not_found"),
        ("GET", b"/api/admin/config", [], b"", 404, "not_found"),
        ("POST", b"/api/admin/config", [], b"{}", 404, "not_found"),
        ("GET", b"/api/dashboard", [], b"", 404, "not_found"),
        ("GET", b"/api/dashboard/stream", [], b"", 404, "not_found"),
        ("GET", b"/metrics", [], b"", 404, "not_found"),
        ("GET", b"/v1/models/nobody/has-it", [], b"", 404, "not_found"),
        ("TRACE", CHAT, [], b"", 405, "invalid_request"),
        ("CONNECT", CHAT, [], b"", 405, "invalid_request"),
        ("POST", b"/health", [], b"{}", 405, "invalid_request"),
        ("DELETE", b"/status", [], b"", 405, "invalid_request"),
        ("POST", CHAT, [], b" " * 1001, 413, "body_too_large"),
        ("GET", b"/v1/" + b"x" * 8000, [], b"", 414, "invalid_request"),
        (
            "POST",
            CHAT,
            [(b"content-encoding", b"gzip"), (b"content-length", b"2")],
            b"xx",
            415,
            "invalid_request",
        ),
        ("POST", CHAT, [(b"x-long", b"x" * 20_000)], b"{}", 431, "invalid_request"),
        ("GET", b"/health", [(b"x-%d" % n, b"") for n in range(500)], b"", 431, "invalid_request"),
    ],
)
async def test_what_is_refused_has_its_code_and_reaches_nobody(
    *,
    autojump_clock: MockClock,
    world: World,
    method: str,
    target: bytes,
    headers: HEADERS,
    body: bytes,
    status: int,
    code: str,
) -> None:
    sidecar = world.sidecar(max_body_bytes=1000 if status == 413 else 100_000)
    talk = await sidecar.client.ask(method, target, body, headers=headers)
    assert (talk.status, talk.error) == (status, code)
    assert talk.header(b"content-type") == b"application/json"
    assert not [name for name, _ in talk.headers if name.startswith(b"access-control")]
    assert [record for record in sidecar.simulator.requests if record.path != "/v1/models"] == []
    assert (await sidecar.json(b"/status"))["lanes"][0]["window_used"] == 0


async def test_a_body_that_says_it_is_too_large_is_refused_unread(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(max_body_bytes=10)
    talk = sidecar.client.begin("POST", CHAT, b"{", headers=[(b"content-length", b"11")], more_to_come=True)
    await talk.heard()
    assert (talk.status, talk.error) == (413, "body_too_large")
    assert talk.header(b"connection") == b"close"
    await talk.answered()


async def test_a_body_that_grows_too_large_is_refused_as_soon_as_it_is(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(max_body_bytes=10)
    talk = sidecar.client.begin("POST", CHAT, *[b"xxxx"] * 3, more_to_come=True)
    await talk.heard()
    assert talk.status == 413


async def test_a_body_of_exactly_the_limit_is_taken(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar(max_body_bytes=len(chat_body()))
    assert (await sidecar.chat()).status == 200


async def test_a_body_that_stalls_is_a_408(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    talk = sidecar.client.begin("POST", CHAT, b'{"model":', more_to_come=True)
    await talk.heard()
    assert (talk.status, talk.error) == (408, "invalid_request")
    assert trio.current_time() == 30


async def test_no_slot_in_time_is_a_429_with_a_time_to_come_back(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(rate_rpm=1, queue_timeout=10)
    await sidecar.spend(1)
    talk = await sidecar.chat()
    assert (talk.status, talk.error) == (429, "rate_limited")
    assert talk.json["error"]["type"] == "rate_limit_error"
    assert talk.number(b"retry-after") == 60
    assert talk.number(b"retry-after-ms") == 60_000
    await trio.sleep(30)
    talk = await sidecar.chat()
    assert talk.number(b"retry-after") == 31
    assert talk.number(b"retry-after-ms") == 31_000
    assert len(sidecar.simulator.requests) == 1


async def test_draining_is_a_503_with_a_time_to_come_back(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    sidecar.lifecycle.begin_drain()
    talk = await sidecar.chat()
    assert (talk.status, talk.error) == (503, "draining")
    assert talk.number(b"retry-after") == 1
    assert sidecar.simulator.requests == []


async def test_a_fault_of_our_own_is_told_without_its_traceback(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar = world.sidecar()

    async def broken(*_: object) -> None:
        raise RuntimeError(f"something with {KEY} in it")

    monkeypatch.setattr(sidecar.parts.upstream, "send", broken)
    with capture_logs() as logs:
        talk = await sidecar.chat()
    assert (talk.status, talk.error) == (500, "internal_error")
    assert KEY.encode() not in talk.body
    assert [line["log_level"] for line in logs if line["event"] == "internal_error"] == ["error"]
    assert sidecar.waiting == 0
    assert (await sidecar.json(b"/status"))["lanes"][0]["window_used"] == 0


async def test_a_page_of_our_own_that_fails_says_so_in_the_same_shape(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar = world.sidecar()

    def broken() -> None:
        raise RuntimeError(KEY)

    monkeypatch.setattr(sidecar.parts.gate, "statistics", broken)
    with capture_logs() as logs:
        talk = await sidecar.client.get(b"/status")
    assert (talk.status, talk.error) == (500, "internal_error")
    assert KEY.encode() not in talk.body
    assert [line["event"] for line in logs] == ["internal_error"]


async def test_every_refusal_past_the_guard_names_its_request(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(rate_rpm=1)
    await sidecar.spend(1)
    talks: list[Talk] = [
        await sidecar.chat(body=b"{"),
        await sidecar.chat(headers=[(b"x-deadline-ms", b"1")]),
        await sidecar.chat("fault/302", headers=[(b"x-priority", b"low")]),
    ]
    ids = {talk.header(b"x-sidecar-request-id") for talk in talks}
    assert len(ids) == 3
    assert None not in ids


async def test_no_secret_is_in_any_error(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    for fault in ("302", "garbage", "bad-header", "echo-key", "reset"):
        talk = await sidecar.chat(f"fault/{fault}")
        assert KEY.encode() not in talk.body + json.dumps(repr(talk.headers)).encode()


@pytest.mark.parametrize("credentials", [b"", b"Bearer", b"Bearer  ", b"Basic dTpw"])
async def test_what_is_no_bearer_key_is_no_key(
    autojump_clock: MockClock, world: World, credentials: bytes
) -> None:
    sidecar = world.sidecar(own_key=False)
    talk = await sidecar.chat(headers=[(b"authorization", credentials)])
    assert (talk.status, talk.error) == (401, "missing_key")
    assert sidecar.simulator.requests == []
