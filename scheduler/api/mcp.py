"""`POST /mcp`: the board's tools over HTTP. The protocol itself is in ``scheduler.mcp``.

The rule: a call is a question as it comes over any other path, from the same callers, within the same bounds
of size and time. GET and DELETE are not there (405): there are no sessions to listen to or to end.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Final

import trio
from starlette.requests import Request

from scheduler.api.errors import HttpError
from scheduler.api.identity import Identity
from scheduler.api.incoming import JSON_TYPE, MOST_JSON_BYTES, media_type, unsupported
from scheduler.api.tasks import Tasks, incoming
from scheduler.blackboard.errors import BoardError
from scheduler.core.errors import Code, Refused
from scheduler.mcp.tools import NotDoneError, Question, Speaker
from scheduler.verbs import VERBS, Caller, Holder, Operator, Reader, failure
from scheduler.wire import Json
from shared.asgi import App

Denied = Callable[[Caller, str, str], None]
"""Hears of writes that were denied: whose, on what, and the code."""

_UNAUTHORIZED: Final = "unauthorized"
_DENIALS: Final = frozenset({_UNAUTHORIZED, Code.FORBIDDEN})


class Mcp:
    """The endpoint. Holds nothing of its own."""

    def __init__(self, tasks: Tasks, *, identity: Identity, denied: Denied) -> None:
        self._tasks = tasks
        self._identity = identity
        self._denied = denied

    async def post(self, request: Request) -> App:
        """`POST /mcp`."""
        caller = self._identity.caller(request.headers.getlist("authorization"))
        if media_type(request.headers.get("content-type")) != JSON_TYPE:
            raise unsupported(JSON_TYPE)
        body = await incoming(request).whole(MOST_JSON_BYTES)
        protocol = await _protocol()
        ask = partial(self._ask, request, caller)
        server = protocol.board_server(ask, _speaker(caller))
        return partial(protocol.answer_request, server, body)

    async def _ask(self, request: Request, caller: Caller, question: Question) -> Json:
        if VERBS[question.verb].readers:
            return await self._told(self._tasks.look(request, question.verb, question.task, question.body))
        if question.claim is not None:
            caller = Holder(question.claim)
        try:
            return await self._told(self._write(caller, question))
        except NotDoneError as error:
            if error.code in _DENIALS:
                self._denied(caller, question.task or request.scope["path"], error.code)
            raise

    async def _write(self, caller: Caller, question: Question) -> Json:
        if isinstance(caller, Reader):
            raise HttpError(401, _UNAUTHORIZED, "This needs the token of a claim, as `claim`.")
        return await self._tasks.perform(question.verb, question.task, question.body, caller)

    @staticmethod
    async def _told(answer: Awaitable[Json]) -> Json:
        """The refusals of the board and of HTTP, as those of a tool."""
        try:
            return await answer
        except HttpError as error:
            raise NotDoneError(error.code, error.message) from error
        except (Refused, BoardError) as error:
            told = failure(error)
            raise NotDoneError(told.code, told.message) from error


def _speaker(caller: Caller) -> Speaker:
    match caller:
        case Operator():
            return Speaker.OPERATOR
        case Holder():
            return Speaker.AGENT
        case _:
            return Speaker.NOBODY


async def _protocol() -> ModuleType:
    """`scheduler.mcp.server`. Its package is imported at the first call, and not by a thread that has others
    to serve meanwhile."""
    return await trio.to_thread.run_sync(import_module, "scheduler.mcp.server")
