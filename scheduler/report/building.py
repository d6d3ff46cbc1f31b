"""A report from what the board and its neighbours said. Pure."""

from collections import defaultdict
from collections.abc import Iterable

from scheduler.blackboard.reporting import Collected
from scheduler.core.capacity import CallerActivity
from scheduler.core.states import OPEN
from scheduler.report.model import Caller, OpenTask, Outside, Report
from scheduler.report.sentences import help_for, needs_person, sentence
from scheduler.report.times import Clock


def build(collected: Collected, outside: Outside, *, since: float, until: float, clock: Clock) -> Report:
    """`clock`: how times are written in the sentences."""
    shown = tuple(
        OpenTask(
            id=task.id,
            title=task.title,
            status=task.status,
            agent=task.claimant or task.assignee,
            priority=task.priority.word,
            sentence=sentence(task, until, clock),
            needs_person=needs_person(task),
            help=help_for(task),
        )
        for task in collected.open
    )
    return Report(
        since=since,
        until=until,
        counts=collected.counts,
        closed=collected.closed,
        last_closed=collected.last_closed,
        open=shown,
        left_off=max(0, sum(collected.counts.get(status, 0) for status in OPEN) - len(shown)),
        incidents=collected.incidents,
        last_incidents=collected.last_incidents,
        used=collected.used,
        beats=collected.beats,
        missing=collected.missing,
        callers=outside.callers if isinstance(outside.callers, str) else _callers(outside.callers),
        daemon=outside.daemon,
    )


def _callers(activities: Iterable[CallerActivity]) -> tuple[Caller, ...]:
    sessions: defaultdict[str, list[CallerActivity]] = defaultdict(list)
    for each in activities:
        sessions[each.agent].append(each)
    return tuple(
        Caller(
            agent=agent,
            requests=sum(each.requests for each in mine),
            tokens=sum(each.prompt_tokens + each.completion_tokens for each in mine),
            throttled=sum(each.throttled for each in mine),
        )
        for agent, mine in sorted(sessions.items())
    )
