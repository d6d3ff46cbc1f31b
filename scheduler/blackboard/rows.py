"""Rows into the core's records, and back.

The rule: a record that goes in comes out equal. Column and field have one name; the few whose types differ
are named here. What a database cannot keep (text that is no Unicode, NUL, numbers beyond 64 bits) is refused
before it gets there, by both databases alike.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, TypeAlias

import msgspec

from scheduler.core.errors import Code, Refused
from scheduler.core.records import (
    Attempt,
    Comment,
    Decision,
    Event,
    Notice,
    Observation,
    Output,
    Record,
    Run,
    Verdict,
)
from scheduler.core.states import Status
from scheduler.core.task import Approval, BlockedBy, Priority, Source, Task, number_of, task_id

Values: TypeAlias = dict[str, Any]
"""Column -> what the driver is given."""

_MOST: Final = 2**63 - 1

STATUS: Final[Mapping[str, Status]] = {status.value: status for status in Status}
_SOURCE: Final = {source.value: source for source in Source}
_APPROVAL: Final = {approval.value: approval for approval in Approval}
_PRIORITY: Final = {priority.value: priority for priority in Priority}
_BLOCKED_BY: Final = {None: None} | {each.value: each for each in BlockedBy}
_RUN: Final = {run.value: run for run in Run}

TASK_FIELDS: Final = tuple(field.name for field in fields(Task) if field.name != "depends_on")
ATTEMPT_FIELDS: Final = tuple(field.name for field in fields(Attempt))


def task_of(row: Sequence[Any], depends_on: Iterable[int] = ()) -> Task:
    """A row of TASK_FIELDS, and the numbers of what the task depends on."""
    values: Values = dict(zip(TASK_FIELDS, row, strict=False))
    values["status"] = STATUS[values["status"]]
    values["priority"] = _PRIORITY[values["priority"]]
    values["source"] = _SOURCE[values["source"]]
    values["approval"] = _APPROVAL[values["approval"]]
    values["blocked_by"] = _BLOCKED_BY[values["blocked_by"]]
    values["risk_tools"] = _words(values["risk_tools"])
    values["expects"] = _words(values["expects"])
    values["findings"] = _words(values["findings"])
    if values["review_of"] is not None:
        values["review_of"] = task_id(values["review_of"])
    return Task(depends_on=tuple(map(task_id, depends_on)), **values)


def attempt_of(row: Sequence[Any]) -> Attempt:
    """A row of ATTEMPT_FIELDS."""
    number, epoch, agent, claimed_at, run, *rest = row
    return Attempt(task_id(number), epoch, agent, claimed_at, _RUN[run], *rest)


def output_of(row: Sequence[Any]) -> Output:
    return Output(task_id(row[0]), *row[1:])


def comment_of(row: Sequence[Any]) -> Comment:
    return Comment(task_id(row[0]), *row[1:])


def observation_of(row: Sequence[Any]) -> Observation:
    return Observation(task_id(row[0]), *row[1:])


def decision_of(row: Sequence[Any]) -> Decision:
    number, by, at, verdict, reason = row
    return Decision(task_id(number), by, at, Verdict(verdict), reason)


def event_of(row: Sequence[Any]) -> Event:
    number, at, who, what, before, after, details = row
    return Event(
        task_id(number),
        at,
        who,
        what,
        None if before is None else STATUS[before],
        STATUS[after],
        msgspec.json.decode(details, type=dict[str, object]),
    )


def notice_of(row: Sequence[Any]) -> Notice:
    to, cause, words, at, urgent, card = row
    shown = None if card is None else msgspec.json.decode(card, type=dict[str, object])
    return Notice(to, cause, words, at, urgent, shown)


def changed(before: Task | Attempt, now_is: Task | Attempt, names: Iterable[str]) -> Values:
    """What differs, as columns."""
    values: Values = {}
    for name in names:
        value = getattr(now_is, name)
        if value is not getattr(before, name) and value != getattr(before, name):
            values[name] = _column(name, value)
    return storable(values)


def all_of(record: Task | Attempt | Record) -> Values:
    """Every field, as a column."""
    return storable({name: _column(name, getattr(record, name)) for name in _FIELDS[type(record)]})


def as_json(value: object) -> str:
    """Raises Refused (`invalid`) for text that is no Unicode."""
    try:
        return msgspec.json.encode(value).decode()
    except (UnicodeError, OverflowError) as error:
        raise _unstorable("text that is no Unicode") from error


def storable(values: Values) -> Values:
    """`values`; raises Refused (`invalid`) where one of them would not come back as it is."""
    for value in values.values():
        if isinstance(value, str):
            if "\0" in value:
                raise _unstorable("a NUL character")
            if not value.isascii():
                _check_unicode(value)
        elif isinstance(value, int) and not -_MOST <= value <= _MOST:
            raise _unstorable("so large a number")
    return values


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _unstorable("text that is no Unicode") from error


def _unstorable(what: str) -> Refused:
    return Refused(Code.INVALID, f"the board cannot keep {what}")


def _words(text: str) -> tuple[str, ...]:
    return () if text == "[]" else msgspec.json.decode(text, type=tuple[str, ...])


def _column(name: str, value: Any) -> Any:
    convert = _COLUMNS.get(name)
    return value if convert is None or value is None else convert(value)


def _value(member: Any) -> Any:
    return member.value


_COLUMNS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "task": number_of,
    "review_of": number_of,
    "status": _value,
    "from_status": _value,
    "to_status": _value,
    "priority": _value,
    "source": _value,
    "approval": _value,
    "blocked_by": _value,
    "run": _value,
    "verdict": _value,
    "risk_tools": as_json,
    "expects": as_json,
    "findings": as_json,
    "details": as_json,
    "card": as_json,
}
"""The fields whose column has another type."""

_FIELDS: Final[Mapping[type, tuple[str, ...]]] = {
    Task: TASK_FIELDS,
    **{
        kind: tuple(field.name for field in fields(kind))
        for kind in (Attempt, Output, Comment, Observation, Decision, Event, Notice)
    },
}
