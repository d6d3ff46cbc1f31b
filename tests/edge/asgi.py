"""A client of an ASGI app, in memory: it streams, it stalls, and it hangs up at any moment.

It treats the app as the server in front of it does (`shared.connection`): what is sent to a client that has
gone is dropped, and both the hang-up and the end of an answer are told as `http.disconnect`. And it holds the
app to the rules of ASGI and of HTTP framing, at every message.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

import trio

from shared.asgi import App, Headers, Message, Scope

HOST = (b"host", b"localhost:9190")


class Talk:
    """One request under way, its answer as far as it has come, and what its client can still do."""

    def __init__(self, method: str, body: Iterable[bytes], *, more_to_come: bool) -> None:
        self._is_head = method == "HEAD"
        self._unsent = list(body)
        self._more_to_come = more_to_come
        self._news = trio.Event()
        self._listening = trio.Event()
        self._listening.set()
        self.status: int | None = None
        self.headers: Headers = []
        self.chunks: list[bytes] = []
        self.ended = False
        """The answer came to its end."""
        self.over = False
        """The app has returned."""
        self.gone = False
        """The client has hung up."""

    # What the client sees

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def json(self) -> Any:  # a test looks where it likes in it
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The code of an error of ours, whose shape is looked at on the way."""
        return error_code(self.json)

    def header(self, name: bytes) -> bytes | None:
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, f"{name!r} came more than once"
        return values[0] if values else None

    def number(self, name: bytes) -> float:
        value = self.header(name)
        assert value is not None, f"no {name!r}"
        return float(value)

    # What the client does

    async def until(self, seen: Callable[["Talk"], bool]) -> None:
        """Wait for what is visible from here; an app that returned before is an error."""
        while not seen(self):
            assert not self.over, f"over, and it never came: {self}"
            await self._news.wait()

    async def begun(self) -> None:
        await self.until(lambda talk: talk.status is not None)

    async def heard(self) -> None:
        """The answer is whole by its length, though the server may still be listening."""
        await self.until(lambda talk: len(talk.body) == int(talk.header(b"content-length") or -1))

    async def answered(self) -> "Talk":
        """The app has returned, and the answer is whole."""
        while not self.over:
            await self._news.wait()
        assert self.ended, f"not whole: {self}"
        return self

    async def cut(self) -> "Talk":
        """The app has returned without an end: the server closes the connection, for all to see."""
        while not self.over:
            await self._news.wait()
        assert not self.ended, f"whole, and should not be: {self}"
        return self

    def hang_up(self) -> None:
        self.gone = True
        self._tell()

    def stall(self) -> None:
        """Read nothing more."""
        self._listening = trio.Event()

    def go_on(self) -> None:
        self._listening.set()

    # What the server does

    async def run(self, app: App, scope: Scope) -> None:
        try:
            await app(scope, self._receive, self._send)
        finally:
            self.over = True
            self._tell()

    async def _receive(self) -> Message:
        await trio.lowlevel.checkpoint()
        if self._unsent and not self.gone:
            piece = self._unsent.pop(0)
            return {
                "type": "http.request",
                "body": piece,
                "more_body": bool(self._unsent) or self._more_to_come,
            }
        while not (self.gone or self.ended):
            await self._news.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await trio.lowlevel.checkpoint()
        await self._listening.wait()
        if message["type"] == "http.response.start":
            assert self.status is None, "a second head"
            check_headers(message["headers"])
            if not self.gone:
                self.status, self.headers = message["status"], list(message["headers"])
        else:
            assert message["type"] == "http.response.body"
            assert not self.ended, "more after the end"
            if not self.gone:
                self._take(message.get("body", b""), more=message.get("more_body", False))
        self._tell()

    def _take(self, chunk: bytes, *, more: bool) -> None:
        assert self.status is not None, "a body before the head"
        if chunk and not self._is_head:
            self.chunks.append(chunk)
        self.ended = not more
        length = self.header(b"content-length")
        if length is not None and not self._is_head:
            assert len(self.body) <= int(length), "more than was announced"
            assert more or len(self.body) == int(length), "less than was announced"

    def _tell(self) -> None:
        news, self._news = self._news, trio.Event()
        news.set()

    def __repr__(self) -> str:
        return f"<Talk: {self.status} {dict(self.headers)} {self.body[:500]!r}>"


class Client:
    """Begins requests; each is a task of its own."""

    def __init__(self, app: App, nursery: trio.Nursery) -> None:
        self._app = app
        self._nursery = nursery

    def begin(
        self,
        method: str,
        target: bytes,
        *body: bytes,
        headers: Iterable[tuple[bytes, bytes]] = (),
        more_to_come: bool = False,
    ) -> Talk:
        """Send a request and go on; `more_to_come`: the end of its body never arrives."""
        talk = Talk(method, body or [b""], more_to_come=more_to_come)
        self._nursery.start_soon(talk.run, self._app, scope_of(method, target, headers))
        return talk

    async def ask(
        self, method: str, target: bytes, *body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> Talk:
        """Send a request and wait for the end of its answer."""
        return await self.begin(method, target, *body, headers=headers).answered()

    async def get(self, target: bytes) -> Talk:
        return await self.ask("GET", target)


def scope_of(method: str, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Scope:
    path, _, query = target.partition(b"?")
    given = list(headers)
    return {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path.decode("latin-1"),
        "raw_path": path,
        "root_path": "",
        "query_string": query,
        "headers": given if any(name == b"host" for name, _ in given) else [HOST, *given],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 9190),
        "extensions": {},
    }


def check_headers(headers: Headers) -> None:
    for name, value in headers:
        assert name == name.lower(), f"{name!r} is not in lower case"
        assert not {b"\r", b"\n", b"\0"} & {name[i : i + 1] for i in range(len(name))}
        assert not {b"\r", b"\n", b"\0"} & {value[i : i + 1] for i in range(len(value))}


def error_code(answer: Any) -> str:
    """Of `{"error":{"message","type","code","param":null}}`, and nothing else in it."""
    assert set(answer) == {"error"}
    error = answer["error"]
    assert set(error) == {"message", "type", "code", "param"}
    assert error["param"] is None
    assert isinstance(error["message"], str)
    assert error["message"]
    assert isinstance(error["type"], str)
    assert "Traceback" not in error["message"]
    return str(error["code"])
