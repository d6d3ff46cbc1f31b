"""Changes to a configuration that is a tree of JSON objects: made, taken back, written as a merge patch.

The rule: what was changed by somebody else since is theirs, and is left alone when a change is taken back.
OpenClaw never shows a secret: `REDACTED` stands in its place, is taken for whatever was expected there, and
is never written.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

Json = Any
Path = tuple[str, ...]

REDACTED: Final = "__OPENCLAW_REDACTED__"
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_VARIABLE: Final = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


class Absent(Enum):
    """Where nothing stands: JSON's null is a value."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


@dataclass(frozen=True, slots=True)
class Change:
    """One place in the configuration, what stands there and what is to stand there. Never removes."""

    path: Path
    before: Json | Absent
    after: Json
    why: str
    depth: int
    """So many segments of `path` were there before: what was made around the value goes with it."""


def change(tree: Json, path: Path, after: Json, why: str) -> Change | None:
    """What it takes for `after` to stand there; None if it does."""
    before = value_at(tree, path)
    if holds(before, after):
        return None
    there = (length for length in range(len(path), 0, -1) if value_at(tree, path[:length]) is not ABSENT)
    return Change(path, before, after, why, next(there, 0))


def as_object(value: Json) -> Mapping[str, Json]:
    """Empty for what is none."""
    return value if isinstance(value, Mapping) else {}


def value_at(tree: Json, path: Path) -> Json | Absent:
    """What stands there."""
    for name in path:
        if not isinstance(tree, Mapping) or name not in tree:
            return ABSENT
        tree = tree[name]
    return tree


def holds(found: Json | Absent, wanted: Json) -> bool:
    """Whether what was found says all that is wanted; an object may say more."""
    if found == REDACTED:
        return True
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            name in found and holds(found[name], each) for name, each in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(holds, found, wanted))
    return bool(found == wanted) and isinstance(found, bool) is isinstance(wanted, bool)


def changed(tree: Json, changes: Sequence[Change]) -> Json:
    """A tree of its own in which all of them are made."""
    tree = deepcopy(tree)
    for each in changes:
        _put(tree, each.path, each.after)
    return tree


def taken_back(tree: Json, changes: Sequence[Change]) -> tuple[Json, list[Change]]:
    """A tree of its own without them, and those that are left alone, because something else stands there."""
    tree, left = deepcopy(tree), []
    for each in reversed(changes):
        found = value_at(tree, each.path)
        if found is ABSENT or not holds(found, each.after):
            if found != each.before:
                left.append(each)
        elif each.before is ABSENT:
            _remove(tree, each.path, max(each.depth, _least_depth(each.path)))
        else:
            _put(tree, each.path, each.before)
    return tree, left


def patch(old: Json, new: Json) -> dict[str, Json]:
    """From one object to the other, as in RFC 7396: objects are merged, null removes, all else replaces."""
    made: dict[str, Json] = {name: None for name in old if name not in new}
    for name, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(name), dict):
            if inside := patch(old[name], value):
                made[name] = inside
        elif name not in old or old[name] != value:
            made[name] = value
    return made


def lists_in(made: Json, path: Path = ()) -> Iterator[Path]:
    """Where a patch replaces a list: OpenClaw wants to hear that it is meant."""
    if isinstance(made, list):
        yield path
    elif isinstance(made, dict):
        for name, value in made.items():
            yield from lists_in(value, (*path, name))


def dotted(path: Path) -> str:
    """As OpenClaw's command line and people write it."""
    return "".join(
        (f".{name}" if at else name) if _PLAIN.fullmatch(name) else f"[{json.dumps(name)}]"
        for at, name in enumerate(path)
    )


def shown(value: Json) -> Json:
    """As it may be printed: without keys, and without the values of headers that are not ours."""
    if isinstance(value, dict):
        return {name: _shown_member(name, each) for name, each in value.items()}
    return [shown(each) for each in value] if isinstance(value, list) else value


def is_variable(value: Json) -> bool:
    """Whether it names a variable of the environment, in OpenClaw's way, and so is no secret itself."""
    return isinstance(value, str) and _VARIABLE.fullmatch(value) is not None


_HARMLESS: Final = ("held-by-the-sidecar", REDACTED)


def _shown_member(name: str, value: Json) -> Json:
    if name == "apiKey":
        return value if value in _HARMLESS or is_variable(value) else "****"
    if name == "headers" and isinstance(value, dict):
        return {each: text if each == "X-Priority" else "****" for each, text in value.items()}
    return shown(value)


def _put(tree: dict[str, Json], path: Path, value: Json) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = deepcopy(value)


def _remove(tree: Json, path: Path, depth: int) -> None:
    """And each object around it that is empty then, down to `depth`."""
    for length in range(len(path), depth, -1):
        around, name = tree, path[length - 1]
        for outer in path[: length - 1]:
            around = around[outer]
        if length == len(path) or not around[name]:
            del around[name]


def _least_depth(path: Path) -> int:
    """An agent that was written down stays, without settings: OpenClaw lets no patch remove one."""
    return 3 if path[:2] == ("agents", "entries") else 0
