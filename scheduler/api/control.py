"""The daemon over HTTP: its health, its ticks, its pauses."""

from collections.abc import Mapping
from math import inf, isfinite
from typing import Annotated, Final, TypeVar

import trio
from msgspec import Meta, Struct
from starlette.requests import Request

from scheduler.api.desk import Desk, Record
from scheduler.api.errors import HttpError
from scheduler.api.identity import Identity, unauthorized
from scheduler.api.replies import Json
from scheduler.api.tasks import incoming, may_read
from scheduler.audit.record import JSON
from scheduler.blackboard.errors import BoardError
from scheduler.blackboard.store import Store
from scheduler.core.snapshot import EVERYBODY
from scheduler.core.states import Status
from scheduler.core.task import agent_name
from scheduler.verbs import Holder, Operator
from scheduler.verbs.bodies import Nothing, read
from scheduler.version import __version__
from scheduler.wire import LATEST, time_json
from scheduler.wire import Json as JsonObject
from shared import clock
from shared.asgi import App
from shared.errors import StartError

LONGEST_PAUSE_SECONDS: Final = 10 * 366 * 86_400.0
"""Longer is for ever, which has a way of its own to be said."""

PATIENCE_SECONDS: Final = 5.0
"""With a database that does not answer: whoever asks for the health waits for about ten."""

_WELL: Final = frozenset({"healthy", "off", "unknown"})
"""What nobody has asked yet is not ill: else every start would be an alarm."""


class Pause(Struct, forbid_unknown_fields=True, frozen=True):
    """Nobody, or one agent, is started. Runs that live go on."""

    agent: str | None = None
    """None: all"""
    for_seconds: Annotated[float, Meta(gt=0, le=LONGEST_PAUSE_SECONDS)] | None = None
    """None: until somebody resumes it"""


class Resume(Struct, forbid_unknown_fields=True, frozen=True):
    """Takes such a pause back. An agent that is paused under its own name is not resumed with all."""

    agent: str | None = None


_Body = TypeVar("_Body", bound=Struct)


class Control:
    """The endpoints. Holds nothing of its own."""

    def __init__(self, desk: Desk, *, identity: Identity, record: Record) -> None:
        self._desk = desk
        self._identity = identity
        self._record = record

    async def health(self, _request: Request) -> App:
        """`GET /health`: open to all, also where reading is not. 503 only while the database is away."""
        components = {**self._desk.health(), "database": await self._database()}
        status = _overall(components)
        picture = {
            "status": status,
            "version": __version__,
            "components": components,
            "timestamp": time_json(clock.wall()),
        }
        return Json(picture, 503 if status == "unhealthy" else 200)

    async def version(self, _request: Request) -> App:
        """`GET /version`."""
        return Json({"version": __version__})

    async def status(self, request: Request) -> App:
        """`GET /api/daemon/status`."""
        await may_read(self._identity, self._desk.board, request)
        board = await self._desk.board.read(_board_part, clock.wall())
        return Json({**self._desk.status(), **board})

    async def tick(self, request: Request) -> App:
        """`POST /api/daemon/tick`."""
        await self._asked(request, Nothing)
        return Json(await self._desk.tick())

    async def stop(self, request: Request) -> App:
        """`POST /api/daemon/stop`."""
        who, _ = await self._asked(request, Nothing)
        self._desk.stop_ticking()
        self._changed(who, "ticker", {"running": False})
        return Json({"ticker_running": False})

    async def start(self, request: Request) -> App:
        """`POST /api/daemon/start`."""
        who, _ = await self._asked(request, Nothing)
        self._desk.start_ticking()
        self._changed(who, "ticker", {"running": True})
        return Json({"ticker_running": True})

    async def pause(self, request: Request) -> App:
        """`POST /api/daemon/pause`."""
        who, body = await self._asked(request, Pause)
        now = clock.wall()
        until = inf if body.for_seconds is None else now + body.for_seconds
        await self._desk.board.write(_set_pause, body.agent, until, who.name, now)
        self._changed(who, body.agent or EVERYBODY, {"paused": True, "until": _until_json(until)})
        return Json({"agent": body.agent, "paused": True, "until": _until_json(until)})

    async def resume(self, request: Request) -> App:
        """`POST /api/daemon/resume`."""
        who, body = await self._asked(request, Resume)
        await self._desk.board.write(_set_pause, body.agent, None, who.name, clock.wall())
        self._changed(who, body.agent or EVERYBODY, {"paused": False})
        self._desk.board_changed()
        return Json({"agent": body.agent, "paused": False, "until": None})

    async def reload(self, request: Request) -> App:
        """`POST /api/daemon/reload`."""
        who, _ = await self._asked(request, Nothing)
        try:
            team = await self._desk.reload()
        except StartError as error:
            raise HttpError(422, "invalid", str(error)) from error
        self._changed(who, "roster", team)
        return Json(team)

    async def _asked(self, request: Request, kind: type[_Body]) -> tuple[Operator, _Body]:
        """An operator, and what is asked. Raises HttpError, Refused."""
        caller = self._identity.caller(request.headers.getlist("authorization"))
        match caller:
            case Operator():
                body = await incoming(request).json(request.headers.get("content-type"))
                return caller, read(kind, body, strict=True)
            case Holder():
                raise HttpError(403, "forbidden", "A claim token does not steer the daemon: an operator may.")
            case _:
                raise unauthorized("This needs the admin token.")

    def _changed(self, who: Operator, subject: str, details: Mapping[str, JSON]) -> None:
        self._record("config_changed", at=clock.wall(), actor=who.name, subject=subject, details=details)

    async def _database(self) -> JsonObject:
        with trio.move_on_after(PATIENCE_SECONDS):
            try:
                await self._desk.board.read(Store.check)
            except BoardError as error:
                return {"status": "unhealthy", "reason": str(error)}
            return {"status": "healthy"}
        return {"status": "unhealthy", "reason": f"no answer within {PATIENCE_SECONDS:.0f} s"}


def _overall(components: Mapping[str, object]) -> str:
    """Without its database the daemon can do nothing; without anything else, less."""
    if _word(components["database"]) == "unhealthy":
        return "unhealthy"
    sources = components.get("sources")
    each = [*components.values(), *(sources.values() if isinstance(sources, Mapping) else ())]
    return "healthy" if all(_word(one) in _WELL for one in each) else "degraded"


def _word(component: object) -> str:
    """Its status; a group of components (`sources`) has none of its own."""
    word = component.get("status", "healthy") if isinstance(component, Mapping) else component
    return str(word)


def _board_part(store: Store, now: float) -> JsonObject:
    counts = store.counts()
    paused = [
        {"agent": None if record.agent == EVERYBODY else record.agent, "until": _until_json(until)}
        for record in store.agents().values()
        if (until := record.paused_until) is not None and until > now
    ]
    return {
        "blackboard_db_size_bytes": store.size_bytes(),
        "tasks_summary": {status.value: counts.get(status, 0) for status in Status},
        "paused": paused,
    }


def _set_pause(store: Store, agent: str | None, until: float | None, who: str, now: float) -> None:
    store.set_pause(EVERYBODY if agent is None else agent_name(agent), until, who=who, now=now)


def _until_json(until: float) -> str | None:
    """JSON knows no infinity: for ever is null."""
    return time_json(until) if isfinite(until) and until <= LATEST else None
