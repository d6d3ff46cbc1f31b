"""The upstream: one attempt of one request, and what came of it.

An attempt ends as an `Answer` (its first bytes are there, the rest follows) or as a `Failure`; both are
values. The HTTP client is known here, in ``transport`` and in ``network``; its exceptions stop here.

The address is built from the configured base and a path that was matched exactly: a target that names another
host, or climbs, must not carry our key there. Redirects are not followed, proxies in the environment are not
used, cookies are not kept, and nothing is added to the headers.
"""

import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import httpcore
import httpx
import trio

from proxy.core.classify import Meaning
from proxy.network import Departure
from proxy.transport import StackTransport
from shared.asgi import Headers

CONNECT_SECONDS: Final = 10.0
WRITE_SECONDS: Final = 60.0
"""Longest stall in sending a request: prompts of megabytes over a thin line take long, but keep moving."""

CHECK_SECONDS: Final = 5.0
CHECK_REUSE_SECONDS: Final = 10.0
"""An answer of any kind within the last ten seconds says that the upstream can be reached."""

LONGEST_ERROR_BODY: Final = 1 << 20
"""Bytes of an error's body that are kept while another attempt is made."""

CLOSE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request as it is sent."""

    method: str
    path: bytes
    """Below `/v1`, with its leading slash and its raw query."""
    headers: Headers
    content: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer: what happened, by its meaning, and in words for the log."""

    meaning: Meaning
    detail: str


class BrokenOffError(Exception):
    """The answer ended before its end. `silent`: nothing came for too long; else the connection broke."""

    def __init__(self, detail: str, *, silent: bool) -> None:
        super().__init__(detail)
        self.silent = silent


class Answer:
    """An upstream answer whose head and first bytes have arrived. Iterating yields the body as it arrives.

    Close it, whatever happens.
    """

    def __init__(self, response: httpx.Response, silence_seconds: float) -> None:
        self._silence_seconds = silence_seconds
        self.status = response.status_code
        self.headers: Headers = [(name.lower(), value) for name, value in response.headers.raw]
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self._stream = response.stream
        self._rest = aiter(self._stream)
        self._first = b""
        self._ended = False

    async def begin(self) -> None:
        """Wait for the first bytes of the body, or its end. Raises the HTTP client's errors."""
        self._first = await anext(self._rest, b"")

    async def peek(self, enough: Callable[[bytes], bool]) -> None:
        """Wait until so much of the body has come that `enough` is content, or all of it.

        `enough` is shown each piece once; nothing is lost of them. Raises BrokenOffError.
        """
        seen = self._first
        while not (self._ended or enough(seen)):
            try:
                seen = await self._next()
            except StopAsyncIteration:
                return
            self._first += seen

    def __aiter__(self) -> "Answer":
        return self

    async def __anext__(self) -> bytes:
        """The next bytes as they came. Raises BrokenOffError."""
        if self._first:
            first, self._first = self._first, b""
            return first
        if self._ended:
            raise StopAsyncIteration
        return await self._next()

    async def _next(self) -> bytes:
        try:
            with trio.CancelScope(deadline=trio.current_time() + self._silence_seconds):
                return await anext(self._rest)
        except StopAsyncIteration:
            self._ended = True
            raise
        except _FAILURES as error:
            raise BrokenOffError(_detail(error), silent=isinstance(error, _SILENCE)) from error
        raise BrokenOffError("silence", silent=True)

    async def read(self, most: int = LONGEST_ERROR_BODY) -> bytes:
        """The body, at most about `most` bytes of it. Raises BrokenOffError."""
        body = bytearray()
        async for chunk in self:
            body += chunk
            if len(body) > most:
                break
        return bytes(body)

    async def aclose(self) -> None:
        """Return the connection, or close it where the answer has not ended."""
        if not self._ended:
            # A suspended generator of the HTTP client can only be ended by an exception at its next wait.
            with trio.CancelScope() as unwinding, suppress(*_FAILURES):
                unwinding.cancel()
                while await anext(self._rest, None) is not None:
                    pass
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS):
            await self._stream.aclose()


class Upstream:
    """One OpenAI-compatible API. Owner of its connections and of what is known about its reachability."""

    def __init__(
        self,
        base_url: str,
        *,
        first_byte_seconds: float,
        silence_seconds: float,
    ) -> None:
        """`base_url` ends in `/v1`. Silence is bounded before the first byte and between two bytes."""
        self._base = httpx.URL(base_url)
        self._first_byte_seconds = first_byte_seconds
        self._silence_seconds = silence_seconds
        tls = self._base.scheme == "https"
        self._transport = StackTransport(self._base, _tls() if tls else None)
        self.host = self._base.netloc
        self._checking = trio.Lock()
        self._seen_at = float("-inf")
        self.is_up = True

    async def send(self, outgoing: Outgoing, on_written: Callable[[], None]) -> Answer | Failure:
        """One attempt. `on_written` is called at the moment from which it may count at the upstream."""
        begun = False

        def on_begin() -> None:
            nonlocal begun
            begun = True

        request = httpx.Request(
            outgoing.method,
            self._base,
            headers=outgoing.headers,
            stream=_Content(outgoing.content),
            extensions={
                "timeout": {
                    "connect": CONNECT_SECONDS,
                    "write": WRITE_SECONDS,
                    "read": self._first_byte_seconds,  # for the head, and again for the first of the body
                },
                "target": self._base.raw_path + outgoing.path,
                "departure": Departure(on_begin, on_written),
            },
        )
        answer = None
        try:
            response = await self._transport.handle_async_request(request)
            on_written()  # an answer that came before the whole request was read counts, too
            self._note(up=True)
            answer = Answer(response, self._silence_seconds)
            await answer.begin()
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            self._note(up=False)
            return Failure(Meaning.UNREACHABLE, _detail(error))
        except _FAILURES as error:
            self._note(up=False)
            on_written()  # some of it may have left
            if answer is not None:
                await answer.aclose()
            return Failure(_meaning(error, head_came=answer is not None), _detail(error))
        except BaseException:
            if begun:
                on_written()
            if answer is not None:
                await answer.aclose()
            raise
        self._note(up=True)
        return answer

    async def check(self, *, probe: Outgoing) -> bool:
        """Can the upstream be reached? Any answer within the last seconds will do; else `probe` asks."""
        async with self._checking:
            if trio.current_time() - self._seen_at > CHECK_REUSE_SECONDS:
                asked_at = trio.current_time()
                with trio.move_on_after(CHECK_SECONDS):
                    answer = await self.send(probe, lambda: None)
                    if isinstance(answer, Answer):
                        await answer.aclose()
                if self._seen_at < asked_at:
                    self._note(up=False)
            return self.is_up

    async def aclose(self) -> None:
        """Close the idle connections."""
        await self._transport.aclose()

    def _note(self, *, up: bool) -> None:
        self._seen_at = trio.current_time()
        self.is_up = up

    def __repr__(self) -> str:
        return f"<Upstream {self.host.decode('ascii', 'replace')}, {'up' if self.is_up else 'down'}>"


class _Content(httpx.AsyncByteStream):
    """A request's body in one piece. No generator, because one that is left half-way has to be ended."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __aiter__(self) -> "_Content":
        return self

    async def __anext__(self) -> bytes:
        if not self._content:
            raise StopAsyncIteration
        content, self._content = self._content, b""
        return content


_SILENCE: Final = (httpcore.ReadTimeout, httpcore.WriteTimeout)
_FAILURES: Final = (
    *_SILENCE,
    httpcore.NetworkError,
    httpcore.ProtocolError,
)


def _meaning(error: Exception, *, head_came: bool) -> Meaning:
    if isinstance(error, _SILENCE):
        return Meaning.SILENT
    # httpcore reports a connection that was closed before the answer in the same class as an answer that is
    # no HTTP; only the latter has h11's complaint behind it. After a proper head it means an early end.
    complaint = isinstance(error, httpcore.ProtocolError) and error.__cause__ is not None
    return Meaning.GARBAGE if complaint and not head_came else Meaning.RESET


def _detail(error: Exception) -> str:
    """In words for the log. Never the exception's text of what was received: it may echo a key."""
    return type(error).__name__


def _tls() -> ssl.SSLContext:
    """The system's certificates, HTTP/1.1. Made once: it takes some 50 ms."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
