"""The OpenAPI description of our own endpoints. What is under `/v1` is the upstream's to describe."""

from typing import Any, Final

from proxy import __version__

_Json = dict[str, Any]


def _get(summary: str, schema: _Json, **others: _Json) -> _Json:
    responses = {"200": _content("as the summary says", schema), **others}
    return {"get": {"summary": summary, "responses": responses}}


def _content(description: str, schema: _Json) -> _Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _object(**properties: _Json) -> _Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _nullable(schema: _Json) -> _Json:
    return {"anyOf": [schema, {"type": "null"}]}


_NUMBER: Final[_Json] = {"type": "number"}
_COUNT: Final[_Json] = {"type": "integer", "minimum": 0}
_TEXT: Final[_Json] = {"type": "string"}
_FLAG: Final[_Json] = {"type": "boolean"}
_TIME: Final[_Json] = {"type": "string", "format": "date-time"}
_STATE: Final[_Json] = {"enum": ["normal", "retreat", "recover"]}


def _bands(schema: _Json) -> _Json:
    return _object(urgent=schema, high=schema, normal=schema, low=schema)


_READY: Final = _object(
    ready=_FLAG,
    upstream_reachable=_FLAG,
    queue_healthy=_FLAG,
    token_bucket_healthy=_FLAG,
    draining=_FLAG,
    degraded=_FLAG,
)

_LANE: Final[_Json] = {
    "effective_rpm": _NUMBER,
    "spare_rpm": _NUMBER,
    "window_used": _COUNT,
    "window_limit": _COUNT,
    "queue_depth": _COUNT,
    "expected_wait_seconds": _bands(_NUMBER),
    "retreat_state": _STATE,
    "quiet_until": _nullable(_TIME),
    "blocked": _nullable(
        _object(reason={"enum": ["key_rejected", "no_credits", "upstream_down"]}, since=_TIME)
    ),
}

_EVIDENCE: Final = _object(what=_TEXT, count=_COUNT, first_at=_TIME, last_at=_TIME)

_LEARNT: Final = _object(
    ceiling=_nullable(
        _object(rpm=_NUMBER, met_at_rpm=_NUMBER, share_of_429=_NUMBER, answers=_COUNT, at=_TIME)
    ),
    another_spender=_nullable(_EVIDENCE),
    upstream_down=_nullable(_EVIDENCE),
)

_BLOCKED_MODEL: Final = _nullable({"enum": ["unavailable", "upstream_down"]})

_MODEL: Final = _object(
    id=_TEXT,
    blocked=_BLOCKED_MODEL,
    blocked_until=_nullable(_TIME),
    limit=_nullable(_COUNT),
    in_flight=_COUNT,
    paused_until=_nullable(_TIME),
    own_rate_limit=_nullable(_FLAG),
    evidence={"type": "array", "items": _EVIDENCE},
)

_STATUS: Final = _object(
    requests=_object(total=_COUNT, nvidia=_COUNT, passthrough=_COUNT, ratelimited=_COUNT),
    errors=_object(queue_full_rejects=_COUNT, upstream_errors=_COUNT),
    queue=_object(
        max_size=_COUNT,
        current_size=_COUNT,
        total_enqueued=_COUNT,
        total_dequeued=_COUNT,
        total_dropped=_COUNT,
        depth_by_priority=_bands(_COUNT),
        full_policy={"enum": ["passthrough", "reject", "drop_lowest"]},
        utilization=_NUMBER,
    ),
    token_bucket=_object(tokens=_NUMBER, capacity=_COUNT, rate_per_minute=_NUMBER, utilization=_NUMBER),
    retreat=_object(
        state=_STATE,
        effective_rpm=_NUMBER,
        base_rpm=_NUMBER,
        learnt_ceiling_rpm=_nullable(_NUMBER),
        upstream_429_rate=_NUMBER,
    ),
    lanes={
        "type": "array",
        "items": _object(
            name=_TEXT,
            **_LANE,
            tokens=_NUMBER,
            outside_queue=_COUNT,
            foreign_429=_COUNT,
            learnt=_LEARNT,
            degraded=_FLAG,
        ),
    },
    models={"type": "array", "items": _MODEL},
    uptime_seconds=_NUMBER,
)

_MODELS: Final[_Json] = {
    "type": "object",
    "additionalProperties": _object(
        blocked=_BLOCKED_MODEL, limit=_nullable(_COUNT), paused_until=_nullable(_TIME)
    ),
}

_CAPACITY: Final = _object(
    **_LANE,
    models=_MODELS,
    lanes={
        "type": "array",
        "items": _object(name=_TEXT, **_LANE, models=_MODELS, at_floor=_FLAG),
    },
)

_AGENTS: Final[_Json] = {
    "type": "array",
    "maxItems": 500,
    "items": _object(
        agent=_TEXT,
        session=_TEXT,
        queued=_COUNT,
        in_flight=_COUNT,
        oldest_wait_seconds=_NUMBER,
        last_answer_at=_nullable(_TIME),
        requests=_COUNT,
        throttled=_COUNT,
        prompt_tokens=_COUNT,
        completion_tokens=_COUNT,
    ),
}

DESCRIPTION: Final[_Json] = {
    "openapi": "3.1.0",
    "info": {"title": "Clawpace: the NVIDIA sidecar", "version": __version__},
    "paths": {
        "/health": _get("Alive", _object(status={"const": "ok"}, uptime=_NUMBER, version=_TEXT)),
        "/health/ready": _get(
            "Ready for requests", _READY, **{"503": _content("not ready, and what is missing", _READY)}
        ),
        "/status": _get("The whole picture", _STATUS),
        "/api/capacity": _get("How much work can be started now", _CAPACITY),
        "/api/agents": _get("Who waits, who is served, since the start", _AGENTS),
        "/openapi.json": _get("This description", {"type": "object"}),
    },
}
