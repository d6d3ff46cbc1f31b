"""Somebody else's work in a task source: an agent of the team took something up there without us.

The rule: whoever gives a sign of life is left alone. By the clock of the source only the first look goes;
after that it counts when the sign changed. What we say there ourselves is no sign of life.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scheduler.core.exchange.intake import too_many
from scheduler.core.exchange.items import Item, Stage
from scheduler.core.exchange.mirror import Mirror


@dataclass(frozen=True, slots=True)
class Watched:
    """As it was, or with a new sign of life."""

    row: Mirror


@dataclass(frozen=True, slots=True)
class Suspicious:
    """Still for too long: `row`, and then it is to be said there, once."""

    row: Mirror
    still: float


@dataclass(frozen=True, slots=True)
class Lost:
    """Still for so long that somebody else should do it."""

    row: Mirror
    still: float


Finding = Watched | Suspicious | Lost


def watch(
    item: Item, row: Mirror | None, *, suspect_after: float, recover_after: float, now: float
) -> Finding:
    """What to make of something `in_progress` there that is not ours. A row without a fingerprint takes the
    first sign that it sees for the last one: we may have made it.
    """
    sign = sign_of_life(item)
    if row is not None and not row.fingerprint:
        row = replace(row, fingerprint=sign)
    if row is None or row.stage is not Stage.IN_PROGRESS or row.fingerprint != sign or row.told_at is None:
        seen = Mirror(
            item.source,
            item.external_id,
            Stage.IN_PROGRESS,
            told_at=min(now, _life(item, now)),
            fingerprint=sign,
            seen_at=now,
        )
    else:
        seen = row
    still = now - (seen.told_at or now)
    if seen.told is None and still >= suspect_after:
        # Suspect from now on: whoever is found like this has as long as anybody to prove it wrong.
        suspect = replace(seen, told=Stage.IN_PROGRESS, told_at=now - suspect_after, seen_at=now)
        return Suspicious(suspect, still)
    if seen.told is not None and still >= recover_after:
        return Lost(seen, still)
    return Watched(seen)


def sign_of_life(item: Item) -> str:
    """What changes when somebody works on it."""
    at = item.updated_at if item.sign_of_life_at is None else item.sign_of_life_at
    return f"{item.worked_on_by or ''} {at}"


def _life(item: Item, now: float) -> float:
    known = (item.sign_of_life_at, item.updated_at, item.created_at)
    return next((at for at in known if at is not None), now)


def probably_us(findings: Sequence[Finding]) -> bool:
    """So many look lost at once that none of them is given up."""
    dying = sum(isinstance(each, Lost) or each.row.told is not None for each in findings)
    return too_many(dying, len(findings))
