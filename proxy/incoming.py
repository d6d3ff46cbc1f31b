"""Reading one request from its client: the whole body first, within bounds of size and time.

A body that is read before the request queues costs its memory only once, cannot stall a slot that was
granted, and leaves `receive()` free to tell of a hang-up at once.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio

from proxy.headers import first
from proxy.refusals import Refusal
from shared.asgi import HANG_UP, HangUp, Headers, Receive, Scope

BODY_SECONDS: Final = 30.0
"""For the whole body. Clients are on this machine or in this house; who takes longer holds memory."""


class HungUpError(Exception):
    """The client is gone; there is nobody to answer."""


async def read_content(
    receive: Receive, headers: Headers, *, max_bytes: int, seconds: float = BODY_SECONDS
) -> bytes | Refusal:
    """The whole body, or why not: 413 by its announced length or while it comes, 408. HungUpError."""
    too_large = Refusal(413, "body_too_large", f"the request body is larger than {max_bytes} bytes")
    announced = first(headers, b"content-length")
    if announced is not None and int(announced) > max_bytes:
        return too_large
    pieces: list[bytes] = []
    size = 0
    with trio.CancelScope(deadline=trio.current_time() + seconds):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise HungUpError
            piece = message.get("body", b"")
            size += len(piece)
            if size > max_bytes:
                return too_large
            pieces.append(piece)
            if not message.get("more_body", False):
                return b"".join(pieces)
    return Refusal(408, "invalid_request", f"the request body did not arrive within {seconds:.0f} s")


@asynccontextmanager
async def hearing_hang_ups(
    scope: Scope, receive: Receive, on_hang_up: Callable[[], None]
) -> AsyncIterator[None]:
    """While this lasts, `on_hang_up` is called when the client goes. Only after the body was read.

    Our server calls it by itself; any other tells through `receive`, on which one task then waits.
    """

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        on_hang_up()

    hang_up: HangUp | None = scope.get("extensions", {}).get(HANG_UP)
    if hang_up is not None:
        hang_up.listen(on_hang_up)
        yield
        hang_up.listen(None)
    else:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            yield
            nursery.cancel_scope.cancel()
