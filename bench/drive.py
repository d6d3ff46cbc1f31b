"""A load driver that costs little: raw sockets on uvloop, in a process of its own so that it can be pinned.

    python -m bench.drive closed URL --connections 32 --seconds 4    as fast as the answers come
    python -m bench.drive fixed URL --rate 50 --seconds 4            at a fixed rate, whatever the answers do
    python -m bench.drive stream URL --streams 100 --ramp 5          event streams, opened over `ramp` seconds

Prints one JSON object. It understands just the answers of `stub.c` and of servers that pass them on.
"""
# ruff: noqa: TID251 - the ban on asyncio is for the product; uvloop is the fastest driver Python has

import argparse
import asyncio
import itertools
import json
import re
import statistics
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import uvloop

SENT_AT: Final = re.compile(rb'"content":"t(\d+) "')
WARM_UP: Final = 20
PATIENCE_SECONDS: Final = 120.0

C = TypeVar("C", bound=asyncio.Protocol)


def request(netloc: str, *, stream: bool) -> bytes:
    """A chat request of ordinary shape, about 800 bytes."""
    content = {
        "model": "stub",
        "stream": stream,
        "messages": [
            {"role": "system", "content": "You are helpful."},
            {"role": "user", "content": "lorem ipsum " * 50},
        ],
        "temperature": 0.2,
    }
    body = json.dumps(content).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {netloc}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer of-the-client\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Whole(asyncio.Protocol):
    """A connection that asks for answers in one piece, one after the other. Times in nanoseconds."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._answered: asyncio.Future[bool] | None = None
        self._buffer = b""
        self._total = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    async def ask(self, content: bytes) -> tuple[bool, int]:
        """Whether a 200 came whole, and how long it took."""
        if self._transport.is_closing():
            return False, 0
        self._answered = asyncio.get_running_loop().create_future()
        self._buffer, self._total = b"", 0
        begun = time.perf_counter_ns()
        self._transport.write(content)
        return await self._answered, time.perf_counter_ns() - begun

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._total:
            head = self._buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            named = re.search(rb"content-length: *(\d+)", self._buffer[:head], re.IGNORECASE)
            self._total = head + 4 + int(named[1] if named else 0)
        if len(self._buffer) >= self._total:
            self._end(self._buffer.startswith(b"HTTP/1.1 200"))

    def connection_lost(self, _error: Exception | None) -> None:
        self._end(False)

    def _end(self, ok: bool) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(ok)


class Streamed(asyncio.Protocol):
    """A connection that asks for one stream. Times in nanoseconds."""

    def __init__(self) -> None:
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: Any = None
        self._begun = 0
        self._rest = b""
        self.whole = False
        self.to_first: int | None = None
        self.delays: list[int] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    async def ask(self, content: bytes) -> None:
        self._begun = time.perf_counter_ns()
        self._transport.write(content)
        await self._ended
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter_ns()
        text, end = self._rest + data, 0
        for match in SENT_AT.finditer(text):
            # The stub's clock and ours are one: CLOCK_MONOTONIC of this machine.
            self.delays.append(now - int(match[1]))
            end = match.end()
            if self.to_first is None:
                self.to_first = now - self._begun
        self._rest = text[max(end, len(text) - 200) :]
        if b"[DONE]" in self._rest and self._rest.endswith(b"0\r\n\r\n"):
            self.whole = True
            self._end()

    def connection_lost(self, _error: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)


class Driver:
    """One run against one server."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._netloc = parts.hostname or "", parts.port or 80, parts.netloc

    async def closed(self, connections: int, seconds: float) -> dict[str, object]:
        """Every connection asks again as soon as it is answered."""
        content = request(self._netloc, stream=False)
        took: list[int] = []
        failed = 0
        end = time.perf_counter() + seconds

        async def client() -> None:
            nonlocal failed
            connection = await self._connect(Whole)
            while time.perf_counter() < end:
                ok, nanoseconds = await connection.ask(content)
                if not ok:
                    failed += 1
                    connection = await self._connect(Whole)
                took.append(nanoseconds)

        await asyncio.gather(*(client() for _ in range(connections)))
        return {"requests": len(took), "seconds": seconds, "failed": failed, **_quantiles(took)}

    async def fixed(self, rate: float, seconds: float) -> dict[str, object]:
        """A request every 1/rate seconds, on an idle connection or a new one."""
        content = request(self._netloc, stream=False)
        idle: list[Whole] = []
        took: list[int] = []
        failed = 0

        async def once(*, counted: bool) -> None:
            nonlocal failed
            connection = idle.pop() if idle else await self._connect(Whole)
            ok, nanoseconds = await connection.ask(content)
            if ok:
                idle.append(connection)
            if counted:
                took.append(nanoseconds)
                failed += not ok

        for _ in range(WARM_UP):
            await once(counted=False)
        begun = time.perf_counter()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds + PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
                for n in itertools.count():
                    due = begun + n / rate
                    if due > begun + seconds:
                        break
                    await asyncio.sleep(max(0.0, due - time.perf_counter()))
                    tasks.create_task(once(counted=True))
        return {"requests": len(took), "failed": failed, **_quantiles(took)}

    async def stream(self, streams: int, ramp: float) -> dict[str, object]:
        """As many streams as asked for, each to its end."""
        content = request(self._netloc, stream=True)
        ended: list[Streamed] = []

        async def once(n: int) -> None:
            await asyncio.sleep(ramp * n / streams)
            connection = await self._connect(Streamed)
            ended.append(connection)
            await connection.ask(content)

        with suppress(TimeoutError):  # what did not arrive by then is missing in the counts, and told so
            async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
                for n in range(streams):
                    tasks.create_task(once(n))
        firsts = [one.to_first for one in ended if one.to_first is not None]
        return {
            "streams": streams,
            "whole": sum(one.whole for one in ended),
            "first_chunk": _quantiles(firsts),
            "chunk_delay": _quantiles([delay for one in ended for delay in one.delays]),
        }

    async def _connect(self, kind: type[C]) -> C:
        _, connection = await asyncio.get_running_loop().create_connection(kind, self._host, self._port)
        return connection


def _quantiles(nanoseconds: Sequence[int]) -> dict[str, float]:
    """In milliseconds."""
    if len(nanoseconds) < 2:
        return {"p50_ms": float("nan"), "p99_ms": float("nan")}
    cuts = statistics.quantiles(nanoseconds, n=100)
    return {"p50_ms": round(cuts[49] / 1e6, 3), "p99_ms": round(cuts[98] / 1e6, 3)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=["closed", "fixed", "stream"])
    parser.add_argument("url")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--ramp", type=float, default=5)
    options = parser.parse_args()
    driver = Driver(options.url)
    run: Callable[[], Coroutine[None, None, dict[str, object]]] = {
        "closed": lambda: driver.closed(options.connections, options.seconds),
        "fixed": lambda: driver.fixed(options.rate, options.seconds),
        "stream": lambda: driver.stream(options.streams, options.ramp),
    }[options.mode]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(run())))


if __name__ == "__main__":
    main()
