"""The shapes of our answers, as JSON Schema. ``scheduler.wire`` makes them; a test holds the two together."""

from typing import Any, Final

from scheduler.core.records import Run, Verdict
from scheduler.core.states import Status
from scheduler.core.task import Approval, BlockedBy, Priority, Source

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A schema of `SCHEMAS`, or of the bodies."""
    return {"$ref": f"#/components/schemas/{name}"}


def obj(**properties: Schema) -> Schema:
    """All of them, always."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def words(*enum: str) -> Schema:
    return {"type": "string", "enum": list(enum)}


TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "number"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
ANYTHING: Final[Schema] = {"type": "object"}

_STATUS: Final = words(*Status)
_TASK: Final[dict[str, Schema]] = {
    "id": {"type": "string", "pattern": "^T-[0-9]{4,15}$"},
    "title": TEXT,
    "description": TEXT,
    "status": _STATUS,
    "priority": words(*(priority.word for priority in Priority)),
    "creator": TEXT,
    "assignee": nullable(TEXT),
    "depends_on": array(TEXT),
    "source": words(*Source),
    "external_id": nullable(TEXT),
    "risk_tools": array(TEXT),
    "approval": words(*Approval),
    "expects": array(TEXT),
    "review": TEXT,
    "review_of": nullable(TEXT),
    "attempt": COUNT,
    "max_attempts": COUNT,
    "turns": COUNT,
    "max_turns": nullable(COUNT),
    "epoch": COUNT,
    "claimant": nullable(TEXT),
    "lease_until": nullable(TIME),
    "waiting_for": nullable(TEXT),
    "waiting_because": nullable(TEXT),
    "expected_start_at": nullable(TIME),
    "blocked_by": nullable(words(*BlockedBy)),
    "blocked_reason": nullable(TEXT),
    "not_before": nullable(TIME),
    "created_at": TIME,
    "updated_at": TIME,
    "progress_at": nullable(TIME),
    "suspect_at": nullable(TIME),
    "archived_at": nullable(TIME),
}
_EVENT: Final = {
    "task": TEXT,
    "at": TIME,
    "who": TEXT,
    "what": TEXT,
    "from": nullable(_STATUS),
    "to": _STATUS,
    "details": ANYTHING,
}
_SAID: Final = obj(author=TEXT, at=TIME, text=TEXT)
_OUTPUT: Final = obj(
    name=TEXT, epoch=COUNT, author=TEXT, at=TIME, final=FLAG, size_bytes=COUNT, sha256=TEXT, path=TEXT
)
_ATTEMPT: Final = obj(
    epoch=COUNT,
    agent=TEXT,
    run=words(*Run),
    claimed_at=TIME,
    started_at=nullable(TIME),
    ended_at=nullable(TIME),
    end=TEXT,
    error=TEXT,
    stop_because=nullable(TEXT),
    turns=COUNT,
    tokens=COUNT,
    throttled=COUNT,
)
_THREAD: Final = {
    "outputs": array(_OUTPUT),
    "comments": array(_SAID),
    "observations": array(_SAID),
    "decisions": array(obj(by=TEXT, at=TIME, decision=words(*Verdict), reason=TEXT)),
    "attempts": array(_ATTEMPT),
    "events": array(obj(**_EVENT)),
}

COMPONENT: Final[Schema] = {
    "type": "object",
    "properties": {
        "status": words("healthy", "degraded", "unhealthy", "unavailable", "off", "unknown"),
        "reason": TEXT,
    },
    "required": ["status"],
}

_HEARTBEAT: Final = obj(
    next_due=nullable(TIME), last_fired=nullable(TIME), healthy=nullable(FLAG), result=nullable(TEXT)
)

SCHEMAS: Final[dict[str, Schema]] = {
    "Error": obj(
        error=obj(code=TEXT, message=TEXT, type=TEXT, param={"type": "null"}),
    ),
    "Task": obj(**_TASK),
    "TaskWithThread": obj(**_TASK, **_THREAD),
    "TaskWithOutput": obj(**_TASK, output=_OUTPUT),
    "Tasks": obj(tasks=array(ref("Task")), next_cursor=nullable(TEXT)),
    "Claim": obj(
        id=TEXT,
        claim={"type": "string", "description": "the token, shown this once"},
        epoch=COUNT,
        expires_at=nullable(TIME),
        task=ref("Task"),
    ),
    "Event": obj(number=COUNT, **_EVENT),
    "Health": obj(
        status=words("healthy", "degraded", "unhealthy"),
        version=TEXT,
        components={
            "type": "object",
            "properties": {
                "database": COMPONENT,
                "audit_logger": COMPONENT,
                "sidecar": COMPONENT,
                "openclaw": COMPONENT,
                "sources": {"type": "object", "additionalProperties": COMPONENT},
                "notifications": COMPONENT,
                "alerts": COMPONENT,
            },
            "required": ["database"],
        },
        timestamp=TIME,
    ),
    "DaemonStatus": obj(
        ticker_running=FLAG,
        last_tick=nullable(TIME),
        next_tick=nullable(TIME),
        tick_interval_seconds=NUMBER,
        last_tick_seconds=nullable(NUMBER),
        last_tick_report=nullable(ANYTHING),
        active_sessions=COUNT,
        blackboard_db_size_bytes=COUNT,
        tasks_summary=obj(**{status.value: COUNT for status in Status}),
        capacity=ANYTHING,
        paused=array(obj(agent=nullable(TEXT), until=nullable(TIME))),
        calls_avoided=COUNT,
        heartbeats_avoided=COUNT,
        heartbeats={"type": "object", "additionalProperties": _HEARTBEAT},
    ),
    "Paused": obj(agent=nullable(TEXT), paused=FLAG, until=nullable(TIME)),
    "Ticking": obj(ticker_running=FLAG),
    "Team": obj(agents=COUNT, ids=array(TEXT), file=TEXT),
    "TickReport": ANYTHING,
}
