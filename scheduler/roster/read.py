"""Reads a roster: the file, its shape, the rules between its parts. All problems of all three at once."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from scheduler.roster.complete import complete
from scheduler.roster.file import RosterFile
from scheduler.roster.model import Roster
from scheduler.roster.rules import conflicts
from scheduler.settings import Settings
from shared.errors import StartError
from shared.settings import Where, show, wrong
from shared.settings.explain import explain, place_of
from shared.settings.yaml_file import read_file


def load_roster(settings: Settings) -> Roster:
    """The roster that the settings name."""
    return read_roster(
        settings.agents_file,
        required=settings.is_explicit("agents_file"),
        named=settings.origin("agents_file").name,
    )


def reload_roster(settings: Settings) -> Roster:
    """The same again, for who has one already: a file that is gone is no order to dismiss everybody."""
    if _is_missing(settings.agents_file):
        raise StartError(f"{settings.agents_file} is not there; the old roster holds", exit_code=2)
    return load_roster(settings)


def read_roster(file: Path, *, required: bool = True, named: str = "agents_file") -> Roster:
    """The roster in this file, or ``StartError`` (exit code 2) with every problem there is.

    A file that is not ``required`` may be missing: a board without heartbeats. ``named`` is what the operator
    said to name it: a variable or a key.
    """
    if not required and _is_missing(file):
        return complete(RosterFile())
    document = read_file(RosterFile, file, named, what="roster")
    problems = list(document.problems)
    bad: set[Where] = set()
    try:
        parsed = RosterFile.model_validate(document.values)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        problems += [explain(RosterFile, fault, document.name) for fault in faults]
        # Once more without what is wrong: rules between the others are problems too, and all are told.
        bad = {_left_out(place_of(fault)) for fault in faults}
        parsed = RosterFile.model_validate(_without(document.values, bad))
    roster = complete(parsed)
    problems += [
        wrong(document.name(conflict.where), show(conflict.value), conflict.expected)
        for conflict in conflicts(parsed, roster, bad)
    ]
    if problems:
        raise StartError(*problems, exit_code=2)
    return roster


def _is_missing(file: Path) -> bool:
    try:
        file.lstat()
    except OSError as error:
        return isinstance(error, FileNotFoundError)  # any other is told when it is read
    return False


def _left_out(where: Where) -> Where:
    """What the second look goes without: one key of an entry that is complete without it, else the whole
    entry; of what has no entries, all."""
    return where[: {"classes": 3, "agents": 3, "notify": 2, "commands": 2}.get(str(where[0]), 1)]


def _without(values: object, bad: Collection[Where]) -> Any:
    """``values`` without what is wrong, which a key that is no text always is."""
    if not isinstance(values, dict):
        return values
    kept = {}
    for key, value in values.items():
        inside = {place[1:] for place in bad if place[0] == key}
        if isinstance(key, str) and () not in inside:
            kept[key] = _without(value, inside)
    return kept
