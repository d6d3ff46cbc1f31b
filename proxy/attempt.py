"""One attempt, judged: what the upstream answered, and what that means.

A stream is judged by its first event as well: a 200 whose first word is an error is that error, and nothing
of it has reached the client yet.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

import trio

from proxy.core.classify import Meaning, classify
from proxy.core.frames import ErrorFrame, error_frame, first_event
from proxy.encoding import Decoder
from proxy.headers import first
from proxy.upstream import Answer, BrokenOffError, Failure, Outgoing, Upstream
from shared import clock
from shared.asgi import Headers

LONGEST_FIRST_EVENT: Final = 1 << 14
"""Bytes. What is longer is no error."""

AFTER_ERROR_SECONDS: Final = 1.0
"""For what may follow an error in its stream: `[DONE]`, and the end."""

EVENT_STREAM: Final = b"text/event-stream"


@dataclass(frozen=True, slots=True)
class Stored:
    """An answer that is there whole: an upstream's error, which may be passed on, or one from a cache."""

    status: int
    headers: Headers
    body: bytes
    error: ErrorFrame | None = None
    """Where it is a stream of events that begins with an error."""

    def for_anybody(self) -> "Stored":
        """The same error as an answer to another request: plain, and no stream."""
        if self.error is not None:
            return Stored(self.error.status, [(b"content-type", b"application/json")], self.error.data)
        plain = Decoder(first(self.headers, b"content-encoding")).feed(self.body)
        return Stored(self.status, [each for each in self.headers if each[0] != b"content-encoding"], plain)


@dataclass(frozen=True, slots=True)
class Result:
    """What one attempt came to."""

    meaning: Meaning
    answer: Answer | Stored | Failure
    retry_after: float | None = None
    """Seconds, as the upstream said: any number."""

    @property
    def succeeded(self) -> bool:
        """Did the upstream do what was asked?"""
        return isinstance(self.answer, Answer)

    @property
    def for_others(self) -> Stored | None:
        """What others may be told who ask for the same model: it cannot be had."""
        told = self.answer if self.meaning is Meaning.UNAVAILABLE else None
        return told.for_anybody() if isinstance(told, Stored) else None

    @property
    def label(self) -> str:
        """For the metric of upstream errors: the status code, or the kind of failure."""
        if isinstance(self.answer, Failure):
            return str(self.meaning)
        error = self.answer.error if isinstance(self.answer, Stored) else None
        return str(self.answer.status if error is None else error.status)


async def attempt(upstream: Upstream, outgoing: Outgoing, on_written: Callable[[], None]) -> Result:
    """Send once. The answer of a Result that holds one is to be closed."""
    answer = await upstream.send(outgoing, on_written)
    if isinstance(answer, Failure):
        return Result(answer.meaning, answer)
    by_status = classify(answer.status, b"")
    if answer.status < 200 or by_status is Meaning.REDIRECT:  # below 200: an upgrade nobody asked for
        await answer.aclose()
        return Result(Meaning.REDIRECT, Failure(Meaning.REDIRECT, str(answer.status)))
    if answer.status < 300:
        return await _begun(answer) if is_event_stream(answer.headers) else Result(Meaning.ANSWERED, answer)
    try:
        body = await answer.read()
    except BrokenOffError as error:
        # Its status has said what it means; its text cannot be passed on as if it were whole.
        cut = Failure(Meaning.SILENT if error.silent else Meaning.RESET, f"{answer.status}, cut short")
        return Result(cut.meaning if by_status is Meaning.ANSWERED else by_status, cut)
    finally:
        await answer.aclose()
    stored = Stored(answer.status, answer.headers, body)
    readable = Decoder(first(stored.headers, b"content-encoding")).feed(body)
    return Result(classify(stored.status, readable), stored, _retry_after(stored.headers))


def is_event_stream(headers: Headers) -> bool:
    """Does the body consist of server-sent events?"""
    return (first(headers, b"content-type") or b"").startswith(EVENT_STREAM)


async def _begun(answer: Answer) -> Result:
    """A stream: its first event says whether it is one. Nothing of it is lost, nor held back for long."""
    decoder = Decoder(first(answer.headers, b"content-encoding"))
    seen = b""

    def enough(piece: bytes) -> bool:
        nonlocal seen
        seen += decoder.feed(piece)
        return first_event(seen) is not None or len(seen) > LONGEST_FIRST_EVENT

    try:
        await answer.peek(enough)
    except BrokenOffError as error:
        await answer.aclose()
        cut = Failure(Meaning.SILENT if error.silent else Meaning.RESET, "broke off in its first event")
        return Result(cut.meaning, cut)
    except BaseException:
        await answer.aclose()
        raise
    event = first_event(seen)
    frame = error_frame(event) if event is not None else None
    if frame is None:
        return Result(Meaning.ANSWERED, answer)
    return Result(classify(frame.status, frame.data), await _stored(answer, frame))


async def _stored(answer: Answer, frame: ErrorFrame) -> Stored:
    """All of a stream that is an error. It is over, or should be: that is not waited for long."""
    pieces = []
    try:
        with trio.move_on_after(AFTER_ERROR_SECONDS), suppress(BrokenOffError):
            async for piece in answer:
                pieces.append(piece)
                if sum(map(len, pieces)) > LONGEST_FIRST_EVENT:
                    break
    finally:
        await answer.aclose()
    return Stored(answer.status, answer.headers, b"".join(pieces), error=frame)


def _retry_after(headers: Headers) -> float | None:
    """The seconds of a Retry-After, which may be a number or a date (RFC 9110, 10.2.3); None for nonsense."""
    text = (first(headers, b"retry-after") or b"").decode("latin-1").strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(text).timestamp() - clock.wall()
    except (ValueError, OverflowError):
        return None
