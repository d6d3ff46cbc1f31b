"""Which path leads where, and what every answer has in common.

Refusals of the rules, faults of the board and of the request become errors in one place (`_by_method`); from
there, too, a write that was denied goes to the audit log. A path that is not in the table does not exist.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route

from scheduler.api.control import Control
from scheduler.api.desk import Desk, Record
from scheduler.api.errors import HttpError, HungUpError
from scheduler.api.identity import Identity
from scheduler.api.incoming import Incoming
from scheduler.api.mcp import Mcp
from scheduler.api.openapi import DESCRIPTION
from scheduler.api.page import page
from scheduler.api.replies import Json, Refusal, as_http, nobody
from scheduler.api.stream import EventStream, last_seen
from scheduler.api.tasks import Tasks, may_read
from scheduler.blackboard.errors import BoardError
from scheduler.core.errors import Refused
from scheduler.events import EventFeed
from scheduler.metrics import Metrics
from scheduler.verbs import Caller, Holder, Operator
from shared import clock
from shared.asgi import App, Message, Receive, Scope, Send

Endpoint = Callable[[Request], Awaitable[App]]
Table = Mapping[str, Mapping[str, Endpoint]]
"""path -> method -> endpoint"""

_READS: Final = frozenset({"GET", "HEAD"})
_TASKS: Final = "/api/blackboard/tasks"


def build_app(
    desk: Desk,
    *,
    feed: EventFeed,
    identity: Identity,
    metrics: Metrics,
    record: Record,
    drain_begun: trio.Event,
    max_attempts: int,
) -> App:
    """The app of the API's port, to be put behind a guard. `record` is the audit log's."""
    tasks = Tasks(desk, feed=feed, identity=identity, metrics=metrics, max_attempts=max_attempts)
    control = Control(desk, identity=identity, record=record)
    mcp = Mcp(tasks, identity=identity, denied=partial(_tell_denied_call, record))

    async def events(request: Request) -> App:
        await may_read(identity, desk.board, request)
        return EventStream(desk.board, feed, drain_begun, last_seen(request.headers.get("last-event-id")))

    table: Table = {
        "/": {"GET": _always(page)},
        "/health": {"GET": control.health},
        "/version": {"GET": control.version},
        "/openapi.json": {"GET": _always(Json(DESCRIPTION))},
        "/mcp": {"POST": mcp.post},
        "/api/events": {"GET": events},
        "/api/daemon/status": {"GET": control.status},
        "/api/daemon/tick": {"POST": control.tick},
        "/api/daemon/stop": {"POST": control.stop},
        "/api/daemon/start": {"POST": control.start},
        "/api/daemon/pause": {"POST": control.pause},
        "/api/daemon/resume": {"POST": control.resume},
        "/api/daemon/reload": {"POST": control.reload},
        _TASKS: {"GET": tasks.list, "POST": tasks.create},
        f"{_TASKS}/claim": {"POST": tasks.claim_next},
        f"{_TASKS}/{{id}}": {"GET": tasks.read, "PATCH": tasks.revise},
        f"{_TASKS}/{{id}}/{{action}}": {"POST": tasks.act},
        f"{_TASKS}/{{id}}/outputs/{{name}}": {"GET": tasks.download},
    }
    routes = _starlette(table, partial(_tell_denied, record, identity))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                metrics.answered(message["status"])
            await send(message)

        await routes(scope, Incoming(scope, receive), counted)

    return app


def _always(app: App) -> Endpoint:
    async def endpoint(_request: Request) -> App:
        return app

    return endpoint


def _starlette(table: Table, tell_denied: Callable[[Request, HttpError], None]) -> Starlette:
    # Starlette's own type asks for its `Response`; what it does is call an ASGI app.
    handlers: dict[Any, Any] = {HTTPException: _not_here, Exception: _failed}
    app = Starlette(
        routes=[
            Route(path, _by_method(endpoints, tell_denied), methods=list(endpoints))
            for path, endpoints in table.items()
        ],
        exception_handlers=handlers,
    )
    app.router.redirect_slashes = False  # `/health/` does not exist
    return app


def _by_method(
    endpoints: Mapping[str, Endpoint], tell_denied: Callable[[Request, HttpError], None]
) -> Endpoint:
    """One function per path: what may go wrong with any of its methods is told here."""

    async def endpoint(request: Request) -> App:
        act = endpoints["GET" if request.method in _READS else request.method]
        try:
            return await act(request)
        except HungUpError:
            return nobody
        except HttpError as error:
            said = error
        except (Refused, BoardError) as error:
            said = as_http(error)
        if said.status in {401, 403} and request.method not in _READS:
            tell_denied(request, said)
        return Refusal(said)

    return endpoint


def _tell_denied(record: Record, identity: Identity, request: Request, error: HttpError) -> None:
    """Who tried what. Of a token at most what it names is kept, never the secret."""
    try:
        actor = _called(identity.caller(request.headers.getlist("authorization")))
    except HttpError:
        actor = "a wrong token"
    subject = str(request.path_params.get("id", request.scope["path"]))
    record("write_denied", at=clock.wall(), actor=actor, subject=subject, outcome=error.code)


def _tell_denied_call(record: Record, caller: Caller, subject: str, code: str) -> None:
    """The same of a tool that was called: the answer to that is no error of HTTP's."""
    record("write_denied", at=clock.wall(), actor=_called(caller), subject=subject, outcome=code)


def _called(caller: Caller) -> str:
    match caller:
        case Operator(name):
            return name
        case Holder(token):
            return f"the claim {token.task}.{token.epoch}"
        case _:
            return "nobody"


async def _not_here(_request: Request, error: Exception) -> App:
    """Starlette's 404 and 405. Not a plain function: that would be run in a thread."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return Refusal(HttpError(404, "not_found", "There is nothing at this path."))
    allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
    message = f"This path takes {allowed} only."
    return Refusal(HttpError(405, "invalid_request", message, {b"allow": allowed.encode()}))


async def _failed(_request: Request, _error: Exception) -> App:
    """In the place of Starlette's plain text. The error goes on to the guard, which logs it."""
    return Refusal(HttpError(500, "internal_error", "Something went wrong here; the log says what."))
