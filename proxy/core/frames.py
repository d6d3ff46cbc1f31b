"""Errors inside a stream of events: what an error frame looks like, and which status it stands for.

NVIDIA answers 200, begins a stream and then says `data: {"error":{"message","type","code":503}}`; others
put the members of an error at the top (`{"status":429,"title":…}`, `{"object":"error",…}`) or name the
event `error`. All of them mean what the same answer with that status would have meant.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

NO_STATUS: Final = 500
"""An error that does not say which it is."""

_DONE: Final = b"[DONE]"


@dataclass(frozen=True, slots=True)
class ErrorFrame:
    """An event that is an error."""

    status: int
    data: bytes


def first_event(text: bytes) -> bytes | None:
    """The first whole event that carries data; None as long as there is none."""
    return next(_events(text, whole=True), None)


def last_error(tail: bytes, *, whole: bool) -> ErrorFrame | None:
    """The error with which a stream ends, by the last of its bytes; `whole` if these are all there were."""
    if not _may_be(tail):
        return None
    last = None
    for event in _events(tail, whole=whole):
        if _data(event) != _DONE:
            last = event
    return None if last is None else error_frame(last)


def error_frame(event: bytes) -> ErrorFrame | None:
    """The error that an event is; None for any other."""
    if not _may_be(event):
        return None
    data = _data(event)
    named = b"event: error" in event or b"event:error" in event
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return ErrorFrame(NO_STATUS, data) if named else None
    if not isinstance(told, dict):
        return ErrorFrame(NO_STATUS, data) if named else None
    error = told.get("error")
    top = _status(told.get("status")) if "choices" not in told else None
    if not (named or error or told.get("object") == "error" or top):
        return None
    inner = error if isinstance(error, dict) else {}
    said = (inner.get("code"), inner.get("status"), told.get("code"), told.get("status"))
    return ErrorFrame(next(filter(None, map(_status, said)), NO_STATUS), data)


def _may_be(text: bytes) -> bool:
    """Is there any sign of an error? There is none in nearly all streams, which then cost nothing more."""
    return b'"error"' in text or b'"status"' in text or b"error\n" in text or b"error\r" in text


def _events(text: bytes, *, whole: bool) -> Iterator[bytes]:
    """The events that carry data, ended by a blank line; the first of a mere tail may be half of one."""
    *events, _unfinished = text.replace(b"\r\n", b"\n").split(b"\n\n")
    for event in events if whole else events[1:]:
        if event.startswith(b"data:") or b"\ndata:" in event:
            yield event


def _data(event: bytes) -> bytes:
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines)


def _status(value: object) -> int | None:
    """A number that HTTP knows as an error, also where it is written as a text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        value = int(value)
    return value if isinstance(value, int) and 400 <= value <= 599 else None
