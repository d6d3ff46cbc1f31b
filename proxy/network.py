"""The socket under one upstream connection, and what it knows that nobody above it can: when bytes leave.

A slot is given back if not one byte of its request left, and its time runs from the moment the last one did.
httpcore writes a request as its head, its body and an end that is no bytes on the wire. The head is held
until the second write, so that both leave in one system call: that call is the request, begun and written.
"""

import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import httpcore


@dataclass(frozen=True, slots=True)
class Departure:
    """Whom to tell about one request."""

    on_begin: Callable[[], None]
    """From now on bytes may have left."""
    on_written: Callable[[], None]
    """The last byte has left."""


class Network(httpcore.AsyncNetworkBackend):
    """Opens one connection. Owner of whose request is being written on it."""

    def __init__(self) -> None:
        self._backend = httpcore.TrioBackend()
        self.departure: Departure | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """As httpcore asks."""
        stream = await self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(self, stream)


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, network: Network, stream: httpcore.AsyncNetworkStream) -> None:
        self._network = network
        self._stream = stream
        self._head = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        departure = self._network.departure
        if departure is None:
            return  # the end of a request that has left
        if not self._head:
            self._head = buffer
            return
        request, self._head = self._head + buffer, b""
        self._network.departure = None
        departure.on_begin()
        await self._stream.write(request, timeout)
        departure.on_written()

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return _Stream(self._network, await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
