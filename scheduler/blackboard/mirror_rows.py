"""A mirror as a row of its table, and back; writing one."""

from dataclasses import fields
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from scheduler.blackboard.faults import Collision
from scheduler.blackboard.rows import Values, storable
from scheduler.blackboard.tables import mirrors
from scheduler.core.errors import Code, Refused
from scheduler.core.exchange.items import Stage
from scheduler.core.exchange.mirror import Mirror
from scheduler.core.task import Source, number_of, task_id

COLUMNS: Final = tuple(mirrors.c)

_one: Final = and_(mirrors.c.source == bindparam("its_source"), mirrors.c.external_id == bindparam("its_id"))
_ROW: Final = select(*COLUMNS).where(_one).with_for_update()
_INSERT: Final = insert(mirrors)
_DELETE: Final = delete(mirrors).where(_one)
_UPDATE: Final = (
    update(mirrors)
    .where(_one)
    .values({each.name: bindparam(each.name) for each in COLUMNS if not each.primary_key})
)
_AS_IT_IS: Final = tuple(
    each.name
    for each in fields(Mirror)
    if each.name not in {"source", "stage", "task", "told", "telling", "handle"}
)
_BETWEEN: Final = ">"
"""In `told`: what was agreed on last, and what was begun to be told since."""


def row_of(row: Any) -> Mirror:
    """A row of COLUMNS."""
    values = row._mapping
    told, *telling = values["told"].split(_BETWEEN)
    return Mirror(
        source=Source(values["source"]),
        stage=Stage(values["stage"]),
        task=None if values["task"] is None else task_id(values["task"]),
        told=Stage(told) if told else None,
        telling=tuple(map(Stage, telling)),
        handle=values["handle"] or "",
        **{name: values[name] for name in _AS_IT_IS},
    )


def _values(row: Mirror) -> Values:
    values: Values = {name: getattr(row, name) for name in _AS_IT_IS}
    values |= {
        "source": row.source.value,
        "stage": row.stage.value,
        "task": None if row.task is None else number_of(row.task),
        "told": _BETWEEN.join((row.told.value if row.told else "", *(each.value for each in row.telling))),
        "handle": row.handle or None,
    }
    return storable(values)


def _key(row: Mirror) -> Values:
    return {"its_source": row.source.value, "its_id": row.external_id}


def check(connection: Connection, before: Mirror | None, row: Mirror) -> None:
    """Raises Refused where the row is not what it was, and keeps it from others until the end."""
    found = connection.execute(_ROW, storable(_key(row))).first()
    if (None if found is None else row_of(found)) != before:
        raise Refused(Code.STALE_CLAIM, f"{row.source} {row.external_id} has gone on since it was looked at")


def put(connection: Connection, before: Mirror | None, row: Mirror) -> None:
    """After `check`."""
    if row == before:
        return
    if before is None:
        try:
            connection.execute(_INSERT, _values(row))
        except IntegrityError as error:  # somebody was faster: begun anew, `check` will find their row
            raise Collision(f"{row.source} {row.external_id} was brought meanwhile") from error
        return
    values = _values(row)
    del values["source"], values["external_id"]
    connection.execute(_UPDATE, values | _key(row))


def remove(connection: Connection, row: Mirror) -> None:
    """After `check`."""
    connection.execute(_DELETE, _key(row))
