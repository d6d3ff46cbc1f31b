"""The board's records as JSON: what the command line prints and the API answers, in one shape.

The rule: names and shapes here are a contract with users. Times are RFC 3339 in UTC, what is not known is
null, no field is ever left out, and the hash of a claim's secret never leaves the database.
"""

import re
from datetime import datetime
from typing import Final

from scheduler.blackboard.queries import Thread
from scheduler.core.claims import ClaimToken
from scheduler.core.records import Attempt, Comment, Decision, Event, Observation, Output
from scheduler.core.task import Task
from shared.clock import rfc3339

Json = dict[str, object]

LATEST: Final = 253_402_300_799.0
"""The last second of the year 9999: no calendar of ours goes further."""

# RFC 3339, section 5.6; `T` and `Z` may be small, and a blank may stand for the `T`.
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)


def parse_time(text: str) -> float:
    """An RFC 3339 time with any offset as Unix seconds. Raises ValueError for anything else."""
    if _TIME.fullmatch(text) is None:
        raise ValueError("a time looks like 2026-03-01T09:30:00Z or 2026-03-01T17:30:00+08:00")
    moment = datetime.fromisoformat(text.upper()).timestamp()
    if not 0 <= moment <= LATEST:
        raise ValueError("a time is between 1970 and 9999")
    return moment


def time_json(moment: float | None) -> str | None:
    """None stays None: never, or not known."""
    return None if moment is None else rfc3339(moment)


def task_json(task: Task) -> Json:
    """The card, without what stands beside it."""
    return {
        "id": task.id,
        "title": task.title,
        "description": task.description,
        "status": task.status.value,
        "priority": task.priority.word,
        "creator": task.creator,
        "assignee": task.assignee,
        "depends_on": list(task.depends_on),
        "source": task.source.value,
        "external_id": task.external_id,
        "risk_tools": list(task.risk_tools),
        "approval": task.approval.value,
        "expects": list(task.expects),
        "review": task.review,
        "review_of": task.review_of,
        "attempt": task.attempt,
        "max_attempts": task.max_attempts,
        "turns": task.turns,
        "max_turns": task.max_turns,
        "epoch": task.epoch,
        "claimant": task.claimant,
        "lease_until": time_json(task.lease_until),
        "waiting_for": task.waiting_for,
        "waiting_because": task.waiting_because,
        "expected_start_at": time_json(task.expected_start_at),
        "blocked_by": None if task.blocked_by is None else task.blocked_by.value,
        "blocked_reason": task.blocked_reason,
        "not_before": time_json(task.not_before),
        "created_at": time_json(task.created_at),
        "updated_at": time_json(task.updated_at),
        "progress_at": time_json(task.progress_at),
        "suspect_at": time_json(task.suspect_at),
        "archived_at": time_json(task.archived_at),
    }


def claim_json(task: Task, token: ClaimToken) -> Json:
    """The one place that shows a claim token. A claim that a run holds never expires by itself."""
    return {
        "id": task.id,
        "claim": str(token),
        "epoch": task.epoch,
        "expires_at": time_json(task.lease_until),
        "task": task_json(task),
    }


def thread_json(thread: Thread) -> Json:
    """All that stands beside a task, oldest first."""
    return {
        "outputs": [output_json(each) for each in thread.outputs],
        "comments": [said_json(each) for each in thread.comments],
        "observations": [said_json(each) for each in thread.observations],
        "decisions": [decision_json(each) for each in thread.decisions],
        "attempts": [attempt_json(each) for each in thread.attempts],
        "events": [event_json(each) for each in thread.events],
    }


def output_json(output: Output) -> Json:
    return {
        "name": output.name,
        "epoch": output.epoch,
        "author": output.author,
        "at": time_json(output.at),
        "final": output.final,
        "size_bytes": output.size_bytes,
        "sha256": output.sha256,
        "path": output.path,
    }


def said_json(said: Comment | Observation) -> Json:
    return {"author": said.author, "at": time_json(said.at), "text": said.text}


def decision_json(decision: Decision) -> Json:
    return {
        "by": decision.by,
        "at": time_json(decision.at),
        "decision": decision.verdict.value,
        "reason": decision.reason,
    }


def attempt_json(attempt: Attempt) -> Json:
    return {
        "epoch": attempt.epoch,
        "agent": attempt.agent,
        "run": attempt.run.value,
        "claimed_at": time_json(attempt.claimed_at),
        "started_at": time_json(attempt.started_at),
        "ended_at": time_json(attempt.ended_at),
        "end": attempt.end,
        "error": attempt.error,
        "stop_because": attempt.stop_because,
        "turns": attempt.turns,
        "tokens": attempt.tokens,
        "throttled": attempt.throttled,
    }


def event_json(event: Event) -> Json:
    return {
        "task": event.task,
        "at": time_json(event.at),
        "who": event.who,
        "what": event.what,
        "from": None if event.from_status is None else event.from_status.value,
        "to": event.to_status.value,
        "details": dict(event.details),
    }


def error_json(code: str, message: str) -> Json:
    return {"error": {"code": code, "message": message}}
