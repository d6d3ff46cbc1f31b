"""Errors as events of a stream that has begun: `data: {"error": {"message", "type", "code", "param"}}`."""

import json
from typing import Any

from proxy.attempt import Stored
from proxy.encoding import Decoder
from proxy.headers import first
from shared.answers import error_body

LONGEST_MESSAGE = 1000
"""Characters of an upstream's own words: an error page may be long, and nobody reads one in a stream."""


def error_event(code: str, message: str) -> bytes:
    """An error of ours."""
    return b"data: " + error_body(code, message) + b"\n\n"


def event_of(answer: Stored) -> bytes:
    """What the upstream answered, for a client that was already promised a stream.

    A stream that is an error as it stands; any other error in its own words, with its status as the code, as
    NVIDIA writes its own.
    """
    body = Decoder(first(answer.headers, b"content-encoding")).feed(answer.body)
    if answer.error is not None:
        return body if body.endswith(b"\n\n") else body + b"\n\n"
    error = {
        "message": _words(body) or f"the upstream answered with {answer.status}",
        "type": "rate_limit_error" if answer.status == 429 else "upstream_error",
        "code": answer.status,
        "param": None,
    }
    return b"data: " + json.dumps({"error": error}).encode("ascii") + b"\n\n"


def _words(body: bytes) -> str:
    """The text in an upstream's error, of whatever shape."""
    text = body.decode("utf-8", "replace")
    try:
        told: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text.strip()[:LONGEST_MESSAGE]
    error = told.get("error", told) if isinstance(told, dict) else told
    if isinstance(error, dict):
        found = (error.get(name) for name in ("message", "detail", "title"))
        error = next((words for words in found if isinstance(words, str)), text)
    return str(error)[:LONGEST_MESSAGE]
