"""One request through an ASGI app in memory, and a real server with raw sockets in front of it."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio

from shared.asgi import App, Message, Scope
from shared.serving import listen, serve

HOST = (b"host", b"localhost:9190")


@dataclass
class Answer:
    """What an app or a server answered."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False
    messages: list[Message] = field(default_factory=list)

    @property
    def code(self) -> str:
        """The code of an error of ours."""
        error = json.loads(self.body)["error"]
        assert set(error) == {"message", "type", "code", "param"}
        assert "Traceback" not in error["message"]
        return str(error["code"])


def http_scope(
    path: bytes = b"/v1/chat/completions",
    *,
    method: str = "GET",
    headers: Iterable[tuple[bytes, bytes]] = (HOST,),
    query: bytes = b"",
    version: str = "1.1",
) -> Scope:
    return {
        "type": "http",
        "http_version": version,
        "method": method,
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": query,
        "headers": list(headers),
        "extensions": {},
    }


async def ask(app: App, scope: Scope, *body: bytes) -> Answer:
    """Call `app` with the pieces of `body`; then it hears that the client has gone."""
    pieces = list(body) or [b""]
    incoming: list[Mapping[str, Any]] = [
        {"type": "http.request", "body": piece, "more_body": i < len(pieces) - 1}
        for i, piece in enumerate(pieces)
    ]
    answer = Answer()

    async def receive() -> Message:
        await trio.lowlevel.checkpoint()
        return dict(incoming.pop(0)) if incoming else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        await trio.lowlevel.checkpoint()
        answer.messages.append(message)
        if message["type"].endswith("response.start"):
            answer.status = message["status"]
            answer.headers = dict(message["headers"])
        else:
            answer.body += message.get("body", b"")
            answer.complete = not message.get("more_body", False)

    await app(scope, receive, send)
    return answer


@asynccontextmanager
async def running(app: App, *, grace_seconds: float = 5, idle_seconds: float = 60) -> AsyncIterator[int]:
    """`app` on a free port of 127.0.0.1; leaving stops it in order, which has to succeed within 10 s."""
    stop = trio.Event()
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            start = partial(
                serve,
                app,
                listen("127.0.0.1", 0),
                shutdown=stop,
                grace_seconds=grace_seconds,
                idle_seconds=idle_seconds,
            )
            _, port = await nursery.start(start)
            yield port
            stop.set()
            nursery.cancel_scope.deadline = trio.current_time() + 10
        assert not nursery.cancel_scope.cancelled_caught


async def connect(port: int) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", port)


async def read_all(stream: trio.SocketStream) -> bytes:
    """Everything until the server closes. Raises BrokenResourceError for a reset, TooSlowError after 10 s."""
    data = b""
    with trio.fail_after(10):
        while piece := await stream.receive_some(65_536):
            data += piece
    return data


async def talk(port: int, request: bytes) -> bytes:
    """Send raw bytes, and return all that comes back until the server closes."""
    async with await connect(port) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, request)
        return await read_all(stream)


def parse(raw: bytes) -> Answer:
    """The first answer in `raw`; `complete` says that its length is what its head promised."""
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip()
    complete = len(body) == int(headers.get(b"content-length", b"-1"))
    return Answer(int(first.split()[1]), headers, body, complete)
