"""What was seen, how often and when: the reason for everything that is learnt about an upstream."""

from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from typing import Any, Final

MOST_MODELS: Final = 50
"""Models of which something is remembered, for each kind of thing: clients may name any number of them."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Times on the clock of `now`."""

    what: str
    count: int
    first_at: float
    last_at: float

    @classmethod
    def seen(cls, what: str, now: float) -> "Evidence":
        """For the first time."""
        return cls(what, 1, now, now)

    def again(self, now: float) -> "Evidence":
        """Once more."""
        return replace(self, count=self.count + 1, last_at=now)


def keep_newest(remembered: MutableMapping[Any, Any]) -> None:
    """Drop what was put in first where there is more than is worth remembering."""
    while len(remembered) > MOST_MODELS:
        del remembered[next(iter(remembered))]
