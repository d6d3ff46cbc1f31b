"""Answers of our own, as plain ASGI: two messages, a content length, errors in the shape OpenAI clients read.

An answer is one head message and one body message that also ends it, because each message that carries bytes
is a system call of its own in Hypercorn. The content length is always set: without it HTTP/1.1 would chunk
the answer and HTTP/1.0 would close the connection.
"""

from collections.abc import Iterable
from typing import Final

import msgspec
import trio

from shared.asgi import Receive, Send

LINGER_SECONDS: Final = 2.0
"""How long a refused client may go on sending (see `refuse_unread`). nginx's `lingering_timeout` is 5 s; a
client on the same machine or in the same house needs far less."""

JSON: Final = b"application/json"

# What the OpenAI SDKs show as the error's `type`. A code that is not listed is a bad request: the 4xx codes
# are many and alike, the others are few.
_KINDS: Final = {
    "missing_key": "authentication_error",
    "admin_token_required": "authentication_error",
    "forbidden_host": "permission_error",
    "forbidden_origin": "permission_error",
    "not_found": "not_found_error",
    "rate_limited": "rate_limit_error",
    "internal_error": "server_error",
    "upstream_unreachable": "server_error",
    "upstream_timeout": "server_error",
    "upstream_down": "server_error",
    "queue_full": "server_error",
    "dropped": "server_error",
    "draining": "server_error",
}
_OTHERWISE: Final = "invalid_request_error"

_encode: Final = msgspec.json.Encoder().encode


def error_body(code: str, message: str, *, kind: str | None = None) -> bytes:
    """`{"error":{"message","type","code","param":null}}`; `kind` overrides the type that the code implies.

    `message` goes to a stranger: plain language, never a secret, never a stack.
    """
    return _encode(
        {
            "error": {
                "message": message,
                "type": kind or _KINDS.get(code, _OTHERWISE),
                "code": code,
                "param": None,
            }
        }
    )


async def answer(
    send: Send,
    status: int,
    body: bytes,
    content_type: bytes = JSON,
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """Send the whole answer. `headers` come after our own and must not repeat them."""
    await send(_head(status, body, content_type, headers))
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def answer_json(
    send: Send, status: int, payload: object, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """`answer` with `payload` as JSON. Raises TypeError for what msgspec cannot encode."""
    await answer(send, status, _encode(payload), JSON, headers)


async def refuse(
    send: Send, status: int, code: str, message: str, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Answer with an error of ours. For a request whose body was read, or that has none."""
    await answer(send, status, error_body(code, message), JSON, headers)


async def refuse_unread(  # noqa: PLR0917 - it is `refuse` with a `receive` in front, and reads like it
    receive: Receive,
    send: Send,
    status: int,
    code: str,
    message: str,
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """Refuse a request whose body nobody will read, so that a client still sending gets to see why.

    The obvious way, answer and close, loses the answer: when a socket is closed with unread bytes in its
    receive buffer, or bytes arrive after the close, TCP sends a reset, and a reset discards what the client
    has received and not yet read (RFC 9112, 9.6). Every client would see "connection reset" in place of 413.
    Hence a lingering close: the complete answer first, by its length already whole for the client, then what
    still comes is read and dropped until the body ends, the client hangs up, or LINGER_SECONDS are over; only
    then is the answer ended, upon which Hypercorn closes, as `connection: close` has told the client.
    """
    body = error_body(code, message)
    await send(_head(status, body, JSON, [(b"connection", b"close"), *headers]))
    await send({"type": "http.response.body", "body": body, "more_body": True})
    with trio.move_on_after(LINGER_SECONDS):
        while True:
            came = await receive()
            if came["type"] == "http.disconnect":
                return
            if not came.get("more_body", False):
                break
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _head(
    status: int, body: bytes, content_type: bytes, headers: Iterable[tuple[bytes, bytes]]
) -> dict[str, object]:
    return {
        "type": "http.response.start",
        "status": status,
        "headers": [
            (b"content-type", content_type),
            (b"content-length", b"%d" % len(body)),
            *headers,
        ],
    }
