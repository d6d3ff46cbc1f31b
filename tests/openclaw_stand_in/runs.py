"""The life of a run in the gateway: begun, ended, interrupted, taken up again."""

import os
import signal
from contextlib import suppress
from typing import Any

from tests.openclaw_stand_in.state import Gateway, Session, now_ms

RECOVERY = "[System] Your previous turn was interrupted by a gateway restart."
DEFAULT = {
    "ends": "ok",
    "answer": "Done.",
    "error": "",
    "looks": 1,
    "begins": True,
    "crash": False,
    "spawn": [],
}


def plan_of(gateway: Gateway, run_id: str) -> dict[str, Any]:
    """What was scripted for it."""
    plans = (plan for plan in gateway["plans"] if run_id.startswith(plan["task"]))
    return dict(next(plans, DEFAULT))


def begin(gateway: Gateway, session: Session, run_id: str, message: str) -> None:
    """The run is under way."""
    say(session, run_id, role="user", content=message, idempotencyKey=f"{run_id}:user")
    session.update(status="running", active=run_id, plan=plan_of(gateway, run_id), updatedAt=now_ms())
    model = f"{session['modelProvider']}/{session['model']}"
    gateway["starts"].append((run_id, session["key"], session["agentId"], message, model))


def look(gateway: Gateway) -> None:
    """What has happened since the last list: runs end, one interrupted session is taken up again."""
    for session in gateway["sessions"].values():
        if not session["active"]:
            continue
        plan = session["plan"]
        if plan["looks"] > 0:
            plan["looks"] -= 1
        elif plan["ends"] == "ok":
            end(gateway, session, "done", plan["answer"])
        elif plan["ends"] == "failed":
            end(gateway, session, "failed", plan["error"])


def recover(gateway: Gateway) -> None:
    """After a list: one session at a time, under a run id of the gateway's own."""
    sessions = gateway["sessions"].values()
    if any(session["active"] and session.get("recovered") for session in sessions):
        return
    for session in sessions:
        if session["status"] == "running" and not session["active"] and not session["archived"]:
            run_id = f"{session['sessionId']}-recovery"
            say(session, run_id, role="user", content=RECOVERY)
            session.update(active=run_id, abortedLastRun=False, recovered=True)
            return


def end(gateway: Gateway, session: Session, status: str, words: str) -> None:
    """`done` with an answer, `failed` with an error, or `killed` with nothing to say."""
    run_id = session["active"] or session["last"]
    gateway["known"].setdefault(run_id, session["key"])
    if status == "done":
        usage = {"input": 100, "output": 10, "totalTokens": 110}
        say(session, run_id, role="assistant", content=_text(words), stopReason="stop", usage=usage)
        session.update(inputTokens=100, outputTokens=10, totalTokens=100)
    elif status == "failed":
        say(session, run_id, role="assistant", content=_text(words), stopReason="error")
    session.update(status=status, active="", last=run_id, updatedAt=now_ms(), endedAt=now_ms())
    session["abortedLastRun"] = status == "killed"
    _end_agent(session)


def lose(gateway: Gateway) -> None:
    """The gateway is killed."""
    gateway["down"] = True
    for session in gateway["sessions"].values():
        if not session["active"]:
            continue
        if session["plan"]["begins"]:
            session.update(active="", abortedLastRun=True)
        else:  # accepted and not begun: forgotten, but for the row
            session.update(active="", status=None, lost=True, messages=[])
        _end_agent(session)


def say(session: Session, run_id: str, **message: Any) -> None:
    """A further message of the transcript."""
    about = {"runId": run_id, "seq": len(session["messages"]) + 1}
    session["messages"].append({**message, "timestamp": now_ms(), "__openclaw": about})


def _text(words: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": words}]


def _end_agent(session: Session) -> None:
    pid, session["pid"] = session["pid"], 0
    if pid and pid != os.getpgrp():
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
