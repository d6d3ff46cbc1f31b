"""Clients of the sidecar: a good one, and a socket of one's own for those that behave badly."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import trio

from tests.integration.processes import Sidecar, until

MODEL = "meta/llama-3.3-70b-instruct"


def chat(said: str = "Hi", **more: object) -> dict[str, object]:
    """The body of a chat request; `more` are members of it."""
    return {"model": MODEL, "messages": [{"role": "user", "content": said}], **more}


@dataclass(frozen=True, slots=True)
class Client:
    """A client that keeps its connections and asks for nothing unusual."""

    http: httpx.AsyncClient
    sidecar: Sidecar

    async def ask(self, said: str = "Hi", headers: Mapping[str, str] | None = None) -> httpx.Response:
        """One chat request, whole."""
        return await self.http.post(
            f"{self.sidecar.url}/chat/completions", json=chat(said), headers=dict(headers or {})
        )

    async def get(self, path: str) -> httpx.Response:
        """One of the sidecar's own endpoints."""
        return await self.http.get(f"http://127.0.0.1:{self.sidecar.port}{path}")

    async def until_waiting(self, number: int) -> None:
        """Until just so many wait for a slot."""
        await self.until_status("queue", "current_size", number)

    async def until_status(self, part: str, name: str, wanted: float) -> None:
        """Until `/status` says so."""

        async def seen() -> bool:
            return bool((await self.get("/status")).json()[part][name] == wanted)

        look: Callable[[], bool | Awaitable[bool]] = seen
        await until(look)

    async def metrics(self) -> str:
        """Prometheus' page."""
        return (await self.http.get(f"http://127.0.0.1:{self.sidecar.metrics_port}/metrics")).text


@asynccontextmanager
async def open_client(sidecar: Sidecar) -> AsyncIterator[Client]:
    """A `Client` of that sidecar. No timeouts but the test's own."""
    async with httpx.AsyncClient(trust_env=False, timeout=None) as http:  # noqa: S113 - the test has one
        yield Client(http, sidecar)


async def begin(sidecar: Sidecar, content: dict[str, object], *, read_buffer: int = 0) -> trio.SocketStream:
    """Send a chat request on a connection of its own; what becomes of it is the caller's business.

    `read_buffer` limits what the kernel takes in for a client that does not read.
    """
    sock = trio.socket.socket()
    if read_buffer:
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, read_buffer)
    await sock.connect(("127.0.0.1", sidecar.port))
    stream = trio.SocketStream(sock)
    await stream.send_all(request(content, "connection: close"))
    return stream


def request(content: dict[str, object], *headers: str) -> bytes:
    """A chat request as it is on the wire."""
    body = json.dumps(content)
    head = ("host: 127.0.0.1", "content-type: application/json", f"content-length: {len(body)}", *headers)
    return "\r\n".join(["POST /v1/chat/completions HTTP/1.1", *head, "", body]).encode("ascii")


async def rest(stream: trio.SocketStream) -> bytes:
    """All that still comes, until the other side closes; then this side closes, too."""
    async with stream:
        return b"".join([piece async for piece in stream])
