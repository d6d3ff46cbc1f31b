"""Why a run failed, by the words of its error: whether an attempt is spent, or the world is to blame."""

import re
from enum import StrEnum
from typing import Final


class FailureCause(StrEnum):
    """All but `other` are the world's fault, and cost the task no attempt."""

    RATE_LIMIT = "rate_limit"
    REJECTED_KEY = "rejected_key"
    MODEL_UNAVAILABLE = "model_unavailable"
    GATEWAY_DOWN = "gateway_down"
    OTHER = "other"


_BY_STATUS: Final = {
    "401": FailureCause.REJECTED_KEY,
    "402": FailureCause.REJECTED_KEY,
    "403": FailureCause.REJECTED_KEY,
    "404": FailureCause.MODEL_UNAVAILABLE,
    "410": FailureCause.MODEL_UNAVAILABLE,
    "429": FailureCause.RATE_LIMIT,
    "500": FailureCause.MODEL_UNAVAILABLE,
    "502": FailureCause.MODEL_UNAVAILABLE,
    "503": FailureCause.MODEL_UNAVAILABLE,
    "504": FailureCause.MODEL_UNAVAILABLE,
}
# `HTTP 404`, `404 status code (no body)`, `(429 Too Many Requests)`, `503 ResourceExhausted: …`
_STATUS: Final = re.compile(r"(?:\bHTTP |(?:^|[\s(])(?=\d{3} (?:status code|[A-Z])))([45]\d\d)\b")

# OpenClaw's wording, where it names no status. The first that fits.
_BY_WORDS: Final = (
    (FailureCause.RATE_LIMIT, re.compile(r"rate.?limit|too many requests|quota")),
    (
        FailureCause.REJECTED_KEY,
        re.compile(r"authentication failed|unauthorized|api key|auth/billing|billing|re-authenticate"),
    ),
    (
        FailureCause.MODEL_UNAVAILABLE,
        re.compile(
            r"model (?:was )?not found|unknown model|model .*(?:unavailable|not available)|overloaded"
            r"|end of life|not found for account|degraded function|resourceexhausted|worker .*limit reached"
            r"|network connection error|connection (?:error|refused)|provider internal error"
        ),
    ),
    (FailureCause.GATEWAY_DOWN, re.compile(r"gateway .*(?:not reachable|closed|restart|shutting down)")),
)


def failure_cause(error: str) -> FailureCause:
    """What a run's error text is about."""
    if (status := _STATUS.search(error)) is not None and status[1] in _BY_STATUS:
        return _BY_STATUS[status[1]]
    words = error.lower()
    return next((cause for cause, said in _BY_WORDS if said.search(words)), FailureCause.OTHER)
