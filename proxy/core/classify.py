"""What an upstream's answer, or its failure to answer, means; and whether it is worth another attempt.

Facts about NVIDIA's API, collected from public reports: a 429 carries no Retry-After and does not say
whether the account's limit or the model's was met; a 503 that speaks of a worker's request limit is about
that model's workers, taken by all tenants; some 4xx say that a model cannot be had, by anybody or by this
account; the rest means what HTTP says.
"""

from enum import StrEnum

WORKERS_FULL_MARK = b"Worker local total request limit"
UNAVAILABLE_MARKS = {
    400: b"DEGRADED function cannot be invoked",
    404: b"Not found for account",
    410: b"end of life",
}
"""By status, what the upstream says of a model that cannot be had. Others are about the request."""
LONGEST_BACKOFF_SECONDS = 30.0
LONGEST_QUIET_SECONDS = 60.0
"""Retry-After beyond a minute is not believed: the limit is per minute, and a lane asleep for hours on one
absurd header would be worse than one more 429."""


class Meaning(StrEnum):
    """The outcome of one attempt."""

    ANSWERED = "answered"
    """2xx, or a 4xx that is the client's matter: relay it."""
    THROTTLED = "throttled"
    """429: over the account's or the model's limit."""
    WORKERS_FULL = "workers_full"
    """503: that model's workers are taken."""
    UNAVAILABLE = "unavailable"
    """400, 404 or 410 with words that say so: this model cannot be had."""
    TROUBLE = "trouble"
    """500, 502, 503, 504: the upstream's own trouble."""
    KEY_REJECTED = "key_rejected"
    """401"""
    NO_CREDITS = "no_credits"
    """402"""
    REDIRECT = "redirect"
    """3xx: never followed, since it would carry the key elsewhere."""
    UNREACHABLE = "unreachable"
    """No connection: not one byte left."""
    RESET = "reset"
    """The connection ended before the answer began."""
    SILENT = "silent"
    """Connected, sent, and nothing came in time."""
    GARBAGE = "garbage"
    """What came is not HTTP."""


_BY_STATUS = {
    401: Meaning.KEY_REJECTED,
    402: Meaning.NO_CREDITS,
    429: Meaning.THROTTLED,
    500: Meaning.TROUBLE,
    502: Meaning.TROUBLE,
    503: Meaning.TROUBLE,
    504: Meaning.TROUBLE,
}


def classify(status: int, body: bytes) -> Meaning:
    """What an answer with that status and that (beginning of a) body means."""
    if status == 503 and WORKERS_FULL_MARK in body:
        return Meaning.WORKERS_FULL
    if status in UNAVAILABLE_MARKS and UNAVAILABLE_MARKS[status] in body:
        return Meaning.UNAVAILABLE
    if 300 <= status < 400:
        return Meaning.REDIRECT
    return _BY_STATUS.get(status, Meaning.ANSWERED)


def worth_another(meaning: Meaning, earlier: int, allowed: int) -> bool:
    """Is a further attempt worth a slot, after `earlier` failures before this one, with `allowed` retries?

    Silence costs the client the most, so it is tried once more and not again.
    """
    match meaning:
        case Meaning.THROTTLED | Meaning.WORKERS_FULL | Meaning.TROUBLE | Meaning.UNREACHABLE | Meaning.RESET:
            return earlier < allowed
        case Meaning.SILENT:
            return earlier < min(1, allowed)
        case _:
            return False


def backoff_seconds(meaning: Meaning, earlier: int, lot: float) -> float:
    """How long one request waits before it asks for its next slot.

    1 s doubling to 30, by a lot in [0, 1) spread over the upper half, so that those who failed together do
    not come back together. Throttled requests do not wait here: the pause of their model holds them.
    """
    if is_refusal(meaning):
        return 0.0
    longest = min(2.0**earlier, LONGEST_BACKOFF_SECONDS)
    return longest * (1 + lot) / 2


def is_refusal(meaning: Meaning) -> bool:
    """Is it "too many", of whatever?"""
    return meaning in {Meaning.THROTTLED, Meaning.WORKERS_FULL}


def quiet_seconds(retry_after: float) -> float:
    """How long a Retry-After keeps a lane quiet: clamped to 1-60 s."""
    return min(max(retry_after, 1.0), LONGEST_QUIET_SECONDS)
