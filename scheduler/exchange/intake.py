"""From the task sources onto the board: what waits for an agent, and what others did with what is here.

The rule: this only brings news. It starts nothing, and it tells the sources nothing of our tasks: that is
`mirroring`'s. What is as it was at the last look costs no write. One source that is away or slow keeps the
news of the others from nobody.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
import trio

from scheduler.blackboard import mirrored, mirrors
from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardBroken, BoardError
from scheduler.blackboard.store import Store
from scheduler.core.exchange import intake
from scheduler.core.exchange.intake import Known
from scheduler.core.exchange.items import Item, Stage
from scheduler.core.records import Notice
from scheduler.core.task import Source
from scheduler.exchange.foreign_work import ForeignWork
from scheduler.exchange.found import Found, Tally
from scheduler.exchange.taking_over import Kind, TakingOver
from scheduler.roster import Agent, Roster
from scheduler.sources.protocol import SourceError, TaskSource
from scheduler.sources.shared import KEEP_SECONDS
from shared import clock

SURVEY_SECONDS: Final = 120.0
"""Between two looks at what is in progress there."""
ASKED_AFTER: Final = 20
"""Items that one look asks after, at most: each is a call of its own. The others come next time."""
ALARM_SECONDS: Final = 3600.0

_log = structlog.get_logger()


@dataclass(slots=True)
class _Listed:
    """What the sources answered. `asked_at`: of each that did."""

    items: dict[Source, Sequence[Item]] = field(default_factory=dict)
    asked_at: dict[Source, float] = field(default_factory=dict)
    unavailable: dict[Source, str] = field(default_factory=dict)


class Intake:
    """Stateless: what was seen stands on the board."""

    def __init__(
        self,
        board: Board,
        sources: Mapping[Source, TaskSource],
        roster: Callable[[], Roster],
        *,
        max_attempts: int = 3,
        listing_seconds: float = KEEP_SECONDS,
    ) -> None:
        """`listing_seconds`: so old may be what a source lists, though not what it says of one item."""
        self._board, self._sources, self._roster = board, sources, roster
        self._listing_seconds = listing_seconds
        self._taking_over = TakingOver(board, sources, roster, max_attempts=max_attempts)
        self._foreign_work = ForeignWork(board, roster)

    # -- what waits for one agent -------------------------------------------------------------------------

    async def look(self, agent: Agent, *, dry_run: bool = False) -> Found:
        """What `agent` has to do, brought onto the board; in a dry run only told. Raises BoardError."""
        listed = await self._list(agent)
        items = intake.in_order(each for listing in listed.items.values() for each in listing)
        before = await self._board.read(mirrored.digest, agent.id)
        known = await self._known(items)
        now_is = self._digest(items, known, listed)
        if now_is == before:
            return Found(items, unavailable=listed.unavailable, digest=now_is, unchanged=True)
        tally = Tally()
        await self._bring(items, known, listed, tally, dry_run=dry_run)
        for source in listed.items:
            expected = await self._board.read(mirrored.expected, source, agent.id)
            absent = expected - {each.external_id for each in listed.items[source]}
            await self._ask_after(self._sources[source], sorted(absent), tally, dry_run=dry_run)
        if not dry_run:
            now_is = self._digest(items, await self._known(items), listed)
            if not tally.counts[Kind.LATER] and not tally.failed:
                await self._board.write(mirrors.remember_digest, agent.id, now_is)
        return Found(
            items,
            tuple(tally.new),
            changed=tally.counts[Kind.CHANGED],
            skipped=tally.counts[Kind.SKIPPED],
            failed=tuple(tally.failed),
            unavailable=listed.unavailable,
            digest=now_is,
        )

    async def _list(self, agent: Agent) -> _Listed:
        listed = _Listed()

        async def one(source: TaskSource) -> None:
            asked_at = clock.wall() - self._listing_seconds
            try:
                listed.items[source.name] = await source.list_todo(agent)
                listed.asked_at[source.name] = asked_at
            except SourceError as error:
                listed.unavailable[source.name] = str(error)

        async with trio.open_nursery() as nursery:
            for source in self._sources.values():
                nursery.start_soon(one, source)
        return listed

    async def _known(self, items: Iterable[Item]) -> Mapping[tuple[Source, str], Known]:
        """Of these, and of what they wait for."""
        wanted: dict[Source, set[str]] = {}
        for each in items:
            wanted.setdefault(each.source, set()).update((each.external_id, *each.waits_for))
        return {
            (source, external_id): known
            for source, ids in wanted.items()
            for external_id, known in (await self._board.read(mirrored.known, source, ids)).items()
        }

    @staticmethod
    def _digest(items: Iterable[Item], known: Mapping[tuple[Source, str], Known], listed: _Listed) -> str:
        states = {
            key: f"{each.task.id} {each.task.status} {each.row.stage} {each.row.missing_since or ''}"
            for key, each in known.items()
            if each.task is not None and each.row is not None
        }
        return intake.digest(items, states, listed.unavailable)

    async def _bring(
        self,
        items: Sequence[Item],
        known: Mapping[tuple[Source, str], Known],
        listed: _Listed,
        tally: Tally,
        *,
        dry_run: bool,
    ) -> None:
        """What waits for something else comes after it: round after round, while one brings something."""
        on_board: dict[Source, dict[str, str]] = {source: {} for source in listed.items}
        for (source, external_id), each in known.items():
            if each.task is not None:
                on_board[source][external_id] = each.task.id
        left, waiting = list(items), list[Item]()
        while left:
            waiting = []
            for item in left:
                here = on_board[item.source]
                found = known.get((item.source, item.external_id), Known())
                if intake.unmet(item, here):
                    waiting.append(item)
                    continue
                taken = await self._taking_over.decide(
                    item, found, here, asked_at=listed.asked_at[item.source], dry_run=dry_run
                )
                tally.add(taken)
                if taken.kind is Kind.NEW:
                    here[item.external_id] = taken.what
            left = [] if len(waiting) == len(left) else waiting
        for item in waiting:
            tally.add(
                await self._taking_over.decide(
                    item,
                    known.get((item.source, item.external_id), Known()),
                    on_board[item.source],
                    asked_at=listed.asked_at[item.source],
                    dry_run=dry_run,
                )
            )

    # -- what is in progress there ------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled: each source is looked at for itself, again and again."""
        async with trio.open_nursery() as nursery:
            for source in self._sources.values():
                nursery.start_soon(self._survey_for_ever, source)

    async def _survey_for_ever(self, source: TaskSource) -> None:
        while True:
            if self._roster().agents:
                try:
                    await self._survey(source)
                except BoardBroken:
                    raise
                except BoardError as error:
                    _log.warning("survey_failed", source=source.name, error=str(error))
            await trio.sleep(SURVEY_SECONDS)

    async def survey(self) -> None:
        """What is in progress in the sources, put together with what is here, once. Raises BoardError."""
        async with trio.open_nursery() as nursery:
            for source in self._sources.values():
                nursery.start_soon(self._survey, source)

    async def _survey(self, source: TaskSource) -> None:
        asked_at = clock.wall() - self._listing_seconds
        try:
            items = await source.list_in_progress()
        except SourceError as error:
            _log.info("source_unavailable", source=source.name, error=str(error))
            return
        tally = Tally()
        known = await self._known(items)
        others: list[tuple[Item, Known]] = []
        for item in items:
            found = known.get((item.source, item.external_id), Known())
            if found.task is None:
                others.append((item, found))
            else:
                tally.add(await self._taking_over.take(item, asked_at=asked_at))
        under_way = await self._board.read(mirrored.under_way, source.name)
        listed = {each.external_id for each in items}
        await self._ask_after(source, [each for each in under_way if each not in listed], tally)
        await self._foreign_work.see(source, others)

    async def _ask_after(
        self, source: TaskSource, absent: Sequence[str], tally: Tally, *, dry_run: bool = False
    ) -> None:
        """What should be in a list and is not: asked for one by one, because it may be anything."""
        asked_at, seen = clock.wall(), list[Item]()
        if len(absent) > ASKED_AFTER:  # some now, others next time
            tally.counts[Kind.LATER] += len(absent) - ASKED_AFTER
            first = int(asked_at // SURVEY_SECONDS) * ASKED_AFTER % len(absent)
            absent = [*absent[first:], *absent[:first]]
        for external_id in absent[:ASKED_AFTER]:
            try:
                seen.append(await source.look(external_id))
            except SourceError as error:
                tally.counts[Kind.LATER] += 1
                _log.info("source_unavailable", source=source.name, item=external_id, error=str(error))
        gone = sum(each.stage is Stage.GONE for each in seen)
        there = await self._board.read(mirrored.count_open, source.name) if gone else 0
        doubtful = intake.too_many(gone, there)
        if doubtful and not dry_run:
            await self._alarm(source, gone, there)
        for item in seen:
            if doubtful and item.stage is Stage.GONE and not await self._is_gone(item):
                tally.counts[Kind.LATER] += 1
            else:
                tally.add(await self._taking_over.take(item, asked_at=asked_at, dry_run=dry_run))
        if not dry_run:
            await self._foreign_work.forget(source, seen)

    async def _is_gone(self, item: Item) -> bool:
        known = await self._board.read(mirrored.one, item.source, item.external_id)
        return known.task is None or await self._taking_over.missing(known, clock.wall())

    async def _alarm(self, source: TaskSource, gone: int, there: int) -> None:
        now = clock.wall()
        text = (
            f"{gone} of {there} items are gone from {source.name} at once: nothing is cancelled for an hour."
        )
        cause = f"sources:{source.name}:gone:{now // ALARM_SECONDS:.0f}"
        await self._board.write(Store.tell, [Notice("critical", cause, text, now, urgent=True)])
