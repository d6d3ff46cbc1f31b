"""Which headers travel on, in both directions."""

from typing import Final

from shared.asgi import Headers

HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Meant for the next hop only (RFC 9110, 7.6.1), besides those that `Connection` names."""

_NOT_UPSTREAM: Final = HOP_BY_HOP | {
    # ours
    b"x-priority",
    b"x-agent-id",
    b"x-deadline-ms",
    # written anew: the target's own, the length of what is really sent, the key that is really used
    b"host",
    b"content-length",
    b"authorization",
    b"expect",
    # a browser's; nothing of the upstream's concern, and nothing it should learn
    b"cookie",
    b"origin",
}
_NOT_TO_CLIENT: Final = HOP_BY_HOP | {
    b"set-cookie",  # the client would send it back to us, and one account's cookies are not every agent's
    b"date",  # the server in front of us writes its own
}

_OURS: Final = (b"access-control-", b"x-sidecar-")
"""Beginnings of names that an answer gets from us or from nobody: no page of another site may read it."""

BILLING_ORIGIN: Final = (b"x-billing-invoke-origin", b"OpenClaw")
"""OpenClaw sends it on its native route to NVIDIA and leaves it out on a loopback address."""


def to_upstream(
    headers: Headers, *, host: bytes, authorization: bytes | None, content_length: int | None
) -> Headers:
    """The request's headers for the upstream: what the client sent, without what is not for it."""
    sent = [(b"host", host), *_forwarded(headers, _NOT_UPSTREAM)]
    if content_length is not None:
        sent.append((b"content-length", b"%d" % content_length))
    if authorization is not None:
        sent.append((b"authorization", authorization))
    if is_openclaw(headers) and all(name != BILLING_ORIGIN[0] for name, _ in headers):
        sent.append(BILLING_ORIGIN)
    return sent


def to_client(headers: Headers) -> Headers:
    """The answer's headers for the client."""
    return [header for header in _forwarded(headers, _NOT_TO_CLIENT) if not header[0].startswith(_OURS)]


def first(headers: Headers, name: bytes) -> bytes | None:
    """The first value of a header, by its lower-case name."""
    for key, value in headers:
        if key == name:
            return value
    return None


def is_openclaw(headers: Headers) -> bool:
    """OpenClaw talks through OpenAI's JavaScript SDK, and adds a trace or its session, which that never does.

    Measured on 2026.9.6. No header says its name.
    """
    agent = first(headers, b"user-agent") or b""
    marked = any(name in {b"traceparent", b"x-session-affinity"} for name, _ in headers)
    return b"openclaw" in agent.lower() or (marked and agent.startswith(b"OpenAI/JS"))


def _forwarded(headers: Headers, dropped: frozenset[bytes]) -> Headers:
    named = [value for name, value in headers if name == b"connection"]
    if named:
        dropped |= {token.strip().lower() for value in named for token in value.split(b",")}
    return [(name, value) for name, value in headers if name not in dropped]
