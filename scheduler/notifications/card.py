"""A message that is more than text, in a form that knows no target. Pure.

It stands in the outbox as JSON, so it is read with care: a card that an older or newer release wrote is shown
as far as it is understood.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MOST_FIELDS: Final = 30


class Level(StrEnum):
    """How bad it is: the colour of its heading."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Card:
    """One message with a heading. All of it is text as it is: nothing in it is markup."""

    title: str
    level: Level = Level.INFO
    fields: tuple[tuple[str, str], ...] = ()
    """a name and a value each"""
    details: str = ""
    link: str = ""
    """an address of http or https; empty: none"""

    def as_json(self) -> dict[str, object]:
        """As the outbox keeps it."""
        return {
            "title": self.title,
            "level": self.level.value,
            "fields": [list(field) for field in self.fields],
            "details": self.details,
            "link": self.link,
        }


def read_card(written: Mapping[str, object]) -> Card | None:
    """None: there is not even a title."""
    title, level, fields = written.get("title"), written.get("level"), written.get("fields")
    if not isinstance(title, str) or not title:
        return None
    return Card(
        title,
        next((each for each in Level if each == level), Level.INFO),
        tuple(_field(each) for each in (fields if isinstance(fields, list) else ())[:MOST_FIELDS]),
        str(written.get("details") or ""),
        link if (link := str(written.get("link") or "")).startswith(("http://", "https://")) else "",
    )


def _field(written: object) -> tuple[str, str]:
    match written:
        case [name, value]:
            return str(name), str(value)
        case _:
            return "", str(written)
