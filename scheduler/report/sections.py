"""A report as headed lists and one table: what all written forms have in common. Pure.

The rule: people read it on a telephone. What is long is cut, what is much alike is put together, and the
number of what is left out is told; JSON leaves nothing of the report out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.blackboard.reporting import Used
from scheduler.core.states import Status
from scheduler.report.model import Caller, OpenTask, Report
from scheduler.report.sentences import incident, short
from scheduler.report.times import Clock

MOST_LINES: Final = 15
"""Of one list."""
MOST_OPEN: Final = 40
"""Open tasks that are told one by one; of more, those that wait are put together by their agent."""
MOST_IDS: Final = 3
LONGEST_TITLE: Final = 80


@dataclass(frozen=True, slots=True)
class Line:
    """One point. Its words are data of others, in parts: every form cleans or escapes them for itself."""

    words: str
    command: str = ""
    """what somebody would call, as it is typed"""


@dataclass(frozen=True, slots=True)
class Section:
    """Lines, then how many more there are, or a table; `note` says what its figures cover."""

    title: str
    lines: tuple[Line, ...] = ()
    more: int = 0
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    note: str = ""


def heading(report: Report, clock: Clock) -> str:
    """Which time it covers."""
    return f"Report, {clock.on(report.since)} to {clock.on(report.until)} ({clock.zone})"


def summary(report: Report) -> str:
    """The whole in a sentence or two."""
    states = ", ".join(
        f"{report.counts[status]} {status}"
        for status in (Status.WORKING, Status.CLAIMED, Status.REVIEW, Status.PENDING, Status.BLOCKED)
        if report.counts.get(status)
    )
    people = len(report.for_people)
    return (
        f"{report.closed.get(Status.DONE, 0)} done, {report.closed.get(Status.FAILED, 0)} failed. "
        + (f"{report.open_count} open: {states}. " if report.open_count else "Nothing is open. ")
        + (f"{people} {'waits' if people == 1 else 'wait'} for a person." if people else "")
    ).strip()


def sections(report: Report, clock: Clock) -> tuple[Section, ...]:
    """Those that have anything to say, what needs somebody first."""
    return tuple(
        each
        for each in (
            _for_people(report),
            _closed(report, Status.FAILED, "Failed", clock),
            _closed(report, Status.DONE, "Done", clock),
            _incidents(report, clock),
            _sources(report),
            _open(report),
            _agents(report),
            _avoided(report),
        )
        if each.lines or each.rows
    )


def _for_people(report: Report) -> Section:
    found = report.for_people
    lines = tuple(Line(f"{_name(each)}: {each.sentence}", each.help) for each in found[:MOST_LINES])
    return Section("Waits for a person", lines, len(found) - len(lines))


def _closed(report: Report, status: Status, title: str, clock: Clock) -> Section:
    found = [each for each in report.last_closed if each.status is status]
    lines = tuple(
        Line(
            f"{clock.at(each.at)}  {each.task} {_cut(each.title)}"
            + (f" ({each.agent})" if each.agent else "")
            + (f": {short(each.reason)}" if each.reason else "")
        )
        for each in found[:MOST_LINES]
    )
    return Section(title, lines, report.closed.get(status, 0) - len(lines))


def _incidents(report: Report, clock: Clock) -> Section:
    lines = tuple(
        Line(f"{clock.at(each.at)}  {each.task}: {incident(each)}")
        for each in report.last_incidents[:MOST_LINES]
    )
    more = sum(report.incidents.values()) - len(lines)
    return Section("Stood still, or began anew", lines, more)


def _sources(report: Report) -> Section:
    """What is down now, as the scheduler says; what was at heartbeats, as the board remembers."""
    lines = [
        Line(f"{each.source} could not be looked at, {each.times:,} times, the latest: {short(each.reason)}")
        for each in report.missing
    ]
    if isinstance(report.daemon, str):
        lines.append(Line(f"which are down now: unknown, {report.daemon}"))
    else:
        down = report.daemon.sources_down
        lines += [Line(f"{name} is down now: {short(why)}") for name, why in down.items()]
    return Section("Task sources", tuple(lines))


def _open(report: Report) -> Section:
    """What waits for a person is told already."""
    others = [each for each in report.open if not each.needs_person]
    alone = others
    if len(others) > MOST_OPEN:
        active = [each for each in others if each.status is not Status.PENDING]
        waiting = [each for each in others if each.status is Status.PENDING]
        alone = [*active[:MOST_OPEN], *waiting[:MOST_LINES]]
    told = {each.id for each in alone}
    rest = [each for each in others if each.id not in told]
    lines = [*(Line(f"{_name(each)}: {each.sentence}") for each in alone), *_together(rest)]
    title = "Also open" if report.for_people else "Open"
    return Section(title, tuple(lines), report.left_off)


def _together(tasks: Sequence[OpenTask]) -> Iterator[Line]:
    """One line for all that one agent has in one state; they are in the order in which they may start."""
    groups: defaultdict[tuple[str, Status], list[OpenTask]] = defaultdict(list)
    for each in tasks:
        groups[each.agent or "nobody", each.status].append(each)
    for (agent, status), mine in sorted(groups.items()):
        ids = ", ".join(each.id for each in mine[:MOST_IDS])
        if len(mine) > MOST_IDS:
            ids += f" and {len(mine) - MOST_IDS} more"
        counts = Counter(each.priority for each in mine)
        urgent = ", ".join(f"{counts[word]} {word}" for word in ("urgent", "high") if counts[word])
        yield Line(f"{agent}: {len(mine)} more {status}" + (f" ({urgent})" if urgent else "") + f": {ids}")


def _agents(report: Report) -> Section:
    used = {each.agent: each for each in report.used}
    heads: tuple[str, ...] = ("agent", "attempts", "turns", "tokens", "throttled")
    note = "Attempts: those that ended in this time or still run."
    if isinstance(report.callers, str):
        note += f" Requests at the sidecar: unknown, {report.callers}."
        return Section("Agents", heads=heads, rows=_rows(used, None), note=note)
    asked = {each.agent: each for each in report.callers}
    heads = (*heads, "requests*", "tokens*", "throttled*")
    note += " * At the sidecar, since it was started."
    return Section("Agents", heads=heads, rows=_rows(used, asked), note=note)


def _rows(used: Mapping[str, Used], asked: Mapping[str, Caller] | None) -> tuple[tuple[str, ...], ...]:
    rows = []
    for agent in sorted({*used, *(asked or {})}):
        mine = used.get(agent)
        figures = [mine.attempts, mine.turns, mine.tokens, mine.throttled] if mine else [0, 0, 0, 0]
        if asked is not None:
            theirs = asked.get(agent)
            figures += [theirs.requests, theirs.tokens, theirs.throttled] if theirs else [0, 0, 0]
        rows.append((agent, *(f"{figure:,}" for figure in figures)))
    return tuple(rows)


def _avoided(report: Report) -> Section:
    lines: list[Line] = []
    if fired := sum(each.fired for each in report.beats):
        started, deferred, failed = (
            sum(getattr(each, name) for each in report.beats) for name in ("started", "deferred", "failed")
        )
        came = f"{started:,} new tasks, {deferred:,} deferred, {failed:,} failed"
        quiet = f"after {report.beats_avoided:,} of them there was nothing to do"
        agents = len(report.beats)
        lines.append(Line(f"{fired:,} heartbeats of {agents} agents in this time: {came}; {quiet}"))
    if isinstance(report.daemon, str):
        lines.append(Line(f"looks at the board that called no model: unknown, {report.daemon}"))
    else:
        what = f"{report.daemon.calls_avoided:,} looks at the board and heartbeats"
        if (looks := report.daemon.looks_avoided) is not None:
            what = f"{looks:,} looks at the board and {report.daemon.heartbeats_avoided:,} heartbeats"
        lines.append(Line(f"{what} called no model, since the scheduler was started"))
    return Section("Calls avoided", tuple(lines))


def _name(task: OpenTask) -> str:
    urgent = f"{task.priority}, " if task.priority in {"urgent", "high"} else ""
    return f"{task.id} {_cut(task.title)} ({urgent}{task.agent or 'nobody'})"


def _cut(title: str) -> str:
    line = " ".join(title.split())
    return line if len(line) <= LONGEST_TITLE else f"{line[: LONGEST_TITLE - 1]}…"
