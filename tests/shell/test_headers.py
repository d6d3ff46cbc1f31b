"""Which headers travel on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.headers import HOP_BY_HOP, is_openclaw, to_client, to_upstream
from shared.asgi import Headers

_name = st.from_regex(rb"[a-z][a-z0-9-]{0,12}", fullmatch=True)
_value = st.binary(max_size=10).map(lambda value: bytes(b for b in value if b >= 0x20 and b != 0x7F))
_headers = st.lists(st.tuples(_name, _value), max_size=12)

OURS = {b"host", b"authorization", b"content-length", b"x-billing-invoke-origin"}
NEVER = HOP_BY_HOP | {b"x-priority", b"x-agent-id", b"x-deadline-ms", b"cookie", b"origin", b"expect"}


def sent(headers: Headers, *, length: int | None = 2, authorization: bytes | None = b"Bearer k") -> Headers:
    return to_upstream(headers, host=b"api.test", authorization=authorization, content_length=length)


@given(_headers)
def test_what_is_not_for_this_hop_travels_on_in_its_order_and_nothing_is_added(headers: Headers) -> None:
    expected = [(name, value) for name, value in headers if name not in NEVER | OURS]
    if any(name == b"connection" for name, _ in headers):
        return
    assert [header for header in sent(headers) if header[0] not in OURS] == expected
    assert {name for name, _ in sent(headers)} <= {name for name, _ in headers} | OURS


@pytest.mark.parametrize("name", sorted(NEVER))
def test_hop_by_hop_headers_ours_and_a_browsers_stay_here(name: bytes) -> None:
    assert name not in dict(sent([(name, b"value"), (b"x-kept", b"1")]))
    assert (b"x-kept", b"1") in sent([(name, b"value"), (b"x-kept", b"1")])


@pytest.mark.parametrize("value", [b"X-Secret, close", b"close,x-secret", b" , X-SECRET ,,"])
@pytest.mark.parametrize("direction", [sent, to_client])
def test_a_header_that_connection_names_stays_here(value: bytes, direction: object) -> None:
    assert callable(direction)
    headers = [(b"x-secret", b"s"), (b"connection", b"close"), (b"connection", value), (b"x-kept", b"1")]
    names = [name for name, _ in direction(headers)]
    assert b"x-secret" not in names
    assert b"connection" not in names
    assert b"x-kept" in names


def test_host_key_and_length_are_written_anew_and_once() -> None:
    came = [
        (b"host", b"localhost:9190"),
        (b"authorization", b"Bearer theirs"),
        (b"content-length", b"999"),
        (b"authorization", b"Bearer again"),
    ]
    assert sorted(sent(came, length=7)) == [
        (b"authorization", b"Bearer k"),
        (b"content-length", b"7"),
        (b"host", b"api.test"),
    ]
    assert sent(came, length=None, authorization=None) == [(b"host", b"api.test")]


def test_values_are_any_bytes() -> None:
    assert (b"x-name", b"\xe9\xff tab\there") in sent([(b"x-name", b"\xe9\xff tab\there")])


@pytest.mark.parametrize(
    ("headers", "is_it"),
    [
        ([(b"user-agent", b"OpenAI/JS 5.1"), (b"x-session-affinity", b"s")], True),
        ([(b"user-agent", b"OpenAI/JS 5.1"), (b"traceparent", b"00-1-2-01")], True),
        ([(b"user-agent", b"OpenClaw/2026.9.6")], True),
        ([(b"user-agent", b"OpenAI/JS 5.1")], False),
        ([(b"user-agent", b"OpenAI/Python 2.0"), (b"x-session-affinity", b"s")], False),
        ([(b"x-session-affinity", b"s")], False),
        ([], False),
    ],
)
def test_openclaw_is_known_by_its_client_and_its_marks(headers: Headers, is_it: bool) -> None:
    assert is_openclaw(headers) is is_it
    assert ((b"x-billing-invoke-origin", b"OpenClaw") in sent(headers)) is is_it


def test_a_billing_origin_of_its_own_stays() -> None:
    headers = [(b"user-agent", b"OpenClaw"), (b"x-billing-invoke-origin", b"Mine")]
    billing = [value for name, value in sent(headers) if name == b"x-billing-invoke-origin"]
    assert billing == [b"Mine"]


def test_cookies_and_the_upstreams_date_stay_with_us_on_the_way_back() -> None:
    came = [(b"set-cookie", b"a=b"), (b"date", b"today"), (b"keep-alive", b"5"), (b"x-kept", b"1")]
    assert to_client(came) == [(b"x-kept", b"1")]
