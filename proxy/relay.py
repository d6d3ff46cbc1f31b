"""Passing an answer on, byte for byte as it arrives.

"Has the response started?" is the question of every error here. Before, anything can still be answered;
after, only a stream of events has room for an error (`data: {"error": …}`, which OpenClaw retries), and
everything else is cut visibly: the connection ends before the announced end.


A stream that has waited for long has been answered by us (``keepalive``). What follows is then events or an
error among events, whatever the upstream's own head says.
"""

from collections.abc import Callable
from typing import Final

import trio

from proxy.attempt import Stored, is_event_stream
from proxy.encoding import Decoder
from proxy.headers import first, to_client
from proxy.in_band import error_event, event_of
from proxy.keepalive import Hold
from proxy.refusals import Refusal
from proxy.upstream import Answer, BrokenOffError
from proxy.usage import UsageReader
from shared.answers import refuse, refuse_unread
from shared.asgi import Headers, Receive, Send

_EVENTS: Final = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]


class Relay:
    """The way of one answer to one client. Plain ASGI: a streaming response class would lose the hang-up."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._takes_events = False
        self._hold: Hold | None = None
        self.status: int | None = None
        self.bytes = 0
        self.ended = False
        self.kept_waiting: Callable[[], Headers] = list
        """Says what is added to the head of an answer that begins before the upstream's."""

    @property
    def started(self) -> bool:
        """Has the client seen anything yet?"""
        return self.status is not None

    def wait(self, hold: Hold) -> None:
        """From now on, and until something is answered here, `hold` may answer in our place."""
        self._hold = hold

    async def begin_events(self) -> None:
        """For the hold: the head of a stream whose own has not come yet."""
        self._takes_events = True
        await self._start(200, [*_EVENTS, *self.kept_waiting()])

    async def send_event(self, event: bytes) -> None:
        """For the hold."""
        await self._body(event, last=False)

    async def pass_on(self, answer: Answer, added: Headers, usage: UsageReader) -> None:
        """The whole answer with `added` headers. Raises upstream.BrokenOffError, after which `break_off`."""
        await self._settle()
        if self.started:
            await self._pass_events_on(answer, usage)
            return
        headers = to_client(answer.headers)
        plain = first(headers, b"content-encoding") is None
        self._takes_events = plain and is_event_stream(headers)
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
        await self._settle()
        if self.started:
            await self._body(event_of(answer), last=True)
            return
        kept = [header for header in to_client(answer.headers) if header[0] != b"content-length"]
        length = (b"content-length", b"%d" % len(answer.body))
        await self._start(answer.status, [*kept, length, *added])
        await self._body(answer.body, last=True)

    async def refuse(self, refusal: Refusal, added: Headers, *, unread: Receive | None = None) -> None:
        """An error of ours, in band where a stream has begun; `unread` where more of the body may come."""
        # Shielded: the end of a drain cancels those whom the closing gate has just turned away.
        with trio.CancelScope(shield=True):
            await self._settle()
            if self.started:
                await self.break_off(refusal)
                return
            self.status, self.ended = refusal.status, True
            headers = [*refusal.headers, *added]
            if unread is None:
                await refuse(self._send, refusal.status, refusal.code, refusal.message, headers)
            else:
                await refuse_unread(
                    unread, self._send, refusal.status, refusal.code, refusal.message, headers
                )

    async def break_off(self, refusal: Refusal) -> None:
        """End an answer that has started and cannot be finished."""
        await self._settle()
        if self._takes_events and not self.ended:
            # The blank line first ends an event that may have been under way.
            await self._body(b"\n\n" + error_event(refusal.code, refusal.message), last=True)

    async def _pass_events_on(self, answer: Answer, usage: UsageReader) -> None:
        """The events alone, after a head of ours: plain, because that head has said so."""
        decoder = Decoder(first(answer.headers, b"content-encoding"))
        if not is_event_stream(answer.headers):
            raise BrokenOffError("not a stream", silent=False)
        async for chunk in answer:
            usage.feed(chunk)
            await self._body(decoder.feed(chunk), last=False)
            if decoder.failed:
                raise BrokenOffError("not to be decoded", silent=False)
        await self._body(b"", last=True)

    async def _settle(self) -> None:
        """Nobody else sends from here on."""
        if self._hold is not None:
            hold, self._hold = self._hold, None
            await hold.end()

    async def _start(self, status: int, headers: Headers) -> None:
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _body(self, chunk: bytes, *, last: bool) -> None:
        self.bytes += len(chunk)
        self.ended = last
        await self._send({"type": "http.response.body", "body": chunk, "more_body": not last})
