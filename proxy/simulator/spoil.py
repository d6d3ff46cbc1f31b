"""Each fault as a change to an honest answer: one table, one row per kind. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import chain, islice, repeat

import msgspec

from proxy.simulator import answers
from proxy.simulator.faults import Fault, Kind
from proxy.simulator.plays import JSON, End, Play, gzipped, whole


@dataclass(frozen=True, slots=True)
class Scene:
    """The honest answer, and what a fault may want to know about the request."""

    play: Play
    fault: Fault
    model: str
    key: str
    ticket: str
    """The id under which an answer that comes later can be asked for."""

    @property
    def is_stream(self) -> bool:
        return not isinstance(self.play.pieces, tuple)

    def beginning(self) -> Iterable[bytes]:
        """The first three events of a stream, the first half of a body."""
        return (
            islice(self.play.pieces, 3)
            if self.is_stream
            else tuple(p[: len(p) // 2] for p in self.play.pieces)
        )


def spoil(scene: Scene) -> Play:
    return SPOILERS[scene.fault.kind](scene)


def _instead(
    status: int, body: bytes, headers: tuple[tuple[str, str], ...] = JSON
) -> Callable[[Scene], Play]:
    return lambda _: whole(status, body, headers)


def _nothing(end: End) -> Callable[[Scene], Play]:
    return lambda _: Play(end=end)


def _cut(end: End) -> Callable[[Scene], Play]:
    return lambda scene: replace(scene.play, pieces=scene.beginning(), end=end)


def _retry_after(scene: Scene) -> Play:
    return whole(429, answers.TOO_MANY, (*JSON, ("Retry-After", scene.fault.value or "5")))


def _workers_in_stream(scene: Scene) -> Play:
    if not scene.is_stream:
        return whole(503, answers.workers_full(16))
    frame = b"data: " + answers.workers_full(16) + b"\n\n"
    return replace(scene.play, pieces=chain(scene.beginning(), [frame]))


def _workers_as_stream(scene: Scene) -> Play:
    if not scene.is_stream:
        return whole(503, answers.workers_full(16))
    return replace(scene.play, pieces=(b"data: " + answers.workers_full(16) + b"\n\n", answers.DONE))


def _short_body(scene: Scene) -> Play:
    body = b"".join(scene.play.pieces)
    headers = (*JSON, ("Content-Length", str(len(body) + 64)))
    return replace(scene.play, headers=headers, pieces=(body,), end=End.CLOSE)


def _endless_line(scene: Scene) -> Play:
    headers = (("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked"))
    return Play(200, headers, chain([b"data: "], repeat(b"x" * 16_384)), pause=scene.play.pause)


def _gzip(scene: Scene) -> Play:
    play, encoding = scene.play, ("Content-Encoding", "gzip")
    if scene.is_stream:
        return replace(play, headers=(*play.headers, encoding), pieces=gzipped(play.pieces))
    return whole(200, b"".join(gzipped(play.pieces)), (*JSON, encoding), pause=play.pause)


def _headers(scene: Scene) -> Play:
    """What must not reach a client: a cookie, hop-by-hop headers, one only by ``Connection``'s word."""
    private = (
        ("Set-Cookie", "session=simulated; Path=/"),
        ("Connection", "x-secret"),
        ("X-Secret", "for the next hop only"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic"),
        ("X-Kept", "this one passes"),
    )
    return replace(scene.play, headers=(*scene.play.headers, *private))


def _later(scene: Scene) -> Play:
    return whole(202, b"", (*JSON, ("NVCF-REQID", scene.ticket), ("NVCF-STATUS", "pending-evaluation")))


def _echo_key(scene: Scene) -> Play:
    return whole(500, msgspec.json.encode({"status": 500, "detail": f"no worker takes the key {scene.key}"}))


# A lone CR and a NUL inside a value, which h11 would refuse to write.
_BAD_HEADER = b"HTTP/1.1 200 OK\r\nX-Bad: one\rSet-Cookie: a=b\0\r\nContent-Length: 2\r\n\r\n{}"
# Nothing in it is a line of HTTP, and it is long enough for nobody to wait for more.
_GARBAGE = b"\x00\x01\x02 this is not HTTP \xff\xfe\r\n\r\n" * 4

SPOILERS: dict[Kind, Callable[[Scene], Play]] = {
    Kind.TOO_MANY: _instead(429, answers.TOO_MANY),
    Kind.RETRY_AFTER: _retry_after,
    Kind.WORKERS: _instead(503, answers.workers_full(16)),
    Kind.WORKERS_IN_STREAM: _workers_in_stream,
    Kind.WORKERS_AS_STREAM: _workers_as_stream,
    Kind.ERROR_500: _instead(500, answers.INFERENCE_ERROR),
    Kind.ERROR_502: _instead(502, answers.BAD_GATEWAY, (("Content-Type", "text/html"),)),
    Kind.ERROR_504: _instead(504, b"", ()),
    Kind.UNAUTHORIZED: _instead(401, answers.UNAUTHORIZED),
    Kind.NO_CREDITS: _instead(402, answers.NO_CREDITS),
    Kind.NO_FUNCTION: _instead(404, answers.NO_FUNCTION),
    Kind.END_OF_LIFE: lambda scene: whole(410, answers.end_of_life(scene.model)),
    Kind.DEGRADED: _instead(400, answers.DEGRADED),
    Kind.RESET: _nothing(End.RESET),
    Kind.RESET_IN_STREAM: _cut(End.RESET),
    Kind.SILENCE: _nothing(End.SILENCE),
    Kind.SILENCE_IN_STREAM: _cut(End.SILENCE),
    Kind.HALF_CLOSE: _nothing(End.HALF_CLOSE),
    Kind.HALF_CLOSE_IN_STREAM: _cut(End.HALF_CLOSE),
    Kind.SHORT_BODY: _short_body,
    Kind.GARBAGE: lambda _: Play(pieces=(_GARBAGE,), end=End.CLOSE),
    Kind.BAD_HEADER: lambda _: Play(pieces=(_BAD_HEADER,), end=End.CLOSE),
    Kind.ENDLESS_LINE: _endless_line,
    # Relative, so that a client that follows it shows up in /_sim/requests.
    Kind.REDIRECT: _instead(302, b"", (("Location", "/v1/redirected"),)),
    Kind.LATER: _later,
    Kind.GZIP: _gzip,
    Kind.HEADERS: _headers,
    Kind.ECHO_KEY: _echo_key,
    Kind.SLOW_READ: lambda scene: scene.play,  # it has happened while the body was read
}
