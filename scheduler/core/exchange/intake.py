"""What is done about one item of a task source: brought onto the board, followed, revised, or left alone.

The rule: an item is what is true there at the time at which it was asked for; a row that has learnt something
since knows better. Whatever is decided here is decided on a task that nobody else changes meanwhile.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from scheduler.core.exchange.following import Follow, follow
from scheduler.core.exchange.items import Item, Stage
from scheduler.core.exchange.mirror import OVER, Mirror
from scheduler.core.exchange.sameness import (
    clean_creator,
    clean_title,
    described,
    differing,
    fingerprint,
    kept,
    same,
)
from scheduler.core.records import Attempt
from scheduler.core.rules import MASS
from scheduler.core.states import CLOSED, HELD, Status
from scheduler.core.task import Draft, Source, Task

SOURCE_ORDER: Final = (Source.WORKBOARD, Source.MULTICA, Source.TODO, Source.BLACKBOARD)
BELIEVED_AFTER: Final = 3600.0
"""So many gone at once are probably our mistake; what is still gone after an hour is gone."""
AWAY_SECONDS: Final = 600.0
"""A document may be away for a moment: a disk, a branch, an editor. What is under way waits so long."""

_AT_REST: Final = frozenset({"assignee", "depends_on"})


@dataclass(frozen=True, slots=True)
class Known:
    """What the board has of an item."""

    row: Mirror | None = None
    task: Task | None = None
    """without a row: somebody has put it on the board by hand"""
    attempt: Attempt | None = None
    """its newest"""
    alone: bool = True
    """no other item is about the same task, and open"""
    theirs: frozenset[str] = frozenset()
    """of what the task depends on: what this source has too"""


@dataclass(frozen=True, slots=True)
class Bring:
    """A task is to be made of it, unless there is one already."""

    draft: Draft


@dataclass(frozen=True, slots=True)
class Attach:
    """The task is there already."""

    task: str


@dataclass(frozen=True, slots=True)
class Heed:
    """Somebody has changed how it stands."""

    found: Follow
    stage: Stage


@dataclass(frozen=True, slots=True)
class Revise:
    """Somebody has changed what it says."""

    fields: Mapping[str, Any]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing, now: why not."""

    why: str


@dataclass(frozen=True, slots=True)
class Later:
    """What was seen may be older than what is known, or it is less than has to be known."""


@dataclass(frozen=True, slots=True)
class Missing:
    """It is gone, and that is not to be believed yet."""


Action = Bring | Attach | Heed | Revise | Skip | Later | Missing


def decide(
    item: Item,
    known: Known,
    *,
    on_board: Mapping[str, str],
    agents: Collection[str],
    asked_at: float,
    now: float,
    max_attempts: int = 3,
    now_is: str | None = None,
) -> Action | None:
    """`on_board`: the tasks of what it waits for. `agents`: the roster's. `now_is`: the item's fingerprint,
    if it is there already. None: all is as it should be.
    """
    row, task = known.row, known.task
    if row is not None and (row.in_flight(now) or asked_at <= row.seen_at <= now):
        return Later()
    if row is None or task is None:
        return _new(item, task, on_board, agents, max_attempts)
    stage = standing(item, task, on_board, agents)
    if row.foreign(stage):
        return _heed(item, known, row, task, stage=stage, now=now)
    if task.status is Status.PENDING and stage is Stage.DONE and row.told is Stage.IN_PROGRESS:
        return Heed(Follow.WITHDRAW, stage)  # its agent closed it there, and left no result
    if task.status in CLOSED or stage in OVER or not made_of(task, item):
        return None if row.missing_since is None else Revise({}, row.fingerprint)
    return _revision(item, task, row, known.theirs, on_board, now_is=now_is or fingerprint(item))


def _heed(item: Item, known: Known, row: Mirror, task: Task, *, stage: Stage, now: float) -> Action:
    found = follow(task, row, stage, alone=known.alone, worked_on_by=item.worked_on_by)
    if stage is Stage.TODO and _unknown(item) and (found is Follow.REOPEN or row.stage is Stage.WAITING):
        return Later()
    if found is Follow.WITHDRAW and may_come_back(item, task, row, now):
        return Missing()
    return Heed(found, stage)


def may_come_back(item: Item, task: Task, row: Mirror, now: float) -> bool:
    """What waits is brought again when its document is back; work that was stopped is lost."""
    if item.source is not Source.TODO or item.stage is not Stage.GONE or task.status is Status.PENDING:
        return False
    return row.missing_since is None or now - row.missing_since < AWAY_SECONDS


def _unknown(item: Item) -> bool:
    return item.description is None or item.waits_for is None


def _new(
    item: Item,
    task: Task | None,
    on_board: Mapping[str, str],
    agents: Collection[str],
    max_attempts: int,
) -> Attach | Bring | Skip | Later | None:
    """Only what is to be taken up is brought, and only for an agent of the roster, and whole."""
    if item.agent not in agents or item.stage is not Stage.TODO:
        return None
    if _unknown(item):
        return Later()
    if waits := unmet(item, on_board):
        return Skip(f"waits for {', '.join(waits)}, which is not on the board")
    return Bring(draft_of(item, on_board, max_attempts)) if task is None else Attach(task.id)


def standing(item: Item, task: Task | None, on_board: Mapping[str, str], agents: Collection[str]) -> Stage:
    """How it stands, to us: gone where it is not for our agent any more, waiting for what is not here.

    An agent that has left the roster has not lost its tasks there.
    """
    if task is not None and item.agent is None and task.assignee in agents and item.stage not in OVER:
        return Stage.GONE
    if item.stage is Stage.TODO and unmet(item, on_board):
        return Stage.WAITING
    return item.stage


def unmet(item: Item, on_board: Mapping[str, str]) -> tuple[str, ...]:
    """What it waits for that is not on the board, as far as that is known."""
    return tuple(each for each in item.waits_for or () if each not in on_board)


def draft_of(item: Item, on_board: Mapping[str, str], max_attempts: int) -> Draft:
    """The task that it becomes."""
    return Draft(
        title=clean_title(item),
        description=described(item),
        priority=item.priority,
        creator=clean_creator(item),
        assignee=item.agent,
        depends_on=_dependencies(item, on_board),
        source=item.source,
        external_id=item.external_id,
        max_attempts=max_attempts,
    )


def again(external_id: str, times: int) -> str:
    """Of the task that is made of the same item the `times`-th time: `42`, `42#2`, `42#3`."""
    return external_id if times == 1 else f"{external_id}#{times}"


def made_of(task: Task, item: Item) -> bool:
    """The task says what this item says, and not what another one does that is about the same."""
    own = task.external_id or ""
    return task.source is item.source and (own == item.external_id or own.startswith(f"{item.external_id}#"))


def _revision(
    item: Item,
    task: Task,
    row: Mirror,
    theirs: Collection[str],
    on_board: Mapping[str, str],
    *,
    now_is: str,
) -> Revise | None:
    """What has changed there and can change here. What it depends on in its own source is said there."""
    parts = differing(row.fingerprint, now_is)
    postponed = parts & _AT_REST if task.status in HELD | {Status.REVIEW} else frozenset()
    if item.agent is None:
        postponed |= parts & {"assignee"}
    if parts <= postponed and row.missing_since is None:
        return None
    ours = tuple(each for each in task.depends_on if each not in theirs)
    values: Mapping[str, Any] = {
        "title": clean_title(item),
        "description": described(item),
        "priority": item.priority,
        "assignee": item.agent,
        "depends_on": tuple(dict.fromkeys((*ours, *_dependencies(item, on_board)))),
    }
    says = {name: values[name] for name in sorted(parts - postponed)}
    return Revise(says, kept(row.fingerprint, now_is, postponed))


def _dependencies(item: Item, on_board: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(on_board[each] for each in item.waits_for or () if each in on_board))


# -- of many items ----------------------------------------------------------------------------------------


def in_order(items: Iterable[Item]) -> tuple[Item, ...]:
    """By priority, then by source, then the oldest first."""
    return tuple(
        sorted(
            items,
            key=lambda each: (
                each.priority,
                SOURCE_ORDER.index(each.source),
                each.created_at or 0.0,
                each.external_id if each.created_at is not None else "",  # else as they are listed
            ),
        )
    )


def too_many(gone: int, there: int) -> bool:
    """So many of `there` at once that the fault is probably ours."""
    return gone >= MASS and 2 * gone > there


Key = tuple[Source, str]
"""Of an item."""


def prints_of(items: Iterable[Item]) -> Mapping[Key, str]:
    """The fingerprint of each."""
    return {(each.source, each.external_id): fingerprint(each) for each in items}


def digest(
    items: Iterable[Item],
    prints: Mapping[Key, str],
    states: Mapping[Key, str],
    unavailable: Iterable[Source],
) -> str:
    """The same for the same things to do. `prints`: `prints_of` them. `states`: how their tasks stand."""
    lines = [
        f"{each.source} {each.external_id} {each.stage} {prints[each.source, each.external_id]} "
        f"{states.get((each.source, each.external_id), '-')}"
        for each in sorted(items, key=attrgetter("source", "external_id"))
    ]
    lines += [f"{source} is away" for source in sorted(unavailable)]
    return hashlib.sha256("\n".join(lines).encode(errors="replace")).hexdigest()


def twin(item: Item, candidates: Sequence[tuple[Task, Collection[str]]]) -> Task | None:
    """The task, among those of others, that is about the same: the oldest one."""
    found = [task for task, ids in candidates if same(item, task, ids)]
    return min(found, key=attrgetter("number"), default=None)
