"""An httpx transport over a stack of idle connections.

httpcore's stock pool polls every idle connection on every request: 285 us with one idle, 62 ms with 500, and
with 1,000 streams it collapses (docs/performance.md). A stack looks at the one it takes. Last in, first out
also lets connections that a busy minute opened grow old and be closed, instead of keeping all of them warm.
"""

import ssl
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Final

import httpcore
import httpx

MOST_IDLE: Final = 64
"""Idle connections kept. Beyond that a finished one is closed: 40 requests a minute need a handful."""

IDLE_SECONDS: Final = 55.0
"""Shorter than the usual minute of load balancers: reusing a connection that the other side is about to close
costs a slot, since the request may have been counted."""


class StackTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 to one origin. Owner of its idle connections; one that is in use belongs to its response."""

    def __init__(self, origin: httpx.URL, ssl_context: ssl.SSLContext | None) -> None:
        port = origin.port or (443 if origin.scheme == "https" else 80)
        self._origin = httpcore.Origin(origin.raw_scheme, origin.raw_host, port)
        self._ssl_context = ssl_context
        self._backend = httpcore.TrioBackend()
        self._idle: list[httpcore.AsyncHTTPConnection] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send on the connection used last, or a new one. Raises httpcore's errors (see `upstream`).

        Two extensions are ours: `target`, the request target byte for byte (httpx's own URL would quote some
        characters anew), and `on_begin`, called when the first byte may leave.
        """
        connection = await self._reusable()
        on_begin = request.extensions["on_begin"]
        extensions = {"timeout": request.extensions["timeout"]}
        if connection is None:
            connection = self._new()
            extensions["trace"] = _when_headers_are_sent(on_begin)
        else:
            on_begin()
        assert isinstance(request.stream, httpx.AsyncByteStream)
        response = await connection.handle_async_request(
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
                extensions=extensions,
            )
        )
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Stream(self, connection, response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close what is idle."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.aclose()

    async def give_back(self, connection: httpcore.AsyncHTTPConnection) -> None:
        """A response has ended: keep the connection if it is good for another one."""
        if not connection.is_idle():
            return  # httpcore has closed it
        if len(self._idle) >= MOST_IDLE:
            await connection.aclose()
            return
        self._idle.append(connection)
        if self._idle[0].has_expired():  # the oldest: one look per request keeps the stack fresh
            await self._idle.pop(0).aclose()

    async def _reusable(self) -> httpcore.AsyncHTTPConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    def _new(self) -> httpcore.AsyncHTTPConnection:
        return httpcore.AsyncHTTPConnection(
            self._origin,
            ssl_context=self._ssl_context,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=self._backend,
        )

    def __repr__(self) -> str:
        return f"<StackTransport to {self._origin}: {len(self._idle)} idle>"


class _Stream(httpx.AsyncByteStream):
    """A response's bytes; closing it returns the connection."""

    def __init__(
        self,
        transport: StackTransport,
        connection: httpcore.AsyncHTTPConnection,
        response: httpcore.Response,
    ) -> None:
        self._transport = transport
        self._connection = connection
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._response.stream, AsyncIterable)
        return aiter(self._response.stream)

    async def aclose(self) -> None:
        await self._response.aclose()
        await self._transport.give_back(self._connection)


def _when_headers_are_sent(on_begin: Callable[[], None]) -> Callable[[str, object], Awaitable[None]]:
    """A trace that tells a connection attempt, which spends nothing, from a request that has begun."""

    async def trace(event: str, _info: object) -> None:
        if event == "http11.send_request_headers.started":
            on_begin()

    return trace
