"""Answers, as ASGI apps: JSON, and errors in the one shape that all of ours have.

The rule: an error reaches whoever caused it. A request whose body nobody has read is answered first and
drained then, or its client would see a reset in the place of the reason (`shared.answers.refuse_unread`).
"""

from typing import Final

import msgspec

from scheduler.api.errors import HttpError
from scheduler.api.incoming import Incoming
from scheduler.blackboard.errors import BoardBusy, BoardError
from scheduler.core.errors import Refused
from scheduler.verbs.outcomes import failure
from shared.answers import JSON, answer, error_body, refuse_unread
from shared.asgi import Headers, Receive, Scope, Send

BUSY_SECONDS: Final = b"2"
"""When to ask again after the database was locked for longer than anybody should have to wait."""

# What is told to clients that look at an error's `type`; anything else is a request's own fault.
_KINDS: Final = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}


class Json:
    """One JSON value."""

    def __init__(self, payload: object, status: int = 200, headers: Headers | None = None) -> None:
        self._body = msgspec.json.encode(payload)
        self._status = status
        self._headers = headers or []

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        # What the board says is of this moment and not for everybody: no cache may keep it.
        headers = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"), *self._headers]
        await answer(send, self._status, self._body, JSON, headers)


class Refusal:
    """An error of ours."""

    def __init__(self, error: HttpError) -> None:
        self.error = error

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        error = self.error
        headers = list(error.headers.items())
        if isinstance(receive, Incoming) and receive.unread:
            await refuse_unread(receive, send, error.status, error.code, error.message, headers)
            return
        kind = "server_error" if error.status >= 500 else _KINDS.get(error.status)
        await answer(send, error.status, error_body(error.code, error.message, kind=kind), JSON, headers)


def as_http(error: Refused | BoardError) -> HttpError:
    """What the board refuses, or cannot do, in HTTP's words."""
    told = failure(error)
    again = {b"retry-after": BUSY_SECONDS} if isinstance(error, BoardBusy) else {}
    return HttpError(told.outcome.status, told.code, told.message, again)


async def nobody(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """The answer to a client that has gone."""
