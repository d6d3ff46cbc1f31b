"""Errors as events of a stream that has begun."""

import gzip
import json
from typing import Any

import pytest

from proxy.attempt import Stored
from proxy.core.frames import ErrorFrame
from proxy.in_band import LONGEST_MESSAGE, error_event, event_of


def told(event: bytes) -> Any:
    assert event.startswith(b"data: ")
    assert event.endswith(b"\n\n")
    assert event.count(b"\n") == 2, "one line is one event"
    return json.loads(event[6:])["error"]


def test_an_error_of_ours_is_as_it_would_have_been_as_an_answer() -> None:
    error = told(error_event("draining", "the sidecar is stopping"))
    assert error == {
        "message": "the sidecar is stopping",
        "type": "server_error",
        "code": "draining",
        "param": None,
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"in words","code":503}}', "in words"),
        (b'{"status":500,"title":"T","detail":"D"}', "D"),
        (b'{"status":429,"title":"Too Many Requests"}', "Too Many Requests"),
        (b'{"error":"just so"}', "just so"),
        (b'{"odd":1}', '{"odd":1}'),
        (b'["a","b"]', "['a', 'b']"),
        (b"<html>\r\n\r\ndata: x\n\n</html>", "<html>\r\n\r\ndata: x\n\n</html>"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"", "the upstream answered with 500"),
        (b"[" * 100_000, "[" * LONGEST_MESSAGE),
    ],
)
def test_an_upstreams_error_keeps_its_words_on_one_line(body: bytes, message: str) -> None:
    error = told(event_of(Stored(500, [], body)))
    assert error == {"message": message, "type": "upstream_error", "code": 500, "param": None}


def test_a_429_has_the_type_that_clients_wait_for() -> None:
    assert told(event_of(Stored(429, [], b"")))["type"] == "rate_limit_error"


def test_a_compressed_error_is_unpacked() -> None:
    body = gzip.compress(b'{"detail":"unpacked"}')
    error = told(event_of(Stored(500, [(b"content-encoding", b"gzip")], body)))
    assert error["message"] == "unpacked"


@pytest.mark.parametrize("end", [b"", b"\n\n"])
def test_a_stream_that_is_an_error_goes_on_as_it_came(end: bytes) -> None:
    body = b'data: {"error":{"code":503}}'
    assert (
        event_of(Stored(200, [], body + end, error=ErrorFrame(503, b'{"error":{"code":503}}')))
        == body + b"\n\n"
    )
