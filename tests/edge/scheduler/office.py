"""The API with a real board behind it and a daemon that only notes what it is asked, behind its guard."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import unquote

import trio

from scheduler.api.app import build_app
from scheduler.api.identity import Identity
from scheduler.blackboard.board import Board
from scheduler.blackboard.store import Store
from scheduler.events import EventFeed
from scheduler.metrics import Metrics
from shared.asgi import Receive, Scope, Send
from shared.errors import StartError
from shared.guard import Guard
from tests.edge.asgi import Client, Talk
from tests.fresh_board import fresh_board

ADMIN = "the-admin-token-of-this-board"
TASKS = "/api/blackboard/tasks"
JSON = (b"content-type", b"application/json")
Body = Any  # whatever a test wants to send

_P = ParamSpec("_P")
_T = TypeVar("_T")


class InlineBoard(Board):
    """The store without threads, so that a test's clock does not run ahead of them (trap 9)."""

    async def read(
        self, question: Callable[Concatenate[Store, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        await trio.lowlevel.checkpoint()
        return question(self.store, *args, **kwargs)

    async def write(
        self, verb: Callable[Concatenate[Store, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        await trio.lowlevel.checkpoint()
        return verb(self.store, *args, **kwargs)


class DeskNotes:
    """A daemon that does nothing and says so."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.changes = 0
        self.ticks = 0
        self.ticking = True
        self.roster_problems: tuple[str, ...] = ()
        self.components: dict[str, object] = {
            "audit_logger": {"status": "healthy"},
            "sidecar": {"status": "off"},
            "openclaw": {"status": "healthy"},
            "sources": {},
            "alerts": {"status": "off"},
        }

    def health(self) -> Mapping[str, object]:
        return self.components

    def status(self) -> Mapping[str, object]:
        return {
            "ticker_running": self.ticking,
            "last_tick": None,
            "next_tick": "2026-03-01T09:30:00.000Z",
            "tick_interval_seconds": 60.0,
            "last_tick_seconds": None,
            "last_tick_report": None,
            "active_sessions": 0,
            "capacity": {"known": False},
            "calls_avoided": self.ticks,
            "heartbeats_avoided": 0,
            "heartbeats": {},
        }

    async def tick(self) -> Mapping[str, object]:
        self.ticks += 1
        return {"started": 0}

    def stop_ticking(self) -> None:
        self.ticking = False

    def start_ticking(self) -> None:
        self.ticking = True

    async def reload(self) -> Mapping[str, int | str | list[str]]:
        if self.roster_problems:
            raise StartError(*self.roster_problems, exit_code=2)
        return {"agents": 2, "ids": ["coo", "ops"], "file": "/etc/clawpace/agents.yaml"}

    def board_changed(self) -> None:
        self.changes += 1


class Denials(list[tuple[str, str, str]]):
    """What the audit log was told of denied writes: who, what about, why not. And of changes beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[tuple[str, str, Mapping[str, object]]] = []

    def __call__(
        self,
        action: str,
        *,
        at: float,
        actor: str,
        subject: str,
        outcome: str = "ok",
        details: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        assert at > 0
        if action == "write_denied":
            self.append((actor, subject, outcome))
        else:
            assert (action, outcome) == ("config_changed", "ok")
            self.changes.append((actor, subject, details))


class Office:
    """One API and everything around it."""

    def __init__(self, directory: Path, nursery: trio.Nursery, *, listen_host: str = "127.0.0.1") -> None:
        self.artifacts = directory / "artifacts"
        self.store = Store.open(fresh_board(directory / "board.db"), artifacts=self.artifacts)
        self.board = InlineBoard(self.store)
        self.desk = DeskNotes(self.board)
        self.seen_changes: list[str] = []
        self.feed = EventFeed(
            self.board,
            on_change=lambda events: self.seen_changes.extend(event.what for event in events),
            backlog=5,
            most_listeners=3,
        )
        self.metrics = Metrics()
        self.denials = Denials()
        self.drain_begun = trio.Event()
        app = build_app(
            self.desk,
            feed=self.feed,
            identity=Identity(ADMIN, listen_host=listen_host),
            metrics=self.metrics,
            record=self.denials,
            drain_begun=self.drain_begun,
            max_attempts=2,
        )
        guarded = Guard(app, allowed_hosts=(), listen_host=listen_host)

        async def as_a_server(scope: Scope, receive: Receive, send: Send) -> None:
            scope["path"] = unquote(scope["raw_path"].decode("ascii"))
            await guarded(scope, receive, send)

        self.client = Client(as_a_server, nursery)

    def begin(
        self,
        method: str,
        path: str,
        body: Body = None,
        *,
        token: str | None = ADMIN,
        headers: list[tuple[bytes, bytes]] | None = None,
        pieces: tuple[bytes, ...] | None = None,
        more_to_come: bool = False,
    ) -> Talk:
        """A request that goes on by itself. `pieces` is a body as it is, `body` one of JSON."""
        given = [] if headers is None else list(headers)
        if token is not None:
            given.append((b"authorization", f"Bearer {token}".encode()))
        if body is not None:
            pieces = (body if isinstance(body, bytes) else json.dumps(body).encode(),)
            given.append(JSON)
        if pieces is not None and not any(name == b"transfer-encoding" for name, _ in given):
            given.append((b"content-length", b"%d" % sum(map(len, pieces))))
        return self.client.begin(
            method, path.encode(), *(pieces or ()), headers=given, more_to_come=more_to_come
        )

    async def ask(self, method: str, path: str, body: Body = None, **more: Any) -> Talk:
        """A request and the whole of its answer."""
        return await self.begin(method, path, body, **more).answered()

    async def get(self, path: str, **more: Any) -> Any:
        """The JSON of an answer that has to be 200."""
        talk = await self.ask("GET", path, token=None, **more)
        assert talk.status == 200, talk
        return talk.json

    async def post(self, path: str, body: Body = None, **more: Any) -> Any:
        """The JSON of an answer that has to be a success."""
        talk = await self.ask("POST", path, {} if body is None else body, **more)
        assert talk.status in {200, 201}, talk
        return talk.json

    async def create(self, title: str = "Look after it", **fields: Any) -> str:
        """The id of a new task."""
        return str((await self.post(TASKS, {"title": title, **fields}))["id"])

    async def claim(self, task: str, agent: str = "coo") -> str:
        """The token of a claim."""
        return str((await self.post(f"{TASKS}/{task}/claim", {"agent": agent}))["claim"])

    async def status_of(self, task: str) -> str:
        return str((await self.get(f"{TASKS}/{task}"))["status"])

    async def error(self, method: str, path: str, body: Body = None, **more: Any) -> tuple[int | None, str]:
        """Status and code of an answer that has to be an error of ours."""
        talk = await self.ask(method, path, body, **more)
        assert ADMIN.encode() not in talk.body
        return talk.status, talk.error
