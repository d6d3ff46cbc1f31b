"""One connection: reads requests, performs plays, and notices at once when the client has gone.

The only file that knows h11, and it works on the bare socket: most faults are things that a server framework
exists to prevent.
"""

import contextlib
import socket
import struct
from collections.abc import Callable
from http import HTTPStatus

import h11
import trio

from proxy.simulator.ledger import Request
from proxy.simulator.plays import End, Play

READ_BYTES = 16 * 1024
MAX_HEAD_BYTES = 256 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024
SLOW_BYTES_PER_SECOND = 4096

_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)
# l_onoff 1, l_linger 0: close() throws the rest away and sends RST.
_LINGER = struct.pack("ii", 1, 0)


class HungUpError(Exception):
    """The client left in the middle of a request."""


class NotHTTPError(Exception):
    """What came is not a request; the status to say so with is the argument."""


class Wire:
    """The connection's state is h11's; ``receive`` and ``perform`` take turns on it."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._bodiless = False  # whether the request at hand is a HEAD

    async def receive(self, is_slow: Callable[[str, bytes], bool]) -> Request | None:
        """The next request, whole; None when there is no more. ``is_slow(path, bytes)`` makes it dawdle."""
        try:
            try:
                head = await self._event()
            except HungUpError:
                return None
            if not isinstance(head, h11.Request):
                return None
            target = head.target.decode("latin-1")
            body = await self._body(target.partition("?")[0], is_slow)
        except h11.RemoteProtocolError as error:
            raise NotHTTPError(error.error_status_hint) from error
        self._bodiless = head.method == b"HEAD"
        headers = tuple((n.decode("latin-1"), v.decode("latin-1")) for n, v in head.headers.raw_items())
        return Request(head.method.decode("latin-1"), target, headers, body)

    async def _body(self, path: str, is_slow: Callable[[str, bytes], bool]) -> bytes:
        body, slow = bytearray(), False
        while True:
            event = await self._event()
            if not isinstance(event, h11.Data):
                return bytes(body)
            body += event.data
            if len(body) > MAX_BODY_BYTES:
                raise NotHTTPError(413)
            # Looks back far enough for a name cut in two, and not at the whole body each time.
            slow = slow or is_slow(path, bytes(body[-len(event.data) - 256 :]))
            if slow:
                # The kernel would swallow a usual body whole, and the client would never feel it.
                self._set(socket.SO_RCVBUF, 4096)
                await trio.sleep(len(event.data) / SLOW_BYTES_PER_SECOND)

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            try:
                if self._http.they_are_waiting_for_100_continue:
                    go_on = self._http.send(
                        h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
                    )
                    await self._stream.send_all(go_on or b"")
                data = await self._stream.receive_some(READ_BYTES)
            except _GONE as error:
                raise HungUpError from error
            if not data:
                raise HungUpError
            self._http.receive_data(data)
        return event

    async def perform(self, play: Play, ending: Callable[[], None] = lambda: None) -> bool:
        """Send the answer as the play has it; False when the client hung up before it had ended.

        ``ending()`` is called just before the last bytes go, not after: a client that has read them may
        already be asking for its next worker, or for the counts.
        """
        finished = False
        if play.is_prompt:
            finished = await self._send(play, ending)
        else:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, nursery.cancel_scope)
                finished = await self._send(play, ending)
                nursery.cancel_scope.cancel()
        if finished and play.end is End.RESET:
            self._set(socket.SO_LINGER, _LINGER)
            self._stream.socket.close()
        elif finished and play.end is End.HALF_CLOSE:
            await self._half_close()
        return finished

    def next_cycle(self) -> bool:
        """Whether another request may come on this connection; then the wire is ready for it."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            return True
        return False

    async def _send(self, play: Play, ending: Callable[[], None]) -> bool:
        try:
            await trio.sleep(play.pause)
            out = self._head(play)
            for number, piece in enumerate(() if self._bodiless else play.pieces):
                if number:
                    await self._stream.send_all(out)
                    await trio.sleep(play.gap)
                    out = b""
                out += piece if play.status is None else self._http.send(h11.Data(data=piece)) or b""
            if play.end is End.DONE:
                out += self._http.send(h11.EndOfMessage()) or b""
            if play.end is End.SILENCE:
                await self._stream.send_all(out)
                await trio.sleep_forever()
            ending()
            await self._stream.send_all(out)
        except _GONE:
            return False
        return True

    def _head(self, play: Play) -> bytes:
        if play.status is None:
            return b""
        reason = HTTPStatus(play.status).phrase.encode()
        return (
            self._http.send(h11.Response(status_code=play.status, headers=list(play.headers), reason=reason))
            or b""
        )

    async def _watch(self, answer: trio.CancelScope) -> None:
        """Cancel the answer when the client hangs up; requests that come early are kept for later."""
        ahead = 0
        while ahead < MAX_HEAD_BYTES:
            try:
                data = await self._stream.receive_some(READ_BYTES)
            except _GONE:
                data = b""
            if not data:
                answer.cancel()
                return
            ahead += len(data)
            self._http.receive_data(data)

    def _set(self, option: int, value: int | bytes) -> None:
        with contextlib.suppress(OSError):  # macOS minds when the client has gone already
            self._stream.setsockopt(socket.SOL_SOCKET, option, value)

    async def _half_close(self) -> None:
        try:
            await self._stream.send_eof()
            while await self._stream.receive_some(READ_BYTES):
                pass
        except _GONE:
            pass
