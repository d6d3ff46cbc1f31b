"""Passing an answer on, byte for byte as it arrives.

"Has the response started?" is the question of every error here. Before, anything can still be answered;
after, only a stream of events has room for an error (`data: {"error": …}`, which OpenClaw retries), and
everything else is cut visibly: the connection ends before the announced end.
"""

from typing import Final

import trio

from proxy.attempt import Stored
from proxy.headers import first, to_client
from proxy.refusals import Refusal
from proxy.upstream import Answer
from proxy.usage import UsageReader
from shared.answers import error_body, refuse, refuse_unread
from shared.asgi import Headers, Receive, Send

EVENT_STREAM: Final = b"text/event-stream"


class Relay:
    """The way of one answer to one client. Plain ASGI: a streaming response class would lose the hang-up."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._takes_events = False
        self.status: int | None = None
        self.bytes = 0
        self.ended = False

    @property
    def started(self) -> bool:
        """Has the client seen anything yet?"""
        return self.status is not None

    async def pass_on(self, answer: Answer, added: Headers, usage: UsageReader) -> None:
        """The whole answer with `added` headers. Raises upstream.BrokenOffError, after which `break_off`."""
        headers = to_client(answer.headers)
        plain = first(headers, b"content-encoding") is None
        self._takes_events = plain and (first(headers, b"content-type") or b"").startswith(EVENT_STREAM)
        if self._takes_events:  # an announced length would leave no room for an error
            headers = [header for header in headers if header[0] != b"content-length"]
        length = first(headers, b"content-length")
        left = -1 if length is None else int(length)
        await self._start(answer.status, [*headers, *added])
        async for chunk in answer:
            usage.feed(chunk)
            left -= len(chunk)
            await self._body(chunk, last=left == 0)  # the last piece and the end in one message
        if not self.ended:
            await self._body(b"", last=True)

    async def pass_stored(self, answer: Stored, added: Headers) -> None:
        """An answer that was read to its end before it was known that it would be relayed."""
        kept = [header for header in to_client(answer.headers) if header[0] != b"content-length"]
        length = (b"content-length", b"%d" % len(answer.body))
        await self._start(answer.status, [*kept, length, *added])
        await self._body(answer.body, last=True)

    async def refuse(self, refusal: Refusal, added: Headers, *, unread: Receive | None = None) -> None:
        """An error of ours. Only before anything was sent; `unread` where more of the body may come."""
        self.status, self.ended = refusal.status, True
        headers = [*refusal.headers, *added]
        # Shielded: the end of a drain cancels those whom the closing gate has just turned away.
        with trio.CancelScope(shield=True):
            if unread is None:
                await refuse(self._send, refusal.status, refusal.code, refusal.message, headers)
            else:
                await refuse_unread(
                    unread, self._send, refusal.status, refusal.code, refusal.message, headers
                )

    async def break_off(self, refusal: Refusal) -> None:
        """End an answer that has started and cannot be finished."""
        if self._takes_events and not self.ended:
            # The blank line first ends an event that may have been under way.
            event = b"\n\ndata: " + error_body(refusal.code, refusal.message) + b"\n\n"
            await self._body(event, last=True)

    async def _start(self, status: int, headers: Headers) -> None:
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _body(self, chunk: bytes, *, last: bool) -> None:
        self.bytes += len(chunk)
        self.ended = last
        await self._send({"type": "http.response.body", "body": chunk, "more_body": not last})
