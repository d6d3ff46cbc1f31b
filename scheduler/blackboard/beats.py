"""Heartbeats on the board: when each agent's next one is due, and what became of those that were.

The rule: the next due time is a row that has not fired. A heartbeat, its result and the next due time are
written in one transaction, so that after a crash either it is still due, or all of it is known.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, select, text

from scheduler.blackboard.claimable import in_states
from scheduler.blackboard.rows import as_json, storable
from scheduler.blackboard.store import Store
from scheduler.blackboard.tables import heartbeats, tasks
from scheduler.core.beats import Beat, Kept, Planned
from scheduler.core.states import OPEN, Status
from scheduler.core.task import Source

KEPT_SECONDS: Final = 30 * 86_400.0
"""So long the board knows what became of a heartbeat."""


def kept(store: Store, now: float) -> Mapping[str, Kept]:
    """Of every agent that has any."""
    return store.transactions.read(_kept, now)


def plan(store: Store, changes: Mapping[str, Planned | None], now: float) -> None:
    """What these agents' next heartbeats are; None: there is none. What fired long ago is forgotten."""
    store.transactions.write(_plan, changes, now)


def record(store: Store, beat: Beat, upcoming: Planned | None) -> bool:
    """It is over, and `upcoming` is due next. False: it was written down before, and stays as it is."""
    return store.transactions.write(_record, beat, upcoming)


def note(store: Store, beat: Beat) -> bool:
    """The same for one that somebody asked for: what is planned stays planned."""
    return store.transactions.write(_insert, beat)


def waiting(store: Store, agent: str) -> Sequence[str | None]:
    """Why each of the agent's pending tasks waits; None: nobody has said yet."""
    return store.transactions.read(_waiting, agent)


def any_open(store: Store, external_ids: str) -> bool:
    """Whether a task of the board's own is not over whose external id begins like that."""
    return store.transactions.read(_any_open, external_ids)


_PLANNED: Final = select(heartbeats.c.agent, heartbeats.c.due_at, heartbeats.c.result).where(
    heartbeats.c.fired_at.is_(None)
)
_LAST: Final = (
    select(heartbeats.c.agent, func.max(heartbeats.c.fired_at))
    .where(heartbeats.c.fired_at <= bindparam("now"))
    .group_by(heartbeats.c.agent)
)
_USED: Final = select(heartbeats.c.agent, heartbeats.c.due_at).where(
    heartbeats.c.due_at > bindparam("begin"), heartbeats.c.fired_at.is_not(None)
)
_UNPLAN: Final = delete(heartbeats).where(
    heartbeats.c.agent == bindparam("its_agent"), heartbeats.c.fired_at.is_(None)
)
# (agent, due_at) is the key: what has fired is not fired again.
_INSERT: Final = text(
    "INSERT INTO heartbeats (agent, due_at, fired_at, result) VALUES (:agent, :due_at, :fired_at, :result) "
    "ON CONFLICT (agent, due_at) DO NOTHING"
)
_PRUNE: Final = delete(heartbeats).where(
    heartbeats.c.due_at < bindparam("before"), heartbeats.c.fired_at.is_not(None)
)
_PRUNE_OF: Final = _PRUNE.where(heartbeats.c.agent == bindparam("its_agent"))
_WAITING: Final = select(tasks.c.waiting_because).where(
    tasks.c.status == Status.PENDING.value,
    tasks.c.assignee == bindparam("its_agent"),
    tasks.c.archived_at.is_(None),
)
_ANY_OPEN: Final = (
    select(tasks.c.number)
    .where(
        in_states(OPEN),
        tasks.c.archived_at.is_(None),
        tasks.c.source == Source.BLACKBOARD.value,
        func.substr(tasks.c.external_id, 1, bindparam("length")) == bindparam("begins"),
    )
    .limit(1)
)


def _kept(connection: Connection, now: float) -> Mapping[str, Kept]:
    planned = {
        agent: Planned(agent, due, _rule(result)) for agent, due, result in connection.execute(_PLANNED)
    }
    last = {row[0]: row[1] for row in connection.execute(_LAST, {"now": now})}
    used: defaultdict[str, set[float]] = defaultdict(set)
    begin = min((each.due_at for each in planned.values()), default=now)
    for agent, due in connection.execute(_USED, {"begin": min(begin, now)}):
        used[agent].add(due)
    return {
        agent: Kept(planned.get(agent), last.get(agent), frozenset(used.get(agent, ())))
        for agent in {*planned, *last, *used}
    }


def _plan(connection: Connection, changes: Mapping[str, Planned | None], now: float) -> None:
    for agent, planned in sorted(changes.items()):  # two at once lock in the same order
        connection.execute(_UNPLAN, {"its_agent": agent})
        if planned is not None:
            connection.execute(_INSERT, _row_of(planned))
    connection.execute(_PRUNE, {"before": now - KEPT_SECONDS})


def _record(connection: Connection, beat: Beat, upcoming: Planned | None) -> bool:
    connection.execute(_UNPLAN, {"its_agent": beat.agent})
    new = _insert(connection, beat)
    if upcoming is not None:
        connection.execute(_INSERT, _row_of(upcoming))
    connection.execute(_PRUNE_OF, {"its_agent": beat.agent, "before": beat.fired_at - KEPT_SECONDS})
    return new


def _insert(connection: Connection, beat: Beat) -> bool:
    result = {each: getattr(beat, each) for each in _RESULT}
    row = {"agent": beat.agent, "due_at": beat.due_at, "fired_at": beat.fired_at, "result": as_json(result)}
    return connection.execute(_INSERT, storable(row)).rowcount == 1


def _row_of(planned: Planned) -> dict[str, Any]:
    return storable(
        {
            "agent": planned.agent,
            "due_at": planned.due_at,
            "fired_at": None,
            "result": as_json({"rule": planned.rule}),
        }
    )


def _waiting(connection: Connection, agent: str) -> Sequence[str | None]:
    return connection.execute(_WAITING, {"its_agent": agent}).scalars().all()


def _any_open(connection: Connection, external_ids: str) -> bool:
    asked = {"begins": external_ids, "length": len(external_ids)}
    return connection.execute(_ANY_OPEN, asked).first() is not None


# The row of one that has not fired has no result yet: what stands there is the rule that it follows from.
_RESULT: Final = tuple(each.name for each in fields(Beat) if each.name not in {"agent", "due_at", "fired_at"})


class _Rule(msgspec.Struct):
    rule: str = ""


class _Result(msgspec.Struct):
    """What another release wrote may have less, or more."""

    seconds: float = 0.0
    ok: bool = False
    reason: str = ""
    found: int = 0
    started: int = 0
    deferred: int = 0
    skipped: int = 0
    failed: int = 0
    changed: int = 0
    pending: int = 0
    missed: int = 0
    unchanged: bool = False
    new: tuple[str, ...] = ()
    unavailable: dict[str, str] = {}


def _rule(result: str | None) -> str:
    """Unreadable or missing: no rule, so that it is planned anew."""
    try:
        return msgspec.json.decode(result or "{}", type=_Rule).rule
    except msgspec.DecodeError:
        return ""


BEAT: Final = (heartbeats.c.agent, heartbeats.c.due_at, heartbeats.c.fired_at, heartbeats.c.result)
"""The columns that `beat_of` reads."""


def beat_of(row: Any) -> Beat:
    """One whose result nobody can read has fired, and that is all that is known of it."""
    agent, due_at, fired_at, result = row
    try:
        known = msgspec.json.decode(result or "{}", type=_Result)
    except msgspec.DecodeError:
        known = _Result()
    return Beat(agent, due_at, fired_at, **msgspec.structs.asdict(known))
