"""Upstreams that a proper HTTP server cannot play: their bytes are written by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from tests.edge.conftest import World

ONE = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none"
FOREIGN = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nforeign"
NOTHING = b"HTTP/1.1 204 No Content\r\n\r\n"


@asynccontextmanager
async def upstream(*answers: bytes) -> AsyncIterator[str]:
    """One that gives these answers, in this order, each in one piece after a whole request."""
    left = list(answers)

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            while left:
                request = b""
                while b'"messages"' not in request and not request.startswith(b"GET"):
                    piece = await stream.receive_some()
                    if not piece:
                        return
                    request += piece
                await stream.send_all(left.pop(0))

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}/v1"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("first", [ONE + FOREIGN, NOTHING + b"foreign", ONE + FOREIGN[:20]])
async def test_what_an_upstream_sends_beyond_its_answer_is_not_the_next_clients(
    wired: World, first: bytes
) -> None:
    with trio.fail_after(5):
        async with upstream(first, ONE) as url:
            sidecar = wired.sidecar(upstream_url=url)
            await sidecar.chat()
            second = await sidecar.chat()
            assert (second.status, second.body) == (200, b"one")
            assert second.header(b"x-sidecar-attempts") == b"1"
            await sidecar.parts.upstream.aclose()


async def test_a_stream_of_events_with_a_length_that_breaks_off_still_says_so(wired: World) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 999\r\nconnection: close\r\n"
    )
    with trio.fail_after(5):
        async with upstream(head + b"\r\ndata: 1\n\n") as url:
            # Its one answer given, this upstream closes the connection in the middle of it.
            talk = await wired.sidecar(upstream_url=url).chat(stream=True)
    assert talk.status == 200
    assert talk.header(b"content-length") is None
    assert talk.body.startswith(b"data: 1\n\n")
    assert b'"code":"upstream_unreachable"' in talk.body


async def test_no_page_is_let_in_by_the_upstream_and_nothing_of_ours_is_forged(wired: World) -> None:
    forged = ONE.replace(
        b"\r\n\r\n", b"\r\nAccess-Control-Allow-Origin: *\r\nX-Sidecar-Attempts: 99\r\nx-kept: 1\r\n\r\n"
    )
    with trio.fail_after(5):
        async with upstream(forged) as url:
            sidecar = wired.sidecar(upstream_url=url)
            talk = await sidecar.chat()
            await sidecar.parts.upstream.aclose()
    names = [name for name, _ in talk.headers]
    assert not any(name.startswith(b"access-control-") for name in names)
    assert (names.count(b"x-sidecar-attempts"), talk.header(b"x-sidecar-attempts")) == (1, b"1")
    assert talk.header(b"x-kept") == b"1"


async def test_an_answer_that_ends_after_its_head_is_a_reset_and_worth_another_try(wired: World) -> None:
    head_only = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\n"
    with trio.fail_after(5):
        async with upstream(head_only) as url:
            sidecar = wired.sidecar(upstream_url=url, max_retries=0)
            assert (await sidecar.chat()).error == "upstream_unreachable"
            errors = 'sidecar_upstream_errors_total{provider="nvidia",status_code="reset"}'
            assert (await sidecar.metrics())[errors] == 1
