"""Errors of ours: what went wrong, in plain language, with a time to come back where there is one."""

from dataclasses import dataclass
from math import ceil
from typing import Final, assert_never

from proxy.core.classify import Meaning
from proxy.core.decisions import Dropped, NoSlotInTime, QueueFull, UpstreamDown
from proxy.gate import Closed
from proxy.upstream import Failure
from shared.asgi import Headers

LONGEST_RETRY_AFTER_SECONDS: Final = 60.0
"""OpenClaw and the OpenAI SDKs give up, or change the model, when asked to wait for longer."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of ours with a code from the documented list."""

    status: int
    code: str
    message: str
    retry_after: float | None = None
    """Seconds, a lower bound."""

    @property
    def headers(self) -> Headers:
        """`Retry-After` and its finer twin, where there is a time."""
        return [] if self.retry_after is None else retry_headers(self.retry_after)


DRAINING: Final = Refusal(503, "draining", "the sidecar is stopping; ask again in a moment", 1.0)


def retry_headers(seconds: float) -> Headers:
    """A lower bound in whole seconds, at least one and at most a minute; exact in milliseconds beside it."""
    seconds = min(max(seconds, 0.001), LONGEST_RETRY_AFTER_SECONDS)
    return [(b"retry-after", b"%d" % max(1, int(seconds))), (b"retry-after-ms", b"%d" % (seconds * 1000))]


def turned_away(why: NoSlotInTime | QueueFull | Dropped | UpstreamDown | Closed) -> Refusal:
    """For a request that got no slot."""
    match why:
        case NoSlotInTime(wait_seconds=wait):
            message = (
                f"no slot in the request budget before the deadline; the next is about {wait:.0f} s away"
            )
            return Refusal(429, "rate_limited", message, wait)
        case QueueFull(wait_seconds=wait):
            return Refusal(503, "queue_full", "the queue is full", wait)
        case Dropped(wait_seconds=wait):
            return Refusal(503, "dropped", "gave its place in the full queue to a more urgent request", wait)
        case UpstreamDown(wait_seconds=wait):
            message = "the upstream fails, for this model or altogether; it is tried again in a moment"
            return Refusal(503, "upstream_down", message, ceil(wait))  # who comes then is the one to try
        case Closed():
            return DRAINING
        case _:
            assert_never(why)


def broken_off(*, silent: bool) -> Refusal:
    """For an answer that had begun: what its last event says."""
    if silent:
        return Refusal(504, "upstream_timeout", "the upstream fell silent in the middle of its answer")
    return Refusal(502, "upstream_unreachable", "the upstream broke off in the middle of its answer")


def no_answer(failure: Failure) -> Refusal:
    """For a request that the upstream did not answer."""
    match failure.meaning:
        case Meaning.SILENT:
            return Refusal(504, "upstream_timeout", "the upstream did not begin to answer in time")
        case Meaning.UNREACHABLE:
            message = "the upstream cannot be reached"
        case Meaning.REDIRECT:
            message = "the upstream answered with a redirect, which is never followed"
        case Meaning.GARBAGE:
            message = "the upstream answered with something that is not HTTP"
        case _:
            message = "the upstream closed the connection before it answered"
    return Refusal(502, "upstream_unreachable", message)
