"""The API over real sockets, with real threads under it: what a client in memory cannot show."""

import hashlib
import json
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from scheduler.api.app import build_app
from scheduler.api.identity import Identity
from scheduler.blackboard.board import Board
from scheduler.blackboard.store import Store
from scheduler.core.task import Draft
from scheduler.events import EventFeed
from scheduler.metrics import Metrics
from shared.guard import Guard
from tests.edge.scheduler.office import ADMIN, TASKS, Denials, DeskNotes
from tests.shared.asgi_client import connect, parse, read_all, running, talk

MEGABYTE = 1024 * 1024
BOUNDARY = "one-that-is-nowhere-in-the-file"


class Served:
    def __init__(self, port: int, store: Store, drain_begun: trio.Event) -> None:
        self.port = port
        self.store = store
        self.drain_begun = drain_begun

    def head(self, method: str, path: str, *more: str) -> bytes:
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: localhost:{self.port}",
            f"Authorization: Bearer {ADMIN}",
        ]
        return "\r\n".join([*lines, *more, "", ""]).encode()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with _serving(tmp_path) as served:
        yield served


@asynccontextmanager
async def _serving(directory: Path) -> AsyncIterator[Served]:
    store = Store.open(f"sqlite:///{directory}/board.db", artifacts=directory / "artifacts")
    board = Board(store)
    feed, drain_begun = EventFeed(board), trio.Event()
    app = build_app(
        DeskNotes(board),
        feed=feed,
        identity=Identity(ADMIN, listen_host="127.0.0.1"),
        metrics=Metrics(),
        record=Denials(),
        drain_begun=drain_begun,
        max_attempts=3,
    )
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed.run)
            async with running(Guard(app, allowed_hosts=(), listen_host="127.0.0.1")) as port:
                yield Served(port, store, drain_begun)
            nursery.cancel_scope.cancel()
    finally:
        store.close()


async def test_a_stream_of_events_ends_at_once_when_the_server_drains(served: Served) -> None:
    async with await connect(served.port) as stream:
        await stream.send_all(served.head("GET", "/api/events"))
        data = b""
        with trio.fail_after(10):
            while b"retry: 3000\n\n" not in data:
                data += await stream.receive_some(65_536)
            await trio.to_thread.run_sync(
                lambda: served.store.create(Draft("by another process"), who="operator", now=1_000.0)
            )
            while b"by another process" not in data:
                data += await stream.receive_some(65_536)
        served.drain_begun.set()
        with trio.fail_after(2):
            while not data.endswith(b"0\r\n\r\n"):
                piece = await stream.receive_some(65_536)
                assert piece, "cut, not ended"
                data += piece


async def test_a_download_is_whole_and_the_connection_closes_after_it(served: Served) -> None:
    """Trap 1: a streaming response class leaves it open."""
    content = bytes(range(256)) * 4 * 4096
    task = served.store.create(Draft("x"), who="operator", now=1_000.0)
    with served.store.receiver() as receiver:
        receiver.write(content)
        served.store.hand_in(task.id, receiver.finish(), name="x.bin", final=False, now=1_000.0, author="ann")
    raw = await talk(served.port, served.head("GET", f"{TASKS}/{task.id}/outputs/x.bin", "Connection: close"))
    answer = parse(raw)
    assert (answer.status, answer.complete) == (200, True)
    assert answer.body == content


async def test_a_hundred_megabytes_are_handed_in_within_the_memory_of_a_few(served: Served) -> None:
    task = served.store.create(Draft("x"), who="operator", now=1_000.0)
    start = (
        f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="big.bin"\r\n\r\n'.encode()
    )
    end = f"\r\n--{BOUNDARY}--\r\n".encode()
    piece = bytes(MEGABYTE)
    length = len(start) + 100 * len(piece) + len(end)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with await connect(served.port) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(_send_pieces, stream, served, task.id, length, [start, *[piece] * 100, end])
        with trio.fail_after(60):
            raw = await read_all(stream)
    answer = parse(raw)
    assert answer.status == 200, raw[:500]
    output = json.loads(answer.body)["output"]
    assert output["size_bytes"] == 100 * MEGABYTE
    expected = hashlib.sha256()
    for _ in range(100):
        expected.update(piece)
    assert output["sha256"] == expected.hexdigest()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 50 * 1024, f"{grown} kB"


async def _send_pieces(
    stream: trio.SocketStream, served: Served, task: str, length: int, pieces: list[bytes]
) -> None:
    await stream.send_all(
        served.head(
            "POST",
            f"{TASKS}/{task}/output",
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
            f"Content-Length: {length}",
            "Connection: close",
        )
    )
    for piece in pieces:
        await stream.send_all(piece)


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        ("POST", ["Content-Type: application/json", f"Content-Length: {3 * MEGABYTE}"], 413),
        ("POST", ["Content-Type: text/plain", f"Content-Length: {MEGABYTE}"], 415),
        ("PUT", ["Content-Type: application/json", f"Content-Length: {MEGABYTE}"], 405),
    ],
)
async def test_a_client_that_is_still_sending_gets_to_see_why_it_is_refused(
    served: Served, request_line: str, headers: list[str], status: int
) -> None:
    body = b" " * int(headers[1].rpartition(" ")[2])
    answer = parse(await talk(served.port, served.head(request_line, TASKS, *headers) + body))
    assert (answer.status, answer.complete) == (status, True)


async def test_a_hundred_at_once_are_answered(served: Served) -> None:
    answers: list[int] = []

    async def ask(number: int) -> None:
        body = json.dumps({"title": f"number {number}"}).encode()
        head = served.head(
            "POST",
            TASKS,
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        answers.append(parse(await talk(served.port, head + body)).status)

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(ask, number)
    assert answers == [201] * 100
    assert sum(served.store.counts().values()) == 100
