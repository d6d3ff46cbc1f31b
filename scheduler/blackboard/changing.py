"""What is done to a task, one function per way. Each is the work of its caller's transaction.

The rule: a verb of the core decides, on a task that nobody else changes until the transaction ends.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from scheduler.blackboard import artifacts, reading, saving
from scheduler.blackboard.artifacts import Received
from scheduler.blackboard.database import Database
from scheduler.blackboard.queries import in_order
from scheduler.blackboard.reading import Loaded
from scheduler.core import cards, holding
from scheduler.core.change import Change
from scheduler.core.claims import ClaimToken, holder
from scheduler.core.errors import Code, Refused
from scheduler.core.records import Attempt, Output
from scheduler.core.task import Draft, Task


def create(
    connection: Connection,
    database: Database,
    draft: Draft,
    *,
    high_risk: Collection[str],
    who: str,
    now: float,
) -> Task:
    draft = replace(draft, depends_on=in_order(draft.depends_on))
    number = saving.next_number(connection)
    change = cards.create(draft, number, high_risk=high_risk, who=who, now=now)
    saving.add_task(connection, change.task)
    saving.add_records(connection, database, change.records)
    return change.task


def revise(
    connection: Connection,
    database: Database,
    task_id: str,
    fields: Mapping[str, Any],
    *,
    high_risk: Collection[str],
    who: str,
    now: float,
) -> Task:
    if "depends_on" in fields:
        fields = {**fields, "depends_on": in_order(tuple(fields["depends_on"]))}
    before = reading.load(connection, task_id, hold=True)
    change = cards.revise(before.task, fields, high_risk=high_risk, who=who, now=now)
    if change.task.depends_on != before.task.depends_on:
        saving.check_known(connection, change.task.depends_on)
        saving.check_acyclic(connection, change.task)
    saving.save(connection, database, before, None, change)
    return change.task


def change(
    connection: Connection,
    database: Database,
    task_id: str,
    verb: Callable[[Task, Attempt | None], Change],
    *,
    token: ClaimToken | None,
    now: float,
) -> Change:
    before, held = _load(connection, task_id, token, now)
    made = verb(before.task, held)
    saving.save(connection, database, before, held, made)
    return made


def change_attempt(
    connection: Connection,
    database: Database,
    task_id: str,
    epoch: int,
    verb: Callable[[Task, Attempt], Change],
) -> Change:
    before = reading.load(connection, task_id, hold=True)
    held = reading.attempt(connection, before.task.number, epoch)
    if held is None:
        raise Refused(Code.NOT_FOUND, f"{task_id} has no attempt {epoch}")
    made = verb(before.task, held)
    saving.save(connection, database, before, held, made)
    return made


def hand_in(
    connection: Connection,
    database: Database,
    directory: Path,
    task_id: str,
    received: Received,
    *,
    name: str,
    final: bool,
    author: str,
    token: ClaimToken | None,
    now: float,
) -> tuple[Change, Output]:
    artifacts.check_name(name)
    before, held = _load(connection, task_id, token, now)
    task = before.task
    who = author if token is None else holder(task, token, now)
    output = Output(task.id, task.epoch, name, who, now, received.size_bytes, received.sha256, "", final)
    # Refused before the file has moved, if it is.
    holding.hand_in(task, held, output, who=who, now=now)
    path = artifacts.place(directory, received, task.id, task.epoch, name)
    try:
        output = replace(output, path=path)
        made = holding.hand_in(task, held, output, who=who, now=now)
        saving.save(connection, database, before, held, made)
    except BaseException:
        artifacts.take_back(directory, received, path)
        raise
    return made, output


def _load(
    connection: Connection, task_id: str, token: ClaimToken | None, now: float
) -> tuple[Loaded, Attempt | None]:
    before = reading.load(connection, task_id, hold=True)
    if token is not None:
        holder(before.task, token, now)
    return before, reading.present_attempt(connection, before.task)
