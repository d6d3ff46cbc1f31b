"""Who asks, how urgently, and for how long they are willing to wait."""

import hashlib
from dataclasses import dataclass

from proxy.body import Body
from proxy.core.band import Band
from proxy.headers import first
from shared.asgi import Headers

LONGEST_NAME = 120
"""Characters of an agent's or a session's name that are kept: they are only shown and compared."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The identity that queueing and accounting go by."""

    band: Band
    agent: str
    session: str


def identify(headers: Headers, body: Body, *, max_band: Band, nameless: str) -> Caller:
    """A header that is present wins over the body; without either the session, the key or `nameless` says it.

    A priority that is none of the four words is `normal`: a typing error must not make anybody urgent. None
    is more urgent than `max_band`.
    """
    priority = _text(first(headers, b"x-priority"))
    session = _text(first(headers, b"x-session-affinity") or first(headers, b"session_id")) or ""
    agent = (
        _text(first(headers, b"x-agent-id"))
        or body.agent
        or body.user
        or session
        or _key_name(first(headers, b"authorization"))
        or nameless
    )
    band = Band.parse(body.priority or "" if priority is None else priority)
    return Caller(max(band, max_band), _short(agent), _short(session))


def patience_seconds(headers: Headers, *, stream: bool) -> float:
    """How long the client will wait for an answer to begin, by its own word; infinity if it says nothing.

    `X-Deadline-Ms` is ours. The `x-stainless-*` time-outs are those of the OpenAI SDKs; a streaming client is
    kept waiting beyond them by other means, so they count for the others only.
    """
    patience = _number(first(headers, b"x-deadline-ms")) / 1000
    return patience if stream else min(patience, stated_patience(headers))


def stated_patience(headers: Headers) -> float:
    """How long an OpenAI SDK will wait in silence; infinity if it does not say."""
    names = (b"x-stainless-timeout", b"x-stainless-read-timeout")
    return min(_number(first(headers, name)) for name in names)


def _number(value: bytes | None) -> float:
    """A header's number; infinity for none, for nonsense and for what is negative."""
    try:
        number = float(value or b"inf")
    except ValueError:
        return float("inf")
    return number if number >= 0 else float("inf")


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1").strip()


def _short(name: str) -> str:
    return name[:LONGEST_NAME]


def _key_name(authorization: bytes | None) -> str | None:
    """A name for a client that has only its key: enough of a hash to tell it apart, nothing to guess from."""
    if not authorization:
        return None
    return "key-" + hashlib.sha256(authorization).hexdigest()[:8]
