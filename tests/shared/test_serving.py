"""Bytes on real sockets: what `serving` and `connection` change in Hypercorn, and what they leave alone."""

import resource
import socket
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
from structlog.testing import capture_logs

from shared import connection, serving
from shared.answers import answer, answer_json, refuse
from shared.asgi import Receive, Scope, Send
from shared.errors import StartError
from shared.guard import Guard
from shared.serving import address, listen, raise_descriptor_limit, serve
from tests.shared.asgi_client import connect, parse, read_all, running, talk

HOST = b"Host: localhost\r\n"
CLOSE = b"Connection: close\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Says which path was asked for and how much body came."""
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message["body"])
        if not message["more_body"]:
            break
    await answer_json(send, 200, [scope["path"], length])


GUARDED = Guard(echo, allowed_hosts=[], listen_host="127.0.0.1")


def head(line: bytes, *headers: bytes) -> bytes:
    return line + b"\r\n" + b"".join(headers) + b"\r\n"


def post(*headers: bytes, body: bytes = b"") -> bytes:
    return head(b"POST /v1/x HTTP/1.1", HOST, *headers) + body


# What is not plain HTTP/1.1 for us, and what it gets. All of these end with the connection.
REFUSED = {
    "tls hello": (b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03" + b"x" * 200, 400),
    "http/2 prior knowledge": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 505),
    "http/1.2": (head(b"GET / HTTP/1.2", HOST), 505),
    "http/0.9": (b"GET /\r\n\r\n", 400),
    "garbage": (b"\0\0\0\0\r\n\r\n", 400),
    "no host": (head(b"GET / HTTP/1.1"), 400),
    "no host in 1.0": (head(b"GET / HTTP/1.0"), 400),
    "two hosts": (head(b"GET / HTTP/1.1", HOST, HOST), 400),
    "foreign host": (head(b"GET / HTTP/1.1", b"Host: evil.com\r\n", CLOSE), 403),
    "foreign origin": (head(b"GET / HTTP/1.1", HOST, CLOSE, b"Origin: null\r\n"), 403),
    "20 kB of headers": (head(b"GET / HTTP/1.1", HOST, CLOSE, b"X: " + b"a" * 20_000 + b"\r\n"), 431),
    "400 kB of headers": (head(b"GET / HTTP/1.1", HOST, b"X: " + b"a" * 400_000 + b"\r\n"), 431),
    "500 headers": (head(b"GET / HTTP/1.1", HOST, *[b"X-%d: 1\r\n" % i for i in range(500)]), 431),
    "8 kB of target": (head(b"GET /" + b"a" * 8_000 + b" HTTP/1.1", HOST, CLOSE), 414),
    "absolute-form": (head(b"GET http://169.254.169.254/ HTTP/1.1", HOST, CLOSE), 400),
    "two slashes": (head(b"GET //evil/x HTTP/1.1", HOST, CLOSE), 400),
    "dot segments": (head(b"GET /v1/../admin HTTP/1.1", HOST, CLOSE), 400),
    "connect": (head(b"CONNECT evil.com:443 HTTP/1.1", HOST), 405),
    "trace": (head(b"TRACE / HTTP/1.1", HOST), 405),
    "websocket": (
        head(
            b"GET / HTTP/1.1",
            HOST,
            b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        ),
        400,
    ),
    "websocket with a bad handshake": (
        head(b"GET / HTTP/1.1", HOST, b"Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        400,
    ),
    "two kinds of length": (post(b"Content-Length: 5\r\n", CHUNKED, body=b"0\r\n\r\n"), 400),
    "two lengths": (post(b"Content-Length: 5\r\nContent-Length: 6\r\n", body=b"hello"), 400),
    "length +1": (post(b"Content-Length: +1\r\n", body=b"a"), 400),
    "length -1": (post(b"Content-Length: -1\r\n", body=b"a"), 400),
    "length 0x1": (post(b"Content-Length: 0x1\r\n", body=b"a"), 400),
    "46 digits of length": (post(b"Content-Length: " + b"1" * 46 + b"\r\n", body=b"a"), 400),
    "coding xchunked": (post(b"Transfer-Encoding: xchunked\r\n", body=b"0\r\n\r\n"), 501),
    "coding chunked, identity": (post(b"Transfer-Encoding: chunked, identity\r\n"), 501),
    "two codings": (post(CHUNKED, CHUNKED, body=b"0\r\n\r\n"), 501),
    "a space before the colon": (post(b"Transfer-Encoding : chunked\r\n", body=b"0\r\n\r\n"), 400),
    "chunked in 1.0": (head(b"POST / HTTP/1.0", HOST, CHUNKED) + b"0\r\n\r\n", 400),
    "chunk size 0x1": (post(CHUNKED, body=b"0x1\r\na\r\n0\r\n\r\n"), 400),
    "chunk size -1": (post(CHUNKED, body=b"-1\r\na\r\n0\r\n\r\n"), 400),
    "chunk size of 30 digits": (post(CHUNKED, body=b"1" * 30 + b"\r\na\r\n0\r\n\r\n"), 400),
    "chunk without its end": (post(CHUNKED, body=b"1\r\naXX0\r\n\r\n"), 400),
    "nul in a value": (head(b"GET / HTTP/1.1", HOST, b"X: a\0b\r\n"), 400),
    "cr in a value": (head(b"GET / HTTP/1.1", HOST, b"X: a\rb\r\n"), 400),
    "compressed body": (post(CLOSE, b"Content-Encoding: gzip\r\nContent-Length: 1\r\n", body=b"a"), 415),
    "4 MB to a foreign host": (
        head(b"POST / HTTP/1.1", b"Host: evil.com\r\nContent-Length: 4000000\r\n") + b"a" * 4_000_000,
        403,
    ),
}


@pytest.mark.parametrize(("request_bytes", "status"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_refusal_is_one_whole_error_of_ours_and_the_end(request_bytes: bytes, status: int) -> None:
    async with running(GUARDED) as port:
        got = parse(await talk(port, request_bytes))
    assert (got.status, got.complete) == (status, True)
    assert got.code in {"invalid_request", "forbidden_host", "forbidden_origin"}
    assert got.headers[b"connection"].lower() == b"close"
    assert b"server" not in got.headers


@pytest.mark.parametrize("more", [b"X", b"\0\xff" * 70_000, head(b"GET /two HTTP/1.1", HOST)])
async def test_what_follows_a_last_request_is_not_looked_at(more: bytes) -> None:
    last = head(b"GET /one HTTP/1.1", HOST, CLOSE)
    async with running(GUARDED) as port:
        for _ in range(3):
            got = parse(await talk(port, last + more))
            assert (got.status, got.complete) == (200, True)
            assert b"/one" in got.body


async def test_a_fault_in_one_connection_ends_that_connection_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fault(*_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise trio.BusyResourceError

    async with running(GUARDED) as port:
        with monkeypatch.context() as broken, capture_logs() as lines:
            broken.setattr(connection.Http11, "handle", fault)
            assert await talk(port, head(b"GET / HTTP/1.1", HOST)) == b""
        assert parse(await talk(port, head(b"GET / HTTP/1.1", HOST, CLOSE))).status == 200
    assert [line["event"] for line in lines] == ["connection_failed"]


async def test_an_upgrade_to_http2_is_ignored() -> None:
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    first = head(b"GET /one HTTP/1.1", HOST, upgrade)
    async with running(GUARDED) as port:
        raw = await talk(port, first + head(b"GET /two HTTP/1.1", HOST, CLOSE))
    assert raw.startswith(b"HTTP/1.1 200 ")
    assert raw.count(b"HTTP/1.1 200 ") == 2


async def test_another_version_is_refused_without_the_guard_too() -> None:
    async with running(echo) as port:
        assert parse(await talk(port, head(b"GET / HTTP/2.0", HOST))).status == 505
        headless = parse(await talk(port, head(b"HEAD / HTTP/3.0", HOST)))
    assert (headless.status, headless.body) == (505, b"")


async def test_pipelined_requests_are_answered_in_order() -> None:
    requests = [post(b"Content-Length: 3\r\n", body=b"abc"), head(b"GET /b HTTP/1.1", HOST)]
    async with running(GUARDED) as port:
        raw = await talk(port, b"".join(requests) + head(b"GET /c HTTP/1.1", HOST, CLOSE))
    bodies = [b'["/v1/x",3]', b'["/b",0]', b'["/c",0]']
    places = [raw.index(body) for body in bodies]
    assert places == sorted(places)
    assert raw.count(b"HTTP/1.1 200 ") == 3


async def test_trailers_and_chunk_extensions_never_reach_the_app() -> None:
    body = b"3;" + b"x" * 20_000 + b"\r\nabc\r\n0\r\nHost: evil.com\r\nX-Priority: urgent\r\n\r\n"
    seen: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        seen.extend(name for name, _ in scope["headers"])

    async with running(app) as port:
        got = parse(await talk(port, post(CHUNKED, CLOSE, body=body)))
    assert (got.status, got.body) == (200, b'["/v1/x",3]')
    assert sorted(seen) == [b"connection", b"host", b"transfer-encoding"]


async def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    request = post(CLOSE, b"Expect: 100-continue\r\nContent-Length: 2\r\n", body=b"hi")
    async with running(GUARDED) as port:
        raw = await talk(port, request)
    assert raw.startswith(b"HTTP/1.1 100 ")
    assert raw.endswith(b'["/v1/x",2]')


async def test_a_head_request_gets_the_head_at_once() -> None:
    async with running(GUARDED) as port:
        raw = await talk(port, head(b"HEAD /x HTTP/1.1", HOST, CLOSE))
    assert b"content-length: 8\r\n" in raw
    assert raw.endswith(b"\r\n\r\n")


async def test_a_stream_of_unknown_length_begins_before_its_first_piece() -> None:
    go_on = trio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"piece", "more_body": False})

    async with running(app) as port, await connect(port) as stream:
        await stream.send_all(head(b"GET / HTTP/1.1", HOST, CLOSE))
        with trio.fail_after(5):
            assert bytes(await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
        go_on.set()
        assert b"5\r\npiece\r\n0\r\n\r\n" in await read_all(stream)


async def test_a_short_answer_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []
    send_all = trio.SocketStream.send_all

    async def counted(self: trio.SocketStream, data: bytes) -> None:
        if data.startswith(b"HTTP/") or not data:
            writes.append(data)
        await send_all(self, data)

    async with running(GUARDED) as port:
        monkeypatch.setattr(trio.SocketStream, "send_all", counted)
        raw = await talk(port, head(b"GET /x HTTP/1.1", HOST, CLOSE))
    assert writes == [raw]


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: loc"])
async def test_a_connection_without_a_request_is_closed(begun: bytes) -> None:
    async with running(GUARDED, idle_seconds=0.05) as port:
        assert await talk(port, begun) == b""


async def test_a_connection_is_closed_when_idle_after_an_answer() -> None:
    async with running(GUARDED, idle_seconds=0.05) as port:
        raw = await talk(port, head(b"GET /x HTTP/1.1", HOST))
    assert raw.endswith(b'["/x",0]')


async def test_an_app_hears_a_hang_up_at_once_and_as_often_as_it_asks() -> None:
    heard: list[str] = []
    asking, done = trio.Event(), trio.Event()

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        await receive()
        asking.set()
        heard.extend([(await receive())["type"] for _ in range(3)])
        done.set()

    async with running(app) as port:
        async with await connect(port) as stream:
            await stream.send_all(head(b"GET / HTTP/1.1", HOST))
            await asking.wait()
        await done.wait()
    assert heard == ["http.disconnect"] * 3


async def test_a_body_that_breaks_off_is_a_hang_up() -> None:
    heard: list[str] = []
    done = trio.Event()

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        while not heard or heard[-1] != "http.disconnect":
            heard.append((await receive())["type"])
        done.set()

    async with running(app) as port:
        async with await connect(port) as stream:
            await stream.send_all(post(b"Content-Length: 10\r\n", body=b"abc"))
        await done.wait()
    assert heard[-1] == "http.disconnect"


async def test_an_app_that_answers_after_the_framing_broke_is_too_late_and_no_error() -> None:
    done = trio.Event()

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await answer_json(send, 200, "late")
        done.set()

    async with running(app) as port:
        got = parse(await talk(port, post(CHUNKED, body=b"zz\r\n")))
        await done.wait()
    assert (got.status, got.complete) == (400, True)


async def test_an_answer_without_reading_a_long_body_leaves_no_connection_behind() -> None:
    """Hypercorn's own would wait for room in the queue of a request that nobody reads, for ever."""
    finished = trio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await queue_full.wait()
        await refuse(send, 404, "not_found", "no")
        finished.set()

    queue_full = trio.Event()

    async def fill(stream: trio.SocketStream) -> None:
        try:
            with trio.move_on_after(0.3):
                while True:  # more than the queue and the kernel's buffers hold
                    await stream.send_all(b"a" * 1_000_000)
        except trio.BrokenResourceError:
            pass
        queue_full.set()

    # A grace of a minute: a connection that is still there would hold the exit and fail the test.
    async with running(app, grace_seconds=60) as port, await connect(port) as stream:
        await stream.send_all(post(b"Content-Length: 1000000000\r\n"))
        await fill(stream)
        await finished.wait()


async def never_read(port: int) -> trio.SocketStream:
    stream = await connect(port)
    await stream.send_all(head(b"GET / HTTP/1.1", HOST))
    return stream


def flood(begun: trio.Event) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        begun.set()
        # Far more than any socket buffer: the write cannot end while nobody reads.
        await answer(send, 200, bytes(64_000_000))

    return app


async def test_a_client_that_never_reads_does_not_hold_the_shutdown() -> None:
    begun = trio.Event()
    async with running(flood(begun), grace_seconds=0.1) as port:
        stream = await never_read(port)
        await begun.wait()
    await stream.aclose()


async def test_a_client_that_never_reads_does_not_hold_a_cancellation() -> None:
    begun = trio.Event()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            start = partial(serve, shutdown=trio.Event(), grace_seconds=60)
            _, port = await nursery.start(start, flood(begun), listen("127.0.0.1", 0))
            stream = await never_read(port)
            await begun.wait()
            nursery.cancel_scope.cancel()
    await stream.aclose()


async def test_what_is_in_flight_is_finished_in_a_shutdown_and_idle_connections_are_closed() -> None:
    begun, go_on, stop = trio.Event(), trio.Event(), trio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        begun.set()
        await go_on.wait()
        await answer_json(send, 200, "late")

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            start = partial(serve, shutdown=stop, grace_seconds=60)
            _, port = await nursery.start(start, app, listen("127.0.0.1", 0))
            async with await connect(port) as idle, await connect(port) as busy:
                await busy.send_all(head(b"GET / HTTP/1.1", HOST))
                await begun.wait()
                stop.set()
                assert await read_all(idle) == b""
                with pytest.raises(OSError, match="connect"):
                    await connect(port)
                go_on.set()
                assert (await read_all(busy)).endswith(b'"late"')


def test_a_port_that_is_taken_is_one_plain_line() -> None:
    with listen("127.0.0.1", 0) as taken:
        _, port = address(taken)
        with pytest.raises(StartError) as caught:
            listen("127.0.0.1", port)
    assert caught.value.lines == (f"cannot listen on 127.0.0.1:{port}: address already in use",)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("host", "line"),
    [
        ("192.0.2.1", "cannot listen on 192.0.2.1:0: this machine has no such address"),
        ("no such host", "cannot listen on no such host:0: no such host or address"),
        ("a" * 70 + ".x", f"cannot listen on {'a' * 70}.x:0: no such host or address"),
    ],
)
def test_an_address_that_is_not_ours_is_one_plain_line(host: str, line: str) -> None:
    with pytest.raises(StartError) as caught:
        listen(host, 0)
    assert caught.value.lines == (line,)


def test_a_name_is_listened_on_in_ipv4() -> None:
    with listen("localhost", 0) as sock:
        assert address(sock)[0] == "127.0.0.1"
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000


async def test_ipv6_is_served() -> None:
    try:
        sock = listen("::1", 0)
    except StartError:
        pytest.skip("this machine has no IPv6")
    stop = trio.Event()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            start = partial(serve, GUARDED, sock, shutdown=stop, grace_seconds=1)
            host, port = await nursery.start(start)
            async with await trio.open_tcp_stream(host, port) as stream:
                await stream.send_all(head(b"GET /x HTTP/1.1", b"Host: [::1]:9\r\n", CLOSE))
                assert parse(await read_all(stream)).status == 200
            stop.set()


@pytest.mark.parametrize(
    ("soft", "hard", "accepted", "result"),
    [
        (1_024, 4_096, 4_096, 4_096),
        (1_024, 1 << 30, 1 << 30, serving.DESCRIPTOR_CEILING),
        (256, -1, 10_240, 10_240),  # macOS: says infinity, takes OPEN_MAX
        (100_000, -1, 0, 100_000),
        (-1, -1, 0, -1),
        (1_024, 4_096, 0, 1_024),
    ],
)
def test_the_descriptor_limit_is_raised_as_far_as_the_system_lets_us(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, accepted: int, result: int
) -> None:
    limit = [soft]

    def setrlimit(_which: int, limits: tuple[int, int]) -> None:
        if limits[0] > accepted:
            raise ValueError
        limit[0] = limits[0]

    monkeypatch.setattr(resource, "RLIM_INFINITY", -1)
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (limit[0], hard))
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    assert raise_descriptor_limit() == result
    assert limit == [result]
