"""A look at the sidecar, or at what listens in its place."""

import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any

import httpx
import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from scheduler.core.capacity import Blocked, CallerActivity
from scheduler.sidecar import ANSWER_SECONDS, LONGEST_ANSWER_BYTES, Sidecar

URL = "http://127.0.0.1:9190"
CAPACITY = {
    "effective_rpm": 40.0,
    "spare_rpm": 12.5,
    "quiet_until": "2026-03-01T09:30:00.250Z",
    "blocked": {"reason": "key_rejected", "since": "2026-03-01T09:30:00+08:00"},
}
AGENTS = [{"agent": "coo", "session": "3f0c:0", "queued": 1}]

Answerer = Callable[[httpx.Request], Any]


class Body(httpx.AsyncByteStream):
    """A body as the network brings it: in pieces, possibly for ever, each after `seconds`."""

    def __init__(self, *pieces: bytes, for_ever: bool = False, seconds: float = 0) -> None:
        self.sent_bytes = 0
        self._rest = cycle(pieces) if for_ever else iter(pieces)
        self._seconds = seconds

    def __aiter__(self) -> "Body":
        return self

    async def __anext__(self) -> bytes:
        await trio.sleep(self._seconds)
        for piece in self._rest:
            self.sent_bytes += len(piece)
            return piece
        raise StopAsyncIteration


def answered(document: object, status: int = 200) -> httpx.Response:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return httpx.Response(status, stream=Body(body))


def well(request: httpx.Request) -> httpx.Response:
    return answered({"/api/capacity": CAPACITY, "/api/agents": AGENTS}[request.url.path])


@asynccontextmanager
async def sidecar(answer: Answerer, url: str = URL) -> AsyncIterator[Sidecar]:
    there = Sidecar(url, transport=httpx.MockTransport(answer))
    try:
        yield there
    finally:
        await there.aclose()


async def error_of(answer: Answerer) -> str:
    async with sidecar(answer) as there:
        view = await there.look()
    assert not view.capacity.known
    assert view.activities == ()
    return view.capacity.error


async def test_a_look_tells_the_capacity_and_who_waits() -> None:
    async with sidecar(well) as there:
        view = await there.look()
    assert view.capacity.known
    assert view.capacity.spare_rpm == 12.5
    assert view.activities == (CallerActivity("coo", "3f0c:0", queued=1),)


async def test_times_are_unix_seconds_whatever_zone_they_are_told_in() -> None:
    async with sidecar(well) as there:
        capacity = (await there.look()).capacity
    assert capacity.quiet_until == 1772357400.25
    assert capacity.blocked == Blocked("key_rejected", 1772357400.0 - 8 * 3600)


async def test_a_time_without_a_zone_is_none() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return answered({**CAPACITY, "quiet_until": "2026-03-01T09:30:00"})

    assert "RFC 3339" in await error_of(answer)


@pytest.mark.parametrize("url", [URL, URL + "/", URL + "//"])
async def test_it_asks_two_questions_and_names_nobody(url: str) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return well(request)

    async with sidecar(answer, url) as there:
        await there.look()
    assert [f"{request.method} {request.url}" for request in asked] == [
        f"GET {URL}/api/capacity",
        f"GET {URL}/api/agents",
    ]
    assert not {"authorization", "cookie"} & set(asked[0].headers)


async def test_without_a_sidecar_nothing_is_known_and_nobody_is_asked() -> None:
    there = Sidecar(None)
    view = await there.look()
    await there.aclose()
    assert view.capacity.error == "no sidecar is configured"
    assert repr(there) == "<Sidecar, no sidecar is configured>"


@pytest.mark.parametrize("status", [204, 302, 404, 500, 503])
async def test_any_other_status_is_no_answer_and_no_redirect_is_followed(status: int) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(status, headers={"location": "http://127.0.0.1/elsewhere"}, json=CAPACITY)

    assert await error_of(answer) == f"the sidecar answered /api/capacity with {status}"
    assert len(asked) == 1


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"\x1f\x8b\x08 compressed", b"[" * 100_000, b'{"effective_rpm": 1}', b"[]"]
)
async def test_garbage_is_no_answer(body: bytes) -> None:
    error = await error_of(lambda _: answered(body))
    assert error.startswith("the sidecar's answer is not understood: ")


async def test_a_capacity_without_its_callers_is_not_known() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return well(request) if request.url.path == "/api/capacity" else answered({})

    assert "not understood" in await error_of(answer)


async def test_an_endless_answer_is_read_to_one_megabyte() -> None:
    body = Body(b" " * 65536, for_ever=True)
    error = await error_of(lambda _: httpx.Response(200, stream=body))
    assert error == "the sidecar's answer to /api/capacity is longer than 1 MB"
    assert body.sent_bytes <= LONGEST_ANSWER_BYTES + 65536


async def test_a_small_answer_that_unpacks_to_a_large_one_is_not_unpacked() -> None:
    bomb = gzip.compress(b" " * 10 * LONGEST_ANSWER_BYTES)

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Body(bomb))

    assert "not understood" in await error_of(answer)


async def test_silence_ends_after_two_seconds(autojump_clock: MockClock) -> None:
    async def answer(_: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError

    began = trio.current_time()
    assert await error_of(answer) == "the sidecar did not answer within 2 s"
    assert trio.current_time() - began == pytest.approx(ANSWER_SECONDS)


async def test_an_answer_that_drips_ends_after_two_seconds(autojump_clock: MockClock) -> None:
    drops = Body(b" ", for_ever=True, seconds=0.9)
    assert "within 2 s" in await error_of(lambda _: httpx.Response(200, stream=drops))
    assert drops.sent_bytes == 2


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ConnectError("refused: user:secret@host"), "the sidecar cannot be reached"),
        (httpx.ConnectTimeout("slow"), "the sidecar did not answer within 2 s"),
        (httpx.ReadError("reset by secret"), "the sidecar did not answer properly (ReadError)"),
        (httpx.RemoteProtocolError("secret"), "the sidecar did not answer properly (RemoteProtocolError)"),
    ],
)
async def test_what_goes_wrong_on_the_way_is_told_in_words_of_our_own(error: Exception, words: str) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise error

    assert await error_of(answer) == words


async def test_an_address_that_is_none_is_a_sidecar_that_is_away() -> None:
    there = Sidecar("http://[")
    view = await there.look()
    await there.aclose()
    assert not view.capacity.known


async def test_only_going_and_coming_back_are_logged() -> None:
    up = True

    def answer(request: httpx.Request) -> httpx.Response:
        return well(request) if up else httpx.Response(503)

    async with sidecar(answer) as there:
        with capture_logs() as lines:
            for up in (True, True, False, False, False, True, True, False):  # noqa: B007 - read by `answer`
                await there.look()
        assert repr(there) == "<Sidecar, away>"
    assert [line["event"] for line in lines] == ["sidecar_away", "sidecar_back", "sidecar_away"]
    assert lines[0]["error"] == "the sidecar answered /api/capacity with 503"


async def test_looking_can_be_cancelled() -> None:
    async def answer(_: httpx.Request) -> httpx.Response:
        scope.cancel()
        await trio.sleep_forever()
        raise AssertionError

    async with sidecar(answer) as there:
        with capture_logs() as lines, trio.CancelScope() as scope:
            await there.look()
    assert scope.cancelled_caught
    assert lines == []
