"""The OpenAPI description of all endpoints. Bodies are described by what reads them."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from scheduler.api.control import Pause, Resume
from scheduler.api.incoming import FORM_TYPE, JSON_TYPE
from scheduler.api.schemas import COUNT, FLAG, SCHEMAS, TEXT, Schema, ref
from scheduler.api.tasks import ACTIONS
from scheduler.core.states import Status
from scheduler.verbs import VERBS
from scheduler.version import __version__

_TASKS: Final = "/api/blackboard/tasks"

_SUMMARIES: Final[Mapping[str, str]] = {
    "claim": "Take it: its claim, which every further write of the agent carries",
    "release": "Give it back",
    "heartbeat": "A sign of life; a further turn or a note is progress, while `waiting_for` no clock runs",
    "output": "Hand something in; a final output takes the task into review",
    "comment": "Say something about it",
    "observe": "Tell others what one has noticed",
    "decide": "Accept a final output or send it back; allow high-risk tools or not",
    "block": "It waits for a person",
    "fail": "It will not be done",
    "retry": "Try a failed task again",
    "stop": "End its run, and block it",
    "cancel": "End its run, and nothing comes of it",
    "answer": "What a blocked task waited for: it goes on",
    "archive": "Out of the lists, once it is done or failed",
}
_ANSWERS: Final = {"claim": "Claim", "output": "TaskWithOutput"}

_ERRORS: Final[Mapping[int, str]] = {
    400: "`invalid_json`, `invalid_request`: it cannot be read",
    401: "`unauthorized`: no token, or a wrong one",
    403: "`forbidden`: this token does not allow it; `forbidden_host`, `forbidden_origin`",
    404: "`not_found`, `nothing_claimable`",
    408: "`invalid_request`: the body came too slowly",
    409: "`already_claimed`, `stale_claim`, `dependency_unmet`, `not_assignee`, `illegal_transition`, "
    "`approval_required`",
    413: "`body_too_large`",
    415: "`invalid_request`: neither JSON nor, for outputs, a form; or compressed",
    422: "`invalid`: a field is wrong, and which",
    503: "`database_unavailable`; `busy`: ask again after `Retry-After`",
}
_OF_READS: Final = (401, 403, 503)
_OF_WRITES: Final = (400, 401, 403, 408, 413, 415, 422, 503)

_OPERATOR: Final = [{"adminToken": list[str]()}]
_AGENT: Final = [*_OPERATOR, {"claimToken": list[str]()}]
_ANYBODY: Final = [*_AGENT, dict[str, list[str]]()]
"""On loopback; where others can reach the port, one of the tokens is needed."""


def _body(kind: type[Struct]) -> Schema:
    return {"content": {JSON_TYPE: {"schema": ref(kind.__name__)}}}


def _answer(description: str, schema: Schema, content_type: str = JSON_TYPE) -> Schema:
    return {"description": description, "content": {content_type: {"schema": schema}}}


def _errors(*statuses: int) -> dict[str, Schema]:
    return {str(status): _answer(_ERRORS[status], ref("Error")) for status in sorted(statuses)}


def _get(summary: str, schema: Schema, *errors: int, open_to_all: bool = False, **more: Any) -> Schema:
    operation: Schema = {
        "summary": summary,
        "responses": {"200": _answer("as the summary says", schema), **_errors(*errors)},
        "security": [{}] if open_to_all else _ANYBODY,
    }
    return operation | more


def _write(
    summary: str, kind: type[Struct], answer: str, *errors: int, status: int = 200, holders: bool = False
) -> Schema:
    return {
        "summary": summary,
        "security": _AGENT if holders else _OPERATOR,
        "requestBody": _body(kind),
        "responses": {
            str(status): _answer("as the summary says", ref(answer)),
            **_errors(*_OF_WRITES, *errors),
        },
    }


def _in(place: str, name: str, schema: Schema, description: str) -> Schema:
    required = {"required": True} if place == "path" else {}
    return {"name": name, "in": place, "schema": schema, "description": description, **required}


def _action(name: str) -> Schema:
    verb = VERBS[name]
    operation = _write(
        _SUMMARIES[name], verb.body, _ANSWERS.get(name, "Task"), 404, 409, holders=verb.holders
    )
    if name == "output":
        operation["requestBody"]["content"][FORM_TYPE] = {"schema": _FORM}
    return {"post": operation, "parameters": [_ID]}


def _control(summary: str, kind: type[Struct], answer: str) -> Schema:
    return {"post": _write(summary, kind, answer)}


_ID: Final = _in("path", "id", TEXT, "of a task, as `T-0042`; for `claim` also `next`")
_FORM: Final[Schema] = {
    "type": "object",
    "properties": {"file": {"type": "string", "format": "binary"}, "name": TEXT, "final": FLAG},
    "required": ["file"],
}
_LIST_QUERY: Final = [
    _in(
        "query",
        "status",
        {"type": "array", "items": {"enum": [status.value for status in Status]}},
        "one or several, by commas or said again; none: all",
    ),
    _in("query", "assignee", TEXT, "an agent"),
    _in("query", "claimable", FLAG, "only what can be claimed now"),
    _in("query", "archived", FLAG, "also what was archived"),
    _in("query", "limit", COUNT | {"minimum": 1, "maximum": 1000, "default": 100}, "how many at most"),
    _in("query", "cursor", TEXT, "`next_cursor` of the page before"),
]
_FULL: Final = _in("query", "full", FLAG, "with outputs, comments, observations, decisions, attempts, events")
_LAST_EVENT_ID: Final = _in("header", "Last-Event-ID", COUNT, "goes on after this event")

_EVENTS: Final[Schema] = {
    "get": {
        "summary": "What happens on the board, as it happens",
        "parameters": [_LAST_EVENT_ID],
        "responses": {
            "200": _answer("each `data` is an Event, its `id` the number", ref("Event"), "text/event-stream"),
            **_errors(*_OF_READS),
        },
        "security": _ANYBODY,
    }
}
_DOWNLOAD: Final[Schema] = {
    "get": {
        "summary": "A file that was handed in, as an attachment",
        "parameters": [
            _ID,
            _in("path", "name", TEXT, "its name (the newest of that name), or its number, from 1"),
        ],
        "responses": {
            "200": _answer("the file", {"type": "string", "format": "binary"}, "application/octet-stream"),
            **_errors(404, *_OF_READS),
        },
        "security": _ANYBODY,
    }
}
_HEALTH: Final = _get("Is it well?", ref("Health"), open_to_all=True)
_HEALTH["responses"]["503"] = _answer("unhealthy: the database is away", ref("Health"))

_PATHS: Final[dict[str, Schema]] = {
    "/": {
        "get": {
            "summary": "What this is, for a browser",
            "responses": {"200": _answer("a page", TEXT, "text/html")},
            "security": [{}],
        }
    },
    "/health": {"get": _HEALTH},
    "/version": {
        "get": _get(
            "What runs",
            {"type": "object", "properties": {"version": TEXT}, "required": ["version"]},
            open_to_all=True,
        )
    },
    "/openapi.json": {"get": _get("This description", {"type": "object"}, open_to_all=True)},
    "/api/events": _EVENTS,
    "/api/daemon/status": {"get": _get("What it is doing", ref("DaemonStatus"), *_OF_READS)},
    "/api/daemon/tick": _control("Run a tick now; its report", VERBS["stop"].body, "TickReport"),
    "/api/daemon/stop": _control("Tick no more; the API stays", VERBS["stop"].body, "Ticking"),
    "/api/daemon/start": _control("Tick again", VERBS["stop"].body, "Ticking"),
    "/api/daemon/pause": _control("Start nobody, or not this agent; kept over restarts", Pause, "Paused"),
    "/api/daemon/resume": _control("Take such a pause back", Resume, "Paused"),
    "/api/daemon/reload": _control("Read the roster again, whole or not at all", VERBS["stop"].body, "Team"),
    _TASKS: {
        "get": _get("Tasks, by their numbers", ref("Tasks"), 422, *_OF_READS, parameters=_LIST_QUERY),
        "post": _write("A new task", VERBS["create"].body, "Task", 404, status=201),
    },
    f"{_TASKS}/claim": {
        "post": _write(
            "Take whatever may be taken, the most urgent first",
            VERBS["claim"].body,
            "Claim",
            404,
            holders=True,
        )
    },
    f"{_TASKS}/{{id}}": {
        "get": _get(
            "A task",
            {"anyOf": [ref("Task"), ref("TaskWithThread")]},
            404,
            422,
            *_OF_READS,
            parameters=[_FULL],
        ),
        "patch": _write("Other words on the card", VERBS["set"].body, "Task", 404, 409),
        "parameters": [_ID],
    },
    **{f"{_TASKS}/{{id}}/{name}": _action(name) for name in ACTIONS},
    f"{_TASKS}/{{id}}/outputs/{{name}}": _DOWNLOAD,
}

_, _BODIES = msgspec.json.schema_components(
    sorted({Pause, Resume, *(verb.body for verb in VERBS.values())}, key=lambda kind: kind.__name__),
    ref_template="#/components/schemas/{name}",
)

DESCRIPTION: Final[Schema] = {
    "openapi": "3.1.0",
    "info": {"title": "Clawpace: the agent scheduler and its board", "version": __version__},
    "paths": _PATHS,
    "components": {
        "schemas": {**SCHEMAS, **_BODIES},
        "securitySchemes": {
            "adminToken": {"type": "http", "scheme": "bearer", "description": "the operator's"},
            "claimToken": {
                "type": "http",
                "scheme": "bearer",
                "description": "`T-0042.3.secret`, as a claim answers it",
            },
        },
    },
}
