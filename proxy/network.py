"""The socket under one upstream connection, and what it knows that nobody above it can: when bytes leave.

A slot is given back if not one byte of its request left, and its time runs from the moment the last one did.
httpcore writes a request as its head, its body and an end that is no bytes on the wire. The head is held
until the second write, so that both leave in one system call: that call is the request, begun and written.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpcore
import trio


@dataclass(frozen=True, slots=True)
class Departure:
    """Whom to tell about one request."""

    on_begin: Callable[[], None]
    """From now on bytes may have left."""
    on_written: Callable[[], None]
    """The last byte has left."""


async def connect(host: str, port: int, tls: ssl.SSLContext | None, seconds: float) -> "Wire":
    """Connected within `seconds`, handshake included. Raises httpcore.ConnectError, ConnectTimeout."""
    try:
        with trio.fail_after(seconds):
            socket = await trio.open_tcp_stream(host, port)
            if tls is None:
                return Wire(socket, socket)
            secured = trio.SSLStream(socket, tls, server_hostname=host, https_compatible=True)
            try:
                await secured.do_handshake()
            except BaseException:
                await trio.aclose_forcefully(secured)
                raise
            return Wire(secured, socket)
    except trio.TooSlowError as error:
        raise httpcore.ConnectTimeout from error
    except (OSError, trio.BrokenResourceError) as error:
        raise httpcore.ConnectError from error


class Wire(httpcore.AsyncNetworkStream):
    """A connected stream, plain or TLS. Owner of whose request is being written on it.

    httpcore's own does the same with context managers around each call, a twentieth of a request's cost.
    """

    def __init__(self, stream: trio.abc.Stream, socket: trio.SocketStream) -> None:
        self._stream = stream
        self._socket = socket
        self._head = b""
        self.departure: Departure | None = None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Whatever comes next; nothing at the end. Raises httpcore.ReadError, ReadTimeout."""
        with trio.CancelScope(deadline=_deadline(timeout)):
            try:
                return bytes(await self._stream.receive_some(max_bytes))
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise httpcore.ReadError from error
        raise httpcore.ReadTimeout

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """The first of a request is kept, the second sends both, a third has nothing to send.

        Raises httpcore.WriteError, WriteTimeout.
        """
        departure = self.departure
        if departure is None:
            return
        if not self._head:
            self._head = buffer
            return
        request, self._head, self.departure = self._head + buffer, b"", None
        departure.on_begin()
        with trio.CancelScope(deadline=_deadline(timeout)):
            try:
                await self._stream.send_all(request)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise httpcore.WriteError from error
            departure.on_written()
            return
        raise httpcore.WriteTimeout

    async def aclose(self) -> None:
        """Forget the connection; TLS says goodbye if that can be done at once."""
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        """Only what httpcore asks before it uses a connection again: has the other side closed it?"""
        return self._socket.socket.is_readable() if info == "is_readable" else None


def _deadline(seconds: float | None) -> float:
    return float("inf") if seconds is None else trio.current_time() + seconds
