"""The gateway's methods: from parameters to an answer, or to a refusal."""

from collections.abc import Callable
from typing import Any

from tests.openclaw_stand_in import runs, workboard
from tests.openclaw_stand_in.refusal import RefusedError
from tests.openclaw_stand_in.state import MODEL, Gateway, Session, now_ms, open_session

Params = dict[str, Any]
_HIDDEN = ("active", "last", "lost", "pid", "messages", "plan", "recovered")


def answer(gateway: Gateway, method: str, params: Params) -> Params:
    """Raises RefusedError."""
    switched_off = method.startswith("workboard.") and gateway["workboard"] != "on"
    if method not in METHODS or switched_off:
        raise RefusedError(f"unknown method: {method}")
    needed, allowed, act = METHODS[method]
    for name in needed:
        if not isinstance(params.get(name), str) or not params[name]:
            raise RefusedError(f"invalid {method} params: must have required property '{name}'")
    for name in params:
        if name not in needed and name not in allowed:
            raise RefusedError(f"invalid {method} params: at root: unexpected property '{name}'")
    return act(gateway, params)


def _health(_gateway: Gateway, _params: Params) -> Params:
    return {"ok": True, "ts": now_ms(), "durationMs": 1}


def _agents(gateway: Gateway, _params: Params) -> Params:
    names = gateway["agents"] or sorted({session["agentId"] for session in gateway["sessions"].values()})
    primary = f"{gateway['providers'][0]}/{MODEL}"
    return {"defaultId": "main", "agents": [{"id": name, "model": {"primary": primary}} for name in names]}


def _models(gateway: Gateway, params: Params) -> Params:
    if len(gateway["agents"]) > 1 and "agentId" not in params:
        raise RefusedError("Multiple agents are configured. Set agentId to choose which agent is used.")
    models = [{"id": MODEL, "provider": provider, "available": True} for provider in gateway["providers"]]
    return {"models": models}


def _list(gateway: Gateway, params: Params) -> Params:
    whole = "search" not in params  # to look for one session moves nothing
    if whole:
        runs.look(gateway)
    wanted = params.get("archived", False)
    rows = [
        _row(session)
        for session in gateway["sessions"].values()
        if (wanted == "all" or session["archived"] == wanted)
        and str(params.get("search", "")).lower() in session["key"]
    ]
    rows.sort(key=lambda row: row["updatedAt"], reverse=True)
    limit, offset = params.get("limit", 100), params.get("offset", 0)
    page, more = rows[offset : offset + limit], len(rows) > offset + limit
    if whole:
        runs.recover(gateway)
    return {
        "ts": now_ms(),
        "count": len(page),
        "totalCount": len(rows),
        "limitApplied": limit,
        "nextOffset": offset + limit if more else None,
        "hasMore": more,
        "sessions": page,
    }


def _row(session: Session) -> Params:
    row = {name: value for name, value in session.items() if name not in _HIDDEN and value is not None}
    ended = {} if session["active"] or not session["last"] else {"lastRunId": session["last"]}
    return {**row, **ended, "hasActiveRun": bool(session["active"])}


def _patch(gateway: Gateway, params: Params) -> Params:
    provider, _, model = str(params.get("model", "")).partition("/")
    if provider not in gateway["providers"]:
        raise RefusedError(f'Unknown provider "{provider}". Use /models to list providers.')
    session = _session(gateway, params["key"])
    session.update(modelProvider=provider, model=model, updatedAt=now_ms())
    return {"ok": True, "key": session["key"], "resolved": {"modelProvider": provider, "model": model}}


def _agent(gateway: Gateway, params: Params) -> Params:
    run_id, key = params["idempotencyKey"], params["sessionKey"].lower()
    agent = params.get("agentId", key.split(":")[1])
    if gateway["agents"] and agent not in gateway["agents"]:
        raise RefusedError(f'invalid agent params: unknown agent id "{agent}"')
    if run_id in gateway["known"]:
        return _repeated(gateway["sessions"][gateway["known"][run_id]], run_id)
    session = open_session(gateway, key, agent)
    if session["archived"]:
        raise RefusedError(f'Session "{key}" is archived. Restore it before starting new work.')
    if session["lost"]:
        raise RefusedError("Pending input ownership ended; submit a new turn to continue", "UNAVAILABLE")
    begun_before = session["status"] is not None
    runs.begin(gateway, session, run_id, params["message"])
    gateway["known"][run_id] = key
    if begun_before:  # the transcript has this key already: accepted, and then it fails
        runs.end(gateway, session, "failed", "The agent run failed before producing a reply.")
    return {"runId": run_id, "sessionKey": key, "agentId": agent, "status": "accepted"}


def _repeated(session: Session, run_id: str) -> Params:
    about = {"runId": run_id, "sessionKey": session["key"], "agentId": session["agentId"]}
    if session["status"] == "running":
        return {**about, "status": "in_flight"}
    if session["status"] == "killed":
        return {**about, "status": "timeout", "stopReason": "rpc"}
    if session["status"] == "failed":
        raise RefusedError(session["messages"][-1]["content"][0]["text"], "UNAVAILABLE")
    payloads = session["messages"][-1]["content"]
    return {**about, "status": "ok", "summary": "completed", "result": {"payloads": payloads}}


def _wait(gateway: Gateway, params: Params) -> Params:
    """The run ids of the gateway's own making are known here, too."""
    run_id = params["runId"]
    session = gateway["sessions"].get(gateway["known"].get(run_id, ""))
    if session is None or session["status"] == "running":
        return {"runId": run_id, "status": "timeout"}
    if session["status"] == "done":
        text = session["messages"][-1]["content"][0]["text"]
        cut = text if len(text) <= 4096 else text[:4095] + "…"
        return {"runId": run_id, "status": "ok", "stopReason": "stop", "terminalReply": {"text": cut}}
    if session["status"] == "killed":
        return {"runId": run_id, "status": "error", "stopReason": "rpc"}
    return {"runId": run_id, "status": "error", "error": session["messages"][-1]["content"][0]["text"]}


def _abort(gateway: Gateway, params: Params) -> Params:
    session = gateway["sessions"].get(params["key"].lower())
    if session is None or not session["active"]:
        return {"ok": True, "abortedRunId": None, "status": "no-active-run"}
    run_id = session["active"]
    runs.end(gateway, session, "killed", "")
    return {"ok": True, "abortedRunId": run_id, "status": "aborted"}


def _history(gateway: Gateway, params: Params) -> Params:
    session = gateway["sessions"].get(params["sessionKey"].lower())
    messages = session["messages"] if session else []
    limit, offset = params.get("limit", 200), params.get("offset", 0)
    end = max(0, len(messages) - offset)
    begin = max(0, end - limit)
    more = begin > 0
    page = {
        "sessionKey": params["sessionKey"],
        "messages": [_cut(message, params.get("maxChars", 8000)) for message in messages[begin:end]],
        "hasMore": more,
        "totalMessages": len(messages),
    }
    return {**page, "nextOffset": offset + end - begin} if more else page


def _cut(message: Params, most: int) -> Params:
    content = message["content"]
    if isinstance(content, str):
        return {**message, "content": content[:most]}
    return {**message, "content": [{**part, "text": part["text"][:most]} for part in content]}


def archive(gateway: Gateway, keys: list[str]) -> Params:
    """Not a method: `sessions archive`."""
    results: list[Params] = []
    for key in keys:
        session = gateway["sessions"].get(key.lower())
        if session is None:
            results.append({"key": key, "ok": False, "status": "not_found"})
            continue
        if session["active"]:
            runs.end(gateway, session, "killed", "")
        status = "already_archived" if session["archived"] else "archived"
        session["archived"] = True
        results.append({"key": key, "ok": True, "status": status})
    return {"ok": all(result["ok"] for result in results), "operation": "archive", "results": results}


def _session(gateway: Gateway, key: str) -> Session:
    return open_session(gateway, key.lower(), key.lower().split(":")[1])


Method = Callable[[Gateway, Params], Params]

# Parameters that must be there, that may be there, what it does.
METHODS: dict[str, tuple[tuple[str, ...], tuple[str, ...], Method]] = {
    "health": ((), (), _health),
    "agents.list": ((), (), _agents),
    "models.list": ((), ("agentId",), _models),
    "sessions.list": ((), ("limit", "offset", "search", "archived", "agentId", "activeMinutes"), _list),
    "sessions.patch": (("key",), ("model",), _patch),
    "sessions.abort": (("key",), ("clearQueued",), _abort),
    "chat.history": (("sessionKey",), ("limit", "offset", "maxChars"), _history),
    "agent": (("message", "idempotencyKey", "sessionKey"), ("agentId", "deliver", "timeout"), _agent),
    "agent.wait": (("runId",), ("timeoutMs",), _wait),
    "workboard.cards.list": ((), (), lambda gateway, _params: workboard.listing(gateway)),
    "workboard.cards.claim": (("id", "ownerId"), ("token", "ttlSeconds"), workboard.claim),
    "workboard.cards.heartbeat": (("id",), ("ownerId", "token", "note"), workboard.heartbeat),
    "workboard.cards.comment": (("id", "body"), (), workboard.comment),
    "workboard.cards.release": (("id",), ("ownerId", "token", "status"), workboard.release),
    "workboard.cards.complete": (("id",), ("ownerId", "token", "summary"), workboard.complete),
    "workboard.cards.block": (("id",), ("ownerId", "token", "reason"), workboard.block),
}
