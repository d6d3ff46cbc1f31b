"""One request and its answer, as accounting sees it: written by the handler, read by log and metrics."""

from dataclasses import dataclass, field
from enum import StrEnum

import trio

from proxy.caller import Caller
from proxy.core.band import Band


class Outcome(StrEnum):
    """How an exchange ended, for the `status` label of `sidecar_requests_total`."""

    SUCCESS = "success"
    """The upstream's answer was relayed, whatever its code below 500 but 429."""
    ERROR = "error"
    RATE_LIMITED = "ratelimited"
    """429, the upstream's or ours."""
    REJECTED = "rejected"
    """Refused by us for another reason."""
    ABANDONED = "abandoned"
    """The client hung up."""


@dataclass(slots=True, eq=False)
class Exchange:
    """Times on Trio's clock."""

    id: str
    method: str
    path: str
    arrived_at: float
    caller: Caller = field(default_factory=lambda: Caller(Band.NORMAL, "", ""))
    model: str = ""
    substitute: str | None = None
    """The model that was sent in its place."""
    stream: bool = False
    attempts: int = 0
    queue_seconds: float = 0.0
    """Spent before the upstream: waiting for slots, pauses between attempts."""
    waits_since: float | None = None
    """It waits now, which `queue_seconds` does not yet hold."""
    sent_at: float = 0.0
    """The last attempt."""
    upstream_seconds: float = 0.0
    """The last attempt, from sending it to its end."""
    from_cache: bool = False
    """It asks for the list of models, which is not for the limited lane."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    hung_up: bool = False
    cut_off: bool = False
    """The process ends and could not wait for it."""
    broken_off: bool = False
    """Its answer had begun and could not be finished."""
    upstream_answered: bool = False
    """What the client got, or gets, is the upstream's own answer."""
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    def queued_by(self, now: float) -> float:
        """Seconds before the upstream so far."""
        return self.queue_seconds + (0.0 if self.waits_since is None else now - self.waits_since)

    def outcome(self, status: int | None) -> Outcome:
        """By what the client has seen: `status`, None if nothing."""
        if self.hung_up:
            return Outcome.ABANDONED
        if status is None:
            return Outcome.ERROR
        if status == 429:
            return Outcome.RATE_LIMITED
        if self.broken_off:
            return Outcome.ERROR
        if self.upstream_answered:
            return Outcome.SUCCESS if status < 500 else Outcome.ERROR
        return Outcome.ERROR if status in {500, 502, 504} else Outcome.REJECTED
