"""A report for programs: all of it, times in RFC 3339; what nobody knows is null beside its reason."""

from dataclasses import asdict

from scheduler.core.states import Status
from scheduler.report.model import OpenTask, Report
from scheduler.report.sentences import incident
from scheduler.wire import Json, time_json


def as_json(report: Report) -> Json:
    """Names and shapes are a contract with users."""
    daemon = None if isinstance(report.daemon, str) else report.daemon
    return {
        "since": time_json(report.since),
        "until": time_json(report.until),
        "tasks_summary": {status.value: report.counts.get(status, 0) for status in Status},
        "done": _closed(report, Status.DONE),
        "failed": _closed(report, Status.FAILED),
        "waiting_for_person": [_open(each) for each in report.for_people],
        "open": {
            "count": report.open_count,
            "tasks": [_open(each) for each in report.open],
            "left_off": report.left_off,
        },
        "incidents": {
            "counts": dict(report.incidents),
            "last": [
                {"at": time_json(each.at), "task": each.task, "what": each.what, "sentence": incident(each)}
                for each in report.last_incidents
            ],
        },
        "agents": {
            "attempts": {
                "covers": "attempts that ended in this time, or still run",
                "agents": [asdict(each) for each in report.used],
            },
            "sidecar": {
                "covers": "since the sidecar was started",
                "agents": None
                if isinstance(report.callers, str)
                else [asdict(each) for each in report.callers],
                "unknown_because": report.callers if isinstance(report.callers, str) else None,
            },
        },
        "heartbeats": {
            "covers": "this time",
            "agents": [asdict(each) for each in report.beats],
        },
        "calls_avoided": {
            "covers": "all but heartbeats_in_this_time: since the scheduler was started",
            "together": daemon and daemon.calls_avoided,
            "looks_at_the_board": daemon and daemon.looks_avoided,
            "heartbeats": daemon and daemon.heartbeats_avoided,
            "heartbeats_in_this_time": report.beats_avoided,
            "unknown_because": report.daemon if isinstance(report.daemon, str) else None,
        },
        "sources_missing": {
            "covers": "heartbeats in this time",
            "sources": [asdict(each) for each in report.missing],
        },
        "sources_down": None if daemon is None else dict(daemon.sources_down),
    }


def _closed(report: Report, status: Status) -> Json:
    return {
        "count": report.closed.get(status, 0),
        "last": [
            {
                "at": time_json(each.at),
                "id": each.task,
                "title": each.title,
                "agent": each.agent,
                "reason": each.reason or None,
            }
            for each in report.last_closed
            if each.status is status
        ],
    }


def _open(task: OpenTask) -> Json:
    return {
        "id": task.id,
        "title": task.title,
        "status": task.status.value,
        "priority": task.priority,
        "agent": task.agent,
        "sentence": task.sentence,
        "help": task.help or None,
    }
