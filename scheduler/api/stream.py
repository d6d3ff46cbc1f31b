"""The board's events as server-sent events: `GET /api/events`.

Plain ASGI: a streaming response class would not end when the server wants to (trap 1). A client that comes
back says what it saw last (`Last-Event-ID`) and gets what happened since, from the board, before it listens.
"""

from contextlib import suppress
from typing import Final

import msgspec
import trio

from scheduler.api.errors import HttpError
from scheduler.api.replies import Refusal
from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardError
from scheduler.events import (
    PAGE,
    EventFeed,
    Listener,
    Numbered,
    TooManyListenersError,
    events_after,
    last_event,
)
from scheduler.wire import event_json
from shared.asgi import Receive, Scope, Send

RETRY_MS: Final = 3_000
"""When a browser tries again."""
SILENCE_SECONDS: Final = 15.0
"""After so much of it a comment is sent: whatever is between the two ends keeps the connection then."""

_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-accel-buffering", b"no"),  # nginx would keep events until it has a page of them
]
_BUSY: Final = HttpError(
    503, "too_many_streams", "Too many clients listen to events now.", {b"retry-after": b"5"}
)


class EventStream:
    """One client's stream. Ends when the client goes, when it is too slow, and when the server drains."""

    def __init__(self, board: Board, feed: EventFeed, drain_begun: trio.Event, last_seen: int | None) -> None:
        self._board = board
        self._feed = feed
        self._drain_begun = drain_begun
        self._last_seen = last_seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._feed.listening() as listener:
                await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                if scope["method"] != "HEAD":
                    await self._converse(receive, send, listener)
        except TooManyListenersError:
            await Refusal(_BUSY)(scope, receive, send)
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _converse(self, receive: Receive, send: Send, listener: Listener) -> None:
        async def end_when_the_client_goes() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            nursery.cancel_scope.cancel()

        async def end_when_the_server_drains() -> None:
            await self._drain_begun.wait()
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_when_the_client_goes)
            nursery.start_soon(end_when_the_server_drains)
            await _write(send, b"retry: %d\n\n" % RETRY_MS)
            with suppress(BoardError):  # the client comes back, and reads on from where it was
                await self._tell(send, listener, await self._catch_up(send))
            nursery.cancel_scope.cancel()

    async def _catch_up(self, send: Send) -> int:
        """Tell what the client has missed; the number up to which it now knows everything."""
        if self._last_seen is None or self._last_seen > await self._board.read(last_event):
            return 0  # an older board was brought back: its numbers begin again
        seen = self._last_seen
        while page := await self._board.read(events_after, seen, PAGE):
            await _write(send, b"".join(map(as_sse, page)))
            seen = page[-1][0]
        return seen

    @staticmethod
    async def _tell(send: Send, listener: Listener, seen: int) -> None:
        while True:
            with trio.move_on_after(SILENCE_SECONDS) as silence:
                numbered = await listener.next()
            if silence.cancelled_caught:
                await _write(send, b": still here\n\n")
            elif numbered is None:
                return
            elif numbered[0] > seen:
                await _write(send, as_sse(numbered))


def as_sse(numbered: Numbered) -> bytes:
    """`id`, `event`, `data`. JSON has no line breaks of its own, whatever stands in a title."""
    number, event = numbered
    data = msgspec.json.encode({"number": number, **event_json(event)})
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, event.what.encode(), data)


def last_seen(header: str | None) -> int | None:
    """The number in `Last-Event-ID`. One that is none was not given by us, and means nothing."""
    return (
        int(header)
        if header is not None and header.isascii() and header.isdigit() and len(header) <= 18
        else None
    )


async def _write(send: Send, chunk: bytes) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": True})
