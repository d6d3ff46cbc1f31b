"""What is wrong between parts of a roster that are each right."""

from collections.abc import Collection, Iterator

from scheduler.roster.file import RosterFile, RulesEntry
from scheduler.roster.model import Agent, AgentClass, Roster
from shared.settings import Conflict, Where


def conflicts(file: RosterFile, roster: Roster, wrong: Collection[Where]) -> Iterator[Conflict]:
    """One for each rule that is broken, except where a part of it is ``wrong`` already, and told."""
    for name, rules in file.classes.items():
        if not _touches(wrong, ("classes", name)):
            yield from _times(("classes", name), rules, roster.classes[name])
    owners: dict[str, str] = {}
    for agent_id, entry in file.agents.items():
        where = ("agents", agent_id)
        if not _touches(wrong, ("classes", entry.class_name)):
            if entry.class_name not in roster.classes:
                words = f"one of the classes {', '.join(sorted(roster.classes))}"
                yield Conflict((*where, "class"), entry.class_name, words)
            elif not any(_touches(wrong, (*where, key)) for key in ("class", *_TIMES)):
                yield from _times(where, entry, roster.agents[agent_id])
        if entry.multica_id is not None:
            owner = owners.setdefault(entry.multica_id, agent_id)
            if owner != agent_id:  # both would take up the same issues
                words = f"an id of its own: this one is {owner}'s"
                yield Conflict((*where, "multica_id"), entry.multica_id, words)


_TIMES = ("suspect_after_minutes", "recover_after_minutes")


def _times(where: Where, entry: RulesEntry, rules: Agent | AgentClass) -> Iterator[Conflict]:
    """Told where it was written, not again by everybody who inherits it."""
    if rules.suspect_after_seconds < rules.recover_after_seconds:
        return
    suspect, recover = rules.suspect_after_seconds / 60, rules.recover_after_seconds / 60
    if entry.recover_after_minutes is not None:
        words = f"more than suspect_after_minutes, which is {suspect:g}"
        yield Conflict((*where, "recover_after_minutes"), entry.recover_after_minutes, words)
    elif entry.suspect_after_minutes is not None:
        words = f"less than recover_after_minutes, which is {recover:g}"
        yield Conflict((*where, "suspect_after_minutes"), entry.suspect_after_minutes, words)


def _touches(places: Collection[Where], where: Where) -> bool:
    """Whether one of the places is in ``where``, or around it."""
    return any(place[: len(where)] == where[: len(place)] for place in places)
