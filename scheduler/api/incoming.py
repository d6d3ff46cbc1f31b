"""The body of one request: read within bounds of size and of time, and known to be read or not.

Hypercorn has no timer for bodies that would not cut live streams as well (trap 3), so the timer is here: a
body may take GRACE_SECONDS, and longer only as far as it keeps coming. Apache's `RequestReadTimeout
body=20,MinRate=500` is the same rule; clients here are on this machine or in this house, and held to more.
"""

from typing import Any, Final

import msgspec
import trio

from scheduler.api.errors import HttpError, HungUpError
from shared.asgi import Headers, Message, Receive, Scope

GRACE_SECONDS: Final = 30.0
SLOWEST_BYTES_PER_SECOND: Final = 10_000.0
MOST_JSON_BYTES: Final = 2 * 1024 * 1024

JSON_TYPE: Final = "application/json"
FORM_TYPE: Final = "multipart/form-data"


class Incoming:
    """`receive`, and the body that comes through it. Owner of how far it was read: one request."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._announced = _announced(scope["headers"])
        # Changed as messages come.
        self._bytes = 0
        self._most_bytes = MOST_JSON_BYTES
        self._began_at: float | None = None
        self._ended = False

    @property
    def empty(self) -> bool:
        """No body was announced: HTTP/1.1 has no other way to send one."""
        return self._announced == 0

    @property
    def unread(self) -> bool:
        """More of it may come."""
        return not (self.empty or self._ended)

    async def __call__(self) -> Message:
        """The next message, as the server has it."""
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._ended = True
        return message

    def allow(self, most_bytes: int) -> None:
        """How large it may become. Raises HttpError (413) where it has announced more."""
        self._most_bytes = most_bytes
        if self._announced is not None and self._announced > most_bytes:
            raise self._too_large()

    async def piece(self) -> bytes | None:
        """What comes next of it, None after its end. Raises HttpError (413, 408), HungUpError."""
        if self._ended:
            return None
        if self._began_at is None:
            self._began_at = trio.current_time()
        deadline = self._began_at + GRACE_SECONDS + self._bytes / SLOWEST_BYTES_PER_SECOND
        with trio.CancelScope(deadline=deadline):
            message = await self()
            if message["type"] == "http.disconnect":
                raise HungUpError
            piece: bytes = message.get("body", b"")
            self._bytes += len(piece)
            if self._bytes > self._most_bytes:
                raise self._too_large()
            return piece
        raise HttpError(408, "invalid_request", "The request body came too slowly, or stopped coming.")

    async def whole(self, most_bytes: int) -> bytes:
        """All of it, in memory."""
        self.allow(most_bytes)
        pieces = []
        while (piece := await self.piece()) is not None:
            pieces.append(piece)
        return b"".join(pieces)

    async def json(self, content_type: str | None) -> dict[str, Any]:
        """Its members; none where there is no body. Raises HttpError too for what is no JSON object."""
        if self.empty:
            return {}
        if media_type(content_type) != JSON_TYPE:
            raise unsupported(JSON_TYPE)
        content = await self.whole(MOST_JSON_BYTES)
        if not content.strip():
            return {}
        try:
            members = msgspec.json.decode(content)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise HttpError(400, "invalid_json", "The request body is not valid JSON.") from None
        if not isinstance(members, dict):
            raise HttpError(422, "invalid", "The request body must be a JSON object.")
        return members

    def _too_large(self) -> HttpError:
        return HttpError(413, "body_too_large", f"The request body is larger than {self._most_bytes} bytes.")

    def __repr__(self) -> str:
        return f"<Incoming, {self._bytes} bytes read, {'more may come' if self.unread else 'at its end'}>"


def media_type(content_type: str | None) -> str:
    """`application/json` of `Application/JSON; charset=utf-8`; '' of nothing."""
    return (content_type or "").partition(";")[0].strip().lower()


def unsupported(*types: str) -> HttpError:
    """415, naming what would be read. A form that a page can send without asking is not among it."""
    return HttpError(415, "invalid_request", f"The request body must be {' or '.join(types)}.")


def _announced(headers: Headers) -> int | None:
    """Bytes; None where the body comes in chunks and its length is not known."""
    length = 0
    for name, value in headers:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            length = int(value)
    return length
