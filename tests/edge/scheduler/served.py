"""The board as the scheduler serves it, on a real port, for clients that block."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from queue import SimpleQueue

import trio

from scheduler.api.app import build_app
from scheduler.api.identity import Identity
from scheduler.blackboard.board import Board
from scheduler.blackboard.store import Store
from scheduler.events import EventFeed
from scheduler.metrics import Metrics
from shared.guard import Guard
from shared.serving import listen, serve
from tests.edge.scheduler.office import ADMIN, Denials, DeskNotes

Started = SimpleQueue[tuple[str, trio.lowlevel.TrioToken, trio.Event]]


@contextmanager
def served(database: str, artifacts: Path) -> Iterator[str]:
    """Its address. The admin token is `office.ADMIN`."""
    started: Started = SimpleQueue()
    thread = threading.Thread(target=trio.run, args=(_serve, database, artifacts, started))
    thread.start()
    address, token, shutdown = started.get(timeout=10)
    try:
        yield address
    finally:
        token.run_sync_soon(shutdown.set)
        thread.join(timeout=10)


async def _serve(database: str, artifacts: Path, started: Started) -> None:
    shutdown = trio.Event()
    with closing(Store.open(database, artifacts=artifacts, high_risk=("delete_file",))) as store:
        board = Board(store)
        desk = DeskNotes(board)
        feed = EventFeed(board, on_change=lambda _: None)
        app = build_app(
            desk,
            feed=feed,
            identity=Identity(ADMIN, listen_host="127.0.0.1"),
            metrics=Metrics(),
            record=Denials(),
            drain_begun=shutdown,
            max_attempts=3,
        )
        guarded = Guard(app, allowed_hosts=(), listen_host="127.0.0.1")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed.run)
            async with trio.open_nursery() as serving:
                host, port = await serving.start(_start, guarded, shutdown)
                started.put((f"http://{host}:{port}", trio.lowlevel.current_trio_token(), shutdown))
            nursery.cancel_scope.cancel()


async def _start(app: Guard, shutdown: trio.Event, *, task_status: trio.TaskStatus[tuple[str, int]]) -> None:
    await serve(app, listen("127.0.0.1", 0), shutdown=shutdown, grace_seconds=1, task_status=task_status)
