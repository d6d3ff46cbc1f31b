"""A file that was handed in, as an attachment.

The rule: what an agent wrote is never a page of ours. Whatever it calls itself, it is sent as bytes to be
saved; a browser that opens it all the same does so in a sandbox without scripts, forms and our origin.
"""

import os
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

import trio

from shared.asgi import Headers, Receive, Scope, Send

CHUNK_BYTES: Final = 256 * 1024

_FENCE: Final = [
    (b"content-type", b"application/octet-stream"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox; default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


class Download:
    """The bytes of an open file, from its beginning. Closes it."""

    def __init__(self, file: BinaryIO, name: str, size_bytes: int) -> None:
        self._file = file
        self._headers: Headers = [
            *_FENCE,
            (b"content-disposition", disposition(name)),
            (b"content-length", b"%d" % size_bytes),
        ]
        self._left = size_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file:
            await send({"type": "http.response.start", "status": 200, "headers": self._headers})
            if scope["method"] == "HEAD" or not self._left:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_end_when_the_client_goes, receive, nursery.cancel_scope)
                await self._send(send)
                nursery.cancel_scope.cancel()

    async def _send(self, send: Send) -> None:
        """Never more than was announced; a file that has become shorter is cut off, for all to see."""
        while self._left:
            chunk = await trio.to_thread.run_sync(self._file.read, min(CHUNK_BYTES, self._left))
            if not chunk:
                return
            self._left -= len(chunk)
            # Shielded, because Hypercorn tells of the end as of a hang-up, before the last piece has left
            # (trap 1). A client that stops reading is the socket's to end.
            with trio.CancelScope(shield=self._left == 0):
                await send({"type": "http.response.body", "body": chunk, "more_body": self._left > 0})


def open_download(file: Path, name: str) -> Download:
    """In a thread. Raises FileNotFoundError where somebody has removed it."""
    opened = file.open("rb")
    return Download(opened, name, os.fstat(opened.fileno()).st_size)


def disposition(name: str) -> bytes:
    """RFC 6266: the name for everybody in ASCII, and the right one, percent-encoded as RFC 5987 says."""
    plain = "".join(char if char.isascii() and (char.isalnum() or char in " ._-") else "_" for char in name)
    exact = quote(name, safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}".encode("ascii")


async def _end_when_the_client_goes(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
