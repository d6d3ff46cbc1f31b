"""Where a notice goes. Pure."""

from collections.abc import Iterable, Mapping

from scheduler.core.notices import CREATOR
from scheduler.roster import Roster, Target

_CREATOR = f"{CREATOR}:"


def target_of(roster: Roster, to: str) -> Target:
    """`creator:NAME` is reached as NAME; a name without a target by `default`, else in the log."""
    return roster.target(to.removeprefix(_CREATOR))


def lanes(roster: Roster, addressees: Iterable[str]) -> Mapping[Target, frozenset[str]]:
    """The targets, and by which names each is meant: names that share one share its order and its pace."""
    found: dict[Target, set[str]] = {}
    for name in addressees:
        found.setdefault(target_of(roster, name), set()).add(name)
    return {target: frozenset(names) for target, names in found.items()}
