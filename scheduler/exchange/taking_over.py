"""What somebody did in a task source, taken over onto the board: one item, one decision, one transaction.

The rule: the core decides on the task as it is, inside the transaction. A row that has gone on meanwhile
refuses, and the next look finds what is true then.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import structlog
import trio

from scheduler.blackboard import mirrored, mirrors
from scheduler.blackboard.board import Board
from scheduler.blackboard.store import Store
from scheduler.core.change import Change
from scheduler.core.errors import Code, Refused
from scheduler.core.exchange import intake
from scheduler.core.exchange.following import Follow, carried_out, follow, settled
from scheduler.core.exchange.intake import Known
from scheduler.core.exchange.items import Item, Stage
from scheduler.core.exchange.mirror import Mirror
from scheduler.core.exchange.sameness import clean, clean_title, described, fingerprint, title_key
from scheduler.core.holding import comment
from scheduler.core.notices import notices
from scheduler.core.records import Attempt
from scheduler.core.task import Source, Task
from scheduler.roster import Roster
from scheduler.sources.protocol import TaskSource
from shared import clock

_log = structlog.get_logger()


class Kind(StrEnum):
    """What became of one item."""

    SAME = "same"
    """nothing had to be done"""
    NEW = "new"
    CHANGED = "changed"
    SKIPPED = "skipped"
    LATER = "later"
    """it is looked at again"""
    FAILED = "failed"
    """the board does not take it, whoever asks"""


@dataclass(frozen=True, slots=True)
class Taken:
    kind: Kind
    what: str = ""
    """the task that is new (in a dry run its title), or why not"""


_SAME: Final = Taken(Kind.SAME)
_LATER: Final = Taken(Kind.LATER)


class TakingOver:
    """Owner of the order in which items are taken over: one at a time, of whatever source."""

    def __init__(
        self,
        board: Board,
        sources: Mapping[Source, TaskSource],
        roster: Callable[[], Roster],
        *,
        max_attempts: int = 3,
    ) -> None:
        self._board, self._sources, self._roster = board, sources, roster
        self._max_attempts = max_attempts
        # Two at once could be two cards for one thing, and each be brought because the other is not there.
        self._one_at_a_time = trio.Lock()

    async def take(self, item: Item, *, asked_at: float, dry_run: bool = False) -> Taken:
        """`asked_at`: what the item says was true then or later. Raises BoardError."""
        ids = (item.external_id, *(item.waits_for or ()))
        found = await self._board.read(mirrored.known, item.source, ids)
        on_board = {key: each.task.id for key, each in found.items() if each.task is not None}
        return await self.decide(
            item, found.get(item.external_id, Known()), on_board, asked_at=asked_at, dry_run=dry_run
        )

    async def decide(
        self,
        item: Item,
        known: Known,
        on_board: Mapping[str, str],
        *,
        asked_at: float,
        now_is: str | None = None,
        dry_run: bool = False,
    ) -> Taken:
        """The same, of an item whose `known` has been read already; `now_is`: its fingerprint, likewise."""
        now = clock.wall()
        action = intake.decide(
            item,
            known,
            on_board=on_board,
            agents=self._roster().agents,
            asked_at=asked_at,
            now=now,
            max_attempts=self._max_attempts,
            now_is=now_is,
        )
        if action is None:
            await trio.lowlevel.checkpoint()  # of many that are as they were, none keeps the others waiting
            return _SAME
        try:
            async with self._one_at_a_time:
                return await self._carry_out(action, item, known, now, dry_run=dry_run)
        except Refused as refusal:
            if refusal.code is Code.STALE_CLAIM:
                return _LATER
            _log.warning("item_refused", source=item.source, item=item.external_id, reason=refusal.message)
            return Taken(Kind.FAILED, f"{item.source} {item.external_id}: {refusal.message}")

    async def _carry_out(
        self, action: intake.Action, item: Item, known: Known, now: float, *, dry_run: bool
    ) -> Taken:
        match action:
            case intake.Later() | intake.Missing():
                if isinstance(action, intake.Missing):
                    await self._missing(known, now, dry_run=dry_run)
                return _LATER
            case intake.Skip(why):
                return Taken(Kind.SKIPPED, f"{item.source} {item.external_id} {why}")
            case intake.Bring():
                return await self._bring(action, item, known, now, dry_run=dry_run)
            case intake.Heed(Follow.REOPEN):
                again = intake.Bring(intake.draft_of(item, {}, self._max_attempts))
                return await self._create(again, item, known, now, dry_run=dry_run)
            case _ if dry_run:
                return Taken(Kind.CHANGED)
            case intake.Attach(task):
                await self._attach(item, known.row, task, now)
            case intake.Heed():
                await self.heed(action, item, known, now)
            case intake.Revise():
                await self._revise(action, known, now)
        return Taken(Kind.CHANGED)

    async def _bring(
        self, action: intake.Bring, item: Item, known: Known, now: float, *, dry_run: bool
    ) -> Taken:
        candidates = await self._board.read(
            mirrored.candidates, item.source, {title_key(clean_title(item))}, {item.external_id}
        )
        twin = intake.twin(item, candidates)
        if twin is None:
            return await self._create(action, item, known, now, dry_run=dry_run)
        if not dry_run:
            await self._attach(item, known.row, twin.id, now)
        return Taken(Kind.CHANGED, f"{item.source} {item.external_id} is {twin.id}")

    async def _create(
        self, action: intake.Bring, item: Item, known: Known, now: float, *, dry_run: bool
    ) -> Taken:
        if dry_run:
            return Taken(Kind.NEW, action.draft.title)
        task = await self._board.write(mirrors.create, known.row, _row(item, now), action.draft, now=now)
        _log.info("item_taken_up", source=item.source, item=item.external_id, task=task.id)
        return Taken(Kind.NEW, task.id)

    async def _attach(self, item: Item, before: Mirror | None, task: str, now: float) -> None:
        """From here on this source, too, is told of `task`."""
        row = replace(_row(item, now), task=task)

        def work(task: Task, attempt: Attempt | None) -> tuple[Change, Mirror]:
            said = f"The same is here, too. {described(replace(item, description=''))}"
            return comment(task, attempt, said, author=item.source.value, held=False, now=now), row

        await self._board.write(mirrors.change, before, row, work)
        _log.info("item_joined", source=item.source, item=item.external_id, task=task)

    async def heed(self, action: intake.Heed, item: Item, known: Known, now: float) -> None:
        """A change that was made there. Raises Refused where it is no news any more."""
        row, stage = known.row, action.stage
        assert row is not None
        assert row.task is not None
        after_recovery = self._sources[item.source].after_recovery

        def work(task: Task, attempt: Attempt | None) -> tuple[Change, Mirror]:
            # As the task is now; but what was decided by more than the table stays decided.
            found = follow(task, row, stage, alone=known.alone, worked_on_by=item.worked_on_by)
            if found is Follow.REOPEN or action.found is Follow.HOLD:
                found = action.found
            made = carried_out(found, task, attempt, item, stage, now=now)
            newest = made.attempt or attempt
            agreed = settled(row, found, stage, made.task, newest, after_recovery=after_recovery, now=now)
            return made, agreed

        if action.found is Follow.WITHDRAW and stage is Stage.DONE:
            await self._let_go_on(row.task, item, now)
        await self._board.write(mirrors.change, row, row, work)
        _log.info(
            "source_followed",
            source=item.source,
            item=item.external_id,
            task=row.task,
            stage=stage.value,
            what=action.found.value,
        )

    async def _let_go_on(self, task: str, item: Item, now: float) -> None:
        """What waits for it waits no more: it is done, if not by us. Before its end here could block it."""
        for each in await self._board.read(mirrored.dependants, task):
            left = tuple(other for other in each.depends_on if other != task)
            says = {"depends_on": left}
            await self._board.write(Store.revise, each.id, says, who=item.source.value, now=now)

    async def _revise(self, action: intake.Revise, known: Known, now: float) -> None:
        assert known.row is not None
        row = replace(known.row, fingerprint=action.fingerprint, missing_since=None)
        await self._board.write(mirrors.revise, known.row, row, action.fields, now=now)

    async def believed(self, known: Known, *, dry_run: bool) -> bool:
        """It is gone, with many others. Whether that is to be believed by now."""
        row, now = known.row, clock.wall()
        assert row is not None
        if row.missing_since is not None:
            return now - row.missing_since >= intake.BELIEVED_AFTER
        try:
            await self._missing(known, now, dry_run=dry_run)
        except Refused as refusal:  # the row has learnt something meanwhile
            _log.info("item_outdated", source=row.source, item=row.external_id, reason=refusal.message)
        return False

    async def _missing(self, known: Known, now: float, *, dry_run: bool) -> None:
        """It is gone, and that is not believed yet."""
        row = known.row
        assert row is not None
        if row.missing_since is None and not dry_run:
            await self._board.write(mirrors.put, row, replace(row, missing_since=now))

    async def overruled(self, row: Mirror, settled: Mirror, why: str) -> None:
        """The source will not do what it was told: that is said on the task, and to those who should know."""
        now = clock.wall()
        text = clean(f"{row.source} refused what it was told of {row.external_id}: {why}")

        def work(task: Task, attempt: Attempt | None) -> tuple[Change, Mirror]:
            said = comment(task, attempt, text, author=row.source.value, held=False, now=now)
            who = self._roster().rules_for(task.assignee or "").notify
            told = notices(task, who, f"refused:{row.source}:{settled.told or 'sign'}", text, now)
            return said.also(*told), settled

        await self._board.write(mirrors.change, row, row, work)
        _log.warning("source_refused", source=row.source, item=row.external_id, reason=why)


def _row(item: Item, now: float) -> Mirror:
    """Of something that is to be taken up there, and is not known to be anything else here."""
    return Mirror(
        item.source,
        item.external_id,
        Stage.TODO,
        told=Stage.TODO,
        fingerprint=fingerprint(item),
        seen_at=now,
    )
