"""What sources say, in our words: text that any board can hold, Unix seconds, our priorities.

The rule: nothing that a source says is taken for granted, and no single value makes a listing fail. One that
cannot be read is one that is not there.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from scheduler.core.exchange.items import Item, Stage
from scheduler.core.task import MAX_TEXT, MAX_TITLE, Priority
from scheduler.roster import Agent

MAX_ID: Final = 200
"""Characters. A longer id is none: both services use UUIDs."""

PRIORITIES: Final[Mapping[str, Priority]] = {
    "urgent": Priority.URGENT,
    "high": Priority.HIGH,
    "normal": Priority.NORMAL,
    "medium": Priority.NORMAL,
    "none": Priority.NORMAL,
    "low": Priority.LOW,
}


def words(value: object, limit: int = MAX_TEXT) -> str:
    """Text as it is, cut; half an emoji and NUL, which no board takes, become replacement characters."""
    if not isinstance(value, str):
        return ""
    text = value.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text if len(text) <= limit else text[: limit - 1] + "…"


def title(value: object, otherwise: str) -> str:
    """A title that a task can have."""
    said = words(value, MAX_TITLE)
    return said if said.strip() else otherwise


def identifier(value: object) -> str:
    """An id as it stands in a command; '' for what is none, as an option would be."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID:
        return ""
    plain = value.isascii() and value.isprintable() and " " not in value
    return value if plain and not value.startswith("-") else ""


def priority(value: object) -> Priority:
    """NORMAL for a word that is not known."""
    return PRIORITIES.get(value.lower(), Priority.NORMAL) if isinstance(value, str) else Priority.NORMAL


def milliseconds(value: object) -> float | None:
    """Unix milliseconds as Unix seconds."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    # Up to the year 9999: what is later no calendar shows.
    return value / 1000 if number and 0 < value < 253_402_300_800_000 else None  # type: ignore[operator]  # a number


def moment(value: object) -> float | None:
    """RFC 3339 as Unix seconds."""
    try:
        when = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    # Go writes the year 1 for never.
    return when.timestamp() if when is not None and when.tzinfo is not None and when.year > 1970 else None


def inside(value: object, *names: str) -> Any:
    """What stands in these objects, one in the other; None where there is no such thing."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def listed(value: object) -> Sequence[Any]:
    """A list, or an empty one."""
    return value if isinstance(value, list) else ()


def waiting_for(agent: Agent, items: Iterable[Item]) -> tuple[Item, ...]:
    """Of a listing of everything: what this agent is to take up."""
    return tuple(item for item in items if item.stage is Stage.TODO and item.agent == agent.id)


def under_way(items: Iterable[Item]) -> tuple[Item, ...]:
    """Of a listing of everything: what is in progress or blocked, and an agent of the roster's."""
    stages = {Stage.IN_PROGRESS, Stage.BLOCKED}
    return tuple(item for item in items if item.stage in stages and item.agent is not None)
