"""What a look at the task sources came to."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from scheduler.core.exchange.items import Item
from scheduler.core.task import Source
from scheduler.exchange.taking_over import Kind, Taken


@dataclass(frozen=True, slots=True)
class Found:
    """What one agent has to do, and what became of it on the board."""

    items: tuple[Item, ...] = ()
    """what waits for it: by priority, then by source, then the oldest first"""
    new: tuple[str, ...] = ()
    """tasks that were put on the board; in a dry run their titles"""
    changed: int = 0
    """tasks that were changed there, or found to be the same as others"""
    skipped: int = 0
    failed: tuple[str, ...] = ()
    """what the board does not take, and why"""
    unavailable: Mapping[Source, str] = field(default_factory=dict)
    digest: str = ""
    unchanged: bool = False
    """all of it is as it was at the last look"""


@dataclass(slots=True)
class Tally:
    """What became of the items so far."""

    counts: Counter[Kind] = field(default_factory=Counter)
    new: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def add(self, taken: Taken) -> None:
        """One item more."""
        self.counts[taken.kind] += 1
        if taken.kind is Kind.NEW:
            self.new.append(taken.what)
        elif taken.kind is Kind.FAILED:
            self.failed.append(taken.what)
