import posixpath
import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from shared.answers import answer_json
from shared.asgi import Receive, Scope, Send
from shared.guard import Guard
from shared.screening import HOST_CACHE_SIZE, Screening
from tests.shared.asgi_client import HOST, Answer, ask, http_scope


async def welcome(_scope: Scope, _receive: Receive, send: Send) -> None:
    await answer_json(send, 200, "welcome")


SCREENING = Screening(allowed_hosts=["Proxy.lan", "[fd00::7]"], listen_host="192.168.1.5")
GUARD = Guard(welcome, allowed_hosts=["Proxy.lan", "[fd00::7]"], listen_host="192.168.1.5")


async def get(scope: Scope, *body: bytes) -> Answer:
    answer = await ask(GUARD, scope, *body)
    assert not any(name.startswith(b"access-control-") for name in answer.headers)
    return answer


async def refused(scope: Scope, *body: bytes) -> tuple[int, str]:
    answer = await get(scope, *body)
    assert answer.complete
    return answer.status, answer.code


@pytest.mark.parametrize(
    "host",
    [
        b"localhost",
        b"LOCALHOST:1",
        b"localhost:65535",
        b"127.0.0.1:9190",
        b"127.9.8.7",
        b"[::1]",
        b"[::1]:80",
        b"[0:0:0:0:0:0:0:1]",
        b"192.168.1.5:9190",
        b"proxy.lan",
        b"PROXY.LAN:8080",
        b"[fd00::7]:9190",
    ],
)
async def test_our_names_are_answered_whatever_the_port(host: bytes) -> None:
    assert (await get(http_scope(headers=[(b"host", host)]))).status == 200


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"evil.com",
        b"evil.com:9190",
        b"localhost.evil.com",
        b"127.0.0.1.nip.io",
        b"localhost?",
        b"localhost/",
        b"localhost#x",
        b"a@localhost",
        b"localhost:",
        b"localhost:x",
        b"localhost:-1",
        b"localhost:65536",
        b"localhost:80:80",
        b"localhost:\xb2",
        b"localhost ",
        b"local\x00host",
        b"localhost\r\n",
        b"127.1",
        b"2130706433",
        b"0x7f.0.0.1",
        b"127.0.0.01",
        b"128.0.0.1",
        b"0.0.0.0",
        b"[::]",
        b"::1",
        b"[localhost]",
        b"[127.0.0.1]",
        b"[::ffff:127.0.0.1]",
        b"[::1",
        b"[::1]x",
        b"[::1%25lo]",
        b"*",
        b"xn--localhost-x",
        b"\xff\xfe",
    ],
)
async def test_a_foreign_or_odd_host_is_refused(host: bytes) -> None:
    assert await refused(http_scope(headers=[(b"host", host)])) == (403, "forbidden_host")


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::", "[::]", "*", ""])  # noqa: S104 - not bound to
async def test_a_wildcard_to_listen_on_is_no_name_to_ask_for(wildcard: str) -> None:
    guard = Guard(welcome, allowed_hosts=[], listen_host=wildcard)
    for host in (wildcard.encode(), f"[{wildcard}]:80".encode()):
        assert (await ask(guard, http_scope(headers=[(b"host", host)]))).status == 403
    assert (await ask(guard, http_scope())).status == 200


@pytest.mark.parametrize("hosts", [[], [b"localhost", b"localhost"], [b"localhost", b"evil.com"]])
async def test_no_host_and_two_hosts_are_bad_requests(hosts: list[bytes]) -> None:
    headers = [(b"host", host) for host in hosts]
    assert await refused(http_scope(headers=headers, version="1.0")) == (400, "invalid_request")


async def test_the_memory_of_hosts_is_bounded() -> None:
    screening = Screening(allowed_hosts=[], listen_host="127.0.0.1")
    for port in range(3 * HOST_CACHE_SIZE):
        headers = [(b"host", b"localhost:%d" % port)]
        assert screening.judge(http_scope(headers=headers)) is None
        assert screening.judge(http_scope(headers=headers)) is None
    remembered = re.search(r"(\d+) remembered", repr(screening))
    assert remembered is not None
    assert int(remembered[1]) <= HOST_CACHE_SIZE


@settings(deadline=None)
@given(
    st.one_of(
        st.binary(max_size=40),
        st.text(alphabet="localhost127.0:[]@?/#%*x ", max_size=24).map(str.encode),
        st.from_regex(rb"\A(localhost|127\.0\.0\.1|\[::1\])[:.@?#/]?[0-9a-z:.]{0,6}\Z"),
    )
)
def test_only_one_of_our_names_with_a_port_is_ever_accepted(host: bytes) -> None:
    if SCREENING.judge(http_scope(headers=[(b"host", host)])) is not None:
        return
    name, port = re.fullmatch(rb"(.*?)(?::(\d+))?", host).groups()  # type: ignore[union-attr] # asserts
    assert port is None or int(port) < 65_536
    name = name.lower()
    ours = {b"localhost", b"192.168.1.5", b"proxy.lan", b"[fd00::7]"}
    assert name in ours or name.startswith(b"127.") or set(name) <= set(b"[0:1]")


@pytest.mark.parametrize("origin", [b"http://localhost:9190", b"https://localhost:9190"])
async def test_our_own_page_may_ask(origin: bytes) -> None:
    headers = [HOST, (b"origin", origin), (b"sec-fetch-site", b"same-origin")]
    assert (await get(http_scope(headers=headers))).status == 200


@pytest.mark.parametrize(
    "foreign",
    [
        [(b"origin", b"http://evil.com")],
        [(b"origin", b"null")],
        [(b"origin", b"")],
        [(b"origin", b"http://localhost:9191")],
        [(b"origin", b"http://localhost:9190/")],
        [(b"origin", b"http://localhost:9190.evil.com")],
        [(b"origin", b"file://localhost:9190")],
        [(b"origin", b"http://localhost:9190"), (b"origin", b"http://evil.com")],
        [(b"sec-fetch-site", b"cross-site")],
        [(b"sec-fetch-site", b"same-origin"), (b"sec-fetch-site", b"Cross-Site")],
    ],
)
async def test_another_sites_page_may_not(foreign: list[tuple[bytes, bytes]]) -> None:
    assert await refused(http_scope(headers=[HOST, *foreign])) == (403, "forbidden_origin")


async def test_a_foreign_host_with_its_own_origin_is_refused_by_its_host() -> None:
    headers = [(b"host", b"evil.com"), (b"origin", b"http://evil.com")]
    assert await refused(http_scope(headers=headers)) == (403, "forbidden_host")


@pytest.mark.parametrize(
    "path",
    [
        b"/",
        b"/v1/chat/completions",
        b"/v1/models/meta/llama-3.1-8b",
        b"/v1/models/meta%2Fllama-3.1-8b",
        b"/v1/models/",
        b"/v1/a..b/.well-known",
        b"/v1/files/caf%C3%A9",
        b"/v1//twice",
        b"/v1/%20x",
    ],
)
async def test_plain_targets_pass(path: bytes) -> None:
    assert (await get(http_scope(path, query=b"a=%2e%2e%2f&b=%00"))).status == 200


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"*",
        b"v1/models",
        b"http://169.254.169.254/latest",
        b"//evil/x",
        b"///",
        b"/%2fevil/x",
        b"/v1/../admin",
        b"/v1/..",
        b"/..",
        b"/.",
        b"/./v1",
        b"/v1/%2e%2e/admin",
        b"/v1/%2E./admin",
        b"/v1/..%2fadmin",
        b"/v1/x%2f..%2Fadmin",
        b"/v1/%2e%2e%2fadmin",
        b"/v1/%252e%252e/admin",
        b"/v1/%25252fx",
        b"/v1/a%5c..%5cb",
        b"/v1/a\\b",
        b"/v1/%00",
        b"/v1/%0d%0aX:1",
        b"/v1/%7f",
        b"/v1/a b",
        b"/v1/a\tb",
        b"/v1/\xc3\xa9",
        b"/v1/x#y",
        b"/v1/%zz",
        b"/v1/%2",
        b"/v1/x%2f",
    ],
)
async def test_targets_that_two_readers_read_differently_are_refused(path: bytes) -> None:
    assert await refused(http_scope(path)) == (400, "invalid_request")


@pytest.mark.parametrize("query", [b"a b", b"a\x00", b"\xff", b"a#b"])
async def test_a_query_is_printable(query: bytes) -> None:
    assert await refused(http_scope(query=query)) == (400, "invalid_request")


PIECES = [
    "/",
    "//",
    ".",
    "..",
    "a",
    "b.c",
    "%2e",
    "%2E",
    "%2f",
    "%5c",
    "%00",
    "%25",
    "%252e",
    "2e",
    "2f",
    "\\",
    "%",
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=9))
def test_an_accepted_target_means_the_same_however_often_it_is_decoded(parts: list[str]) -> None:
    path = b"/" + "".join(parts).encode()
    if SCREENING.judge(http_scope(path)) is not None:
        return
    for _ in range(3):
        assert path.startswith(b"/")
        assert not path.startswith(b"//")
        assert b"\\" not in path
        assert min(path) > 0x1F
        assert not {b".", b".."} & set(path.split(b"/"))
        assert posixpath.normpath(path) == re.sub(rb"/+", b"/", path).rstrip(b"/") or path == b"/"
        path = unquote_to_bytes(path)


@pytest.mark.parametrize(("length", "status"), [(7_999, 200), (8_000, 414), (20_000, 414)])
async def test_a_target_of_8000_bytes_is_too_long(length: int, status: int) -> None:
    assert (await get(http_scope(b"/" + b"a" * (length - 1)))).status == status
    assert (await get(http_scope(b"/", query=b"a" * (length - 2)))).status == status


async def test_too_many_or_too_large_headers_are_refused() -> None:
    many = [HOST, *[(b"x-%d" % i, b"1") for i in range(100)]]
    assert (await get(http_scope(headers=many[:100]))).status == 200
    assert await refused(http_scope(headers=many)) == (431, "invalid_request")
    large = [HOST, *[(b"x-%d" % i, b"a" * 1_700) for i in range(10)]]
    assert await refused(http_scope(headers=large)) == (431, "invalid_request")
    assert (await get(http_scope(headers=large[:9]))).status == 200


@pytest.mark.parametrize("version", ["0.9", "1.2", "2", "2.0", "3"])
async def test_other_versions_of_http_are_refused(version: str) -> None:
    answer = await get(http_scope(version=version))
    assert (answer.status, answer.headers[b"connection"]) == (505, b"close")


@pytest.mark.parametrize(
    ("method", "status"),
    [("CONNECT", 405), ("TRACE", 405), ("G ET", 501), ("", 501), ("É", 501), ("A" * 33, 501), ("PURGE", 200)],
)
async def test_methods(method: str, status: int) -> None:
    answer = await get(http_scope(method=method))
    assert answer.status == status
    assert (b"allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    ("coding", "length", "status"),
    [
        (b"gzip", b"5", 415),
        (b"identity, gzip", b"5", 415),
        (b"identity", b"5", 200),
        (b"Identity", b"5", 200),
        (b"gzip", b"0", 200),
    ],
)
async def test_a_compressed_body_is_refused(coding: bytes, length: bytes, status: int) -> None:
    headers = [HOST, (b"content-encoding", coding), (b"content-length", length)]
    answer = await get(http_scope(method="POST", headers=headers), b"12345")
    assert answer.status == status


async def test_a_compressed_chunked_body_is_refused() -> None:
    headers = [HOST, (b"content-encoding", b"br"), (b"transfer-encoding", b"chunked")]
    assert await refused(http_scope(method="POST", headers=headers), b"a", b"b") == (415, "invalid_request")


@pytest.mark.parametrize(
    ("extra", "version"), [([(b"content-length", b"3")], "1.1"), ([], "1.0")], ids=["both", "http/1.0"]
)
async def test_a_body_whose_length_is_in_doubt_is_refused(
    extra: list[tuple[bytes, bytes]], version: str
) -> None:
    headers = [HOST, (b"transfer-encoding", b"chunked"), *extra]
    answer = await get(http_scope(method="POST", headers=headers, version=version), b"abc")
    assert (answer.status, answer.headers[b"connection"]) == (400, b"close")


async def test_a_refused_body_is_drained_and_the_connection_closed() -> None:
    headers = [(b"host", b"evil.com"), (b"content-length", b"3")]
    answer = await get(http_scope(method="POST", headers=headers), b"a", b"b", b"c")
    assert (answer.status, answer.headers[b"connection"], answer.complete) == (403, b"close", True)
    assert answer.messages[1]["more_body"] is True


async def test_an_upgrade_to_websocket_is_refused_and_any_other_ignored() -> None:
    assert await refused(http_scope(headers=[HOST, (b"upgrade", b"WebSocket")])) == (400, "invalid_request")
    assert (await get(http_scope(headers=[HOST, (b"upgrade", b"h2c")]))).status == 200


@pytest.fixture
def logged() -> Iterator[list[dict[str, object]]]:
    with capture_logs() as lines:
        yield lines  # type: ignore[misc] # structlog's lines are mutable mappings of its own


async def test_what_an_app_raises_is_logged_and_answered_500(logged: list[dict[str, object]]) -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise RuntimeError("the reason")

    guard = Guard(app, allowed_hosts=[], listen_host="127.0.0.1")
    answer = await ask(guard, http_scope(query=b"private=1"))
    assert (answer.status, answer.code) == (500, "internal_error")
    assert b"reason" not in answer.body
    assert [(line["event"], line["error"], line["path"]) for line in logged] == [
        ("internal_error", "RuntimeError", "/v1/chat/completions")
    ]
    assert "private" not in str(logged)


async def test_an_answer_that_has_begun_is_not_begun_again(logged: list[dict[str, object]]) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError

    answer = await ask(Guard(app, allowed_hosts=[], listen_host="127.0.0.1"), http_scope())
    assert (answer.status, answer.complete, len(answer.messages), len(logged)) == (200, False, 1, 1)


async def test_a_cancellation_passes_and_a_fault_beside_it_is_logged(logged: list[dict[str, object]]) -> None:
    async def both(scope: trio.CancelScope) -> None:
        scope.cancel()
        try:
            await trio.sleep_forever()
        finally:
            raise RuntimeError

    with trio.CancelScope() as scope:

        async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(both, scope)
                nursery.start_soon(trio.sleep_forever)

        await ask(Guard(app, allowed_hosts=[], listen_host="127.0.0.1"), http_scope())
    assert [line["error"] for line in logged] in (["ExceptionGroup"], ["BaseExceptionGroup"])


async def test_a_plain_cancellation_is_nothing_to_log(logged: list[dict[str, object]]) -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await trio.sleep_forever()

    with trio.CancelScope() as scope:
        scope.cancel()
        await ask(Guard(app, allowed_hosts=[], listen_host="127.0.0.1"), http_scope())
    assert scope.cancelled_caught
    assert logged == []
