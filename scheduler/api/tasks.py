"""The board over HTTP: `/api/blackboard/tasks` and what is below it.

The rule: a path and a method name a verb, the body is the verb's own; who may and what comes of it is said in
``scheduler.verbs``. What comes without a token and would be a write is refused before its body counts.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import trio
from starlette.requests import Request

from scheduler.api.desk import Desk
from scheduler.api.downloads import open_download
from scheduler.api.errors import HttpError
from scheduler.api.identity import Identity, unauthorized
from scheduler.api.incoming import FORM_TYPE, Incoming, media_type
from scheduler.api.replies import Json
from scheduler.api.uploads import received_form
from scheduler.blackboard.board import Board
from scheduler.blackboard.queries import Received
from scheduler.blackboard.store import Store
from scheduler.core.claims import holder
from scheduler.core.errors import Code, Refused
from scheduler.core.records import Output
from scheduler.core.task import shortened
from scheduler.events import EventFeed
from scheduler.metrics import Metrics
from scheduler.verbs import NEXT, VERBS, Caller, Holder, Reader, perform
from scheduler.wire import Json as JsonObject
from shared import clock
from shared.asgi import App

ACTIONS: Final = (
    "claim",
    "release",
    "heartbeat",
    "output",
    "comment",
    "observe",
    "decide",
    "block",
    "fail",
    "retry",
    "stop",
    "cancel",
    "answer",
    "archive",
)
"""`POST …/{id}/{action}`; each is a verb of the board."""

_QUIET: Final = frozenset({"heartbeat", "comment", "observe", "claim"})
"""After these nothing can start that could not before."""


class Tasks:
    """The endpoints. Holds nothing of its own."""

    def __init__(
        self,
        desk: Desk,
        *,
        feed: EventFeed,
        identity: Identity,
        metrics: Metrics,
        max_attempts: int,
    ) -> None:
        self._desk = desk
        self._feed = feed
        self._identity = identity
        self._metrics = metrics
        self._max_attempts = max_attempts

    async def list(self, request: Request) -> App:
        """`GET /api/blackboard/tasks`."""
        return Json(await self.look(request, "list", None, _query(request)))

    async def read(self, request: Request) -> App:
        """`GET …/{id}`."""
        return Json(await self.look(request, "read", request.path_params["id"], _query(request)))

    async def create(self, request: Request) -> App:
        """`POST /api/blackboard/tasks`."""
        made = await self._write(request, "create", None)
        return Json(made, 201, [(b"location", f"/api/blackboard/tasks/{made['id']}".encode())])

    async def revise(self, request: Request) -> App:
        """`PATCH …/{id}`."""
        return Json(await self._write(request, "set", request.path_params["id"]))

    async def claim_next(self, request: Request) -> App:
        """`POST /api/blackboard/tasks/claim`."""
        return Json(await self._write(request, "claim", NEXT))

    async def act(self, request: Request) -> App:
        """`POST …/{id}/{action}`."""
        action, task_id = request.path_params["action"], request.path_params["id"]
        if action not in ACTIONS:
            raise HttpError(404, "not_found", "There is nothing at this path.")
        if action == "output" and media_type(request.headers.get("content-type")) == FORM_TYPE:
            return Json(await self._hand_in_form(request, task_id))
        return Json(await self._write(request, action, task_id))

    async def download(self, request: Request) -> App:
        """`GET …/{id}/outputs/{name}`."""
        await self._may_read(request)
        task_id, name = request.path_params["id"], request.path_params["name"]
        output, file = await self._desk.board.read(_output, task_id, name)
        try:
            return await trio.to_thread.run_sync(open_download, file, output.name)
        except FileNotFoundError:
            raise Refused(Code.NOT_FOUND, f"the file of {task_id} {shortened(name)} is gone") from None

    async def look(
        self, request: Request, verb: str, task_id: str | None, body: Mapping[str, object]
    ) -> JsonObject:
        """Ask what anybody may ask, where anybody may read."""
        await self._may_read(request)
        return await self._desk.board.read(perform, verb, task_id, body, Reader(), clock.wall())

    async def _may_read(self, request: Request) -> None:
        await may_read(self._identity, self._desk.board, request)

    async def _write(self, request: Request, verb: str, task_id: str | None) -> JsonObject:
        caller = self._identity.caller(request.headers.getlist("authorization"))
        if isinstance(caller, Reader) and not VERBS[verb].holders:
            raise unauthorized("This needs the admin token.")
        body = await incoming(request).json(request.headers.get("content-type"))
        if isinstance(caller, Reader) and not body.get("claim"):
            raise unauthorized("This needs the admin token, or the token of a claim.")
        return await self.perform(verb, task_id, body, caller)

    async def _hand_in_form(self, request: Request, task_id: str) -> JsonObject:
        caller = self._identity.caller(request.headers.getlist("authorization"))
        if isinstance(caller, Reader):
            raise unauthorized("A form needs its token in the Authorization header.")
        # Before a gigabyte is received for nothing. What is decided is decided when it has come.
        await self._desk.board.read(_expects_a_file, task_id, caller, clock.wall())
        content_type = request.headers["content-type"]
        async with received_form(incoming(request), content_type, self._desk.board) as (fields, received):
            return await self.perform("output", task_id, fields, caller, received)

    async def perform(
        self,
        verb: str,
        task_id: str | None,
        body: Mapping[str, object],
        caller: Caller,
        received: Received | None = None,
    ) -> JsonObject:
        """Ask, and let everybody know who has to. Raises Refused or BoardError."""
        try:
            answer = await self._desk.board.write(
                perform,
                verb,
                task_id,
                body,
                caller,
                clock.wall(),
                received=received,
                max_attempts=self._max_attempts,
            )
        except Refused as refused:
            if verb == "claim":
                self._metrics.claimed(refused.code)
            raise
        if verb == "claim":
            self._metrics.claimed("claimed")
        self._feed.poke()
        if verb not in _QUIET:
            self._desk.board_changed()
        return answer


async def may_read(identity: Identity, board: Board, request: Request) -> None:
    """Raises HttpError: where others can reach the port, reading needs a token that holds."""
    if identity.reads_are_open:
        return
    caller = identity.caller(request.headers.getlist("authorization"))
    if isinstance(caller, Reader):
        raise unauthorized("This port can be reached from elsewhere, so reading needs a token too.")
    if isinstance(caller, Holder):
        try:
            await board.read(_holds, caller, clock.wall())
        except Refused:
            raise unauthorized("The claim of this token is over.") from None


def incoming(request: Request) -> Incoming:
    """The body of a request that came through our app."""
    assert isinstance(request.receive, Incoming)
    return request.receive


def _query(request: Request) -> dict[str, object]:
    """What is given, by name; a parameter without a value is not given."""
    given: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        if value:
            given.setdefault(name, []).append(value)
    query: dict[str, object] = {
        name: values[0] if len(values) == 1 else values for name, values in given.items()
    }
    if "status" in given:  # several, by commas or by saying it again
        query["status"] = [word for value in given["status"] for word in value.split(",")]
    return query


def _holds(store: Store, caller: Holder, now: float) -> None:
    holder(store.task(caller.token.task), caller.token, now)


def _expects_a_file(store: Store, task_id: str, caller: Caller, now: float) -> None:
    task = store.task(task_id)
    if isinstance(caller, Holder):
        holder(task, caller.token, now)


def _output(store: Store, task_id: str, name: str) -> tuple[Output, Path]:
    """By its name, the newest of that name; else by its number, the first is 1."""
    store.task(task_id)
    outputs = store.outputs(task_id)
    named = [output for output in outputs if output.name == name]
    if not named and name.isascii() and name.isdigit() and 0 < int(name[:9]) <= len(outputs):
        named = [outputs[int(name[:9]) - 1]]
    if not named:
        raise Refused(Code.NOT_FOUND, f"{task_id} has no output {shortened(name)}")
    return named[-1], store.output_file(named[-1])
