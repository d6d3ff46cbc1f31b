"""A simulated day for people, and for programs. Pure."""

from collections.abc import Iterator

from scheduler.cli.printing import columns
from scheduler.core.states import Status
from scheduler.simulate.figures import Fate, Spread
from scheduler.simulate.profiles import DEFAULT_REQUESTS, DEFAULT_SECONDS
from scheduler.simulate.result import Result
from scheduler.wire import Json, time_json

_BEHIND = 60.0


def as_text(result: Result) -> str:
    """One screen."""
    return "\n".join(_lines(result))


def _lines(result: Result) -> Iterator[str]:
    asked, requests = result.asked, result.requests
    yield (
        f"{asked.hours:g} hours of {len(result.agents)} agents on {asked.rpm:g} requests a minute, "
        f"simulated in {result.took_seconds:.1f} s (seed {asked.seed})"
    )
    board = f"a copy of {result.origin}" if result.origin else "a new one"
    yield f"Board: {board}. Tasks: {result.tasks_from}."
    yield from result.notes
    yield _records(len({*result.recorded} & {*result.agents}), len(result.agents))
    yield ""
    yield from columns(
        ("priority", "tasks", "done", "failed", "open", "waits p50", "p95", "max"),
        [
            (
                lane.priority.word,
                *(f"{count}" for count in (lane.tasks, lane.done, lane.failed, lane.open)),
                *_spread(lane.waited),
            )
            for lane in result.lanes
        ],
    )
    yield ""
    yield from columns(
        ("priority", "until done p50", "p95", "max"),
        [(lane.priority.word, *_spread(lane.took)) for lane in result.lanes],
    )
    yield "Waits: from when a task could have been started to the first request of its run."
    yield ""
    share = requests.sent / requests.allowed if requests.allowed else 0.0
    yield (
        f"Budget: {requests.sent:,} of {requests.allowed:,.0f} requests ({share:.1%}); "
        f"never more than {requests.most_in_a_minute} in 60 s; {requests.throttled:,} waited for it"
    )
    yield from columns(
        ("band", "requests", "waits p50", "p95", "max"),
        [
            (band.name.lower(), f"{spread.count:,}", *_spread(spread))
            for band, spread in requests.held_back.items()
            if spread.count
        ],
    )
    yield ""
    looks, beats = result.calls_avoided - result.beats.count, result.beats.count
    yield (
        f"Calls avoided: {result.calls_avoided:,} "
        f"({looks:,} looks at the board that started nothing, {beats:,} heartbeats)"
    )
    if result.beats.closest is not None:
        yield f"Heartbeats: the two nearest to each other are {result.beats.closest:g} s apart"
    finished = [at for fate in result.fates if (at := fate.finished_at) is not None]
    if finished:
        yield f"The last end of a task was {span(max(finished) - result.start)} after the beginning."
    yield from _left(result)


def _records(recorded: int, agents: int) -> str:
    made_up = f"makes {DEFAULT_REQUESTS:g} requests, one every {DEFAULT_SECONDS:g} s"
    if not recorded:
        return f"No agent has a record of earlier runs, so every run {made_up}."
    if recorded == agents:
        return "Every agent works as the record of its earlier runs says."
    have = "agent works as the record of its" if recorded == 1 else "agents work as the record of their"
    return f"{recorded} {have} earlier runs says; a run of any other {made_up}."


def _left(result: Result) -> Iterator[str]:
    left = [fate.task for fate in result.fates if fate.task.status not in {Status.DONE, Status.FAILED}]
    if left:
        counts = {status: sum(task.status is status for task in left) for status in Status}
        words = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        yield f"Open at the end: {words}."


def _spread(spread: Spread) -> tuple[str, str, str]:
    p50, p95, longest = (
        "-" if each is None else span(each) for each in (spread.p50, spread.p95, spread.longest)
    )
    return p50, p95, longest


def span(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3:05 min`, `5:10 h`: exact enough for a model."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 6_000:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def as_json(result: Result) -> Json:
    """Durations in seconds, times in RFC 3339."""
    requests = result.requests
    return {
        "agents": list(result.agents),
        "rpm": result.asked.rpm,
        "hours": result.asked.hours,
        "seed": result.asked.seed,
        "board": {"copy_of": str(result.origin) if result.origin else None, "tasks": result.tasks_from},
        "notes": list(result.notes),
        "recorded": list(result.recorded),
        "start": time_json(result.start),
        "end": time_json(result.end),
        "tasks": {
            "done": sum(lane.done for lane in result.lanes),
            "failed": sum(lane.failed for lane in result.lanes),
            "open": sum(lane.open for lane in result.lanes),
        },
        "priorities": {
            lane.priority.word: {
                "tasks": lane.tasks,
                "done": lane.done,
                "failed": lane.failed,
                "open": lane.open,
                "wait_seconds": _spread_json(lane.waited),
                "finish_seconds": _spread_json(lane.took),
            }
            for lane in result.lanes
        },
        "budget": {
            "requests": requests.sent,
            "allowed": requests.allowed,
            "share": requests.sent / requests.allowed if requests.allowed else 0.0,
            "most_in_60_seconds": requests.most_in_a_minute,
            "throttled": requests.throttled,
            "wait_seconds": {
                band.name.lower(): _spread_json(spread) for band, spread in requests.held_back.items()
            },
        },
        "calls_avoided": result.calls_avoided,
        "heartbeats": {
            "fired": result.beats.count,
            "agents": dict(result.beats.fired),
            "closest_seconds": result.beats.closest,
        },
        "ticks": result.ticks,
        "took_seconds": round(result.took_seconds, 3),
        "finished": [_fate_json(fate) for fate in result.fates],
    }


def _spread_json(spread: Spread) -> Json:
    return {"count": spread.count, "p50": spread.p50, "p95": spread.p95, "max": spread.longest}


def _fate_json(fate: Fate) -> Json:
    return {
        "id": fate.task.id,
        "title": fate.task.title,
        "agent": fate.task.assignee,
        "priority": fate.task.priority.word,
        "status": fate.task.status.value,
        "ready_at": time_json(fate.ready_at),
        "begun_at": time_json(fate.begun_at),
        "finished_at": time_json(fate.finished_at),
    }
