"""What a report asks of the board, in one look.

The rule: it is bounded. A report is read by people and sent to chats; of what is more than they read, the
number is enough. Old events are not looked through: the newest are, by their number.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, literal, or_, select

from scheduler.blackboard import reading
from scheduler.blackboard.beats import BEAT, beat_of
from scheduler.blackboard.rows import STATUS, TASK_FIELDS, attempt_of, event_of, task_of
from scheduler.blackboard.store import Store
from scheduler.blackboard.tables import attempts, events, heartbeats, outbox, tasks
from scheduler.core.beats import Beat
from scheduler.core.records import Attempt, Event, Run
from scheduler.core.states import CLOSED, OPEN, Status
from scheduler.core.task import Task, task_id

MOST_OF_A_KIND: Final = 200
"""Open tasks of one state, closed ones, incidents."""
MOST_EVENTS: Final = 200_000
"""The newest, looked through for what happened in the time: more than a busy week."""
MOST_HEARTBEATS: Final = 50_000
MOST_ATTEMPTS: Final = 2_000
LONGEST_WORDS: Final = 1_000
"""Characters of a title or a reason; a description is not asked for at all."""

INCIDENTS: Final = ("suspect", "recover", "no_result", "never_started", "requeue", "expire", "turns_warning")
"""Events that tell of an agent standing still, or of work that had to begin anew."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A task that came to its end in the time."""

    at: float
    task: str
    title: str
    agent: str | None
    status: Status
    reason: str
    """why it failed"""


@dataclass(frozen=True, slots=True)
class Used:
    """What the attempts of one agent took."""

    agent: str
    attempts: int
    turns: int
    tokens: int
    throttled: int


@dataclass(frozen=True, slots=True)
class Beats:
    """What the heartbeats of one agent came to."""

    agent: str
    fired: int = 0
    found: int = 0
    started: int = 0
    """tasks that were new on the board"""
    deferred: int = 0
    skipped: int = 0
    failed: int = 0
    avoided: int = 0
    """heartbeats after which there was nothing to do, so that no model had to be asked"""


@dataclass(frozen=True, slots=True)
class Missing:
    """A task source that heartbeats could not look at."""

    source: str
    times: int
    reason: str
    """the latest"""


@dataclass(frozen=True, slots=True)
class Collected:
    """The board's part of a report. Lists are cut at MOST_OF_A_KIND, the newest or most urgent kept."""

    counts: Mapping[Status, int]
    closed: Mapping[Status, int]
    """done and failed in the time"""
    last_closed: tuple[Closed, ...]
    """the newest first"""
    open: tuple[Task, ...]
    """by state, then as they may start; without descriptions"""
    incidents: Mapping[str, int]
    """by the kind of event"""
    last_incidents: tuple[Event, ...]
    """the newest first"""
    used: tuple[Used, ...]
    beats: tuple[Beats, ...]
    missing: tuple[Missing, ...]


def collect(store: Store, since: float, until: float) -> Collected:
    """What happened from `since` to `until`, and what is open now."""
    return store.transactions.read(_collect, since, until)


def told(store: Store, causes: Collection[str]) -> frozenset[str]:
    """Which of these are in the outbox, sent or not."""
    query = {"causes": list(causes)}
    return store.transactions.read(lambda connection: frozenset(connection.execute(_TOLD, query).scalars()))


def first_event_at(store: Store) -> float | None:
    """When anything happened on this board for the first time."""
    return store.transactions.read(lambda connection: connection.execute(_FIRST_EVENT).scalar())


def ended_attempts(store: Store) -> tuple[Attempt, ...]:
    """The newest that are over, the newest first: what an agent's runs are like."""
    return store.transactions.read(lambda connection: tuple(map(attempt_of, connection.execute(_ENDED))))


_LONG: Final = frozenset({"title", "blocked_reason", "waiting_because", "waiting_for"})


def _column(name: str) -> ColumnElement[Any]:
    if name == "description":
        return literal("")
    return func.substr(tasks.c[name], 1, LONGEST_WORDS) if name in _LONG else tasks.c[name]


_OPEN: Final = (
    select(*map(_column, TASK_FIELDS))
    .where(tasks.c.archived_at.is_(None), tasks.c.status == bindparam("its_status"))
    .order_by(tasks.c.priority, tasks.c.pending_since, tasks.c.number)
    .limit(MOST_OF_A_KIND)
)
_LATELY: Final = and_(
    events.c.number > bindparam("after"), events.c.at >= bindparam("since"), events.c.at <= bindparam("until")
)
# What has failed and was tried again is open, and told there.
_CLOSED: Final = and_(
    _LATELY,
    events.c.to_status.in_([status.value for status in CLOSED]),
    or_(events.c.from_status.is_(None), events.c.from_status != events.c.to_status),
    tasks.c.status == events.c.to_status,
)
_LAST_CLOSED: Final = (
    select(
        func.max(events.c.at).label("at"),
        tasks.c.number,
        func.substr(tasks.c.title, 1, LONGEST_WORDS),
        tasks.c.assignee,
        tasks.c.status,
        func.substr(func.coalesce(tasks.c.blocked_reason, ""), 1, LONGEST_WORDS),
    )
    .join(tasks, tasks.c.number == events.c.task)
    .where(_CLOSED, tasks.c.status == bindparam("its_status"))
    .group_by(tasks.c.number, tasks.c.title, tasks.c.assignee, tasks.c.status, tasks.c.blocked_reason)
    .order_by(func.max(events.c.at).desc(), tasks.c.number.desc())
    .limit(MOST_OF_A_KIND)
)
_CLOSED_COUNTS: Final = (
    select(tasks.c.status, func.count(func.distinct(tasks.c.number)))
    .select_from(events.join(tasks, tasks.c.number == events.c.task))
    .where(_CLOSED)
    .group_by(tasks.c.status)
)
_INCIDENT: Final = and_(_LATELY, events.c.what.in_(INCIDENTS))
_INCIDENT_COUNTS: Final = select(events.c.what, func.count()).where(_INCIDENT).group_by(events.c.what)
_LAST_INCIDENTS: Final = (
    select(*(column for column in events.c if column.name != "number"))
    .where(_INCIDENT)
    .order_by(events.c.number.desc())
    .limit(MOST_OF_A_KIND)
)
_USED: Final = (
    select(
        attempts.c.agent,
        func.count(),
        func.sum(attempts.c.turns),
        func.sum(attempts.c.tokens),
        func.sum(attempts.c.throttled),
    )
    .where(
        attempts.c.claimed_at <= bindparam("until"),
        or_(
            attempts.c.ended_at >= bindparam("since"),
            attempts.c.run.in_([Run.INTENDED.value, Run.STARTED.value]),
            and_(attempts.c.run == Run.NONE.value, attempts.c.ended_at.is_(None)),
        ),
    )
    .group_by(attempts.c.agent)
    .order_by(attempts.c.agent)
)
_BEATS: Final = (
    select(*BEAT)
    .where(heartbeats.c.fired_at >= bindparam("since"), heartbeats.c.fired_at <= bindparam("until"))
    .order_by(heartbeats.c.fired_at.desc())
    .limit(MOST_HEARTBEATS)
)
_ENDED: Final = (
    select(*reading.ATTEMPT_COLUMNS)
    .where(attempts.c.ended_at.is_not(None))
    .order_by(attempts.c.ended_at.desc(), attempts.c.task, attempts.c.epoch)
    .limit(MOST_ATTEMPTS)
)
_TOLD: Final = select(outbox.c.cause).where(outbox.c.cause.in_(bindparam("causes", expanding=True)))
_FIRST_EVENT: Final = select(events.c.at).order_by(events.c.number).limit(1)


def _collect(connection: Connection, since: float, until: float) -> Collected:
    time = {"since": since, "until": until, "after": reading.last_event(connection) - MOST_EVENTS}
    fired = [beat_of(row) for row in connection.execute(_BEATS, time)]
    closed = {STATUS[status]: count for status, count in connection.execute(_CLOSED_COUNTS, time)}
    return Collected(
        counts=reading.counts(connection),
        closed={status: closed.get(status, 0) for status in (Status.DONE, Status.FAILED)},
        last_closed=tuple(
            Closed(at, task_id(number), title, agent, STATUS[word], reason)
            for status in (Status.DONE, Status.FAILED)
            for at, number, title, agent, word, reason in connection.execute(
                _LAST_CLOSED, {**time, "its_status": status.value}
            )
        ),
        open=tuple(each for status in Status if status in OPEN for each in _open(connection, status)),
        incidents=dict(connection.execute(_INCIDENT_COUNTS, time).all()),
        last_incidents=tuple(map(event_of, connection.execute(_LAST_INCIDENTS, time))),
        used=tuple(
            Used(agent, count, int(turns or 0), int(tokens or 0), int(throttled or 0))
            for agent, count, turns, tokens, throttled in connection.execute(_USED, time)
        ),
        beats=_beats(fired),
        missing=_missing(fired),
    )


def _open(connection: Connection, status: Status) -> tuple[Task, ...]:
    rows = connection.execute(_OPEN, {"its_status": status.value}).all()
    return tuple(map(task_of, rows))


def _beats(fired: Sequence[Beat]) -> tuple[Beats, ...]:
    by_agent: defaultdict[str, list[Beat]] = defaultdict(list)
    for each in fired:
        by_agent[each.agent].append(each)
    return tuple(
        Beats(
            agent,
            fired=len(mine),
            found=sum(each.found for each in mine),
            started=sum(each.started for each in mine),
            deferred=sum(each.deferred for each in mine),
            skipped=sum(each.skipped for each in mine),
            failed=sum(each.failed for each in mine),
            avoided=sum(each.avoided for each in mine),
        )
        for agent, mine in sorted(by_agent.items())
    )


def _missing(fired: Sequence[Beat]) -> tuple[Missing, ...]:
    """The newest comes first."""
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for each in fired:
        for source, why in each.unavailable.items():
            reasons[source].append(why)
    return tuple(Missing(source, len(each), each[0]) for source, each in sorted(reasons.items()))
