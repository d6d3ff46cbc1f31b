"""Reading one request from its client: the whole body first, within bounds of size and time.

A body that is read before the request queues costs its memory only once, cannot stall a slot that was
granted, and leaves `receive()` free to tell of a hang-up at once.
"""

from typing import Final

import trio

from proxy.headers import first
from proxy.refusals import Refusal
from shared.asgi import Headers, Receive

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
    with trio.move_on_after(seconds):
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


async def hung_up(receive: Receive) -> None:
    """Returns when the client has gone. Only after the body was read."""
    while (await receive())["type"] != "http.disconnect":
        pass
