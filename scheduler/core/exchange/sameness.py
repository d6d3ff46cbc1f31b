"""Whether two things are one: a card in one source and an issue in another, what an item says now and before.

The rule: one task for one piece of work. Two are the same if their external ids are, or if their titles are
and one of them names the other; a like title alone is a coincidence.
"""

import hashlib
import re
from collections.abc import Collection, Iterable
from typing import Final

from scheduler.core.exchange.items import Item
from scheduler.core.task import MAX_TEXT, MAX_TITLE, Source, Task

SHORTEST_NAME: Final = 3
"""Of something that is called so in a text and nothing else: "12" may be anything."""
_ORIGIN: Final = re.compile(r"(?:\A|\n\n)From ([a-z]+): ([^\n]*)\Z")
_MOST_CREATOR: Final = 200


def title_key(title: str) -> str:
    """The same for titles that differ in case and spaces alone."""
    return " ".join(title.casefold().split())


def same(item: Item, task: Task, ids: Collection[str]) -> bool:
    """Whether the open `task` of another source is about `item`. `ids`: its own, where it comes from."""
    if item.external_id in ids:
        return True
    if title_key(clean_title(item)) != title_key(task.title):
        return False
    said = "\n".join((item.title, item.description or "", item.place, *item.aliases))
    names = (*ids, *origins(task.description))
    return mentions(f"{task.title}\n{task.description}", _names(item)) or mentions(said, names)


def mentions(text: str, names: Iterable[str]) -> bool:
    """Whether one of `names` stands in `text`, as a word of its own."""
    text = text.casefold()
    for name in names:
        if len(name) < SHORTEST_NAME or name.isdigit():
            continue
        if re.search(rf"(?<![\w-]){re.escape(name.casefold())}(?![\w-])", text):
            return True
    return False


def _names(item: Item) -> tuple[str, ...]:
    return (item.external_id, *item.aliases)


def described(item: Item) -> str:
    """What the task says: the item's own text, and where it comes from."""
    where = ", ".join(filter(None, dict.fromkeys((*_names(item), item.place))))
    origin = f"From {item.source}: {' '.join(clean(where).split())}"
    text = clean(item.description or "").rstrip()[: MAX_TEXT - len(origin) - 2]
    return f"{text}\n\n{origin}" if text else origin


def origins(description: str) -> tuple[str, ...]:
    """The names in the last line of `described`; none where somebody has taken it out."""
    match = _ORIGIN.search(description)
    return tuple(match[2].split(", ")) if match and match[1] in set(Source) else ()


def clean(text: str) -> str:
    """As the board can keep it: half a surrogate pair is no Unicode, and PostgreSQL keeps no NUL."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def clean_title(item: Item) -> str:
    """One line, never empty, never too long."""
    title = " ".join(clean(item.title).split()) or f"{item.source} {item.external_id}"
    return title if len(title) <= MAX_TITLE else title[: MAX_TITLE - 1] + "…"


def clean_creator(item: Item) -> str:
    """Who it is from; nobody: the source."""
    return " ".join(clean(item.creator).split())[:_MOST_CREATOR] or item.source.value


def fingerprint(item: Item) -> str:
    """Of what the task takes over, part by part: `title:…`, `description:…`, and so on. What is not known of
    the item has no part in it.
    """
    parts = {
        "title": clean_title(item),
        "description": None if item.description is None else described(item),
        "priority": item.priority.word,
        "assignee": item.agent or "",
        "depends_on": None if item.waits_for is None else "\n".join(sorted(item.waits_for)),
    }
    return " ".join(f"{name}:{_digest(text)}" for name, text in parts.items() if text is not None)


def differing(before: str, now: str) -> frozenset[str]:
    """The parts in which two fingerprints differ; what is not known now is as it was."""
    known = set(before.split())
    return frozenset(part.partition(":")[0] for part in now.split() if part not in known)


def kept(before: str, now: str, parts: Collection[str]) -> str:
    """`now`, but with `parts` as they were `before`, because they were not taken over; and likewise what is
    not known now.
    """
    old, new = _by_name(before), _by_name(now)
    postponed = {name: old.get(name, name) for name in new if name in parts}
    return " ".join((old | new | postponed).values())


def _by_name(print_: str) -> dict[str, str]:
    return {part.partition(":")[0]: part for part in print_.split()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
