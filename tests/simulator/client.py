"""A client for these tests: one connection, every byte in sight, and free to hang up anywhere."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import h11
import trio

from proxy.simulator import Simulator

CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes

    @property
    def json(self) -> Any:  # a test looks where it likes in it
        return json.loads(self.body)

    @property
    def events(self) -> list[str]:
        return [event.removeprefix("data: ") for event in self.body.decode().split("\n\n") if event]

    def header(self, name: bytes) -> bytes | None:
        return dict(self.headers).get(name)


def chat(model: str = "meta/llama", said: str = "hello", **more: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": said}], **more}


class Client:
    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._http = h11.Connection(h11.CLIENT)

    async def send(
        self,
        body: object = None,
        *,
        path: str = CHAT,
        method: str = "POST",
        key: str | None = "k",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        head = {"Host": "sim", "Content-Length": str(len(raw)), **(headers or {})}
        if key is not None:
            head["Authorization"] = f"Bearer {key}"
        out = self._http.send(h11.Request(method=method, target=path, headers=list(head.items())))
        out = (out or b"") + (self._http.send(h11.Data(data=raw)) or b"")
        await self.stream.send_all(out + (self._http.send(h11.EndOfMessage()) or b""))

    async def event(self) -> h11.Event:
        """The next thing that the simulator says; h11 and Trio raise when it is a fault."""
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self.stream.receive_some(65_536))
        assert not isinstance(event, type), f"nothing more to come: {event}"
        return event

    async def answer(self) -> Answer:
        head = await self.event()
        assert isinstance(head, h11.Response)
        body = b""
        while isinstance(event := await self.event(), h11.Data):
            body += event.data
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        return Answer(head.status_code, list(head.headers), body)

    async def ask(
        self,
        body: object = None,
        *,
        path: str = CHAT,
        method: str = "POST",
        key: str | None = "k",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        await self.send(body, path=path, method=method, key=key, headers=headers)
        return await self.answer()


@asynccontextmanager
async def connected(simulator: Simulator) -> AsyncIterator[Client]:
    stream = await trio.open_tcp_stream(simulator.host, simulator.port)
    try:
        yield Client(stream)
    finally:
        await trio.aclose_forcefully(stream)
