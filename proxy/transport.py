"""An httpx transport over a stack of idle connections.

httpcore's stock pool polls every idle connection on every request: 285 us with one idle, 62 ms with 500, and
with 1,000 streams it collapses (docs/performance.md). A stack looks at the one it takes. Last in, first out
also lets connections that a busy minute opened grow old and be closed, instead of keeping all of them warm.
"""

import ssl
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Final

import httpcore
import httpx
import trio

from proxy.network import Wire, connect

MOST_IDLE: Final = 64
"""Idle connections kept. Beyond that a finished one is closed: 40 requests a minute need a handful."""

IDLE_SECONDS: Final = 55.0
"""Shorter than the usual minute of load balancers: reusing a connection that the other side is about to close
costs a slot, since the request may have been counted."""


class StackTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 to one origin. Owner of its idle connections; one that is in use belongs to its response."""

    def __init__(self, origin: httpx.URL, tls: ssl.SSLContext | None) -> None:
        port = origin.port or (443 if origin.scheme == "https" else 80)
        self._origin = httpcore.Origin(origin.raw_scheme, origin.raw_host, port)
        self._tls = tls
        self._idle: list[_Line] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send on the connection used last, or a new one. Raises httpcore's errors (see `upstream`).

        Two extensions are ours: `target`, the request target byte for byte (httpx's own URL would quote some
        characters anew), and `departure`, whom to tell when the request leaves.
        """
        line = await self._reusable() or await self._connect(request.extensions["timeout"]["connect"])
        line.wire.departure = request.extensions["departure"]
        try:
            response = await self._send(line, request)
        except BaseException:
            # httpcore has closed it, unless it was cancelled before it began.
            if not line.connection.is_closed():
                with trio.CancelScope(shield=True):
                    await line.connection.aclose()
            raise
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Stream(self, line, response),
            extensions=response.extensions,
        )

    async def _send(self, line: "_Line", request: httpx.Request) -> httpcore.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        return await line.connection.handle_async_request(
            httpcore.Request(
                method=request.method.encode("ascii"),
                url=httpcore.URL(
                    scheme=self._origin.scheme,
                    host=self._origin.host,
                    port=self._origin.port,
                    target=request.extensions["target"],
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions={"timeout": request.extensions["timeout"]},
            )
        )

    async def aclose(self) -> None:
        """Close what is idle."""
        idle, self._idle = self._idle, []
        for line in idle:
            await line.connection.aclose()

    async def give_back(self, line: "_Line") -> None:
        """A response has ended: keep the connection if it is good for another one."""
        if not line.connection.is_idle():
            return  # httpcore has closed it
        if len(self._idle) >= MOST_IDLE or line.has_leftovers():
            await line.connection.aclose()
            return
        # A look at the oldest per request, so that none grows stale unseen.
        if self._idle and self._idle[0].connection.has_expired():
            await self._idle.pop(0).connection.aclose()
        self._idle.append(line)

    async def _reusable(self) -> "_Line | None":
        while self._idle:
            line = self._idle.pop()
            if not line.connection.has_expired():
                return line
            await line.connection.aclose()
        return None

    async def _connect(self, seconds: float) -> "_Line":
        host, port = self._origin.host.decode("ascii"), self._origin.port
        wire = await connect(host, port, self._tls, seconds)
        return _Line(httpcore.AsyncHTTP11Connection(self._origin, wire, IDLE_SECONDS), wire)

    def __repr__(self) -> str:
        return f"<StackTransport to {self._origin}: {len(self._idle)} idle>"


@dataclass(frozen=True, slots=True)
class _Line:
    """A connection and the wire under it."""

    connection: httpcore.AsyncHTTP11Connection
    wire: Wire

    def has_leftovers(self) -> bool:
        """Has the upstream sent more than its answer?

        httpcore would keep those bytes in h11's buffer and read them as the answer to the next request: to
        somebody else's. It has no public way to ask, so this looks inside; what cannot be seen counts as yes.
        """
        h11_state = getattr(self.connection, "_h11_state", None)
        return h11_state is None or h11_state.trailing_data != (b"", False)


class _Stream(httpx.AsyncByteStream):
    """A response's bytes; closing it returns the connection."""

    def __init__(self, transport: StackTransport, line: _Line, response: httpcore.Response) -> None:
        self._transport = transport
        self._line = line
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._response.stream, AsyncIterable)
        return aiter(self._response.stream)

    async def aclose(self) -> None:
        await self._response.aclose()
        await self._transport.give_back(self._line)
