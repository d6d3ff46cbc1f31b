"""Errors inside a stream of events."""

import json

import pytest

from proxy.core.frames import ErrorFrame, error_frame, first_event, last_error

NVIDIA = b'{"error":{"message":"ResourceExhausted","type":"Service Unavailable","code":503}}'
CHUNK = b'data: {"choices":[{"delta":{"content":"an \\"error\\" and a \\"status\\""}}]}\n\n'


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (NVIDIA.decode(), 503),
        ('{"error":{"message":"x","code":"429"}}', 429),
        ('{"error":{"message":"x","status":502}}', 502),
        ('{"error":{"message":"x","code":"rate_limited"}}', 500),
        ('{"error":{"message":"x","code":200}}', 500),
        ('{"error":"in words"}', 500),
        ('{"status":429,"title":"Too Many Requests"}', 429),
        ('{"status":400,"detail":"DEGRADED function cannot be invoked"}', 400),
        ('{"object":"error","message":"error","code":404}', 404),
        ('{"choices":[],"error":{"code":504}}', 504),
    ],
)
def test_an_error_in_any_of_its_shapes_stands_for_a_status(data: str, status: int) -> None:
    frame = error_frame(b"data: " + data.encode())
    assert frame == ErrorFrame(status, data.encode())
    assert json.loads(frame.data)


@pytest.mark.parametrize(
    "event",
    [
        CHUNK.strip(),
        b"data: [DONE]",
        b'data: {"error":null,"choices":[]}',
        b'data: {"status":"completed"}',
        b'data: {"status":200}',
        b'data: {"status":true}',
        b'data: {"choices":[],"status":500}',
        b'data: ["error"]',
        b'data: {"error',
        b'data: "error": ' + b"[" * 100_000,
        b": a comment about an error",
        b"",
    ],
)
def test_what_is_no_error(event: bytes) -> None:
    assert error_frame(event) is None


@pytest.mark.parametrize("data", [b"all is lost", b"{}", b'["x"]', b'{"message":"m"}'])
def test_an_event_that_calls_itself_an_error_is_one_whatever_it_says(data: bytes) -> None:
    assert error_frame(b"event: error\ndata: " + data) == ErrorFrame(500, data)


def test_a_first_event_is_there_when_its_blank_line_is() -> None:
    assert first_event(b"") is None
    assert first_event(b"data: {") is None
    assert first_event(b"data: {}\n") is None
    assert first_event(b"data: {}\n\n") == b"data: {}"
    assert first_event(b"data: {}\r\n\r\ndata: more") == b"data: {}"


def test_comments_and_mere_names_are_passed_over() -> None:
    assert first_event(b": wait\n\nevent: x\n\n") is None
    assert first_event(b": wait\n\nid: 1\ndata: 2\n\n") == b"id: 1\ndata: 2"


def test_a_stream_ends_with_an_error_or_does_not() -> None:
    error = b"data: " + NVIDIA + b"\n\n"
    assert last_error(CHUNK + error, whole=True) == ErrorFrame(503, NVIDIA)
    assert last_error(CHUNK + error + b"data: [DONE]\n\n", whole=True) == ErrorFrame(503, NVIDIA)
    assert last_error(error + CHUNK, whole=True) is None
    assert last_error(CHUNK, whole=True) is None
    assert last_error(b"", whole=True) is None
    assert last_error(error, whole=False) is None, "it may be half of an event, quoted in another"
    assert last_error(b"}\n\n" + error, whole=False) == ErrorFrame(503, NVIDIA)
