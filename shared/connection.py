"""What we change in Hypercorn's HTTP/1.1 connection: all of it, in this file, put in place by one assignment.

Written against Hypercorn 0.18. `tests/shared/test_serving.py` plays every point over raw sockets, so that an
upgrade which moves the ground is seen. The points:

1. **No HTTP/2 in clear text.** Hypercorn upgrades `Upgrade: h2c` with a 101 before any app sees the request,
   and takes `PRI * HTTP/2.0` for what it is; both lead around every limit that is written for HTTP/1.1. Its
   only door to HTTP/2 is `ProtocolWrapper`; a `Connection` has an `Http11` in its place. An upgrade is then
   ignored, as RFC 9110, 7.8 allows, and any version but 1.0 and 1.1 gets 505 and is closed.
2. **No WebSocket.** A bad handshake leaves Hypercorn's connection open without any timer, and nothing here
   speaks WebSocket. The request reaches the app as plain HTTP; the guard refuses it.
3. **Errors of framing have a body** of the shape that all our errors have, and the client gets to read it:
   closing with unread bytes in the buffer resets the connection and takes the answer with it.
4. **One write for a short answer**: the head of an answer of known length waits for the first piece of its
   body (as ASGI asks), and an end of body that is no bytes on the wire is no system call.
5. **A hang-up never waits for room.** Hypercorn tells the app through the same bounded queue as the body, so
   an app that answers without reading a long body waits for itself, for ever, and the connection with it.
   Here the end closes the queue; the app hears `http.disconnect` after what was in it, as often as it asks.
   `scope["extensions"][HANG_UP]` tells it at once to whoever listens: waiting for the message takes a task
   per request, a tenth of what a proxied request costs. (Behind a pipelined second request nobody reads, so
   there it is not noticed.)
6. **The deadline of a drain holds** (see `serving`): the live streams are known, so that the one whose client
   has stopped reading can be closed under Hypercorn's shielded write.
7. **What follows a last request is not looked at.** Bytes after a request with `Connection: close` would make
   h11 complain, and Hypercorn answer 400 in the middle of the app's own answer (RFC 9112, 9.6: the server
   must not process them).
8. **One idle timer per connection**, whose deadline moves. Hypercorn starts and ends a task around every
   request, a twentieth of what a proxied request costs.
9. **A fault in one connection is that connection's end**, not the server's: it is logged.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, Final, cast

import h11
import hypercorn.trio.run
import structlog
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, RawData
from hypercorn.protocol.events import Request
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from shared.answers import LINGER_SECONDS, error_body
from shared.asgi import HANG_UP, HangUp, Message

_WHY: Final = {
    431: "The request has more than 32 kB before its body.",
    501: "This transfer coding is not known here.",
    505: "This port speaks HTTP/1.1 only.",
}
_log = structlog.get_logger()

_OTHERWISE: Final = "This is not a well-formed HTTP/1.1 request."


class ServingConfig(Config):
    """Hypercorn's settings, and the streams that are open under them (owner: `Connection.run`)."""

    def __init__(self) -> None:
        self.live: set[trio.SocketStream] = set()


class Requests(h11.Connection):
    """Point 7."""

    def receive_data(self, data: bytes) -> None:
        if self.their_state is not h11.MUST_CLOSE or not data:
            super().receive_data(data)

    def next_event(self) -> Any:
        return h11.NEED_DATA if self.their_state is h11.MUST_CLOSE else super().next_event()


class Http11(H11Protocol):
    """Points 1 to 4."""

    def __init__(self, *args: Any, linger: Callable[[], Awaitable[None]]) -> None:
        super().__init__(*args)
        self.connection = Requests(h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size)
        self._linger = linger
        self._head = b""  # an encoded head that waits for its body; written only by _send_h11_event

    async def _check_protocol(self, event: h11.Request) -> None:
        """Point 1: nothing is upgraded."""

    async def _create_stream(self, request: h11.Request) -> None:
        if request.http_version not in {b"1.1", b"1.0"}:
            await self._send_error_response(505, with_body=request.method != b"HEAD")
            await self.send(Closed())
            return
        self.stream = HTTPStream(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=list(request.headers),
                http_version=request.http_version.decode(),
                method=request.method.decode("ascii").upper(),
                raw_path=request.target,
                state=self.connection_state,
            )
        )
        self.keep_alive_requests += 1

    async def _send_h11_event(self, event: Any) -> None:
        try:
            data = self.connection.send(event)
        except h11.LocalProtocolError:
            # After an error of theirs whatever the app still sends is of no use to anybody.
            if self.connection.their_state != h11.ERROR:
                raise
            return
        if type(event) is h11.Response and _has_length(event.headers):
            self._head = data
            return
        if self._head:
            data, self._head = self._head + data, b""
        if data:
            await self.send(RawData(data=data))

    async def _send_error_response(self, status_code: int, *, with_body: bool = True) -> None:
        """Point 3. Runs in the task that reads the connection, so what follows may read it too."""
        body = error_body("invalid_request", _WHY.get(status_code, _OTHERWISE))
        await self._send_h11_event(
            h11.Response(
                status_code=status_code,
                headers=[
                    (b"content-type", b"application/json"),
                    (b"content-length", b"%d" % len(body)),
                    (b"connection", b"close"),
                    *self.config.response_headers("h11"),
                ],
            )
        )
        if with_body:
            await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())
        await self._close_stream()  # an app that is waiting for the rest of a body hears it now
        await self._linger()


class Tasks(TaskGroup):
    """Point 5."""

    async def spawn_app(self, app: Any, config: Any, scope: Any, send: Any) -> Any:
        async def run(
            scope: Any, receive: Callable[[], Awaitable[Message]], send: Any, *threads: Any
        ) -> None:
            async def hear() -> Message:
                try:
                    return await receive()
                except trio.EndOfChannel:
                    return {"type": "http.disconnect"}

            await app(scope, hear, send, *threads)

        hang_up = scope["extensions"][HANG_UP] = HangUp()
        put = await super().spawn_app(cast(Any, run), config, scope, send)
        inbox: trio.MemorySendChannel[Message] = put.__self__  # type: ignore[attr-defined] # a bound method

        async def post(message: Message) -> None:
            if message["type"] == "http.disconnect":
                inbox.close()
                hang_up.happen()
            else:
                with suppress(trio.ClosedResourceError):
                    await inbox.send(message)

        return post


class IdleTimer:
    """Point 8. Hypercorn's `TrioSingleTask` in its place: `restart` when idle, `stop` when busy."""

    def __init__(self, idle_seconds: float, terminated: Any) -> None:
        self._idle_seconds = idle_seconds
        self._terminated = terminated
        self._scope = trio.CancelScope()

    async def restart(self, _tasks: object, _action: object) -> None:
        self._scope.deadline = trio.current_time() + self._idle_seconds

    async def stop(self) -> None:
        self._scope.deadline = float("inf")

    def cancel(self) -> None:
        """The connection has ended by itself."""
        self._scope.deadline = float("inf")
        self._scope.cancel()

    async def run(self, close: Callable[[], Awaitable[None]]) -> None:
        """Close the connection when it has idled for too long, or idles when the server stops."""
        with self._scope:
            await self._terminated.wait()
        # A busy one is closed by Hypercorn itself at the end of its request: the server has stopped.
        if self._scope.deadline < float("inf"):
            with trio.CancelScope(shield=True):
                await close()


class Connection(TCPServer):
    """One client's connection: Hypercorn's, without TLS, with the parts above in it."""

    config: ServingConfig

    async def run(self) -> None:
        stream = cast(trio.SocketStream, self.stream)  # Hypercorn's annotation knows TLS only
        self.config.live.add(stream)
        try:
            socket = stream.socket
            client = parse_socket_addr(socket.family, socket.getpeername())
            server = parse_socket_addr(socket.family, socket.getsockname())
            async with Tasks() as tasks:
                self._task_group = tasks
                protocol = Http11(
                    self.app,
                    self.config,
                    self.context,
                    tasks,
                    ConnectionState(self.state),
                    False,
                    client,
                    server,
                    self.protocol_send,
                    linger=self.linger,
                )
                self.protocol = cast(
                    Any, protocol
                )  # in the place of a ProtocolWrapper: all it needs is `handle`
                timer = IdleTimer(self.config.keep_alive_timeout, self.context.terminated)
                self.idle_task = cast(Any, timer)
                await timer.restart(tasks, None)
                tasks.spawn(timer.run, self._initiate_server_close)
                await self._read_data()
                timer.cancel()
        except OSError:
            pass  # the client was gone before we asked who it was
        except Exception:
            _log.exception("connection_failed")
        except BaseExceptionGroup as group:
            passing, faults = group.split((trio.Cancelled, KeyboardInterrupt))
            if faults is not None:
                _log.error("connection_failed", exc_info=faults)
            if passing is not None:
                raise passing from None
        finally:
            self.config.live.discard(stream)
            await self._close()

    async def linger(self) -> None:
        """Say that no more is coming, then read and drop what the client still sends, for a moment."""
        with (
            suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError),
            trio.move_on_after(LINGER_SECONDS),
        ):
            await self.stream.send_eof()
            while await self.stream.receive_some(MAX_RECV):
                pass


def install() -> None:
    """Make Hypercorn's server build our connections. Idempotent; the one place where Hypercorn is touched."""
    cast(Any, hypercorn.trio.run).TCPServer = Connection


def _has_length(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name == b"content-length" for name, _ in headers)
