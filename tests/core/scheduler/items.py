"""Items and mirrors for tests: everything that a test does not care about has a value."""

from dataclasses import replace
from typing import Any

from scheduler.core.exchange.items import Item, Stage
from scheduler.core.exchange.mirror import Mirror
from scheduler.core.exchange.sameness import fingerprint
from scheduler.core.task import Source, Task
from tests.core.scheduler.boards import NOW, a_task


def an_item(stage: Stage = Stage.TODO, **fields: Any) -> Item:
    """A card of `coder`'s in WorkBoard."""
    return replace(Item(Source.WORKBOARD, "c-1", "Write the report", stage, agent="coder"), **fields)


def a_row(stage: Stage = Stage.TODO, **fields: Any) -> Mirror:
    """Of `an_item`, agreed on an hour ago."""
    given: dict[str, Any] = {"task": "T-0001", "told": stage, "told_at": NOW - 60, "seen_at": NOW - 3600}
    row = Mirror(Source.WORKBOARD, "c-1", stage, fingerprint=fingerprint(an_item()))
    return replace(row, **(given | fields))


def its_task(**fields: Any) -> Task:
    """As `an_item` was brought."""
    given: dict[str, Any] = {"source": Source.WORKBOARD, "external_id": "c-1", "assignee": "coder"}
    return a_task(**(given | fields))
