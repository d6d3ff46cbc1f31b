"""One attempt, judged: what the upstream answered, and what that means."""

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from proxy.core.classify import Meaning, classify
from proxy.encoding import Decoder
from proxy.headers import first
from proxy.upstream import Answer, BrokenOffError, Failure, Outgoing, Upstream
from shared import clock
from shared.asgi import Headers


@dataclass(frozen=True, slots=True)
class Stored:
    """An answer that is there whole: an upstream's error, which may be passed on, or one from a cache."""

    status: int
    headers: Headers
    body: bytes


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
    def label(self) -> str:
        """For the metric of upstream errors: the status code, or the kind of failure."""
        return str(self.meaning) if isinstance(self.answer, Failure) else str(self.answer.status)


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
        return Result(Meaning.ANSWERED, answer)
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
